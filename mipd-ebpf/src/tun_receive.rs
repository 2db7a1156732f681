//! The slow path out of a tunnel: TC decapsulates and the kernel receives the inner packet on the TUN device.

use mipd_common::maps::Counter;

use crate::{
    hook::Hook,
    surgery::{Carried, Plan},
};

/// Hands the inner packet to the kernel on `tun`; XDP leaves that to TC and counts `reason`. The inner header is not
/// touched. Without a device the packet goes on as it is, to the agent's raw socket.
#[inline(always)]
pub fn hand_over<'a, H: Hook>(tun: Option<u32>, carried: Carried<'a>, reason: Counter) -> Plan<'a> {
    match tun {
        Some(tun) if !H::XDP && tun != 0 => Plan::hand_over(carried, tun),
        _ => Plan::pass(reason),
    }
}
