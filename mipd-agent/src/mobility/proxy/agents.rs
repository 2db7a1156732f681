//! The agents on this link, and through which of them a client registers.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{ForeignAgentInfo, HomeAgentOnLink, client::Agent};
use crate::wire::types::HomeAgentAddress;

/// What is known of the agents.
#[derive(Debug, Default)]
pub(super) struct Agents {
    foreign: Vec<ForeignAgentInfo>,
    home: Vec<HomeAgentOnLink>,
}

/// Which foreign agent would do for a client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// The one that it is registered with, which may be busy, and is preferred.
    pub in_force: Option<Agent>,
    /// One that refused it: the last choice.
    pub avoid: Option<Ipv4Addr>,
    /// Whether only an agent with reverse tunnels will do.
    pub reverse_tunnel: bool,
}

impl Agents {
    /// Takes over the newest state of all agents. Returns those that know none of our clients: they restarted, or were
    /// gone for a while.
    pub fn replace(&mut self, foreign: Vec<ForeignAgentInfo>, home: Vec<HomeAgentOnLink>) -> Vec<Ipv4Addr> {
        let remembers = |agent: &ForeignAgentInfo| {
            self.foreign.iter().any(|known| known.address == agent.address && known.reboots == agent.reboots)
        };
        let forgetful = foreign.iter().filter(|agent| !remembers(agent)).map(|agent| agent.address).collect();
        *self = Self { foreign, home };
        forgetful
    }

    /// How many of the foreign agents that were known restarted since.
    pub fn reboots(&self, foreign: &[ForeignAgentInfo]) -> u64 {
        let restarted = |agent: &&ForeignAgentInfo| {
            self.foreign.iter().any(|known| known.address == agent.address && known.reboots != agent.reboots)
        };
        foreign.iter().filter(restarted).count() as u64
    }

    /// The foreign agent to register through.
    pub fn choose(&self, wish: Wish) -> Option<&ForeignAgentInfo> {
        let suits =
            |agent: &&ForeignAgentInfo| agent.is_usable() && (!wish.reverse_tunnel || agent.flags.reverse_tunnel);
        let is_avoided = |agent: &ForeignAgentInfo| wish.avoid == Some(agent.address);
        let current = wish.in_force.and_then(|reached| self.foreign(reached)).filter(suits);
        if let Some(current) = current.filter(|current| !is_avoided(current)) {
            return Some(current);
        }
        let takes_visitors = || self.foreign.iter().filter(suits).filter(|agent| !agent.flags.busy);
        takes_visitors().find(|agent| !is_avoided(agent)).or(current).or_else(|| takes_visitors().next())
    }

    /// What the agent at this place advertises, if it is heard.
    pub fn foreign(&self, reached: Agent) -> Option<&ForeignAgentInfo> {
        self.foreign.iter().find(|agent| agent.address == reached.address && agent.mac == reached.mac)
    }

    /// How many foreign agents take new visitors.
    pub fn open(&self) -> usize {
        self.foreign.iter().filter(|agent| agent.is_usable() && !agent.flags.busy).count()
    }

    /// The MAC of a home agent on this link.
    pub fn home_agent_mac(&self, address: HomeAgentAddress) -> Option<MacAddress> {
        self.home.iter().find(|agent| agent.address == address).map(|agent| agent.mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        advertisement::AgentFlags,
        types::{CareOfAddress, Lifetime},
    };

    fn agent(last: u8, busy: bool) -> ForeignAgentInfo {
        let address = Ipv4Addr::new(10, 2, 0, last);
        ForeignAgentInfo {
            address,
            mac: MacAddress([2, 0, 0, 0, 0, last]),
            care_of_addresses: vec![CareOfAddress(address)],
            registration_lifetime: Lifetime(600),
            flags: AgentFlags { foreign_agent: true, busy, ..AgentFlags::default() },
            challenge: None,
            reboots: 0,
        }
    }

    fn reached(last: u8) -> Agent {
        let ForeignAgentInfo { address, mac, .. } = agent(last, false);
        Agent { address, mac }
    }

    fn chosen(agents: &[ForeignAgentInfo], wish: Wish) -> Option<u8> {
        let mut known = Agents::default();
        known.replace(agents.to_vec(), vec![]);
        known.choose(wish).map(|agent| agent.address.octets()[3])
    }

    #[test]
    fn a_busy_agent_gets_no_new_registration_but_keeps_its_clients() {
        let agents = [agent(1, true), agent(2, false)];
        assert_eq!(chosen(&agents, Wish::default()), Some(2));
        assert_eq!(chosen(&agents, Wish { in_force: Some(reached(1)), ..Wish::default() }), Some(1));
        assert_eq!(chosen(&agents[..1], Wish::default()), None);
    }

    #[test]
    fn a_client_stays_with_its_agent_unless_that_is_gone_or_refused_it() {
        let agents = [agent(1, false), agent(2, false)];
        let wish = Wish { in_force: Some(reached(2)), ..Wish::default() };
        assert_eq!(chosen(&agents, wish), Some(2));
        assert_eq!(chosen(&agents[..1], wish), Some(1));
        let avoid = Some(Ipv4Addr::new(10, 2, 0, 2));
        assert_eq!(chosen(&agents, Wish { avoid, ..wish }), Some(1));
        assert_eq!(chosen(&agents[1..], Wish { avoid, ..wish }), Some(2), "there is no other");
    }

    #[test]
    fn a_required_reverse_tunnel_is_looked_for_among_all_agents() {
        let mut offering = agent(2, false);
        offering.flags.reverse_tunnel = true;
        let agents = [agent(1, false), offering];
        assert_eq!(chosen(&agents, Wish { reverse_tunnel: true, ..Wish::default() }), Some(2));
        assert_eq!(chosen(&agents[..1], Wish { reverse_tunnel: true, ..Wish::default() }), None);
    }

    #[test]
    fn agents_that_restarted_or_are_new_know_no_clients() {
        let mut known = Agents::default();
        let [first, second] = [agent(1, false), agent(2, false)];
        assert_eq!(known.replace(vec![first.clone()], vec![]), [first.address]);
        assert_eq!(known.replace(vec![first.clone(), second.clone()], vec![]), [second.address]);
        let restarted = ForeignAgentInfo { reboots: 1, ..first };
        assert_eq!(known.reboots(&[restarted.clone(), second.clone()]), 1);
        assert_eq!(known.replace(vec![restarted.clone(), second], vec![]), [restarted.address]);
    }
}
