//! Home agent: packets for away clients go into the tunnel to the care-of address (RFC 5944 §4.2.3).

use mipd_common::{
    maps::{
        Counter, Interface, Tunnel,
        interface_flags::FAST,
        tunnel_flags::{ADJACENT, XDP_TARGET},
        tunnel_kind::{COPIES, DIRECT, MINIMAL},
    },
    packet::ETHERNET_LENGTH,
};

use crate::{
    bytes::Bytes,
    hook::Hook,
    ipv4::Ipv4,
    maps,
    surgery::{Carried, Plan},
    verdict::Refusal,
};

/// A packet that is routed to tunnel `id`.
#[inline(always)]
pub fn decide<'a, H: Hook>(hook: H, interface: &Interface, packet: Ipv4<'a>, id: u32) -> Plan<'a> {
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32)) {
        return Plan::drop(Counter::DroppedShort);
    }
    let Some(tunnel) = maps::tunnel(id) else { return Plan::pass(Counter::SlowUnresolved) };
    let carried = Carried::plain(packet);
    match check(hook, interface, carried, tunnel) {
        Ok(()) => Plan::to_away_client(carried, tunnel),
        Err(Refusal::Slow(counter)) => Plan::pass(counter),
        Err(Refusal::Drop(counter)) => Plan::drop(counter),
    }
}

/// Whether a packet may take the fast path into `tunnel`.
#[inline(always)]
pub fn check<H: Hook>(hook: H, interface: &Interface, carried: Carried<'_>, tunnel: &Tunnel) -> Result<(), Refusal> {
    let source = carried.packet.source();
    // RFC 2003 §4: a packet from the tunnel's exit, or from ourselves, that arrives to be forwarded is going round.
    if maps::is_own_address(source) || (tunnel.kind != DIRECT && source == Bytes::of(&tunnel.outer).word::<16>()) {
        return Err(Refusal::Drop(Counter::DroppedLoop));
    }
    // Minimal encapsulation makes the header anew, so this is the last time that a wrong checksum can be seen.
    if tunnel.kind == MINIMAL && carried.packet.is_plain() && !carried.rebuilt && !carried.packet.checksum_is_valid() {
        return Err(Refusal::Drop(Counter::DroppedShort));
    }
    check_path(hook, interface, carried, tunnel).map_err(Refusal::Slow)
}

/// The part of [`check`] that is about the path alone.
#[inline(always)]
pub fn check_path<H: Hook>(
    hook: H,
    interface: &Interface,
    carried: Carried<'_>,
    tunnel: &Tunnel,
) -> Result<(), Counter> {
    if interface.flags & FAST == 0 {
        return Err(Counter::SlowFastPathOff);
    }
    if !carried.packet.is_plain() {
        return Err(Counter::SlowOptions);
    }
    if carried.packet.ttl() <= 1 {
        return Err(Counter::SlowTtl);
    }
    if hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        return Err(Counter::SlowTooBig);
    }
    if tunnel.flags & ADJACENT == 0 {
        return Err(if tunnel.kind == COPIES { Counter::SlowCopies } else { Counter::SlowUnresolved });
    }
    if H::XDP && tunnel.flags & XDP_TARGET == 0 {
        return Err(Counter::SlowNotXdpTarget);
    }
    Ok(())
}
