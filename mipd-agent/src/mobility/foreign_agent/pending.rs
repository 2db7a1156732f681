//! Registrations that were relayed and not yet answered (RFC 5944 §3.7.2.2).

use std::{collections::BTreeMap, net::Ipv4Addr};

use mipd_common::mac::MacAddress;

use crate::{
    mobility::{
        link::{InterfaceIndex, Path, Transmit},
        time::Instant,
    },
    wire::{
        registration::RegistrationRequest,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress},
    },
};

const TTL: u8 = 64;

/// How to reach a client that cannot be reached by routing or ARP: exactly where its request came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requester {
    /// Link-layer source of the request.
    pub mac: MacAddress,
    /// Where the request came in.
    pub interface: InterfaceIndex,
    /// UDP source port of the request.
    pub port: u16,
    /// What the request was sent to, or our address on the interface if that was none of ours: source of the reply.
    pub agent: Ipv4Addr,
    /// UDP destination port of the request: source port of the reply.
    pub agent_port: u16,
}

impl Requester {
    /// A reply, by IP to the home address, or to everybody if there is none to speak of (RFC 5944 §3.7.2.3), by Ethernet
    /// to the client alone.
    pub(super) fn transmit(&self, home_address: HomeAddress, payload: Vec<u8>) -> Transmit {
        Transmit {
            payload,
            source: self.agent,
            source_port: self.agent_port,
            destination: if is_host(home_address.0) { home_address.0 } else { Ipv4Addr::BROADCAST },
            destination_port: self.port,
            ttl: TTL,
            path: Path::Frame { interface: self.interface, destination: self.mac, source: None },
        }
    }
}

/// Whether the address can be a single host's, elsewhere than on this box.
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !(address.octets()[0] == 0 || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// A relayed request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingRegistration {
    /// The request's fixed part.
    pub request: RegistrationRequest,
    /// Where it came from.
    pub requester: Requester,
    /// Our end of the tunnel, if the request names a care-of address of ours.
    pub care_of_address: Option<CareOfAddress>,
    /// When it was relayed.
    pub relayed_at: Instant,
    /// The client got a denial already; a valid reply still counts, but silence needs no second denial.
    pub denied: bool,
}

/// What a reply is matched by: home address and the low half of the Identification (RFC 5944 §3.7.3.1).
pub(super) type Key = (HomeAddress, u32);

pub(super) fn key(request: &RegistrationRequest) -> Key {
    (request.home_address, request.identification.low())
}

/// All pending registrations.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingList {
    entries: BTreeMap<Key, PendingRegistration>,
    by_client: BTreeMap<MacAddress, usize>,
}

impl PendingList {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn of_client(&self, mac: MacAddress) -> usize {
        self.by_client.get(&mac).copied().unwrap_or(0)
    }

    pub fn get(&self, key: Key) -> Option<&PendingRegistration> {
        self.entries.get(&key)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut PendingRegistration> {
        self.entries.get_mut(&key)
    }

    pub fn insert(&mut self, pending: PendingRegistration) {
        let key = key(&pending.request);
        self.remove(key);
        *self.by_client.entry(pending.requester.mac).or_default() += 1;
        self.entries.insert(key, pending);
    }

    pub fn remove(&mut self, key: Key) -> Option<PendingRegistration> {
        let pending = self.entries.remove(&key)?;
        let mac = pending.requester.mac;
        if let Some(count) = self.by_client.get_mut(&mac) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&mac);
            }
        }
        Some(pending)
    }

    /// The same node's requests to the same home agent that are older than this one.
    pub fn overtaken_by(&self, request: &RegistrationRequest) -> Vec<Key> {
        self.entries
            .range((request.home_address, 0)..=(request.home_address, u32::MAX))
            .filter(|(_, pending)| {
                pending.request.home_agent == request.home_agent
                    && pending.request.identification.since(request.identification) < 0
            })
            .map(|(key, _)| *key)
            .collect()
    }

    /// The requests that were relayed to a home agent.
    pub fn relayed_to(&self, home_agent: HomeAgentAddress) -> Vec<Key> {
        self.entries
            .iter()
            .filter(|(_, pending)| pending.request.home_agent == home_agent)
            .map(|(key, _)| *key)
            .collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PendingRegistration> {
        self.entries.values()
    }
}
