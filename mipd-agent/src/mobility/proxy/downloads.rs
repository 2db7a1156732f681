//! Clients whose security associations a server must be asked for. None keeps another one waiting.

use std::{sync::Arc, time::Duration};

use super::{
    Action, Proxy, StationState,
    client::{Client, Missing, NextRequest, State},
    registration::Registrar,
    trail::Step,
    visitor::{Fate, UNSERVED_PATIENCE},
};
use crate::{
    mobility::{
        security::radius::{Outcome, Unresolved},
        time::Now,
    },
    wire::types::HomeAddress,
};

/// There is an answer long before, if only that no server answers.
const ASSOCIATION_PATIENCE: Duration = Duration::from_mins(1);

impl Proxy {
    /// What a server says of a client, in place of what it said before; `None`: that has expired.
    pub fn take_associations(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        outcome: Option<&Outcome>,
        actions: &mut Vec<Action>,
    ) {
        let associations = outcome.and_then(|outcome| outcome.as_ref().ok()).cloned();
        Arc::make_mut(&mut self.registrar.config.associations).set_downloaded(home_address, associations);
        let Some(outcome) = outcome else { return };
        let refused = outcome.as_ref().err().copied();
        for mac in self.roster.with_address(home_address) {
            self.with(mac, actions, |registrar, client, actions| match refused {
                None => registrar.take_association(now, client, actions),
                Some(why) => registrar.lack_association(now, client, why, actions),
            });
        }
    }
}

impl Registrar {
    /// The client is served as soon as a server has told its association.
    pub fn await_association(&mut self, now: Now, client: &mut Client, state: State, actions: &mut Vec<Action>) {
        self.counters.associations_awaited += 1;
        self.trails.note(now, client.mac, Step::AssociationAsked);
        client.state = state;
        client.next = NextRequest::Never;
        client.patience = Some(now.instant + ASSOCIATION_PATIENCE);
        if client.is_visitor() {
            client.set_station(StationState::Hold { home_address: client.home_address }, actions);
        }
        actions.push(Action::AssociationsNeeded { home_address: client.home_address });
    }

    /// A request is about to be signed. Whether a server may know what with, and is asked.
    pub fn note_association_use(&self, client: &Client, actions: &mut Vec<Action>) -> bool {
        let home_address = client.home_address;
        let asks = self.config.associations.must_ask(home_address);
        if asks {
            actions.push(Action::AssociationsNeeded { home_address });
        }
        asks
    }

    fn take_association(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        let waits = matches!(client.state, State::AwaitingAssociation | State::AwaitingAssociationAtHome);
        if waits || client.next == NextRequest::WhenAssociationKnown {
            self.trails.note(now, client.mac, Step::AssociationTold);
        }
        match (client.state, client.home_agent) {
            (State::AwaitingAssociation, _) => self.begin_visit(now, client, actions),
            (State::AwaitingAssociationAtHome, Some(home_agent)) => {
                self.begin_return(now, client, home_agent, actions);
            }
            _ if client.next == NextRequest::WhenAssociationKnown => client.request_by(now.instant),
            _ => {}
        }
        Fate::Keep
    }

    /// A visitor is left alone for a while; a client at home, bridged as it is, too, or for good if it has no association.
    fn lack_association(&mut self, now: Now, client: &mut Client, why: Unresolved, actions: &mut Vec<Action>) -> Fate {
        let missing = if why.is_decided() { Missing::Association } else { Missing::AssociationServer };
        let lacks_it = client.next == NextRequest::WhenAssociationKnown;
        match client.state {
            State::AwaitingAssociationAtHome if why.is_decided() => return Fate::Forget,
            State::AwaitingAssociationAtHome => client.patience = Some(now.instant + UNSERVED_PATIENCE),
            State::AwaitingAssociation => self.leave_unserved(now, client, missing, actions),
            State::Registering if lacks_it => self.leave_unserved(now, client, missing, actions),
            _ if lacks_it => client.request_by(now.instant + UNSERVED_PATIENCE),
            _ => {}
        }
        Fate::Keep
    }
}
