//! How often servers may be asked: a token bucket in its virtual-scheduling form.

use std::time::Duration;

use crate::mobility::time::Instant;

/// Admits requests at an average rate, and a burst of one second's worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    period: Duration,
    burst: u32,
    exhausted_until: Instant,
}

impl Pace {
    /// So many per second, at least one.
    pub fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Self { period: Duration::from_secs(1) / per_second, burst: per_second, exhausted_until: Instant::default() }
    }

    /// When the next request may leave; possibly in the past.
    pub fn earliest(self) -> Instant {
        Instant(self.exhausted_until.0.saturating_sub(self.period * (self.burst - 1)))
    }

    /// Accounts for a request sent.
    pub fn take(&mut self, now: Instant) {
        self.exhausted_until = self.exhausted_until.max(now) + self.period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worth_leaves_at_once_and_then_so_many_per_second() {
        let mut pace = Pace::new(20);
        let admitted = |pace: &mut Pace, millisecond: u64| {
            let now = Instant(Duration::from_millis(50_000 + millisecond));
            std::iter::repeat_with(|| ())
                .take_while(|()| {
                    let may = pace.earliest() <= now;
                    if may {
                        pace.take(now);
                    }
                    may
                })
                .count()
        };
        assert_eq!(admitted(&mut pace, 0), 20);
        assert_eq!((1..=2_000).map(|millisecond| admitted(&mut pace, millisecond)).sum::<usize>(), 40);
    }
}
