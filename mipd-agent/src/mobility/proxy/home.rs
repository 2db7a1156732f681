//! A client at home: tell everybody, deregister, and notice when it has registered elsewhere (RFC 5944 §3.6.1.2, §4.6).

use std::time::Duration;

use mipd_common::mac::MacAddress;

use super::{
    Action, StationState,
    client::{Client, NextRequest, State},
    registration::Registrar,
    trail::{Departure, Step},
    visitor::Fate,
};
use crate::{
    mobility::{link::InterfaceIndex, time::Now},
    wire::types::{HomeAddress, HomeAgentAddress},
};

/// A client at home that was silent for so long counts as new when it speaks again: the home agent's announcement that
/// it registered elsewhere may have been lost.
const HOME_PATIENCE: Duration = Duration::from_mins(5);
/// How long the pace of a client that went away is remembered.
const AWAY_PATIENCE: Duration = Duration::from_mins(1);

impl Registrar {
    /// The home agent to deregister with: a local address that an association covers, or may turn out to, and whose home
    /// agent belongs to this network.
    pub fn home_agent_at_home(&self, radio: InterfaceIndex, address: HomeAddress) -> Option<HomeAgentAddress> {
        let home_agent = self.config.home_agent(radio, address)?;
        let is_here = self.config.own_subnets.iter().any(|subnet| subnet.contains(&home_agent.0));
        (is_here && self.config.associations.may_cover(address)).then_some(home_agent)
    }

    /// A client has come home.
    pub fn begin_return(
        &mut self,
        now: Now,
        client: &mut Client,
        home_agent: HomeAgentAddress,
        actions: &mut Vec<Action>,
    ) {
        client.home_agent = Some(home_agent);
        if !self.config.associations.covers(client.home_address) {
            return self.await_association(now, client, State::AwaitingAssociationAtHome, actions);
        }
        self.counters.locals_noticed += 1;
        client.nai = self.config.names.of(client.home_address, client.mac);
        client.state = State::ComingHome;
        client.patience = None;
        if client.is_address_assumed {
            client.set_station(StationState::Awaited, actions);
            actions.push(Action::ForgetSeen { mac: client.mac });
        } else {
            client.set_station(StationState::Local, actions);
        }
        self.return_home(now, client, actions);
    }

    /// First everybody's ARP caches, then the deregistration: once that is accepted, the home agent no longer takes the
    /// client's packets.
    pub fn return_home(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        let on_link = client.home_agent.and_then(|address| Some((address, self.agents.home_agent_mac(address)?)));
        let Some((home_agent, home_agent_mac)) = on_link else {
            client.next = NextRequest::WhenAgentKnown;
            return;
        };
        self.trails.note(now, client.mac, Step::Announced);
        actions.push(Action::AnnounceOnUplink { mac: client.mac, address: client.home_address });
        self.tell_gateway(client, home_agent, actions);
        // It may leave again at once: the home agent's next announcement is news, however soon after the last one.
        actions.push(Action::ForgetSeen { mac: home_agent_mac });
        self.request_afresh(now, client, actions);
    }

    pub(super) fn tell_gateway(&self, client: &Client, home_agent: HomeAgentAddress, actions: &mut Vec<Action>) {
        let Some(gateway_mac) = self.agents.home_agent_mac(home_agent) else { return };
        actions.push(Action::TellClientGateway {
            mac: client.mac,
            interface: client.interface,
            client_address: client.home_address,
            gateway_address: home_agent,
            gateway_mac,
        });
    }

    /// Somebody announced the client's address. Another MAC than the client's is its home agent, which takes its packets
    /// now; if the client is here nevertheless, its next frame is reported as a new one.
    pub fn note_announcement(
        &mut self,
        now: Now,
        client: &mut Client,
        announced: MacAddress,
        actions: &mut Vec<Action>,
    ) {
        if announced == client.mac {
            return;
        }
        match client.state {
            State::ComingHome | State::AtHome => {
                self.counters.away += 1;
                self.trails.note(now, client.mac, Step::Gone { why: Departure::RegisteredElsewhere });
                take_for_away(now, client, actions);
            }
            State::Away | State::AwaitingAssociationAtHome => {}
            _ => self.counters.address_conflicts += 1,
        }
    }
}

impl Registrar {
    /// The uplink was interrupted: what the home agent announced meanwhile was not heard. A client at home that is still here
    /// is noticed anew by its answer, and deregistered again; nothing is said for one that has gone.
    pub fn doubt_presence(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        if let (State::ComingHome | State::AtHome, Some(home_agent)) = (client.state, client.home_agent) {
            self.trails.note(now, client.mac, Step::Gone { why: Departure::LinkInterrupted });
            take_for_away(now, client, actions);
            self.tell_gateway(client, home_agent, actions);
        }
    }

    /// A client at home that was silent for too long is noticed anew when it speaks.
    pub(super) fn doubt_presence_at_home(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        let silent_until = client.watch.last_heard().map(|heard| heard + HOME_PATIENCE);
        if let Some(until) = silent_until.filter(|until| *until > now.instant) {
            client.patience = Some(until);
            return Fate::Keep;
        }
        self.trails.note(now, client.mac, Step::Gone { why: Departure::Silent });
        client.dismiss(actions);
        Fate::Forget
    }
}

/// Until it is noticed again, nothing is done for the client.
fn take_for_away(now: Now, client: &mut Client, actions: &mut Vec<Action>) {
    client.dismiss(actions);
    client.state = State::Away;
    client.exchange = None;
    client.next = NextRequest::Never;
    client.patience = Some(now.instant + AWAY_PATIENCE);
}

/// The home agent confirmed that the client is at home.
pub(super) fn settle_at_home(now: Now, client: &mut Client, actions: &mut Vec<Action>) {
    client.state = State::AtHome;
    client.next = NextRequest::Never;
    client.patience = Some(now.instant + HOME_PATIENCE);
    client.registered_in.get_or_insert(now.instant.since(client.noticed));
    actions.push(Action::ClientChanged { mac: client.mac });
}
