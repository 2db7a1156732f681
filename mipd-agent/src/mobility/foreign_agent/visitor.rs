//! The visitor list (RFC 5944 §3.7.1) and its form on disk.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

use super::{
    config::Config,
    pending::{PendingRegistration, Requester, is_host},
};
use crate::{
    mobility::{
        link::InterfaceIndex,
        time::{Instant, Now},
    },
    wire::{
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime},
    },
};

/// A registered visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisitorEntry {
    /// The client.
    pub home_address: HomeAddress,
    /// Its home agent: the tunnel's start.
    pub home_agent: HomeAgentAddress,
    /// Ours: the tunnel's exit.
    pub care_of_address: CareOfAddress,
    /// How its last accepted request reached us.
    pub requester: Requester,
    /// Flags of that request.
    pub flags: RequestFlags,
    /// Whether its traffic goes back through the tunnel (RFC 3024).
    pub reverse_tunnel: bool,
    /// What it asked for.
    pub lifetime_requested: Lifetime,
    /// What it has.
    pub lifetime_granted: Lifetime,
    /// Identification of that request.
    pub identification: Identification,
    /// Since when it is here.
    pub registered_at: Instant,
    /// When it leaves; `None` = never.
    pub expires: Option<Instant>,
}

/// Visitors of different home networks may have the same home address.
pub(super) type Key = (HomeAgentAddress, HomeAddress);

impl VisitorEntry {
    pub(super) fn new(
        now: Now,
        pending: &PendingRegistration,
        care_of_address: CareOfAddress,
        granted: Lifetime,
        before: Option<&Self>,
    ) -> Self {
        let request = &pending.request;
        Self {
            home_address: request.home_address,
            home_agent: request.home_agent,
            care_of_address,
            requester: pending.requester,
            flags: request.flags,
            reverse_tunnel: request.flags.reverse_tunnel,
            lifetime_requested: request.lifetime,
            lifetime_granted: granted,
            identification: request.identification,
            registered_at: before.map_or(now.instant, |before| before.registered_at),
            expires: granted.duration().map(|lifetime| now.instant + lifetime),
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.home_agent, self.home_address)
    }

    /// Whether the data path must do the same for both.
    pub(super) fn forwards_like(&self, other: &Self) -> bool {
        let path = |entry: &Self| {
            (entry.care_of_address, entry.requester.mac, entry.requester.interface, entry.reverse_tunnel)
        };
        self.key() == other.key() && path(self) == path(other)
    }
}

/// A visitor on disk; times are wall-clock NTP timestamps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VisitorRecord {
    /// The client.
    pub home_address: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// The tunnel's exit.
    pub care_of_address: Ipv4Addr,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Index of the access interface; valid until the machine is booted again.
    pub interface: u32,
    /// UDP port of its request.
    pub port: u16,
    /// What its request was sent to.
    pub agent: Ipv4Addr,
    /// UDP port that its request was sent to.
    pub agent_port: u16,
    /// Flag bits of its request.
    pub flags: u8,
    /// Seconds asked for.
    pub lifetime_requested: u16,
    /// Seconds granted.
    pub lifetime_granted: u16,
    /// Identification of its request.
    pub identification: u64,
    /// When it leaves; `None` = never.
    pub expires: Option<u64>,
}

impl VisitorRecord {
    pub(super) fn of(now: Now, visitor: &VisitorEntry) -> Self {
        Self {
            home_address: visitor.home_address.0,
            home_agent: visitor.home_agent.0,
            care_of_address: visitor.care_of_address.0,
            mac: visitor.requester.mac.0,
            interface: visitor.requester.interface.0,
            port: visitor.requester.port,
            agent: visitor.requester.agent,
            agent_port: visitor.requester.agent_port,
            flags: visitor.flags.to_bits(),
            lifetime_requested: visitor.lifetime_requested.0,
            lifetime_granted: visitor.lifetime_granted.0,
            identification: visitor.identification.0,
            expires: visitor.expires.map(|at| now.wall_at(at).0),
        }
    }

    /// The visitor, unless it has expired or the configuration has no place for it any more. A wall clock that was set
    /// back never makes it stay longer than it was granted.
    pub(super) fn revive(&self, now: Now, config: &Config) -> Option<VisitorEntry> {
        let care_of_address = CareOfAddress(self.care_of_address);
        let interface = InterfaceIndex(self.interface);
        if !config.offers(care_of_address) || config.access(interface).is_none() || !is_host(self.home_address) {
            return None;
        }
        let granted = Lifetime(self.lifetime_granted);
        let expires = now.revived_expiry(granted, self.expires.map(Identification))?;
        let flags = RequestFlags::from_bits(self.flags);
        Some(VisitorEntry {
            home_address: HomeAddress(self.home_address),
            home_agent: HomeAgentAddress(self.home_agent),
            care_of_address,
            requester: Requester {
                mac: MacAddress(self.mac),
                interface,
                port: self.port,
                agent: self.agent,
                agent_port: self.agent_port,
            },
            flags,
            reverse_tunnel: flags.reverse_tunnel,
            lifetime_requested: Lifetime(self.lifetime_requested),
            lifetime_granted: granted,
            identification: Identification(self.identification),
            registered_at: now.instant,
            expires,
        })
    }
}
