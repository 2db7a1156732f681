//! Time as the roles see it: handed in with each event, never read.

use std::{ops::Add, time::Duration};

use crate::wire::types::Identification;

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
