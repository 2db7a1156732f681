//! What the proxy does with each denial.
//!
//! A home agent's denial is authenticated and final for its request. A foreign agent's can be forged by anybody on the
//! link: it never ends a registration that is in force, and a valid reply to the denied request still counts.

use std::time::Duration;

use super::{
    Action, ReverseTunnelPolicy,
    client::{Client, Exchange, NextRequest, Outcome, Plan, Retraction, State},
    registration::Registrar,
};
use crate::{
    mobility::{
        time::Now,
        tunnel::{Delivery, Encapsulation, TunnelMode},
    },
    wire::{
        registration::RegistrationReply,
        types::{Lifetime, ReplyCode},
    },
};

/// How long to wait after an authentication failure: keys do not mend themselves.
const SECURITY_PAUSE: Duration = Duration::from_mins(1);
/// How long to wait after a denial that only an operator can do something about.
const POLICY_PAUSE: Duration = Duration::from_mins(5);
/// How long to wait after a home agent said that it wants no proxies, or not this one: RFC 5563 §9 would rather have no
/// further request, but then its change of mind would never be noticed.
const UNWELCOME_PAUSE: Duration = Duration::from_hours(1);
/// How often in a row a request is asked differently at once.
const AMENDMENT_LIMIT: u8 = 8;
/// Shortest lifetime that an unauthenticated denial can talk us into.
const SHORTEST_LIFETIME: Lifetime = Lifetime(10);

/// What to do about a denial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Remedy {
    /// The request was amended: send it.
    Ask,
    /// Leave it to the retransmission timer.
    BackOff,
    /// Do not ask again before this.
    Pause(Duration),
}

impl Registrar {
    pub(super) fn take_denial(
        &mut self,
        now: Now,
        client: &mut Client,
        exchange: Exchange,
        reply: &RegistrationReply,
        actions: &mut Vec<Action>,
    ) {
        let code = reply.code;
        let is_final = code.is_from_home_agent();
        if !is_final && exchange.outcome == Outcome::DeniedByForeignAgent {
            self.counters.discarded_duplicate += 1;
            return;
        }
        self.counters.denied.add(code);
        *if is_final { &mut self.counters.denied_by_home_agent } else { &mut self.counters.denied_by_foreign_agent } +=
            1;
        let outcome = if is_final { Outcome::Answered } else { Outcome::DeniedByForeignAgent };
        client.exchange = Some(Exchange { outcome, ..exchange });
        if is_final {
            let is_mismatch = code == ReplyCode::HA_IDENTIFICATION;
            self.counters.denied_identification += u64::from(is_mismatch);
            client.identifications.refuse(
                self.replay_protection(client.home_address),
                exchange.plan.home_agent,
                now,
                reply.identification,
                is_mismatch,
                &mut self.clocks,
            );
        }
        let is_retraction = client.is_visitor() && exchange.plan.lifetime == Lifetime::DEREGISTER;
        if is_retraction || (!is_final && !client.is_visitor()) {
            return;
        }
        client.last_code = Some(code);
        match self.remedy(client, &exchange, reply, actions) {
            Remedy::Ask => {
                if is_final {
                    client.wait = client.first_wait();
                }
                self.request(now, client, actions);
            }
            Remedy::BackOff => {}
            Remedy::Pause(_) if !is_final && client.registration().is_some() => {}
            Remedy::Pause(pause) => {
                client.next = NextRequest::At(now.instant + pause);
                if is_final && client.state == State::Registering {
                    actions.push(Action::DropHeld { mac: client.mac });
                }
            }
        }
    }

    /// The home agent has accepted what the foreign agent refuses (RFC 4636): the client is not registered, and its home
    /// agent is told so, unless that would end the registration in force.
    pub(super) fn take_refusal(
        &mut self,
        now: Now,
        client: &mut Client,
        exchange: Exchange,
        reply: &RegistrationReply,
        code: ReplyCode,
        actions: &mut Vec<Action>,
    ) {
        self.counters.refused_after_acceptance += 1;
        self.note_acceptance(client, &exchange, reply);
        if exchange.plan.lifetime == Lifetime::DEREGISTER {
            return;
        }
        client.last_code = Some(code);
        self.counters.denied.add(code);
        self.counters.denied_by_foreign_agent += 1;
        let agent = exchange.plan.agent.address;
        client.amendments.avoid = Some(agent);
        let mut then = match client.next {
            NextRequest::At(at) => at,
            _ => now.instant + client.wait,
        };
        if is_security_event(code) {
            self.counters.security_events += 1;
            if client.registration().is_none() && self.agents.open() < 2 {
                then = now.instant + SECURITY_PAUSE;
            }
        }
        client.next = NextRequest::At(then);
        let in_force = client.registration().map(|registration| registration.care_of_address);
        if in_force == Some(exchange.plan.care_of_address) {
            return;
        }
        let plan = Plan { lifetime: Lifetime::DEREGISTER, mode: TunnelMode::default(), ..exchange.plan };
        client.retraction = Some(Retraction { plan, then });
        self.request(now, client, actions);
    }

    fn remedy(
        &mut self,
        client: &mut Client,
        exchange: &Exchange,
        reply: &RegistrationReply,
        actions: &mut Vec<Action>,
    ) -> Remedy {
        let may_amend = client.amendments.count < AMENDMENT_LIMIT;
        if may_amend && self.amend(client, exchange, reply).is_some() {
            client.amendments.count += 1;
            return Remedy::Ask;
        }
        match reply.code {
            code if is_security_event(code) => {
                self.counters.security_events += 1;
                Remedy::Pause(SECURITY_PAUSE)
            }
            ReplyCode::FA_CARE_OF_ADDRESS => {
                // What it advertises now may be something else.
                client.amendments.care_of_address = 0;
                actions.push(Action::Solicit);
                Remedy::BackOff
            }
            code if is_temporary(code) => Remedy::BackOff,
            ReplyCode::FA_UNKNOWN_CHALLENGE | ReplyCode::FA_MISSING_CHALLENGE | ReplyCode::FA_STALE_CHALLENGE
                if self.can_answer(client, &exchange.plan) =>
            {
                Remedy::BackOff
            }
            ReplyCode::HA_IDENTIFICATION => Remedy::Pause(SECURITY_PAUSE),
            ReplyCode::HA_PROXY_UNSUPPORTED | ReplyCode::HA_PROXY_PROHIBITED => Remedy::Pause(UNWELCOME_PAUSE),
            _ => Remedy::Pause(POLICY_PAUSE),
        }
    }

    /// Changes what will be asked for as the denial suggests; `None`: there is nothing that could be asked differently.
    fn amend(&mut self, client: &mut Client, exchange: &Exchange, reply: &RegistrationReply) -> Option<()> {
        let asked = exchange.plan;
        let policy = self.config.reverse_tunnel;
        match reply.code {
            ReplyCode::FA_LIFETIME => {
                let offered = reply.lifetime.max(SHORTEST_LIFETIME);
                (offered < asked.lifetime).then(|| client.amendments.lifetime = Some(offered))
            }
            ReplyCode::HA_IDENTIFICATION => Some(()),
            ReplyCode::HA_UNKNOWN_AGENT => {
                let named = reply.home_agent.0;
                let is_news = reply.home_agent != asked.home_agent
                    && !(named.is_unspecified() || named.is_broadcast() || named.is_multicast());
                (is_news && client.is_visitor()).then(|| client.home_agent = Some(reply.home_agent))
            }
            ReplyCode::FA_ENCAPSULATION | ReplyCode::HA_ENCAPSULATION | ReplyCode::HA_UDP_ENCAPSULATION => {
                // With code 142, too: a foreign agent that tunnels over UDP asks for what M and G say (RFC 3519 §3.1).
                let may_drop = asked.mode.encapsulation != Encapsulation::IpInIp;
                may_drop.then(|| client.amendments.plain_encapsulation = true)
            }
            ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE
            | ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE
            | ReplyCode::FA_MALFORMED_REQUEST
            | ReplyCode::HA_MALFORMED => {
                let may_drop = asked.mode.is_reverse() && policy != ReverseTunnelPolicy::Require;
                may_drop.then(|| client.amendments.reverse_tunnel = Some(false))
            }
            ReplyCode::FA_REVERSE_TUNNEL_MANDATORY | ReplyCode::HA_REVERSE_TUNNEL_MANDATORY => {
                let may_set = !asked.mode.is_reverse() && policy != ReverseTunnelPolicy::Never;
                may_set.then(|| client.amendments.reverse_tunnel = Some(true))
            }
            ReplyCode::FA_DELIVERY_STYLE => {
                let may_drop = asked.mode.reverse == Some(Delivery::Encapsulating);
                may_drop.then(|| client.amendments.direct_delivery = true)
            }
            ReplyCode::FA_CARE_OF_ADDRESS => {
                let others = self.agents.foreign(asked.agent).map_or(0, |agent| agent.care_of_addresses.len());
                (client.amendments.care_of_address + 1 < others).then(|| client.amendments.care_of_address += 1)
            }
            ReplyCode::FA_UNKNOWN_CHALLENGE | ReplyCode::FA_MISSING_CHALLENGE | ReplyCode::FA_STALE_CHALLENGE => {
                client.challenge.demand(asked.agent.address);
                self.can_answer(client, &asked).then_some(())
            }
            code if is_temporary(code) && !code.is_from_home_agent() => {
                let has_others = usize::from(client.amendments.switches) + 1 < self.agents.open();
                client.amendments.avoid = has_others.then_some(asked.agent.address);
                if !has_others {
                    client.amendments.switches = 0;
                    return None;
                }
                client.amendments.switches += 1;
                client.amendments.care_of_address = 0;
                Some(())
            }
            _ => None,
        }
        .inspect(|()| self.counters.amended += 1)
    }
}

/// An agent does not believe another, or the client.
fn is_security_event(code: ReplyCode) -> bool {
    matches!(
        code,
        ReplyCode::FA_MOBILE_AUTHENTICATION
            | ReplyCode::FA_HOME_AUTHENTICATION
            | ReplyCode::HA_MOBILE_AUTHENTICATION
            | ReplyCode::HA_FOREIGN_AUTHENTICATION
    )
}

/// It may go better in a moment, or through another foreign agent.
fn is_temporary(code: ReplyCode) -> bool {
    matches!(code, ReplyCode::FA_RESOURCES | ReplyCode::FA_TIMEOUT | ReplyCode::HA_RESOURCES | ReplyCode(80..=95))
}
