//! What a foreign agent is told by its operator (RFC 5944 §3.7.1).

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde::Deserialize;

use crate::{
    mobility::{
        link::InterfaceIndex,
        reverse_tunnel::ReverseTunnel,
        security::PeerAssociations,
        tunnel::{Delivery, Encapsulations, TunnelMode},
    },
    wire::types::{CareOfAddress, Lifetime},
};

/// An interface that visitors are behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessInterface {
    /// The interface.
    pub interface: InterfaceIndex,
    /// Our address on it, from which requests to a multicast address are answered.
    pub address: Ipv4Addr,
}

/// When we ask the home agent for GRE keys (RFC 6245).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GreKeyPolicy {
    /// Not at all.
    #[default]
    Never,
    /// In sessions whose client asks for GRE.
    WithGre,
    /// In all sessions but those with minimal encapsulation: this asks for GRE where the client did not.
    Always,
}

/// How we ask for tunnels over UDP (RFC 3519).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpTunnelling {
    /// Also if there seems to be no NAT between us and the home agent.
    pub forced: bool,
    /// The NAT translates everything that leaves this network, so that without a reverse tunnel the client's packets would
    /// lose their address: requests without T are refused with code 75.
    pub everything_translated: bool,
}

/// How registrations are revoked (RFC 3543).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationPolicy {
    /// Whether we inform a client, by an advertisement, that its registration was revoked, if the home agent agrees.
    pub inform: bool,
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
    /// What our end of a tunnel can do; requests for anything else are refused with code 72.
    pub encapsulations: Encapsulations,
    /// When we ask for GRE keys.
    pub gre_key: GreKeyPolicy,
    /// Whether and how we ask for tunnels over UDP.
    pub udp_tunnel: Option<UdpTunnelling>,
    /// What to do about the T bit.
    pub reverse_tunnel: ReverseTunnel,
    /// Whether visitors may send their packets encapsulated to us (RFC 3024 §5.2); otherwise such requests are refused with
    /// code 79.
    pub encapsulating_delivery: bool,
    /// Whether and how registrations can be revoked; advertise X, and R beside it.
    pub revocation: Option<RevocationPolicy>,
    /// How many challenges of each interface are accepted (RFC 4721 §12: 2 by default); `None`: there are no challenges.
    pub challenge_window: Option<usize>,
    /// Refuse requests that set the reserved flags r or x, which RFC 5944 §3.3 tells us to ignore, with code 70.
    pub strict_flags: bool,
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
            encapsulations: Encapsulations::IP_IN_IP,
            gre_key: GreKeyPolicy::Never,
            udp_tunnel: None,
            reverse_tunnel: ReverseTunnel::default(),
            encapsulating_delivery: false,
            revocation: None,
            challenge_window: None,
            strict_flags: false,
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

    /// Whether a tunnel agreed on earlier is one that would still be agreed on.
    pub(super) fn carries(&self, tunnel: &TunnelMode) -> bool {
        self.encapsulations.contains(tunnel.encapsulation)
            && (tunnel.udp.is_none() || self.udp_tunnel.is_some())
            && (tunnel.reverse != Some(Delivery::Encapsulating) || self.encapsulating_delivery)
            && self.reverse_tunnel.refuses(tunnel.is_reverse()).is_none()
    }

    /// Whether a request must not be relayed to this address because it is ours, but not a home agent's.
    pub(super) fn is_own_but_no_home_agent(&self, address: Ipv4Addr) -> bool {
        !self.own_home_agents.contains(&address)
            && (self.own_addresses.contains(&address) || self.offers(CareOfAddress(address)))
    }
}
