//! Bindings on disk. Times are wall-clock NTP timestamps.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

use super::{
    binding::{Broadcasts, MobilityBinding},
    revocation::RevocationTerms,
};
use crate::{
    mobility::{
        security::RecordedNonces,
        time::Now,
        tunnel::{Delivery, Encapsulation, GreKeys, TunnelMode, UdpTunnel},
    },
    wire::{
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, Spi},
    },
};

/// What outlives the process: what protects a node against replays, and its bindings if it is away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BindingRecord {
    /// The node.
    pub home_address: Ipv4Addr,
    /// The last timestamp accepted; with nonces, 0.
    pub identification: u64,
    /// The binding of a node without simultaneous ones, or the oldest of several; `None` when it is at home and only the
    /// Identification is remembered.
    pub binding: Option<RecordedBinding>,
    /// The nonces, if its association uses them.
    #[serde(default)]
    pub nonces: Option<RecordedNonces>,
    /// Its other bindings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<RecordedBinding>,
}

impl BindingRecord {
    /// Drops the nonces: those on disk may be older than the last ones given out, and a request that used those up would pass
    /// again. The node's next request is answered with new ones (code 133).
    pub fn forget_nonces(&mut self) {
        self.nonces = None;
    }

    /// All bindings.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &RecordedBinding> {
        self.binding.iter().chain(&self.more)
    }
}

/// A binding on disk.
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
    /// SPI of the request; 0 = it had none.
    pub spi: u32,
    /// IP source of the request.
    pub source: Ipv4Addr,
    /// When it ends; `None` = never.
    pub expires: Option<u64>,
    /// How packets are wrapped.
    #[serde(default)]
    pub encapsulation: Encapsulation,
    /// The keys, with GRE.
    #[serde(default)]
    pub gre_keys: Option<GreKeys>,
    /// The tunnel over UDP.
    #[serde(default)]
    pub udp: Option<RecordedUdpTunnel>,
    /// What was agreed on about revocation.
    #[serde(default)]
    pub revocation: Option<RevocationTerms>,
    /// The client's Ethernet address.
    #[serde(default)]
    pub device: Option<[u8; 6]>,
    /// Whether broadcasts are sent there; how follows from the flags.
    #[serde(default)]
    pub broadcasts: bool,
    /// Identification of the request; that of the record if it has none, as in older stores.
    #[serde(default)]
    pub identification: Option<u64>,
}

/// A [`UdpTunnel`] on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedUdpTunnel {
    /// The far end.
    pub peer: SocketAddrV4,
    /// Seconds between keepalives.
    pub keepalive_s: u64,
    /// Whether nothing may be sent yet.
    pub waits_for_keepalive: bool,
}

impl RecordedBinding {
    pub(super) fn of(now: Now, binding: &MobilityBinding) -> Self {
        Self {
            home_agent: binding.home_agent.0,
            care_of_address: binding.care_of_address.0,
            flags: binding.flags.to_bits(),
            lifetime_requested: binding.lifetime_requested.0,
            lifetime_granted: binding.lifetime_granted.0,
            spi: binding.spi.map_or(0, Spi::get),
            source: binding.source,
            expires: binding.expires.map(|at| now.wall_at(at).0),
            encapsulation: binding.tunnel.encapsulation,
            gre_keys: binding.tunnel.gre_keys,
            udp: binding.tunnel.udp.map(|udp| RecordedUdpTunnel {
                peer: udp.peer,
                keepalive_s: udp.keepalive.as_secs(),
                waits_for_keepalive: binding.waits_for_keepalive,
            }),
            revocation: binding.revocation,
            device: binding.device.map(|device| device.0),
            broadcasts: binding.broadcasts.is_some(),
            identification: Some(binding.identification.0),
        }
    }

    /// The binding, unless it has expired or the record is damaged. A wall clock that was set back never makes it last
    /// longer than it was granted for.
    pub(super) fn revive(&self, now: Now, record: &BindingRecord) -> Option<MobilityBinding> {
        let granted = Lifetime(self.lifetime_granted);
        let expires = now.revived_expiry(granted, self.expires.map(Identification))?;
        let flags = RequestFlags::from_bits(self.flags);
        Some(MobilityBinding {
            home_address: HomeAddress(record.home_address),
            home_agent: HomeAgentAddress(self.home_agent),
            care_of_address: CareOfAddress(self.care_of_address),
            flags,
            tunnel: TunnelMode {
                encapsulation: self.encapsulation,
                gre_keys: self.gre_keys,
                udp: self.udp.map(|udp| UdpTunnel { peer: udp.peer, keepalive: Duration::from_secs(udp.keepalive_s) }),
                reverse: flags.reverse_tunnel.then_some(Delivery::Direct),
            },
            waits_for_keepalive: self.udp.is_some_and(|udp| udp.waits_for_keepalive),
            broadcasts: Broadcasts::of(flags).filter(|_| self.broadcasts),
            revocation: self.revocation,
            device: self.device.map(MacAddress),
            lifetime_requested: Lifetime(self.lifetime_requested),
            lifetime_granted: granted,
            identification: Identification(self.identification.unwrap_or(record.identification)),
            spi: Spi::new(self.spi),
            source: self.source,
            registered_at: now.instant,
            renewed_at: now.instant,
            expires,
        })
    }
}
