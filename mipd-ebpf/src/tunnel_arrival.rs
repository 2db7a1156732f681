//! Both agents: an IP-in-IP packet for one of our own addresses.

use mipd_common::{
    maps::{Counter, Interface},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    home_encapsulate::TUNNELLED, hook::Hook, ipv4::Ipv4, maps, reverse_decapsulate, verdict::Verdict, visitor_deliver,
};

/// Checks both headers and finds out whether it comes down to a visitor or back from an away client.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface, outer: Ipv4<'_>) -> Verdict {
    if !outer.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32)) {
        return Verdict::drop(Counter::DroppedShort);
    }
    // The agent's raw socket gets these two, whole.
    if !outer.is_plain() {
        return Verdict::pass(Counter::SlowOptions);
    }
    if outer.is_fragment() {
        return Verdict::pass(Counter::SlowFragment);
    }
    let Some(headers) = hook.frame().take::<TUNNELLED>() else { return Verdict::drop(Counter::DroppedShort) };
    let inner = Ipv4(headers.part::<{ ETHERNET_LENGTH + IPV4_LENGTH }, IPV4_LENGTH>());
    let payload = (outer.total_length() as u32).wrapping_sub(IPV4_LENGTH as u32);
    // The inner TTL must not have reached zero (RFC 2003 §3.1); the outer header vanishes, so this is the time to check it.
    if outer.total_length() < 2 * IPV4_LENGTH as u16
        || !inner.is_version_4()
        || !inner.lengths_fit(payload)
        || inner.ttl() == 0
        || !outer.checksum_is_valid()
    {
        return Verdict::drop(Counter::DroppedShort);
    }
    match maps::visitor(outer.source(), inner.destination()) {
        Some(visitor) => visitor_deliver::decide(hook, interface, inner, visitor),
        None => reverse_decapsulate::decide(hook, interface, outer, inner),
    }
}
