//! How often one client's requests may go out.
//!
//! RFC 5944 §2.4.2 allows a registration once per second on average; §3.6 excepts a reaction to a denial that tells
//! what to do better. A burst of two at an average of one per second allows both.

use std::time::Duration;

use crate::mobility::time::Instant;

const PERIOD: Duration = Duration::from_secs(1);
const BURST: u32 = 2;

/// A token bucket in its virtual-scheduling form: one instant of state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestPace {
    exhausted_until: Instant,
}

impl RequestPace {
    /// When the next request may leave; possibly in the past.
    pub fn earliest(self) -> Instant {
        Instant(self.exhausted_until.0.saturating_sub(PERIOD * (BURST - 1)))
    }

    /// Accounts for a request sent.
    pub fn take(&mut self, now: Instant) {
        self.exhausted_until = self.exhausted_until.max(now) + PERIOD;
    }
}

/// At most so many changes of address per client and window: more is a broken or hostile station.
const ADDRESS_CHANGES: u32 = 6;
const ADDRESS_WINDOW: Duration = Duration::from_mins(1);

/// How often a client changed its address lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressChanges {
    since: Instant,
    count: u32,
}

impl AddressChanges {
    /// Counts a change, or refuses it.
    pub fn admit(&mut self, now: Instant) -> bool {
        if self.count == 0 || now.since(self.since) >= ADDRESS_WINDOW {
            *self = Self { since: now, count: 1 };
            return true;
        }
        let admitted = self.count < ADDRESS_CHANGES;
        self.count += u32::from(admitted);
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
    fn two_requests_leave_at_once_and_the_third_a_second_later() {
        let mut pace = RequestPace::default();
        let start = at(10_000);
        for _ in 0..2 {
            assert!(pace.earliest() <= start);
            pace.take(start);
        }
        assert_eq!(pace.earliest(), at(11_000));
    }

    #[test]
    fn the_average_is_one_per_second() {
        let mut pace = RequestPace::default();
        let sent = (0..10_000).filter(|millisecond| {
            let now = at(50_000 + millisecond);
            let may = pace.earliest() <= now;
            if may {
                pace.take(now);
            }
            may
        });
        assert_eq!(sent.count(), 11, "ten seconds' worth and one of the burst");
    }

    #[test]
    fn address_changes_are_limited_per_minute() {
        let mut changes = AddressChanges::default();
        let admitted = (0..20).filter(|second| changes.admit(at(second * 1000))).count();
        assert_eq!(admitted, 6);
        assert!(changes.admit(at(60_000)));
    }
}
