//! The foreign agent's challenges (RFC 4721 §3): which were given out, and who has used which.
//!
//! What a stranger can make us remember is bounded: one entry per node whose request passed all checks, forgotten when the
//! challenges it could misuse have left the window.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{RngExt as _, rngs::StdRng};

use crate::{
    mobility::link::InterfaceIndex,
    wire::{
        challenge::{Challenge, LENGTH},
        nai::Nai,
        types::{HomeAddress, ReplyCode},
    },
};

/// Whom a challenge is used by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Node {
    Home(HomeAddress),
    Nameless(Nai),
}

impl Node {
    pub fn new(home_address: HomeAddress, nai: Option<&Nai>) -> Self {
        match nai.filter(|_| home_address.0.is_unspecified()) {
            Some(nai) => Self::Nameless(nai.clone()),
            None => Self::Home(home_address),
        }
    }
}

/// The order in which challenges were made; later ones are larger.
type Age = u64;

#[derive(Clone, Debug)]
struct Used {
    /// The newest challenge used; none as old or older is accepted any more.
    age: Age,
    /// The same itself.
    challenge: Vec<u8>,
    /// What the node was offered in a reply since then.
    offered: Option<Challenge>,
}

/// All challenges that are of any use.
#[derive(Clone, Debug)]
pub(super) struct Challenges {
    window: usize,
    capacity: usize,
    next: Age,
    advertised: BTreeMap<InterfaceIndex, VecDeque<(Age, Challenge)>>,
    used: BTreeMap<Node, Used>,
    /// The same nodes by the age of what they used.
    by_age: BTreeSet<(Age, Node)>,
}

impl Challenges {
    /// The last `window` challenges of each interface are accepted, from at most `capacity` nodes at a time.
    pub fn new(window: usize, capacity: usize) -> Self {
        Self {
            window: window.max(1),
            capacity,
            next: 0,
            advertised: BTreeMap::new(),
            used: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// The one to advertise, the first time or again.
    pub fn newest(&mut self, interface: InterfaceIndex, random: &mut StdRng) -> Challenge {
        match self.advertised.get(&interface).and_then(VecDeque::back) {
            Some((_, challenge)) => *challenge,
            None => self.renew(interface, random),
        }
    }

    /// Makes a new one to advertise; the oldest of the window is forgotten.
    pub fn renew(&mut self, interface: InterfaceIndex, random: &mut StdRng) -> Challenge {
        let challenge = fresh(random);
        let advertised = self.advertised.entry(interface).or_default();
        if advertised.len() >= self.window {
            advertised.pop_front();
        }
        advertised.push_back((self.next, challenge));
        self.next += 1;
        let oldest = self.advertised.values().filter_map(|list| list.front()).map(|(age, _)| *age).min();
        self.forget_before(oldest.unwrap_or(self.next));
        challenge
    }

    /// Whether the node may use this challenge now. `kept` is what its last accepted reply offered it.
    pub fn check(
        &self,
        interface: InterfaceIndex,
        node: &Node,
        kept: Option<Challenge>,
        challenge: &[u8],
    ) -> Result<(), ReplyCode> {
        let used = self.used.get(node);
        if used.is_some_and(|used| used.challenge == challenge) {
            return Err(ReplyCode::FA_STALE_CHALLENGE);
        }
        let offered = used.and_then(|used| used.offered).or(kept);
        if offered.is_none_or(|offered| offered != *challenge) {
            match (self.advertised(interface, challenge), used) {
                (None, _) => return Err(ReplyCode::FA_UNKNOWN_CHALLENGE),
                (Some(age), Some(used)) if age <= used.age => return Err(ReplyCode::FA_STALE_CHALLENGE),
                _ => {}
            }
        }
        if used.is_none() && self.used.len() >= self.capacity { Err(ReplyCode::FA_RESOURCES) } else { Ok(()) }
    }

    /// The node has used it in a request that passed all checks. What its last accepted reply offered it is used up as well.
    pub fn spend(&mut self, interface: InterfaceIndex, node: Node, challenge: &[u8]) {
        // What a reply offered is newer than all that was advertised before.
        let age = self.advertised(interface, challenge).unwrap_or(self.next.saturating_sub(1));
        let before = self.used.get(&node).map(|used| used.age);
        let age = before.map_or(age, |before| before.max(age));
        if let Some(before) = before {
            self.by_age.remove(&(before, node.clone()));
        }
        self.by_age.insert((age, node.clone()));
        self.used.insert(node, Used { age, challenge: challenge.to_vec(), offered: None });
    }

    /// What to put into a reply that nobody authenticated: it retires no challenge that is still unused, and takes no memory
    /// that the node does not have already.
    pub fn offer(
        &mut self,
        interface: InterfaceIndex,
        node: &Node,
        kept: Option<Challenge>,
        random: &mut StdRng,
    ) -> Challenge {
        match (self.used.get_mut(node), kept) {
            (Some(used), None) => *used.offered.get_or_insert_with(|| fresh(random)),
            (_, Some(kept)) => kept,
            (None, None) => self.newest(interface, random),
        }
    }

    fn advertised(&self, interface: InterfaceIndex, challenge: &[u8]) -> Option<Age> {
        let list = self.advertised.get(&interface)?;
        list.iter().find(|(_, known)| *known == *challenge).map(|(age, _)| *age)
    }

    /// Nothing older than this can be used by anybody any more.
    fn forget_before(&mut self, oldest: Age) {
        while self.by_age.first().is_some_and(|(age, _)| *age < oldest) {
            if let Some((_, node)) = self.by_age.pop_first() {
                self.used.remove(&node);
            }
        }
    }
}

/// A challenge that nobody can foresee.
pub(super) fn fresh(random: &mut StdRng) -> Challenge {
    random.random::<[u8; LENGTH]>()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rand::SeedableRng as _;

    use super::*;

    const LINK: InterfaceIndex = InterfaceIndex(5);
    const OTHER_LINK: InterfaceIndex = InterfaceIndex(6);

    fn node(host: u8) -> Node {
        Node::Home(HomeAddress(Ipv4Addr::new(10, 1, 0, host)))
    }

    fn bench() -> (Challenges, StdRng) {
        (Challenges::new(2, 3), StdRng::seed_from_u64(1))
    }

    #[test]
    fn the_last_two_challenges_of_a_link_are_known_there_and_nowhere_else() {
        let (mut challenges, mut random) = bench();
        let list: Vec<_> = (0..3).map(|_| challenges.renew(LINK, &mut random)).collect();
        assert_eq!(challenges.newest(LINK, &mut random), list[2]);
        let check = |link, challenge| challenges.check(link, &node(1), None, challenge);
        assert_eq!(check(LINK, &list[0]), Err(ReplyCode::FA_UNKNOWN_CHALLENGE));
        assert_eq!(check(LINK, &list[1]), Ok(()));
        assert_eq!(check(LINK, &list[2]), Ok(()));
        assert_eq!(check(OTHER_LINK, &list[2]), Err(ReplyCode::FA_UNKNOWN_CHALLENGE));
        assert_eq!(check(LINK, &list[2][..4]), Err(ReplyCode::FA_UNKNOWN_CHALLENGE));
    }

    #[test]
    fn a_node_uses_a_challenge_once_and_none_that_is_older_and_others_still_may() {
        let (mut challenges, mut random) = bench();
        let (older, newer) = (challenges.renew(LINK, &mut random), challenges.renew(LINK, &mut random));
        challenges.spend(LINK, node(1), &newer);
        for challenge in [older, newer] {
            assert_eq!(challenges.check(LINK, &node(1), None, &challenge), Err(ReplyCode::FA_STALE_CHALLENGE));
            assert_eq!(challenges.check(LINK, &node(2), None, &challenge), Ok(()));
        }
        let newest = challenges.renew(LINK, &mut random);
        assert_eq!(challenges.check(LINK, &node(1), None, &newest), Ok(()));
    }

    #[test]
    fn what_a_reply_offers_is_good_for_that_node_once() {
        let (mut challenges, mut random) = bench();
        let first = challenges.renew(LINK, &mut random);
        challenges.spend(LINK, node(1), &first);
        let offered = challenges.offer(LINK, &node(1), None, &mut random);
        assert_eq!(challenges.offer(LINK, &node(1), None, &mut random), offered, "unused, so not retired");
        assert_eq!(challenges.check(LINK, &node(2), None, &offered), Err(ReplyCode::FA_UNKNOWN_CHALLENGE));
        assert_eq!(challenges.check(LINK, &node(1), None, &offered), Ok(()));
        challenges.spend(LINK, node(1), &offered);
        assert_eq!(challenges.check(LINK, &node(1), None, &offered), Err(ReplyCode::FA_STALE_CHALLENGE));
        assert_eq!(challenges.check(LINK, &node(1), Some([7; 8]), &[7; 8]), Ok(()), "kept for a visitor");
    }

    #[test]
    fn whoever_has_used_none_is_offered_the_newest_and_takes_no_memory() {
        let (mut challenges, mut random) = bench();
        let newest = challenges.renew(LINK, &mut random);
        for host in 0..=255 {
            assert_eq!(challenges.offer(LINK, &node(host), None, &mut random), newest);
        }
        assert!(challenges.used.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_freed_as_challenges_grow_old() {
        let (mut challenges, mut random) = bench();
        let challenge = challenges.renew(LINK, &mut random);
        for host in 0..3 {
            challenges.spend(LINK, node(host), &challenge);
        }
        assert_eq!(challenges.check(LINK, &node(9), None, &challenge), Err(ReplyCode::FA_RESOURCES));
        for _ in 0..2 {
            challenges.renew(LINK, &mut random);
        }
        assert_eq!((challenges.used.len(), challenges.by_age.len()), (0, 0));
    }
}
