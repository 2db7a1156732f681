//! Access point: IPv4 that visitors send. A registered visitor's packets go to the foreign agent, whatever MAC its stack
//! has sent them to.

use mipd_common::{
    maps::{
        Counter, Interface, Station, interface_flags::FAST, station_event, station_state, tunnel_flags::XDP_TARGET,
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, ether_type, protocol},
};

use crate::{
    bytes::{Bytes, BytesMut, address},
    hook::Hook,
    ipv4::Ipv4,
    maps, punt, radio,
    sightings::{self, Again},
    tc::Tc,
    verdict::Verdict,
    xdp::Xdp,
};

const HEADERS: usize = ETHERNET_LENGTH + IPV4_LENGTH;
/// Source port 68, destination port 67.
const CLIENT_TO_SERVER: u32 = u32::from_ne_bytes([0, 68, 0, 67]);

/// A packet of a visitor that is registered or about to be. TC, which does everything.
#[inline(always)]
pub fn decide(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, station: &Station) -> Verdict {
    let Some(headers) = hook.frame().take::<HEADERS>() else { return Verdict::drop(Counter::DroppedShort) };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if !packet.is_version_4() {
        return Verdict::drop(Counter::DroppedShort);
    }
    if packet.source() != address(&station.home_address) {
        return not_its_own(hook, ethernet, packet);
    }
    if headers.byte::<0>() & 1 != 0 {
        return if is_dhcp_request(hook, packet) { punt::to_agent() } else { Verdict::drop(Counter::DroppedBroadcast) };
    }
    if station.state == station_state::HOLD {
        return punt::to_agent();
    }
    forward(headers, station)
}

/// A registered visitor's unicast packet, with its own source address. XDP, which does nothing else.
#[inline(always)]
pub fn decide_xdp(hook: Xdp, interface: &Interface) -> Verdict {
    let Some(headers) = hook.frame().take::<HEADERS>() else { return Verdict::pass(Counter::PassedOther) };
    if headers.half::<12>() != ether_type::IPV4 || headers.byte::<0>() & 1 != 0 {
        return Verdict::pass(Counter::PassedOther);
    }
    let mac = headers.mac::<6>();
    let Some(station) = maps::station(&mac) else { return Verdict::pass(Counter::PassedLocal) };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if station.state != station_state::FORWARD
        || !packet.is_version_4()
        || packet.source() != address(&station.home_address)
    {
        return Verdict::pass(Counter::PassedLocal);
    }
    if interface.flags & FAST == 0 {
        return Verdict::pass(Counter::SlowFastPathOff);
    }
    if station.flags & XDP_TARGET == 0 {
        return Verdict::pass(Counter::SlowNotXdpTarget);
    }
    sightings::touch(station, mac, hook.ifindex());
    forward(headers, station)
}

#[inline(always)]
fn forward(headers: BytesMut<HEADERS>, station: &Station) -> Verdict {
    headers.set_mac::<0>(Bytes::of(&station.agent_mac));
    Verdict::transmit(Counter::StationForwarded, station.uplink_ifindex)
}

/// A visitor's MAC, but another source address than the registered one.
#[inline(always)]
fn not_its_own(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, packet: Ipv4<'_>) -> Verdict {
    let source = packet.source();
    if source == 0 {
        return if is_dhcp_request(hook, packet) { punt::to_agent() } else { Verdict::drop(Counter::DroppedSpoofed) };
    }
    if maps::is_in_own_subnet(source) {
        sightings::report(ethernet.mac::<6>(), source, hook.ifindex(), station_event::LOCAL, Again::Never);
        return radio::bridge(ethernet);
    }
    Verdict::drop(Counter::DroppedSpoofed)
}

/// Whether a packet goes from a DHCP client to a server (RFC 2131 §4.1).
#[inline(always)]
pub fn is_dhcp_request(hook: Tc, packet: Ipv4<'_>) -> bool {
    packet.is_plain()
        && packet.protocol() == protocol::UDP
        && hook.frame().take_at::<4>(HEADERS).is_some_and(|udp| udp.word::<0>() == CLIENT_TO_SERVER)
}
