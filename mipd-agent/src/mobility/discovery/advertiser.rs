//! The agent's side of discovery (RFC 5944 §2.3, RFC 1256 §6).

use std::{net::Ipv4Addr, time::Duration};

use mipd_common::mac::MacAddress;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    mobility::{link::InterfaceIndex, time::Instant},
    wire::{
        advertisement::{ALL_SYSTEMS, AgentAdvertisement, AgentFlags, CODE_NO_COMMON_TRAFFIC},
        types::{CareOfAddress, Lifetime},
    },
};

/// RFC 1256 §6.1: the first advertisements come at this distance at most, so that they are not missed.
const MAXIMUM_INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// RFC 1256 §6.1: how many advertisements count as the first ones.
const INITIAL_ADVERTISEMENTS: u32 = 3;
/// RFC 1256 §6.1: a solicited multicast advertisement waits a random time up to this.
const MAXIMUM_RESPONSE_DELAY: Duration = Duration::from_secs(2);
/// RFC 1256 §6.1: the longest Lifetime field.
const MAXIMUM_LIFETIME: Duration = Duration::from_mins(150);
/// Our bound on solicited advertisements: multicasts at least this far apart.
const MULTICAST_GAP: Duration = Duration::from_secs(1);
/// Our bound on solicited advertisements: unicasts at least this far apart, whoever asks; who is not answered at once
/// gets the multicast.
const UNICAST_GAP: Duration = Duration::from_millis(100);
/// RFC 5944 §2.1.1: the sequence number after 0xffff, so that a roll-over does not look like a reboot.
const SEQUENCE_AFTER_ROLL_OVER: u16 = 256;

/// What to advertise on one interface, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdvertiserConfig {
    /// The interface.
    pub interface: InterfaceIndex,
    /// The agent's address on it: source and router address of the advertisements.
    pub address: Ipv4Addr,
    /// Prefix length of `address`.
    pub prefix_length: u8,
    /// Serves this link as a home agent.
    pub home_agent: bool,
    /// Serves this link as a foreign agent; needs a care-of address.
    pub foreign_agent: bool,
    /// On offer, the preferred one first.
    pub care_of_addresses: Vec<CareOfAddress>,
    /// Reverse tunnelling is offered.
    pub reverse_tunnel: bool,
    /// GRE is accepted.
    pub gre: bool,
    /// Minimal encapsulation is accepted.
    pub minimal_encapsulation: bool,
    /// The longest registration lifetime that is accepted.
    pub registration_lifetime: Lifetime,
    /// The longest time between two advertisements; the shortest is three quarters of it.
    pub interval: Duration,
    /// To 255.255.255.255 instead of 224.0.0.1, for listeners that did not join the group.
    pub limited_broadcast: bool,
    /// No periodic advertisements (RFC 5944 §2.3).
    pub only_when_solicited: bool,
}

impl AdvertiserConfig {
    /// A router that is no mobility agent yet, with the interval that mobility agents usually have.
    pub fn new(interface: InterfaceIndex, address: Ipv4Addr, prefix_length: u8) -> Self {
        Self {
            interface,
            address,
            prefix_length,
            home_agent: false,
            foreign_agent: false,
            care_of_addresses: Vec::new(),
            reverse_tunnel: false,
            gre: false,
            minimal_encapsulation: false,
            registration_lifetime: Lifetime(36_000),
            interval: Duration::from_secs(3),
            limited_broadcast: false,
            only_when_solicited: false,
        }
    }

    /// The Lifetime field in seconds: three intervals, so that an agent is given up after three missed advertisements
    /// (RFC 5944 §2.3).
    pub fn lifetime(&self) -> u16 {
        let lifetime = (self.interval * 3).min(MAXIMUM_LIFETIME);
        lifetime.as_millis().div_ceil(1000).max(1) as u16
    }
}

/// What the advertiser wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send an ICMP message with TTL 1.
    Send {
        /// Where to.
        interface: InterfaceIndex,
        /// The whole ICMP message.
        icmp: Vec<u8>,
        /// IP source.
        source: Ipv4Addr,
        /// IP destination.
        destination: Ipv4Addr,
        /// Link-layer destination; `None`: the group address that belongs to `destination`.
        destination_mac: Option<MacAddress>,
    },
}

/// RFC 2006 `maAdvertisement` counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AdvertiserCounters {
    /// All advertisements sent.
    pub advertisements_sent: u64,
    /// Those of them that a solicitation caused.
    pub advertisements_sent_for_solicitation: u64,
    /// Solicitations received.
    pub solicitations_received: u64,
}

impl AdvertiserCounters {
    /// Name, value and meaning of each counter.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
        [
            ("advertisements_sent", self.advertisements_sent, "agent advertisements sent"),
            (
                "advertisements_sent_for_solicitation",
                self.advertisements_sent_for_solicitation,
                "of those, answers to solicitations",
            ),
            ("solicitations_received", self.solicitations_received, "agent solicitations received"),
        ]
        .into_iter()
    }
}

/// Advertises one agent on one interface.
#[derive(Debug)]
pub struct Advertiser {
    config: AdvertiserConfig,
    random: StdRng,
    counters: AdvertiserCounters,
    busy: bool,
    sequence: u16,
    initial_left: u32,
    next: Option<Instant>,
    solicited: bool,
    last_multicast: Option<Instant>,
    last_unicast: Option<Instant>,
}

impl Advertiser {
    /// Starts advertising; the first advertisement is due at once.
    pub fn new(config: AdvertiserConfig, seed: u64) -> Self {
        let next = (!config.only_when_solicited).then(Instant::default);
        Self {
            config,
            random: StdRng::seed_from_u64(seed),
            counters: AdvertiserCounters::default(),
            busy: false,
            sequence: 0,
            initial_left: INITIAL_ADVERTISEMENTS,
            next,
            solicited: false,
            last_multicast: None,
            last_unicast: None,
        }
    }

    /// What it was made with.
    pub fn config(&self) -> &AdvertiserConfig {
        &self.config
    }

    /// What it did so far.
    pub fn counters(&self) -> AdvertiserCounters {
        self.counters
    }

    /// When [`Advertiser::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Sends the advertisement that is due, if one is.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.send_multicast(self.config.lifetime(), out);
        if std::mem::take(&mut self.solicited) {
            self.counters.advertisements_sent_for_solicitation += 1;
        }
        self.last_multicast = Some(now);
        self.next = (!self.config.only_when_solicited).then(|| now + self.interval());
    }

    /// Answers a valid solicitation: at once to its sender, or soon to everybody when the sender has no address yet or
    /// too many ask. The sender need not have an address of this link (RFC 5944 §2.2).
    pub fn handle_solicitation(
        &mut self,
        now: Instant,
        source: Ipv4Addr,
        source_mac: MacAddress,
        out: &mut Vec<Action>,
    ) {
        self.counters.solicitations_received += 1;
        let addressable = !source.is_unspecified() && !source.is_broadcast() && !source.is_multicast();
        let within_rate = self.last_unicast.is_none_or(|last| now.since(last) >= UNICAST_GAP);
        if addressable && !source_mac.is_multicast() && within_rate {
            self.last_unicast = Some(now);
            self.counters.advertisements_sent_for_solicitation += 1;
            self.send(self.config.lifetime(), source, Some(source_mac), out);
            return;
        }
        let earliest = self.last_multicast.map_or(now, |last| now.max(last + MULTICAST_GAP));
        let delayed = now + self.random.random_range(Duration::ZERO..=MAXIMUM_RESPONSE_DELAY);
        let answer = earliest.max(delayed);
        if self.next.is_none_or(|next| answer < next) {
            self.next = Some(answer);
            self.solicited = true;
        }
    }

    /// Says good-bye: an advertisement with Lifetime 0 (RFC 1256 §6.2.2). Nothing is due afterwards.
    pub fn shutdown(&mut self, out: &mut Vec<Action>) {
        self.send_multicast(0, out);
        self.next = None;
    }

    /// Whether new registrations are refused; said from the next advertisement on (RFC 5944 §2.1.1).
    pub fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    fn interval(&mut self) -> Duration {
        let longest = self.config.interval;
        let interval = self.random.random_range(longest * 3 / 4..=longest);
        if self.initial_left == 0 { interval } else { interval.min(MAXIMUM_INITIAL_INTERVAL) }
    }

    fn send_multicast(&mut self, lifetime: u16, out: &mut Vec<Action>) {
        let destination = if self.config.limited_broadcast { Ipv4Addr::BROADCAST } else { ALL_SYSTEMS };
        self.send(lifetime, destination, None, out);
        self.initial_left = self.initial_left.saturating_sub(1);
    }

    fn send(&mut self, lifetime: u16, to: Ipv4Addr, destination_mac: Option<MacAddress>, out: &mut Vec<Action>) {
        let icmp = self.advertisement(lifetime).emit();
        self.sequence = self.sequence.checked_add(1).unwrap_or(SEQUENCE_AFTER_ROLL_OVER);
        self.counters.advertisements_sent += 1;
        out.push(Action::Send {
            interface: self.config.interface,
            icmp,
            source: self.config.address,
            destination: to,
            destination_mac,
        });
    }

    fn advertisement(&self, lifetime: u16) -> AgentAdvertisement {
        let config = &self.config;
        AgentAdvertisement {
            // A client uses its home router, never this one, by its own routing: only registered nodes are served.
            code: CODE_NO_COMMON_TRAFFIC,
            lifetime,
            routers: vec![(config.address, 0)],
            sequence: self.sequence,
            registration_lifetime: config.registration_lifetime,
            flags: AgentFlags {
                busy: self.busy && config.foreign_agent,
                home_agent: config.home_agent,
                foreign_agent: config.foreign_agent,
                minimal_encapsulation: config.minimal_encapsulation,
                gre: config.gre,
                reverse_tunnel: config.reverse_tunnel,
                ..AgentFlags::default()
            },
            care_of_addresses: if config.foreign_agent { config.care_of_addresses.clone() } else { Vec::new() },
            prefix_lengths: vec![config.prefix_length],
            challenge: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const LISTENER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
    const LISTENER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);

    fn config(interval: u64) -> AdvertiserConfig {
        AdvertiserConfig {
            interface: InterfaceIndex(3),
            address: AGENT,
            prefix_length: 24,
            home_agent: true,
            foreign_agent: true,
            care_of_addresses: vec![CareOfAddress(AGENT)],
            reverse_tunnel: true,
            gre: false,
            minimal_encapsulation: false,
            registration_lifetime: Lifetime(36000),
            interval: Duration::from_secs(interval),
            limited_broadcast: false,
            only_when_solicited: false,
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
        let expected =
            AgentFlags { home_agent: true, foreign_agent: true, reverse_tunnel: true, ..AgentFlags::default() };
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
        assert_eq!(advertiser.counters(), expected);
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
    fn only_a_foreign_agent_is_ever_busy_or_offers_care_of_addresses() {
        for foreign_agent in [false, true] {
            let mut advertiser = Advertiser::new(AdvertiserConfig { foreign_agent, ..config(4) }, 1);
            advertiser.set_busy(true);
            let sent = run(&mut advertiser, at(0));
            assert_eq!(sent[0].1.flags.busy, foreign_agent);
            assert_eq!(sent[0].1.care_of_addresses.is_empty(), !foreign_agent);
        }
    }

    #[test]
    fn the_lifetime_is_three_intervals_within_bounds() {
        let lifetime =
            |milliseconds| AdvertiserConfig { interval: Duration::from_millis(milliseconds), ..config(4) }.lifetime();
        assert_eq!(lifetime(100), 1);
        assert_eq!(lifetime(1500), 5);
        assert_eq!(lifetime(1_800_000), 5400);
        assert_eq!(lifetime(90_000_000), 9000);
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
}
