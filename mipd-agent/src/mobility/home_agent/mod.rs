//! The home agent: authenticates registrations and keeps the mobility bindings (RFC 5944 §3.8).
//!
//! * [`config`]: its settings;
//! * `request`: the ordered checks; `negotiation`, `udp_tunnel`: what is agreed on about the tunnel; `registration`: what an
//!   accepted request changes; `reply`: the answers; `announcement`: gratuitous ARP;
//! * `petition`, `authentication`, `signers`: a request, and by what it and its reply are authenticated;
//! * `revocation`: foreign agents are told that a client has left, and tell us; `limiter`: how often strangers are answered;
//! * [`binding`]: bindings; [`record`]: their form on disk; `node`: all that is known of a node, and its timers;
//! * `uncarried`: registrations that the data path has no room for;
//! * `parked`: requests that wait for a security association to be downloaded;
//! * [`counters`].

mod announcement;
mod authentication;
pub mod binding;
pub mod config;
pub mod counters;
mod limiter;
mod negotiation;
mod node;
mod parked;
mod petition;
pub mod record;
mod registration;
mod reply;
mod request;
mod revocation;
mod signers;
#[cfg(test)]
mod tests;
mod udp_tunnel;
mod uncarried;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_common::mac::MacAddress;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub use binding::{Broadcasts, Exit, MobilityBinding};
pub use config::{Config, HomeSubnet};
pub use counters::{Counters, Discard};
pub use record::{BindingRecord, RecordedBinding, RecordedUdpTunnel};
pub use revocation::RevocationTerms;
pub use udp_tunnel::{Keepalive, UdpTunnelling};

use self::{
    announcement::Announce,
    limiter::DenialLimiter,
    negotiation::GreKeySequence,
    node::Nodes,
    parked::ParkedRequests,
    petition::Petition,
    reply::{Answer, reply},
    request::{Examination, Offence, Refused, Verdict},
    revocation::Revocations,
    signers::Signers,
    uncarried::Unconfirmed,
};
use crate::{
    mobility::{
        link::{InterfaceIndex, Received, Transmit},
        pace::Pace,
        security::{Nonces, RecordedNonces, ReplayWindow, Violation, ViolationLog},
        time::{Instant, Now},
    },
    wire::{
        authentication::Algorithm,
        registration::{MessageType, message_type},
        types::{HomeAddress, Identification, ReplyCode},
    },
};

/// What the daemon must do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram.
    Send(Transmit),
    /// Tunnel everything for the client to these exits, a copy to each, in place of where it went before. If that is not
    /// possible, [`HomeAgent::cannot_carry`] must be called before anything else.
    InstallBinding {
        /// The client.
        home_address: HomeAddress,
        /// Its tunnels. None as long as nothing may be sent yet: what comes for the client is dropped.
        exits: Vec<Exit>,
    },
    /// The client has no binding any more: no tunnel, no proxy ARP.
    RemoveBinding {
        /// The client.
        home_address: HomeAddress,
    },
    /// Broadcast a gratuitous ARP (RFC 5944 §4.6).
    GratuitousArp {
        /// Where.
        interface: InterfaceIndex,
        /// The client's address.
        address: HomeAddress,
        /// Who has it; `None` = we, with the interface's own address.
        mac: Option<MacAddress>,
    },
    /// The client's link-layer address, learned from an authentic request on its home link.
    ClientMac {
        /// The client.
        home_address: HomeAddress,
        /// Its address.
        mac: MacAddress,
    },
    /// Worth a line in the log, and not sent more than once in ten seconds: where any algorithm is accepted
    /// ([`crate::mobility::security::SecurityAssociation::accept_any_algorithm`]), this one matched.
    AlgorithmMatched {
        /// The client.
        home_address: HomeAddress,
        /// What it uses.
        algorithm: Algorithm,
    },
    /// What [`HomeAgent::record`] says of the client has changed.
    BindingChanged {
        /// The client.
        home_address: HomeAddress,
    },
    /// Ask the server for the client's associations, or note that they are in use, and call
    /// [`HomeAgent::take_associations`].
    AssociationsNeeded {
        /// The client.
        home_address: HomeAddress,
    },
}

/// A home agent.
#[derive(Debug)]
pub struct HomeAgent {
    config: Arc<Config>,
    nodes: Nodes,
    next_gre_key: GreKeySequence,
    random: StdRng,
    probes: Pace,
    algorithm_log: Pace,
    denials: DenialLimiter,
    revocations: Revocations,
    parked: ParkedRequests,
    unconfirmed: Option<Unconfirmed>,
    counters: Counters,
    violations: ViolationLog,
}

impl HomeAgent {
    /// A home agent without bindings.
    pub fn new(config: Config) -> Self {
        Self {
            nodes: Nodes::new(config.seed),
            next_gre_key: GreKeySequence::new(config.seed),
            random: StdRng::seed_from_u64(config.seed),
            probes: limiter::PROBES,
            algorithm_log: Pace::new(Duration::from_secs(10), 1),
            denials: DenialLimiter::default(),
            revocations: Revocations::default(),
            config: Arc::new(config),
            parked: ParkedRequests::default(),
            unconfirmed: None,
            counters: Counters::default(),
            violations: ViolationLog::default(),
        }
    }

    /// A datagram to port 434 that is for the home agent: a request, a foreign agent's revocation, or an acknowledgement.
    pub fn handle_datagram(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        match message_type(received.payload) {
            Some(MessageType::Revocation) => self.handle_revocation(now, received, actions),
            Some(MessageType::RevocationAcknowledgement) => self.handle_acknowledgement(now, received),
            _ => match Petition::parse(&self.config, received) {
                Ok(petition) if self.park(&petition, actions) => {}
                Ok(petition) => self.handle_request(now, &petition, actions),
                Err(reason) => self.counters.discarded.add(reason),
            },
        }
    }

    fn handle_request(&mut self, now: Now, petition: &Petition<'_>, actions: &mut Vec<Action>) {
        self.unconfirmed = None;
        if petition.registers() {
            self.counters.registration_requests += 1;
        } else {
            self.counters.deregistration_requests += 1;
        }
        let home_address = petition.home_address;
        let config = Arc::clone(&self.config);
        let examination = Examination { config: &config, nodes: &self.nodes, now, petition };
        let (answer, announce) = match examination.run() {
            Ok(granted) => self.accept(now, petition, &granted, actions),
            Err(refused) => {
                self.log_violation(now, petition, refused.violation);
                let Some((code, signers)) = self.denial(now, home_address, &refused) else { return };
                self.counters.denied.add(code);
                let identification = self.denial_identification(now, petition, code, signers);
                (Answer::denial(identification, code, signers), Announce::Nothing)
            }
        };
        self.note_algorithm(now, home_address, answer.signers, actions);
        self.counters.replies_sent += 1;
        actions.push(Action::Send(reply(&config, petition, &answer)));
        self.announce(now, home_address, announce, actions);
        if answer.code.is_accepted() || answer.signers.uses_nonces() {
            actions.push(Action::BindingChanged { home_address });
        }
    }

    /// The code of a refusal, unless it is silent.
    fn denial<'k>(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        refused: &Refused<'k>,
    ) -> Option<(ReplyCode, Signers<'k>)> {
        match refused.verdict {
            Verdict::Deny(code, signers)
                if refused.must_be_answered || self.denials.admit(now.instant, home_address) =>
            {
                return Some((code, signers));
            }
            Verdict::Deny(..) => self.counters.discarded.add(Discard::DenialLimited),
            Verdict::Probe(signers) if self.probes.admit(now.instant) => {
                self.counters.probes_answered += 1;
                return Some((ReplyCode::HA_UNKNOWN_AGENT, signers));
            }
            Verdict::Probe(_) => self.counters.discarded.add(Discard::ProbeLimited),
            Verdict::Discard(reason) => self.counters.discarded.add(reason),
        }
        None
    }

    /// Where any algorithm is accepted, counts which one it was, and now and then tells.
    fn note_algorithm(&mut self, now: Now, home_address: HomeAddress, signers: Signers<'_>, actions: &mut Vec<Action>) {
        let Some(signer) = signers.mobile.filter(|_| signers.is_authentic) else { return };
        if !signer.association.accept_any_algorithm {
            return;
        }
        self.counters.count_algorithm(signer.algorithm);
        if self.algorithm_log.admit(now.instant) {
            actions.push(Action::AlgorithmMatched { home_address, algorithm: signer.algorithm });
        }
    }

    /// A denial copies the Identification, except that code 133 lets the node set its clock (RFC 5944 §5.7.1), and that
    /// every reply to an authentic request with nonces brings a new one (§5.7.2).
    fn denial_identification(
        &mut self,
        now: Now,
        petition: &Petition<'_>,
        code: ReplyCode,
        signers: Signers<'_>,
    ) -> Identification {
        let request = &petition.request;
        if signers.uses_nonces() {
            self.renew_nonce(now, petition, None)
        } else if code == ReplyCode::HA_IDENTIFICATION {
            let last = self.nodes.last(petition.home_address);
            ReplayWindow::resynchronisation(now.wall, request.identification, last)
        } else {
            request.identification
        }
    }

    /// Gives the node a new nonce, in the reply to the request, which was accepted or not.
    fn renew_nonce(&mut self, now: Now, petition: &Petition<'_>, accepted: Option<Identification>) -> Identification {
        let request = &petition.request;
        let full = self.nodes.len() >= self.config.maximum_bindings.saturating_mul(2);
        if full && self.nodes.get(petition.home_address).is_none() {
            return request.identification;
        }
        let fresh = self.random.next_u32();
        let nonces = self.nodes.update(petition.home_address, |entry| {
            let nonces = Nonces::after_reply(entry.node.nonces.as_ref(), fresh, accepted);
            entry.node.nonces = Some(nonces);
            nonces
        });
        if self.binding(petition.home_address).is_none() {
            self.forget_later(now, petition.home_address);
        }
        nonces.identification(request.identification)
    }

    /// Whether a request to this address is a search for home agents, whichever agents hear it.
    pub fn is_sought_at(&self, destination: Ipv4Addr) -> bool {
        self.config.is_broadcast(destination)
    }

    /// When [`Self::handle_timeout`] wants to be called next. There may be nothing to do then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.nodes.next_alarm().into_iter().chain(self.revocations.next()).min()
    }

    /// Does everything that has become due. A binding that expires is never answered to (RFC 5944 §3.8.3).
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.unconfirmed = None;
        while let Some(home_address) = self.nodes.pop_due(now.instant) {
            self.repeat_announcement(now, home_address, actions);
            let expired = self.unbind(now, home_address, actions, |binding| binding.has_expired(now.instant));
            self.counters.bindings_expired += expired.len() as u64;
            let forgotten = self.nodes.get(home_address).is_some_and(|node| node.is_forgotten(now.instant));
            if forgotten {
                self.nodes.forget(home_address);
            }
            if !expired.is_empty() || forgotten {
                actions.push(Action::BindingChanged { home_address });
            }
        }
        self.continue_revocations(now, actions);
    }

    /// Ends all bindings of a client on the operator's order. `false` if there is none.
    pub fn deregister(&mut self, now: Now, home_address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let removed = self.unbind(now, home_address, actions, |_| true);
        self.counters.bindings_removed += removed.len() as u64;
        for binding in &removed {
            self.revoke(now, binding, true, actions);
        }
        if !removed.is_empty() {
            actions.push(Action::BindingChanged { home_address });
        }
        !removed.is_empty()
    }

    /// All bindings, ascending by home address, a client's own by age.
    pub fn bindings(&self) -> impl Iterator<Item = &MobilityBinding> {
        let mut bindings: Vec<_> = self.nodes.iter().flat_map(node::Node::bindings).collect();
        bindings.sort_by_key(|binding| binding.home_address);
        bindings.into_iter()
    }

    /// The client's binding; with several, the oldest one.
    pub fn binding(&self, home_address: HomeAddress) -> Option<&MobilityBinding> {
        self.nodes.get(home_address)?.bindings().first()
    }

    /// All bindings of the client, the oldest first.
    pub fn bindings_of(&self, home_address: HomeAddress) -> &[MobilityBinding] {
        self.nodes.get(home_address).map_or(&[], node::Node::bindings)
    }

    /// How many bindings there are.
    pub fn binding_count(&self) -> usize {
        self.nodes.binding_count()
    }

    /// How many nodes are remembered, bound or not, and how many timers there are.
    pub fn sizes(&self) -> (usize, usize) {
        self.nodes.sizes()
    }

    /// What must be kept on disk of the client; `None` = nothing.
    pub fn record(&self, now: Now, home_address: HomeAddress) -> Option<BindingRecord> {
        let node = self.nodes.get(home_address)?;
        let mut bindings = node.bindings().iter().map(|binding| RecordedBinding::of(now, binding));
        Some(BindingRecord {
            home_address: home_address.0,
            identification: node.last.map_or(0, |last| last.0),
            nonces: node.nonces.map(RecordedNonces::from),
            binding: bindings.next(),
            more: bindings.collect(),
        })
    }

    /// From now on accepts no timestamp up to this one: a former process may have accepted it, and its record got lost.
    pub fn refuse_up_to(&mut self, floor: Option<Identification>) {
        self.nodes.set_floor(floor);
    }

    /// Takes up where a former process stopped. What has expired meanwhile, or is no longer configured, is removed.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = BindingRecord>, actions: &mut Vec<Action>) {
        let config = Arc::clone(&self.config);
        for record in records {
            let home_address = HomeAddress(record.home_address);
            let known = config.mobile_home.may_cover(home_address) || config.proxies.is_some();
            let served = known && config.serves(home_address);
            let mut lost = false;
            if served && self.nodes.len() < config.maximum_bindings.saturating_mul(2) {
                let last = Some(record.identification).filter(|last| *last != 0).map(Identification);
                self.nodes.update(home_address, |entry| {
                    entry.node.last = last;
                    entry.node.nonces = record.nonces.map(Nonces::from);
                });
                let keep_others = config.simultaneous_bindings > 1;
                for recorded in record.bindings() {
                    let room = self.nodes.binding_count() < config.maximum_bindings;
                    let revived = recorded
                        .revive(now, &record)
                        .filter(|binding| room && config.is_own(binding.home_agent) && config.offers(&binding.tunnel));
                    lost |= revived.is_none() || !keep_others && self.binding(home_address).is_some();
                    if let Some(binding) = revived {
                        self.bind(now, binding, keep_others, &mut Vec::new());
                    }
                }
                self.forget_later(now, home_address);
            } else {
                lost = record.bindings().next().is_some();
            }
            if lost || self.binding(home_address).is_some() {
                self.push_exits(home_address, actions);
            }
            if lost {
                actions.push(Action::BindingChanged { home_address });
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

    fn log_violation(&mut self, now: Now, petition: &Petition<'_>, offence: Option<Offence>) {
        let Some(Offence { extension, reason }) = offence else { return };
        self.violations.push(Violation {
            at: now,
            peer: petition.received.source,
            home_address: petition.home_address,
            spi: petition.spi(extension),
            identification: petition.request.identification,
            reason,
        });
    }
}
