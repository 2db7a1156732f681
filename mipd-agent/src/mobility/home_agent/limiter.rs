//! How often those are answered whom nobody has authenticated.
//!
//! Who looks for home agents sends a request to a subnet's broadcast address, and is answered 136 with our address
//! (RFC 5944 §3.6.1.2). RFC 5944 lets a home agent answer only whom it shares an association with; access points that
//! watch whether a subnet's home agent is alive have none, so they may get an answer, too, but only so many.

use std::time::Duration;

use crate::{
    mobility::{pace::Pace, time::Instant},
    wire::types::HomeAddress,
};

/// Strangers' searches for home agents that are answered: ten per second.
pub(super) const PROBES: Pace = Pace::new(Duration::from_millis(100), 10);

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
