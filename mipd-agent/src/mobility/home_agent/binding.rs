//! Mobility bindings (RFC 5944 §3.8.1) and their form on disk.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{
    mobility::time::{Instant, Now},
    wire::{
        registration::{RegistrationRequest, RequestFlags},
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
    /// Whether the client's own traffic comes back through the tunnel (RFC 3024).
    pub reverse_tunnel: bool,
    /// What the last accepted request asked for.
    pub lifetime_requested: Lifetime,
    /// What it got.
    pub lifetime_granted: Lifetime,
    /// Identification of the last accepted request.
    pub identification: Identification,
    /// SPI of its mobile-home authentication.
    pub spi: Spi,
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
    pub(super) fn new(
        now: Now,
        request: &RegistrationRequest,
        granted: Lifetime,
        spi: Spi,
        source: Ipv4Addr,
        replaced: Option<&Self>,
    ) -> Self {
        let renewed = replaced.filter(|before| before.care_of_address == request.care_of_address);
        Self {
            home_address: request.home_address,
            home_agent: request.home_agent,
            care_of_address: request.care_of_address,
            flags: request.flags,
            reverse_tunnel: request.flags.reverse_tunnel,
            lifetime_requested: request.lifetime,
            lifetime_granted: granted,
            identification: request.identification,
            spi,
            source,
            registered_at: renewed.map_or(now.instant, |before| before.registered_at),
            renewed_at: now.instant,
            expires: granted.duration().map(|lifetime| now.instant + lifetime),
        }
    }

    /// Whether the data path must do the same for both.
    pub(super) fn forwards_like(&self, other: &Self) -> bool {
        (self.home_agent, self.care_of_address, self.reverse_tunnel)
            == (other.home_agent, other.care_of_address, other.reverse_tunnel)
    }
}

/// What outlives the process: the last accepted Identification of a node, and its binding if it is away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BindingRecord {
    /// The node.
    pub home_address: Ipv4Addr,
    /// The last Identification accepted.
    pub identification: u64,
    /// Its binding; `None` when it is at home and only the Identification is remembered, against replays.
    pub binding: Option<RecordedBinding>,
}

/// A binding on disk; times are wall-clock NTP timestamps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedBinding {
    /// Our address in it.
    pub home_agent: Ipv4Addr,
    /// The tunnel's exit.
    pub care_of_address: Ipv4Addr,
    /// Flag bits of the request.
    pub flags: u8,
    /// Seconds asked for.
    pub lifetime_requested: u16,
    /// Seconds granted.
    pub lifetime_granted: u16,
    /// SPI of the request.
    pub spi: u32,
    /// IP source of the request.
    pub source: Ipv4Addr,
    /// When it ends; `None` = never.
    pub expires: Option<u64>,
}

impl RecordedBinding {
    pub(super) fn of(now: Now, binding: &MobilityBinding) -> Self {
        Self {
            home_agent: binding.home_agent.0,
            care_of_address: binding.care_of_address.0,
            flags: binding.flags.to_bits(),
            lifetime_requested: binding.lifetime_requested.0,
            lifetime_granted: binding.lifetime_granted.0,
            spi: binding.spi.get(),
            source: binding.source,
            expires: binding.expires.map(|at| now.wall_at(at).0),
        }
    }

    /// The binding, unless it has expired or the record is damaged. A wall clock that was set back never makes it last
    /// longer than it was granted for.
    pub(super) fn revive(
        &self,
        now: Now,
        home_address: HomeAddress,
        identification: Identification,
    ) -> Option<MobilityBinding> {
        let granted = Lifetime(self.lifetime_granted);
        let expires = now.revived_expiry(granted, self.expires.map(Identification))?;
        let flags = RequestFlags::from_bits(self.flags);
        Some(MobilityBinding {
            home_address,
            home_agent: HomeAgentAddress(self.home_agent),
            care_of_address: CareOfAddress(self.care_of_address),
            flags,
            reverse_tunnel: flags.reverse_tunnel,
            lifetime_requested: Lifetime(self.lifetime_requested),
            lifetime_granted: granted,
            identification,
            spi: Spi::new(self.spi)?,
            source: self.source,
            registered_at: now.instant,
            renewed_at: now.instant,
            expires,
        })
    }
}
