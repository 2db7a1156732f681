//! What the proxy is told.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::{
    mobility::{discovery::Agent, link::InterfaceIndex},
    wire::{
        advertisement::AgentFlags,
        types::{CareOfAddress, HomeAgentAddress, Lifetime},
    },
};

/// Something the access point noticed about a station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A station sent its first frame with a source address that is foreign here, or a known visitor one with another such
    /// address than its own.
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
    /// A station told a DHCP server that it has a foreign address, or was given one. Unlike a frame, which may be a stray one,
    /// this leaves no doubt that a former address is given up.
    Claimed {
        /// The radio.
        interface: InterfaceIndex,
        /// The station.
        mac: MacAddress,
        /// Its address.
        address: Ipv4Addr,
    },
    /// A station is associated, and has said nothing yet. The address is the one that it is remembered by, or configured with:
    /// it may have another one by now.
    Associated {
        /// The radio.
        interface: InterfaceIndex,
        /// The station.
        mac: MacAddress,
        /// The address that it probably has.
        address: Ipv4Addr,
        /// It associated now. Otherwise it was found to be associated, maybe for long, and is asked whether it is still there.
        just_now: bool,
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
    /// A visitor, which is here, does not use its address any more: it gave it back, or its DHCP server refused it.
    Surrendered {
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
    /// A foreign agent told one visitor, by a unicast advertisement with sequence number 0, that its registration is gone
    /// (RFC 3543 §4.4).
    Dismissed {
        /// The visitor's address: the advertisement's destination.
        address: Ipv4Addr,
        /// The foreign agent: the advertisement's source.
        agent: Ipv4Addr,
        /// The B bit: it should go elsewhere.
        busy: bool,
    },
}

/// A foreign agent, as its advertisements describe it.
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
    /// What it is and offers: G, M, T, U, X, and B for no new registrations.
    pub flags: AgentFlags,
    /// Its newest challenge (RFC 4721 §2).
    pub challenge: Option<Vec<u8>>,
    /// How often it restarted since it was first heard. When this grows, it knows none of our clients.
    pub reboots: u64,
}

impl ForeignAgentInfo {
    /// Whether clients can be registered through it at all.
    pub fn is_usable(&self) -> bool {
        self.flags.foreign_agent && !self.care_of_addresses.is_empty()
    }
}

impl From<&Agent> for ForeignAgentInfo {
    fn from(agent: &Agent) -> Self {
        let advertisement = &agent.advertisement;
        Self {
            address: agent.address,
            mac: agent.mac,
            care_of_addresses: advertisement.care_of_addresses.clone(),
            registration_lifetime: advertisement.registration_lifetime,
            flags: advertisement.flags,
            challenge: advertisement.challenge.clone(),
            reboots: agent.reboots,
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
