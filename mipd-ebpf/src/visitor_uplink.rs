//! Foreign agent: what visitors send (RFC 5944 §4.2.2, RFC 3024 §4.2).

use mipd_common::{
    maps::{Counter, Interface, Mac, VisitorSource},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, protocol},
};

use crate::{
    bytes::address,
    home_encapsulate::{self, check_path},
    hook::Hook,
    ipv4::{Ipv4, hop, is_group},
    maps, next_hop,
    verdict::Verdict,
};

const MOBILE_IP_PORT: u16 = 434_u16.to_be();
const DHCP_SERVER_PORT: u16 = 67_u16.to_be();
const ROUTER_SOLICITATION: u8 = 10;

/// A packet that a visitor sent to our MAC.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface, packet: Ipv4<'_>, source: &VisitorSource) -> Verdict {
    if packet.source() != address(&source.home_address) {
        // Its old address on this very subnet, or none yet: ordinary local traffic.
        return if packet.source() == 0 || maps::is_in_own_subnet(packet.source()) {
            Verdict::pass(Counter::PassedLocal)
        } else {
            Verdict::drop(Counter::DroppedSpoofed)
        };
    }
    let destination = packet.destination();
    if maps::is_own_address(destination) {
        // A visitor is no tunnel end: only direct delivery is offered (RFC 3024 §3.1).
        return if packet.protocol() == protocol::IP_IN_IP {
            Verdict::drop(Counter::DroppedTunnelSource)
        } else {
            Verdict::pass(Counter::PassedControl)
        };
    }
    if is_group(destination) {
        return group(hook, packet);
    }
    // RFC 5944 §4.2.2: the foreign agent verifies the IP header checksum.
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32))
        || (packet.is_plain() && !packet.checksum_is_valid())
    {
        return Verdict::drop(Counter::DroppedShort);
    }
    if source.tunnel != 0 {
        return reverse_tunnel(hook, interface, packet, source.tunnel);
    }
    if let Some(id) = maps::tunnel_id(destination) {
        return home_encapsulate::decide(hook, interface, packet, id);
    }
    match next_hop::find::<H, ETHERNET_LENGTH>(hook, interface, packet) {
        Ok(next_hop) => {
            let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
                return Verdict::drop(Counter::DroppedError);
            };
            next_hop.write(headers.part_mut::<0, ETHERNET_LENGTH>());
            hop(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>());
            Verdict::transmit(Counter::VisitorForwarded, next_hop.ifindex())
        }
        Err(reason) => Verdict::pass(reason),
    }
}

/// A frame with a group address on an access interface. TC only.
#[inline(always)]
pub fn decide_group<H: Hook>(hook: H, sender: Mac, packet: Ipv4<'_>) -> Verdict {
    match maps::visitor_source(&sender) {
        Some(_) => group(hook, packet),
        None => Verdict::pass(Counter::PassedNotForUs),
    }
}

/// Solicitations, registrations and DHCP are for this box; nothing else that a visitor broadcasts concerns the visited
/// network (RFC 5944 §4.4 leaves broadcasts to the home network).
#[inline(always)]
fn group<H: Hook>(hook: H, packet: Ipv4<'_>) -> Verdict {
    if packet.is_plain() && !packet.is_fragment() {
        let transport = hook.frame().take_at::<4>(ETHERNET_LENGTH + IPV4_LENGTH);
        let control = match (packet.protocol(), transport) {
            (protocol::ICMP, Some(icmp)) => icmp.byte::<0>() == ROUTER_SOLICITATION,
            (protocol::UDP, Some(udp)) => matches!(udp.half::<2>(), MOBILE_IP_PORT | DHCP_SERVER_PORT),
            _ => false,
        };
        if control {
            return Verdict::pass(Counter::PassedControl);
        }
    }
    Verdict::drop(Counter::DroppedBroadcast)
}

/// Into the tunnel to the home agent. What the program cannot do, the kernel does on the visit device, led there by the
/// mark.
#[inline(always)]
fn reverse_tunnel<H: Hook>(hook: H, interface: &Interface, packet: Ipv4<'_>, id: u32) -> Verdict {
    let refusal = match maps::tunnel(id) {
        Some(tunnel) => match check_path::<H, ETHERNET_LENGTH>(hook, interface, packet, tunnel) {
            Ok(()) => return home_encapsulate::encapsulate(hook, packet, tunnel, Counter::ReverseEncapsulated),
            Err(reason) => reason,
        },
        None => Counter::SlowUnresolved,
    };
    if H::XDP {
        return Verdict::pass(refusal);
    }
    let Some(router) = maps::router() else { return Verdict::drop(Counter::DroppedError) };
    hook.mark(router.mark | id);
    Verdict::pass(Counter::SlowMarked)
}
