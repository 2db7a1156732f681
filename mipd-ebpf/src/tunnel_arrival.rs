//! Both agents: a tunnel packet for one of our own addresses.

use mipd_common::maps::{Counter, Interface, VisitorSource};

use crate::{
    arrival::Arrival,
    hook::Hook,
    ipv4::Ipv4,
    maps, reverse_decapsulate,
    surgery::{Plan, Scratch},
    verdict::Refusal,
    visitor_deliver, visitor_uplink,
};

/// Finds out whether it comes down to a visitor or back from an away client. `delivery`: what a visitor may send that has
/// wrapped this for us.
#[inline(always)]
pub fn decide<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    outer: Ipv4<'a>,
    delivery: Option<&VisitorSource>,
    scratch: &'a mut Scratch,
) -> Plan<'a> {
    let Scratch { next_hop, header } = scratch;
    let arrival = match Arrival::of(hook, outer, header) {
        Ok(arrival) => arrival,
        Err(Refusal::Slow(counter)) => return Plan::pass(counter),
        Err(Refusal::Drop(counter)) => return Plan::drop(counter),
    };
    if let Some(source) = delivery {
        return visitor_uplink::wrapped(hook, interface, arrival, source);
    }
    if arrival.is_loop() {
        return Plan::drop(Counter::DroppedLoop);
    }
    // A keepalive or its answer (RFC 3519 §4.9): the agent knows what to do with it.
    if arrival.is_over_udp() && arrival.inner().destination() == outer.destination() {
        return Plan::pass(Counter::PassedControl);
    }
    match maps::visitor(outer.source(), arrival.inner().destination()) {
        Some(visitor) => visitor_deliver::decide(hook, interface, arrival, visitor),
        None => reverse_decapsulate::decide(hook, interface, arrival, next_hop),
    }
}
