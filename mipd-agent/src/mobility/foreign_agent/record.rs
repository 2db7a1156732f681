//! A visitor's form on disk.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

use super::{
    config::Config,
    pending::{Requester, is_host},
    revocation::Revocable,
    visitor::VisitorEntry,
};
use crate::{
    mobility::{
        link::InterfaceIndex,
        time::Now,
        tunnel::{Delivery, TunnelMode},
    },
    wire::{
        challenge::Challenge,
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime},
    },
};

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
    /// Name of the access interface, which outlives a boot. Whoever stores and loads the record knows it; empty in records
    /// of versions that did not.
    #[serde(default)]
    pub interface_name: String,
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
    /// What was agreed on about the tunnel. Older versions had only what the flags say.
    #[serde(default)]
    pub tunnel: Option<TunnelMode>,
    /// What makes its registration revocable.
    #[serde(default)]
    pub revocation: Option<Revocable>,
    /// The challenge that it may use.
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

impl VisitorRecord {
    /// After a boot: the index that the access interface has now. A name that is not found, if the record has one, leaves the
    /// visitor without a place.
    pub fn find_interface(&mut self, index: impl Fn(&str) -> Option<InterfaceIndex>) {
        if !self.interface_name.is_empty() {
            self.interface = index(&self.interface_name).map_or(0, |index| index.0);
        }
    }

    pub(super) fn of(now: Now, visitor: &VisitorEntry) -> Self {
        Self {
            home_address: visitor.home_address.0,
            home_agent: visitor.home_agent.0,
            care_of_address: visitor.care_of_address.0,
            mac: visitor.requester.mac.0,
            interface: visitor.requester.interface.0,
            interface_name: String::new(),
            port: visitor.requester.port,
            agent: visitor.requester.agent,
            agent_port: visitor.requester.agent_port,
            flags: visitor.flags.to_bits(),
            lifetime_requested: visitor.lifetime_requested.0,
            lifetime_granted: visitor.lifetime_granted.0,
            identification: visitor.identification.0,
            expires: visitor.expires.map(|at| now.wall_at(at).0),
            tunnel: Some(visitor.tunnel),
            revocation: visitor.revocation,
            challenge: visitor.challenge,
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
        let flags = RequestFlags::from_bits(self.flags);
        let by_flags = || TunnelMode { reverse: flags.reverse_tunnel.then(Delivery::default), ..TunnelMode::default() };
        let tunnel = self.tunnel.unwrap_or_else(by_flags);
        if !config.carries(&tunnel) {
            return None;
        }
        let granted = Lifetime(self.lifetime_granted);
        let expires = now.revived_expiry(granted, self.expires.map(Identification))?;
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
            tunnel,
            revocation: self.revocation,
            challenge: self.challenge,
            renewed_at: now.instant,
            lifetime_requested: Lifetime(self.lifetime_requested),
            lifetime_granted: granted,
            identification: Identification(self.identification),
            registered_at: now.instant,
            expires,
        })
    }
}
