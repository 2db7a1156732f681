//! The subnet map with versions: of two reports about a subnet the later one counts, whatever the order they arrive in.
//!
//! Each subnet has one entry. Removing it leaves a trace with a version of its own, so that an older report, which another
//! access point still has, does not bring it back. Merging is commutative, associative and idempotent: tables that have
//! seen the same entries are equal.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use super::map::{self, SubnetMap};
use crate::{
    mobility::time::{Instant, Now},
    wire::{
        subnet_map::{Digest, Entry},
        types::HomeAgentAddress,
    },
};

/// The most subnets: bounds what the holder of a key can make us remember.
pub(super) const MAXIMUM_SUBNETS: usize = 65_536;
/// How long the trace of a removed entry is kept: longer than any access point is cut off and then trusted.
const REMOVED_FOR: Duration = Duration::from_hours(24);

/// What became of an entry that was merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Merged {
    /// It replaced what we had.
    New,
    /// We had it, or a later one.
    Known,
    /// It cannot be: no subnet, or no host of it as home agent.
    Impossible,
    /// There is no room for it.
    Full,
}

/// All that is known about each subnet.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Ipv4Net, Known>,
    digest: u64,
    highest_version: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    entry: Entry,
    /// When it was removed.
    removed: Option<Instant>,
}

impl Table {
    /// Takes an entry of another access point, unless what we have about the subnet is later.
    pub fn merge(&mut self, now: Instant, entry: Entry) -> Merged {
        let Some(subnet) = subnet(&entry) else { return Merged::Impossible };
        match self.entries.get(&subnet) {
            Some(known) if rank(&known.entry) >= rank(&entry) => return Merged::Known,
            None if self.entries.len() >= MAXIMUM_SUBNETS => return Merged::Full,
            _ => {}
        }
        self.set(now, subnet, entry);
        Merged::New
    }

    /// Says ourselves that `home_agent` serves `subnet`, and returns the new entry; `None` if there is no room.
    pub fn assert(&mut self, now: Now, subnet: Ipv4Net, home_agent: Ipv4Addr, origin: Ipv4Addr) -> Option<Entry> {
        self.say(now, subnet, home_agent, origin, false)
    }

    /// Says ourselves that nobody serves `subnet` any more, and returns the new entry; `None` if nobody did.
    pub fn remove(&mut self, now: Now, subnet: Ipv4Net, origin: Ipv4Addr) -> Option<Entry> {
        let home_agent = self.live(subnet)?.home_agent;
        self.say(now, subnet, home_agent, origin, true)
    }

    fn say(
        &mut self,
        now: Now,
        subnet: Ipv4Net,
        home_agent: Ipv4Addr,
        origin: Ipv4Addr,
        removed: bool,
    ) -> Option<Entry> {
        let version = milliseconds(now).max(self.highest_version.saturating_add(1));
        let (network, prefix_length) = (subnet.network(), subnet.prefix_len());
        let entry = Entry { network, prefix_length, home_agent, removed, origin, version };
        (self.merge(now.instant, entry) == Merged::New).then_some(entry)
    }

    /// Makes this table a copy of another one.
    pub fn replace(&mut self, now: Instant, entries: impl IntoIterator<Item = Entry>) {
        *self = Self { highest_version: self.highest_version, ..Self::default() };
        for entry in entries {
            self.merge(now, entry);
        }
    }

    /// What is known about a subnet, that it was removed included.
    pub fn get(&self, subnet: Ipv4Net) -> Option<Entry> {
        self.entries.get(&subnet).map(|known| known.entry)
    }

    /// The entry of a subnet that somebody serves.
    pub fn live(&self, subnet: Ipv4Net) -> Option<Entry> {
        self.get(subnet).filter(|entry| !entry.removed)
    }

    /// The subnets of all entries, removed ones included.
    pub fn subnets(&self) -> impl Iterator<Item = Ipv4Net> {
        self.entries.keys().copied()
    }

    /// The entries of all subnets that somebody serves.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, Entry)> {
        self.entries.iter().map(|(subnet, known)| (*subnet, known.entry)).filter(|(_, entry)| !entry.removed)
    }

    /// What home agents are looked up in.
    pub fn map(&self) -> SubnetMap {
        let mut map = SubnetMap::default();
        for (subnet, entry) in self.iter() {
            // What cannot be in a map is not merged.
            let _ = map.insert(HomeAgentAddress(entry.home_agent), subnet.netmask());
        }
        map
    }

    /// The sum over all entries that are not removed.
    pub fn digest(&self) -> Digest {
        Digest(self.digest)
    }

    /// Forgets the traces of what was removed long ago.
    pub fn forget_removed(&mut self, now: Instant) {
        self.entries.retain(|_, known| known.removed.is_none_or(|at| now.since(at) < REMOVED_FOR));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn set(&mut self, now: Instant, subnet: Ipv4Net, entry: Entry) {
        let known = Known { entry, removed: entry.removed.then_some(now) };
        let former = self.entries.insert(subnet, known);
        for entry in former.map(|known| known.entry).iter().chain([&entry]).filter(|entry| !entry.removed) {
            // Adding twice takes away again.
            self.digest ^= hash(entry);
        }
        self.highest_version = self.highest_version.max(entry.version);
    }
}

/// The subnet of an entry that can be.
fn subnet(entry: &Entry) -> Option<Ipv4Net> {
    let subnet = Ipv4Net::new(entry.network, entry.prefix_length).ok().filter(|subnet| subnet.trunc() == *subnet)?;
    let served = map::subnet(HomeAgentAddress(entry.home_agent), subnet.netmask());
    (served == Ok(subnet)).then_some(subnet)
}

/// What decides between two entries of one subnet. Equal ones differ in nothing that we would pass on.
fn rank(entry: &Entry) -> (u64, Ipv4Addr, bool, Ipv4Addr) {
    (entry.version, entry.origin, entry.removed, entry.home_agent)
}

fn hash(entry: &Entry) -> u64 {
    let hash: [u8; 32] = Sha256::digest(entry.to_bytes()).into();
    u64::from_be_bytes(std::array::from_fn(|byte| hash[byte]))
}

/// The wall clock in milliseconds.
fn milliseconds(now: Now) -> u64 {
    (now.wall.0 >> 32) * 1000 + (((now.wall.0 & 0xffff_ffff) * 1000) >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::types::Identification;

    const ORIGIN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);

    fn at(seconds: u64) -> Now {
        Now { instant: Instant(Duration::from_secs(seconds)), wall: Identification((1000 + seconds) << 32) }
    }

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn entries() -> impl Strategy<Value = Entry> {
        (0u8..4, 1u8..4, any::<bool>(), 1u8..4, 0u64..6).prop_map(|(subnet, agent, removed, origin, version)| Entry {
            network: Ipv4Addr::new(10, subnet, 0, 0),
            prefix_length: 24,
            home_agent: Ipv4Addr::new(10, subnet, 0, agent),
            removed,
            origin: Ipv4Addr::new(10, 9, 0, origin),
            version,
        })
    }

    fn merged(entries: &[Entry]) -> Table {
        let mut table = Table::default();
        for entry in entries {
            table.merge(Instant::default(), *entry);
        }
        table
    }

    proptest! {
        #[test]
        fn tables_that_have_seen_the_same_are_equal(
            (entries, shuffled) in proptest::collection::vec(entries(), 0..24)
                .prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        ) {
            let (one, mut other) = (merged(&entries), merged(&shuffled));
            for entry in &entries {
                other.merge(Instant::default(), *entry);
            }
            prop_assert_eq!(one.iter().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
            prop_assert_eq!(one.digest(), other.digest());
            prop_assert_eq!(one.digest() == Digest::default(), one.iter().next().is_none());
        }
    }

    #[test]
    fn an_older_report_does_not_bring_back_what_was_removed() {
        let mut table = Table::default();
        let first = table.assert(at(1), net("10.1.0.0/24"), Ipv4Addr::new(10, 1, 0, 1), ORIGIN).unwrap();
        assert!(table.remove(at(2), net("10.1.0.0/24"), ORIGIN).unwrap().removed);
        assert_eq!(table.merge(at(3).instant, first), Merged::Known);
        assert_eq!(table.map().len(), 0);
        assert_eq!(table.digest(), Digest::default());
        assert_eq!(table.remove(at(4), net("10.1.0.0/24"), ORIGIN), None);
        table.forget_removed(at(2).instant + REMOVED_FOR);
        assert_eq!(table.subnets().count(), 0);
    }

    #[test]
    fn what_we_say_ourselves_is_later_than_all_that_we_have_seen_whatever_the_clock() {
        let mut table = Table::default();
        let future = Entry { version: u64::MAX / 2, ..merged_entry() };
        assert_eq!(table.merge(at(0).instant, future), Merged::New);
        let mine = table.assert(at(1), net("10.1.0.0/24"), Ipv4Addr::new(10, 1, 0, 9), ORIGIN).unwrap();
        assert!(mine.version > future.version);
        assert_eq!(table.live(net("10.1.0.0/24")).unwrap().home_agent, Ipv4Addr::new(10, 1, 0, 9));
    }

    fn merged_entry() -> Entry {
        Entry {
            network: Ipv4Addr::new(10, 1, 0, 0),
            prefix_length: 24,
            home_agent: Ipv4Addr::new(10, 1, 0, 1),
            removed: false,
            origin: ORIGIN,
            version: 1,
        }
    }

    #[test]
    fn entries_that_cannot_be_are_not_taken() {
        let mut table = Table::default();
        for impossible in [
            Entry { network: Ipv4Addr::new(10, 1, 0, 1), ..merged_entry() },
            Entry { home_agent: Ipv4Addr::new(10, 2, 0, 1), ..merged_entry() },
            Entry { home_agent: Ipv4Addr::new(10, 1, 0, 255), ..merged_entry() },
            Entry {
                network: Ipv4Addr::UNSPECIFIED,
                prefix_length: 0,
                home_agent: Ipv4Addr::BROADCAST,
                ..merged_entry()
            },
        ] {
            assert_eq!(table.merge(at(0).instant, impossible), Merged::Impossible, "{impossible:?}");
        }
        assert_eq!(table.subnets().count(), 0);
    }

    #[test]
    fn a_table_has_an_end() {
        let mut table = Table::default();
        for number in 0..=MAXIMUM_SUBNETS as u32 {
            let network = Ipv4Addr::from_bits(0x0a00_0000 | number << 2);
            let home_agent = Ipv4Addr::from_bits(network.to_bits() | 1);
            let merged = table.merge(at(0).instant, Entry { network, prefix_length: 30, home_agent, ..merged_entry() });
            let expected = if number < MAXIMUM_SUBNETS as u32 { Merged::New } else { Merged::Full };
            assert_eq!(merged, expected, "{number}");
        }
    }
}
