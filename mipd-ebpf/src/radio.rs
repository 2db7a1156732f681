//! Access point: what a frame from a station is.

use mipd_common::{
    mac::MacAddress,
    maps::{
        Counter, Interface, REINJECT_MARK, Station, access_point_flags::DROP_VISITOR_IPV6, station_flags, station_state,
    },
    packet::{ETHERNET_LENGTH, ether_type},
};

use crate::{
    bytes::{Bytes, BytesMut},
    hook::Hook,
    maps, newcomer, sightings, station_arp, station_ipv4,
    tc::Tc,
    verdict::Verdict,
};

/// Decides about one frame.
#[inline(always)]
pub fn decide(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(ethernet) = hook.frame().take::<ETHERNET_LENGTH>() else { return Verdict::pass(Counter::PassedOther) };
    if hook.is_tagged() {
        return Verdict::pass(Counter::PassedOther);
    }
    let ether_type = ethernet.half::<12>();
    if matches!(ether_type, ether_type::EAPOL | ether_type::PRE_AUTHENTICATION | ether_type::FAST_TRANSITION) {
        return Verdict::pass(Counter::PassedLinkLayer);
    }
    let mac = ethernet.mac::<6>();
    let reinjected = hook.firewall_mark() == REINJECT_MARK;
    if reinjected {
        hook.mark(0);
    }
    let station = maps::station(&mac);
    match station {
        Some(station) => {
            if !reinjected {
                sightings::touch(station, mac, hook.ifindex());
            }
            if station.state != station_state::LOCAL {
                return visitor(hook, ethernet, station, ether_type, reinjected);
            }
            if reinjected || station.flags & station_flags::AWAITED == 0 {
                return bridge(ethernet);
            }
        }
        None if reinjected => return bridge(ethernet),
        None => {}
    }
    newcomer::decide(hook, ethernet, mac, ether_type)
}

#[inline(always)]
fn visitor(
    hook: Tc,
    ethernet: BytesMut<ETHERNET_LENGTH>,
    station: &Station,
    ether_type: u16,
    reinjected: bool,
) -> Verdict {
    match ether_type {
        ether_type::IPV4 => station_ipv4::decide(hook, ethernet, station, reinjected),
        ether_type::ARP => station_arp::decide(hook, ethernet, station),
        ether_type::IPV6 => {
            if maps::access_point().is_some_and(|settings| settings.flags & DROP_VISITOR_IPV6 != 0) {
                Verdict::drop(Counter::DroppedIpv6)
            } else {
                Verdict::pass(Counter::PassedIpv6)
            }
        }
        _ => Verdict::pass(Counter::PassedOther),
    }
}

/// A frame of the subnet's own: bridged untouched, except that the virtual MAC stands for the subnet's gateway. A client
/// that has come home with an old ARP cache still uses it.
#[inline(always)]
pub fn bridge(ethernet: BytesMut<ETHERNET_LENGTH>) -> Verdict {
    if !ethernet.mac_is::<0>(&MacAddress::VIRTUAL_GATEWAY.0) {
        return Verdict::pass(Counter::PassedLocal);
    }
    match maps::access_point() {
        Some(settings) if settings.gateway_mac != [0; 6] => {
            ethernet.set_mac::<0>(Bytes::of(&settings.gateway_mac));
            Verdict::pass(Counter::GatewayRewritten)
        }
        _ => Verdict::pass(Counter::PassedLocal),
    }
}
