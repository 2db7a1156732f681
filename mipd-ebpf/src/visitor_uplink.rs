//! Foreign agent: what visitors send (RFC 5944 §4.2.2, RFC 3024 §4.2).

use mipd_common::{
    maps::{Counter, Interface, Mac, Tunnel, VisitorSource, tunnel_flags::ADJACENT, visitor_flags::ENCAPSULATING},
    packet::{DONT_FRAGMENT, ETHERNET_LENGTH, IPV4_LENGTH, protocol, udp},
};

use crate::{
    arrival::{Arrival, is_tunnel_protocol},
    bytes::{Bytes, address},
    home_encapsulate::{self, check_path},
    hook::Hook,
    icmp_error,
    ipv4::{Ipv4, is_group, unhop},
    maps, next_hop,
    surgery::{Carried, Plan, Scratch},
    tun_receive, udp_tunnel,
    verdict::Verdict,
};

const DHCP_SERVER_PORT: u16 = 67_u16.to_be();
const ROUTER_SOLICITATION: u8 = 10;

/// A packet that a visitor sent to our MAC.
#[inline(always)]
pub fn decide<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    packet: Ipv4<'a>,
    source: &VisitorSource,
    scratch: &'a mut Scratch,
) -> Plan<'a> {
    if packet.source() != address(&source.home_address) {
        // Its old address on this very subnet, or none yet: ordinary local traffic.
        let local = maps::is_in_own_subnet(packet.source()) && !maps::is_own_address(packet.source());
        return if packet.source() == 0 || local {
            Plan::pass(Counter::PassedLocal)
        } else {
            Plan::drop(Counter::DroppedSpoofed)
        };
    }
    let destination = packet.destination();
    if maps::is_own_address(destination) {
        // A visitor is no tunnel end, but with encapsulating delivery.
        return if is_tunnel_protocol(packet.protocol())
            || (packet.protocol() == protocol::UDP && udp_tunnel::is_tunnel_data(hook.frame(), packet))
        {
            Plan::drop(Counter::DroppedTunnelSource)
        } else {
            Plan::pass(Counter::PassedControl)
        };
    }
    if is_group(destination) {
        return group(hook, packet);
    }
    // RFC 5944 §4.2.2: the foreign agent verifies the IP header checksum.
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32))
        || (packet.is_plain() && !packet.checksum_is_valid())
    {
        return Plan::drop(Counter::DroppedShort);
    }
    let carried = Carried::plain(packet);
    if source.tunnel != 0 && source.flags & ENCAPSULATING == 0 {
        return reverse_tunnel(hook, interface, carried, source.tunnel);
    }
    let plan = if let Some(id) = maps::tunnel_id(destination) {
        home_encapsulate::decide(hook, interface, packet, id)
    } else {
        match next_hop::find(hook, interface, carried, &mut scratch.next_hop) {
            Ok(next_hop) => Plan::route(Counter::VisitorForwarded, carried, next_hop),
            Err(reason) => Plan::pass(reason),
        }
    };
    // What it announces is sent into the tunnel that leads here.
    plan.limited(carried, source.segment_limit)
}

/// A visitor has wrapped a packet for us, as encapsulating delivery has it: into the reverse tunnel, broadcasts and multicasts
/// too (RFC 3024 §5.2).
#[inline(always)]
pub fn wrapped<'a, H: Hook>(hook: H, interface: &Interface, arrival: Arrival<'a>, source: &VisitorSource) -> Plan<'a> {
    let home_address = address(&source.home_address);
    if arrival.outer.source() != home_address || arrival.inner().source() != home_address {
        return Plan::drop(Counter::DroppedSpoofed);
    }
    if source.tunnel == 0 {
        return to_ourselves::<H>(arrival.carried);
    }
    let Some(tunnel) = maps::tunnel(source.tunnel) else { return Plan::drop(Counter::DroppedUnresolved) };
    if !arrival.is_delivery(tunnel.kind) {
        return Plan::drop(Counter::DroppedEncapsulation);
    }
    let carried = arrival.carried;
    if is_group(carried.packet.destination()) {
        return group_into_tunnel(hook, carried, tunnel);
    }
    reverse_tunnel(hook, interface, carried, source.tunnel)
}

/// The visitor's home agent is this box: there is no tunnel, and the kernel routes what is inside.
#[inline(always)]
fn to_ourselves<'a, H: Hook>(carried: Carried<'a>) -> Plan<'a> {
    if is_group(carried.packet.destination()) {
        return Plan::drop(Counter::DroppedBroadcast);
    }
    tun_receive::hand_over::<H>(maps::router().map(|router| router.visit_tun), carried, Counter::SlowMarked)
}

/// A broadcast or multicast, which the kernel would not route. It arrives at home with the TTL that it was sent with, as on
/// the home link itself.
#[inline(always)]
fn group_into_tunnel<'a, H: Hook>(hook: H, carried: Carried<'a>, tunnel: &'static Tunnel) -> Plan<'a> {
    if H::XDP {
        return Plan::pass(Counter::SlowGroup);
    }
    if tunnel.flags & ADJACENT == 0 {
        return Plan::drop(Counter::DroppedUnresolved);
    }
    if hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        return Plan::drop(Counter::DroppedTooBig);
    }
    let Some(header) = hook.frame().take_at::<IPV4_LENGTH>(carried.offset()) else {
        return Plan::drop(Counter::DroppedError);
    };
    unhop(header);
    Plan::encapsulate(Counter::ReverseEncapsulated, carried, tunnel)
}

/// A frame with a group address on an access interface. TC only.
#[inline(always)]
pub fn decide_group<'a, H: Hook>(hook: H, sender: Mac, packet: Ipv4<'a>) -> Plan<'a> {
    match maps::visitor_source(&sender) {
        Some(_) => group(hook, packet),
        None => Plan::pass(Counter::PassedNotForUs),
    }
}

/// Solicitations, registrations and DHCP are for this box; nothing else that a visitor broadcasts concerns the visited
/// network (RFC 5944 §4.4 leaves broadcasts to the home network).
#[inline(always)]
fn group<'a, H: Hook>(hook: H, packet: Ipv4<'a>) -> Plan<'a> {
    if packet.is_plain() && !packet.is_fragment() {
        let transport = hook.frame().take_at::<4>(ETHERNET_LENGTH + IPV4_LENGTH);
        let control = match (packet.protocol(), transport) {
            (protocol::ICMP, Some(icmp)) => icmp.byte::<0>() == ROUTER_SOLICITATION,
            (protocol::UDP, Some(header)) => matches!(header.half::<2>(), udp::MOBILE_IP_PORT | DHCP_SERVER_PORT),
            _ => false,
        };
        if control {
            return Plan::pass(Counter::PassedControl);
        }
    }
    Plan::drop(Counter::DroppedBroadcast)
}

/// Into the tunnel to the home agent. What the program cannot do, the kernel does on the visit device, led there by the
/// mark.
#[inline(always)]
fn reverse_tunnel<'a, H: Hook>(hook: H, interface: &Interface, carried: Carried<'a>, id: u32) -> Plan<'a> {
    let refusal = match maps::tunnel(id) {
        Some(tunnel) => match check_path(hook, interface, carried, tunnel) {
            Ok(()) => return Plan::encapsulate(Counter::ReverseEncapsulated, carried, tunnel),
            Err(reason) => reason,
        },
        None => Counter::SlowUnresolved,
    };
    if H::XDP {
        return Plan::pass(refusal);
    }
    if let Some(tunnel) = maps::tunnel(id)
        && let Some(answer) = answer(hook, carried, tunnel)
    {
        return answer.into();
    }
    let Some(router) = maps::router() else { return Plan::drop(Counter::DroppedError) };
    hook.mark(router.mark | id);
    if carried.strip == 0 {
        return Plan::pass(Counter::SlowMarked);
    }
    // The kernel receives it as if it had come plain.
    tun_receive::hand_over::<H>(Some(router.visit_tun), carried, Counter::SlowMarked)
}

/// What the visitor is told. The kernel's word would be routed to its home address, which may lead anywhere, or to another
/// visitor.
#[inline(always)]
fn answer<H: Hook>(hook: H, carried: Carried<'_>, tunnel: &Tunnel) -> Option<Verdict> {
    let packet = carried.packet;
    let error = if packet.ttl() <= 1 {
        if !icmp_error::is_answerable(hook, carried) {
            return Some(Verdict::drop(Counter::DroppedTtl));
        }
        icmp_error::Error::expired()
    } else if packet.fragment_word() & DONT_FRAGMENT != 0 && hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        icmp_error::Error::too_big(tunnel.inner_mtu)
    } else {
        return None;
    };
    Some(icmp_error::answer(hook, carried, Bytes::of(&tunnel.outer).word::<12>(), error))
}
