//! What a reply must be to count, and what an acceptance brings about (RFC 5944 §3.6.2).

use std::{net::Ipv4Addr, time::Duration};

use super::{
    Action, StationState,
    client::{Amendments, Client, Exchange, FIRST_WAIT, NextRequest, Outcome, Plan, Registration, State},
    registration::Registrar,
    visitor::return_time,
};
use crate::{
    mobility::{
        security::{self, Verification, Violation, ViolationReason},
        time::{Instant, Now},
    },
    wire::{
        authentication,
        extension::{Extensions, kind},
        registration::RegistrationReply,
        types::{Lifetime, ReplyCode},
    },
};

/// A renewal is asked for so long before the expiry, or at half time if the lifetime is short.
const RENEWAL_MARGIN: Duration = Duration::from_mins(1);

impl Registrar {
    /// Checks a reply against the client's latest request, in the order of RFC 5944 §3.6.2.1, and acts on it.
    pub fn take_reply(
        &mut self,
        now: Now,
        client: &mut Client,
        source: Ipv4Addr,
        reply: &RegistrationReply,
        extensions: &Extensions<'_>,
        actions: &mut Vec<Action>,
    ) {
        let Some(exchange) = client.exchange else {
            self.counters.discarded_unsolicited += 1;
            return;
        };
        if reply.identification.low() != exchange.identification.low() {
            self.counters.discarded_identification += 1;
            return;
        }
        if exchange.outcome == Outcome::Answered {
            self.counters.discarded_duplicate += 1;
            return;
        }
        if reply.home_agent != exchange.plan.home_agent && reply.code != ReplyCode::HA_UNKNOWN_AGENT {
            self.counters.discarded_home_agent += 1;
            return;
        }
        if reply.code.is_from_home_agent() && !self.is_authentic(now, source, reply, extensions) {
            return;
        }
        match refusal_after_acceptance(reply, extensions) {
            Some(code) => {
                self.counters.refused_after_acceptance += 1;
                self.take_denial(now, client, exchange, &RegistrationReply { code, ..*reply }, actions);
            }
            None if reply.code.is_accepted() => {
                client.last_code = Some(reply.code);
                self.accept(now, client, exchange, reply, actions);
            }
            None => self.take_denial(now, client, exchange, reply, actions),
        }
    }

    fn is_authentic(
        &mut self,
        now: Now,
        source: Ipv4Addr,
        reply: &RegistrationReply,
        extensions: &Extensions<'_>,
    ) -> bool {
        let associations = &self.config.associations;
        let verification = security::verify(extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
            associations.lookup(reply.home_address, spi)
        });
        let (counter, reason) = match verification {
            Verification::Valid { .. } => return true,
            Verification::Absent => (&mut self.counters.discarded_unauthenticated, ViolationReason::MissingExtension),
            Verification::Repeated => (&mut self.counters.discarded_unauthenticated, ViolationReason::BadAuthenticator),
            Verification::UnknownSpi => (&mut self.counters.discarded_spi, ViolationReason::BadSpi),
            Verification::Wrong(_) => (&mut self.counters.discarded_authenticator, ViolationReason::BadAuthenticator),
        };
        *counter += 1;
        self.counters.security_events += 1;
        let mut authenticators = extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION);
        self.violations.push(Violation {
            at: now,
            peer: source,
            home_address: reply.home_address,
            spi: authenticators.next().and_then(|extension| authentication::spi(&extension)),
            identification: reply.identification,
            reason,
        });
        false
    }

    fn accept(
        &mut self,
        now: Now,
        client: &mut Client,
        exchange: Exchange,
        reply: &RegistrationReply,
        actions: &mut Vec<Action>,
    ) {
        client.exchange = Some(Exchange { outcome: Outcome::Answered, ..exchange });
        client.sequence.accept(exchange.identification);
        client.amendments = Amendments::default();
        client.wait = FIRST_WAIT;
        if exchange.plan.lifetime == Lifetime::DEREGISTER {
            if client.state == State::ComingHome {
                self.settle_at_home(now, client, actions);
            }
            return;
        }
        let lifetime = exchange.plan.lifetime.min(reply.lifetime);
        if lifetime == Lifetime::DEREGISTER {
            client.next = NextRequest::At(now.instant + RENEWAL_MARGIN);
            return;
        }
        self.counters.accepted += 1;
        let Plan { agent, care_of_address, home_agent, reverse_tunnel, .. } = exchange.plan;
        let expires = lifetime.duration().map(|duration| exchange.sent + duration);
        let was_held = client.registration().is_none();
        client.state =
            State::Registered(Registration { agent, care_of_address, home_agent, reverse_tunnel, lifetime, expires });
        client.patience = None;
        client.set_station(StationState::Forward { home_address: client.home_address, agent_mac: agent.mac }, actions);
        if was_held {
            client.registered_in.get_or_insert(now.instant.since(client.noticed));
            actions.push(Action::ReleaseHeld { mac: client.mac });
        }
        client.next = match renewal_time(exchange.sent, lifetime) {
            _ if client.may_have_been_away => NextRequest::At(return_time(now, client)),
            Some(at) => NextRequest::At(at),
            None => NextRequest::Never,
        };
        actions.push(Action::ClientChanged { mac: client.mac });
    }
}

/// RFC 4636: the foreign agent refuses what the home agent has accepted.
fn refusal_after_acceptance(reply: &RegistrationReply, extensions: &Extensions<'_>) -> Option<ReplyCode> {
    let mut errors = extensions.of_kind(kind::FOREIGN_AGENT_ERROR).filter(|_| reply.code.is_accepted());
    errors.next().and_then(|extension| extension.data.last().map(|status| ReplyCode(*status)))
}

/// Early enough for several attempts; `None`: never.
fn renewal_time(sent: Instant, lifetime: Lifetime) -> Option<Instant> {
    let duration = lifetime.duration()?;
    Some(sent + duration.saturating_sub(RENEWAL_MARGIN).max(duration / 2))
}
