//! Identifications: the home agents' clocks, and each client's strictly increasing sequence (RFC 5944 §5.7.1).

use std::collections::HashMap;

use rand::{Rng, rngs::StdRng};

use crate::wire::types::{HomeAgentAddress, Identification};

/// Low bits of the fraction that are random: about a millisecond. They keep replies from being guessed.
const RANDOM_BITS: u64 = (1 << 22) - 1;
const SECOND: i64 = 1 << 32;
/// A home agent accepts timestamps that are off by more than this (RFC 5944 §5.7.1: the window should exceed 3 s), so
/// a smaller difference is not why it complained.
const TOLERANCE: i64 = 3 * SECOND;
/// Step, and limit, by which an Identification is moved ahead when the clocks agree and it is still refused: another
/// access point registered the client with a clock that runs ahead, at most by the usual window of 7 s.
const ADVANCE_STEP: u32 = 2;
const ADVANCE_LIMIT: u32 = 6;

/// How far each home agent's clock is from ours, as learnt from its denials with code 133.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    offsets: HashMap<HomeAgentAddress, i64>,
}

impl Clocks {
    /// The home agent's clock when ours shows `wall`.
    pub fn read(&self, home_agent: HomeAgentAddress, wall: Identification) -> Identification {
        let offset = self.offsets.get(&home_agent).copied().unwrap_or(0);
        Identification(wall.0.wrapping_add_signed(offset))
    }

    /// Takes over the home agent's clock from a denial with code 133. Says whether ours was off by more than any home
    /// agent minds.
    pub fn learn(&mut self, home_agent: HomeAgentAddress, wall: Identification, answer: Identification) -> bool {
        let middle_of_its_second = Identification((u64::from(answer.seconds()) << 32) | (1 << 31));
        let off = middle_of_its_second.since(self.read(home_agent, wall)).unsigned_abs() > TOLERANCE.unsigned_abs();
        if off {
            self.offsets.insert(home_agent, middle_of_its_second.since(wall));
        }
        off
    }
}

/// The Identifications of one client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdentificationSequence {
    accepted: Option<Identification>,
    floor: Option<Identification>,
    advance: u32,
}

impl IdentificationSequence {
    /// Goes on after an Identification that was accepted before a restart.
    pub fn resume(accepted: Option<Identification>) -> Self {
        Self { accepted, floor: accepted, advance: 0 }
    }

    /// The next one: the home agent's time, but always greater than those before.
    pub fn issue(&mut self, clock: Identification, random: &mut StdRng) -> Identification {
        let noise = random.next_u64() & RANDOM_BITS;
        let time = clock.0.wrapping_add(u64::from(self.advance) << 32);
        let mut next = Identification((time & !RANDOM_BITS) | noise);
        if let Some(floor) = self.floor
            && next.since(floor) <= 0
        {
            next = Identification(floor.0.wrapping_add(1 + noise));
        }
        self.floor = Some(next);
        next
    }

    /// Code 0 or 1: every later one must be greater than this.
    pub fn accept(&mut self, identification: Identification) {
        self.accepted = Some(identification);
        self.floor = Some(match self.floor {
            Some(floor) if floor.since(identification) > 0 => floor,
            _ => identification,
        });
        self.advance = 0;
    }

    /// Code 133. What was refused no longer binds us, else a clock that was ahead could never be put back; what was
    /// accepted does, and so does the home agent's answer: some give the last accepted time when that is the greater.
    pub fn mismatch(&mut self, answer: Identification, clock_was_off: bool) {
        let answered = Identification(u64::from(answer.seconds()) << 32);
        self.floor = Some(match self.accepted {
            Some(accepted) if accepted.since(answered) > 0 => accepted,
            _ => answered,
        });
        if !clock_was_off {
            self.advance = (self.advance + ADVANCE_STEP).min(ADVANCE_LIMIT);
        }
    }

    /// The last one that the home agent accepted.
    pub fn last_accepted(&self) -> Option<Identification> {
        self.accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::net::Ipv4Addr;

    const AGENT: HomeAgentAddress = HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 1));

    fn seconds(seconds: u32) -> Identification {
        Identification(u64::from(seconds) << 32)
    }

    #[test]
    fn a_home_agents_clock_is_taken_over_when_ours_is_off() {
        let mut clocks = Clocks::default();
        let ours = seconds(1000);
        assert!(clocks.learn(AGENT, ours, seconds(5000)));
        assert_eq!(clocks.read(AGENT, ours).seconds(), 5000);
        assert!(!clocks.learn(AGENT, ours, seconds(5001)), "within every window");
        assert_eq!(clocks.read(AGENT, ours).seconds(), 5000);
        let other = HomeAgentAddress(Ipv4Addr::new(10, 2, 0, 1));
        assert_eq!(clocks.read(other, ours), ours, "each home agent has its own clock");
    }

    #[test]
    fn a_clock_is_learnt_across_the_wrap_of_2036() {
        let mut clocks = Clocks::default();
        let ours = seconds(u32::MAX - 10);
        assert!(clocks.learn(AGENT, ours, seconds(20)));
        assert_eq!(clocks.read(AGENT, ours).seconds(), 20);
    }

    #[test]
    fn a_clock_that_was_ahead_is_put_back() {
        let mut random = StdRng::seed_from_u64(1);
        let mut sequence = IdentificationSequence::default();
        sequence.issue(seconds(9000), &mut random);
        sequence.mismatch(seconds(5000), true);
        assert_eq!(sequence.issue(seconds(5000), &mut random).seconds(), 5000);
    }

    #[test]
    fn repeated_mismatches_with_agreeing_clocks_move_the_identification_ahead() {
        let mut random = StdRng::seed_from_u64(1);
        let mut sequence = IdentificationSequence::default();
        let mut issued = vec![];
        for _ in 0..5 {
            sequence.mismatch(seconds(5000), false);
            issued.push(sequence.issue(seconds(5000), &mut random).seconds());
        }
        assert_eq!(issued, [5002, 5004, 5006, 5006, 5006]);
    }

    #[test]
    fn nothing_below_an_accepted_identification_is_issued_after_a_mismatch() {
        let mut random = StdRng::seed_from_u64(1);
        let mut sequence = IdentificationSequence::default();
        sequence.accept(seconds(6000));
        sequence.mismatch(seconds(5000), true);
        assert!(sequence.issue(seconds(5000), &mut random).since(seconds(6000)) > 0);
    }

    proptest! {
        #[test]
        fn identifications_strictly_increase_whatever_the_clock_does(
            start in any::<u64>(),
            steps in prop::collection::vec(-(20i64 << 32)..(20i64 << 32), 1..50),
        ) {
            let mut random = StdRng::seed_from_u64(start);
            let mut sequence = IdentificationSequence::default();
            let mut clock = Identification(start);
            let mut last = sequence.issue(clock, &mut random);
            for step in steps {
                clock = Identification(clock.0.wrapping_add_signed(step));
                let next = sequence.issue(clock, &mut random);
                prop_assert!(next.since(last) > 0);
                last = next;
            }
        }
    }
}
