//! The slow path of a client with several care-of addresses at the same time: a copy into each tunnel (RFC 5944 §3.8.2.2).
//!
//! A copy leaves by the same device again, marked with its tunnel, and is wrapped like any other packet there: each one in
//! its tunnel's way, and buffers of several segments with the right note of it.

use mipd_common::maps::{COPIES_LENGTH, Counter, Router, Tunnel};

use crate::{hook::Hook, tc::Tc};

/// The tunnel that a copy is marked with. Nothing else arrives here with our mark: it leads to the other device.
#[inline(always)]
pub fn marked(hook: Tc, router: &Router) -> Option<u32> {
    let mark = hook.firewall_mark();
    if router.mark == 0 || mark & router.mark_mask != router.mark {
        return None;
    }
    hook.mark(0);
    Some(mark & !router.mark_mask)
}

/// Sends a copy into each tunnel but the last, which is returned: the packet itself goes there. The packet's bytes are to
/// be looked at anew afterwards.
#[inline(always)]
pub fn send_all_but_last(hook: Tc, router: &Router, copies: &Tunnel) -> Result<u32, Counter> {
    let former = hook.firewall_mark();
    let mut last = 0;
    for index in 0..COPIES_LENGTH {
        let part = copies.part(index);
        if part == 0 {
            continue;
        }
        if last != 0 {
            hook.mark(router.mark | last);
            hook.send_copy(router.home_tun);
        }
        last = part;
    }
    hook.mark(former);
    if last == 0 { Err(Counter::DroppedUnresolved) } else { Ok(last) }
}
