//! Registration revocation (RFC 3543): the foreign agent that a client has left is told at once, and may itself tell us
//! that a client is gone.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Action, HomeAgent, MobilityBinding, counters::Discard, petition::Petition, signers::Layout};
use crate::{
    mobility::{
        deadlines::Deadlines,
        link::{Received, Transmit},
        security::{Verification, Violation, ViolationReason, verify},
        time::{Instant, Now},
    },
    wire::{
        authentication::spi,
        extension::{Extensions, kind},
        revocation::{Revocation, RevocationAcknowledgement, RevocationSupport, is_newer, next_stamp},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification},
    },
};

/// Least time between two messages about one binding, and the first wait for an acknowledgement.
const INTERVAL: Duration = Duration::from_secs(1);

/// So often a revocation is sent, the waits doubling: for about a minute. The RFC only says when to stop at the latest,
/// which for an infinite binding would be never.
const TRANSMISSIONS: usize = 7;

/// Bindings that foreign agents revoked are remembered, so that one that missed our acknowledgement gets another: so many,
const REVOKED_CAPACITY: usize = 1024;

/// and so long.
const REVOKED_TIME: Duration = Duration::from_mins(10);

/// What both agents said about revocation when the binding was registered last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevocationTerms {
    /// Whether both are willing to use the inform bit.
    pub inform: bool,
    /// The foreign agent's clock in the request: its revocations must be newer.
    pub foreign_timestamp: u32,
    /// Our clock in the reply: our revocations must be newer.
    pub own_timestamp: u32,
}

/// The foreign agent's offer of revocation, if it is under its signature.
pub(super) fn offer(petition: &Petition<'_>, layout: Layout) -> Option<RevocationSupport> {
    let (extension, support) = RevocationSupport::find(&petition.extensions)?;
    (layout.foreign.is_some() && layout.is_from_foreign_agent(extension.offset)).then_some(support)
}

/// The later of two clocks that wrap.
fn later(one: u32, other: u32) -> u32 {
    if is_newer(one, other) { one } else { other }
}

/// A revocation that is not acknowledged yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    home_agent: HomeAgentAddress,
    /// Where the last accepted request came from.
    destination: Ipv4Addr,
    inform: bool,
    /// The last timestamp used, in whatever message.
    timestamp: u32,
    identifiers: [u32; TRANSMISSIONS],
    transmissions: usize,
    /// When the binding would have ended.
    ends: Option<Instant>,
}

/// A binding that its foreign agent has revoked.
#[derive(Clone, Copy, Debug)]
struct Revoked {
    home_agent: HomeAgentAddress,
    /// Of the last revocation that we acknowledged.
    identifier: u32,
}

type Key = (HomeAddress, CareOfAddress);

/// Our revocations that are not acknowledged yet, and the foreign agents' that were.
#[derive(Clone, Debug, Default)]
pub(super) struct Revocations {
    pending: BTreeMap<Key, Pending>,
    deadlines: Deadlines<Key>,
    revoked: BTreeMap<Key, Revoked>,
    /// When those are forgotten.
    oblivion: Deadlines<Key>,
}

impl Revocations {
    /// When one must be sent again or is forgotten.
    pub fn next(&self) -> Option<Instant> {
        self.deadlines.next().into_iter().chain(self.oblivion.next()).min()
    }

    fn remember(&mut self, now: Now, binding: &MobilityBinding, identifier: u32) {
        if self.revoked.len() >= REVOKED_CAPACITY {
            return;
        }
        let key = (binding.home_address, binding.care_of_address);
        self.revoked.insert(key, Revoked { home_agent: binding.home_agent, identifier });
        let latest = now.instant + REVOKED_TIME;
        self.oblivion.set(key, binding.expires.map_or(latest, |expires| expires.min(latest)));
    }

    fn forget(&mut self, key: Key) {
        self.oblivion.clear(key);
        self.revoked.remove(&key);
    }

    fn forget_due(&mut self, now: Now) {
        while let Some(key) = self.oblivion.pop_due(now.instant) {
            self.revoked.remove(&key);
        }
    }

    /// Ends a revocation that ought not to have begun.
    pub fn withdraw(&mut self, home_address: HomeAddress, care_of_address: CareOfAddress) {
        self.remove((home_address, care_of_address));
    }

    fn remove(&mut self, key: Key) -> Option<Pending> {
        self.deadlines.clear(key);
        self.pending.remove(&key)
    }

    /// Those about a client that went to `destination`.
    fn to(&self, home_address: HomeAddress, destination: Ipv4Addr) -> impl Iterator<Item = (Key, &Pending)> {
        let first = (home_address, CareOfAddress(Ipv4Addr::UNSPECIFIED));
        let last = (home_address, CareOfAddress(Ipv4Addr::BROADCAST));
        let mine = self.pending.range(first..=last).map(|(key, pending)| (*key, pending));
        mine.filter(move |(_, pending)| pending.destination == destination)
    }
}

impl HomeAgent {
    /// What is agreed on about a binding that is registered now; ends a revocation of the one before it.
    pub(super) fn agree_on_revocation(
        &mut self,
        now: Now,
        petition: &Petition<'_>,
        offer: Option<RevocationSupport>,
        before: Option<&MobilityBinding>,
    ) -> Option<RevocationTerms> {
        let key = (petition.home_address, petition.request.care_of_address);
        self.revocations.forget(key);
        let revoked = self.revocations.remove(key).map(|pending| pending.timestamp);
        let known = before.and_then(|before| before.revocation).map(|terms| terms.own_timestamp);
        let own_timestamp = revoked.into_iter().chain(known).fold(now.wall.seconds(), later);
        offer.map(|offer| RevocationTerms { inform: offer.inform, foreign_timestamp: offer.timestamp, own_timestamp })
    }

    /// Tells the foreign agent that the binding is over, if it agreed to be told.
    pub(super) fn revoke(&mut self, now: Now, binding: &MobilityBinding, inform: bool, actions: &mut Vec<Action>) {
        let Some(terms) = binding.revocation else { return };
        let key = (binding.home_address, binding.care_of_address);
        let pending = Pending {
            home_agent: binding.home_agent,
            destination: binding.source,
            inform: inform && terms.inform,
            timestamp: terms.own_timestamp,
            identifiers: [0; TRANSMISSIONS],
            transmissions: 0,
            ends: binding.expires,
        };
        if self.revocations.pending.len() >= self.config.maximum_bindings {
            self.counters.revocations_abandoned += 1;
            return;
        }
        self.revocations.pending.insert(key, pending);
        let earliest = binding.renewed_at + INTERVAL;
        if earliest <= now.instant {
            self.send_revocation(now, key, actions);
        } else {
            self.revocations.deadlines.set(key, earliest);
        }
    }

    /// Sends again, and forgets, what is due.
    pub(super) fn continue_revocations(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.revocations.forget_due(now);
        while let Some(key) = self.revocations.deadlines.pop_due(now.instant) {
            self.send_revocation(now, key, actions);
        }
    }

    fn send_revocation(&mut self, now: Now, key: Key, actions: &mut Vec<Action>) {
        let (home_address, care_of_address) = key;
        let Some(pending) = self.revocations.pending.get_mut(&key) else { return };
        let signer = self.config.foreign_home.primary(care_of_address.0);
        let has_ended = pending.ends.is_some_and(|ends| ends <= now.instant);
        let (Some(signer), false, true) = (signer, has_ended, pending.transmissions < TRANSMISSIONS) else {
            self.revocations.remove(key);
            self.counters.revocations_abandoned += 1;
            return;
        };
        // Fresh in every message: newer than the one before, even if our clock was set back.
        pending.timestamp = next_stamp(now.wall.seconds(), Some(pending.timestamp));
        pending.identifiers[pending.transmissions] = pending.timestamp;
        let wait = INTERVAL * (1 << pending.transmissions);
        pending.transmissions += 1;
        let mut payload = Vec::new();
        Revocation {
            from_home_agent: true,
            inform: pending.inform,
            home_address,
            home_agent: pending.home_agent,
            foreign_agent: care_of_address.0,
            identifier: pending.timestamp,
        }
        .emit(&mut payload);
        signer.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
        actions.push(Action::Send(Transmit::between_agents(payload, pending.home_agent.0, pending.destination)));
        self.revocations.deadlines.set(key, now.instant + wait);
        self.counters.revocations_sent += 1;
    }

    /// Whether a revocation acknowledgement may be ours, rather than the foreign agent's of the same box.
    pub fn awaits_acknowledgement(&self, received: &Received<'_>) -> bool {
        RevocationAcknowledgement::parse(received.payload).is_ok_and(|(acknowledgement, _)| {
            self.revocations.to(acknowledgement.home_address, received.source).next().is_some()
        })
    }

    pub(super) fn handle_acknowledgement(&mut self, now: Now, received: &Received<'_>) {
        let Ok((acknowledgement, extensions)) = RevocationAcknowledgement::parse(received.payload) else {
            self.counters.discarded.add(Discard::MalformedRevocation);
            return;
        };
        let home_address = acknowledgement.home_address;
        let key = self
            .revocations
            .to(home_address, received.source)
            .find(|(_, pending)| pending.identifiers[..pending.transmissions].contains(&acknowledgement.identifier))
            .map(|(key, _)| key);
        let Some(key) = key else {
            self.counters.discarded.add(Discard::StrangeAcknowledgement);
            return;
        };
        if self.is_signed_by(now, received, &extensions, key.1.0, home_address, acknowledgement.identifier) {
            self.revocations.remove(key);
            self.counters.revocations_acknowledged += 1;
        }
    }

    /// A foreign agent's revocation: the binding ends, and it is told so, once more if it revokes again what it has revoked.
    /// Anything wrong with it is silent (RFC 3543 §4).
    pub(super) fn handle_revocation(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let (revocation, extensions) = match Revocation::parse(received.payload) {
            Ok((revocation, _)) if revocation.from_home_agent => {
                self.counters.discarded.add(Discard::ReflectedRevocation);
                return;
            }
            Ok(parsed) => parsed,
            Err(_) => {
                self.counters.discarded.add(Discard::MalformedRevocation);
                return;
            }
        };
        let Revocation { home_address, home_agent, foreign_agent, identifier, .. } = revocation;
        let addresses = (received.source, received.destination) == (foreign_agent, home_agent.0);
        let key = (home_address, CareOfAddress(foreign_agent));
        let terms = self
            .nodes
            .get(home_address)
            .and_then(|node| node.binding_at(key.1))
            .filter(|binding| binding.home_agent == home_agent)
            .and_then(|binding| binding.revocation);
        let revoked = self.revocations.revoked.get(&key).filter(|revoked| revoked.home_agent == home_agent);
        let newest = terms.map(|terms| terms.foreign_timestamp).or(revoked.map(|revoked| revoked.identifier));
        let Some(newest) = newest.filter(|_| addresses) else {
            self.counters.discarded.add(Discard::NothingToRevoke);
            return;
        };
        if !self.is_signed_by(now, received, &extensions, foreign_agent, home_address, identifier) {
            return;
        }
        if !is_newer(identifier, newest) {
            self.counters.discarded.add(Discard::OldRevocation);
            return;
        }
        if terms.is_some() {
            for binding in self.unbind(now, home_address, actions, |binding| binding.care_of_address == key.1) {
                self.revocations.remember(now, &binding, identifier);
            }
            self.counters.bindings_revoked += 1;
            self.acknowledge(received, &revocation, actions);
            actions.push(Action::BindingChanged { home_address });
        } else {
            self.revocations.revoked.entry(key).and_modify(|revoked| revoked.identifier = identifier);
            self.counters.acknowledgements_repeated += 1;
            self.acknowledge(received, &revocation, actions);
        }
    }

    fn acknowledge(&self, received: &Received<'_>, revocation: &Revocation, actions: &mut Vec<Action>) {
        let Some(signer) = self.config.foreign_home.primary(revocation.foreign_agent) else { return };
        let Revocation { inform, home_address, identifier, .. } = *revocation;
        let mut payload = Vec::new();
        RevocationAcknowledgement { inform, home_address, identifier }.emit(&mut payload);
        signer.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
        actions.push(Action::Send(Transmit::answer(received, payload)));
    }

    /// Whether the foreign agent has signed; if not, it is counted and logged.
    fn is_signed_by(
        &mut self,
        now: Now,
        received: &Received<'_>,
        extensions: &Extensions<'_>,
        foreign_agent: Ipv4Addr,
        home_address: HomeAddress,
        identifier: u32,
    ) -> bool {
        let associations = &self.config.foreign_home;
        let spi = extensions.of_kind(kind::FOREIGN_HOME_AUTHENTICATION).next().and_then(|extension| spi(&extension));
        let reason = match verify(extensions, kind::FOREIGN_HOME_AUTHENTICATION, |spi| {
            associations.lookup(foreign_agent, spi)
        }) {
            Verification::Valid { .. } => return true,
            Verification::Absent => ViolationReason::MissingExtension,
            Verification::UnknownSpi => ViolationReason::BadSpi,
            Verification::Wrong(_) | Verification::Repeated => ViolationReason::BadAuthenticator,
        };
        self.counters.discarded.add(Discard::UnauthenticRevocation);
        self.violations.push(Violation {
            at: now,
            peer: received.source,
            home_address,
            spi,
            identification: Identification(identifier.into()),
            reason,
        });
        false
    }
}
