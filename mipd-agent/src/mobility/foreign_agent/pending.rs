//! Registrations that were relayed and not yet answered (RFC 5944 §3.7.2.2).

use std::{collections::BTreeMap, net::Ipv4Addr};

use mipd_common::mac::MacAddress;

use super::{denial::Addressee, signature::Signer, tunnel::Proposal};
use crate::{
    mobility::{
        link::{InterfaceIndex, Path, TTL, Transmit},
        time::Instant,
        tunnel::Delivery,
    },
    wire::{
        nai::Nai,
        registration::{RegistrationReply, RegistrationRequest},
        types::{CareOfAddress, HomeAddress},
    },
};

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingRegistration {
    /// The request's fixed part.
    pub request: RegistrationRequest,
    /// Who the client says it is, beside its home address (RFC 2794).
    pub nai: Option<Nai>,
    /// Where it came from.
    pub requester: Requester,
    /// Where it was relayed to: the home agent it names, or the one it asks for in extension 139.
    pub relayed_to: Ipv4Addr,
    /// Our end of the tunnel, if the request names a care-of address of ours.
    pub care_of_address: Option<CareOfAddress>,
    /// How the client wants to deliver what goes into the reverse tunnel.
    pub delivery: Delivery,
    /// What we added to the request.
    pub(super) proposal: Proposal,
    /// The challenge that it answers to.
    pub(super) challenge: Option<Vec<u8>>,
    /// How the client authenticated itself to us.
    pub(super) signer: Option<Signer>,
    /// We signed it for the home agent.
    pub(super) signed: bool,
    /// When it was relayed.
    pub relayed_at: Instant,
    /// The client got a denial already; a valid reply still counts, but silence needs no second denial.
    pub denied: bool,
}

impl PendingRegistration {
    /// Whether a request is this one again: alike but for the Identification (RFC 4721 §3.2).
    pub(super) fn is_repeated_by(&self, request: &RegistrationRequest, mac: MacAddress) -> bool {
        let RegistrationRequest { identification, .. } = self.request;
        self.requester.mac == mac && self.request == RegistrationRequest { identification, ..*request }
    }

    /// Whom a reply of our own would go to.
    pub(super) fn addressee(&self) -> Addressee {
        Addressee { requester: self.requester, request: self.request, nai: self.nai.clone(), signer: self.signer }
    }
}

/// A pending registration's name, unique as long as the agent runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PendingId(u64);

/// What a reply is matched by: home address and the low half of the Identification (RFC 5944 §3.7.3.1); of clients that
/// have no home address yet, the NAI beside the latter (RFC 2794 §4).
type Key = (HomeAddress, u32, Option<Nai>);

fn key(request: &RegistrationRequest, nai: Option<&Nai>) -> Key {
    let nameless = request.home_address.0.is_unspecified();
    (request.home_address, request.identification.low(), nai.filter(|_| nameless).cloned())
}

/// All pending registrations.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingList {
    entries: BTreeMap<PendingId, PendingRegistration>,
    by_key: BTreeMap<Key, PendingId>,
    by_client: BTreeMap<MacAddress, usize>,
    next: u64,
}

impl PendingList {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn of_client(&self, mac: MacAddress) -> usize {
        self.by_client.get(&mac).copied().unwrap_or(0)
    }

    pub fn get(&self, id: PendingId) -> Option<&PendingRegistration> {
        self.entries.get(&id)
    }

    pub fn get_mut(&mut self, id: PendingId) -> Option<&mut PendingRegistration> {
        self.entries.get_mut(&id)
    }

    /// The entry that a repetition of the request would replace.
    pub fn find(&self, request: &RegistrationRequest, nai: Option<&Nai>) -> Option<PendingId> {
        self.by_key.get(&key(request, nai)).copied()
    }

    /// The entry that the reply answers. Without an NAI it still answers a client without a home address if only one is
    /// meant: that the NAI is missing is then what it is refused for (RFC 2794 §4).
    pub fn answered_by(&self, reply: &RegistrationReply, nai: Option<&Nai>) -> Option<PendingId> {
        let low = reply.identification.low();
        if let Some(id) = self.by_key.get(&(reply.home_address, low, None)) {
            return Some(*id);
        }
        let nameless = HomeAddress(Ipv4Addr::UNSPECIFIED);
        if nai.is_some() {
            return self.by_key.get(&(nameless, low, nai.cloned())).copied();
        }
        let mut same =
            self.by_key.range((nameless, low, None)..).take_while(|((home, id, _), _)| (*home, *id) == (nameless, low));
        let only = same.next().map(|(_, id)| *id);
        only.filter(|_| same.next().is_none())
    }

    /// Adds an entry, in place of the one with the same key.
    pub fn insert(&mut self, pending: PendingRegistration) -> PendingId {
        let key = key(&pending.request, pending.nai.as_ref());
        if let Some(before) = self.by_key.get(&key) {
            self.remove(*before);
        }
        let id = PendingId(self.next);
        self.next += 1;
        *self.by_client.entry(pending.requester.mac).or_default() += 1;
        self.by_key.insert(key, id);
        self.entries.insert(id, pending);
        id
    }

    pub fn remove(&mut self, id: PendingId) -> Option<PendingRegistration> {
        let pending = self.entries.remove(&id)?;
        self.by_key.remove(&key(&pending.request, pending.nai.as_ref()));
        let mac = pending.requester.mac;
        if let Some(count) = self.by_client.get_mut(&mac) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&mac);
            }
        }
        Some(pending)
    }

    /// The requests of the node with this home address.
    pub fn of_node(&self, home_address: HomeAddress) -> impl Iterator<Item = (PendingId, &PendingRegistration)> {
        self.by_key
            .range((home_address, 0, None)..)
            .take_while(move |((home, ..), _)| *home == home_address)
            .filter_map(|(_, id)| self.entries.get(id).map(|pending| (*id, pending)))
    }

    /// The same node's requests to the same home agent that are older than this one.
    pub fn overtaken_by(&self, accepted: &PendingRegistration) -> Vec<PendingId> {
        let request = &accepted.request;
        self.of_node(request.home_address)
            .filter(|(_, pending)| {
                pending.relayed_to == accepted.relayed_to
                    && pending.nai == accepted.nai
                    && pending.request.identification.since(request.identification) < 0
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// The requests that were relayed to this address.
    pub fn relayed_to(&self, address: Ipv4Addr) -> Vec<PendingId> {
        self.entries.iter().filter(|(_, pending)| pending.relayed_to == address).map(|(id, _)| *id).collect()
    }

    /// All, ascending by home address.
    pub fn iter(&self) -> impl Iterator<Item = &PendingRegistration> {
        self.by_key.values().filter_map(|id| self.entries.get(id))
    }
}
