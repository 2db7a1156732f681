//! What a home agent is told by its operator (RFC 5944 §3.8.1).

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use ipnet::Ipv4Net;

use super::udp_tunnel::UdpTunnelling;
use crate::{
    mobility::{
        link::InterfaceIndex,
        reverse_tunnel::ReverseTunnel,
        security::{AddressRange, MobileHomeAssociations, PeerAssociations},
        tunnel::{Encapsulations, TunnelMode},
    },
    wire::{
        nai::Nai,
        registration::RequestFlags,
        types::{HomeAddress, HomeAgentAddress, Lifetime},
    },
};

/// A subnet whose addresses the home agent serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HomeSubnet {
    /// The subnet.
    pub prefix: Ipv4Net,
    /// The interface on it.
    pub interface: InterfaceIndex,
}

/// Settings of a home agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address given in replies with code 136.
    pub address: HomeAgentAddress,
    /// Further own addresses that the Home Agent field may hold; usually one on each home subnet.
    pub other_addresses: Vec<HomeAgentAddress>,
    /// The home subnets.
    pub subnets: Vec<HomeSubnet>,
    /// Longer requests are granted this much.
    pub maximum_lifetime: Lifetime,
    /// Largest difference between a request's timestamp and our clock; 7 s by default.
    pub replay_window: Duration,
    /// What to do about the T bit.
    pub reverse_tunnel: ReverseTunnel,
    /// How packets may be wrapped; what is not in here is refused with code 139.
    pub encapsulations: Encapsulations,
    /// Whether to send broadcasts of the home network to clients that set the B bit; without it, B is ignored.
    pub broadcast: bool,
    /// More bindings than this are refused with code 130.
    pub maximum_bindings: usize,
    /// How many bindings one client may have at a time, with the S bit. 1 = simultaneous bindings are unsupported, which
    /// code 1 says; more than this are refused with code 135.
    pub simultaneous_bindings: usize,
    /// Tunnels over UDP; `None` = never, and whoever cannot do without is refused with code 129.
    pub udp_tunnel: Option<UdpTunnelling>,
    /// Whether to tell foreign agents with an association that a client has left them, and let them end bindings (RFC 3543).
    pub revocation: bool,
    /// The proxies (RFC 5563) that may register clients with their own authentication alone, by address; others get code
    /// 150. `None` = proxy registrations are unsupported, which code 149 says.
    pub proxies: Option<Vec<AddressRange>>,
    /// Home addresses of clients that give a name instead (RFC 2794).
    pub identities: BTreeMap<Nai, HomeAddress>,
    /// Whether to answer requests to a group address with code 136 even if the sender shares no association with us.
    pub answers_probes: bool,
    /// Whether to answer strangers so at our own address, too, against RFC 5944 §3.8.2.1: access points that watch home agents
    /// reach no other where routers do not forward directed broadcasts.
    pub answers_unicast_probes: bool,
    /// Whether to refuse requests with the reserved bits r and x (code 134), which RFC 5944 §3.3 says are ignored.
    pub strict_flags: bool,
    /// Keys shared with clients.
    pub mobile_home: Arc<MobileHomeAssociations>,
    /// Keys shared with foreign agents.
    pub foreign_home: Arc<PeerAssociations>,
    /// Where nonces, GRE keys and the order of hash tables come from.
    pub seed: u64,
}

impl Config {
    /// A home agent of these subnets that shares keys with nobody yet. The rest is as the RFC's defaults have it, and
    /// bounded generously.
    pub fn new(address: HomeAgentAddress, subnets: Vec<HomeSubnet>) -> Self {
        Self {
            address,
            other_addresses: Vec::new(),
            subnets,
            maximum_lifetime: Lifetime(36_000),
            replay_window: Duration::from_secs(7),
            reverse_tunnel: ReverseTunnel::default(),
            encapsulations: Encapsulations::IP_IN_IP,
            broadcast: false,
            maximum_bindings: 65_536,
            simultaneous_bindings: 1,
            udp_tunnel: None,
            revocation: true,
            proxies: None,
            identities: BTreeMap::new(),
            answers_probes: true,
            answers_unicast_probes: false,
            strict_flags: false,
            mobile_home: Arc::default(),
            foreign_home: Arc::default(),
            seed: 0,
        }
    }

    /// Whether the Home Agent field names us.
    pub(super) fn is_own(&self, address: HomeAgentAddress) -> bool {
        self.address == address || self.other_addresses.contains(&address)
    }

    /// Whether a registration with these flags leaves the client's other bindings alone.
    pub(super) fn keeps_others(&self, flags: RequestFlags) -> bool {
        flags.simultaneous && self.simultaneous_bindings > 1
    }

    /// Whether a tunnel agreed on earlier could still be agreed on.
    pub(super) fn offers(&self, mode: &TunnelMode) -> bool {
        self.encapsulations.contains(mode.encapsulation) && (mode.udp.is_none() || self.udp_tunnel.is_some())
    }

    /// Our address for a client: the one on its home subnet if there is one, or else on the subnet that it called to.
    pub(super) fn address_for(&self, home_address: HomeAddress, destination: Ipv4Addr) -> HomeAgentAddress {
        let called = || self.subnet_of(HomeAddress(destination));
        let Some(subnet) = self.subnet_of(home_address).or_else(called) else { return self.address };
        if subnet.prefix.contains(&self.address.0) {
            return self.address;
        }
        let on_subnet = |address: &&HomeAgentAddress| subnet.prefix.contains(&address.0);
        self.other_addresses.iter().find(on_subnet).copied().unwrap_or(self.address)
    }

    /// The most specific home subnet that holds the address.
    pub(super) fn subnet_of(&self, home_address: HomeAddress) -> Option<&HomeSubnet> {
        self.subnets
            .iter()
            .filter(|subnet| subnet.prefix.contains(&home_address.0))
            .max_by_key(|subnet| subnet.prefix.prefix_len())
    }

    /// Whether the address is one a client may have: on a home subnet, but neither ours, nor the subnet's own, nor its
    /// broadcast address.
    pub(super) fn serves(&self, home_address: HomeAddress) -> bool {
        self.subnet_of(home_address).is_some_and(|subnet| {
            let reserved = subnet.prefix.prefix_len() < 31
                && (home_address.0 == subnet.prefix.network() || home_address.0 == subnet.prefix.broadcast());
            !reserved && !self.is_own(HomeAgentAddress(home_address.0))
        })
    }

    /// Whether a datagram to this address was for whoever listens (dynamic home agent discovery, RFC 5944 §3.6.1.2).
    pub(super) fn is_group(&self, destination: Ipv4Addr) -> bool {
        destination.is_multicast() || self.is_broadcast(destination)
    }

    /// Whether it is a broadcast address, of a home subnet or of any link.
    pub(super) fn is_broadcast(&self, destination: Ipv4Addr) -> bool {
        let of = |subnet: &HomeSubnet| subnet.prefix.prefix_len() < 31 && subnet.prefix.broadcast() == destination;
        destination.is_broadcast() || self.subnets.iter().any(of)
    }
}
