//! Home agent: packets that come back through a reverse tunnel.

use std::net::Ipv4Addr;

use mipd_common::maps::Counter;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    ALSO_AWAY, AT_HOME, AWAY, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, FARTHER_AGENT, HOME_AGENT, HOST,
    NEARBY, NEXT_HOP, ROUTER, World,
};

fn back(outer_source: Ipv4Addr, inner: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(&Ipv4::tunnel(outer_source, HOME_AGENT, inner))
}

fn inner(destination: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((AWAY, 9), (destination, 9), 20)
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "both clients are away: out of one tunnel, into the other",
            back(FAR_AGENT, &inner(ALSO_AWAY)),
            Expect::transmit(Counter::Encapsulated).bytes(
                Frame::new(EGRESS, NEXT_HOP)
                    .ipv4(&Ipv4::tunnel(HOME_AGENT, FARTHER_AGENT, &inner(ALSO_AWAY).forwarded()))
                    .bytes(),
            ),
        ),
        case(
            "the other client is a visitor of this very router",
            back(FAR_AGENT, &inner(NEARBY)),
            Expect::transmit(Counter::DeliveredDirect)
                .bytes(Frame::new(EGRESS, CLIENT).ipv4(&inner(NEARBY).forwarded()).bytes()),
        ),
        case(
            "the outer source must be the registered care-of address",
            back(FARTHER_AGENT, &inner(CORRESPONDENT)),
            Expect::drop(Counter::DroppedTunnelSource),
        ),
        case(
            "a client with several care-of addresses comes back from each of them",
            back(FARTHER_AGENT, &inner(NEARBY)),
            Expect::transmit(Counter::DeliveredDirect)
                .bytes(Frame::new(EGRESS, CLIENT).ipv4(&inner(NEARBY).forwarded()).bytes()),
        )
        .when(World::copies),
        case(
            "but from nowhere else",
            back(Ipv4Addr::new(10, 6, 0, 1), &inner(NEARBY)),
            Expect::drop(Counter::DroppedTunnelSource),
        )
        .when(World::copies),
        case(
            "a client that is served directly has no tunnel to come back through",
            back(CARE_OF, &Ipv4::udp((NEARBY, 9), (CORRESPONDENT, 9), 4)),
            Expect::drop(Counter::DroppedTunnelSource),
        ),
        case(
            "a client at home has none either",
            back(FAR_AGENT, &Ipv4::udp((AT_HOME, 9), (CORRESPONDENT, 9), 4)),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "an inner source that is no home address is dropped",
            back(FAR_AGENT, &Ipv4::udp((CORRESPONDENT, 9), (AT_HOME, 9), 4)),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "without a home device the raw socket gets it",
            back(FAR_AGENT, &inner(CORRESPONDENT)),
            Expect::pass(Counter::SlowUnresolved),
        )
        .when(|world| world.router.home_tun = 0),
    ];
    for (description, inner, reason) in [
        ("without a route the kernel receives the inner packet", inner(CORRESPONDENT), Counter::SlowUnresolved),
        ("the kernel receives an expiring packet for another away client", inner(ALSO_AWAY).ttl(1), Counter::SlowTtl),
        ("the kernel receives a packet for ourselves", inner(HOME_AGENT), Counter::SlowUnresolved),
    ] {
        let handed_over = Frame::new(HOST, ROUTER).ipv4(&inner).bytes();
        let case = case(description, back(FAR_AGENT, &inner), Expect::pass(reason));
        cases.push(case.tc(Expect::receive(Counter::SlowToTun).bytes(handed_over)));
    }
    cases
}
