//! Both agents: a tunnel packet for one of our own addresses.

use mipd_common::maps::{Counter, Interface, VisitorSource};

use crate::{
    arrival::Arrival, hook::Hook, ipv4::Ipv4, maps, onward::Step, reverse_decapsulate, surgery::Header,
    verdict::Refusal, visitor_deliver, visitor_uplink,
};

/// Finds out whether it comes down to a visitor or back from an away client. `delivery`: what a visitor may send that has
/// wrapped this for us.
#[inline(always)]
pub fn decide<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    outer: Ipv4<'a>,
    delivery: Option<&VisitorSource>,
    header: &'a mut Header,
) -> Step<'a> {
    let arrival = match Arrival::of(hook, outer, header) {
        Ok(arrival) => arrival,
        Err(Refusal::Slow(counter)) => return Step::pass(counter),
        Err(Refusal::Drop(counter)) => return Step::drop(counter),
    };
    if let Some(source) = delivery {
        return visitor_uplink::wrapped(hook, arrival, source);
    }
    if arrival.is_loop() {
        return Step::drop(Counter::DroppedLoop);
    }
    // A keepalive or its answer (RFC 3519 §4.9): the agent knows what to do with it.
    if arrival.is_over_udp() && arrival.inner().destination() == outer.destination() {
        return Step::pass(Counter::PassedControl);
    }
    match maps::visitor(outer.source(), arrival.inner().destination()) {
        Some(visitor) => visitor_deliver::decide(hook, interface, arrival, visitor).into(),
        None => reverse_decapsulate::decide(arrival),
    }
}
