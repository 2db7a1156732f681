//! Mobility bindings (RFC 5944 §3.8.1).

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::revocation::RevocationTerms;
use crate::{
    mobility::{time::Instant, tunnel::TunnelMode},
    wire::{
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, Spi},
    },
};

/// Where a client is, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MobilityBinding {
    /// The client.
    pub home_address: HomeAddress,
    /// Our address as given in the reply: the tunnel's start.
    pub home_agent: HomeAgentAddress,
    /// The tunnel's exit.
    pub care_of_address: CareOfAddress,
    /// Flags of the request.
    pub flags: RequestFlags,
    /// What was agreed on about the tunnel.
    pub tunnel: TunnelMode,
    /// Whether nothing is sent into its tunnel over UDP yet (RFC 3519 §4.6.1, R).
    pub waits_for_keepalive: bool,
    /// How broadcasts of the home network are sent there, if they are.
    pub broadcasts: Option<Broadcasts>,
    /// What was agreed on about revocation, if anything.
    pub revocation: Option<RevocationTerms>,
    /// The client's Ethernet address, as its proxy told (RFC 5563 §6.2).
    pub device: Option<MacAddress>,
    /// What the last accepted request asked for.
    pub lifetime_requested: Lifetime,
    /// What it got.
    pub lifetime_granted: Lifetime,
    /// Identification of the last accepted request.
    pub identification: Identification,
    /// SPI of its mobile-home authentication, if it had one.
    pub spi: Option<Spi>,
    /// IP source of the last accepted request.
    pub source: Ipv4Addr,
    /// Since when the client is at this care-of address.
    pub registered_at: Instant,
    /// When the last accepted request came.
    pub renewed_at: Instant,
    /// When it ends; `None` = never.
    pub expires: Option<Instant>,
}

impl MobilityBinding {
    /// What the data path must know of it.
    pub fn exit(&self) -> Exit {
        Exit {
            home_agent: self.home_agent,
            care_of_address: self.care_of_address,
            tunnel: self.tunnel,
            broadcasts: self.broadcasts,
        }
    }

    /// Whether it has ended.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// How broadcasts are tunnelled (RFC 5944 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Broadcasts {
    /// As they are: the client itself is the end of the tunnel (D).
    Plain,
    /// First wrapped for the home address, so that the foreign agent delivers them to this client alone.
    Nested,
}

impl Broadcasts {
    /// For a request with these flags.
    pub(super) fn of(flags: RequestFlags) -> Option<Self> {
        flags.broadcast.then_some(if flags.co_located { Self::Plain } else { Self::Nested })
    }
}

/// A tunnel for one client: with simultaneous bindings it has several, and every packet goes into each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Exit {
    /// Where it starts: our address.
    pub home_agent: HomeAgentAddress,
    /// Where it ends.
    pub care_of_address: CareOfAddress,
    /// How packets are wrapped, and whether the client's own are accepted out of it.
    pub tunnel: TunnelMode,
    /// How broadcasts of the home network are sent there, if they are.
    pub broadcasts: Option<Broadcasts>,
}

impl Exit {
    /// Where packets are sent: over UDP, to where the NAT is seen.
    pub fn remote(&self) -> Ipv4Addr {
        self.tunnel.udp.map_or(self.care_of_address.0, |udp| *udp.peer.ip())
    }
}
