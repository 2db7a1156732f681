//! Foreign agent: ARP of visitors. A visitor may say where it is itself, and nothing else (RFC 5944 §4.6).

use mipd_common::{
    maps::VisitorSource,
    packet::{ARP_LENGTH, ETHERNET_LENGTH},
};

use crate::{arp::Arp, bytes::address, hook::Hook, maps};

/// Whether an ARP packet from a visitor's MAC claims an address that is not its own. One of the visited subnet may be: that
/// is for the subnet to sort out, as with any other station.
#[inline(always)]
pub fn is_spoofed<H: Hook>(hook: H, source: &VisitorSource) -> bool {
    let Some(frame) = hook.frame().take::<{ ETHERNET_LENGTH + ARP_LENGTH }>() else { return false };
    let Some(arp) = Arp::of(frame) else { return false };
    let sender = arp.sender();
    !arp.sender_is_source()
        || maps::is_own_address(sender)
        || (sender != 0 && sender != address(&source.home_address) && !maps::is_in_own_subnet(sender))
}
