//! What the proxy does with each denial.
//!
//! A home agent's denial is authenticated and final for its request. A foreign agent's can be forged by anybody on the
//! link: it never ends a registration that is in force, and a valid reply to the denied request still counts.

use std::time::Duration;

use super::{
    Action, ReverseTunnelPolicy,
    client::{Client, Exchange, FIRST_WAIT, NextRequest, Outcome, State},
    registration::Registrar,
};
use crate::{
    mobility::time::Now,
    wire::{
        registration::RegistrationReply,
        types::{Lifetime, ReplyCode},
    },
};

/// How long to wait after an authentication failure: keys do not mend themselves.
const SECURITY_PAUSE: Duration = Duration::from_mins(1);
/// How long to wait after a denial that only an operator can do something about.
const POLICY_PAUSE: Duration = Duration::from_mins(5);
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
        client.last_code = Some(code);
        let outcome = if is_final { Outcome::Answered } else { Outcome::DeniedByForeignAgent };
        client.exchange = Some(Exchange { outcome, ..exchange });
        if !is_final && !client.is_visitor() {
            return;
        }
        match self.remedy(now, client, &exchange, reply) {
            Remedy::Ask => {
                if is_final {
                    client.wait = FIRST_WAIT;
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

    fn remedy(&mut self, now: Now, client: &mut Client, exchange: &Exchange, reply: &RegistrationReply) -> Remedy {
        let asked = exchange.plan;
        let amended = match reply.code {
            ReplyCode::FA_LIFETIME => {
                let offered = reply.lifetime.max(SHORTEST_LIFETIME);
                (offered < asked.lifetime).then(|| client.amendments.lifetime = Some(offered))
            }
            ReplyCode::HA_IDENTIFICATION => {
                self.counters.denied_identification += 1;
                let was_off = self.clocks.learn(asked.home_agent, now.wall, reply.identification);
                client.sequence.mismatch(reply.identification, was_off);
                Some(())
            }
            ReplyCode::HA_UNKNOWN_AGENT => {
                let is_news = reply.home_agent != asked.home_agent && !reply.home_agent.0.is_unspecified();
                (is_news && client.is_visitor()).then(|| client.home_agent = Some(reply.home_agent))
            }
            ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE
            | ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE
            | ReplyCode::FA_MALFORMED_REQUEST
            | ReplyCode::HA_MALFORMED => {
                let may_drop = asked.reverse_tunnel && self.config.reverse_tunnel != ReverseTunnelPolicy::Require;
                may_drop.then(|| client.amendments.reverse_tunnel = Some(false))
            }
            ReplyCode::FA_REVERSE_TUNNEL_MANDATORY | ReplyCode::HA_REVERSE_TUNNEL_MANDATORY => {
                let may_set = !asked.reverse_tunnel && self.config.reverse_tunnel != ReverseTunnelPolicy::Never;
                may_set.then(|| client.amendments.reverse_tunnel = Some(true))
            }
            ReplyCode::FA_CARE_OF_ADDRESS => {
                let others = self.usable_agent().map_or(0, |agent| agent.care_of_addresses.len());
                (client.amendments.care_of_address + 1 < others).then(|| client.amendments.care_of_address += 1)
            }
            _ => None,
        };
        if amended.is_some() && client.amendments.count < AMENDMENT_LIMIT {
            client.amendments.count += 1;
            return Remedy::Ask;
        }
        match reply.code {
            ReplyCode::FA_MOBILE_AUTHENTICATION
            | ReplyCode::FA_HOME_AUTHENTICATION
            | ReplyCode::HA_MOBILE_AUTHENTICATION
            | ReplyCode::HA_FOREIGN_AUTHENTICATION => {
                self.counters.security_events += 1;
                Remedy::Pause(SECURITY_PAUSE)
            }
            ReplyCode::FA_RESOURCES
            | ReplyCode::FA_TIMEOUT
            | ReplyCode::FA_CARE_OF_ADDRESS
            | ReplyCode::HA_RESOURCES
            | ReplyCode(80..=95) => Remedy::BackOff,
            ReplyCode::HA_IDENTIFICATION => Remedy::Pause(SECURITY_PAUSE),
            _ => Remedy::Pause(POLICY_PAUSE),
        }
    }
}
