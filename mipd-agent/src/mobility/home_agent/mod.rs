//! The home agent: authenticates registrations and keeps the mobility bindings (RFC 5944 §3.8).
//!
//! * [`config`]: its settings;
//! * `request`: the ordered checks; `registration`: what an accepted one changes; `reply`: the answers;
//! * [`binding`]: bindings, and their form on disk;
//! * [`counters`].
//!
//! Not supported, and answered as the RFC says: simultaneous bindings (code 1), minimal encapsulation and GRE (139),
//! broadcasts (B is ignored), nonces.

pub mod binding;
pub mod config;
pub mod counters;
mod registration;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use mipd_common::mac::MacAddress;

pub use binding::{BindingRecord, MobilityBinding, RecordedBinding};
pub use config::{Config, HomeSubnet};
pub use counters::{Counters, Discard};

use self::{
    registration::{Announce, Deadline, Node},
    reply::{Answer, reply},
    request::{Associations, Examination, Verdict},
};
use crate::{
    mobility::{
        deadlines::Deadlines,
        link::{InterfaceIndex, Received, Transmit},
        security::ViolationLog,
        time::{Instant, Now},
    },
    wire::{
        registration::RegistrationRequest,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime},
    },
};

/// What the daemon must do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram.
    Send(Transmit),
    /// Tunnel everything for the client to this care-of address, in place of where it went before.
    InstallBinding {
        /// The client.
        home_address: HomeAddress,
        /// The tunnel's start.
        home_agent: HomeAgentAddress,
        /// The tunnel's exit.
        care_of_address: CareOfAddress,
        /// Whether to accept the client's packets out of the tunnel.
        reverse_tunnel: bool,
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
    nodes: BTreeMap<HomeAddress, Node>,
    bound: usize,
    deadlines: Deadlines<Deadline>,
    counters: Counters,
    violations: ViolationLog,
}

impl HomeAgent {
    /// A home agent without bindings.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            nodes: BTreeMap::new(),
            bound: 0,
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            violations: ViolationLog::default(),
        }
    }

    /// A datagram to port 434 that is for the home agent.
    pub fn handle_datagram(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let Ok(request) = RegistrationRequest::parse_fixed(received.payload) else {
            self.counters.discarded.add(Discard::NotARequest);
            return;
        };
        if request.lifetime == Lifetime::DEREGISTER {
            self.counters.deregistration_requests += 1;
        } else {
            self.counters.registration_requests += 1;
        }

        let config = Arc::clone(&self.config);
        let associations = || Associations { mobile_home: &config.mobile_home, foreign_home: &config.foreign_home };
        let known = self.known(&request);
        let examination = Examination { config: &config, associations: associations(), now, received, request, known };
        let (answer, announce) = match examination.run() {
            Ok(association) => self.accept(now, received, &request, association, actions),
            Err(refused) => {
                self.log_violation(now, received, &request, refused.violation);
                match refused.verdict {
                    Verdict::Discard(reason) => {
                        self.counters.discarded.add(reason);
                        return;
                    }
                    Verdict::Deny(code, association) => {
                        self.counters.denied.add(code);
                        (Answer::denial(now, &request, known.last, code, association), Announce::Nothing)
                    }
                }
            }
        };
        self.counters.replies_sent += 1;
        actions.push(Action::Send(reply(&config, &associations(), received, &request, &answer)));
        let home_address = request.home_address;
        match announce {
            Announce::Nothing => {}
            Announce::Ourselves => self.start_announcement(now, home_address, None, actions),
            Announce::Client(mac) => self.start_announcement(now, home_address, Some(mac), actions),
        }
        if answer.code.is_accepted() {
            actions.push(Action::BindingChanged { home_address });
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Does everything that has become due. A binding that expires is never answered to (RFC 5944 §3.8.3).
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(deadline) = self.deadlines.pop_due(now.instant) {
            match deadline {
                Deadline::Expiry(home_address) => {
                    if self.unbind(now, home_address, actions) {
                        self.counters.bindings_expired += 1;
                        actions.push(Action::BindingChanged { home_address });
                    }
                }
                Deadline::Announcement(home_address) => self.announce(home_address, actions),
                Deadline::Oblivion(home_address) => {
                    if self.nodes.get(&home_address).is_some_and(|node| node.binding.is_none()) {
                        self.nodes.remove(&home_address);
                        actions.push(Action::BindingChanged { home_address });
                    }
                }
            }
        }
    }

    /// Ends a binding on the operator's order. `false` if there is none.
    pub fn deregister(&mut self, now: Now, home_address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let removed = self.unbind(now, home_address, actions);
        if removed {
            self.counters.bindings_removed += 1;
            actions.push(Action::BindingChanged { home_address });
        }
        removed
    }

    /// All bindings, ascending by home address.
    pub fn bindings(&self) -> impl Iterator<Item = &MobilityBinding> {
        self.nodes.values().filter_map(|node| node.binding.as_ref())
    }

    /// The client's binding.
    pub fn binding(&self, home_address: HomeAddress) -> Option<&MobilityBinding> {
        self.nodes.get(&home_address)?.binding.as_ref()
    }

    /// How many bindings there are.
    pub fn binding_count(&self) -> usize {
        self.bound
    }

    /// What must be kept on disk of the client; `None` = nothing.
    pub fn record(&self, now: Now, home_address: HomeAddress) -> Option<BindingRecord> {
        let node = self.nodes.get(&home_address)?;
        Some(BindingRecord {
            home_address: home_address.0,
            identification: node.last.0,
            binding: node.binding.as_ref().map(|binding| RecordedBinding::of(now, binding)),
        })
    }

    /// Takes up where a former process stopped. What has expired meanwhile, or is no longer configured, is removed.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = BindingRecord>, actions: &mut Vec<Action>) {
        for record in records {
            let home_address = HomeAddress(record.home_address);
            let identification = Identification(record.identification);
            let served = self.config.serves(home_address) && self.config.mobile_home.covers(home_address);
            let recorded = record.binding.as_ref();
            let binding = recorded
                .and_then(|recorded| recorded.revive(now, home_address, identification))
                .filter(|binding| served && self.config.is_own(binding.home_agent))
                .filter(|_| self.has_room(home_address, true));
            if served && self.has_room(home_address, false) {
                self.remember(now, home_address, identification);
            }
            if let Some(binding) = binding {
                self.bind(binding, actions);
            } else if recorded.is_some() {
                actions.push(Action::RemoveBinding { home_address });
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
}
