//! Time as the roles see it: handed in with each event, never read.

use std::{ops::Add, time::Duration};

use crate::wire::types::{Identification, Lifetime};

/// A point on the monotonic clock: time since an arbitrary start (the daemon's, or the simulation's).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(pub Duration);

impl Instant {
    /// Time since `earlier`; zero if that lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The monotonic clock: timers and lifetimes.
    pub instant: Instant,
    /// The wall clock in NTP format: Identifications only. It may jump.
    pub wall: Identification,
}

impl Now {
    /// The wall-clock time of a point on the monotonic clock; for expiries that outlive the process.
    pub fn wall_at(self, at: Instant) -> Identification {
        let ahead = ntp_units(at.since(self.instant));
        let behind = ntp_units(self.instant.since(at));
        Identification(self.wall.0.wrapping_add(ahead).wrapping_sub(behind))
    }

    /// How far a wall-clock time lies ahead; zero if it is past.
    pub fn until(self, wall: Identification) -> Duration {
        let units = u64::try_from(wall.since(self.wall)).unwrap_or(0);
        Duration::new(units >> 32, (((units & 0xffff_ffff) * 1_000_000_000) >> 32) as u32)
    }

    /// When a registration that was recorded to end at `expires`, by the wall clock, ends by the monotonic one: within
    /// `Some`, `None` for never. `None` alone if it has ended, or if the record lacks an end that its lifetime demands. A
    /// wall clock that was set back never makes it last longer than it was granted for.
    pub fn revived_expiry(self, granted: Lifetime, expires: Option<Identification>) -> Option<Option<Instant>> {
        let Some(granted) = granted.duration() else { return Some(None) };
        let remaining = self.until(expires?).min(granted);
        (!remaining.is_zero()).then(|| Some(self.instant + remaining))
    }
}

/// A duration in units of 2^-32 s, modulo 2^64.
fn ntp_units(duration: Duration) -> u64 {
    (duration.as_secs() << 32).wrapping_add((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Identification, Instant, Now};

    #[test]
    fn an_expiry_survives_the_way_over_the_wall_clock_and_the_wrap_of_2036() {
        let now = Now { instant: Instant(Duration::from_secs(50)), wall: Identification(0xffff_ffff_8000_0000) };
        let wall = now.wall_at(Instant(Duration::from_millis(52_500)));
        assert_eq!(wall, Identification(2 << 32));
        assert_eq!(now.until(wall), Duration::from_millis(2_500));
    }

    #[test]
    fn a_time_in_the_past_is_no_time_ahead() {
        let now = Now { instant: Instant(Duration::from_secs(50)), wall: Identification(1000 << 32) };
        let wall = now.wall_at(Instant(Duration::from_secs(40)));
        assert_eq!(wall, Identification(990 << 32));
        assert_eq!(now.until(wall), Duration::ZERO);
    }
}
