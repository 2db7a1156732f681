//! How often one client's requests may go out.
//!
//! RFC 5944 §2.4.2 allows a registration once per second on average; §3.6 excepts a reaction to a denial that tells
//! what to do better. A burst of two at an average of one per second allows both.

use std::time::Duration;

use crate::mobility::{pace::Pace, time::Instant};

/// A client's requests.
pub(super) const REQUESTS: Pace = Pace::new(Duration::from_secs(1), 2);

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
        let mut pace = REQUESTS;
        assert!(pace.admit(at(10_000)) && pace.admit(at(10_000)));
        assert_eq!(pace.earliest(), at(11_000));
    }

    #[test]
    fn address_changes_are_limited_per_minute() {
        let mut changes = AddressChanges::default();
        let admitted = (0..20).filter(|second| changes.admit(at(second * 1000))).count();
        assert_eq!(admitted, 6);
        assert!(changes.admit(at(60_000)));
    }
}
