//! The access point's side of discovery (RFC 5944 §2.4, RFC 1256 §5).

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::solicitation::Schedule;
use crate::{
    mobility::time::Instant,
    wire::{
        advertisement::{ALL_ROUTERS, AgentAdvertisement, AgentSolicitation, DiscoveryError, TTL},
        extension::ParseError,
    },
};

/// How many agents are remembered: bounds what forged advertisements can take.
const MAXIMUM_AGENTS: usize = 32;
/// RFC 5944 §2.4.1: a number that drops into 0..=255 tells of a reboot.
const LAST_SEQUENCE_OF_A_REBOOT: u16 = 255;

/// A mobility agent that is being heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// IP source of its advertisements: where requests go, which need not be a care-of address.
    pub address: Ipv4Addr,
    /// Link-layer source of its advertisements: where requests go.
    pub mac: MacAddress,
    /// The newest advertisement.
    pub advertisement: AgentAdvertisement,
    /// When the newest advertisement came.
    pub heard: Instant,
    /// When it counts as gone unless it is heard again.
    pub expires: Instant,
    /// How often it rebooted while we listened.
    pub reboots: u64,
}

impl Agent {
    /// Whether new registrations can go through it (RFC 5944 §2.1.1).
    fn accepts_visitors(&self) -> bool {
        let flags = self.advertisement.flags;
        flags.foreign_agent && !flags.busy && !self.advertisement.care_of_addresses.is_empty()
    }
}

/// What the listener wants done, and what it found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenerAction {
    /// Send an ICMP message with TTL 1 from the uplink's address (0.0.0.0 if it has none).
    Solicit {
        /// The whole ICMP message.
        icmp: Vec<u8>,
        /// IP destination.
        destination: Ipv4Addr,
    },
    /// A new agent.
    AgentFound(Ipv4Addr),
    /// A known agent offers something else than before.
    AgentChanged(Ipv4Addr),
    /// A known agent started anew: it has forgotten its visitors (RFC 5944 §2.4.1), and may offer something else.
    AgentRebooted(Ipv4Addr),
    /// An agent took its leave or was not heard for its lifetime.
    AgentLost(Ipv4Addr),
}

/// RFC 2006 `mnAdvertisement` and `mnSolicitation` counters, and a row for each of our own reasons to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListenerCounters {
    /// Solicitations sent.
    pub solicitations_sent: u64,
    /// Valid agent advertisements.
    pub advertisements_received: u64,
    /// Dropped: poorly formed extension.
    pub advertisements_dropped_invalid_extension: u64,
    /// Ignored: unknown extension of the kind that must not be skipped.
    pub advertisements_ignored_unknown_extension: u64,
    /// Dropped: wrong length, type, code or ICMP checksum.
    pub advertisements_dropped_malformed: u64,
    /// Dropped: a TTL other than 1, so perhaps not from this link.
    pub advertisements_dropped_ttl: u64,
    /// Dropped: from another link-layer address than that agent's, or from a group address.
    pub advertisements_dropped_source: u64,
    /// Dropped: more agents than are remembered.
    pub advertisements_dropped_too_many_agents: u64,
    /// Valid advertisements of routers that are no mobility agents.
    pub router_advertisements_ignored: u64,
    /// Reboots of agents noticed.
    pub agent_reboots_detected: u64,
}

impl ListenerCounters {
    /// Name, value and meaning of each counter.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
        [
            ("solicitations_sent", self.solicitations_sent, "solicitations sent"),
            ("advertisements_received", self.advertisements_received, "valid agent advertisements"),
            (
                "advertisements_dropped_invalid_extension",
                self.advertisements_dropped_invalid_extension,
                "dropped: poorly formed extension",
            ),
            (
                "advertisements_ignored_unknown_extension",
                self.advertisements_ignored_unknown_extension,
                "ignored: unknown extension of the kind that must not be skipped",
            ),
            (
                "advertisements_dropped_malformed",
                self.advertisements_dropped_malformed,
                "dropped: wrong length, type, code or ICMP checksum",
            ),
            (
                "advertisements_dropped_ttl",
                self.advertisements_dropped_ttl,
                "dropped: a TTL other than 1, so perhaps not from this link",
            ),
            (
                "advertisements_dropped_source",
                self.advertisements_dropped_source,
                "dropped: from another link-layer address than that agent's, or from a group address",
            ),
            (
                "advertisements_dropped_too_many_agents",
                self.advertisements_dropped_too_many_agents,
                "dropped: more agents than are remembered",
            ),
            (
                "router_advertisements_ignored",
                self.router_advertisements_ignored,
                "valid advertisements of routers that are no mobility agents",
            ),
            ("agent_reboots_detected", self.agent_reboots_detected, "reboots of agents noticed"),
        ]
        .into_iter()
    }
}

/// Listens for agents on one uplink.
#[derive(Debug)]
pub struct Listener {
    agents: Vec<Agent>,
    current: Option<Ipv4Addr>,
    solicitations: Schedule,
    counters: ListenerCounters,
}

impl Listener {
    /// Knows nobody yet, and will solicit within a second.
    pub fn new(seed: u64) -> Self {
        Self {
            agents: Vec::new(),
            current: None,
            solicitations: Schedule::new(seed),
            counters: ListenerCounters::default(),
        }
    }

    /// What it did so far.
    pub fn counters(&self) -> ListenerCounters {
        self.counters
    }

    /// When [`Listener::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agents.iter().map(|agent| agent.expires).chain(self.solicitations.next()).min()
    }

    /// Gives up agents that fell silent and solicits if it is time.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<ListenerAction>) {
        let expired = self.agents.extract_if(.., |agent| agent.expires <= now);
        let lost: Vec<_> = expired.map(|agent| agent.address).collect();
        if !lost.is_empty() {
            out.extend(lost.into_iter().map(ListenerAction::AgentLost));
            self.reconsider(now);
        }
        if self.solicitations.pop_due(now) {
            self.counters.solicitations_sent += 1;
            out.push(ListenerAction::Solicit { icmp: AgentSolicitation.emit(), destination: ALL_ROUTERS });
        }
    }

    /// Solicits as soon as the rate of one a second allows, because a client waits for an agent. Call
    /// [`Listener::handle_timeout`] after it.
    pub fn solicit(&mut self, now: Instant) {
        self.solicitations.hasten(now);
    }

    /// Takes an ICMP router advertisement as received on the uplink.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        source: Ipv4Addr,
        source_mac: MacAddress,
        ttl: u8,
        icmp: &[u8],
        out: &mut Vec<ListenerAction>,
    ) {
        if ttl != TTL {
            self.counters.advertisements_dropped_ttl += 1;
            return;
        }
        let advertisement = match AgentAdvertisement::parse(icmp) {
            Ok(Some(advertisement)) => advertisement,
            Ok(None) => {
                self.counters.router_advertisements_ignored += 1;
                return;
            }
            Err(error) => return self.count_invalid(error),
        };
        let is_host = !source.is_unspecified() && !source.is_broadcast() && !source.is_multicast();
        let position = self.agents.iter().position(|agent| agent.address == source && agent.expires > now);
        let is_impostor = position.is_some_and(|position| self.agents[position].mac != source_mac);
        if !is_host || source_mac.is_multicast() || is_impostor {
            self.counters.advertisements_dropped_source += 1;
            return;
        }
        match position {
            Some(position) if advertisement.lifetime == 0 => {
                self.agents.remove(position);
                out.push(ListenerAction::AgentLost(source));
            }
            Some(position) => {
                let agent = &mut self.agents[position];
                out.extend(renew(agent, now, advertisement));
                self.counters.agent_reboots_detected +=
                    u64::from(out.last() == Some(&ListenerAction::AgentRebooted(source)));
            }
            None if advertisement.lifetime == 0 => {}
            None => {
                // One that expired, but whose time-out was not handled yet, starts anew.
                self.agents.retain(|agent| agent.address != source);
                if self.agents.len() == MAXIMUM_AGENTS {
                    self.counters.advertisements_dropped_too_many_agents += 1;
                    return;
                }
                let expires = now + lifetime(&advertisement);
                let mac = source_mac;
                self.agents.push(Agent { address: source, mac, advertisement, heard: now, expires, reboots: 0 });
                out.push(ListenerAction::AgentFound(source));
            }
        }
        self.counters.advertisements_received += 1;
        self.reconsider(now);
    }

    /// The foreign agent for new registrations: the current one as long as it is heard and not busy, else the one heard
    /// last. That another agent appears is no reason to change (RFC 5944 §2.4.2).
    pub fn foreign_agent(&self) -> Option<&Agent> {
        self.current.and_then(|address| self.agent(address))
    }

    /// The home agent with this address, if it is on this link: a client of it is at home (RFC 5944 §2.4.3).
    pub fn home_agent(&self, address: Ipv4Addr) -> Option<&Agent> {
        let has_address =
            |agent: &&Agent| agent.address == address || agent.advertisement.routers.iter().any(|r| r.0 == address);
        self.agents.iter().filter(|agent| agent.advertisement.flags.home_agent).find(has_address)
    }

    /// The agent whose advertisements come from this address.
    pub fn agent(&self, address: Ipv4Addr) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.address == address)
    }

    /// All agents that are being heard, in the order of their discovery.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// After any change: who is the current foreign agent, and is it time to ask again or to stop asking?
    fn reconsider(&mut self, now: Instant) {
        if !self.foreign_agent().is_some_and(Agent::accepts_visitors) {
            let candidates = self.agents.iter().filter(|agent| agent.accepts_visitors());
            self.current = candidates.max_by_key(|agent| agent.heard).map(|agent| agent.address);
        }
        if !self.agents.is_empty() {
            self.solicitations.stop();
        } else if self.solicitations.next().is_none() {
            self.solicitations.restart(now);
        }
    }

    fn count_invalid(&mut self, error: DiscoveryError) {
        let counter = match error {
            DiscoveryError::Extension(ParseError::UnknownNonSkippable(_)) => {
                &mut self.counters.advertisements_ignored_unknown_extension
            }
            DiscoveryError::Extension(_) => &mut self.counters.advertisements_dropped_invalid_extension,
            _ => &mut self.counters.advertisements_dropped_malformed,
        };
        *counter += 1;
    }
}

fn lifetime(advertisement: &AgentAdvertisement) -> std::time::Duration {
    std::time::Duration::from_secs(advertisement.lifetime.into())
}

/// Puts the newest advertisement in place of the one before, and says what that means.
fn renew(agent: &mut Agent, now: Instant, newest: AgentAdvertisement) -> Option<ListenerAction> {
    let before = std::mem::replace(&mut agent.advertisement, newest);
    agent.heard = now;
    agent.expires = now + lifetime(&agent.advertisement);
    let newest = &agent.advertisement;
    if newest.sequence < before.sequence && newest.sequence <= LAST_SEQUENCE_OF_A_REBOOT {
        agent.reboots += 1;
        return Some(ListenerAction::AgentRebooted(agent.address));
    }
    let same = AgentAdvertisement { sequence: newest.sequence, challenge: newest.challenge.clone(), ..before };
    (same != *newest).then_some(ListenerAction::AgentChanged(agent.address))
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
