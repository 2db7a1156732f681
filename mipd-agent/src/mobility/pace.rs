//! How often something may happen: so much on average, and some of it at once.

use std::time::Duration;

use super::time::Instant;

/// A token bucket in its virtual-scheduling form: one instant of state, and exact.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    period: Duration,
    burst: u32,
    /// When all that has happened will have been paid for.
    exhausted_until: Instant,
}

impl Pace {
    /// Once per `period` on average, and `burst` times at once, which is at least once.
    pub const fn new(period: Duration, burst: u32) -> Self {
        Self { period, burst: if burst == 0 { 1 } else { burst }, exhausted_until: Instant(Duration::ZERO) }
    }

    /// So often per second, at least once; a second's worth at once.
    pub fn per_second(times: u32) -> Self {
        let times = times.max(1);
        Self::new(Duration::from_secs(1) / times, times)
    }

    /// When it may happen next; possibly in the past.
    pub fn earliest(self) -> Instant {
        Instant(self.exhausted_until.0.saturating_sub(self.period.saturating_mul(self.burst - 1)))
    }

    /// Accounts for it having happened.
    pub fn take(&mut self, now: Instant) {
        self.exhausted_until = self.exhausted_until.max(now) + self.period;
    }

    /// Whether it may happen now; if so, it is accounted for.
    pub fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.earliest() <= now;
        if admitted {
            self.take(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_burst_of_two_leaves_at_once_and_the_third_a_period_later() {
        let mut pace = Pace::new(Duration::from_secs(1), 2);
        let start = at(10_000);
        assert!(pace.admit(start) && pace.admit(start) && !pace.admit(start));
        assert_eq!(pace.earliest(), at(11_000));
    }

    #[test]
    fn the_average_is_one_per_period() {
        let mut pace = Pace::new(Duration::from_secs(1), 2);
        let admitted = (0..10_000).filter(|millisecond| pace.admit(at(50_000 + millisecond))).count();
        assert_eq!(admitted, 11, "ten seconds' worth and one of the burst");
    }

    #[test]
    fn a_second_worth_leaves_at_once_and_then_so_many_per_second() {
        let mut pace = Pace::per_second(20);
        let mut admitted = |millisecond: u64| (0..100).filter(|_| pace.admit(at(50_000 + millisecond))).count();
        assert_eq!(admitted(0), 20);
        assert_eq!((1..=2_000).map(admitted).sum::<usize>(), 40);
    }

    #[test]
    fn nobody_can_be_configured_to_wait_for_ever() {
        for mut pace in [Pace::per_second(0), Pace::new(Duration::from_secs(1), 0)] {
            assert!(pace.admit(at(0)) && !pace.admit(at(999)) && pace.admit(at(1000)));
        }
    }
}
