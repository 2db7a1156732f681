//! Agents that are not heard any more: when one comes back, its sequence number says whether it has rebooted.

use std::{collections::VecDeque, net::Ipv4Addr};

use super::listener::{Agent, MAXIMUM_AGENTS};

/// What is remembered of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormerAgent {
    address: Ipv4Addr,
    /// The last one heard.
    pub sequence: u16,
    /// How often it rebooted while we listened.
    pub reboots: u64,
}

/// The agents that were lost last.
#[derive(Clone, Debug, Default)]
pub(super) struct Former(VecDeque<FormerAgent>);

impl Former {
    /// Remembers one that was just lost; the oldest makes room.
    pub fn remember(&mut self, agent: &Agent) {
        self.0.retain(|former| former.address != agent.address);
        if self.0.len() == MAXIMUM_AGENTS {
            self.0.pop_front();
        }
        let sequence = agent.advertisement.sequence;
        self.0.push_back(FormerAgent { address: agent.address, sequence, reboots: agent.reboots });
    }

    /// Takes out the one with this address.
    pub fn take(&mut self, address: Ipv4Addr) -> Option<FormerAgent> {
        let position = self.0.iter().position(|former| former.address == address)?;
        self.0.remove(position)
    }
}
