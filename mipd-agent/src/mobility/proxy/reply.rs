//! What a reply must be to count, and what an acceptance brings about (RFC 5944 §3.6.2).

use std::{net::Ipv4Addr, time::Duration};

use super::{
    Action,
    authenticity::Authentic,
    client::{Client, Exchange, NextRequest, Outcome, Plan, Registration, State},
    home::settle_at_home,
    registration::Registrar,
    trail::Step,
    visitor::return_time,
};
use crate::{
    mobility::{
        security::ReplayProtection,
        time::{Instant, Now},
    },
    wire::{
        extension::{Extensions, kind},
        registration::RegistrationReply,
        types::{HomeAddress, Lifetime, ReplyCode},
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
        let misnamed = reply.home_agent != exchange.plan.home_agent && reply.code != ReplyCode::HA_UNKNOWN_AGENT;
        // That may be just what the foreign agent refuses it for.
        if misnamed && extensions.of_kind(kind::FOREIGN_AGENT_ERROR).next().is_none() {
            self.counters.discarded_home_agent += 1;
            return;
        }
        let Some(authentic) = self.authenticate(now, client, &exchange, source, reply, extensions) else { return };
        client.round_trip = now.instant.since(exchange.sent);
        if let Some(challenge) = authentic.challenge {
            client.challenge.offer(exchange.plan.agent.address, challenge, &mut self.challenges);
        }
        let refusal = refusal_after_acceptance(reply, &authentic, extensions);
        let answered = Step::Answered { code: refusal.unwrap_or(reply.code), round_trip: client.round_trip };
        self.trails.note(now, client.mac, answered);
        match refusal {
            Some(code) => self.take_refusal(now, client, exchange, reply, code, actions),
            None if misnamed => self.counters.discarded_home_agent += 1,
            None if reply.code.is_accepted() => {
                client.last_code = Some(reply.code);
                self.accept(now, client, exchange, reply, actions);
            }
            None => self.take_denial(now, client, exchange, reply, actions),
        }
    }

    pub(super) fn replay_protection(&self, home_address: HomeAddress) -> ReplayProtection {
        self.config.associations.primary(home_address).map_or(ReplayProtection::default(), |known| known.replay)
    }

    /// Whatever becomes of the registration: the home agent has accepted this Identification.
    pub(super) fn note_acceptance(&self, client: &mut Client, exchange: &Exchange, reply: &RegistrationReply) {
        client.exchange = Some(Exchange { outcome: Outcome::Answered, ..*exchange });
        let style = self.replay_protection(client.home_address);
        client.identifications.accept(style, exchange.identification, reply.identification);
    }

    fn accept(
        &mut self,
        now: Now,
        client: &mut Client,
        exchange: Exchange,
        reply: &RegistrationReply,
        actions: &mut Vec<Action>,
    ) {
        self.note_acceptance(client, &exchange, reply);
        if exchange.plan.lifetime == Lifetime::DEREGISTER {
            self.counters.deregistrations_accepted += 1;
            if client.state == State::ComingHome {
                client.start_afresh();
                let after = now.instant.since(client.noticed);
                self.trails.note(now, client.mac, Step::AtHome { after });
                settle_at_home(now, client, actions);
            }
            return;
        }
        client.start_afresh();
        client.retraction = None;
        let lifetime = exchange.plan.lifetime.min(reply.lifetime);
        if lifetime == Lifetime::DEREGISTER {
            client.next = NextRequest::At(now.instant + RENEWAL_MARGIN);
            return;
        }
        self.counters.accepted += 1;
        let Plan { agent, care_of_address, home_agent, mode, .. } = exchange.plan;
        let expires = lifetime.duration().map(|duration| exchange.sent + duration);
        let was_held = client.registration().is_none();
        client.state = State::Registered(Registration { agent, care_of_address, home_agent, mode, lifetime, expires });
        client.patience = None;
        client.forward(actions);
        if was_held {
            client.registered_in.get_or_insert(now.instant.since(client.noticed));
            let after = now.instant.since(client.noticed);
            self.trails.note(now, client.mac, Step::Forwarded { agent: agent.address, after });
            actions.push(Action::ReleaseHeld { mac: client.mac });
        } else {
            self.trails.note(now, client.mac, Step::Renewed { times: 1, round_trip: client.round_trip });
        }
        if client.is_address_assumed {
            self.ask(client, actions);
        }
        client.next = match renewal_time(exchange.sent, lifetime) {
            _ if client.may_have_been_away => NextRequest::At(return_time(now, client)),
            Some(at) => NextRequest::At(at),
            None => NextRequest::Never,
        };
        actions.push(Action::ClientChanged { mac: client.mac });
    }
}

/// RFC 4636: the foreign agent refuses what the home agent has accepted. What comes after the mobile-foreign
/// authentication, if there is one, anybody may have added.
fn refusal_after_acceptance(
    reply: &RegistrationReply,
    authentic: &Authentic<'_>,
    extensions: &Extensions<'_>,
) -> Option<ReplyCode> {
    let mut errors = extensions.of_kind(kind::FOREIGN_AGENT_ERROR).filter(|error| authentic.covers(error.offset));
    let status = errors.next()?.data.last()?;
    reply.code.is_accepted().then_some(ReplyCode(*status))
}

/// Early enough for several attempts; `None`: never.
fn renewal_time(sent: Instant, lifetime: Lifetime) -> Option<Instant> {
    let duration = lifetime.duration()?;
    Some(sent + duration.saturating_sub(RENEWAL_MARGIN).max(duration / 2))
}
