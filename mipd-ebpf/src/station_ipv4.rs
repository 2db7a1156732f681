//! Access point: IPv4 that visitors send. A registered visitor's packets go to the foreign agent, whatever MAC its stack
//! has sent them to.

use mipd_common::{
    maps::{
        Counter, Interface, Station, interface_flags::FAST, station_event, station_state, tunnel_flags::XDP_TARGET,
    },
    packet::{DONT_FRAGMENT, ETHERNET_LENGTH, IPV4_LENGTH, ether_type, protocol},
};

use crate::{
    bytes::{Bytes, BytesMut, address},
    hook::{Hook, Layers},
    icmp_error,
    ipv4::{Ipv4, is_group, is_link_local, is_no_host},
    maps, outer, punt, radio,
    sightings::{self, Again},
    surgery::Carried,
    tc::Tc,
    verdict::Verdict,
    xdp::Xdp,
};

const HEADERS: usize = ETHERNET_LENGTH + IPV4_LENGTH;
const ECHO_REQUEST: u8 = 8;
/// Source port 68, destination port 67.
const CLIENT_TO_SERVER: u32 = u32::from_ne_bytes([0, 68, 0, 67]);

/// A packet of a visitor that is registered or about to be. TC, which does everything. What the agent wants to see goes to it,
/// unless it has given it back.
#[inline(always)]
pub fn decide(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, station: &Station, reinjected: bool) -> Verdict {
    let Some(headers) = hook.frame().take::<HEADERS>() else { return Verdict::drop(Counter::DroppedShort) };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if !packet.is_version_4() {
        return Verdict::drop(Counter::DroppedShort);
    }
    if packet.source() != address(&station.home_address) {
        return not_its_own(hook, ethernet, packet, reinjected);
    }
    if !reinjected && concerns_agent(hook, packet) {
        return punt::to_agent();
    }
    let wrapped = station.agent_address != [0; 4];
    if headers.byte::<0>() & 1 != 0 && (!wrapped || station.state == station_state::HOLD) {
        return Verdict::drop(Counter::DroppedBroadcast);
    }
    if station.state == station_state::HOLD {
        return punt::to_agent();
    }
    if wrapped {
        return wrap(hook, packet, station);
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
        || concerns_agent(hook, packet)
    {
        return Verdict::pass(Counter::PassedLocal);
    }
    if interface.flags & FAST == 0 {
        return Verdict::pass(Counter::SlowFastPathOff);
    }
    if station.flags & XDP_TARGET == 0 {
        return Verdict::pass(Counter::SlowNotXdpTarget);
    }
    if station.agent_address != [0; 4] {
        return Verdict::pass(Counter::SlowWrapped);
    }
    sightings::touch(station, mac, hook.ifindex());
    forward(headers, station)
}

#[inline(always)]
fn forward(headers: BytesMut<HEADERS>, station: &Station) -> Verdict {
    headers.set_mac::<0>(Bytes::of(&station.agent_mac));
    Verdict::transmit(Counter::StationForwarded, station.uplink_ifindex)
}

/// Encapsulating delivery (RFC 3024 §5.2): whatever the visitor sends goes to the foreign agent in IP-in-IP, and from there
/// into the reverse tunnel. What is too large is answered, or cut into fragments by the agent.
#[inline(always)]
fn wrap(hook: Tc, packet: Ipv4<'_>, station: &Station) -> Verdict {
    if !packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32)) {
        return Verdict::drop(Counter::DroppedShort);
    }
    let (home_address, agent) = (address(&station.home_address), address(&station.agent_address));
    let carried = Carried::plain(packet);
    let mtu = maps::interface(station.uplink_ifindex).map_or(0, |uplink| uplink.mtu);
    let room = mtu.saturating_sub(IPV4_LENGTH as u32);
    if mtu != 0 && hook.largest_packet(carried) > room {
        return if packet.fragment_word() & DONT_FRAGMENT == 0 {
            punt::to_agent()
        } else if is_group(packet.destination()) {
            Verdict::drop(Counter::DroppedTooBig)
        } else {
            icmp_error::answer(hook, carried, agent, icmp_error::Error::too_big(room as u16))
        };
    }
    let fields = outer::fields(packet, IPV4_LENGTH);
    let Some(ethernet) = hook.frame().take::<ETHERNET_LENGTH>() else { return Verdict::drop(Counter::DroppedError) };
    let sender = ethernet.mac::<6>();
    if !hook.resize(0, IPV4_LENGTH, Layers::Ip) {
        return Verdict::drop(Counter::DroppedError);
    }
    let Some(headers) = hook.frame().take::<HEADERS>() else { return Verdict::drop(Counter::DroppedError) };
    headers.set_mac::<0>(Bytes::of(&station.agent_mac));
    headers.set_mac::<6>(Bytes::of(&sender.octets));
    headers.set_half::<12>(ether_type::IPV4);
    outer::write_between(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), home_address, agent, fields);
    Verdict::transmit(Counter::StationWrapped, station.uplink_ifindex)
}

/// A visitor's MAC, but another source address than the registered one.
#[inline(always)]
fn not_its_own(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, packet: Ipv4<'_>, reinjected: bool) -> Verdict {
    let source = packet.source();
    if source == 0 {
        return if !is_dhcp_request(hook, packet) {
            Verdict::drop(Counter::DroppedSpoofed)
        } else if reinjected {
            // It looks for an address of this subnet.
            radio::bridge(ethernet)
        } else {
            punt::to_agent()
        };
    }
    if maps::is_in_own_subnet(source) {
        sightings::report(ethernet.mac::<6>(), source, hook.ifindex(), station_event::LOCAL, Again::Never);
        return radio::bridge(ethernet);
    }
    if !is_no_host(source) && !is_link_local(source) {
        // At most once a second, however many addresses it tries.
        sightings::report(ethernet.mac::<6>(), source, hook.ifindex(), station_event::VISITOR, Again::OnceASecond);
    }
    Verdict::drop(Counter::DroppedSpoofed)
}

/// Whether the agent decides about a visitor's packet: DHCP, and the echo request with TTL 1 by which a client makes sure that
/// its gateway is still one hop away.
#[inline(always)]
fn concerns_agent(hook: impl Hook, packet: Ipv4<'_>) -> bool {
    match packet.protocol() {
        protocol::UDP => is_dhcp_request(hook, packet),
        protocol::ICMP => {
            packet.ttl() == 1
                && packet.is_plain()
                && !packet.is_fragment()
                && hook.frame().take_at::<4>(HEADERS).is_some_and(|icmp| icmp.byte::<0>() == ECHO_REQUEST)
        }
        _ => false,
    }
}

/// Whether a packet goes from a DHCP client to a server (RFC 2131 §4.1).
#[inline(always)]
pub fn is_dhcp_request(hook: impl Hook, packet: Ipv4<'_>) -> bool {
    packet.is_plain()
        && packet.protocol() == protocol::UDP
        && !packet.is_fragment()
        && hook.frame().take_at::<4>(HEADERS).is_some_and(|udp| udp.word::<0>() == CLIENT_TO_SERVER)
}
