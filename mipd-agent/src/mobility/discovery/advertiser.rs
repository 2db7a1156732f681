//! The agent's side of discovery (RFC 5944 §2.3, RFC 1256 §6).

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    mobility::{
        counters::counters, foreign_agent, link::InterfaceIndex, reverse_tunnel::ReverseTunnel, time::Instant,
        tunnel::Encapsulation,
    },
    wire::{
        advertisement::{
            ALL_SYSTEMS, AgentAdvertisement, AgentFlags, CODE_NO_COMMON_TRAFFIC, CODE_ROUTES_COMMON_TRAFFIC,
        },
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
    /// R: visitors must register through the foreign agent even with a care-of address of their own.
    pub registration_required: bool,
    /// M: minimal encapsulation is accepted.
    pub minimal_encapsulation: bool,
    /// G: GRE is accepted.
    pub gre: bool,
    /// T: reverse tunnelling is offered.
    pub reverse_tunnel: bool,
    /// U: UDP tunnelling is offered.
    pub udp_tunnelling: bool,
    /// X: registrations may be revoked.
    pub revocation: bool,
    /// The longest registration lifetime that is accepted.
    pub registration_lifetime: Lifetime,
    /// Code 0 instead of 16: also a router for hosts that are not registered (RFC 5944 §2.1).
    pub routes_common_traffic: bool,
    /// How much `address` is to be preferred as a default router (RFC 1256 §6.2.1); `i32::MIN` = not at all.
    pub preference: i32,
    /// The longest time between two advertisements.
    pub interval: Duration,
    /// The shortest; `None`: three quarters of `interval` (RFC 1256 §6.2.1).
    pub shortest_interval: Option<Duration>,
    /// How long an advertisement is valid; `None`: three `interval`s, so that an agent is given up after three missed
    /// advertisements (RFC 5944 §2.3).
    pub lifetime: Option<Duration>,
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
            registration_required: false,
            minimal_encapsulation: false,
            gre: false,
            reverse_tunnel: false,
            udp_tunnelling: false,
            revocation: false,
            registration_lifetime: Lifetime(36_000),
            routes_common_traffic: false,
            preference: 0,
            interval: Duration::from_secs(3),
            shortest_interval: None,
            lifetime: None,
            limited_broadcast: false,
            only_when_solicited: false,
        }
    }

    /// The same with a foreign agent that has these settings: says of it what it does, no more and no less.
    #[must_use]
    pub fn offering(self, agent: &foreign_agent::Config) -> Self {
        Self {
            foreign_agent: true,
            care_of_addresses: agent.care_of_addresses.clone(),
            minimal_encapsulation: agent.encapsulations.contains(Encapsulation::Minimal),
            gre: agent.encapsulations.contains(Encapsulation::Gre),
            reverse_tunnel: agent.reverse_tunnel != ReverseTunnel::Off,
            udp_tunnelling: agent.udp_tunnel.is_some(),
            revocation: agent.revocation.is_some(),
            // A foreign agent that revokes must know of everybody (RFC 3543 §5.1).
            registration_required: self.registration_required || agent.revocation.is_some(),
            registration_lifetime: agent.maximum_lifetime,
            ..self
        }
    }

    /// The Lifetime field in whole seconds, from 1 to 9000 (RFC 1256 §6.2.1).
    pub fn lifetime(&self) -> u16 {
        let lifetime = self.lifetime.unwrap_or(self.interval * 3).min(MAXIMUM_LIFETIME);
        lifetime.as_millis().div_ceil(1000).max(1) as u16
    }

    /// A foreign agent without a care-of address is none (RFC 5944 §2.1.1).
    fn is_foreign_agent(&self) -> bool {
        self.foreign_agent && !self.care_of_addresses.is_empty()
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

counters! {
    /// RFC 2006 `maAdvertisement` counters.
    pub struct AdvertiserCounters {
        advertisements_sent "maAdvertisementsSent": "agent advertisements sent";
        advertisements_sent_for_solicitation "maAdvsSentForSolicitation": "of those, answers to solicitations";
        solicitations_received "maSolicitationsReceived": "agent solicitations received";
    }
}

/// Advertises one agent on one interface.
#[derive(Debug)]
pub struct Advertiser {
    config: AdvertiserConfig,
    random: StdRng,
    counters: AdvertiserCounters,
    busy: bool,
    challenge: Option<Vec<u8>>,
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
            challenge: None,
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
    pub fn counters(&self) -> &AdvertiserCounters {
        &self.counters
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
        let addressable = self.is_addressable(source);
        let within_rate = self.last_unicast.is_none_or(|last| now.since(last) >= UNICAST_GAP);
        if addressable && !source_mac.is_multicast() && within_rate {
            self.last_unicast = Some(now);
            self.counters.advertisements_sent_for_solicitation += 1;
            self.send(self.config.lifetime(), source, Some(source_mac), out);
            return;
        }
        let earliest = self.earliest_multicast(now);
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

    /// Whether new registrations are refused. A change is said at once, as far as the rate of multicasts allows, so that
    /// nobody tries in vain or stays away for longer than needed (RFC 5944 §2.1.1).
    pub fn set_busy(&mut self, now: Instant, busy: bool) {
        if std::mem::replace(&mut self.busy, busy) == busy || !self.config.is_foreign_agent() {
            return;
        }
        if let Some(next) = self.next {
            self.next = Some(next.min(self.earliest_multicast(now)));
        }
    }

    /// The newest challenge of the foreign agent (RFC 4721 §2), in every advertisement from now on.
    pub fn set_challenge(&mut self, challenge: Option<Vec<u8>>) {
        self.challenge = challenge;
    }

    /// Whether [`Advertiser::handle_timeout`] would send an advertisement that nobody asked for: the only kind that may
    /// retire a challenge (RFC 4721 §2 and §12).
    pub fn is_unsolicited_due(&self, now: Instant) -> bool {
        !self.solicited && self.next.is_some_and(|next| next <= now)
    }

    /// Tells one node that it is not registered here any more: sequence number 0 makes it take the agent for rebooted, and
    /// register again, or with another one if this one is busy (RFC 3543 §4.2).
    pub fn inform(&mut self, address: Ipv4Addr, mac: MacAddress, elsewhere: bool, out: &mut Vec<Action>) {
        let mut advertisement = self.advertisement(self.config.lifetime());
        advertisement.sequence = 0;
        advertisement.flags.busy |= elsewhere && self.config.is_foreign_agent();
        self.counters.advertisements_sent += 1;
        out.push(Action::Send {
            interface: self.config.interface,
            icmp: advertisement.emit(),
            source: self.config.address,
            destination: address,
            destination_mac: Some(mac),
        });
    }

    /// Whether an advertisement may go to this address alone: a host, and not the broadcast address of the link (RFC 5944
    /// §2.3: never a subnet-directed broadcast).
    fn is_addressable(&self, address: Ipv4Addr) -> bool {
        let link = Ipv4Net::new(self.config.address, self.config.prefix_length.min(32));
        let directed = link.is_ok_and(|link| link.prefix_len() < 31 && link.broadcast() == address);
        let is_host = !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast();
        is_host && !address.is_loopback() && !directed
    }

    fn earliest_multicast(&self, now: Instant) -> Instant {
        self.last_multicast.map_or(now, |last| now.max(last + MULTICAST_GAP))
    }

    fn interval(&mut self) -> Duration {
        let longest = self.config.interval;
        let shortest = self.config.shortest_interval.unwrap_or(longest * 3 / 4).min(longest);
        let interval = self.random.random_range(shortest..=longest);
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
        // All but H describe what a foreign agent does for its visitors; B and R are not even allowed without F.
        let visit = config.is_foreign_agent();
        AgentAdvertisement {
            code: if config.routes_common_traffic { CODE_ROUTES_COMMON_TRAFFIC } else { CODE_NO_COMMON_TRAFFIC },
            lifetime,
            routers: vec![(config.address, config.preference)],
            sequence: self.sequence,
            registration_lifetime: config.registration_lifetime,
            flags: AgentFlags {
                registration_required: visit && config.registration_required,
                busy: visit && self.busy,
                home_agent: config.home_agent,
                foreign_agent: visit,
                minimal_encapsulation: visit && config.minimal_encapsulation,
                gre: visit && config.gre,
                reverse_tunnel: visit && config.reverse_tunnel,
                udp_tunnelling: visit && config.udp_tunnelling,
                revocation: visit && config.revocation,
                regional: false,
            },
            care_of_addresses: if visit { config.care_of_addresses.clone() } else { Vec::new() },
            prefix_lengths: vec![config.prefix_length],
            challenge: self.challenge.clone().filter(|_| visit),
        }
    }
}

#[cfg(test)]
#[path = "advertiser_tests.rs"]
mod tests;
