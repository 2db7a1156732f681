//! A queue of deadlines, at most one per key: set, moved and cleared in O(log n), due in order of time and then key.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Instant;

/// Deadlines by key.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    queue: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Sets the key's deadline, in place of the one it had.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.queue.remove(&(before, key));
        }
        self.queue.insert((at, key));
    }

    /// Removes the key's deadline, if it has one.
    pub fn clear(&mut self, key: K) {
        if let Some(before) = self.by_key.remove(&key) {
            self.queue.remove(&(before, key));
        }
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that has come by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Deadlines;
    use crate::mobility::time::Instant;

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    #[test]
    fn deadlines_come_due_in_order_and_not_before_their_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set('b', at(2));
        deadlines.set('a', at(1));
        deadlines.set('c', at(3));
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(at(0)), None);
        assert_eq!(deadlines.pop_due(at(2)), Some('a'));
        assert_eq!(deadlines.pop_due(at(2)), Some('b'));
        assert_eq!(deadlines.pop_due(at(2)), None);
    }

    #[test]
    fn a_key_has_one_deadline_the_last_one_set() {
        let mut deadlines = Deadlines::default();
        deadlines.set('a', at(1));
        deadlines.set('a', at(5));
        assert_eq!(deadlines.pop_due(at(4)), None);
        assert_eq!(deadlines.pop_due(at(5)), Some('a'));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_cleared_deadline_never_comes() {
        let mut deadlines = Deadlines::default();
        deadlines.set('a', at(1));
        deadlines.clear('a');
        deadlines.clear('b');
        assert_eq!(deadlines.pop_due(at(9)), None);
    }
}
