//! Registration revocation (RFC 3543): the home agent ends a visitor's registration, or we tell it that we did.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Action, Deadline, ForeignAgent,
    config::Config,
    counters::Discard,
    signature::{reason, spi_of},
    visitor::{self, VisitorEntry},
};
use crate::{
    mobility::{
        link::{Received, Transmit},
        security::{SecurityAssociation, Verification, Violation, verify},
        time::Now,
    },
    wire::{
        authentication::Algorithm,
        extension::{Extensions, ParseError, kind},
        registration::{MessageType, message_type},
        revocation::{Revocation, RevocationAcknowledgement, RevocationSupport, is_newer, next_stamp},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification},
    },
};

/// RFC 3543 §4.4: revocations and registrations of one binding are at least this far apart.
const INTERVAL: Duration = Duration::from_secs(1);

/// Revoked registrations remembered, so that a home agent that missed our acknowledgement gets another.
const REVOKED_CAPACITY: usize = 1024;

/// How long one is remembered.
const REVOKED_TIME: Duration = Duration::from_mins(10);

/// What makes a registration revocable: both agents said so when it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocable {
    /// Both are willing to have the client informed.
    pub inform: bool,
    /// Our last timestamp; our revocations must be newer.
    pub own: u32,
    /// The home agent's; its revocations must be newer.
    pub theirs: u32,
}

impl Revocable {
    /// What request and reply together say.
    pub(super) fn agreed(asked: Option<RevocationSupport>, for_us: &Extensions<'_>) -> Option<Self> {
        let (asked, (_, answered)) = (asked?, RevocationSupport::find(for_us)?);
        Some(Self { inform: asked.inform && answered.inform, own: asked.timestamp, theirs: answered.timestamp })
    }
}

/// A registration that the home agent revoked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revoked {
    care_of_address: CareOfAddress,
    identifier: u32,
    informed: bool,
}

/// How often a revocation is sent, the waits doubling, before the home agent is given up: in a quarter of an hour. By the RFC
/// only the end of the registration is an end, which one without end does not have.
const TRANSMISSIONS: usize = 10;

/// A registration that we revoke, until the home agent acknowledges or it would have ended anyway.
#[derive(Clone, Debug)]
pub(super) struct Revoking {
    visitor: VisitorEntry,
    inform: bool,
    /// The last timestamp used.
    stamp: u32,
    /// Of all revocations sent: an acknowledgement of any of them will do.
    identifiers: Vec<u32>,
    /// Until the next one.
    wait: Duration,
}

impl ForeignAgent {
    /// A revocation with the A bit, which is from a home agent, or an acknowledgement. Whatever is not exactly as it must be
    /// is met with silence (RFC 3543 §4.3).
    pub fn handle_revocation(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let config = Arc::clone(&self.config);
        let done = if message_type(received.payload) == Some(MessageType::RevocationAcknowledgement) {
            self.acknowledge(now, &config, received, actions)
        } else {
            self.counters.revocations_received += 1;
            self.revoke(now, &config, received, actions)
        };
        if let Err(discard) = done {
            self.counters.discarded.add(discard);
        }
    }

    fn revoke(
        &mut self,
        now: Now,
        config: &Config,
        received: &Received<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Discard> {
        let (revocation, extensions) = Revocation::parse(received.payload).map_err(discard)?;
        if !revocation.from_home_agent {
            return Err(Discard::ReflectedRevocation);
        }
        let key = (revocation.home_agent, revocation.home_address);
        let visitor = self.visitors.get(&key).and_then(|visitor| Some((*visitor, visitor.revocation?)));
        let (care_of_address, newest) = match (&visitor, self.revoked.get(&key)) {
            (Some((visitor, revocable)), _) => (visitor.care_of_address, revocable.theirs),
            (None, Some(revoked)) => (revoked.care_of_address, revoked.identifier),
            (None, None) => return Err(Discard::UnmatchedRevocation),
        };
        if revocation.foreign_agent != care_of_address.0
            || received.destination != care_of_address.0
            || received.source != revocation.home_agent.0
        {
            return Err(Discard::UnmatchedRevocation);
        }
        let (association, algorithm) =
            self.authenticate(now, config, received, &extensions, revocation.home_agent, revocation.home_address)?;
        if !is_newer(revocation.identifier, newest) {
            return Err(Discard::OldRevocation);
        }
        let informed = match &visitor {
            Some((visitor, revocable)) => {
                let inform = revocation.inform && revocable.inform;
                self.remove(key.0, key.1, actions);
                self.counters.visitors_revoked += 1;
                if inform {
                    actions.push(Action::inform(visitor, false));
                }
                self.remember_revoked(now, visitor);
                inform
            }
            None => self.revoked.get(&key).is_some_and(|revoked| revoked.informed),
        };
        if let Some(revoked) = self.revoked.get_mut(&key) {
            (revoked.identifier, revoked.informed) = (revocation.identifier, informed);
        }
        let mut payload = Vec::new();
        RevocationAcknowledgement {
            inform: informed && revocation.inform,
            home_address: revocation.home_address,
            identifier: revocation.identifier,
        }
        .emit(&mut payload);
        association.sign_with(algorithm, &mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
        self.counters.revocations_acknowledged += 1;
        actions.push(Action::Send(Transmit::answer(received, payload)));
        Ok(())
    }

    fn remember_revoked(&mut self, now: Now, visitor: &VisitorEntry) {
        if self.revoked.len() >= REVOKED_CAPACITY {
            return;
        }
        let latest = now.instant + REVOKED_TIME;
        let until = visitor.expires.map_or(latest, |expires| expires.min(latest));
        let revoked = Revoked { care_of_address: visitor.care_of_address, identifier: 0, informed: false };
        self.revoked.insert(visitor.key(), revoked);
        self.deadlines.set(Deadline::Revoked(visitor.key()), until);
    }

    /// Exactly one valid type 34 (RFC 3543 §3.3).
    fn authenticate<'a>(
        &mut self,
        now: Now,
        config: &'a Config,
        received: &Received<'_>,
        extensions: &Extensions<'_>,
        home_agent: HomeAgentAddress,
        home_address: HomeAddress,
    ) -> Result<(&'a SecurityAssociation, Algorithm), Discard> {
        let select = |spi| config.foreign_home.lookup(home_agent.0, spi);
        match verify(extensions, kind::FOREIGN_HOME_AUTHENTICATION, select) {
            Verification::Valid { association, algorithm, .. } => Ok((association, algorithm)),
            other => {
                self.violations.push(Violation {
                    at: now,
                    peer: received.source,
                    home_address,
                    spi: spi_of(extensions, kind::FOREIGN_HOME_AUTHENTICATION),
                    identification: Identification(0),
                    reason: reason(other),
                });
                Err(Discard::UnauthenticRevocation)
            }
        }
    }

    /// Tells the home agent that we dropped a visitor, if both agreed that it wants to know.
    pub(super) fn start_revoking(&mut self, now: Now, visitor: &VisitorEntry) {
        let Some(revocable) = visitor.revocation.filter(|_| self.config.revocation.is_some()) else { return };
        let shared = self.config.foreign_home.covers(visitor.home_agent.0);
        if !shared || self.revoking.len() >= self.config.maximum_visitors {
            return;
        }
        let revoking = Revoking {
            visitor: *visitor,
            inform: revocable.inform,
            stamp: revocable.own,
            identifiers: Vec::new(),
            wait: INTERVAL,
        };
        self.revoking.insert(visitor.key(), revoking);
        let first = now.instant.max(visitor.renewed_at + INTERVAL);
        self.deadlines.set(Deadline::Revocation(visitor.key()), first);
    }

    /// It is time to send the revocation, for the first time or again, or to give up.
    pub(super) fn continue_revoking(&mut self, now: Now, key: visitor::Key, actions: &mut Vec<Action>) {
        let config = Arc::clone(&self.config);
        let registering = self.pending.of_node(key.1).any(|(_, pending)| pending.relayed_to == key.0.0);
        let Some(revoking) = self.revoking.get_mut(&key) else { return };
        let association = config.foreign_home.primary(key.0.0);
        let over = revoking.visitor.expires.is_some_and(|expires| now.instant >= expires)
            || revoking.identifiers.len() == TRANSMISSIONS;
        let Some(association) = association.filter(|_| !over) else {
            self.revoking.remove(&key);
            self.counters.revocations_unanswered += 1;
            return;
        };
        if !registering {
            revoking.stamp = next_stamp(now.wall.seconds(), Some(revoking.stamp));
            let mut payload = Vec::new();
            Revocation {
                from_home_agent: false,
                inform: revoking.inform,
                home_address: key.1,
                home_agent: key.0,
                foreign_agent: revoking.visitor.care_of_address.0,
                identifier: revoking.stamp,
            }
            .emit(&mut payload);
            association.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
            revoking.identifiers.push(revoking.stamp);
            self.counters.revocations_sent += 1;
            let source = revoking.visitor.care_of_address.0;
            actions.push(Action::Send(Transmit::between_agents(payload, source, key.0.0)));
        }
        let next = now.instant + revoking.wait;
        revoking.wait = revoking.wait.saturating_mul(2);
        let next = revoking.visitor.expires.map_or(next, |expires| next.min(expires));
        self.deadlines.set(Deadline::Revocation(key), next);
    }

    /// A new registration is in force: nothing is revoked any more.
    pub(super) fn stop_revoking(&mut self, key: visitor::Key) {
        if self.revoking.remove(&key).is_some() {
            self.deadlines.clear(Deadline::Revocation(key));
        }
        if self.revoked.remove(&key).is_some() {
            self.deadlines.clear(Deadline::Revoked(key));
        }
    }

    /// Whether an acknowledgement is for us: the home agent acknowledges a revocation of ours. On a box with both roles it
    /// may as well be a foreign agent's.
    pub fn awaits_acknowledgement(&self, received: &Received<'_>) -> bool {
        RevocationAcknowledgement::parse(received.payload).is_ok_and(|(acknowledgement, _)| {
            self.revoking.contains_key(&(HomeAgentAddress(received.source), acknowledgement.home_address))
        })
    }

    /// RFC 3543 §3.4.
    fn acknowledge(
        &mut self,
        now: Now,
        config: &Config,
        received: &Received<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Discard> {
        let (acknowledgement, extensions) = RevocationAcknowledgement::parse(received.payload).map_err(discard)?;
        let key = (HomeAgentAddress(received.source), acknowledgement.home_address);
        let matching = self.revoking.get(&key).cloned().filter(|revoking| {
            revoking.identifiers.contains(&acknowledgement.identifier)
                && revoking.visitor.care_of_address.0 == received.destination
        });
        let revoking = matching.ok_or(Discard::UnmatchedAcknowledgement)?;
        self.authenticate(now, config, received, &extensions, key.0, key.1)?;
        self.stop_revoking(key);
        self.counters.revocations_confirmed += 1;
        if acknowledgement.inform && revoking.inform {
            actions.push(Action::inform(&revoking.visitor, true));
        }
        Ok(())
    }
}

fn discard(error: ParseError) -> Discard {
    match error {
        ParseError::UnknownNonSkippable(_) => Discard::UnknownExtension,
        _ => Discard::MalformedRevocation,
    }
}
