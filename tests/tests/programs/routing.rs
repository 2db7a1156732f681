//! Plain routing out of the programs: `bpf_fib_lookup` finds a route and a neighbour.

use mipd_common::maps::{Counter, interface_flags};
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{AWAY, CLIENT, EGRESS, FAR_AGENT, HOME_AGENT, HOST, NEXT_HOP, ROUTED, ROUTER, VISITOR};

fn sent(packet: &Ipv4) -> Vec<u8> {
    Frame::new(EGRESS, NEXT_HOP).ipv4(&packet.clone().forwarded()).bytes()
}

pub fn cases() -> Vec<Case> {
    let from_visitor = Ipv4::udp((VISITOR, 9), (ROUTED, 9), 30);
    let up = |packet: &Ipv4| Frame::new(CLIENT, ROUTER).ipv4(packet);
    let forwarded = || Expect::transmit(Counter::VisitorForwarded).bytes(sent(&from_visitor));
    let from_away = Ipv4::udp((AWAY, 9), (ROUTED, 9), 30);
    let back = Frame::new(HOST, ROUTER).ipv4(&Ipv4::tunnel(FAR_AGENT, HOME_AGENT, &from_away));
    let decapsulated = || Expect::transmit(Counter::ReverseDecapsulated).bytes(sent(&from_away));
    vec![
        case("a visitor's packet goes to the next hop", up(&from_visitor), forwarded()),
        case(
            "one larger than the outgoing link is left to the kernel",
            up(&from_visitor.clone().payload(1481)),
            Expect::pass(Counter::SlowTooBig),
        ),
        case(
            "XDP leaves it to TC where it cannot transmit",
            up(&from_visitor),
            Expect::pass(Counter::SlowNotXdpTarget),
        )
        .tc(forwarded())
        .when(|world| world.egress.flags &= !interface_flags::XDP_TARGET),
        case("a reverse-tunnelled packet goes to the next hop", back.clone(), decapsulated()),
        case("XDP leaves that to TC too", back, Expect::pass(Counter::SlowNotXdpTarget))
            .tc(decapsulated())
            .when(|world| world.egress.flags &= !interface_flags::XDP_TARGET),
    ]
}
