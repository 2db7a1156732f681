//! Home agent: packets for away clients go into the tunnel to the care-of address (RFC 5944 §4.2.3, RFC 2003).

use mipd_common::{
    maps::{
        Counter, Interface, Tunnel,
        interface_flags::FAST,
        tunnel_flags::{ADJACENT, XDP_TARGET},
        tunnel_kind::{COPIES, DIRECT},
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    bytes::Bytes,
    hook::Hook,
    ipv4::{Ipv4, hop},
    maps, outer,
    verdict::{Refusal, Verdict},
};

/// Ethernet and two IPv4 headers.
pub const TUNNELLED: usize = ETHERNET_LENGTH + 2 * IPV4_LENGTH;

/// A packet that is routed to tunnel `id`.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface, packet: Ipv4<'_>, id: u32) -> Verdict {
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32)) {
        return Verdict::drop(Counter::DroppedShort);
    }
    let Some(tunnel) = maps::tunnel(id) else { return Verdict::pass(Counter::SlowUnresolved) };
    match check::<H, ETHERNET_LENGTH>(hook, interface, packet, tunnel) {
        Ok(()) if tunnel.kind == DIRECT => deliver_direct(hook, tunnel),
        Ok(()) => encapsulate(hook, packet, tunnel, Counter::Encapsulated),
        Err(Refusal::Slow(counter)) => Verdict::pass(counter),
        Err(Refusal::Drop(counter)) => Verdict::drop(counter),
    }
}

/// Whether `packet`, which begins at `AT`, may take the fast path into `tunnel`.
#[inline(always)]
pub fn check<H: Hook, const AT: usize>(
    hook: H,
    interface: &Interface,
    packet: Ipv4<'_>,
    tunnel: &Tunnel,
) -> Result<(), Refusal> {
    let source = packet.source();
    // RFC 2003 §4: a packet from the tunnel's exit, or from ourselves, that arrives to be forwarded is going round.
    if maps::is_own_address(source) || (tunnel.kind != DIRECT && source == Bytes::of(&tunnel.outer).word::<16>()) {
        return Err(Refusal::Drop(Counter::DroppedLoop));
    }
    check_path::<H, AT>(hook, interface, packet, tunnel).map_err(Refusal::Slow)
}

/// The part of [`check`] that is about the path alone.
#[inline(always)]
pub fn check_path<H: Hook, const AT: usize>(
    hook: H,
    interface: &Interface,
    packet: Ipv4<'_>,
    tunnel: &Tunnel,
) -> Result<(), Counter> {
    if interface.flags & FAST == 0 {
        return Err(Counter::SlowFastPathOff);
    }
    if !packet.is_plain() {
        return Err(Counter::SlowOptions);
    }
    if packet.ttl() <= 1 {
        return Err(Counter::SlowTtl);
    }
    if hook.largest_packet::<AT>(packet) > tunnel.inner_mtu as u32 {
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

/// Prepends the outer header and sends the packet to the next hop.
#[inline(always)]
pub fn encapsulate<H: Hook>(hook: H, packet: Ipv4<'_>, tunnel: &Tunnel, counter: Counter) -> Verdict {
    let fields = outer::fields(packet);
    if !hook.grow() {
        return Verdict::pass(Counter::SlowNoHeadroom);
    }
    let Some(headers) = hook.frame().take::<TUNNELLED>() else { return Verdict::drop(Counter::DroppedError) };
    headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    outer::write(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), tunnel, fields);
    hop(headers.part_mut::<{ ETHERNET_LENGTH + IPV4_LENGTH }, IPV4_LENGTH>());
    Verdict::transmit(counter, tunnel.ifindex)
}

/// Sends the packet at the front of the frame straight to the client: its care-of address is our own.
#[inline(always)]
pub fn deliver_direct<H: Hook>(hook: H, tunnel: &Tunnel) -> Verdict {
    let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
        return Verdict::drop(Counter::DroppedError);
    };
    headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    hop(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>());
    Verdict::transmit(Counter::DeliveredDirect, tunnel.ifindex)
}
