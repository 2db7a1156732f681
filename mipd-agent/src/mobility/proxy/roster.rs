//! All clients: bounded, found by MAC, by home address and by deadline.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use mipd_common::mac::MacAddress;

use super::client::Client;
use crate::{
    mobility::time::Instant,
    wire::types::HomeAddress,
};

/// Clients are keyed by MAC: two of them may have the same address from different home networks.
#[derive(Debug)]
pub(super) struct Roster {
    maximum: usize,
    clients: HashMap<MacAddress, Client>,
    by_address: BTreeSet<(HomeAddress, MacAddress)>,
    deadlines: BTreeSet<(Instant, MacAddress)>,
    expendable: BTreeSet<(Instant, MacAddress)>,
    filed: HashMap<MacAddress, Filed>,
}

/// Under which keys a client is to be found at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Filed {
    deadline: Option<Instant>,
    expendable: Option<Instant>,
}

/// Room for a new client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Free,
    /// This expendable record must go.
    InPlaceOf(MacAddress),
    None,
}

impl Roster {
    pub fn new(maximum: usize) -> Self {
        Self {
            maximum,
            clients: HashMap::new(),
            by_address: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            expendable: BTreeSet::new(),
            filed: HashMap::new(),
        }
    }

    /// Whether another client fits.
    pub fn room(&self) -> Room {
        if self.clients.len() < self.maximum {
            return Room::Free;
        }
        self.expendable.first().map_or(Room::None, |(_, mac)| Room::InPlaceOf(*mac))
    }

    /// Adds a client, or puts a changed one in the place of its old record.
    pub fn insert(&mut self, client: Client) {
        let mac = client.mac;
        self.remove(mac);
        self.by_address.insert((client.home_address, mac));
        self.clients.insert(mac, client);
        self.refile(mac);
    }

    /// Takes a client out.
    pub fn remove(&mut self, mac: MacAddress) -> Option<Client> {
        let client = self.clients.remove(&mac)?;
        self.by_address.remove(&(client.home_address, mac));
        let filed = self.filed.remove(&mac).unwrap_or_default();
        self.unfile(mac, filed);
        Some(client)
    }

    pub fn get(&self, mac: MacAddress) -> Option<&Client> {
        self.clients.get(&mac)
    }

    /// Access for a change; [`refile`](Self::refile) must follow.
    pub fn get_mut(&mut self, mac: MacAddress) -> Option<&mut Client> {
        self.clients.get_mut(&mac)
    }

    /// Brings the indexes up to date after a change.
    pub fn refile(&mut self, mac: MacAddress) {
        let Some(client) = self.clients.get(&mac) else { return };
        let filed = Filed {
            deadline: client.deadline(),
            expendable: client.is_expendable().then_some(client.noticed),
        };
        let old = self.filed.insert(mac, filed).unwrap_or_default();
        if old == filed {
            return;
        }
        self.unfile(mac, old);
        self.deadlines.extend(filed.deadline.map(|at| (at, mac)));
        self.expendable.extend(filed.expendable.map(|at| (at, mac)));
    }

    fn unfile(&mut self, mac: MacAddress, filed: Filed) {
        if let Some(at) = filed.deadline {
            self.deadlines.remove(&(at, mac));
        }
        if let Some(at) = filed.expendable {
            self.expendable.remove(&(at, mac));
        }
    }

    /// The earliest deadline of all.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whose deadlines have come.
    pub fn due(&self, now: Instant) -> Vec<MacAddress> {
        self.deadlines.range(..=(now, MacAddress::BROADCAST)).map(|(_, mac)| *mac).collect()
    }

    /// Who uses an address.
    pub fn by_address(&self, address: Ipv4Addr) -> impl Iterator<Item = MacAddress> + '_ {
        let address = HomeAddress(address);
        let range = (address, MacAddress([0; 6]))..=(address, MacAddress::BROADCAST);
        self.by_address.range(range).map(|(_, mac)| *mac)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_address.iter().filter_map(|(_, mac)| self.clients.get(mac))
    }

    /// All MACs, in the order of the home addresses, so that a simulation repeats itself.
    pub fn macs(&self) -> Vec<MacAddress> {
        self.by_address.iter().map(|(_, mac)| *mac).collect()
    }
}
