//! Foreign agent: tunnelled packets are decapsulated and delivered to the visitor's MAC (RFC 5944 §4.2.2).

use mipd_common::{
    maps::{Counter, Interface, Visitor, interface_flags::FAST, tunnel_flags::XDP_TARGET},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    bytes::Bytes,
    hook::Hook,
    ipv4::{Ipv4, hop},
    maps, tun_receive,
    verdict::Verdict,
};

/// A tunnelled packet whose inner destination is `visitor`.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface, inner: Ipv4<'_>, visitor: &Visitor) -> Verdict {
    match obstacle(hook, interface, inner, visitor) {
        // The kernel cannot transmit there from XDP, but TC can.
        Some(Counter::SlowNotXdpTarget) => Verdict::pass(Counter::SlowNotXdpTarget),
        Some(reason) => tun_receive::hand_over(hook, maps::router().map(|router| router.visit_tun), reason),
        None => deliver(hook, visitor),
    }
}

#[inline(always)]
fn obstacle<H: Hook>(hook: H, interface: &Interface, inner: Ipv4<'_>, visitor: &Visitor) -> Option<Counter> {
    if interface.flags & FAST == 0 {
        return Some(Counter::SlowFastPathOff);
    }
    if !inner.is_plain() {
        return Some(Counter::SlowOptions);
    }
    if inner.ttl() <= 1 {
        return Some(Counter::SlowTtl);
    }
    let mtu = maps::interface(visitor.ifindex).map_or(0, |access| access.mtu);
    if mtu != 0 && hook.largest_packet::<{ ETHERNET_LENGTH + IPV4_LENGTH }>(inner) > mtu {
        return Some(Counter::SlowTooBig);
    }
    if H::XDP && visitor.flags & XDP_TARGET == 0 {
        return Some(Counter::SlowNotXdpTarget);
    }
    None
}

#[inline(always)]
fn deliver<H: Hook>(hook: H, visitor: &Visitor) -> Verdict {
    if !hook.shrink() {
        return Verdict::pass(Counter::SlowNoHeadroom);
    }
    let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
        return Verdict::drop(Counter::DroppedError);
    };
    headers.set_ethernet::<0>(Bytes::of(&visitor.ethernet));
    hop(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>());
    Verdict::transmit(Counter::DeliveredVisitor, visitor.ifindex)
}
