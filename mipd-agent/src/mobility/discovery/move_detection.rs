//! What advertisements say about moves and reboots (RFC 5944 §2.4.1 and §2.4.2).

use super::listener::Agent;
use crate::mobility::time::Instant;

/// RFC 5944 §2.4.1: a number that drops into 0..=255 tells of a reboot.
const LAST_SEQUENCE_OF_A_REBOOT: u16 = 255;

/// Whether a sequence number that follows another one tells that the agent started anew. A drop to 256 or more is a
/// roll-over.
pub(super) fn tells_of_reboot(before: u16, after: u16) -> bool {
    after < before && after <= LAST_SEQUENCE_OF_A_REBOOT
}

/// When an agent should have been heard again: after half of its lifetime, of which its interval is at most a third
/// (RFC 5944 §2.3).
pub(super) fn overdue(agent: &Agent) -> Instant {
    agent.heard + agent.expires.since(agent.heard) / 2
}

/// Whether two agents have no prefix in common. Only known if both say their prefixes (RFC 5944 §2.4.2.2).
pub(super) fn is_on_another_subnet(one: &Agent, other: &Agent) -> bool {
    let (one, other) = (one.advertisement.prefixes(), other.advertisement.prefixes());
    !one.is_empty() && !other.is_empty() && !one.iter().any(|prefix| other.contains(prefix))
}
