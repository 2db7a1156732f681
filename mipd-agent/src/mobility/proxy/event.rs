//! What the proxy is told.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::{
    mobility::{discovery::Agent, link::InterfaceIndex},
    wire::types::{CareOfAddress, HomeAgentAddress, Lifetime},
};

/// Something the access point noticed about a station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A station sent its first frame with a source address that is foreign here, or claimed one with a DHCPREQUEST.
    Visitor {
        /// The radio.
        interface: InterfaceIndex,
        /// The station.
        mac: MacAddress,
        /// The address that it uses.
        address: Ipv4Addr,
    },
    /// A station sent its first frame with an address of this network.
    Local {
        /// The radio.
        interface: InterfaceIndex,
        /// The station.
        mac: MacAddress,
        /// The address that it uses.
        address: Ipv4Addr,
    },
    /// A known visitor spoke after at least a second of silence.
    Returned {
        /// The station.
        mac: MacAddress,
        /// The radio.
        interface: InterfaceIndex,
    },
    /// A visitor's MAC was seen on the uplink: it is behind another access point now.
    Moved {
        /// The station.
        mac: MacAddress,
    },
    /// The station disassociated.
    Left {
        /// The station.
        mac: MacAddress,
    },
    /// Somebody announced an address on the uplink by gratuitous ARP.
    Announced {
        /// The announced hardware address.
        mac: MacAddress,
        /// The announced protocol address.
        address: Ipv4Addr,
    },
    /// A visitor answered our ARP request.
    Attached {
        /// The station.
        mac: MacAddress,
    },
}

/// The foreign agent in use, as its advertisements describe it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignAgentInfo {
    /// Source address of its advertisements: where requests go.
    pub address: Ipv4Addr,
    /// Link-layer source of its advertisements.
    pub mac: MacAddress,
    /// What it advertises, in its order.
    pub care_of_addresses: Vec<CareOfAddress>,
    /// The longest registration that it accepts.
    pub registration_lifetime: Lifetime,
    /// Whether it offers reverse tunnelling (the T bit, RFC 3024).
    pub reverse_tunnel: bool,
}

impl From<&Agent> for ForeignAgentInfo {
    fn from(agent: &Agent) -> Self {
        let advertisement = &agent.advertisement;
        Self {
            address: agent.address,
            mac: agent.mac,
            care_of_addresses: advertisement.care_of_addresses.clone(),
            registration_lifetime: advertisement.registration_lifetime,
            reverse_tunnel: advertisement.flags.reverse_tunnel,
        }
    }
}

/// A home agent that advertises itself on this link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HomeAgentOnLink {
    /// Its address.
    pub address: HomeAgentAddress,
    /// Link-layer source of its advertisements.
    pub mac: MacAddress,
}
