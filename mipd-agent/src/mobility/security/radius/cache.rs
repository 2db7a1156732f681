//! What was learned about clients, each entry for a time, and at most so many: the least recently used makes room.

use std::collections::BTreeMap;

use crate::{
    mobility::{deadlines::Deadlines, time::Instant},
    wire::types::HomeAddress,
};

/// A bounded cache by home address.
#[derive(Clone, Debug)]
pub(super) struct Cache<V> {
    slots: BTreeMap<HomeAddress, Slot<V>>,
    /// By the number of their last use.
    by_use: BTreeMap<u64, HomeAddress>,
    uses: u64,
    expiries: Deadlines<HomeAddress>,
    capacity: usize,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    value: V,
    used: u64,
}

impl<V> Cache<V> {
    /// Empty. `capacity` is at least 1.
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            expiries: Deadlines::default(),
            capacity: capacity.max(1),
        }
    }

    /// Keeps `value` until `expires`, in place of what was there. Gives back whose entry had to make room.
    pub fn insert(&mut self, home_address: HomeAddress, value: V, expires: Instant) -> Option<HomeAddress> {
        self.remove(home_address);
        let evicted =
            if self.slots.len() < self.capacity { None } else { self.by_use.first_key_value().map(|(_, key)| *key) };
        if let Some(evicted) = evicted {
            self.remove(evicted);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, home_address);
        self.slots.insert(home_address, Slot { value, used: self.uses });
        self.expiries.set(home_address, expires);
        evicted
    }

    /// The client's entry, which counts as used now.
    pub fn touch(&mut self, home_address: HomeAddress) -> Option<&mut V> {
        let slot = self.slots.get_mut(&home_address)?;
        self.by_use.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        self.by_use.insert(slot.used, home_address);
        Some(&mut slot.value)
    }

    /// Drops the client's entry.
    pub fn remove(&mut self, home_address: HomeAddress) -> Option<V> {
        let slot = self.slots.remove(&home_address)?;
        self.by_use.remove(&slot.used);
        self.expiries.clear(home_address);
        Some(slot.value)
    }

    /// Drops an entry whose time is over by `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<HomeAddress> {
        let home_address = self.expiries.pop_due(now)?;
        self.remove(home_address);
        Some(home_address)
    }

    /// When the next entry expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.next()
    }

    /// All entries by home address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (HomeAddress, &V)> {
        self.slots.iter().map(|(home_address, slot)| (*home_address, &slot.value))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn home(last: u8) -> HomeAddress {
        HomeAddress(Ipv4Addr::new(10, 1, 0, last))
    }

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn keys(cache: &Cache<u8>) -> Vec<HomeAddress> {
        cache.iter().map(|(home_address, _)| home_address).collect()
    }

    #[test]
    fn the_least_recently_used_entry_makes_room() {
        let mut cache = Cache::new(2);
        assert_eq!(cache.insert(home(1), 1, at(9)), None);
        assert_eq!(cache.insert(home(2), 2, at(9)), None);
        assert_eq!(cache.touch(home(1)).copied(), Some(1));
        assert_eq!(cache.insert(home(3), 3, at(9)), Some(home(2)));
        assert_eq!(keys(&cache), [home(1), home(3)]);
    }

    #[test]
    fn an_entry_that_is_replaced_evicts_nobody_and_lasts_anew() {
        let mut cache = Cache::new(2);
        cache.insert(home(1), 1, at(5));
        cache.insert(home(2), 2, at(9));
        assert_eq!(cache.insert(home(1), 7, at(8)), None);
        assert_eq!(cache.pop_expired(at(6)), None);
        assert_eq!(cache.touch(home(1)).copied(), Some(7));
    }

    #[test]
    fn entries_expire_in_order() {
        let mut cache = Cache::new(4);
        cache.insert(home(1), 1, at(5));
        cache.insert(home(2), 2, at(3));
        cache.insert(home(3), 3, at(4));
        cache.remove(home(3));
        assert_eq!(cache.next_expiry(), Some(at(3)));
        assert_eq!(cache.pop_expired(at(5)), Some(home(2)));
        assert_eq!(cache.pop_expired(at(5)), Some(home(1)));
        assert_eq!(cache.pop_expired(at(5)), None);
        assert!(keys(&cache).is_empty() && cache.by_use.is_empty());
    }
}
