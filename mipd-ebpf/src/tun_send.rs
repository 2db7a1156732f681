//! The slow path into a tunnel: what the kernel routes to a TUN device is encapsulated here. The kernel has done the rest:
//! TTL, fragmentation to the route's MTU, ICMP errors.

use mipd_common::{
    maps::{
        Counter, Interface, Router,
        tunnel_flags::ADJACENT,
        tunnel_kind::{COPIES, DIRECT},
    },
    packet::{DONT_FRAGMENT, ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    bytes::Bytes, hook::Hook, ipv4::Ipv4, maps, segment_limit, tc::Tc, tun_copies, verdict::Verdict, wrap::Wrapping,
};

/// A packet that leaves by `mip-home`: the tunnel is that of the destination.
#[inline(always)]
pub fn decide_home(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(packet) = ipv4_packet(hook) else { return Verdict::pass(Counter::PassedOther) };
    let Some(router) = maps::router() else { return Verdict::drop(Counter::DroppedError) };
    let (id, counter) = match home_tunnel(hook, router, packet) {
        Ok(found) => found,
        Err(reason) => return Verdict::drop(reason),
    };
    send(hook, id, counter)
}

#[inline(always)]
fn home_tunnel(hook: Tc, router: &Router, packet: Ipv4<'_>) -> Result<(u32, Counter), Counter> {
    if let Some(part) = tun_copies::marked(hook, router) {
        return Ok((part, Counter::EncapsulatedCopies));
    }
    let id = maps::tunnel_id(packet.destination()).ok_or(Counter::DroppedNoVisitor)?;
    match maps::tunnel(id) {
        Some(copies) if copies.kind == COPIES => {
            Ok((tun_copies::send_all_but_last(hook, router, copies)?, Counter::EncapsulatedCopies))
        }
        _ => Ok((id, Counter::Encapsulated)),
    }
}

/// A packet that leaves by `mip-visit`: the mark that led it here carries the tunnel.
#[inline(always)]
pub fn decide_visit(hook: Tc, _interface: &Interface) -> Verdict {
    if ipv4_packet(hook).is_none() {
        return Verdict::pass(Counter::PassedOther);
    }
    let Some(router) = maps::router() else { return Verdict::drop(Counter::DroppedError) };
    let id = hook.firewall_mark() & !router.mark_mask;
    if id == 0 {
        return Verdict::drop(Counter::DroppedNoVisitor);
    }
    hook.mark(0);
    send(hook, id, Counter::ReverseEncapsulated)
}

#[inline(always)]
fn ipv4_packet(hook: Tc) -> Option<Ipv4<'static>> {
    let header = hook.frame().take::<IPV4_LENGTH>()?;
    let packet = Ipv4(header.part::<0, IPV4_LENGTH>());
    if packet.is_version_4() { Some(packet) } else { None }
}

/// Puts the packet into tunnel `id` and sends it.
#[inline(always)]
fn send(hook: Tc, id: u32, counter: Counter) -> Verdict {
    let Some(packet) = ipv4_packet(hook) else { return Verdict::drop(Counter::DroppedError) };
    let Some(tunnel) = maps::tunnel(id) else { return Verdict::drop(Counter::DroppedUnresolved) };
    if tunnel.ifindex == 0 {
        return Verdict::drop(Counter::DroppedUnresolved);
    }
    // What may be fragmented is, on its way.
    if !hook.is_segmented() && packet.total_length() > tunnel.inner_mtu && packet.fragment_word() & DONT_FRAGMENT != 0 {
        return Verdict::drop(Counter::DroppedTooBig);
    }
    segment_limit::apply(hook.frame(), 0, packet, tunnel.segment_limit);
    let mut counter = counter;
    if tunnel.kind == DIRECT {
        counter = Counter::DeliveredDirect;
    } else {
        // RFC 2003 §4; packets made here go into the tunnel whatever their source.
        if hook.is_forwarded() && packet.source() == Bytes::of(&tunnel.outer).word::<16>() {
            return Verdict::drop(Counter::DroppedLoop);
        }
        let wrapping = Wrapping::new(hook, packet, tunnel);
        if !hook.resize(0, wrapping.length, wrapping.layers) || !wrapping.write(hook.frame(), 0, tunnel) {
            return Verdict::drop(Counter::DroppedError);
        }
    }
    // The Ethernet header comes last; without a known next hop the kernel finds it.
    if !hook.prepend_ethernet() {
        return Verdict::drop(Counter::DroppedError);
    }
    let Some(header) = hook.frame().take::<ETHERNET_LENGTH>() else { return Verdict::drop(Counter::DroppedError) };
    header.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    if tunnel.flags & ADJACENT == 0 {
        return Verdict::resolve(counter, tunnel.ifindex);
    }
    Verdict::transmit(counter, tunnel.ifindex)
}
