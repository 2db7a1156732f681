//! The foreign agent: checks and relays registrations, keeps the visitor list (RFC 5944 §3.7).
//!
//! * [`config`]: its settings; [`action`]: what it wants done; [`counters`];
//! * `request` with its ordered checks in `check`, and `reply`: the two directions; `denial`: the foreign agent's own replies;
//!   `signature`: what it signs for clients;
//! * [`pending`]: relayed and not yet answered; [`visitor`]: registered, and its form on disk in [`record`];
//! * `tunnel`: what is negotiated about tunnels; `keepalive`: those over UDP;
//! * `uncarried`: visitors that the data path has no room for;
//! * `challenge`: what clients must prove to be no replay to us; [`revocation`]: registrations that end early.

pub mod action;
mod challenge;
mod check;
pub mod config;
pub mod counters;
mod denial;
mod keepalive;
pub mod pending;
pub mod record;
mod reply;
mod request;
pub mod revocation;
mod signature;
#[cfg(test)]
mod tests;
mod tunnel;
mod uncarried;
pub mod visitor;

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use rand::{SeedableRng as _, rngs::StdRng};

pub use action::{Action, Unreachable};
pub use config::{AccessInterface, Config, GreKeyPolicy, RevocationPolicy, UdpTunnelling};
pub use counters::{Counters, Discard};
pub use pending::{PendingRegistration, Requester};
pub use record::VisitorRecord;
pub use revocation::Revocable;
pub use visitor::VisitorEntry;

use self::{
    challenge::Challenges,
    denial::DenialLimiter,
    keepalive::UdpTunnels,
    pending::{PendingId, PendingList},
    revocation::{Revoked, Revoking},
    tunnel::Keyless,
    uncarried::Unconfirmed,
};
use crate::{
    mobility::{
        deadlines::Deadlines,
        link::{InterfaceIndex, Received},
        security::ViolationLog,
        time::{Instant, Now},
    },
    wire::{
        challenge::Challenge,
        registration::{MessageType, RegistrationRequest, message_type},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, ReplyCode},
    },
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deadline {
    Pending(PendingId),
    Visitor(visitor::Key),
    Keepalive(keepalive::Ends),
    Keyless(Ipv4Addr),
    Revocation(visitor::Key),
    Revoked(visitor::Key),
}

/// A foreign agent.
#[derive(Debug)]
pub struct ForeignAgent {
    config: Arc<Config>,
    pending: PendingList,
    visitors: BTreeMap<visitor::Key, VisitorEntry>,
    udp_tunnels: UdpTunnels,
    keyless: Keyless,
    challenges: Option<Challenges>,
    revoking: BTreeMap<visitor::Key, Revoking>,
    revoked: BTreeMap<visitor::Key, Revoked>,
    unconfirmed: Option<Unconfirmed>,
    random: StdRng,
    deadlines: Deadlines<Deadline>,
    limiter: DenialLimiter,
    counters: Counters,
    violations: ViolationLog,
}

impl ForeignAgent {
    /// A foreign agent without visitors. Keys and challenges come from the seed, which nobody may foresee.
    pub fn new(config: Config, seed: u64) -> Self {
        let nodes = config.maximum_visitors.saturating_add(config.maximum_pending);
        Self {
            udp_tunnels: UdpTunnels::default(),
            keyless: Keyless::default(),
            challenges: config.challenge_window.map(|window| Challenges::new(window, nodes)),
            revoking: BTreeMap::new(),
            revoked: BTreeMap::new(),
            unconfirmed: None,
            random: StdRng::seed_from_u64(seed),
            config: Arc::new(config),
            pending: PendingList::default(),
            visitors: BTreeMap::new(),
            deadlines: Deadlines::default(),
            limiter: DenialLimiter::default(),
            counters: Counters::default(),
            violations: ViolationLog::default(),
        }
    }

    /// On a box that is home agent, too: whether a request from the access side is for the foreign agent, or else was sent
    /// straight to the home agent, by a client at home or with a care-of address of its own.
    pub fn takes(&self, received: &Received<'_>) -> bool {
        RegistrationRequest::parse_fixed(received.payload).is_ok_and(|request| {
            let straight = received.destination == request.home_agent.0
                && self.config.own_home_agents.contains(&request.home_agent.0);
            !straight || self.config.offers(request.care_of_address)
        })
    }

    /// Whether requests relayed by us come from this address: a care-of address of ours (RFC 5944 §3.7.2.2).
    pub fn relays_from(&self, address: Ipv4Addr) -> bool {
        self.config.offers(CareOfAddress(address))
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Does everything that has become due: a home agent that does not answer gets its client code 78; visitors leave in
    /// silence (RFC 5944 §3.7.2.2, §3.7.1).
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.unconfirmed = None;
        while let Some(deadline) = self.deadlines.pop_due(now.instant) {
            match deadline {
                Deadline::Pending(id) => {
                    let Some(pending) = self.take_pending(id) else { continue };
                    self.counters.requests_timed_out += 1;
                    if pending.proposal.gre_key.is_some() && !self.has_keys(&pending) {
                        self.forgo_keys(now, &pending);
                    }
                    if !pending.denied {
                        self.deny(now, &pending.addressee(), ReplyCode::FA_TIMEOUT, actions);
                    }
                }
                Deadline::Visitor((home_agent, home_address)) => {
                    if self.remove(home_agent, home_address, actions) {
                        self.counters.visitors_expired += 1;
                    }
                }
                Deadline::Keepalive(ends) => self.keep_alive(now, ends, actions),
                Deadline::Keyless(home_agent) => self.keyless.remove(home_agent),
                Deadline::Revocation(key) => self.continue_revoking(now, key, actions),
                Deadline::Revoked(key) => {
                    self.revoked.remove(&key);
                }
            }
        }
    }

    /// An ICMP error about something that we sent to this address, or no way there. Whose request it quotes is told, or
    /// everybody whose request went there if it quotes too little (RFC 5944 §3.7.2.3). A reply that comes nevertheless still
    /// counts, since ICMP can be forged.
    pub fn handle_unreachable(
        &mut self,
        now: Now,
        destination: Ipv4Addr,
        what: Unreachable,
        quoted: &[u8],
        actions: &mut Vec<Action>,
    ) {
        if !quoted.is_empty() && message_type(quoted) != Some(MessageType::RegistrationRequest) {
            return;
        }
        let concerned = match RegistrationRequest::parse_fixed(quoted) {
            Ok(request) => self
                .pending
                .of_node(request.home_address)
                .filter(|(_, pending)| pending.request == request && pending.relayed_to == destination)
                .map(|(id, _)| id)
                .collect(),
            Err(_) => self.pending.relayed_to(destination),
        };
        for id in concerned {
            self.deny_pending(now, id, what.code(), actions);
        }
    }

    /// Removes a visitor on the operator's order; its home agent is told if that was agreed on. `false` if there is none.
    pub fn remove_visitor(
        &mut self,
        now: Now,
        home_agent: HomeAgentAddress,
        home_address: HomeAddress,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(visitor) = self.visitor(home_agent, home_address).copied() else { return false };
        self.remove(home_agent, home_address, actions);
        self.start_revoking(now, &visitor);
        self.counters.visitors_removed += 1;
        true
    }

    /// The challenge to advertise on an interface, again or for the first time; `None` if there are none.
    pub fn challenge(&mut self, interface: InterfaceIndex) -> Option<Challenge> {
        Some(self.challenges.as_mut()?.newest(interface, &mut self.random))
    }

    /// A new challenge for an advertisement that nobody asked for; the oldest is not accepted any more (RFC 4721 §3.1).
    pub fn renew_challenge(&mut self, interface: InterfaceIndex) -> Option<Challenge> {
        Some(self.challenges.as_mut()?.renew(interface, &mut self.random))
    }

    /// All visitors, ascending by home agent and home address.
    pub fn visitors(&self) -> impl Iterator<Item = &VisitorEntry> {
        self.visitors.values()
    }

    /// One visitor.
    pub fn visitor(&self, home_agent: HomeAgentAddress, home_address: HomeAddress) -> Option<&VisitorEntry> {
        self.visitors.get(&(home_agent, home_address))
    }

    /// All registrations that wait for the home agent, ascending by home address.
    pub fn pending(&self) -> impl Iterator<Item = &PendingRegistration> {
        self.pending.iter()
    }

    /// How many visitors, pending registrations and timers there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.visitors.len(), self.pending.len(), self.deadlines.len())
    }

    /// How many things with a timer are remembered beside these: registrations that are being revoked or were, tunnels over
    /// UDP, home agents without GRE keys.
    pub fn memories(&self) -> usize {
        self.revoking.len() + self.revoked.len() + self.udp_tunnels.len() + self.keyless.len()
    }

    /// Whether no further visitor would be taken: advertise B.
    pub fn is_busy(&self) -> bool {
        self.visitors.len() >= self.config.maximum_visitors || self.pending.len() >= self.config.maximum_pending
    }

    /// What must be kept on disk of the visitor; `None` = nothing.
    pub fn record(&self, now: Now, home_agent: HomeAgentAddress, home_address: HomeAddress) -> Option<VisitorRecord> {
        self.visitor(home_agent, home_address).map(|visitor| VisitorRecord::of(now, visitor))
    }

    /// Takes up where a former process stopped. Who has expired meanwhile, or is no longer provided for, is removed.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = VisitorRecord>, actions: &mut Vec<Action>) {
        for record in records {
            let visitor = record.revive(now, &self.config);
            if let Some(visitor) = visitor.filter(|_| self.visitors.len() < self.config.maximum_visitors) {
                self.install(now, visitor, actions);
            } else {
                let (home_agent, home_address) =
                    (HomeAgentAddress(record.home_agent), HomeAddress(record.home_address));
                actions.push(Action::RemoveVisitor { home_address, home_agent });
                actions.push(Action::VisitorChanged { home_agent, home_address });
            }
        }
    }

    /// Everything counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The latest security violations.
    pub fn violations(&self) -> &ViolationLog {
        &self.violations
    }

    fn has_keys(&self, pending: &PendingRegistration) -> bool {
        let key = (HomeAgentAddress(pending.relayed_to), pending.request.home_address);
        self.visitors.get(&key).is_some_and(|visitor| visitor.tunnel.gre_keys.is_some())
    }

    fn remove(&mut self, home_agent: HomeAgentAddress, home_address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let Some(removed) = self.visitors.remove(&(home_agent, home_address)) else { return false };
        self.leave_udp_tunnel(&removed);
        self.deadlines.clear(Deadline::Visitor((home_agent, home_address)));
        actions.push(Action::RemoveVisitor { home_address, home_agent });
        actions.push(Action::VisitorChanged { home_agent, home_address });
        true
    }
}
