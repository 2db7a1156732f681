//! A node's state store: what is written is safe a moment later, as in the daemon.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use mipd_agent::{mobility::time::Instant, wire::types::Identification};

/// How long a record may take to be safe. The daemon syncs in a thread of its own.
const COMMIT: Duration = Duration::from_millis(5);

/// How far the mark runs ahead of what moves it, and what must be left of that: a second and half of it.
const LEAD: i64 = 1 << 32;
const RESERVE: i64 = LEAD / 2;

/// The time that no accepted Identification is past. No crash takes it along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(Option<Identification>);

impl Mark {
    /// Moves it ahead of an Identification.
    pub fn cover(&mut self, identification: Identification) {
        if self.0.is_none_or(|mark| mark.since(identification) < RESERVE) {
            self.0 = Some(Identification(identification.0.wrapping_add_signed(LEAD)));
        }
    }

    /// Where it is.
    pub fn get(self) -> Option<Identification> {
        self.0
    }
}

/// Records by key.
#[derive(Debug)]
pub struct Disk<K, V> {
    safe: BTreeMap<K, V>,
    queue: VecDeque<(Instant, K, Option<V>)>,
}

impl<K, V> Default for Disk<K, V> {
    fn default() -> Self {
        Self { safe: BTreeMap::new(), queue: VecDeque::new() }
    }
}

impl<K: Ord + Copy, V> Disk<K, V> {
    /// Writes or deletes a record.
    pub fn write(&mut self, at: Instant, key: K, record: Option<V>) {
        self.settle(at);
        self.queue.push_back((at + COMMIT, key, record));
    }

    /// The agent stops in good order: everything is safe.
    pub fn close(&mut self) {
        self.settle(Instant(Duration::MAX));
    }

    /// The agent dies: what is not safe yet is lost. Returns the keys concerned.
    pub fn crash(&mut self, at: Instant) -> Vec<K> {
        self.settle(at);
        self.queue.drain(..).map(|(_, key, _)| key).collect()
    }

    /// The disk is exchanged for an empty one.
    pub fn wipe(&mut self) {
        self.safe.clear();
        self.queue.clear();
    }

    /// What a new agent finds.
    pub fn records(&self) -> impl Iterator<Item = (&K, &V)> {
        self.safe.iter()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.safe.len() + self.queue.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn settle(&mut self, at: Instant) {
        while self.queue.front().is_some_and(|(safe, ..)| *safe <= at) {
            match self.queue.pop_front() {
                Some((_, key, Some(record))) => drop(self.safe.insert(key, record)),
                Some((_, key, None)) => drop(self.safe.remove(&key)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_only_what_was_written_a_moment_ago() {
        let at = |milliseconds| Instant(Duration::from_millis(milliseconds));
        let mut disk = Disk::default();
        disk.write(at(0), 'a', Some(1));
        disk.write(at(20), 'b', Some(2));
        disk.write(at(21), 'a', None);
        assert_eq!(disk.crash(at(22)), ['b', 'a']);
        assert_eq!(disk.records().collect::<Vec<_>>(), [(&'a', &1)]);
    }
}
