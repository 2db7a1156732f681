//! Access point: what arrives by the wire. Registration replies go to the agent, never to the client; a station that
//! speaks from there has moved to another access point.

use mipd_common::{
    maps::{Counter, Interface, station_event, station_state},
    packet::{ARP_LENGTH, ETHERNET_LENGTH, IPV4_LENGTH, ether_type, protocol, udp},
};

use crate::{
    arp::Arp,
    bytes::BytesMut,
    hook::{Hook, Layers},
    ipv4::{Ipv4, is_no_host},
    maps, punt,
    sightings::{self, Again},
    tc::Tc,
    verdict::Verdict,
    wrap::TUNNELLED,
};

const UDP_LENGTH: usize = 8;
/// Up to the end of the client's address in a DHCP message, with the UDP header before it (RFC 2131 §2).
const DHCP_TO_CHADDR: usize = UDP_LENGTH + 28 + 6;
const DHCP_SERVER_PORT: u16 = 67_u16.to_be();
const BOOT_REPLY: u8 = 2;

/// Decides about one frame.
#[inline(always)]
pub fn decide(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(ethernet) = hook.frame().take::<ETHERNET_LENGTH>() else { return Verdict::pass(Counter::PassedOther) };
    if hook.is_tagged() {
        return Verdict::pass(Counter::PassedOther);
    }
    let source = ethernet.mac::<6>();
    if let Some(station) = maps::station(&source) {
        let address = crate::bytes::address(&station.home_address);
        sightings::report(source, address, hook.ifindex(), station_event::MOVED, Again::AfterOneSecond);
        return Verdict::pass(Counter::PassedOther);
    }
    match ethernet.half::<12>() {
        ether_type::IPV4 if is_registration_reply(hook, ethernet) || is_relayed_answer(hook) => punt::to_agent(),
        ether_type::IPV4 if is_wrapped_broadcast(hook, ethernet) => unwrap_broadcast(hook),
        ether_type::ARP => announcement(hook),
        _ => Verdict::pass(Counter::PassedOther),
    }
}

/// Whether this is a broadcast that a visitor's home agent has wrapped for it (RFC 5944 §4.3).
#[inline(always)]
fn is_wrapped_broadcast(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>) -> bool {
    let Some(station) = maps::station(&ethernet.mac::<0>()) else { return false };
    let home_agent = crate::bytes::address(&station.broadcasts_from);
    let Some(headers) = hook.frame().take::<TUNNELLED>() else { return false };
    let wrapper = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    let inner = Ipv4(headers.part::<{ ETHERNET_LENGTH + IPV4_LENGTH }, IPV4_LENGTH>());
    let payload = (wrapper.total_length() as u32).wrapping_sub(IPV4_LENGTH as u32);
    home_agent != 0
        && wrapper.source() == home_agent
        && wrapper.destination() == crate::bytes::address(&station.home_address)
        && wrapper.protocol() == protocol::IP_IN_IP
        && wrapper.is_plain()
        && !wrapper.is_fragment()
        && wrapper.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32))
        && inner.is_version_4()
        && inner.lengths_fit(payload)
}

/// The client gets what is inside, still by its own MAC: nobody else is meant.
#[inline(always)]
fn unwrap_broadcast(hook: Tc) -> Verdict {
    if hook.resize(IPV4_LENGTH, 0, Layers::Ip) {
        Verdict::pass(Counter::BroadcastUnwrapped)
    } else {
        Verdict::drop(Counter::DroppedError)
    }
}

/// Whether this answers a request that the agent has sent in a station's name.
#[inline(always)]
fn is_registration_reply(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>) -> bool {
    let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else { return false };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if packet.protocol() != protocol::UDP || !packet.is_version_4() || packet.is_fragment() {
        return false;
    }
    let Some(ports) = hook.frame().take_at::<4>(ETHERNET_LENGTH + packet.header_length() as usize) else {
        return false;
    };
    let Some(settings) = maps::access_point() else { return false };
    ports.half::<0>() == udp::MOBILE_IP_PORT
        && ports.half::<2>() == u16::from_ne_bytes(settings.registration_port)
        && maps::station(&ethernet.mac::<0>()).is_some()
}

/// Whether a DHCP server answers what the agent has relayed for a visitor: to the relay agent's port, about a client that is
/// a visitor here (RFC 2131 §4.1). Nobody else on this box relays for it, whatever DHCP server or relay there is.
#[inline(always)]
fn is_relayed_answer(hook: Tc) -> bool {
    let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else { return false };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if packet.protocol() != protocol::UDP || !packet.is_plain() || packet.is_fragment() {
        return false;
    }
    let Some(message) = hook.frame().take_at::<DHCP_TO_CHADDR>(ETHERNET_LENGTH + IPV4_LENGTH) else { return false };
    message.half::<2>() == DHCP_SERVER_PORT
        && message.byte::<UDP_LENGTH>() == BOOT_REPLY
        && maps::station(&message.mac::<{ DHCP_TO_CHADDR - 6 }>())
            .is_some_and(|station| station.state != station_state::LOCAL)
}

/// An address is announced (RFC 5227 §3): its home agent has taken it over, or its owner is home.
#[inline(always)]
fn announcement(hook: Tc) -> Verdict {
    if let Some(frame) = hook.frame().take::<{ ETHERNET_LENGTH + ARP_LENGTH }>()
        && let Some(arp) = Arp::of(frame)
        && arp.sender() == arp.target()
        && !is_no_host(arp.sender())
    {
        let mac = frame.mac::<22>();
        sightings::report(mac, arp.sender(), hook.ifindex(), station_event::ANNOUNCED, Again::AfterOneSecond);
    }
    Verdict::pass(Counter::PassedOther)
}
