//! Minimal forwarding headers (RFC 2004 §3.1) that are not as usual, at the foreign agent.

use mipd_common::maps::Counter;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::tunnel::Minimal;

use crate::case::{Case, case};
use crate::world::{CARE_OF, CLIENT, CORRESPONDENT, EGRESS, HOST, ROUTER, VISITOR, VISITORS_AGENT, World};

fn arriving(header: &Minimal, inner: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(&header.tunnel(VISITORS_AGENT, CARE_OF, inner))
}

fn delivered(inner: &Ipv4) -> Expect {
    Expect::transmit(Counter::DeliveredVisitor)
        .bytes(Frame::new(EGRESS, CLIENT).ipv4(&inner.clone().forwarded()).bytes())
}

fn by_minimal(world: &mut World) {
    world.wrap_visitor(Encapsulation::MINIMAL);
}

pub fn cases() -> Vec<Case> {
    let inner = Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32);
    let agents_own = Ipv4::udp((VISITORS_AGENT, 9), (VISITOR, 9), 32);
    vec![
        case("the original source is inside", arriving(&Minimal::new(), &inner), delivered(&inner)),
        case(
            "without it, the tunnel's entry is the source",
            arriving(&Minimal::new().without_source(), &agents_own),
            delivered(&agents_own),
        ),
        case("reserved bits are ignored", arriving(&Minimal::new().reserved(0x7f), &inner), delivered(&inner)),
        case(
            "a wrong checksum is dropped",
            arriving(&Minimal::new().wrong_checksum(), &inner),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an expiring packet is the kernel's",
            arriving(&Minimal::new(), &inner.clone().ttl(1)),
            Expect::pass(Counter::SlowTtl),
        )
        .tc(Expect::receive(Counter::SlowToTun).bytes(Frame::new(HOST, ROUTER).ipv4(&inner.clone().ttl(1)).bytes())),
    ]
    .into_iter()
    .map(|case| case.when(by_minimal))
    .collect()
}
