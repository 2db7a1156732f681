//! Foreign agent: what visitors send (RFC 5944 §4.2.2, RFC 3024 §4.2).

use mipd_common::{
    maps::{Counter, Mac, Tunnel, VisitorSource, tunnel_flags::ADJACENT, visitor_flags::ENCAPSULATING},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, protocol, udp},
};

use crate::{
    arrival::Arrival,
    bytes::address,
    hook::Hook,
    ipv4::{Ipv4, is_group, unhop},
    maps,
    onward::{Origin, Step},
    surgery::{Carried, Plan},
    tun_receive,
};

const DHCP_SERVER_PORT: u16 = 67_u16.to_be();
const ROUTER_SOLICITATION: u8 = 10;

/// A packet that a visitor sent to our MAC; `tunnelled`: in a tunnel to us.
#[inline(always)]
pub fn decide<'a, H: Hook>(hook: H, packet: Ipv4<'a>, tunnelled: bool, source: &VisitorSource) -> Step<'a> {
    if packet.source() != address(&source.home_address) {
        // Its old address on this very subnet, or none yet: ordinary local traffic.
        let local = maps::is_in_own_subnet(packet.source()) && !maps::is_own_address(packet.source());
        return if packet.source() == 0 || local {
            Step::pass(Counter::PassedLocal)
        } else {
            Step::drop(Counter::DroppedSpoofed)
        };
    }
    if tunnelled {
        // A visitor is no tunnel end, but with encapsulating delivery.
        return Step::drop(Counter::DroppedTunnelSource);
    }
    let destination = packet.destination();
    if maps::is_own_address(destination) {
        return Step::pass(Counter::PassedControl);
    }
    if is_group(destination) {
        return group(hook, packet);
    }
    // RFC 5944 §4.2.2: the foreign agent verifies the IP header checksum.
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32))
        || (packet.is_plain() && !packet.checksum_is_valid())
    {
        return Step::drop(Counter::DroppedShort);
    }
    let carried = Carried::plain(packet);
    if source.tunnel != 0 && source.flags & ENCAPSULATING == 0 {
        return Step::into_reverse_tunnel(carried, source.tunnel);
    }
    // What it announces is sent into the tunnel that leads here.
    Step::onward(Origin::Visitor, carried, source.segment_limit)
}

/// A visitor has wrapped a packet for us, as encapsulating delivery has it: into the reverse tunnel, broadcasts and multicasts
/// too (RFC 3024 §5.2).
#[inline(always)]
pub fn wrapped<'a, H: Hook>(hook: H, arrival: Arrival<'a>, source: &VisitorSource) -> Step<'a> {
    let home_address = address(&source.home_address);
    if arrival.outer.source() != home_address || arrival.inner().source() != home_address {
        return Step::drop(Counter::DroppedSpoofed);
    }
    if source.tunnel == 0 {
        return to_ourselves::<H>(arrival.carried);
    }
    let Some(tunnel) = maps::tunnel(source.tunnel) else { return Step::drop(Counter::DroppedUnresolved) };
    if !arrival.is_delivery(tunnel.kind) {
        return Step::drop(Counter::DroppedEncapsulation);
    }
    let carried = arrival.carried;
    if is_group(carried.packet.destination()) {
        return group_into_tunnel(hook, carried, tunnel);
    }
    Step::into_reverse_tunnel(carried, source.tunnel)
}

/// The visitor's home agent is this box: there is no tunnel, and the kernel routes what is inside.
#[inline(always)]
fn to_ourselves<'a, H: Hook>(carried: Carried<'a>) -> Step<'a> {
    if is_group(carried.packet.destination()) {
        return Step::drop(Counter::DroppedBroadcast);
    }
    tun_receive::hand_over::<H>(maps::router().map(|router| router.visit_tun), carried, Counter::SlowMarked).into()
}

/// A broadcast or multicast, which the kernel would not route. It arrives at home with the TTL that it was sent with, as on
/// the home link itself.
#[inline(always)]
fn group_into_tunnel<'a, H: Hook>(hook: H, carried: Carried<'a>, tunnel: &'static Tunnel) -> Step<'a> {
    if H::XDP {
        return Step::pass(Counter::SlowGroup);
    }
    if tunnel.flags & ADJACENT == 0 {
        return Step::drop(Counter::DroppedUnresolved);
    }
    if hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        return Step::drop(Counter::DroppedTooBig);
    }
    let Some(header) = hook.frame().take_at::<IPV4_LENGTH>(carried.offset()) else {
        return Step::drop(Counter::DroppedError);
    };
    unhop(header);
    Plan::encapsulate(Counter::ReverseEncapsulated, carried, tunnel).into()
}

/// A frame with a group address on an access interface. TC only.
#[inline(always)]
pub fn decide_group<'a, H: Hook>(hook: H, sender: Mac, packet: Ipv4<'a>) -> Step<'a> {
    match maps::visitor_source(&sender) {
        Some(_) => group(hook, packet),
        None => Step::pass(Counter::PassedNotForUs),
    }
}

/// Solicitations, registrations and DHCP are for this box; nothing else that a visitor broadcasts concerns the visited
/// network (RFC 5944 §4.4 leaves broadcasts to the home network).
#[inline(always)]
fn group<'a, H: Hook>(hook: H, packet: Ipv4<'a>) -> Step<'a> {
    if packet.is_plain() && !packet.is_fragment() {
        let transport = hook.frame().take_at::<4>(ETHERNET_LENGTH + IPV4_LENGTH);
        let control = match (packet.protocol(), transport) {
            (protocol::ICMP, Some(icmp)) => icmp.byte::<0>() == ROUTER_SOLICITATION,
            (protocol::UDP, Some(header)) => matches!(header.half::<2>(), udp::MOBILE_IP_PORT | DHCP_SERVER_PORT),
            _ => false,
        };
        if control {
            return Step::pass(Counter::PassedControl);
        }
    }
    Step::drop(Counter::DroppedBroadcast)
}
