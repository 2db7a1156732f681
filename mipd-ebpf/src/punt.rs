//! Between kernel and agent at the access point: whole frames through a TAP, in both directions.

use mipd_common::{
    maps::{Counter, Interface, REINJECT_MARK},
    packet::ETHERNET_LENGTH,
};

use crate::{hook::Hook, maps, tc::Tc, verdict::Verdict};

/// To the agent. Without one, the frame is gone.
#[inline(always)]
pub fn to_agent() -> Verdict {
    match maps::access_point() {
        Some(access_point) if access_point.punt_ifindex != 0 => {
            Verdict::transmit(Counter::Punted, access_point.punt_ifindex)
        }
        _ => Verdict::drop(Counter::DroppedNoAgent),
    }
}

/// From the agent: the frame is received by the radio that its station is behind, once more, with a mark that keeps it
/// from going round.
#[inline(always)]
pub fn decide(hook: Tc, _interface: &Interface) -> Verdict {
    let Some(ethernet) = hook.frame().take::<ETHERNET_LENGTH>() else { return Verdict::drop(Counter::DroppedShort) };
    let mac = ethernet.mac::<6>();
    let radio = match maps::station(&mac) {
        Some(station) if station.radio_ifindex != 0 => station.radio_ifindex,
        _ => match maps::seen(&mac) {
            Some(seen) => seen.ifindex,
            None => return Verdict::drop(Counter::DroppedNoVisitor),
        },
    };
    hook.mark(REINJECT_MARK);
    Verdict::receive(Counter::Reinjected, radio)
}
