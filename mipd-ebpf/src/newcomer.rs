//! Access point: stations that the agent does not know. Local ones are bridged; those with a foreign address are reported
//! and their packets go to the agent, which holds them.

use mipd_common::{
    maps::{Counter, Mac, station_event},
    packet::{ARP_LENGTH, ETHERNET_LENGTH, IPV4_LENGTH, ether_type},
};

use crate::{
    arp::Arp,
    bytes::BytesMut,
    hook::Hook,
    ipv4::{Ipv4, is_link_local, is_no_host},
    maps, punt, radio,
    sightings::{self, Again},
    station_ipv4::is_dhcp_request,
    tc::Tc,
    verdict::Verdict,
};

/// A frame of a station that is not in the table.
#[inline(always)]
pub fn decide(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, mac: Mac, ether_type: u16) -> Verdict {
    match ether_type {
        ether_type::IPV4 => ipv4(hook, ethernet, mac),
        ether_type::ARP => arp(hook, ethernet, mac),
        _ => Verdict::pass(Counter::PassedOther),
    }
}

#[inline(always)]
fn ipv4(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, mac: Mac) -> Verdict {
    let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
        return Verdict::pass(Counter::PassedOther);
    };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if !packet.is_version_4() {
        return Verdict::pass(Counter::PassedOther);
    }
    let source = packet.source();
    if source == 0 && is_dhcp_request(hook, packet) {
        sightings::remember(mac, hook.ifindex());
        return punt::to_agent();
    }
    if is_no_host(source) || is_link_local(source) {
        return radio::bridge(ethernet);
    }
    if maps::is_in_own_subnet(source) {
        return local(hook, ethernet, mac, source);
    }
    sightings::report(mac, source, hook.ifindex(), station_event::VISITOR, Again::AfterOneSecond);
    if ethernet.byte::<0>() & 1 != 0 && !is_dhcp_request(hook, packet) {
        return Verdict::drop(Counter::DroppedBroadcast);
    }
    punt::to_agent()
}

#[inline(always)]
fn arp(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, mac: Mac) -> Verdict {
    let arp = hook.frame().take::<{ ETHERNET_LENGTH + ARP_LENGTH }>().and_then(Arp::of);
    let Some(arp) = arp else { return Verdict::pass(Counter::PassedOther) };
    let sender = arp.sender();
    if sender == 0 {
        // A probe (RFC 5227): of this subnet, or of the address that a visitor brings along.
        let target = arp.target();
        if maps::is_in_own_subnet(target) || is_link_local(target) {
            return Verdict::pass(Counter::PassedLocal);
        }
        sightings::remember(mac, hook.ifindex());
        return punt::to_agent();
    }
    if is_no_host(sender) || is_link_local(sender) {
        return radio::bridge(ethernet);
    }
    if maps::is_in_own_subnet(sender) {
        return local(hook, ethernet, mac, sender);
    }
    sightings::report(mac, sender, hook.ifindex(), station_event::VISITOR, Again::AfterOneSecond);
    punt::to_agent()
}

#[inline(always)]
fn local(hook: Tc, ethernet: BytesMut<ETHERNET_LENGTH>, mac: Mac, address: u32) -> Verdict {
    sightings::report(mac, address, hook.ifindex(), station_event::LOCAL, Again::Never);
    radio::bridge(ethernet)
}
