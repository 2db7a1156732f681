//! The slow path out of a tunnel: TC decapsulates and the kernel receives the inner packet on the TUN device.

use mipd_common::maps::Counter;

use crate::{hook::Hook, verdict::Verdict};

/// Hands the inner packet to the kernel on `tun`; XDP leaves that to TC and counts `reason`. The inner header is not
/// touched. Without a device the packet goes on as it is, to the agent's raw socket.
#[inline(always)]
pub fn hand_over<H: Hook>(hook: H, tun: Option<u32>, reason: Counter) -> Verdict {
    match tun {
        Some(tun) if !H::XDP && tun != 0 => {
            if hook.shrink() {
                Verdict::receive(Counter::SlowToTun, tun)
            } else {
                Verdict::pass(Counter::SlowNoHeadroom)
            }
        }
        _ => Verdict::pass(reason),
    }
}
