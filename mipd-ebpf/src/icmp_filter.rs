//! Keeps our kernel from telling tunnel ends that it does not know their protocol: the programs and the agent do.

use mipd_common::{
    maps::{Counter, Interface},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, ether_type, protocol, udp},
};

use crate::{arrival::is_tunnel_protocol, hook::Hook, ipv4::Ipv4, maps, verdict::Verdict};

const UNREACHABLE: u8 = 3;
const PROTOCOL_UNREACHABLE: u8 = 2;
const PORT_UNREACHABLE: u8 = 3;
/// Ethernet, IPv4, the ICMP header and the quoted IPv4 header.
const QUOTED: usize = ETHERNET_LENGTH + IPV4_LENGTH + 8;

/// A frame that leaves by a router interface.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, _interface: &Interface) -> Verdict {
    let Some(frame) = hook.frame().take::<{ QUOTED + IPV4_LENGTH }>() else {
        return Verdict::pass(Counter::PassedOther);
    };
    let packet = Ipv4(frame.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if frame.half::<12>() != ether_type::IPV4 || !packet.is_plain() || packet.protocol() != protocol::ICMP {
        return Verdict::pass(Counter::PassedOther);
    }
    let (kind, code) =
        (frame.byte::<{ ETHERNET_LENGTH + IPV4_LENGTH }>(), frame.byte::<{ ETHERNET_LENGTH + IPV4_LENGTH + 1 }>());
    let quoted = Ipv4(frame.part::<QUOTED, IPV4_LENGTH>());
    if kind == UNREACHABLE
        && (code == PROTOCOL_UNREACHABLE || code == PORT_UNREACHABLE)
        && (is_tunnel_protocol(quoted.protocol()) || quotes_tunnel_data(hook, quoted))
        && maps::is_own_address(quoted.destination())
    {
        return Verdict::drop(Counter::DroppedIcmp);
    }
    Verdict::pass(Counter::PassedOther)
}

/// Whether enough of a UDP packet is quoted to see that it carried another one. Without the agent nobody has the port.
#[inline(always)]
fn quotes_tunnel_data<H: Hook>(hook: H, quoted: Ipv4<'_>) -> bool {
    quoted.protocol() == protocol::UDP
        && quoted.is_plain()
        && hook
            .frame()
            .take_at::<{ udp::TUNNEL_LENGTH }>(QUOTED + IPV4_LENGTH)
            .is_some_and(|header| header.half::<2>() == udp::MOBILE_IP_PORT && header.byte::<8>() == udp::TUNNEL_DATA)
}
