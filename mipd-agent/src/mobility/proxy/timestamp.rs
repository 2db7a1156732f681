//! Timestamps: each client's strictly increasing sequence (RFC 5944 §5.7.1).

use rand::{Rng, rngs::StdRng};

use crate::wire::types::Identification;

/// Low bits of the fraction that are random: about a millisecond. They keep replies from being guessed.
const RANDOM_BITS: u64 = (1 << 22) - 1;
/// How far ahead of the home agent's clock a timestamp may safely be: a second less than the usual window of 7 s.
const FARTHEST_AHEAD: u64 = 6 << 32;

/// The timestamps of one client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timestamps {
    accepted: Option<Identification>,
    floor: Option<Identification>,
    /// What to add to the home agent's clock, until the next acceptance.
    ahead: i64,
    /// Denials with code 133 since the last acceptance.
    mismatches: u32,
}

impl Timestamps {
    /// Goes on after an Identification that was accepted before a restart.
    pub fn resume(accepted: Option<Identification>) -> Self {
        Self { accepted, floor: accepted, ..Self::default() }
    }

    /// The next one: the home agent's time, but always greater than those before, and with another low half than the last
    /// one, by which replies are matched.
    pub fn issue(&mut self, clock: Identification, random: &mut StdRng) -> Identification {
        let noise = random.next_u64() & RANDOM_BITS;
        let time = clock.0.wrapping_add_signed(self.ahead);
        let mut next = Identification((time & !RANDOM_BITS) | noise);
        if let Some(floor) = self.floor {
            if next.since(floor) <= 0 {
                next = Identification(floor.0.wrapping_add(1 + noise));
            }
            if next.low() == floor.low() {
                next = Identification(next.0.wrapping_add(1));
            }
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
        (self.ahead, self.mismatches) = (0, 0);
    }

    /// Code 133. What was refused no longer binds us, else a clock that was ahead could never be put back; what was
    /// accepted does.
    ///
    /// Another access point may have registered the client with a clock that is ahead. A home agent that knows better
    /// answers with a time later than what it accepted last, so the first retry takes its answer. One that gives its own
    /// time refuses that, too: the second retry is as far ahead as it can be, which beats every clock that was ahead by
    /// less. `clock` is the home agent's as we see it now.
    pub fn mismatch(&mut self, clock: Identification, answer: Identification) {
        self.mismatches = self.mismatches.saturating_add(1);
        let answered = Identification(u64::from(answer.seconds()) << 32);
        let is_second = self.mismatches.is_multiple_of(2);
        let wanted = Identification(answered.0.wrapping_add(if is_second { FARTHEST_AHEAD } else { 0 }));
        self.ahead = wanted.since(clock).max(0);
        self.floor = Some(match self.accepted {
            Some(accepted) if accepted.since(answered) > 0 => accepted,
            _ => answered,
        });
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

    fn seconds(seconds: u32) -> Identification {
        Identification(u64::from(seconds) << 32)
    }

    #[test]
    fn a_clock_that_was_ahead_is_put_back() {
        let mut random = StdRng::seed_from_u64(1);
        let mut timestamps = Timestamps::default();
        timestamps.issue(seconds(9000), &mut random);
        timestamps.mismatch(seconds(5000), seconds(5000));
        assert_eq!(timestamps.issue(seconds(5000), &mut random).seconds(), 5000);
    }

    #[test]
    fn the_first_retry_takes_the_answer_and_the_second_is_a_second_less_than_the_window_ahead_of_it() {
        let mut random = StdRng::seed_from_u64(1);
        let mut timestamps = Timestamps::default();
        let mut issued = vec![];
        for _ in 0..4 {
            timestamps.mismatch(seconds(4999), seconds(5000));
            issued.push(timestamps.issue(seconds(4999), &mut random).seconds());
        }
        assert_eq!(issued, [5000, 5006, 5000, 5006]);
        timestamps.accept(seconds(5006));
        timestamps.mismatch(seconds(5100), seconds(5100));
        assert_eq!(timestamps.issue(seconds(5100), &mut random).seconds(), 5100, "an acceptance ends the series");
    }

    #[test]
    fn the_time_that_passes_before_the_retry_is_added() {
        let mut random = StdRng::seed_from_u64(1);
        let mut timestamps = Timestamps::default();
        timestamps.mismatch(seconds(4999), seconds(5000));
        timestamps.mismatch(seconds(4999), seconds(5000));
        assert_eq!(timestamps.issue(seconds(5001), &mut random).seconds(), 5008);
    }

    #[test]
    fn nothing_below_an_accepted_identification_is_issued_after_a_mismatch() {
        let mut random = StdRng::seed_from_u64(1);
        let mut timestamps = Timestamps::default();
        timestamps.accept(seconds(6000));
        timestamps.mismatch(seconds(5000), seconds(5000));
        assert!(timestamps.issue(seconds(5000), &mut random).since(seconds(6000)) > 0);
    }

    proptest! {
        #[test]
        fn identifications_strictly_increase_whatever_the_clock_does(
            start in any::<u64>(),
            steps in prop::collection::vec(-(20i64 << 32)..(20i64 << 32), 1..50),
        ) {
            let mut random = StdRng::seed_from_u64(start);
            let mut timestamps = Timestamps::default();
            let mut clock = Identification(start);
            let mut last = timestamps.issue(clock, &mut random);
            for step in steps {
                clock = Identification(clock.0.wrapping_add_signed(step));
                let next = timestamps.issue(clock, &mut random);
                prop_assert!(next.since(last) > 0);
                prop_assert!(next.low() != last.low());
                last = next;
            }
        }
    }
}
