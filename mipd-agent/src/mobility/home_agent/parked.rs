//! Requests of clients whose security associations are being downloaded. Each is taken up again when there is an answer;
//! none keeps another client's waiting.

use std::{collections::BTreeMap, sync::Arc};

use super::{Action, Discard, HomeAgent, petition::Petition};
use crate::{
    mobility::{link::Received, security::radius::Outcome, time::Now},
    wire::{extension::kind, types::HomeAddress},
};

/// More clients than this do not wait: their nodes will ask again.
const MAXIMUM_PARKED: usize = 1024;

impl HomeAgent {
    /// Asks for the client's associations if the file has none, and keeps the request if it can't be judged without.
    /// `false`: it can be judged now.
    pub(super) fn park(&mut self, petition: &Petition<'_>, actions: &mut Vec<Action>) -> bool {
        let home_address = petition.home_address;
        let associations = &self.config.mobile_home;
        let worth_asking = || self.config.serves(home_address) && petition.has(kind::MOBILE_HOME_AUTHENTICATION);
        if !associations.must_ask(home_address) || !worth_asking() {
            return false;
        }
        let parked = !associations.covers(home_address);
        actions.push(Action::AssociationsNeeded { home_address });
        if parked {
            if self.parked.park(home_address, petition.received) {
                self.counters.requests_parked += 1;
            } else {
                self.counters.discarded.add(Discard::TooManyParked);
            }
        }
        parked
    }

    /// What a server says of a client, in place of what it said before; `None`: that has expired. A request that waited for
    /// it is taken up again.
    pub fn take_associations(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        outcome: Option<&Outcome>,
        actions: &mut Vec<Action>,
    ) {
        let associations = outcome.and_then(|outcome| outcome.as_ref().ok()).cloned();
        let config = Arc::make_mut(&mut self.config);
        Arc::make_mut(&mut config.mobile_home).set_downloaded(home_address, associations);
        let Some(outcome) = outcome else { return };
        let Some(parked) = self.parked.take(home_address) else { return };
        if outcome.as_ref().is_err_and(|why| !why.is_decided()) {
            self.counters.discarded.add(Discard::AssociationUnavailable);
        } else if let Ok(petition) = Petition::parse(&self.config, &parked.received()) {
            self.handle_request(now, &petition, actions);
        }
    }
}

/// Requests that wait, at most one of each client, the one that came last.
#[derive(Clone, Debug, Default)]
pub(super) struct ParkedRequests(BTreeMap<HomeAddress, ParkedRequest>);

/// A datagram that owns its payload.
#[derive(Clone, Debug)]
pub(super) struct ParkedRequest {
    payload: Vec<u8>,
    /// All but the payload.
    envelope: Received<'static>,
}

impl ParkedRequests {
    /// Keeps the client's request in place of its last one. `false` if there is no room.
    pub fn park(&mut self, home_address: HomeAddress, received: &Received<'_>) -> bool {
        if self.0.len() >= MAXIMUM_PARKED && !self.0.contains_key(&home_address) {
            return false;
        }
        self.0.insert(home_address, ParkedRequest::new(received));
        true
    }

    /// Takes the client's request out.
    pub fn take(&mut self, home_address: HomeAddress) -> Option<ParkedRequest> {
        self.0.remove(&home_address)
    }
}

impl ParkedRequest {
    /// A copy.
    pub fn new(received: &Received<'_>) -> Self {
        Self { payload: received.payload.to_vec(), envelope: Received { payload: &[], ..*received } }
    }

    /// The datagram as it was received.
    pub fn received(&self) -> Received<'_> {
        Received { payload: &self.payload, ..self.envelope }
    }
}
