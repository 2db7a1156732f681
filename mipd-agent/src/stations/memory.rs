//! Which address a station had: remembered beyond its stay, so that its next registration begins as it associates.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

use crate::{
    mobility::{
        deadlines::Deadlines,
        time::{Instant, Now},
    },
    wire::types::Identification,
};

/// A remembered address is written down again after so long, so that its age is known after a restart.
const REFRESH: Duration = Duration::from_hours(1);

/// Addresses by MAC: bounded, the longest unused goes first, and none is kept for longer than configured.
///
/// An address has one owner, the last that used it; it cannot be taken from one whose address is held. Where home networks overlap, two clients with the same address forget each
/// other's; they are noticed by their first packets then.
#[derive(Debug)]
pub struct Memory {
    maximum: usize,
    keep: Duration,
    entries: HashMap<MacAddress, Entry>,
    owners: HashMap<Ipv4Addr, MacAddress>,
    recency: Deadlines<MacAddress>,
    held: HashSet<MacAddress>,
    configured: BTreeMap<MacAddress, Ipv4Addr>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: Ipv4Addr,
    /// When it was last used, in this run.
    used: Instant,
    /// How long before the run it was last used.
    before: Duration,
    /// When it was written down.
    recorded: Instant,
}

/// What outlives a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The station.
    pub mac: [u8; 6],
    /// The address that it used last.
    pub address: Ipv4Addr,
    /// When, by the wall clock, NTP format.
    pub used: u64,
}

impl Memory {
    /// An empty memory for so many addresses, each kept for so long; `configured` are those of clients that the operator knows.
    pub fn new(maximum: usize, keep: Duration, configured: BTreeMap<MacAddress, Ipv4Addr>) -> Self {
        Self {
            maximum,
            keep,
            entries: HashMap::new(),
            owners: HashMap::new(),
            recency: Deadlines::default(),
            held: HashSet::new(),
            configured,
        }
    }

    /// A station uses this address now. Returns the stations whose records have changed.
    pub fn learn(&mut self, now: Instant, mac: MacAddress, address: Ipv4Addr) -> Vec<MacAddress> {
        let mut changed = Vec::new();
        if let Some(former) = self.owners.get(&address).copied().filter(|former| *former != mac) {
            if self.held.contains(&former) && !self.held.contains(&mac) {
                return changed;
            }
            self.forget(former);
            changed.push(former);
        }
        let known = self.entries.get(&mac).copied();
        let recorded = known.filter(|known| known.address == address && now.since(known.recorded) < REFRESH);
        if known.is_none() {
            changed.extend(self.make_room());
        }
        if let Some(known) = known {
            self.owners.remove(&known.address);
        } else if self.entries.len() >= self.maximum {
            return changed;
        }
        let recorded = recorded.map_or(now, |known| known.recorded);
        self.entries.insert(mac, Entry { address, used: now, before: Duration::ZERO, recorded });
        self.owners.insert(address, mac);
        if !self.held.contains(&mac) {
            self.recency.set(mac, now);
        }
        if recorded == now {
            changed.push(mac);
        }
        changed
    }

    /// The station's address is not to make room for others.
    pub(super) fn hold(&mut self, mac: MacAddress) {
        self.held.insert(mac);
        self.recency.clear(mac);
    }

    /// It may again.
    pub(super) fn release(&mut self, now: Instant, mac: MacAddress) {
        if self.held.remove(&mac) && self.entries.contains_key(&mac) {
            self.recency.set(mac, now);
        }
    }

    /// The address that a station probably has: the last one seen, or else the configured one.
    pub fn address(&self, now: Instant, mac: MacAddress) -> Option<Ipv4Addr> {
        let seen = self.entries.get(&mac).filter(|entry| entry.age(now) < self.keep).map(|entry| entry.address);
        seen.or_else(|| self.configured.get(&mac).copied())
    }

    /// What is to be written down of a station; `None`: nothing, delete it.
    pub fn record(&self, now: Now, mac: MacAddress) -> Option<AddressRecord> {
        let entry = self.entries.get(&mac)?;
        Some(AddressRecord { mac: mac.0, address: entry.address, used: now.wall_at(entry.used).0 })
    }

    /// Takes up what an earlier run has written down. Returns the stations whose records are of no use any more.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = AddressRecord>) -> Vec<MacAddress> {
        let mut records: Vec<_> = records.into_iter().map(|record| (age(now, record.used), record)).collect();
        // The most recent ones are those that there is room for, and win where several claim an address.
        records.sort_by_key(|(age, record)| (*age, record.mac));
        let mut useless = Vec::new();
        for (age, record) in records {
            let mac = MacAddress(record.mac);
            let taken = self.owners.contains_key(&record.address);
            if age >= self.keep || taken || self.entries.len() >= self.maximum {
                useless.push(mac);
                continue;
            }
            let entry = Entry { address: record.address, used: now.instant, before: age, recorded: now.instant };
            self.entries.insert(mac, entry);
            self.owners.insert(record.address, mac);
            // All of them are older than whatever is learned in this run; among themselves their order is lost.
            self.recency.set(mac, Instant::default());
        }
        useless
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn make_room(&mut self) -> Option<MacAddress> {
        if self.entries.len() < self.maximum {
            return None;
        }
        let oldest = self.recency.pop_due(Instant(Duration::MAX))?;
        self.forget(oldest);
        Some(oldest)
    }

    /// Forgets the address that a station was seen with. Returns whether there was one.
    pub fn forget(&mut self, mac: MacAddress) -> bool {
        let known = self.entries.remove(&mac);
        if let Some(entry) = known {
            self.owners.remove(&entry.address);
        }
        self.recency.clear(mac);
        known.is_some()
    }
}

impl Entry {
    fn age(&self, now: Instant) -> Duration {
        self.before + now.since(self.used)
    }
}

/// How long ago a time of the wall clock was; zero if it lies ahead.
fn age(now: Now, used: u64) -> Duration {
    let units = u64::try_from(now.wall.since(Identification(used))).unwrap_or(0);
    Duration::from_secs(units >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const WALL: Identification = Identification(0xe5a1_b2c3_0000_0000);

    fn mac(last: u8) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, last])
    }

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 0, last)
    }

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn memory(maximum: usize) -> Memory {
        Memory::new(maximum, DAY, BTreeMap::from([(mac(9), address(9))]))
    }

    #[test]
    fn the_last_address_used_counts_and_the_configured_one_if_none_was() {
        let mut memory = memory(4);
        assert_eq!(memory.address(at(0), mac(9)), Some(address(9)));
        assert_eq!(memory.learn(at(1), mac(9), address(8)), [mac(9)]);
        assert_eq!(memory.address(at(1), mac(9)), Some(address(8)));
        assert_eq!(memory.address(at(1) + DAY, mac(9)), Some(address(9)), "too old to go by");
        assert_eq!(memory.address(at(1), mac(1)), None);
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let mut memory = memory(2);
        memory.learn(at(1), mac(1), address(1));
        memory.learn(at(2), mac(2), address(2));
        memory.learn(at(3), mac(1), address(1));
        assert_eq!(memory.learn(at(4), mac(3), address(3)), [mac(2), mac(3)]);
        let known = [1, 2, 3].map(|last| memory.address(at(4), mac(last)).is_some());
        assert_eq!((known, memory.len()), ([true, false, true], 2));
    }

    #[test]
    fn an_address_that_somebody_else_uses_is_remembered_of_that_one_only() {
        let mut memory = memory(4);
        memory.learn(at(1), mac(1), address(1));
        assert_eq!(memory.learn(at(2), mac(2), address(1)), [mac(1), mac(2)]);
        assert_eq!((memory.address(at(2), mac(1)), memory.len()), (None, 1));
        memory.learn(at(3), mac(2), address(2));
        memory.learn(at(4), mac(1), address(1));
        assert_eq!(memory.address(at(4), mac(2)), Some(address(2)), "its former address is free");
    }

    #[test]
    fn a_record_is_written_when_the_address_changes_and_once_an_hour() {
        let mut memory = memory(4);
        let wrote = [0, 1, 3599, 3600, 3601].map(|second| !memory.learn(at(second), mac(1), address(1)).is_empty());
        assert_eq!(wrote, [true, false, false, true, false]);
        assert_eq!(memory.learn(at(3602), mac(1), address(2)), [mac(1)]);
    }

    #[test]
    fn what_was_written_is_found_again_with_its_age() {
        let mut before = memory(4);
        before.learn(at(10), mac(1), address(1));
        before.learn(at(20), mac(2), address(2));
        let stopped = Now { instant: at(100), wall: WALL };
        let records: Vec<_> = [1, 2].iter().filter_map(|last| before.record(stopped, mac(*last))).collect();
        let later = Now { instant: at(5), wall: Identification(WALL.0 + ((DAY.as_secs() - 85) << 32)) };
        let mut after = memory(4);
        assert_eq!(after.restore(later, records.clone()), [mac(1)], "older than a day");
        assert_eq!(after.address(at(5), mac(2)), Some(address(2)));
        assert_eq!(after.address(at(10), mac(2)), None);
        let mut small = memory(1);
        let soon = Now { instant: at(5), wall: WALL };
        assert_eq!(small.restore(soon, records), [mac(1)], "the most recent one has the room");
        assert_eq!(small.learn(at(6), mac(3), address(3)), [mac(2), mac(3)]);
    }

    #[test]
    fn ten_thousand_stations_take_no_more_room_than_there_is() {
        let mut memory = memory(100);
        for number in 0..10_000_u32 {
            let [.., a, b] = number.to_be_bytes();
            memory.learn(at(number.into()), MacAddress([2, 0, 0, 0, a, b]), Ipv4Addr::from(0x0a01_0000 + number));
        }
        assert_eq!((memory.len(), memory.owners.len(), memory.recency.len()), (100, 100, 100));
        for number in 0..10_000_u32 {
            memory.learn(at(20_000), mac(1), Ipv4Addr::from(0x0a01_0000 + number));
        }
        assert!(memory.owners.len() <= 100 && memory.len() <= 100);
    }

    #[test]
    fn a_memory_without_room_remembers_only_what_is_configured() {
        let mut memory = memory(0);
        memory.learn(at(0), mac(1), address(1));
        assert_eq!((memory.address(at(0), mac(1)), memory.address(at(0), mac(9))), (None, Some(address(9))));
        assert!(memory.is_empty());
    }
}
