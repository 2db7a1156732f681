//! Since when a box does its work undisturbed, and how long its last trouble is felt.

use std::time::Duration;

use mipd_agent::mobility::time::Instant;

/// Since when something works, and how much longer the consequences of its last failure may last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stability {
    since: Option<Instant>,
    aftermath: Duration,
}

impl Stability {
    /// Works from the beginning.
    pub fn at_the_beginning() -> Self {
        Self { since: Some(Instant::default()), aftermath: Duration::ZERO }
    }

    /// Does not work from now on.
    pub fn fail(&mut self) {
        self.since = None;
    }

    /// Works again. The aftermath of an outage is as long again as the outage: who repeats a request waits twice as long
    /// each time.
    pub fn recover(&mut self, at: Instant, aftermath: Duration) {
        let still = self.settled().map_or(Duration::ZERO, |settled| settled.since(at));
        self.since = Some(at);
        self.aftermath = aftermath.max(still);
    }

    /// Whether it has failed after that time.
    pub fn has_failed_since(&self, at: Instant) -> bool {
        self.since.is_none_or(|since| since > at)
    }

    /// When the last trouble is over; `None` while it lasts.
    pub fn settled(&self) -> Option<Instant> {
        self.since.map(|since| since + self.aftermath)
    }
}
