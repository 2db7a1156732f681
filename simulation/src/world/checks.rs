//! The properties, applied to the campus.

use std::time::Duration;

use mipd_agent::{
    mobility::{
        home_agent::MobilityBinding,
        proxy::{self, StationState},
        security::ViolationLog,
        time::Instant,
    },
    wire::{
        registration::RegistrationRequest,
        types::{HomeAddress, HomeAgentAddress, Lifetime},
    },
};

use super::{Event, World};
use crate::{
    topology,
    trace::{Node, Note},
};

/// How often it is checked that a client is served.
const CHECK_INTERVAL: Duration = Duration::from_secs(20);

/// Within this time the foreign agent that a client has left must have been told: a second, by a clock that drifts, and the
/// way there.
const TELLING: Duration = Duration::from_millis(1050);

/// So many revocations, tunnels and the like a foreign agent remembers, however many clients there are.
const MAXIMUM_MEMORIES: usize = 4096;

/// So many agents are remembered by an access point, however many advertise.
const MAXIMUM_AGENTS: usize = 32;

impl World {
    /// From its first frame on, a client is to be served.
    pub(super) fn begin_check(&mut self, client: usize) {
        let at = self.at;
        let state = &mut self.clients[client];
        if state.noticed.is_none() {
            state.noticed = Some(at);
            let number = state.stay;
            self.plan(self.properties.bound(), Event::Check(client, number));
        }
    }

    /// When the last trouble on the client's way ends; `None` while it lasts, or when nothing is promised.
    fn settled(&self, client: usize) -> Option<Instant> {
        let state = &self.clients[client];
        let access_point = &self.access_points[state.at?];
        let home = &self.routers[state.home];
        let settled =
            [state.noticed?, state.excused, access_point.stability.settled()?, home.home_stability.settled()?];
        let settled = settled.into_iter().max()?;
        if access_point.subnet == state.home {
            return Some(settled);
        }
        let router = &self.routers[access_point.subnet];
        Some(settled.max(router.visit_stability.settled()?))
    }

    /// Whether there is trouble on the client's way, so that an access point may give it up.
    pub(super) fn may_be_forgotten(&self, client: usize) -> bool {
        let is_new = self.clients[client].noticed.is_none_or(|noticed| self.at.since(noticed) < Duration::from_secs(1));
        let is_unlucky = self.clients[client].lost_questions >= 3;
        is_new || is_unlucky || self.settled(client).is_none_or(|settled| settled + Duration::from_secs(10) > self.at)
    }

    pub(super) fn check_service(&mut self, client: usize) {
        let state = &self.clients[client];
        let number = state.stay;
        let Some(access_point) = state.at else { return };
        let subnet = self.access_points[access_point].subnet;
        if state.noticed.is_none() || (subnet != state.home && !self.scenario.is_foreign_agent(subnet)) {
            return;
        }
        let due = self.settled(client).map(|settled| settled + self.properties.bound());
        let next = match due {
            None => CHECK_INTERVAL,
            Some(due) if due > self.at => due.since(self.at),
            Some(_) => {
                self.summary.checks += 1;
                if let Err(what) = self.reaches(client, access_point) {
                    self.violate(Some(client), what);
                }
                CHECK_INTERVAL
            }
        };
        self.plan(next, Event::Check(client, number));
    }

    /// Whether a packet for the client would reach it, and one of its own would leave.
    fn reaches(&self, client: usize, access_point: usize) -> Result<(), String> {
        let state = &self.clients[client];
        let subnet = self.access_points[access_point].subnet;
        let address = HomeAddress(state.address);
        let home = &self.routers[state.home];
        let home_agent = home.agent.as_ref().and_then(|agent| agent.home.as_ref()).ok_or("there is no home agent")?;
        let bound: Vec<_> = home_agent.bindings_of(address).iter().map(|binding| binding.care_of_address.0).collect();
        if let Some((learnt, _)) = self.switches[subnet].get(&client)
            && *learnt != access_point
            && state.talking.is_none()
        {
            return Err(format!("is at access point {access_point}, but the switch sends its packets to {learnt}"));
        }
        if subnet == state.home {
            return match &bound[..] {
                [] => Ok(()),
                bound => Err(format!("is at home, at access point {access_point}, but bound to {bound:?}")),
            };
        }
        let router = &self.routers[subnet];
        if !bound.contains(&router.address) {
            return Err(format!(
                "is at access point {access_point}, behind {}, but bound to {bound:?}",
                router.address
            ));
        }
        let visit = router.agent.as_ref().and_then(|agent| agent.visit.as_ref()).ok_or("there is no foreign agent")?;
        let visitor = visit.visitor(HomeAgentAddress(home.address), address);
        if visitor.is_none_or(|visitor| visitor.requester.mac != state.mac) {
            return Err(format!("is at access point {access_point}, but router {subnet} has no such visitor"));
        }
        if self.topology.translation(subnet).is_some() {
            let is_udp =
                |binding: &MobilityBinding| binding.care_of_address.0 == router.address && binding.tunnel.udp.is_some();
            if !home_agent.bindings_of(address).iter().any(is_udp) {
                return Err(format!("is behind a NAT, at router {subnet}, without a tunnel over UDP"));
            }
            if !self.is_translated(subnet, state.home) {
                return Err(format!("the NAT before router {subnet} has forgotten the tunnel"));
            }
        }
        match self.access_points[access_point].kernel.station(state.mac).map(|station| station.state) {
            Some(StationState::Forward { agent_mac, .. }) if agent_mac == router.mac => Ok(()),
            other => Err(format!("access point {access_point} treats it as {other:?}")),
        }
    }

    pub(super) fn check_accepted(&mut self, client: usize, request: &RegistrationRequest) {
        self.summary.accepted += 1;
        if let Err(what) = self.properties.accept(client, request) {
            self.violate(Some(client), what);
        }
    }

    /// The home agent of a client may have changed its bindings. `request`: what its home agent was just given, if that was a request.
    pub(super) fn check_binding(&mut self, client: usize, request: Option<&RegistrationRequest>) {
        let home = self.clients[client].home;
        let address = HomeAddress(self.clients[client].address);
        let home_agent = self.routers[home].agent.as_ref().and_then(|agent| agent.home.as_ref());
        let bindings = home_agent.map_or_else(Vec::new, |home_agent| home_agent.bindings_of(address).to_vec());
        for binding in &bindings {
            self.note(Some(client), Note::Bound(home, binding.care_of_address.0));
            if let Err(what) = self.properties.bind(client, binding) {
                self.violate(Some(client), what);
            }
        }
        if bindings.is_empty() {
            self.note(Some(client), Note::Unbound(home));
        }
        let before = std::mem::replace(&mut self.bound_to[client], bindings);
        for binding in &before {
            let Some(router) = self.topology.router_with(binding.care_of_address.0) else { continue };
            if !self.is_bound_to(client, router) {
                self.compare(client, router);
                // Whose foreign agent relays its end learns of it by the reply.
                let ends_here = |request: &RegistrationRequest| {
                    request.lifetime == Lifetime::DEREGISTER && request.care_of_address == binding.care_of_address
                };
                if binding.revocation.is_some() && request.is_some_and(|request| !ends_here(request)) {
                    self.plan(TELLING, Event::Told(client, router, self.at));
                }
            }
        }
        for router in self.routers_of(client) {
            self.compare(client, router);
        }
    }

    /// The routers that a client is bound to.
    pub(super) fn routers_of(&self, client: usize) -> Vec<usize> {
        let bindings = self.bound_to[client].iter();
        bindings.filter_map(|binding| self.topology.router_with(binding.care_of_address.0)).collect()
    }

    fn is_bound_to(&self, client: usize, router: usize) -> bool {
        let address = topology::router_address(router);
        self.bound_to[client].iter().any(|binding| binding.care_of_address.0 == address)
    }

    /// The foreign agent that a client has left must have been told by now; and know it, if nothing is lost.
    pub(super) fn check_told(&mut self, client: usize, router: usize, since: Instant) {
        let home = &self.routers[self.clients[client].home];
        if home.home_stability.has_failed_since(since) || self.is_bound_to(client, router) {
            return;
        }
        self.summary.told += 1;
        if self.told.get(&(client, router)).is_none_or(|told| *told < since) {
            self.violate(Some(client), format!("router {router} was not told within a second that it has left"));
        } else if self.scenario.calm && self.topology.translation(router).is_none() && self.has_visitor(client, router)
        {
            self.violate(Some(client), format!("router {router} was told that it has left, but has it still"));
        }
    }

    /// A foreign agent may have changed what it knows of a client.
    pub(super) fn check_visitor(&mut self, client: usize, router: usize) {
        let note = if self.has_visitor(client, router) { Note::Visits(router) } else { Note::Gone(router) };
        self.note(Some(client), note);
        self.compare(client, router);
    }

    fn has_visitor(&self, client: usize, router: usize) -> bool {
        let address = HomeAddress(self.clients[client].address);
        let home_agent = HomeAgentAddress(topology::router_address(self.clients[client].home));
        let visit = self.routers[router].agent.as_ref().and_then(|agent| agent.visit.as_ref());
        visit.is_some_and(|visit| visit.visitor(home_agent, address).is_some())
    }

    pub(super) fn compare(&mut self, client: usize, router: usize) {
        let is_bound = self.is_bound_to(client, router);
        let agree = is_bound == self.has_visitor(client, router);
        if let Some(number) = self.properties.compare(client, router, agree) {
            let patience = self.properties.lifetime() + self.properties.grace();
            self.plan(patience, Event::Disagreement(client, router, number));
        }
    }

    pub(super) fn check_disagreement(&mut self, client: usize, router: usize, number: u64) {
        if self.properties.still_disagree(client, router, number) {
            let what = if self.has_visitor(client, router) { "has it as a visitor" } else { "does not know it" };
            let bound = if self.is_bound_to(client, router) { "" } else { " not" };
            self.violate(
                Some(client),
                format!("for more than a lifetime router {router} {what} while it is{bound} bound to it"),
            );
        }
    }

    /// No box keeps more than its configuration allows.
    pub(super) fn check_sizes(&mut self, node: Node) {
        let excess = match node {
            Node::Router(index) => self.excess_of_router(index),
            Node::AccessPoint(index) => self.excess_of_access_point(index),
        };
        if let Some(what) = excess {
            self.violate(None, format!("{node} keeps too much: {what}"));
        }
    }

    fn excess_of_router(&self, index: usize) -> Option<String> {
        let agent = self.routers[index].agent.as_ref()?;
        if let Some(home) = &agent.home {
            let bindings = self.topology.maximum_bindings();
            let (nodes, timers) = home.sizes();
            let found = excess(&[
                ("bindings", home.binding_count(), bindings),
                // Those without a binding have a limit of their own.
                ("nodes", nodes, 2 * bindings),
                ("home agent's timers", timers, nodes),
                ("violations", home.violations().iter().len(), ViolationLog::CAPACITY),
                ("records of bindings", self.routers[index].bindings.len(), 4 * bindings),
            ]);
            if found.is_some() {
                return found;
            }
        }
        let visit = agent.visit.as_ref()?;
        let settings = &self.visit_settings;
        let (visitors, pending, timers) = visit.sizes();
        excess(&[
            ("visitors", visitors, settings.maximum_visitors),
            ("pending registrations", pending, settings.maximum_pending),
            ("foreign agent's memories", visit.memories(), MAXIMUM_MEMORIES),
            ("foreign agent's timers", timers, visitors + pending + visit.memories()),
            ("violations", visit.violations().iter().len(), ViolationLog::CAPACITY),
        ])
    }

    fn excess_of_access_point(&self, index: usize) -> Option<String> {
        let agent = self.access_points[index].agent.as_ref()?;
        let (clients, timers) = agent.proxy.sizes();
        excess(&[
            ("clients", clients, proxy::Config::MAXIMUM_CLIENTS),
            // One of the client, one of its place among those that may be dropped.
            ("timers", timers, 2 * clients),
            ("violations", agent.proxy.violations().iter().len(), ViolationLog::CAPACITY),
            ("agents", agent.listener.agents().len(), MAXIMUM_AGENTS),
        ])
    }
}

fn excess(sizes: &[(&str, usize, usize)]) -> Option<String> {
    let found = sizes.iter().find(|(_, size, limit)| size > limit);
    found.map(|(what, size, limit)| format!("{size} {what}, at most {limit} are allowed"))
}
