//! The two clocks, read in one place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    mobility::time::{Instant, Now},
    wire::types::Identification,
};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
pub(super) const NTP_TO_UNIX: u64 = 2_208_988_800;

/// The daemon's clock; its monotonic time starts when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The present.
    pub fn now(&self) -> Now {
        Now { instant: Instant(self.start.elapsed()), wall: wall() }
    }

    /// The runtime's form of a point in time.
    pub fn deadline(&self, instant: Instant) -> tokio::time::Instant {
        self.start + instant.0
    }
}

/// The wall clock in NTP format, modulo 2^64.
fn wall() -> Identification {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs().wrapping_add(NTP_TO_UNIX) << 32;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    Identification(seconds | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_is_in_ntp_format() {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().wrapping_add(NTP_TO_UNIX) as u32;
        assert!(wall().seconds().wrapping_sub(seconds) <= 1);
    }
}
