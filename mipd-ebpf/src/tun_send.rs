//! The slow path into a tunnel: what the kernel routes to a TUN device is encapsulated here. The kernel has done the rest:
//! TTL, fragmentation to the route's MTU, ICMP errors.

use mipd_common::{
    maps::{
        Counter, Interface, Tunnel,
        tunnel_flags::ADJACENT,
        tunnel_kind::{COPIES, DIRECT},
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{bytes::Bytes, hook::Hook, ipv4::Ipv4, maps, outer, tc::Tc, tun_copies, verdict::Verdict};

/// A packet that leaves by `mip-home`: the tunnel is that of the destination.
#[inline(always)]
pub fn decide_home(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(packet) = ipv4_packet(hook) else { return Verdict::pass(Counter::PassedOther) };
    let Some(id) = maps::tunnel_id(packet.destination()) else { return Verdict::drop(Counter::DroppedNoVisitor) };
    if let Some(copies) = maps::tunnel(id)
        && copies.kind == COPIES
    {
        return tun_copies::send(hook, packet, copies);
    }
    send(hook, packet, id, Counter::Encapsulated)
}

/// A packet that leaves by `mip-visit`: the mark that led it here carries the tunnel.
#[inline(always)]
pub fn decide_visit(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(packet) = ipv4_packet(hook) else { return Verdict::pass(Counter::PassedOther) };
    let Some(router) = maps::router() else { return Verdict::drop(Counter::DroppedError) };
    let id = hook.firewall_mark() & !router.mark_mask;
    if id == 0 {
        return Verdict::drop(Counter::DroppedNoVisitor);
    }
    hook.mark(0);
    send(hook, packet, id, Counter::ReverseEncapsulated)
}

#[inline(always)]
fn ipv4_packet(hook: Tc) -> Option<Ipv4<'static>> {
    let header = hook.frame().take::<IPV4_LENGTH>()?;
    let packet = Ipv4(header.part::<0, IPV4_LENGTH>());
    if packet.is_version_4() { Some(packet) } else { None }
}

#[inline(always)]
fn send(hook: Tc, packet: Ipv4<'_>, id: u32, counter: Counter) -> Verdict {
    let Some(tunnel) = maps::tunnel(id) else { return Verdict::drop(Counter::DroppedUnresolved) };
    if tunnel.ifindex == 0 {
        return Verdict::drop(Counter::DroppedUnresolved);
    }
    if !hook.is_segmented() && packet.total_length() > tunnel.inner_mtu {
        return Verdict::drop(Counter::DroppedTooBig);
    }
    if tunnel.kind == DIRECT {
        return leave(hook, tunnel, Counter::DeliveredDirect);
    }
    // RFC 2003 §4; packets made here go into the tunnel whatever their source.
    if hook.is_forwarded() && packet.source() == Bytes::of(&tunnel.outer).word::<16>() {
        return Verdict::drop(Counter::DroppedLoop);
    }
    let fields = outer::fields(packet);
    if !hook.grow() {
        return Verdict::drop(Counter::DroppedError);
    }
    let Some(header) = hook.frame().take::<IPV4_LENGTH>() else { return Verdict::drop(Counter::DroppedError) };
    outer::write(header, tunnel, fields);
    leave(hook, tunnel, counter)
}

/// Puts the Ethernet header in front and sends the frame; without a known next hop the kernel finds it.
#[inline(always)]
fn leave(hook: Tc, tunnel: &Tunnel, counter: Counter) -> Verdict {
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
