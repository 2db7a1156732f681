//! Visitors that turn out to be more than the data path has room for.

use super::{Action, Deadline, ForeignAgent, denial::Addressee, visitor::VisitorEntry};
use crate::{
    mobility::time::Now,
    wire::types::{HomeAddress, HomeAgentAddress, ReplyCode},
};

/// The visitor that came last, as long as the data path can still say that it cannot carry its packets.
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    pub visitor: VisitorEntry,
    /// What it was before.
    pub previous: Option<VisitorEntry>,
    /// Who asked for it.
    pub addressee: Addressee,
}

impl ForeignAgent {
    /// The data path has no room for what [`Action::InstallVisitor`] of the last call asked for, and goes on with what it
    /// did for the visitor before. The call's [`Action::Send`] must not be done any more.
    ///
    /// A client that has just been accepted is denied with code 66, and stays what it was before; if it was no visitor, its
    /// home agent is told that it is none, if that was agreed on. Without a registration, as after a restart, the visitor
    /// leaves.
    pub fn cannot_carry(
        &mut self,
        now: Now,
        home_agent: HomeAgentAddress,
        home_address: HomeAddress,
        actions: &mut Vec<Action>,
    ) {
        let key = (home_agent, home_address);
        let Some(unconfirmed) = self.unconfirmed.take().filter(|unconfirmed| unconfirmed.visitor.key() == key) else {
            self.remove_visitor(now, home_agent, home_address, actions);
            return;
        };
        let Unconfirmed { visitor, previous, addressee } = unconfirmed;
        self.counters.registrations_accepted -= 1;
        self.counters.replies_relayed -= 1;
        if let Some(previous) = previous {
            self.visitors.insert(key, previous);
            self.follow_udp_tunnel(now, Some(&visitor), &previous);
            match previous.expires {
                Some(expires) => self.deadlines.set(Deadline::Visitor(key), expires),
                None => self.deadlines.clear(Deadline::Visitor(key)),
            }
            actions.push(Action::VisitorChanged { home_agent, home_address });
        } else {
            self.remove(home_agent, home_address, actions);
            self.start_revoking(now, &visitor);
        }
        self.deny(now, &addressee, ReplyCode::FA_RESOURCES, actions);
    }
}
