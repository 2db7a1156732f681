//! When to solicit: three times at one a second, then ever more rarely (RFC 5944 §2.4, RFC 1256 §5.1).

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::mobility::time::Instant;

/// RFC 1256 §5.1: the first one waits a random time up to this.
const MAXIMUM_DELAY: Duration = Duration::from_secs(1);
/// RFC 5944 §2.4: at most one a second.
const MINIMUM_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 5944 §2.4: the back-off ends at a minute or more.
const MAXIMUM_INTERVAL: Duration = Duration::from_mins(1);
/// RFC 5944 §2.4: how many may be sent before the back-off begins.
const INITIAL_SOLICITATIONS: u32 = 3;

/// The timer of solicitations.
#[derive(Debug)]
pub(super) struct Schedule {
    random: StdRng,
    sent: u32,
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Schedule {
    /// The first one is due within a second of the clock's start.
    pub(super) fn new(seed: u64) -> Self {
        let mut schedule = Self { random: StdRng::seed_from_u64(seed), sent: 0, last: None, next: None };
        schedule.restart(Instant::default());
        schedule
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// No need to ask any more.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// Begins anew at the high rate, because the agents were lost.
    pub(super) fn restart(&mut self, now: Instant) {
        self.sent = 0;
        let delay = self.random.random_range(Duration::ZERO..=MAXIMUM_DELAY);
        self.next = Some(self.allowed(now + delay));
    }

    /// The next one as soon as the rate allows, because somebody waits for the answer.
    pub(super) fn hasten(&mut self, now: Instant) {
        let soon = self.allowed(now);
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// Whether one is to be sent now; then the next one is scheduled.
    pub(super) fn pop_due(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.sent += 1;
        self.last = Some(now);
        let doublings = (self.sent + 1).saturating_sub(INITIAL_SOLICITATIONS);
        let interval = MINIMUM_INTERVAL.saturating_mul(2u32.saturating_pow(doublings)).min(MAXIMUM_INTERVAL);
        // Upwards only: the rate is a maximum.
        self.next = Some(now + self.random.random_range(interval..=interval * 5 / 4));
        true
    }

    fn allowed(&self, wanted: Instant) -> Instant {
        self.last.map_or(wanted, |last| wanted.max(last + MINIMUM_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lets `count` solicitations come due and returns their times.
    fn times(schedule: &mut Schedule, count: usize) -> Vec<Instant> {
        let due = |_| {
            let now = schedule.next().unwrap();
            assert!(schedule.pop_due(now));
            now
        };
        (0..count).map(due).collect()
    }

    #[test]
    fn nothing_is_due_before_its_time_or_after_a_stop() {
        let mut schedule = Schedule::new(1);
        let first = times(&mut schedule, 1)[0];
        assert!(!schedule.pop_due(first + Duration::from_millis(999)));
        schedule.stop();
        assert!(!schedule.pop_due(first + Duration::from_hours(1)));
    }

    #[test]
    fn hastening_never_exceeds_one_a_second() {
        let mut schedule = Schedule::new(1);
        let last = times(&mut schedule, 10)[9];
        schedule.hasten(last + Duration::from_millis(300));
        assert_eq!(schedule.next(), Some(last + MINIMUM_INTERVAL));
        schedule.stop();
        schedule.hasten(last + Duration::from_secs(5));
        assert_eq!(schedule.next(), Some(last + Duration::from_secs(5)));
    }

    #[test]
    fn hastening_does_not_bring_the_high_rate_back() {
        let mut schedule = Schedule::new(1);
        let last = times(&mut schedule, 10)[9];
        schedule.hasten(last + Duration::from_secs(5));
        let after = times(&mut schedule, 2);
        assert!(after[1].since(after[0]) >= MAXIMUM_INTERVAL);
    }

    proptest! {
        #[test]
        fn solicitations_back_off_from_one_second_to_one_minute(seed: u64) {
            let mut schedule = Schedule::new(seed);
            let first = schedule.next().unwrap();
            prop_assert!(first <= Instant(MAXIMUM_DELAY));
            let times = times(&mut schedule, 12);
            let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60];
            prop_assert!((1.0..=1.25).contains(&times[1].since(times[0]).as_secs_f64()));
            for (pair, seconds) in times[1..].windows(2).zip(expected) {
                let gap = pair[1].since(pair[0]).as_secs_f64();
                prop_assert!((seconds as f64..=seconds as f64 * 1.25).contains(&gap), "{gap} for {seconds}");
            }
        }

        #[test]
        fn a_restart_keeps_the_distance_to_the_last_one(seed: u64, milliseconds in 0u64..1000) {
            let mut schedule = Schedule::new(seed);
            let last = times(&mut schedule, 5)[4];
            schedule.restart(last + Duration::from_millis(milliseconds));
            let next = schedule.next().unwrap();
            prop_assert!(next.since(last) >= MINIMUM_INTERVAL && next.since(last) <= Duration::from_secs(2));
        }
    }
}
