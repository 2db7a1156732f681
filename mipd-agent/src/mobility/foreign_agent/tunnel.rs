//! What request and reply together agree on about a tunnel.

use super::{check::wanted, pending::PendingRegistration};
use crate::mobility::tunnel::TunnelMode;

/// The tunnel of an accepted registration.
pub(super) fn agreed(pending: &PendingRegistration) -> TunnelMode {
    let flags = pending.request.flags;
    TunnelMode {
        encapsulation: wanted(flags).unwrap_or_default(),
        gre_keys: None,
        udp: None,
        reverse: flags.reverse_tunnel.then_some(pending.delivery),
    }
}
