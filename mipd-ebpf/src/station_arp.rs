//! Access point: ARP of visitors. Their requests are answered here, so that to the client every host is one hop away, and
//! never reach the visited network (RFC 5944 §4.6).

use mipd_common::{
    mac::MacAddress,
    maps::{Counter, Station, station_event},
    packet::{ARP_LENGTH, ETHERNET_LENGTH},
};

use crate::{
    arp::Arp,
    bytes::{Bytes, BytesMut, address},
    hook::Hook,
    ipv4::{is_link_local, is_no_host},
    maps, radio,
    sightings::{self, Again},
    tc::Tc,
    verdict::Verdict,
};

/// An ARP frame of a visitor that is registered or about to be.
#[inline(always)]
pub fn decide(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, station: &Station) -> Verdict {
    let arp = hook.frame().take::<{ ETHERNET_LENGTH + ARP_LENGTH }>().and_then(Arp::of);
    let Some(arp) = arp else { return Verdict::drop(Counter::DroppedArp) };
    let (sender, target) = (arp.sender(), arp.target());
    if !arp.sender_is_source() {
        return Verdict::drop(Counter::DroppedSpoofed);
    }
    if sender != 0 && sender != address(&station.home_address) && maps::is_in_own_subnet(sender) {
        sightings::report(ethernet.mac::<6>(), sender, hook.ifindex(), station_event::LOCAL, Again::Never);
        return radio::bridge(ethernet);
    }
    if sender != 0 && sender != address(&station.home_address) {
        if !is_no_host(sender) && !is_link_local(sender) {
            // At most once a second, however many addresses it tries.
            sightings::report(ethernet.mac::<6>(), sender, hook.ifindex(), station_event::VISITOR, Again::OnceASecond);
        }
        return Verdict::drop(Counter::DroppedSpoofed);
    }
    if !arp.is_request() {
        return reply(hook, ethernet, station);
    }
    if sender == 0 && maps::is_in_own_subnet(target) {
        // It tries an address of this subnet.
        return Verdict::pass(Counter::PassedLocal);
    }
    // Announcements and probes (RFC 5227): an answer would be a conflict.
    if sender == target || sender == 0 {
        return Verdict::drop(Counter::DroppedArp);
    }
    if ethernet.byte::<0>() & 1 != 0 {
        arp.answer(Bytes::of(&MacAddress::VIRTUAL_GATEWAY.0));
    } else {
        // It makes sure of a neighbour that it knows: that one is still there, as far as it need know.
        arp.answer(ethernet.part::<0, 6>());
    }
    Verdict::transmit(Counter::ArpAnswered, hook.ifindex())
}

/// The foreign agent may ask where the visitor is, and so may we; nobody else.
#[inline(always)]
fn reply(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, station: &Station) -> Verdict {
    if ethernet.mac_is::<0>(&station.agent_mac) {
        return Verdict::pass(Counter::PassedLocal);
    }
    if ethernet.mac_is::<0>(&MacAddress::VIRTUAL_GATEWAY.0) {
        sightings::send(ethernet.mac::<6>(), station.home_address, hook.ifindex(), station_event::ATTACHED);
    }
    Verdict::drop(Counter::DroppedArp)
}
