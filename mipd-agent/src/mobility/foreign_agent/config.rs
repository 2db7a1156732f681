//! What a foreign agent is told by its operator (RFC 5944 §3.7.1).

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use crate::{
    mobility::{link::InterfaceIndex, reverse_tunnel::ReverseTunnel, security::PeerAssociations},
    wire::types::{CareOfAddress, HomeAgentAddress, Lifetime},
};

/// An interface that visitors are behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessInterface {
    /// The interface.
    pub interface: InterfaceIndex,
    /// Our address on it, from which requests to a multicast address are answered.
    pub address: Ipv4Addr,
}

/// Settings of a foreign agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where visitors are served.
    pub interfaces: Vec<AccessInterface>,
    /// All addresses of this box: a Home Agent field with one of them is refused with code 194,
    pub own_addresses: Vec<Ipv4Addr>,
    /// unless the box is home agent at that address too.
    pub own_home_agents: Vec<Ipv4Addr>,
    /// Care-of addresses on offer. Requests that name none of them are relayed from the first.
    pub care_of_addresses: Vec<CareOfAddress>,
    /// Requests for more are refused with code 69.
    pub maximum_lifetime: Lifetime,
    /// What to do about the T bit.
    pub reverse_tunnel: ReverseTunnel,
    /// How long the home agent may take before the client gets code 78; 7 s by default (RFC 5944 §3.7.2.2).
    pub pending_timeout: Duration,
    /// Pending registrations of all clients together; more are refused with code 66.
    pub maximum_pending: usize,
    /// Pending registrations of one client; more are refused with code 66. 5 is typical (RFC 5944 §3.7.1).
    pub maximum_pending_per_client: usize,
    /// Visitors, pending ones included; more are refused with code 66.
    pub maximum_visitors: usize,
    /// Keys shared with clients, by home address.
    pub mobile_foreign: Arc<PeerAssociations>,
    /// Keys shared with home agents.
    pub foreign_home: Arc<PeerAssociations>,
}

impl Config {
    /// A foreign agent with one care-of address that shares keys with nobody yet. The rest is as the RFC's defaults have
    /// it, and bounded generously.
    pub fn new(care_of_address: CareOfAddress, interfaces: Vec<AccessInterface>) -> Self {
        Self {
            interfaces,
            own_addresses: vec![care_of_address.0],
            own_home_agents: Vec::new(),
            care_of_addresses: vec![care_of_address],
            maximum_lifetime: Lifetime(36_000),
            reverse_tunnel: ReverseTunnel::default(),
            pending_timeout: Duration::from_secs(7),
            maximum_pending: 1024,
            maximum_pending_per_client: 5,
            maximum_visitors: 65_536,
            mobile_foreign: Arc::default(),
            foreign_home: Arc::default(),
        }
    }

    pub(super) fn access(&self, interface: InterfaceIndex) -> Option<&AccessInterface> {
        self.interfaces.iter().find(|access| access.interface == interface)
    }

    pub(super) fn offers(&self, care_of_address: CareOfAddress) -> bool {
        self.care_of_addresses.contains(&care_of_address)
    }

    /// Whether a request must not be relayed to this address because it is ours, but not a home agent's.
    pub(super) fn is_own_but_no_home_agent(&self, home_agent: HomeAgentAddress) -> bool {
        !self.own_home_agents.contains(&home_agent.0)
            && (self.own_addresses.contains(&home_agent.0) || self.offers(CareOfAddress(home_agent.0)))
    }
}
