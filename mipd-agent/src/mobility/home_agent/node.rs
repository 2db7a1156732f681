//! What is known of each node, and when something about it falls due.
//!
//! There may be a million nodes, and renewals are most of what happens to them. So a renewal touches no queue: each node
//! has at most one alarm, set for the earliest thing that can fall due; when that moves to later, the alarm stays and
//! finds nothing to do.

use std::collections::{BTreeSet, HashMap};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use mipd_common::mac::MacAddress;

use super::binding::{Exit, MobilityBinding};
use crate::{
    mobility::{security::Nonces, time::Instant},
    wire::types::{CareOfAddress, HomeAddress, Identification},
};

/// What is known of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The last timestamp accepted; outlives the bindings as long as a replay could pass the window.
    pub last: Option<Identification>,
    /// The nonces, if its association uses them.
    pub nonces: Option<Nonces>,
    /// Where it is: nowhere but at home, at one place, or with simultaneous bindings at several, the oldest first.
    bindings: Vec<MobilityBinding>,
    /// A gratuitous ARP still to be repeated.
    pub announcement: Option<Announcement>,
    /// When it is forgotten, if it has no binding by then.
    pub oblivion: Option<Instant>,
    alarm: Option<Instant>,
}

/// A gratuitous ARP that is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    /// Whose Ethernet address it names; `None` = ours.
    pub mac: Option<MacAddress>,
    /// When it was sent first.
    pub started: Instant,
    /// How often it was repeated.
    pub repeated: usize,
    /// When it is repeated next.
    pub next: Instant,
}

impl Node {
    /// Its bindings.
    pub fn bindings(&self) -> &[MobilityBinding] {
        &self.bindings
    }

    /// Its binding to this care-of address.
    pub fn binding_at(&self, care_of_address: CareOfAddress) -> Option<&MobilityBinding> {
        self.bindings.iter().find(|binding| binding.care_of_address == care_of_address)
    }

    /// Whether it has a binding.
    pub fn is_away(&self) -> bool {
        !self.bindings.is_empty()
    }

    /// Whether nothing must be known of it any more.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        !self.is_away() && self.oblivion.is_none_or(|oblivion| oblivion <= now)
    }

    /// What the data path must do for it.
    pub fn exits(&self) -> impl Iterator<Item = Exit> {
        self.bindings.iter().filter(|binding| !binding.waits_for_keepalive).map(MobilityBinding::exit)
    }

    /// When something about it falls due next.
    fn due(&self) -> Option<Instant> {
        let expiry = self.bindings.iter().filter_map(|binding| binding.expires).min();
        let oblivion = self.oblivion.filter(|_| !self.is_away());
        let announcement = self.announcement.map(|announcement| announcement.next);
        expiry.into_iter().chain(oblivion).chain(announcement).min()
    }
}

/// All nodes.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    by_address: HashMap<HomeAddress, Box<Node>, SeedableRandomState>,
    alarms: BTreeSet<(Instant, HomeAddress)>,
    bindings: usize,
    /// Timestamps up to this one may have been accepted from any node, and forgotten.
    floor: Option<Identification>,
}

impl Nodes {
    pub fn new(seed: u64) -> Self {
        let state = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self { by_address: HashMap::with_hasher(state), alarms: BTreeSet::new(), bindings: 0, floor: None }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// How many there are, and how many timers.
    pub fn sizes(&self) -> (usize, usize) {
        (self.by_address.len(), self.alarms.len())
    }

    /// How many bindings they have together.
    pub fn binding_count(&self) -> usize {
        self.bindings
    }

    pub fn get(&self, home_address: HomeAddress) -> Option<&Node> {
        self.by_address.get(&home_address).map(|node| &**node)
    }

    /// The last timestamp that was, or may have been, accepted from a node.
    pub fn last(&self, home_address: HomeAddress) -> Option<Identification> {
        let last = self.get(home_address).and_then(|node| node.last);
        match (last, self.floor) {
            (Some(last), Some(floor)) => Some(if last.since(floor) < 0 { floor } else { last }),
            (last, floor) => last.or(floor),
        }
    }

    /// No timestamp up to this one is to be accepted.
    pub fn set_floor(&mut self, floor: Option<Identification>) {
        self.floor = floor;
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.by_address.values().map(|node| &**node)
    }

    /// Changes what is known of a node, which becomes known thereby.
    pub fn update<R>(&mut self, home_address: HomeAddress, change: impl FnOnce(&mut NodeEntry<'_>) -> R) -> R {
        let node = self.by_address.entry(home_address).or_default();
        let result = change(&mut NodeEntry { node, bindings: &mut self.bindings });
        let due = node.due();
        if node.alarm != due && !matches!((node.alarm, due), (Some(alarm), Some(due)) if alarm <= due) {
            if let Some(alarm) = node.alarm {
                self.alarms.remove(&(alarm, home_address));
            }
            if let Some(due) = due {
                self.alarms.insert((due, home_address));
            }
            node.alarm = due;
        }
        result
    }

    /// Forgets a node that is not away. What it sent last is outside the window by now, but only until our clock is set
    /// back: one timestamp is kept of all that were forgotten, the latest.
    pub fn forget(&mut self, home_address: HomeAddress) {
        self.floor = self.last(home_address);
        if let Some(node) = self.by_address.remove(&home_address) {
            self.bindings -= node.bindings.len();
            if let Some(alarm) = node.alarm {
                self.alarms.remove(&(alarm, home_address));
            }
        }
    }

    /// When [`Self::pop_due`] may have something.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// A node about which something may have fallen due. The caller must look at it with [`Self::update`], which sets its
    /// alarm again.
    pub fn pop_due(&mut self, now: Instant) -> Option<HomeAddress> {
        let (at, home_address) = *self.alarms.first()?;
        if at > now {
            return None;
        }
        self.alarms.pop_first();
        if let Some(node) = self.by_address.get_mut(&home_address) {
            node.alarm = None;
        }
        Some(home_address)
    }
}

/// A node under change.
#[derive(Debug)]
pub(super) struct NodeEntry<'a> {
    pub node: &'a mut Node,
    bindings: &'a mut usize,
}

impl NodeEntry<'_> {
    /// Adds a binding, in place of the one to the same care-of address, and of all others unless they are to be kept.
    /// The bindings that were replaced are handed to `replaced`.
    pub fn bind(&mut self, binding: MobilityBinding, keep_others: bool, mut replaced: impl FnMut(MobilityBinding)) {
        let bindings = &mut self.node.bindings;
        *self.bindings -= bindings.len();
        if let Some(known) = bindings.iter_mut().find(|known| known.care_of_address == binding.care_of_address) {
            replaced(std::mem::replace(known, binding));
        } else {
            // Nearly all nodes ever have one, and there may be a million of them.
            bindings.reserve_exact(1);
            bindings.push(binding);
        }
        if !keep_others && bindings.len() > 1 {
            bindings.retain(|known| {
                let kept = known.care_of_address == binding.care_of_address;
                if !kept {
                    replaced(*known);
                }
                kept
            });
            bindings.shrink_to_fit();
        }
        *self.bindings += bindings.len();
    }

    /// Its bindings. Their number, addresses and expiries must stay.
    pub fn bindings_mut(&mut self) -> &mut [MobilityBinding] {
        &mut self.node.bindings
    }

    /// Removes the bindings that `which` names, and returns them.
    pub fn unbind(&mut self, mut which: impl FnMut(&MobilityBinding) -> bool) -> Vec<MobilityBinding> {
        let removed: Vec<_> = self.node.bindings.extract_if(.., |binding| which(binding)).collect();
        *self.bindings -= removed.len();
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::{HomeAddress, Instant, MobilityBinding, Node};

    /// Of a client with one binding, in the worst moment of the tables' growth.
    #[test]
    fn a_binding_takes_at_most_512_bytes() {
        // A hash table is at least 7/16 full, a B-tree's nodes are half full.
        let entry = size_of::<HomeAddress>().next_multiple_of(8) + size_of::<Box<Node>>() + 1;
        let alarm = size_of::<(Instant, HomeAddress)>();
        let allocator = 2 * 16;
        let bytes = entry * 16 / 7 + alarm * 2 + size_of::<Node>() + size_of::<MobilityBinding>() + allocator;
        assert!(bytes <= 512, "{bytes}");
    }
}
