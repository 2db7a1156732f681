//! Registrations that turn out to be more than the data path has room for: denied as if that had been known to begin with.

use std::sync::Arc;

use super::{
    Action, HomeAgent, MobilityBinding,
    parked::ParkedRequest,
    petition::Petition,
    reply::{Answer, reply},
    request::{Examination, Refused, Verdict},
};
use crate::{
    mobility::time::Now,
    wire::types::{HomeAddress, ReplyCode},
};

/// What was accepted last, as long as the data path can still say that it cannot carry it.
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    pub home_address: HomeAddress,
    pub request: ParkedRequest,
    /// What the node had before.
    pub previous: Vec<MobilityBinding>,
}

impl HomeAgent {
    /// The data path has no room for what [`Action::InstallBinding`] of the last call asked for, and goes on with what it
    /// did for the client before. The call's [`Action::Send`] and [`Action::GratuitousArp`] must not be done any more.
    ///
    /// A registration is denied with code 130, and the client keeps the bindings that it had. Without one, as after a
    /// restart, its bindings end.
    pub fn cannot_carry(&mut self, now: Now, home_address: HomeAddress, actions: &mut Vec<Action>) {
        match self.unconfirmed.take().filter(|unconfirmed| unconfirmed.home_address == home_address) {
            Some(unconfirmed) => {
                self.take_back(now, home_address, &unconfirmed.previous);
                self.deny_uncarried(now, &unconfirmed.request, actions);
                actions.push(Action::BindingChanged { home_address });
            }
            None => drop(self.deregister(now, home_address, actions)),
        }
    }

    fn take_back(&mut self, now: Now, home_address: HomeAddress, previous: &[MobilityBinding]) {
        self.counters.registrations_accepted -= 1;
        self.nodes.update(home_address, |entry| {
            entry.unbind(|_| true);
            entry.node.announcement = None;
            for binding in previous {
                entry.bind(*binding, true, |_| {});
            }
        });
        for binding in previous {
            self.revocations.withdraw(home_address, binding.care_of_address);
        }
        if previous.is_empty() {
            self.forget_later(now, home_address);
        }
    }

    /// By what the request was authenticated it was found out before, but is not kept with every registration.
    fn deny_uncarried(&mut self, now: Now, request: &ParkedRequest, actions: &mut Vec<Action>) {
        let config = Arc::clone(&self.config);
        let received = request.received();
        let Ok(petition) = Petition::parse(&config, &received) else { return };
        let examination = Examination { config: &config, nodes: &self.nodes, now, petition: &petition };
        // By now it is one that was seen before; who signed it is the same.
        let signers = match examination.run() {
            Ok(granted) => granted.signers,
            Err(Refused { verdict: Verdict::Deny(_, signers), .. }) => signers,
            Err(_) => return,
        };
        let code = ReplyCode::HA_RESOURCES;
        self.counters.denied.add(code);
        let identification = self.denial_identification(now, &petition, code, signers);
        actions.push(Action::Send(reply(&config, &petition, &Answer::denial(identification, code, signers))));
    }
}
