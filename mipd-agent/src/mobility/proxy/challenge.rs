//! Answers to a foreign agent's challenges (RFC 4721): which one a client's next request echoes.
//!
//! A foreign agent takes each challenge once from each client, and none that is older than the last one used. So all of
//! them are numbered in the order in which they were first heard, and a client only goes forward.

use std::{collections::VecDeque, net::Ipv4Addr};

/// Challenges of advertisements that are remembered, so that a repeated one is not taken for a new one.
const REMEMBERED: usize = 8;
/// Anything shorter is no challenge (RFC 4721 §2).
const SHORTEST: usize = 4;

/// A challenge and its place in the order of hearing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Numbered {
    pub number: u64,
    pub bytes: Box<[u8]>,
}

/// The challenges that foreign agents advertise.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    last_number: u64,
    advertised: VecDeque<(Ipv4Addr, Numbered)>,
    /// Whether a client waits for a new one.
    pub are_awaited: bool,
}

impl Challenges {
    /// Whether the advertised challenge is a new one.
    pub fn hear(&mut self, agent: Ipv4Addr, bytes: &[u8]) -> bool {
        let is_known = self.advertised.iter().any(|(of, known)| *of == agent && *known.bytes == *bytes);
        if is_known || bytes.len() < SHORTEST {
            return false;
        }
        if self.advertised.len() == REMEMBERED {
            self.advertised.pop_front();
        }
        let challenge = self.number(bytes);
        self.advertised.push_back((agent, challenge));
        true
    }

    /// Numbers a challenge that was given to one client only.
    pub fn number(&mut self, bytes: &[u8]) -> Numbered {
        self.last_number += 1;
        Numbered { number: self.last_number, bytes: bytes.into() }
    }

    fn newest(&self, agent: Ipv4Addr) -> Option<&Numbered> {
        self.advertised.iter().rev().find(|(of, _)| *of == agent).map(|(_, challenge)| challenge)
    }
}

/// Where one client stands.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientChallenge {
    /// From the last reply, and by whom.
    offered: Option<(Ipv4Addr, Numbered)>,
    /// Echoed in the last request.
    used: Option<(Ipv4Addr, Numbered)>,
    /// Who denied a request for want of one.
    demanded_by: Option<Ipv4Addr>,
}

impl ClientChallenge {
    /// A reply of the agent brought a challenge. The echo of what was used is none: the home agent returns it.
    pub fn offer(&mut self, agent: Ipv4Addr, bytes: &[u8], all: &mut Challenges) {
        if bytes.len() >= SHORTEST && self.used.as_ref().is_none_or(|(_, used)| *used.bytes != *bytes) {
            self.offered = Some((agent, all.number(bytes)));
        }
    }

    /// What to echo in the next request to the agent: the newest that was never used. `repeats`: the request before is
    /// unanswered, so that its challenge may be repeated.
    pub fn take(&mut self, agent: Ipv4Addr, repeats: bool, all: &Challenges) -> Option<Box<[u8]>> {
        let offered = self.offered.as_ref().filter(|(of, _)| *of == agent).map(|(_, challenge)| challenge);
        let newest = [offered, all.newest(agent)].into_iter().flatten().max_by_key(|challenge| challenge.number);
        let spent = self.used.as_ref().map_or(0, |(_, used)| used.number);
        let is_fresh = |challenge: &&Numbered| {
            challenge.number > spent && self.used.as_ref().is_none_or(|(_, used)| used.bytes != challenge.bytes)
        };
        if let Some(fresh) = newest.filter(is_fresh) {
            self.used = Some((agent, fresh.clone()));
        } else if !repeats || self.used.as_ref().is_none_or(|(of, _)| *of != agent) {
            return None;
        }
        self.used.as_ref().map(|(_, used)| used.bytes.clone())
    }

    /// The agent denied a request for want of a fresh challenge.
    pub fn demand(&mut self, agent: Ipv4Addr) {
        self.demanded_by = Some(agent);
    }

    /// Whether the agent has shown that it wants its challenges echoed.
    pub fn is_demanded_by(&self, agent: Ipv4Addr) -> bool {
        self.demanded_by == Some(agent) || self.offered.as_ref().is_some_and(|(of, _)| *of == agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

    fn taken(client: &mut ClientChallenge, all: &Challenges) -> Option<u8> {
        client.take(AGENT, false, all).map(|bytes| bytes[0])
    }

    #[test]
    fn the_newest_challenge_is_used_and_used_once() {
        let mut all = Challenges::default();
        let mut client = ClientChallenge::default();
        assert_eq!(taken(&mut client, &all), None);
        assert!(all.hear(AGENT, &[1; 8]));
        assert!(!all.hear(AGENT, &[1; 8]), "a solicited advertisement repeats it");
        client.offer(AGENT, &[2; 8], &mut all);
        assert_eq!(taken(&mut client, &all), Some(2));
        assert_eq!(taken(&mut client, &all), None, "1 is older than the last one used");
        assert!(all.hear(AGENT, &[3; 8]));
        assert_eq!(taken(&mut client, &all), Some(3));
        assert_eq!(taken(&mut client, &all), None);
    }

    #[test]
    fn an_unanswered_request_may_repeat_its_challenge() {
        let mut all = Challenges::default();
        let mut client = ClientChallenge::default();
        all.hear(AGENT, &[1; 8]);
        assert_eq!(taken(&mut client, &all), Some(1));
        assert_eq!(client.take(AGENT, true, &all).as_deref(), Some(&[1; 8][..]));
        assert_eq!(client.take(OTHER, true, &all), None, "but not to another agent");
    }

    #[test]
    fn what_is_too_short_is_no_challenge() {
        let mut all = Challenges::default();
        let mut client = ClientChallenge::default();
        assert!(!all.hear(AGENT, &[1; 3]));
        client.offer(AGENT, &[2; 3], &mut all);
        assert_eq!(taken(&mut client, &all), None);
    }

    #[test]
    fn the_home_agents_echo_is_no_new_challenge() {
        let mut all = Challenges::default();
        let mut client = ClientChallenge::default();
        all.hear(AGENT, &[1; 8]);
        taken(&mut client, &all);
        client.offer(AGENT, &[1; 8], &mut all);
        assert_eq!(taken(&mut client, &all), None);
    }

    proptest! {
        #[test]
        fn no_challenge_is_used_twice_and_memory_is_bounded(steps in prop::collection::vec((any::<bool>(), 0u8..6), 1..80)) {
            let mut all = Challenges::default();
            let mut client = ClientChallenge::default();
            let mut used = vec![];
            let mut fresh = 0u16;
            for (advertised, old) in steps {
                fresh += 1;
                if advertised {
                    // What was advertised lately may be advertised again.
                    let number = if old == 0 && fresh > 3 { fresh - 3 } else { fresh };
                    all.hear(AGENT, &[&[0; 4], &number.to_be_bytes()[..]].concat());
                } else {
                    client.offer(AGENT, &[&[1; 4], &fresh.to_be_bytes()[..]].concat(), &mut all);
                }
                if let Some(bytes) = client.take(AGENT, false, &all) {
                    prop_assert!(!used.contains(&bytes), "{:?} again", bytes);
                    used.push(bytes);
                }
                prop_assert!(all.advertised.len() <= REMEMBERED);
            }
        }
    }
}
