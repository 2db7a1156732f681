//! All clients: bounded, found by MAC, by home address and by deadline.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use mipd_common::mac::MacAddress;

use super::client::Client;
use crate::{
    mobility::{deadlines::Deadlines, time::Instant},
    wire::types::HomeAddress,
};

/// Clients are keyed by MAC: two of them may have the same address from different home networks.
#[derive(Debug)]
pub(super) struct Roster {
    maximum: usize,
    clients: HashMap<MacAddress, Client>,
    by_address: BTreeSet<(HomeAddress, MacAddress)>,
    deadlines: Deadlines<MacAddress>,
    /// Records that may go to make room, by the time they were made.
    expendable: Deadlines<MacAddress>,
}

impl Roster {
    pub fn new(maximum: usize) -> Self {
        Self {
            maximum,
            clients: HashMap::new(),
            by_address: BTreeSet::new(),
            deadlines: Deadlines::default(),
            expendable: Deadlines::default(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.clients.len() >= self.maximum
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many clients and timers there are.
    pub fn sizes(&self) -> (usize, usize) {
        (self.clients.len(), self.deadlines.len() + self.expendable.len())
    }

    /// Drops the oldest record that nobody will miss.
    pub fn evict(&mut self) -> Option<Client> {
        let mac = self.expendable.pop_due(Instant(Duration::MAX))?;
        self.remove(mac)
    }

    /// Adds a client in the place of any record with its MAC.
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
        self.deadlines.clear(mac);
        self.expendable.clear(mac);
        Some(client)
    }

    pub fn get(&self, mac: MacAddress) -> Option<&Client> {
        self.clients.get(&mac)
    }

    /// For a change of anything but MAC and home address; [`refile`](Self::refile) must follow.
    pub fn get_mut(&mut self, mac: MacAddress) -> Option<&mut Client> {
        self.clients.get_mut(&mac)
    }

    /// Brings the queues up to date after a change.
    pub fn refile(&mut self, mac: MacAddress) {
        let Some(client) = self.clients.get(&mac) else { return };
        match client.deadline() {
            Some(at) => self.deadlines.set(mac, at),
            None => self.deadlines.clear(mac),
        }
        if client.is_expendable() {
            self.expendable.set(mac, client.noticed);
        } else {
            self.expendable.clear(mac);
        }
    }

    /// The earliest deadline of all.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Takes off the queue whose deadlines have come. [`refile`](Self::refile) puts them back.
    pub fn take_due(&mut self, now: Instant) -> Vec<MacAddress> {
        std::iter::from_fn(|| self.deadlines.pop_due(now)).collect()
    }

    /// Who uses an address.
    pub fn with_address(&self, address: HomeAddress) -> Vec<MacAddress> {
        let range = (address, MacAddress([0; 6]))..=(address, MacAddress::BROADCAST);
        self.by_address.range(range).map(|(_, mac)| *mac).collect()
    }

    /// All clients by home address.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_address.iter().filter_map(|(_, mac)| self.clients.get(mac))
    }

    /// All MACs, in the order of the home addresses, so that a simulation repeats itself.
    pub fn macs(&self) -> Vec<MacAddress> {
        self.by_address.iter().map(|(_, mac)| *mac).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mobility::{link::InterfaceIndex, proxy::client::State};

    fn client(last: u8, state: State) -> Client {
        let mut client = Client::new(
            Instant(Duration::from_secs(last.into())),
            InterfaceIndex(3),
            MacAddress([2, 0, 0, 0, 0, last]),
            HomeAddress([10, 1, 0, last].into()),
        );
        client.state = state;
        client
    }

    #[test]
    fn only_expendable_records_are_evicted_and_the_oldest_first() {
        let mut roster = Roster::new(3);
        roster.insert(client(1, State::Registering));
        roster.insert(client(3, State::Away));
        roster.insert(client(2, State::Away));
        assert!(roster.is_full());
        assert_eq!(roster.evict().map(|client| client.mac.0[5]), Some(2));
        assert_eq!(roster.evict().map(|client| client.mac.0[5]), Some(3));
        assert!(roster.evict().is_none());
        assert_eq!(roster.iter().count(), 1);
    }

    #[test]
    fn a_removed_client_is_in_no_index() {
        let mut roster = Roster::new(3);
        roster.insert(client(1, State::Registering));
        let mac = roster.macs()[0];
        assert!(roster.next_deadline().is_some());
        roster.remove(mac);
        assert_eq!(roster.next_deadline(), None);
        assert!(roster.with_address(HomeAddress([10, 1, 0, 1].into())).is_empty());
        assert!(roster.macs().is_empty());
    }
}
