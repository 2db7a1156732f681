//! How often those are answered whom nobody has authenticated.
//!
//! Who looks for home agents sends a request to a subnet's broadcast address, and is answered 136 with our address
//! (RFC 5944 §3.6.1.2). RFC 5944 lets a home agent answer only whom it shares an association with; access points that
//! watch whether a subnet's home agent is alive have none, so they may get an answer, too, but only so many.

use std::time::Duration;

use crate::{mobility::time::Instant, wire::types::HomeAddress};

/// Lets so much through and no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    interval: Duration,
    burst: u32,
    /// When all that was admitted will have been paid for.
    paid: Instant,
}

impl Limiter {
    /// One per `interval` on average, and `burst` at once.
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, paid: Instant::default() }
    }

    /// Whether another one is let through.
    pub fn admit(&mut self, now: Instant) -> bool {
        let paid = self.paid.max(now) + self.interval;
        let admitted = paid.since(now) <= self.interval * self.burst;
        if admitted {
            self.paid = paid;
        }
        admitted
    }
}

/// Least time between two denials to one node that nobody has authenticated.
const INTERVAL: Duration = Duration::from_secs(1);

/// Nodes are told apart by so many low bits of their addresses: others that look the same wait together.
const SLOTS: usize = 1024;

/// When each node got such a denial last.
#[derive(Clone, Debug, Default)]
pub(super) struct DenialLimiter(Vec<Option<Instant>>);

impl DenialLimiter {
    /// Whether the node may get a denial now; if so, it gets it.
    pub fn admit(&mut self, now: Instant, home_address: HomeAddress) -> bool {
        self.0.resize(SLOTS, None);
        let slot = &mut self.0[home_address.0.to_bits() as usize % SLOTS];
        let admitted = slot.is_none_or(|last| now.since(last) >= INTERVAL);
        if admitted {
            *slot = Some(now);
        }
        admitted
    }
}
