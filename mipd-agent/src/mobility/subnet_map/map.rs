//! What a client's home agent is looked up in.
//!
//! An entry is a home agent's address and a mask; the subnet is `address & mask`, so each home agent must have an
//! address inside the subnet that it serves. A client's home agent is found by longest match.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::wire::types::{HomeAddress, HomeAgentAddress};

/// Home agents by subnet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubnetMap {
    entries: BTreeMap<Ipv4Net, HomeAgentAddress>,
}

/// Why an entry cannot be in the map.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubnetMapError {
    /// The mask has holes.
    #[error("subnet map: {mask} of home agent {home_agent} is not a network mask: its one bits must come first")]
    Mask {
        /// The entry's home agent.
        home_agent: HomeAgentAddress,
        /// The offending mask.
        mask: Ipv4Addr,
    },
    /// The address cannot be a host's in the subnet.
    #[error("subnet map: {home_agent} cannot be a home agent of {subnet}: give an address of a host in that subnet")]
    HomeAgent {
        /// The entry's home agent.
        home_agent: HomeAgentAddress,
        /// The subnet that it would serve.
        subnet: Ipv4Net,
    },
    /// The subnet is there already, with another home agent.
    #[error("subnet map: {subnet} has two home agents, {first} and {second}: keep one of them")]
    Conflict {
        /// The subnet in question.
        subnet: Ipv4Net,
        /// The home agent of the earlier entry.
        first: HomeAgentAddress,
        /// The home agent of the later entry.
        second: HomeAgentAddress,
    },
}

impl SubnetMap {
    /// A map of configured entries. Two home agents for one subnet are a mistake there.
    pub fn from_entries(
        entries: impl IntoIterator<Item = (HomeAgentAddress, Ipv4Addr)>,
    ) -> Result<Self, SubnetMapError> {
        let mut map = Self::default();
        for (home_agent, mask) in entries {
            let subnet = subnet(home_agent, mask)?;
            match map.entries.insert(subnet, home_agent) {
                Some(first) if first != home_agent => {
                    return Err(SubnetMapError::Conflict { subnet, first, second: home_agent });
                }
                _ => {}
            }
        }
        Ok(map)
    }

    /// Adds an entry. Newer information replaces the old: the subnet's former home agent is returned.
    pub fn insert(
        &mut self,
        home_agent: HomeAgentAddress,
        mask: Ipv4Addr,
    ) -> Result<Option<HomeAgentAddress>, SubnetMapError> {
        Ok(self.entries.insert(subnet(home_agent, mask)?, home_agent))
    }

    /// Removes a subnet's entry and returns its home agent.
    pub fn remove(&mut self, subnet: Ipv4Net) -> Option<HomeAgentAddress> {
        self.entries.remove(&subnet.trunc())
    }

    /// The home agent of the longest prefix that contains `address`.
    pub fn home_agent(&self, address: HomeAddress) -> Option<HomeAgentAddress> {
        (0..=32).rev().find_map(|length| {
            let prefix = Ipv4Net::new(address.0, length).ok()?.trunc();
            self.entries.get(&prefix).copied()
        })
    }

    /// The longest prefix that contains `address`.
    pub fn subnet(&self, address: HomeAddress) -> Option<Ipv4Net> {
        let prefixes = (0..=32).rev().filter_map(|length| Ipv4Net::new(address.0, length).ok()).map(|net| net.trunc());
        prefixes.into_iter().find(|prefix| self.entries.contains_key(prefix))
    }

    /// All entries, by subnet.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, HomeAgentAddress)> + '_ {
        self.entries.iter().map(|(subnet, home_agent)| (*subnet, *home_agent))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no home agent is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The subnet that a home agent with this mask serves.
pub(super) fn subnet(home_agent: HomeAgentAddress, mask: Ipv4Addr) -> Result<Ipv4Net, SubnetMapError> {
    let subnet =
        Ipv4Net::with_netmask(home_agent.0, mask).map_err(|_| SubnetMapError::Mask { home_agent, mask })?.trunc();
    let has_edges = subnet.prefix_len() <= 30;
    let on_edge = home_agent.0 == subnet.network() || home_agent.0 == subnet.broadcast();
    let is_host = !(home_agent.0.is_unspecified() || home_agent.0.is_multicast() || home_agent.0.is_broadcast());
    if !is_host || (has_edges && on_edge) {
        return Err(SubnetMapError::HomeAgent { home_agent, subnet });
    }
    Ok(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agent(text: &str) -> HomeAgentAddress {
        HomeAgentAddress(text.parse().unwrap())
    }

    fn home(text: &str) -> HomeAddress {
        HomeAddress(text.parse().unwrap())
    }

    fn map(entries: &[(&str, &str)]) -> Result<SubnetMap, SubnetMapError> {
        SubnetMap::from_entries(entries.iter().map(|(address, mask)| (agent(address), mask.parse().unwrap())))
    }

    #[test]
    fn the_longest_prefix_wins() {
        let map =
            map(&[("10.12.1.1", "255.255.0.0"), ("10.12.4.2", "255.255.255.0"), ("10.12.4.9", "255.255.255.248")])
                .unwrap();
        assert_eq!(map.home_agent(home("10.12.9.9")), Some(agent("10.12.1.1")));
        assert_eq!(map.home_agent(home("10.12.4.200")), Some(agent("10.12.4.2")));
        assert_eq!(map.home_agent(home("10.12.4.14")), Some(agent("10.12.4.9")));
        assert_eq!(map.home_agent(home("10.13.0.1")), None);
    }

    #[test]
    fn a_mask_with_holes_is_refused() {
        let error = map(&[("10.1.0.1", "255.0.255.0")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subnet map: 255.0.255.0 of home agent 10.1.0.1 is not a network mask: its one bits must come first"
        );
    }

    #[test]
    fn a_network_or_broadcast_address_is_no_home_agent() {
        for address in ["10.1.0.0", "10.1.0.255", "0.0.0.0", "224.0.0.11"] {
            let result = map(&[(address, "255.255.255.0")]);
            assert!(matches!(result, Err(SubnetMapError::HomeAgent { .. })), "{address}: {result:?}");
        }
        assert!(map(&[("10.1.0.0", "255.255.255.254")]).is_ok(), "point-to-point links have no such addresses");
    }

    #[test]
    fn two_home_agents_for_a_subnet_are_a_configuration_error_that_names_both() {
        let error = map(&[("10.1.0.1", "255.255.255.0"), ("10.1.0.2", "255.255.255.0")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subnet map: 10.1.0.0/24 has two home agents, 10.1.0.1 and 10.1.0.2: keep one of them"
        );
        assert_eq!(map(&[("10.1.0.1", "255.255.255.0"), ("10.1.0.1", "255.255.255.0")]).unwrap().len(), 1);
    }

    #[test]
    fn newer_information_replaces_the_old() {
        let mut map = map(&[("10.1.0.1", "255.255.255.0")]).unwrap();
        let mask = "255.255.255.0".parse().unwrap();
        assert_eq!(map.insert(agent("10.1.0.2"), mask).unwrap(), Some(agent("10.1.0.1")));
        assert_eq!(map.home_agent(home("10.1.0.77")), Some(agent("10.1.0.2")));
        assert_eq!(map.remove("10.1.0.0/24".parse().unwrap()), Some(agent("10.1.0.2")));
        assert!(map.is_empty());
    }

    proptest! {
        #[test]
        fn look_up_agrees_with_a_linear_search(
            entries in prop::collection::vec((0x0a00_0000u32..0x0a00_0fff, 20u8..=30), 0..24),
            address in 0x0a00_0000u32..0x0a00_0fff,
        ) {
            let mut map = SubnetMap::default();
            for (agent, length) in entries {
                let net = Ipv4Net::new(agent.into(), length).unwrap();
                let _ = map.insert(HomeAgentAddress(net.addr()), net.netmask());
            }
            let address = Ipv4Addr::from(address);
            let expected = map.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len());
            prop_assert_eq!(map.home_agent(HomeAddress(address)), expected.map(|(_, agent)| agent));
        }
    }
}
