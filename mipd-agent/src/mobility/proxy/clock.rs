//! The home agents' clocks, as learnt from their denials (RFC 5944 §5.7.1).

use std::collections::BTreeMap;

use crate::wire::types::{HomeAgentAddress, Identification};

const SECOND: i64 = 1 << 32;
/// A home agent accepts timestamps that are off by more than this (RFC 5944 §5.7.1: the window should exceed 3 s), so
/// a clock that is ahead by less is not why it complained.
const TOLERANCE_AHEAD: i64 = 3 * SECOND;
/// An answer that is later than our clock may be later than the home agent's, too: some answer with a second more than
/// what they accepted last, and that came from another access point, whose clock may be 5 s ahead of ours. A greater
/// difference is the clock's: with the usual window of 7 s, and half a second for the answer's lack of a fraction, it is
/// greater whenever our clock is outside.
const TOLERANCE_BEHIND: i64 = 13 * SECOND / 2;
/// Clocks that are kept: home agents come from the subnet map, or are named by other home agents (code 136).
const REMEMBERED: usize = 4096;

/// How far each home agent's clock is from ours, as learnt from its denials with code 133.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    offsets: BTreeMap<HomeAgentAddress, i64>,
}

impl Clocks {
    /// The home agent's clock when ours shows `wall`.
    pub fn read(&self, home_agent: HomeAgentAddress, wall: Identification) -> Identification {
        let offset = self.offsets.get(&home_agent).copied().unwrap_or(0);
        Identification(wall.0.wrapping_add_signed(offset))
    }

    /// Takes over the home agent's clock from a denial with code 133, if ours was off by more than a home agent minds.
    pub fn learn(&mut self, home_agent: HomeAgentAddress, wall: Identification, answer: Identification) {
        let middle_of_its_second = Identification((u64::from(answer.seconds()) << 32) | (1 << 31));
        let behind = middle_of_its_second.since(self.read(home_agent, wall));
        if (-TOLERANCE_AHEAD..=TOLERANCE_BEHIND).contains(&behind) {
            return;
        }
        if self.offsets.len() >= REMEMBERED && !self.offsets.contains_key(&home_agent) {
            self.offsets.pop_first();
        }
        self.offsets.insert(home_agent, middle_of_its_second.since(wall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const AGENT: HomeAgentAddress = HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 1));

    fn seconds(seconds: u32) -> Identification {
        Identification(u64::from(seconds) << 32)
    }

    #[test]
    fn a_home_agents_clock_is_taken_over_when_ours_is_off() {
        let mut clocks = Clocks::default();
        let ours = seconds(1000);
        clocks.learn(AGENT, ours, seconds(5000));
        assert_eq!(clocks.read(AGENT, ours).seconds(), 5000);
        for within_every_window in [4998, 5001, 5006] {
            clocks.learn(AGENT, ours, seconds(within_every_window));
            assert_eq!(clocks.read(AGENT, ours).seconds(), 5000);
        }
        let other = HomeAgentAddress(Ipv4Addr::new(10, 2, 0, 1));
        assert_eq!(clocks.read(other, ours), ours, "each home agent has its own clock");
    }

    #[test]
    fn a_clock_that_is_ahead_by_more_than_the_narrowest_window_is_put_back() {
        let mut clocks = Clocks::default();
        clocks.learn(AGENT, seconds(1004), seconds(1000));
        assert_eq!(clocks.read(AGENT, seconds(1004)).seconds(), 1000);
    }

    #[test]
    fn a_clock_is_learnt_across_the_wrap_of_2036() {
        let mut clocks = Clocks::default();
        let ours = seconds(u32::MAX - 10);
        clocks.learn(AGENT, ours, seconds(20));
        assert_eq!(clocks.read(AGENT, ours).seconds(), 20);
    }

    #[test]
    fn no_number_of_home_agents_fills_the_memory() {
        let mut clocks = Clocks::default();
        for number in 0..5000u32 {
            clocks.learn(HomeAgentAddress(number.into()), seconds(1000), seconds(5000));
        }
        assert_eq!(clocks.offsets.len(), REMEMBERED);
    }
}
