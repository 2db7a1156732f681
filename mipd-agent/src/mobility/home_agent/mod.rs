//! The home agent: authenticates registrations and keeps the mobility bindings (RFC 5944 §3.8).
//!
//! * [`config`]: its settings;
//! * `request`: the ordered checks; `negotiation`: what is agreed on about the tunnel; `registration`: what an accepted
//!   request changes; `reply`: the answers; `announcement`: gratuitous ARP;
//! * [`binding`]: bindings; [`record`]: their form on disk; `node`: all that is known of a node, and its timers;
//! * [`counters`].

mod announcement;
pub mod binding;
pub mod config;
pub mod counters;
mod negotiation;
mod node;
pub mod record;
mod registration;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mipd_common::mac::MacAddress;

pub use binding::{Broadcasts, Exit, MobilityBinding};
pub use config::{Config, HomeSubnet};
pub use counters::{Counters, Discard};
pub use record::{BindingRecord, RecordedBinding};

use self::{
    announcement::Announce,
    negotiation::GreKeySequence,
    node::Nodes,
    reply::{Answer, reply},
    request::{Examination, Petition, Verdict},
};
use crate::{
    mobility::{
        link::{InterfaceIndex, Received, Transmit},
        security::{Violation, ViolationLog, ViolationReason},
        time::{Instant, Now},
    },
    wire::types::{HomeAddress, Identification},
};

/// What the daemon must do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram.
    Send(Transmit),
    /// Tunnel everything for the client to these exits, a copy to each, in place of where it went before.
    InstallBinding {
        /// The client.
        home_address: HomeAddress,
        /// Its tunnels; never none.
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
    /// What [`HomeAgent::record`] says of the client has changed.
    BindingChanged {
        /// The client.
        home_address: HomeAddress,
    },
}

/// A home agent.
#[derive(Clone, Debug)]
pub struct HomeAgent {
    config: Arc<Config>,
    nodes: Nodes,
    next_gre_key: GreKeySequence,
    counters: Counters,
    violations: ViolationLog,
}

impl HomeAgent {
    /// A home agent without bindings.
    pub fn new(config: Config) -> Self {
        Self {
            nodes: Nodes::new(config.seed),
            next_gre_key: GreKeySequence::new(config.seed),
            config: Arc::new(config),
            counters: Counters::default(),
            violations: ViolationLog::default(),
        }
    }

    /// A datagram to port 434 that is for the home agent.
    pub fn handle_datagram(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        match Petition::parse(received) {
            Ok(petition) => self.handle_request(now, &petition, actions),
            Err(reason) => self.counters.discarded.add(reason),
        }
    }

    fn handle_request(&mut self, now: Now, petition: &Petition<'_>, actions: &mut Vec<Action>) {
        if petition.registers() {
            self.counters.registration_requests += 1;
        } else {
            self.counters.deregistration_requests += 1;
        }
        let home_address = petition.request.home_address;
        let config = Arc::clone(&self.config);
        let examination = Examination { config: &config, nodes: &self.nodes, now, petition };
        let (answer, announce) = match examination.run() {
            Ok(granted) => self.accept(now, petition, &granted, actions),
            Err(refused) => {
                self.log_violation(now, petition, refused.violation);
                match refused.verdict {
                    Verdict::Discard(reason) => {
                        self.counters.discarded.add(reason);
                        return;
                    }
                    Verdict::Deny(code, signers) => {
                        self.counters.denied.add(code);
                        let last = self.nodes.last(home_address);
                        (Answer::denial(now, &petition.request, last, code, signers), Announce::Nothing)
                    }
                }
            }
        };
        self.counters.replies_sent += 1;
        actions.push(Action::Send(reply(&config, petition, &answer)));
        self.announce(now, home_address, announce, actions);
        if answer.code.is_accepted() {
            actions.push(Action::BindingChanged { home_address });
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next. There may be nothing to do then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.nodes.next_alarm()
    }

    /// Does everything that has become due. A binding that expires is never answered to (RFC 5944 §3.8.3).
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(home_address) = self.nodes.pop_due(now.instant) {
            self.repeat_announcement(now, home_address, actions);
            let expired = self.unbind(now, home_address, actions, |binding| binding.has_expired(now.instant));
            self.counters.bindings_expired += expired as u64;
            let forgotten = self.nodes.get(home_address).is_some_and(|node| node.is_forgotten(now.instant));
            if forgotten {
                self.nodes.forget(home_address);
            }
            if expired > 0 || forgotten {
                actions.push(Action::BindingChanged { home_address });
            }
        }
    }

    /// Ends all bindings of a client on the operator's order. `false` if there is none.
    pub fn deregister(&mut self, now: Now, home_address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let removed = self.unbind(now, home_address, actions, |_| true);
        self.counters.bindings_removed += removed as u64;
        if removed > 0 {
            actions.push(Action::BindingChanged { home_address });
        }
        removed > 0
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

    /// How many bindings there are.
    pub fn binding_count(&self) -> usize {
        self.nodes.binding_count()
    }

    /// What must be kept on disk of the client; `None` = nothing.
    pub fn record(&self, now: Now, home_address: HomeAddress) -> Option<BindingRecord> {
        let node = self.nodes.get(home_address)?;
        let mut bindings = node.bindings().iter().map(|binding| RecordedBinding::of(now, binding));
        Some(BindingRecord {
            home_address: home_address.0,
            identification: node.last.map_or(0, |last| last.0),
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
            let served = config.serves(home_address) && config.mobile_home.covers(home_address);
            let mut lost = false;
            if served && self.nodes.len() < config.maximum_bindings.saturating_mul(2) {
                let last = Some(record.identification).filter(|last| *last != 0).map(Identification);
                self.nodes.update(home_address, |entry| entry.node.last = last);
                let keep_others = config.simultaneous_bindings > 1;
                for recorded in record.bindings() {
                    let room = self.nodes.binding_count() < config.maximum_bindings;
                    let revived = recorded
                        .revive(now, &record)
                        .filter(|binding| room && config.is_own(binding.home_agent) && config.offers(&binding.tunnel));
                    lost |= revived.is_none() || !keep_others && self.binding(home_address).is_some();
                    if let Some(binding) = revived {
                        self.bind(binding, keep_others, &mut Vec::new());
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

    fn log_violation(&mut self, now: Now, petition: &Petition<'_>, reason: Option<ViolationReason>) {
        let Some(reason) = reason else { return };
        self.violations.push(Violation {
            at: now,
            peer: petition.received.source,
            home_address: petition.request.home_address,
            spi: petition.spi(),
            identification: petition.request.identification,
            reason,
        });
    }
}
