//! Asking for a registration: what the request says, when it may leave, when it is repeated (RFC 5944 §3.6).

use std::time::Duration;

use mipd_common::mac::MacAddress;
use rand::rngs::StdRng;

use super::{
    Action, Config, Counters, ForeignAgentInfo, HomeAgentOnLink, ReverseTunnelPolicy,
    client::{Agent, Amendments, Client, Exchange, FIRST_WAIT, NextRequest, Outcome, Plan},
    clock::Clocks,
};
use crate::{
    mobility::{
        link::{Path, Transmit},
        security::ViolationLog,
        time::Now,
    },
    wire::{
        extension::kind,
        registration::{RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAgentAddress, Lifetime},
    },
};

const REGISTRATION_PORT: u16 = 434;
/// RFC 3024 §3.2 demands it of requests for a reverse tunnel; for the others it does no harm.
const TTL: u8 = 255;

/// Registers clients: everything that their registrations have in common.
#[derive(Debug)]
pub(super) struct Registrar {
    pub config: Config,
    pub agent: Option<ForeignAgentInfo>,
    pub home_agents: Vec<HomeAgentOnLink>,
    pub clocks: Clocks,
    pub counters: Counters,
    pub violations: ViolationLog,
    pub random: StdRng,
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
        let plan = if client.is_visitor() { self.registration(client) } else { self.deregistration(client) };
        match plan {
            Some(plan) => self.send(now, client, plan, actions),
            None => client.next = NextRequest::WhenAgentKnown,
        }
    }

    /// Through the foreign agent (RFC 5944 §3.6.1.1).
    fn registration(&self, client: &Client) -> Option<Plan> {
        let agent = self.usable_agent()?;
        let care_of_addresses = &agent.care_of_addresses;
        let amendments = &client.amendments;
        let offered = match self.config.reverse_tunnel {
            ReverseTunnelPolicy::Never => false,
            ReverseTunnelPolicy::WhenOffered => agent.reverse_tunnel,
            ReverseTunnelPolicy::Require => true,
        };
        let advertised = Some(agent.registration_lifetime).filter(|lifetime| *lifetime != Lifetime::DEREGISTER);
        let limits = [advertised, amendments.lifetime].into_iter().flatten();
        Some(Plan {
            agent: Agent { address: agent.address, mac: agent.mac },
            care_of_address: care_of_addresses[amendments.care_of_address % care_of_addresses.len()],
            home_agent: client.home_agent?,
            reverse_tunnel: amendments.reverse_tunnel.unwrap_or(offered),
            lifetime: limits.fold(self.config.registration_lifetime, Lifetime::min),
        })
    }

    /// Straight to the home agent on this link, for all care-of addresses (RFC 5944 §3.6.1.2).
    fn deregistration(&self, client: &Client) -> Option<Plan> {
        let home_agent = client.home_agent?;
        let mac = self.home_agent_mac(home_agent)?;
        Some(Plan {
            agent: Agent { address: home_agent.0, mac },
            care_of_address: CareOfAddress(client.home_address.0),
            home_agent,
            reverse_tunnel: false,
            lifetime: Lifetime::DEREGISTER,
        })
    }

    fn send(&mut self, now: Now, client: &mut Client, plan: Plan, actions: &mut Vec<Action>) {
        let Some(association) = self.config.associations.primary(client.home_address) else {
            client.next = NextRequest::Never;
            return;
        };
        let clock = self.clocks.read(plan.home_agent, now.wall);
        let identification = client.sequence.issue(clock, &mut self.random);
        let request = RegistrationRequest {
            flags: RequestFlags { reverse_tunnel: plan.reverse_tunnel, ..RequestFlags::default() },
            lifetime: plan.lifetime,
            home_address: client.home_address,
            home_agent: plan.home_agent,
            care_of_address: plan.care_of_address,
            identification,
        };
        let mut payload = Vec::new();
        request.emit(&mut payload);
        association.sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);

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

        let is_repetition = client.exchange.is_some_and(|exchange| exchange.outcome == Outcome::Pending);
        self.counters.retransmissions += u64::from(is_repetition);
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

    /// RFC 5944 §3.6.3: no wait is longer than the requested lifetime.
    fn longest_wait(&self, requested: Lifetime) -> Duration {
        let lifetime = if requested == Lifetime::DEREGISTER { self.config.registration_lifetime } else { requested };
        Duration::from_secs(lifetime.0.into()).max(FIRST_WAIT)
    }

    /// The foreign agent, if it can be registered with.
    pub fn usable_agent(&self) -> Option<&ForeignAgentInfo> {
        self.agent.as_ref().filter(|agent| !agent.care_of_addresses.is_empty())
    }

    /// The MAC of a home agent on this link.
    pub fn home_agent_mac(&self, address: HomeAgentAddress) -> Option<MacAddress> {
        self.home_agents.iter().find(|agent| agent.address == address).map(|agent| agent.mac)
    }

    /// A request that starts from what is advertised, with the shortest waits.
    pub fn request_afresh(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.amendments = Amendments::default();
        client.wait = FIRST_WAIT;
        self.request(now, client, actions);
    }
}
