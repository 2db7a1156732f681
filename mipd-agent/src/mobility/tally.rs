//! Event counts by kind, for counters that have one row per code or reason (RFC 2006).

use std::collections::BTreeMap;

/// How often each `K` happened. `K` is a code or a reason, so that the number of rows is bounded by nature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally<K>(BTreeMap<K, u64>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Tally<K> {
    /// It happened once more.
    pub fn add(&mut self, kind: K) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// How often it happened.
    pub fn get(&self, kind: K) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// How often anything happened.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// All that happened at least once, in the order of `K`.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}
