//! The advertiser on a simulated clock.

use super::*;
use crate::mobility::tunnel::Encapsulations;
use proptest::prelude::*;

const AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const LISTENER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
const LISTENER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);

fn config(interval: u64) -> AdvertiserConfig {
    AdvertiserConfig {
        home_agent: true,
        foreign_agent: true,
        care_of_addresses: vec![CareOfAddress(AGENT)],
        reverse_tunnel: true,
        registration_lifetime: Lifetime(36000),
        interval: Duration::from_secs(interval),
        ..AdvertiserConfig::new(InterfaceIndex(3), AGENT, 24)
    }
}

fn at(milliseconds: u64) -> Instant {
    Instant(Duration::from_millis(milliseconds))
}

/// Runs the advertiser's own timers until `end` and returns what was sent when.
fn run(advertiser: &mut Advertiser, end: Instant) -> Vec<(Instant, AgentAdvertisement, Ipv4Addr)> {
    let mut sent = Vec::new();
    while let Some(now) = advertiser.poll_timeout().filter(|&next| next <= end) {
        let mut out = Vec::new();
        advertiser.handle_timeout(now, &mut out);
        sent.extend(read(&out).into_iter().map(|(advertisement, destination)| (now, advertisement, destination)));
    }
    sent
}

fn read(actions: &[Action]) -> Vec<(AgentAdvertisement, Ipv4Addr)> {
    let read = |action: &Action| {
        let Action::Send { icmp, destination, .. } = action;
        (AgentAdvertisement::parse(icmp).unwrap().unwrap(), *destination)
    };
    actions.iter().map(read).collect()
}

#[test]
fn the_first_advertisement_is_due_at_once_and_says_all() {
    let mut advertiser = Advertiser::new(config(4), 1);
    let sent = run(&mut advertiser, at(0));
    let (_, advertisement, destination) = &sent[0];
    assert_eq!(sent.len(), 1);
    assert_eq!(*destination, ALL_SYSTEMS);
    assert_eq!(advertisement.code, CODE_NO_COMMON_TRAFFIC);
    assert_eq!(advertisement.lifetime, 12);
    assert_eq!(advertisement.routers, [(AGENT, 0)]);
    assert_eq!(advertisement.sequence, 0);
    assert_eq!(advertisement.registration_lifetime, Lifetime(36000));
    assert_eq!(advertisement.care_of_addresses, [CareOfAddress(AGENT)]);
    assert_eq!(advertisement.prefix_lengths, [24]);
    let expected = AgentFlags { home_agent: true, foreign_agent: true, reverse_tunnel: true, ..AgentFlags::default() };
    assert_eq!(advertisement.flags, expected);
}

#[test]
fn nothing_is_sent_before_its_time() {
    let mut advertiser = Advertiser::new(config(4), 1);
    run(&mut advertiser, at(0));
    let mut out = Vec::new();
    advertiser.handle_timeout(at(2999), &mut out);
    assert_eq!(out, []);
}

#[test]
fn the_first_three_come_quickly_and_the_others_within_the_interval() {
    let mut advertiser = Advertiser::new(config(600), 7);
    let times: Vec<_> = run(&mut advertiser, at(3_600_000)).into_iter().map(|sent| sent.0).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.len() > 5);
    assert_eq!(gaps[..2], [MAXIMUM_INITIAL_INTERVAL; 2]);
    assert!(gaps[2..].iter().all(|gap| (450..=600).contains(&gap.as_secs())), "{gaps:?}");
    assert!(gaps[2..].windows(2).any(|pair| pair[0] != pair[1]), "not randomised: {gaps:?}");
}

#[test]
fn the_sequence_goes_from_0xffff_to_256() {
    let mut advertiser = Advertiser::new(config(4), 1);
    advertiser.sequence = 0xfffe;
    let sequences: Vec<_> = run(&mut advertiser, at(13_000)).iter().map(|sent| sent.1.sequence).collect();
    assert_eq!(sequences[..4], [0xfffe, 0xffff, 256, 257]);
}

#[test]
fn a_solicitation_with_an_address_is_answered_at_once_to_its_sender() {
    let mut advertiser = Advertiser::new(config(4), 1);
    run(&mut advertiser, at(0));
    let before = advertiser.poll_timeout();
    let mut out = Vec::new();
    advertiser.handle_solicitation(at(100), LISTENER, LISTENER_MAC, &mut out);
    let [Action::Send { destination, destination_mac, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((*destination, *destination_mac), (LISTENER, Some(LISTENER_MAC)));
    assert_eq!(advertiser.poll_timeout(), before);
    let expected = AdvertiserCounters {
        advertisements_sent: 2,
        advertisements_sent_for_solicitation: 1,
        solicitations_received: 1,
    };
    assert_eq!(advertiser.counters(), &expected);
}

#[test]
fn a_solicitation_from_nowhere_is_answered_to_everybody_within_two_seconds() {
    let mut advertiser = Advertiser::new(config(600), 1);
    run(&mut advertiser, at(100_000));
    let mut out = Vec::new();
    advertiser.handle_solicitation(at(100_000), Ipv4Addr::UNSPECIFIED, LISTENER_MAC, &mut out);
    assert_eq!(out, []);
    let sent = run(&mut advertiser, at(102_000));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].2, ALL_SYSTEMS);
    assert!(advertiser.poll_timeout() >= Some(sent[0].0 + Duration::from_secs(450)), "the interval starts anew");
    assert_eq!(advertiser.counters().advertisements_sent_for_solicitation, 1);
}

#[test]
fn a_flood_of_solicitations_is_answered_at_a_bounded_rate() {
    let mut advertiser = Advertiser::new(config(4), 1);
    let mut sent = run(&mut advertiser, at(0)).len();
    for millisecond in 0..10_000 {
        let mut out = Vec::new();
        let source = if millisecond % 2 == 0 { LISTENER } else { Ipv4Addr::UNSPECIFIED };
        advertiser.handle_solicitation(at(millisecond), source, LISTENER_MAC, &mut out);
        sent += out.len() + run(&mut advertiser, at(millisecond)).len();
    }
    assert!(sent <= 1 + 100 + 10, "{sent} advertisements in ten seconds");
}

#[test]
fn an_advertiser_that_waits_to_be_asked_sends_nothing_by_itself() {
    let mut advertiser = Advertiser::new(AdvertiserConfig { only_when_solicited: true, ..config(4) }, 1);
    assert_eq!(advertiser.poll_timeout(), None);
    let mut out = Vec::new();
    advertiser.handle_solicitation(at(5), Ipv4Addr::UNSPECIFIED, LISTENER_MAC, &mut out);
    assert_eq!(run(&mut advertiser, at(3000)).len(), 1);
    assert_eq!(advertiser.poll_timeout(), None);
}

#[test]
fn the_last_advertisement_has_no_lifetime() {
    let mut advertiser = Advertiser::new(AdvertiserConfig { limited_broadcast: true, ..config(4) }, 1);
    let mut out = Vec::new();
    advertiser.shutdown(&mut out);
    let sent = read(&out);
    assert_eq!((sent[0].0.lifetime, sent[0].1), (0, Ipv4Addr::BROADCAST));
    assert_eq!(advertiser.poll_timeout(), None);
}

#[test]
fn only_a_foreign_agent_is_ever_busy_or_offers_anything() {
    let all = AdvertiserConfig {
        registration_required: true,
        minimal_encapsulation: true,
        gre: true,
        udp_tunnelling: true,
        revocation: true,
        ..config(4)
    };
    for (foreign_agent, care_of_addresses) in [(true, vec![CareOfAddress(AGENT)]), (true, vec![]), (false, vec![])] {
        let visit = !care_of_addresses.is_empty();
        let config = AdvertiserConfig { foreign_agent, care_of_addresses, ..all.clone() };
        let mut advertiser = Advertiser::new(config, 1);
        advertiser.set_busy(at(0), true);
        advertiser.set_challenge(Some(vec![7; 8]));
        let sent = run(&mut advertiser, at(0));
        // R B H F M G r T U X as in RFC 5944 §2.1.1, RFC 3519 §3.4 and RFC 3543 §3.1.
        assert_eq!(sent[0].1.flags.to_bits(), if visit { 0xfdc0 } else { 0x2000 });
        assert_eq!(sent[0].1.care_of_addresses.is_empty(), !visit);
        assert_eq!(sent[0].1.challenge.is_some(), visit);
    }
}

#[test]
fn each_flag_is_said_only_if_it_is_configured() {
    let none = AdvertiserConfig { home_agent: false, reverse_tunnel: false, ..config(4) };
    for (config, bits) in [
        (none.clone(), 0x1000),
        (AdvertiserConfig { registration_required: true, ..none.clone() }, 0x9000),
        (AdvertiserConfig { home_agent: true, ..none.clone() }, 0x3000),
        (AdvertiserConfig { minimal_encapsulation: true, ..none.clone() }, 0x1800),
        (AdvertiserConfig { gre: true, ..none.clone() }, 0x1400),
        (AdvertiserConfig { reverse_tunnel: true, ..none.clone() }, 0x1100),
        (AdvertiserConfig { udp_tunnelling: true, ..none.clone() }, 0x1080),
        (AdvertiserConfig { revocation: true, ..none }, 0x1040),
    ] {
        let sent = run(&mut Advertiser::new(config, 1), at(0));
        assert_eq!(sent[0].1.flags.to_bits(), bits);
    }
}

#[test]
fn what_a_foreign_agent_does_is_what_is_said_of_it() {
    let settings = foreign_agent::Config::new(CareOfAddress(LISTENER), Vec::new());
    let said = |settings: &foreign_agent::Config| {
        let config = AdvertiserConfig::new(InterfaceIndex(3), AGENT, 24).offering(settings);
        run(&mut Advertiser::new(config, 1), at(0)).remove(0).1
    };
    let plain = foreign_agent::Config {
        reverse_tunnel: ReverseTunnel::Off,
        encapsulations: Encapsulations::IP_IN_IP,
        ..settings.clone()
    };
    assert_eq!(said(&plain).flags.to_bits(), 0x1000);
    assert_eq!(said(&plain).care_of_addresses, [CareOfAddress(LISTENER)]);
    let lifetime = foreign_agent::Config { maximum_lifetime: Lifetime(77), ..plain.clone() };
    assert_eq!(said(&lifetime).registration_lifetime, Lifetime(77));
    for reverse_tunnel in [ReverseTunnel::Offered, ReverseTunnel::Required] {
        let settings = foreign_agent::Config { reverse_tunnel, ..plain.clone() };
        assert_eq!(said(&settings).flags.to_bits(), 0x1100);
    }
    for (encapsulation, bits) in [(Encapsulation::Gre, 0x1400), (Encapsulation::Minimal, 0x1800)] {
        let settings = foreign_agent::Config { encapsulations: [encapsulation].into_iter().collect(), ..plain.clone() };
        assert_eq!(said(&settings).flags.to_bits(), bits);
    }
}

#[test]
fn becoming_busy_and_free_again_is_said_at_once_but_at_most_once_a_second() {
    let mut advertiser = Advertiser::new(config(60), 1);
    run(&mut advertiser, at(100_000));
    let start = 200_000;
    run(&mut advertiser, at(start));
    let mut said = Vec::new();
    for millisecond in start..start + 5000 {
        advertiser.set_busy(at(millisecond), (millisecond / 10) % 2 == 0);
        said.extend(run(&mut advertiser, at(millisecond)).into_iter().map(|sent| (sent.0, sent.1.flags.busy)));
    }
    assert_eq!(said[0], (at(start), true));
    assert!(said.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= MULTICAST_GAP), "{said:?}");
    advertiser.set_busy(at(start + 5000), false);
    said.extend(run(&mut advertiser, at(start + 6000)).into_iter().map(|sent| (sent.0, sent.1.flags.busy)));
    assert_eq!(said.last().map(|last| last.1), Some(false));
}

#[test]
fn staying_busy_is_no_news() {
    let mut advertiser = Advertiser::new(config(60), 1);
    advertiser.set_busy(at(0), true);
    run(&mut advertiser, at(0));
    let next = advertiser.poll_timeout();
    advertiser.set_busy(at(2000), true);
    assert_eq!(advertiser.poll_timeout(), next);
}

#[test]
fn an_advertiser_that_waits_to_be_asked_says_busy_when_asked() {
    let mut advertiser = Advertiser::new(AdvertiserConfig { only_when_solicited: true, ..config(4) }, 1);
    advertiser.set_busy(at(0), true);
    assert_eq!(advertiser.poll_timeout(), None);
    let mut out = Vec::new();
    advertiser.handle_solicitation(at(5), LISTENER, LISTENER_MAC, &mut out);
    assert!(read(&out)[0].0.flags.busy);
}

#[test]
fn code_and_preference_are_as_configured() {
    for (routes_common_traffic, code) in [(false, 16), (true, 0)] {
        let config = AdvertiserConfig { routes_common_traffic, preference: i32::MIN, ..config(4) };
        let sent = run(&mut Advertiser::new(config, 1), at(0));
        assert_eq!((sent[0].1.code, &sent[0].1.routers[..]), (code, &[(AGENT, i32::MIN)][..]));
    }
}

#[test]
fn answers_repeat_the_newest_challenge_and_only_unsolicited_advertisements_want_a_new_one() {
    let mut advertiser = Advertiser::new(config(600), 1);
    assert!(advertiser.is_unsolicited_due(at(0)));
    advertiser.set_challenge(Some(vec![1; 4]));
    run(&mut advertiser, at(100_000));
    let mut out = Vec::new();
    advertiser.handle_solicitation(at(100_000), LISTENER, LISTENER_MAC, &mut out);
    advertiser.handle_solicitation(at(100_000), Ipv4Addr::UNSPECIFIED, LISTENER_MAC, &mut out);
    let due = advertiser.poll_timeout().unwrap();
    assert!(!advertiser.is_unsolicited_due(due), "the multicast that answers must not retire a challenge");
    let sent = run(&mut advertiser, due);
    assert_eq!(sent[0].1.challenge, Some(vec![1; 4]));
    assert_eq!(read(&out)[0].0.challenge, Some(vec![1; 4]));
    let due = advertiser.poll_timeout().unwrap();
    assert!(advertiser.is_unsolicited_due(due));
}

#[test]
fn a_solicitation_from_beyond_the_link_is_answered_and_one_from_no_host_never_to_its_source() {
    let mut advertiser = Advertiser::new(config(600), 1);
    run(&mut advertiser, at(0));
    let mut ask = |milliseconds, source| {
        let mut out = Vec::new();
        advertiser.handle_solicitation(at(milliseconds), source, LISTENER_MAC, &mut out);
        out.len()
    };
    assert_eq!(ask(1000, Ipv4Addr::new(192, 0, 2, 9)), 1, "no neighbour, but RFC 5944 demands an answer");
    for source in
        [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, ALL_SYSTEMS, Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 2, 0, 255)]
    {
        assert_eq!(ask(2000, source), 0, "{source}");
    }
}

#[test]
fn the_lifetime_is_three_intervals_within_bounds() {
    let lifetime = |milliseconds| {
        let config = AdvertiserConfig { interval: Duration::from_millis(milliseconds), ..config(4) };
        let sent = run(&mut Advertiser::new(config, 1), at(0));
        sent[0].1.lifetime
    };
    assert_eq!(lifetime(100), 1);
    assert_eq!(lifetime(1500), 5);
    assert_eq!(lifetime(1_800_000), 5400);
    assert_eq!(lifetime(90_000_000), 9000);
    let config = AdvertiserConfig { lifetime: Some(Duration::from_secs(100)), ..config(4) };
    assert_eq!(run(&mut Advertiser::new(config, 1), at(0))[0].1.lifetime, 100);
}

#[test]
fn the_shortest_interval_is_as_configured() {
    let config = AdvertiserConfig { shortest_interval: Some(Duration::from_secs(4)), ..config(12) };
    let times: Vec<_> = run(&mut Advertiser::new(config, 3), at(4_000_000)).into_iter().map(|sent| sent.0).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert!(gaps.iter().all(|gap| (4..=12).contains(gap)) && gaps.iter().any(|gap| *gap < 9), "{gaps:?}");
}

proptest! {
    #[test]
    fn gaps_stay_within_three_quarters_of_the_interval_and_the_interval(seed: u64, interval in 1u64..16) {
        let mut advertiser = Advertiser::new(config(interval), seed);
        let times: Vec<_> = run(&mut advertiser, at(interval * 20_000)).into_iter().map(|sent| sent.0).collect();
        prop_assert!(times.len() >= 20);
        for pair in times.windows(2) {
            let gap = pair[1].since(pair[0]);
            prop_assert!(gap >= Duration::from_millis(interval * 750) && gap <= Duration::from_secs(interval));
        }
    }
}

#[test]
fn a_node_that_is_not_registered_any_more_sees_a_rebooted_agent_and_nobody_else_does() {
    for elsewhere in [false, true] {
        let mut advertiser = Advertiser::new(config(4), 1);
        run(&mut advertiser, at(9_000));
        let before = (advertiser.sequence, advertiser.poll_timeout());
        let mut out = Vec::new();
        advertiser.inform(LISTENER, LISTENER_MAC, elsewhere, &mut out);
        let [Action::Send { destination_mac, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(*destination_mac, Some(LISTENER_MAC));
        let (advertisement, destination) = &read(&out)[0];
        assert_eq!((advertisement.sequence, *destination), (0, LISTENER));
        assert_eq!(advertisement.flags.busy, elsewhere);
        assert_eq!((advertiser.sequence, advertiser.poll_timeout()), before);
    }
}

#[test]
fn an_agent_that_revokes_says_so_and_must_be_registered_with() {
    let offers = |change: fn(&mut foreign_agent::Config)| {
        let mut agent = foreign_agent::Config::new(CareOfAddress(AGENT), Vec::new());
        change(&mut agent);
        let config = config(4).offering(&agent);
        (config.revocation, config.registration_required, config.udp_tunnelling)
    };
    let revoking = |agent: &mut foreign_agent::Config| {
        agent.revocation = Some(foreign_agent::RevocationPolicy { inform: true });
    };
    let udp = |agent: &mut foreign_agent::Config| {
        agent.udp_tunnel = Some(foreign_agent::UdpTunnelling { forced: false, everything_translated: false });
    };
    assert_eq!(offers(|_| {}), (false, false, false));
    assert_eq!(offers(revoking), (true, true, false));
    assert_eq!(offers(udp), (false, false, true));
}
