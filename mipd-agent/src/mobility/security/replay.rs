//! Timestamp replay protection (RFC 5944 §5.7.1), and the answer that lets a node set its clock.

use std::time::Duration;

use crate::wire::types::Identification;

/// How far a request's timestamp may be from the home agent's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayWindow {
    /// Largest difference either way; 7 s by default, should be more than 3 s.
    pub window: Duration,
}

/// Why an Identification was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// Too far from the home agent's clock.
    #[error("timestamp outside the replay window: the sender's clock differs; it sets its clock by the reply")]
    OutsideWindow,
    /// Not greater than one accepted before: a replay, or requests out of order.
    #[error("timestamp not newer than the last one accepted: a replay, or a request that was overtaken")]
    NotNewer,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { window: Duration::from_secs(7) }
    }
}

impl ReplayWindow {
    /// Checks a request's Identification against the clock and the last one accepted for the same node.
    ///
    /// All comparisons are signed differences modulo 2^64, so the wrap of 2036 is no event. When our own clock was set
    /// back, `last` lies beyond the window, and every honest request with it. Then `last` stands in for the clock:
    /// requests still have to be newer than it, and the node is not locked out until the clock has caught up.
    pub fn check(
        self,
        now: Identification,
        identification: Identification,
        last: Option<Identification>,
    ) -> Result<(), Mismatch> {
        let reference = match last {
            Some(last) if last.since(now) > self.units() => last,
            _ => now,
        };
        if identification.since(reference).unsigned_abs() > self.units().unsigned_abs() {
            return Err(Mismatch::OutsideWindow);
        }
        if last.is_some_and(|last| identification.since(last) <= 0) {
            return Err(Mismatch::NotNewer);
        }
        Ok(())
    }

    /// The Identification of a reply with code 133: own seconds, but later than anything accepted before, in the high
    /// half; the low half copied from the request.
    pub fn resynchronisation(
        now: Identification,
        identification: Identification,
        last: Option<Identification>,
    ) -> Identification {
        let seconds = match last.map(|last| last.seconds().wrapping_add(1)) {
            Some(next) if next.wrapping_sub(now.seconds()).cast_signed() > 0 => next,
            _ => now.seconds(),
        };
        Identification(u64::from(seconds) << 32 | u64::from(identification.low()))
    }

    /// The window in units of 2^-32 s, at most half of the number circle.
    fn units(self) -> i64 {
        let fraction = (u64::from(self.window.subsec_nanos()) << 32) / 1_000_000_000;
        let seconds = self.window.as_secs().min(u64::from(u32::MAX >> 1));
        (seconds << 32 | fraction).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Mismatch, ReplayWindow};
    use crate::wire::types::Identification;

    const WINDOW: ReplayWindow = ReplayWindow { window: Duration::from_secs(7) };

    fn at(seconds: u32, fraction: u32) -> Identification {
        Identification(u64::from(seconds) << 32 | u64::from(fraction))
    }

    #[test]
    fn the_window_is_inclusive_on_both_sides() {
        let now = at(1000, 0);
        for (identification, expected) in [
            (at(1007, 0), Ok(())),
            (at(993, 0), Ok(())),
            (at(1007, 1), Err(Mismatch::OutsideWindow)),
            (at(992, u32::MAX), Err(Mismatch::OutsideWindow)),
        ] {
            assert_eq!(WINDOW.check(now, identification, None), expected, "{identification:?}");
        }
    }

    #[test]
    fn only_a_newer_timestamp_is_accepted() {
        let last = Some(at(1000, 5));
        assert_eq!(WINDOW.check(at(1000, 0), at(1000, 5), last), Err(Mismatch::NotNewer));
        assert_eq!(WINDOW.check(at(1000, 0), at(1000, 4), last), Err(Mismatch::NotNewer));
        assert_eq!(WINDOW.check(at(1000, 0), at(1000, 6), last), Ok(()));
    }

    #[test]
    fn the_wrap_of_2036_is_no_event() {
        let now = at(1, 0);
        assert_eq!(WINDOW.check(now, at(u32::MAX, 0), None), Ok(()));
        assert_eq!(WINDOW.check(now, at(0, 0), Some(at(u32::MAX, 0))), Ok(()));
        assert_eq!(WINDOW.check(now, at(u32::MAX, 0), Some(at(0, 0))), Err(Mismatch::NotNewer));
        assert_eq!(ReplayWindow::resynchronisation(at(u32::MAX, 9), at(5, 77), Some(at(u32::MAX, 1))), at(0, 77));
    }

    #[test]
    fn the_answer_gives_our_seconds_and_copies_the_low_half() {
        assert_eq!(ReplayWindow::resynchronisation(at(1000, 1), at(5, 77), None), at(1000, 77));
        assert_eq!(ReplayWindow::resynchronisation(at(1000, 1), at(5, 77), Some(at(990, 0))), at(1000, 77));
    }

    #[test]
    fn the_answer_is_later_than_anything_accepted() {
        assert_eq!(ReplayWindow::resynchronisation(at(1000, 1), at(5, 77), Some(at(1000, 0))), at(1001, 77));
        assert_eq!(ReplayWindow::resynchronisation(at(1000, 1), at(5, 77), Some(at(1004, 9))), at(1005, 77));
    }

    #[test]
    fn a_node_that_follows_the_answer_is_accepted_after_our_clock_was_set_back() {
        let last = Some(at(5000, 3));
        let now = at(1000, 0);
        let answer = ReplayWindow::resynchronisation(now, at(1000, 77), last);
        assert_eq!(WINDOW.check(now, answer, last), Ok(()));
        assert_eq!(WINDOW.check(now, at(5000, 2), last), Err(Mismatch::NotNewer));
        assert_eq!(WINDOW.check(now, at(1000, 2), last), Err(Mismatch::OutsideWindow));
    }

    #[test]
    fn a_window_of_a_fraction_of_a_second_is_kept_exactly() {
        let window = ReplayWindow { window: Duration::from_millis(500) };
        assert_eq!(window.check(at(1000, 0), at(1000, 1 << 31), None), Ok(()));
        assert_eq!(window.check(at(1000, 0), at(1000, (1 << 31) + 1), None), Err(Mismatch::OutsideWindow));
    }
}
