//! Home agent: ARP requests for away clients are answered with our own MAC (RFC 5944 §4.6).

use mipd_common::{
    maps::{Counter, Interface},
    packet::{ARP_LENGTH, ETHERNET_LENGTH},
};

use crate::{arp, bytes::Bytes, hook::Hook, maps, verdict::Verdict};

/// An ARP packet on a home interface. TC only.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface) -> Verdict {
    let Some(frame) = hook.frame().take::<{ ETHERNET_LENGTH + ARP_LENGTH }>() else {
        return Verdict::pass(Counter::PassedOther);
    };
    let Some(arp) = arp::Arp::of(frame) else { return Verdict::pass(Counter::PassedOther) };
    if frame.byte::<0>() & 1 == 0 && !frame.mac_is::<0>(&interface.mac) {
        return Verdict::pass(Counter::PassedNotForUs);
    }
    let target = arp.target();
    // An announcement is never answered, and the returning client's own probe is not contradicted.
    if !arp.is_request() || arp.sender() == target || maps::tunnel_id(target).is_none() {
        return Verdict::pass(Counter::PassedOther);
    }
    if let Some(client) = maps::home_mac(target)
        && (frame.mac_is::<6>(&client.octets) || arp.sender_mac_is(&client.octets))
    {
        return Verdict::pass(Counter::PassedOther);
    }
    arp.answer(Bytes::of(&interface.mac));
    Verdict::transmit(Counter::ArpAnswered, hook.ifindex())
}
