//! The access point's side of discovery (RFC 5944 §2.4, RFC 1256 §5).

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{former::Former, move_detection, solicitation::Schedule};
use crate::{
    mobility::{counters::counters, time::Instant},
    wire::{
        advertisement::{ALL_ROUTERS, AgentAdvertisement, AgentSolicitation, DiscoveryError, TTL},
        extension::ParseError,
        frame::IcmpPacket,
    },
};

/// How many agents are remembered: bounds what forged advertisements can take.
pub(super) const MAXIMUM_AGENTS: usize = 32;

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
        self.serves_visitors() && !self.advertisement.flags.busy
    }

    /// Whether registrations can go through it, though perhaps no new ones.
    fn serves_visitors(&self) -> bool {
        self.advertisement.flags.foreign_agent && !self.advertisement.care_of_addresses.is_empty()
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
    /// A known foreign agent told one node that its registration was revoked (RFC 3543 §3.1). Anybody on the link can
    /// forge that, so it is a reason to register again and no more.
    RegistrationRevoked {
        /// The foreign agent.
        agent: Ipv4Addr,
        /// The node.
        home_address: Ipv4Addr,
        /// It should register elsewhere.
        busy: bool,
    },
}

counters! {
    /// RFC 2006 `mnAdvertisement` and `mnSolicitation` counters, and a row for each of our own reasons to drop.
    pub struct ListenerCounters {
        solicitations_sent "mnSolicitationsSent": "agent solicitations sent";
        advertisements_received "mnAdvertisementsReceived": "valid agent advertisements";
        advertisements_dropped_invalid_extension "mnAdvsDroppedInvalidExtension": "advertisements dropped: poorly formed extension";
        advertisements_ignored_unknown_extension "mnAdvsIgnoredUnknownExtension": "advertisements ignored: unknown extension of the kind that must not be skipped";
        advertisements_dropped_malformed: "advertisements dropped: wrong length, type, code or ICMP checksum";
        advertisements_dropped_ttl: "advertisements dropped: a TTL other than 1, so perhaps not from this link";
        advertisements_dropped_source: "advertisements dropped: from another link-layer address than that agent's, or from a group address";
        advertisements_dropped_too_many_agents: "advertisements dropped: more agents than are remembered";
        advertisements_for_others: "advertisements to another node alone, ignored";
        revocations_heard: "nodes that their foreign agent told of a revocation";
        router_advertisements_ignored: "valid advertisements of routers that are no mobility agents";
        agent_reboots_detected "mnAgentRebootsDectected": "reboots of agents noticed";
    }
}

/// Listens for agents on one uplink.
#[derive(Debug)]
pub struct Listener {
    own_address: Ipv4Addr,
    agents: Vec<Agent>,
    former: Former,
    current: Option<Ipv4Addr>,
    /// The last time that the link may have become another one.
    link_changed: Option<Instant>,
    /// When the current agent was last heard before it was asked whether it is still there.
    asked_after: Option<Instant>,
    solicitations: Schedule,
    counters: ListenerCounters,
}

impl Listener {
    /// Knows nobody yet, and will solicit within a second. `own_address` is the source of its solicitations.
    pub fn new(own_address: Ipv4Addr, seed: u64) -> Self {
        Self {
            own_address,
            agents: Vec::new(),
            former: Former::default(),
            current: None,
            link_changed: None,
            asked_after: None,
            solicitations: Schedule::new(seed),
            counters: ListenerCounters::default(),
        }
    }

    /// What it did so far.
    pub fn counters(&self) -> &ListenerCounters {
        &self.counters
    }

    /// When [`Listener::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiries = self.agents.iter().map(|agent| agent.expires);
        expiries.chain(self.doubt()).chain(self.solicitations.next()).min()
    }

    /// Gives up agents that fell silent and solicits if it is time.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<ListenerAction>) {
        let mut changed = self.doubt().is_some_and(|doubt| doubt <= now);
        let expired: Vec<_> = self.agents.extract_if(.., |agent| agent.expires <= now).collect();
        for agent in expired {
            out.push(ListenerAction::AgentLost(agent.address));
            self.former.remember(&agent);
            changed = true;
        }
        if changed {
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

    /// The link layer says that the uplink may be on another link now (RFC 5944 §2.4.2): asks who is there. The current
    /// agent is kept until another one is heard that has taken its place, or until its lifetime is over.
    pub fn link_changed(&mut self, now: Instant) {
        self.link_changed = Some(now);
        self.solicitations.restart(now);
    }

    /// Takes an ICMP router advertisement as received on the uplink.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        source_mac: MacAddress,
        packet: &IcmpPacket<'_>,
        out: &mut Vec<ListenerAction>,
    ) {
        let source = packet.source;
        if packet.ttl != TTL {
            self.counters.advertisements_dropped_ttl += 1;
            return;
        }
        let advertisement = match AgentAdvertisement::parse(packet.message) {
            Ok(Some(advertisement)) => advertisement,
            Ok(None) => {
                self.counters.router_advertisements_ignored += 1;
                return;
            }
            Err(error) => return self.count_invalid(error),
        };
        let is_host = !source.is_unspecified() && !source.is_broadcast() && !source.is_multicast();
        let known = self.agents.iter().position(|agent| agent.address == source && agent.expires > now);
        let is_impostor = known.is_some_and(|position| self.agents[position].mac != source_mac);
        if !is_host || source_mac.is_multicast() || is_impostor {
            self.counters.advertisements_dropped_source += 1;
            return;
        }
        let destination = packet.destination;
        if !destination.is_multicast() && !destination.is_broadcast() && destination != self.own_address {
            return self.overhear(known.is_some(), source, destination, &advertisement, out);
        }
        match known {
            Some(position) if advertisement.lifetime == 0 => {
                let agent = self.agents.remove(position);
                out.push(ListenerAction::AgentLost(source));
                self.former.remember(&agent);
            }
            Some(position) => {
                let agent = &mut self.agents[position];
                out.extend(renew(agent, now, advertisement));
                self.counters.agent_reboots_detected +=
                    u64::from(out.last() == Some(&ListenerAction::AgentRebooted(source)));
            }
            None if advertisement.lifetime == 0 => {}
            None => {
                if !self.meet(now, source, source_mac, advertisement, out) {
                    return;
                }
            }
        }
        self.counters.advertisements_received += 1;
        self.follow_move(now, source);
        self.reconsider(now);
    }

    /// An advertisement to one other node. Sequence number 0 tells that node of a revocation (RFC 3543 §3.1); whatever
    /// else it says is not for us, and its number is not one of the series that we follow.
    fn overhear(
        &mut self,
        is_known: bool,
        agent: Ipv4Addr,
        home_address: Ipv4Addr,
        advertisement: &AgentAdvertisement,
        out: &mut Vec<ListenerAction>,
    ) {
        if is_known && advertisement.sequence == 0 && advertisement.flags.foreign_agent {
            self.counters.revocations_heard += 1;
            let busy = advertisement.flags.busy;
            out.push(ListenerAction::RegistrationRevoked { agent, home_address, busy });
        } else {
            self.counters.advertisements_for_others += 1;
        }
    }

    /// An agent that is not being heard, but may have been. `false` if there is no room for it.
    fn meet(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        mac: MacAddress,
        advertisement: AgentAdvertisement,
        out: &mut Vec<ListenerAction>,
    ) -> bool {
        // One that expired, but whose time-out was not handled yet, starts anew.
        for agent in self.agents.extract_if(.., |agent| agent.address == address) {
            self.former.remember(&agent);
        }
        if self.agents.len() == MAXIMUM_AGENTS {
            self.counters.advertisements_dropped_too_many_agents += 1;
            return false;
        }
        out.push(ListenerAction::AgentFound(address));
        let mut reboots = 0;
        if let Some(former) = self.former.take(address) {
            reboots = former.reboots;
            if move_detection::tells_of_reboot(former.sequence, advertisement.sequence) {
                reboots += 1;
                self.counters.agent_reboots_detected += 1;
                out.push(ListenerAction::AgentRebooted(address));
            }
        }
        let expires = now + lifetime(&advertisement);
        self.agents.push(Agent { address, mac, advertisement, heard: now, expires, reboots });
        true
    }

    /// The second algorithm (RFC 5944 §2.4.2.2): an agent of another subnet speaks, and the current one does not. That
    /// both do is no sign of a move: routers of several subnets may share a link.
    fn follow_move(&mut self, now: Instant, source: Ipv4Addr) {
        let Some(current) = self.foreign_agent().filter(|current| current.address != source) else { return };
        let Some(other) = self.agent(source).filter(|agent| agent.accepts_visitors()) else { return };
        if self.is_overdue(current, now) && move_detection::is_on_another_subnet(current, other) {
            self.current = Some(source);
        }
    }

    /// When the current agent is to be asked whether it is still there.
    fn doubt(&self) -> Option<Instant> {
        self.foreign_agent().filter(|agent| self.asked_after != Some(agent.heard)).map(move_detection::overdue)
    }

    /// Whether an agent should have been heard since, if it is still there.
    pub fn is_overdue(&self, agent: &Agent, now: Instant) -> bool {
        move_detection::overdue(agent) <= now || self.link_changed.is_some_and(|changed| agent.heard < changed)
    }

    /// The foreign agent to register with: the current one as long as it is heard and either not busy or without an
    /// alternative (it goes on serving those it has), else the one heard last. That another agent appears is no reason
    /// to change (RFC 5944 §2.4.2).
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
            let best = candidates.max_by_key(|agent| agent.heard).map(|agent| agent.address);
            let serving = self.foreign_agent().filter(|agent| agent.serves_visitors()).map(|agent| agent.address);
            self.current = best.or(serving);
        }
        let in_doubt = self.foreign_agent().filter(|agent| self.is_overdue(agent, now)).map(|agent| agent.heard);
        match in_doubt {
            // It may be one that advertises only when asked (RFC 5944 §2.3).
            Some(heard) => {
                if self.asked_after.replace(heard) != Some(heard) && self.solicitations.next().is_none() {
                    self.solicitations.restart(now);
                }
            }
            None if !self.agents.is_empty() => self.solicitations.stop(),
            None => {
                if self.solicitations.next().is_none() {
                    self.solicitations.restart(now);
                }
            }
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
    if move_detection::tells_of_reboot(before.sequence, newest.sequence) {
        agent.reboots += 1;
        return Some(ListenerAction::AgentRebooted(agent.address));
    }
    let same = AgentAdvertisement { sequence: newest.sequence, challenge: newest.challenge.clone(), ..before };
    (same != *newest).then_some(ListenerAction::AgentChanged(agent.address))
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
