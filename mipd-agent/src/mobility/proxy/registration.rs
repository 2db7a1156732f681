//! Asking for a registration: what to ask of whom, when the request may leave, when it is repeated (RFC 5944 §3.6).

use std::time::Duration;

use rand::rngs::StdRng;

use super::{
    Action, Config, Counters, ForeignAgentInfo, ReverseTunnelPolicy,
    agents::{Agents, Wish},
    challenge::Challenges,
    client::{Agent, Client, Exchange, NextRequest, Outcome, Plan, SHORTEST_WAIT},
    clock::Clocks,
    trail::{Step, Trails},
};
use crate::{
    mobility::{
        link::{Path, REGISTRATION_PORT, Transmit},
        security::{ReplayProtection, ViolationLog},
        time::Now,
        tunnel::{Delivery, Encapsulation, TunnelMode},
    },
    wire::types::{CareOfAddress, Lifetime},
};

/// RFC 3024 §3.2 demands it of requests for a reverse tunnel; for the others it does no harm.
const TTL: u8 = 255;
/// The longest registration for a client that has not been seen to use its address: somebody else may have it by now, and
/// must not be cut off for long.
const ASSUMED_LIFETIME: Lifetime = Lifetime(60);

/// Registers clients: everything that their registrations have in common.
#[derive(Debug)]
pub(super) struct Registrar {
    pub config: Config,
    pub agents: Agents,
    pub challenges: Challenges,
    pub clocks: Clocks,
    pub counters: Counters,
    pub violations: ViolationLog,
    pub random: StdRng,
    pub trails: Trails,
}

impl Registrar {
    /// Sends the client's request as soon as its attachment is confirmed, the pace allows it and an agent is known.
    pub fn request(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        if !client.is_confirmed(now.instant) {
            client.next = NextRequest::WhenHeard;
            client.watch.ask_at_once(now.instant);
            return;
        }
        let earliest = client.pace.earliest();
        if earliest > now.instant {
            client.next = NextRequest::At(earliest);
            return;
        }
        if let Some(retraction) = client.retraction.take() {
            self.send(now, client, retraction.plan, actions);
            client.next = NextRequest::At(retraction.then);
            return;
        }
        let plan = if client.is_visitor() { self.registration(client) } else { self.deregistration(client) };
        match plan {
            Some(plan) => self.send(now, client, plan, actions),
            None => client.next = NextRequest::WhenAgentKnown,
        }
    }

    /// The foreign agent for a client: where it is registered, or whoever takes new visitors.
    pub fn foreign_agent(&self, client: &Client) -> Option<&ForeignAgentInfo> {
        self.agents.choose(Wish {
            in_force: client.registration().map(|registration| registration.agent),
            avoid: client.amendments.avoid,
            reverse_tunnel: self.config.reverse_tunnel == ReverseTunnelPolicy::Require,
        })
    }

    /// Through a foreign agent (RFC 5944 §3.6.1.1).
    fn registration(&self, client: &Client) -> Option<Plan> {
        let agent = self.foreign_agent(client)?;
        let care_of_addresses = &agent.care_of_addresses;
        let amendments = &client.amendments;
        let advertised = Some(agent.registration_lifetime).filter(|lifetime| *lifetime != Lifetime::DEREGISTER);
        let assumed = client.is_address_assumed.then_some(ASSUMED_LIFETIME);
        let limits = [advertised, amendments.lifetime, assumed].into_iter().flatten();
        Some(Plan {
            agent: Agent { address: agent.address, mac: agent.mac },
            care_of_address: care_of_addresses[amendments.care_of_address % care_of_addresses.len()],
            home_agent: client.home_agent?,
            mode: self.mode(client, agent),
            lifetime: limits.fold(self.config.registration_lifetime, Lifetime::min),
        })
    }

    /// G or M only if the agent advertises it, and never both (RFC 5944 §3.6.1.3); T by policy.
    fn mode(&self, client: &Client, agent: &ForeignAgentInfo) -> TunnelMode {
        let amendments = &client.amendments;
        let is_available = |encapsulation: &Encapsulation| match encapsulation {
            Encapsulation::IpInIp => true,
            Encapsulation::Gre => agent.flags.gre && !amendments.plain_encapsulation,
            Encapsulation::Minimal => agent.flags.minimal_encapsulation && !amendments.plain_encapsulation,
        };
        let offered = match self.config.reverse_tunnel {
            ReverseTunnelPolicy::Never => false,
            ReverseTunnelPolicy::WhenOffered => agent.flags.reverse_tunnel,
            ReverseTunnelPolicy::Require => true,
        };
        let delivery = if amendments.direct_delivery { Delivery::Direct } else { self.config.delivery };
        TunnelMode {
            encapsulation: self.config.encapsulations.iter().copied().find(is_available).unwrap_or_default(),
            reverse: amendments.reverse_tunnel.unwrap_or(offered).then_some(delivery),
            ..TunnelMode::default()
        }
    }

    /// Straight to the home agent on this link, for all care-of addresses (RFC 5944 §3.6.1.2).
    fn deregistration(&self, client: &Client) -> Option<Plan> {
        let home_agent = client.home_agent?;
        let mac = self.agents.home_agent_mac(home_agent)?;
        Some(Plan {
            agent: Agent { address: home_agent.0, mac },
            care_of_address: CareOfAddress(client.home_address.0),
            home_agent,
            mode: TunnelMode::default(),
            lifetime: Lifetime::DEREGISTER,
        })
    }

    pub(super) fn send(&mut self, now: Now, client: &mut Client, plan: Plan, actions: &mut Vec<Action>) {
        let asks = self.note_association_use(client, actions);
        let Some(association) = self.config.associations.primary(client.home_address).cloned() else {
            client.next = if asks { NextRequest::WhenAssociationKnown } else { NextRequest::Never };
            return;
        };
        let unanswered = client.exchange.filter(|exchange| exchange.outcome == Outcome::Pending);
        let repeated = unanswered.filter(|exchange| exchange.plan == plan);
        let Ok(challenge) = self.challenge(client, &plan, repeated.is_some()) else {
            self.await_challenge(now, client, &plan, actions);
            return;
        };
        client.awaits_challenge = false;
        // RFC 5944 §3.6.3: with nonces a repetition is the same message, with timestamps a new one.
        let identification = match repeated {
            Some(exchange) if association.replay == ReplayProtection::Nonces => exchange.identification,
            _ => {
                let clock = self.clocks.read(plan.home_agent, now.wall);
                client.identifications.issue(association.replay, clock, &mut self.random)
            }
        };
        let payload = self.message(client, &plan, identification, &association, challenge.as_deref());

        if client.may_have_been_away {
            client.may_have_been_away = false;
            actions.push(Action::UpdateSwitches { mac: client.mac });
        }
        actions.push(Action::Send(Transmit {
            payload,
            source: client.home_address.0,
            source_port: self.config.registration_port,
            destination: plan.agent.address,
            destination_port: REGISTRATION_PORT,
            ttl: TTL,
            path: Path::Frame { interface: self.config.uplink, destination: plan.agent.mac, source: Some(client.mac) },
        }));

        let requested = Step::Requested {
            identification,
            agent: plan.agent.address,
            home_agent: plan.home_agent,
            care_of_address: plan.care_of_address,
            lifetime: plan.lifetime,
            is_repeated: unanswered.is_some(),
        };
        self.trails.note(now, client.mac, requested);
        self.counters.retransmissions += u64::from(unanswered.is_some());
        if plan.lifetime == Lifetime::DEREGISTER {
            self.counters.deregistrations_sent += 1;
        } else {
            self.counters.requests_sent += 1;
        }
        client.attempts = client.attempts.saturating_add(1);
        client.pace.take(now.instant);
        client.exchange = Some(Exchange { plan, identification, sent: now.instant, outcome: Outcome::Pending });
        client.next = NextRequest::At(now.instant + client.wait);
        client.wait = (client.wait * 2).min(self.longest_wait(plan.lifetime));
    }

    /// Asks for an advertisement with a new challenge, and again with growing waits.
    fn await_challenge(&mut self, now: Now, client: &mut Client, plan: &Plan, actions: &mut Vec<Action>) {
        self.counters.challenges_awaited += 1;
        client.awaits_challenge = true;
        self.challenges.are_awaited = true;
        client.next = NextRequest::At(now.instant + client.wait);
        client.wait = (client.wait * 2).min(self.longest_wait(plan.lifetime));
        actions.push(Action::Solicit);
    }

    /// RFC 5944 §3.6.3: no wait is longer than the requested lifetime.
    fn longest_wait(&self, requested: Lifetime) -> Duration {
        let lifetime = if requested == Lifetime::DEREGISTER { self.config.registration_lifetime } else { requested };
        Duration::from_secs(lifetime.0.into()).max(SHORTEST_WAIT)
    }

    /// A request that starts from what is advertised, with the shortest waits.
    pub fn request_afresh(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.start_afresh();
        self.request(now, client, actions);
    }
}
