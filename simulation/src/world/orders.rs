//! What operators do: they end registrations, at the home agent or at the foreign agent.

use std::time::Duration;

use mipd_agent::wire::types::{HomeAddress, HomeAgentAddress};

use super::{Event, World};
use crate::{
    topology,
    trace::{Node, Note},
};

/// With revocation, the foreign agent's or the client's access point hears of it; it may take three messages and two seconds.
const REVOKED: Duration = Duration::from_secs(5);

impl World {
    pub(super) fn plan_order(&mut self) {
        let after = self.faults.waiting(self.conditions.orders);
        self.plan(after, Event::Order);
    }

    /// The registration of some client that is away ends, at its home agent or where it is.
    pub(super) fn order(&mut self) {
        self.plan_order();
        let client = self.faults.below(self.clients.len());
        let is_at_home_agent = self.faults.below(2) == 0;
        let Some(visited) = self.routers_of(client).first().copied() else { return };
        let home = self.clients[client].home;
        let router = if is_at_home_agent { home } else { visited };
        if self.routers[router].agent.is_none() {
            return;
        }
        // Whoever is to be told that its registration was revoked may miss that; and without revocation nobody is told.
        let is_told = self.topology.translation(visited).is_none()
            && self.bound_to[client].iter().all(|binding| binding.revocation.is_some());
        let mends = if is_told && self.scenario.calm { REVOKED } else { self.properties.lifetime() };
        let until = self.at + mends;
        let state = &mut self.clients[client];
        state.excused = state.excused.max(until);
        let address = HomeAddress(state.address);
        self.summary.orders += 1;
        self.note(Some(client), Note::Sends(Node::Router(router), "no more: an operator has ended the registration"));
        let home_agent = HomeAgentAddress(topology::router_address(home));
        self.drive_router(router, None, |router, at, out| router.deregister(at, home_agent, address, out));
    }
}
