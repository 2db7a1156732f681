//! Foreign agent: tunnelled packets are decapsulated and delivered to the visitor's MAC (RFC 5944 §4.2.2).

use mipd_common::maps::{
    Counter, Interface, Visitor,
    interface_flags::FAST,
    tunnel_flags::{NOT_IN_KERNEL, XDP_TARGET},
};

use crate::{
    arrival::Arrival,
    bytes::{Bytes, address},
    hook::Hook,
    maps,
    surgery::{Carried, Plan},
    tun_receive,
};

/// A tunnelled packet whose inner destination is `visitor`.
#[inline(always)]
pub fn decide<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    arrival: Arrival<'a>,
    visitor: &'static Visitor,
) -> Plan<'a> {
    if !arrival.is_agreed(visitor.kind, visitor.flags, &visitor.receive_key, Bytes::of(&visitor.port))
        || arrival.outer.destination() != address(&visitor.care_of_address)
    {
        return Plan::drop(Counter::DroppedEncapsulation);
    }
    if !H::XDP && visitor.flags & NOT_IN_KERNEL != 0 {
        return without_kernel(hook, arrival.carried, visitor);
    }
    let plan = match obstacle(hook, interface, arrival.carried, visitor) {
        // The kernel cannot transmit there from XDP, but TC can.
        Some(Counter::SlowNotXdpTarget) => Plan::pass(Counter::SlowNotXdpTarget),
        Some(reason) => {
            tun_receive::hand_over::<H>(maps::router().map(|router| router.visit_tun), arrival.carried, reason)
        }
        None => Plan::deliver(arrival.carried, visitor),
    };
    // What it announces is sent into the reverse tunnel.
    plan.limited(arrival.carried, visitor.segment_limit)
}

/// Another visitor with the same address is the one that the kernel would deliver to. So TC delivers whatever it can itself,
/// also where the fast path is switched off. The agent gets what must be fragmented or answered.
#[inline(always)]
fn without_kernel<'a, H: Hook>(hook: H, carried: Carried<'a>, visitor: &'static Visitor) -> Plan<'a> {
    if carried.packet.ttl() <= 1 {
        return Plan::drop(Counter::DroppedTtl);
    }
    if is_too_big(hook, carried, visitor) {
        return Plan::pass(Counter::SlowTooBig);
    }
    Plan::deliver(carried, visitor).limited(carried, visitor.segment_limit)
}

#[inline(always)]
fn is_too_big<H: Hook>(hook: H, carried: Carried<'_>, visitor: &Visitor) -> bool {
    let mtu = maps::interface(visitor.ifindex).map_or(0, |access| access.mtu);
    mtu != 0 && hook.largest_packet(carried) > mtu
}

#[inline(always)]
fn obstacle<H: Hook>(hook: H, interface: &Interface, carried: Carried<'_>, visitor: &Visitor) -> Option<Counter> {
    if interface.flags & FAST == 0 {
        return Some(Counter::SlowFastPathOff);
    }
    if !carried.packet.is_plain() {
        return Some(Counter::SlowOptions);
    }
    if carried.packet.ttl() <= 1 {
        return Some(Counter::SlowTtl);
    }
    if is_too_big(hook, carried, visitor) {
        return Some(Counter::SlowTooBig);
    }
    if H::XDP && visitor.flags & XDP_TARGET == 0 {
        return Some(Counter::SlowNotXdpTarget);
    }
    None
}
