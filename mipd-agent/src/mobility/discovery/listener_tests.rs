//! The listener on a simulated clock.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    mobility::{
        discovery::{Advertiser, AdvertiserConfig, advertiser::Action},
        link::InterfaceIndex,
    },
    wire::{
        advertisement::{ALL_SYSTEMS, AgentFlags},
        types::{CareOfAddress, Lifetime},
    },
};

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);

fn at(milliseconds: u64) -> Instant {
    Instant(Duration::from_millis(milliseconds))
}

fn mac(agent: Ipv4Addr) -> MacAddress {
    let [_, b, c, d] = agent.octets();
    MacAddress([2, 0, 0, b, c, d])
}

fn advertisement(agent: Ipv4Addr, sequence: u16) -> AgentAdvertisement {
    AgentAdvertisement {
        code: 16,
        lifetime: 9,
        routers: vec![(agent, 0)],
        sequence,
        registration_lifetime: Lifetime(36000),
        flags: AgentFlags { foreign_agent: true, home_agent: true, ..AgentFlags::default() },
        care_of_addresses: vec![CareOfAddress(agent)],
        prefix_lengths: vec![24],
        challenge: None,
    }
}

fn packet(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> IcmpPacket<'_> {
    IcmpPacket { source, destination, ttl: TTL, message }
}

fn hear(listener: &mut Listener, now: Instant, agent: Ipv4Addr, heard: &AgentAdvertisement) -> Vec<ListenerAction> {
    hear_to(listener, now, agent, ALL_SYSTEMS, heard)
}

fn hear_to(
    listener: &mut Listener,
    now: Instant,
    agent: Ipv4Addr,
    destination: Ipv4Addr,
    heard: &AgentAdvertisement,
) -> Vec<ListenerAction> {
    let mut out = Vec::new();
    listener.handle_advertisement(now, mac(agent), &packet(agent, destination, &heard.emit()), &mut out);
    out
}

fn timeout(listener: &mut Listener, now: Instant) -> Vec<ListenerAction> {
    let mut out = Vec::new();
    listener.handle_timeout(now, &mut out);
    out
}

fn current(listener: &Listener) -> Option<Ipv4Addr> {
    listener.foreign_agent().map(|agent| agent.address)
}

#[test]
fn an_advertisement_makes_an_agent_and_ends_the_soliciting() {
    let mut listener = Listener::new(OWN, 1);
    assert!(listener.poll_timeout() <= Some(at(1000)), "solicits at the start");
    assert_eq!(hear(&mut listener, at(10), FIRST, &advertisement(FIRST, 7)), [ListenerAction::AgentFound(FIRST)]);
    let agent = listener.foreign_agent().unwrap();
    assert_eq!((agent.address, agent.mac, agent.expires), (FIRST, mac(FIRST), at(9010)));
    assert_eq!(agent.advertisement, advertisement(FIRST, 7));
    assert_eq!(listener.poll_timeout(), Some(at(4510)), "half of the lifetime");
    assert_eq!(listener.counters().advertisements_received, 1);
}

#[test]
fn an_unchanged_advertisement_only_prolongs() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    let newer = AgentAdvertisement { challenge: Some(vec![1; 8]), ..advertisement(FIRST, 8) };
    assert_eq!(hear(&mut listener, at(3000), FIRST, &newer), []);
    assert_eq!(listener.agents()[0].expires, at(12_000));
}

#[test]
fn a_changed_offer_is_reported() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    let changed = AgentAdvertisement { registration_lifetime: Lifetime(60), ..advertisement(FIRST, 8) };
    assert_eq!(hear(&mut listener, at(1), FIRST, &changed), [ListenerAction::AgentChanged(FIRST)]);
    assert_eq!(listener.foreign_agent().unwrap().advertisement, changed);
}

#[test]
fn a_drop_into_0_to_255_is_a_reboot_and_a_roll_over_is_none() {
    for (before, after, is_reboot) in [
        (7, 0, true),
        (300, 255, true),
        (0xffff, 0, true),
        (0xffff, 256, false),
        (0xfffe, 257, false),
        (7, 8, false),
        (7, 7, false),
        (0, 255, false),
        (255, 256, false),
    ] {
        let mut listener = Listener::new(OWN, 1);
        hear(&mut listener, at(0), FIRST, &advertisement(FIRST, before));
        let said = hear(&mut listener, at(1), FIRST, &advertisement(FIRST, after));
        let expected: &[ListenerAction] = if is_reboot { &[ListenerAction::AgentRebooted(FIRST)] } else { &[] };
        assert_eq!(said, expected, "{before} then {after}");
        assert_eq!(listener.counters().agent_reboots_detected, u64::from(is_reboot));
        assert_eq!(listener.agents()[0].reboots, u64::from(is_reboot));
    }
}

#[test]
fn a_silent_agent_is_lost_and_solicited_for_again() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    assert_eq!(timeout(&mut listener, at(8999)), []);
    assert_eq!(timeout(&mut listener, at(9000)), [ListenerAction::AgentLost(FIRST)]);
    assert_eq!(listener.foreign_agent(), None);
    let next = listener.poll_timeout().unwrap();
    assert!(next <= at(10_000));
    let expected = ListenerAction::Solicit { icmp: AgentSolicitation.emit(), destination: ALL_ROUTERS };
    assert_eq!(timeout(&mut listener, next), [expected]);
    assert_eq!(listener.counters().solicitations_sent, 1);
}

#[test]
fn with_another_agent_left_nothing_is_solicited() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    hear(&mut listener, at(5000), SECOND, &advertisement(SECOND, 7));
    assert_eq!(timeout(&mut listener, at(9000)), [ListenerAction::AgentLost(FIRST)]);
    assert_eq!(current(&listener), Some(SECOND));
    assert_eq!(listener.poll_timeout(), Some(at(9500)), "when half of the second one's lifetime is over");
}

#[test]
fn lifetime_zero_ends_an_agent_at_once_and_never_makes_one() {
    let mut listener = Listener::new(OWN, 1);
    let farewell = AgentAdvertisement { lifetime: 0, ..advertisement(FIRST, 8) };
    assert_eq!(hear(&mut listener, at(0), FIRST, &farewell), []);
    hear(&mut listener, at(1), FIRST, &advertisement(FIRST, 7));
    assert_eq!(hear(&mut listener, at(2), FIRST, &farewell), [ListenerAction::AgentLost(FIRST)]);
    assert!(listener.agents().is_empty());
    assert!(listener.poll_timeout().is_some(), "solicits again");
}

#[test]
fn the_current_foreign_agent_is_kept_while_it_lives() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    hear(&mut listener, at(1000), SECOND, &advertisement(SECOND, 7));
    assert_eq!(current(&listener), Some(FIRST));
}

#[test]
fn a_busy_agent_or_one_without_care_of_address_is_not_chosen() {
    let mut listener = Listener::new(OWN, 1);
    let flags = AgentFlags { busy: true, ..advertisement(FIRST, 7).flags };
    let busy = AgentAdvertisement { flags, ..advertisement(FIRST, 7) };
    hear(&mut listener, at(0), FIRST, &busy);
    hear(&mut listener, at(0), SECOND, &AgentAdvertisement { care_of_addresses: vec![], ..advertisement(SECOND, 7) });
    assert_eq!(current(&listener), None);
    hear(&mut listener, at(1), SECOND, &advertisement(SECOND, 8));
    assert_eq!(current(&listener), Some(SECOND));
    hear(&mut listener, at(2), FIRST, &advertisement(FIRST, 8));
    assert_eq!(current(&listener), Some(SECOND));
    let flags = AgentFlags { busy: true, ..advertisement(SECOND, 9).flags };
    hear(&mut listener, at(3), SECOND, &AgentAdvertisement { flags, ..advertisement(SECOND, 9) });
    assert_eq!(current(&listener), Some(FIRST));
}

#[test]
fn home_agents_are_found_by_source_or_router_address() {
    let mut listener = Listener::new(OWN, 1);
    let both = AgentAdvertisement { routers: vec![(SECOND, 0)], ..advertisement(FIRST, 7) };
    hear(&mut listener, at(0), FIRST, &both);
    assert_eq!(listener.home_agent(FIRST).unwrap().mac, mac(FIRST));
    assert_eq!(listener.home_agent(SECOND).unwrap().mac, mac(FIRST));
    assert_eq!(listener.home_agent(Ipv4Addr::new(10, 9, 9, 9)), None);
    let flags = AgentFlags { home_agent: false, ..both.flags };
    hear(&mut listener, at(1), FIRST, &AgentAdvertisement { flags, ..both });
    assert_eq!(listener.home_agent(FIRST), None);
}

#[test]
fn advertisements_from_beyond_the_link_or_from_an_impostor_are_dropped() {
    let mut listener = Listener::new(OWN, 1);
    let mut out = Vec::new();
    let icmp = advertisement(FIRST, 7).emit();
    for ttl in [0, 2, 64, 255] {
        let packet = IcmpPacket { ttl, ..packet(FIRST, ALL_SYSTEMS, &icmp) };
        listener.handle_advertisement(at(0), mac(FIRST), &packet, &mut out);
    }
    assert_eq!(listener.counters().advertisements_dropped_ttl, 4);
    listener.handle_advertisement(at(0), mac(FIRST), &packet(Ipv4Addr::UNSPECIFIED, ALL_SYSTEMS, &icmp), &mut out);
    listener.handle_advertisement(at(0), MacAddress::BROADCAST, &packet(FIRST, ALL_SYSTEMS, &icmp), &mut out);
    assert_eq!(out, []);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    let rebooted = advertisement(FIRST, 0).emit();
    listener.handle_advertisement(at(1), mac(SECOND), &packet(FIRST, ALL_SYSTEMS, &rebooted), &mut out);
    assert_eq!(out, []);
    assert_eq!(listener.counters().advertisements_dropped_source, 3);
    assert_eq!(listener.foreign_agent().unwrap().mac, mac(FIRST));
    listener.handle_advertisement(at(9000), mac(SECOND), &packet(FIRST, ALL_SYSTEMS, &rebooted), &mut out);
    assert_eq!(listener.foreign_agent().unwrap().mac, mac(SECOND), "an expired agent may come back elsewhere");
}

#[test]
fn invalid_advertisements_are_counted_by_reason() {
    let mut listener = Listener::new(OWN, 1);
    let mut out = Vec::new();
    let mut hear_raw = |icmp: &[u8]| {
        listener.handle_advertisement(at(0), mac(FIRST), &packet(FIRST, ALL_SYSTEMS, icmp), &mut out);
        listener.counters().clone()
    };
    let good = advertisement(FIRST, 7).emit();
    let mut flipped = good.clone();
    flipped[9] ^= 1;
    assert_eq!(hear_raw(&flipped).advertisements_dropped_malformed, 1);
    let mut unknown = good.clone();
    unknown[16] = 17;
    let unknown = resealed(unknown);
    assert_eq!(hear_raw(&unknown).advertisements_ignored_unknown_extension, 1);
    let mut overlong = good;
    overlong[17] = 200;
    assert_eq!(hear_raw(&resealed(overlong)).advertisements_dropped_invalid_extension, 1);
    let plain = resealed(vec![9, 0, 0, 0, 0, 2, 0, 9]);
    assert_eq!(hear_raw(&plain).router_advertisements_ignored, 1);
    assert_eq!(out, []);
}

/// Makes the ICMP checksum right again.
fn resealed(mut icmp: Vec<u8>) -> Vec<u8> {
    icmp[2..4].fill(0);
    let sum = icmp.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    icmp[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    icmp
}

#[test]
fn the_number_of_agents_is_bounded() {
    let mut listener = Listener::new(OWN, 1);
    for host in 0..40 {
        let agent = Ipv4Addr::new(10, 2, 1, host);
        hear(&mut listener, at(0), agent, &advertisement(agent, 0));
    }
    assert_eq!(listener.agents().len(), MAXIMUM_AGENTS);
    assert_eq!(listener.counters().advertisements_dropped_too_many_agents, 8);
}

#[test]
fn a_waiting_client_makes_it_ask_at_once() {
    let mut listener = Listener::new(OWN, 1);
    let flags = AgentFlags { foreign_agent: false, ..advertisement(FIRST, 7).flags };
    hear(&mut listener, at(0), FIRST, &AgentAdvertisement { flags, ..advertisement(FIRST, 7) });
    listener.solicit(at(2000));
    assert!(matches!(timeout(&mut listener, at(2000))[..], [ListenerAction::Solicit { .. }]));
}

#[test]
fn the_only_agent_is_kept_when_it_becomes_busy() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    let flags = AgentFlags { busy: true, ..advertisement(FIRST, 8).flags };
    hear(&mut listener, at(1), FIRST, &AgentAdvertisement { flags, ..advertisement(FIRST, 8) });
    assert_eq!(current(&listener), Some(FIRST), "it goes on serving those it has");
    let flags = AgentFlags { foreign_agent: false, ..flags };
    hear(&mut listener, at(2), FIRST, &AgentAdvertisement { flags, ..advertisement(FIRST, 9) });
    assert_eq!(current(&listener), None);
}

#[test]
fn an_agent_that_comes_back_with_a_low_number_has_rebooted() {
    for (farewell, after, rebooted) in [(true, 0, true), (false, 3, true), (false, 9, false), (true, 300, false)] {
        let mut listener = Listener::new(OWN, 1);
        hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
        if farewell {
            hear(&mut listener, at(10), FIRST, &AgentAdvertisement { lifetime: 0, ..advertisement(FIRST, 8) });
        } else {
            timeout(&mut listener, at(9000));
        }
        assert!(listener.agents().is_empty());
        let said = hear(&mut listener, at(10_000), FIRST, &advertisement(FIRST, after));
        let mut expected = vec![ListenerAction::AgentFound(FIRST)];
        expected.extend(rebooted.then_some(ListenerAction::AgentRebooted(FIRST)));
        assert_eq!(said, expected, "{after}");
        assert_eq!(listener.agents()[0].reboots, u64::from(rebooted));
        assert_eq!(listener.counters().agent_reboots_detected, u64::from(rebooted));
    }
}

#[test]
fn the_memory_of_former_agents_is_bounded() {
    let mut listener = Listener::new(OWN, 1);
    for number in 0..1000u16 {
        let agent = Ipv4Addr::new(10, 2, (number >> 8) as u8, number as u8);
        hear(&mut listener, at(0), agent, &advertisement(agent, 7));
        hear(&mut listener, at(0), agent, &AgentAdvertisement { lifetime: 0, ..advertisement(agent, 8) });
    }
    let first = Ipv4Addr::new(10, 2, 0, 0);
    assert_eq!(hear(&mut listener, at(1), first, &advertisement(first, 0)), [ListenerAction::AgentFound(first)]);
}

#[test]
fn a_revocation_told_to_a_node_is_reported_and_leaves_the_sequence_alone() {
    for busy in [false, true] {
        let mut listener = Listener::new(OWN, 1);
        hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 700));
        let flags = AgentFlags { busy, ..advertisement(FIRST, 0).flags };
        let inform = AgentAdvertisement { flags, ..advertisement(FIRST, 0) };
        let said = hear_to(&mut listener, at(1), FIRST, CLIENT, &inform);
        assert_eq!(said, [ListenerAction::RegistrationRevoked { agent: FIRST, home_address: CLIENT, busy }]);
        assert_eq!(listener.agents()[0].advertisement, advertisement(FIRST, 700));
        assert_eq!(hear(&mut listener, at(2), FIRST, &advertisement(FIRST, 701)), []);
        assert_eq!(listener.counters().agent_reboots_detected, 0);
    }
}

#[test]
fn what_is_said_to_another_node_neither_makes_nor_renews_nor_ends_an_agent() {
    let mut listener = Listener::new(OWN, 1);
    assert_eq!(hear_to(&mut listener, at(0), FIRST, CLIENT, &advertisement(FIRST, 0)), []);
    assert_eq!(hear_to(&mut listener, at(0), FIRST, CLIENT, &advertisement(FIRST, 9)), []);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    assert_eq!(hear_to(&mut listener, at(5000), FIRST, CLIENT, &advertisement(FIRST, 9)), []);
    let farewell = AgentAdvertisement { lifetime: 0, ..advertisement(FIRST, 9) };
    assert_eq!(hear_to(&mut listener, at(5000), FIRST, CLIENT, &farewell), []);
    assert_eq!(listener.agents()[0].expires, at(9000));
    assert_eq!(listener.counters().advertisements_for_others, 4);
}

#[test]
fn an_answer_to_our_own_solicitation_counts_like_a_multicast() {
    let mut listener = Listener::new(OWN, 1);
    let said = hear_to(&mut listener, at(0), FIRST, OWN, &advertisement(FIRST, 7));
    assert_eq!(said, [ListenerAction::AgentFound(FIRST)]);
    let said = hear_to(&mut listener, at(1), FIRST, OWN, &advertisement(FIRST, 0));
    assert_eq!(said, [ListenerAction::AgentRebooted(FIRST)]);
}

#[test]
fn an_agent_that_speaks_only_when_asked_is_asked_before_its_lifetime_is_over() {
    let config = AdvertiserConfig {
        foreign_agent: true,
        care_of_addresses: vec![CareOfAddress(FIRST)],
        only_when_solicited: true,
        interval: Duration::from_secs(10),
        ..AdvertiserConfig::new(InterfaceIndex(1), FIRST, 24)
    };
    let mut advertiser = Advertiser::new(config, 5);
    let mut listener = Listener::new(OWN, 6);
    let mut said = Vec::new();
    let mut solicitations = 0;
    let mut now = at(0);
    while now < at(600_000) {
        now = listener.poll_timeout().unwrap();
        let asked: Vec<_> = timeout(&mut listener, now);
        for action in asked {
            if !matches!(action, ListenerAction::Solicit { .. }) {
                said.push(action);
                continue;
            }
            solicitations += 1;
            let mut answers = Vec::new();
            advertiser.handle_solicitation(now, OWN, mac(OWN), &mut answers);
            for Action::Send { icmp, source, destination, .. } in answers {
                listener.handle_advertisement(now, mac(FIRST), &packet(source, destination, &icmp), &mut said);
            }
        }
    }
    assert_eq!(said, [ListenerAction::AgentFound(FIRST)], "never lost in ten minutes");
    assert!((38..=41).contains(&solicitations), "once in half a lifetime, not {solicitations} times");
}

/// An agent of another subnet.
fn elsewhere(sequence: u16) -> AgentAdvertisement {
    AgentAdvertisement { routers: vec![(OTHER, 0)], ..advertisement(OTHER, sequence) }
}

const OTHER: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);

#[test]
fn another_prefix_means_a_move_only_if_the_current_agent_has_fallen_silent() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    hear(&mut listener, at(3000), OTHER, &elsewhere(7));
    assert_eq!(current(&listener), Some(FIRST), "routers of two subnets may share a link");
    hear(&mut listener, at(6000), OTHER, &elsewhere(8));
    assert_eq!(current(&listener), Some(OTHER), "before the lifetime of the first is over");
    hear(&mut listener, at(6001), FIRST, &advertisement(FIRST, 8));
    assert_eq!(current(&listener), Some(OTHER), "new agents alone are no reason to change");
}

#[test]
fn the_same_prefix_or_an_unknown_one_is_no_move() {
    for unknown in [true, false] {
        let mut listener = Listener::new(OWN, 1);
        hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
        if unknown {
            hear(&mut listener, at(6000), OTHER, &AgentAdvertisement { prefix_lengths: vec![], ..elsewhere(8) });
        } else {
            hear(&mut listener, at(6000), SECOND, &advertisement(SECOND, 8));
        }
        assert_eq!(current(&listener), Some(FIRST));
    }
}

#[test]
fn a_change_of_the_link_is_followed_as_soon_as_the_new_agent_speaks() {
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    listener.link_changed(at(100));
    let next = listener.poll_timeout().unwrap();
    assert!(next <= at(1100), "it asks who is there");
    assert!(matches!(timeout(&mut listener, next)[..], [ListenerAction::Solicit { .. }]));
    hear(&mut listener, next, OTHER, &elsewhere(0));
    assert_eq!(current(&listener), Some(OTHER));
    let mut listener = Listener::new(OWN, 1);
    hear(&mut listener, at(0), FIRST, &advertisement(FIRST, 7));
    listener.link_changed(at(100));
    hear(&mut listener, at(200), FIRST, &advertisement(FIRST, 8));
    hear(&mut listener, at(201), OTHER, &elsewhere(0));
    assert_eq!(current(&listener), Some(FIRST), "it was the same link after all");
}

proptest! {
    /// Whatever arrives in whatever order, with damage or without: nothing panics, nothing grows, deadlines are kept.
    #[test]
    fn hostile_advertisements_never_break_the_listener(
        seed: u64,
        events in prop::collection::vec((0u64..20_000, 0u8..60, any::<u16>(), 0u16..20, any::<u16>(), 0u8..4), 1..200),
    ) {
        let mut listener = Listener::new(OWN, seed);
        let mut now = at(0);
        let mut solicited: Vec<Instant> = Vec::new();
        for (wait, host, sequence, lifetime, bits, kind) in events {
            let next = now + Duration::from_millis(wait);
            while let Some(due) = listener.poll_timeout().filter(|due| *due <= next) {
                now = now.max(due);
                for action in timeout(&mut listener, now) {
                    if matches!(action, ListenerAction::Solicit { .. }) {
                        solicited.push(now);
                    }
                }
                prop_assert!(listener.poll_timeout().is_none_or(|after| after > now), "a deadline that is never met");
            }
            now = next;
            let agent = Ipv4Addr::new(10, 2, kind, host);
            let flags = AgentFlags::from_bits(bits);
            let heard = AgentAdvertisement { lifetime, flags, ..advertisement(agent, sequence) };
            let destination = [ALL_SYSTEMS, OWN, CLIENT, Ipv4Addr::BROADCAST][usize::from(kind)];
            if kind == 3 && host % 8 == 0 {
                listener.link_changed(now);
            }
            let source_mac = if host % 16 == 0 { mac(FIRST) } else { mac(agent) };
            let mut out = Vec::new();
            listener.handle_advertisement(now, source_mac, &packet(agent, destination, &heard.emit()), &mut out);
            prop_assert!(listener.agents().len() <= MAXIMUM_AGENTS);
        }
        for pair in solicited.windows(2) {
            prop_assert!(pair[1].since(pair[0]) >= Duration::from_secs(1), "more than one a second");
        }
    }


    /// Both sides together: whatever the seeds, an agent is found within a second, kept, and lost when it says good-bye.
    #[test]
    fn a_listener_never_loses_an_agent_that_advertises(agent_seed: u64, listener_seed: u64, seconds in 1u64..10) {
        let config = AdvertiserConfig {
            foreign_agent: true,
            care_of_addresses: vec![CareOfAddress(FIRST)],
            interval: Duration::from_secs(seconds),
..AdvertiserConfig::new(InterfaceIndex(1), FIRST, 24)
        };
        let mut advertiser = Advertiser::new(config, agent_seed);
        let mut listener = Listener::new(OWN, listener_seed);
        let mut said = Vec::new();
        let deliver = |listener: &mut Listener, now, sent: Vec<Action>, said: &mut Vec<ListenerAction>| {
            for Action::Send { icmp, source, destination, .. } in sent {
                listener.handle_advertisement(now, mac(FIRST), &packet(source, destination, &icmp), said);
            }
        };
        let mut now = at(0);
        while now < at(200_000) {
            now = advertiser.poll_timeout().into_iter().chain(listener.poll_timeout()).min().unwrap();
            let mut sent = Vec::new();
            advertiser.handle_timeout(now, &mut sent);
            deliver(&mut listener, now, sent, &mut said);
            listener.handle_timeout(now, &mut said);
        }
        prop_assert_eq!(&said[..], &[ListenerAction::AgentFound(FIRST)]);
        let mut sent = Vec::new();
        advertiser.shutdown(&mut sent);
        deliver(&mut listener, now, sent, &mut said);
        prop_assert_eq!(said.last(), Some(&ListenerAction::AgentLost(FIRST)));
    }
}
