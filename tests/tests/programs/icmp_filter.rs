//! Routers: what must not leave.

use std::net::Ipv4Addr;

use mipd_common::maps::{Counter, hook};
use mipd_lab::packets::bench::Expect;
use mipd_lab::packets::frame::{Frame, Ipv4};

use crate::table::{case, check};
use crate::world::{CARE_OF, CORRESPONDENT, EGRESS, NEXT_HOP, VISITOR, VISITORS_AGENT};

fn unreachable(code: u8, quoted: &Ipv4) -> Frame {
    Frame::new(EGRESS, NEXT_HOP).ipv4(&Ipv4::icmp(CARE_OF, VISITORS_AGENT, 3, code, &quoted.bytes()[..28]))
}

#[test]
fn unreachables_about_our_tunnels_stay_here() {
    let inner = Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 8);
    let tunnel = |destination: Ipv4Addr| Ipv4::tunnel(VISITORS_AGENT, destination, &inner);
    let passed = || Expect::pass(Counter::PassedOther);
    check(
        "router_egress",
        hook::EGRESS,
        vec![
            case(
                "protocol unreachable about our tunnel",
                unreachable(2, &tunnel(CARE_OF)),
                Expect::drop(Counter::DroppedIcmp),
            ),
            case(
                "port unreachable about our tunnel",
                unreachable(3, &tunnel(CARE_OF)),
                Expect::drop(Counter::DroppedIcmp),
            ),
            case("fragmentation needed about our tunnel", unreachable(4, &tunnel(CARE_OF)), passed()),
            case(
                "port unreachable about a datagram",
                unreachable(3, &Ipv4::udp((VISITORS_AGENT, 9), (CARE_OF, 9), 8)),
                passed(),
            ),
            case("protocol unreachable about somebody else's tunnel", unreachable(2, &tunnel(CORRESPONDENT)), passed()),
            case("a tunnel packet", Frame::new(EGRESS, NEXT_HOP).ipv4(&tunnel(VISITORS_AGENT)), passed()),
            case("a short message", unreachable(2, &tunnel(CARE_OF)).cut(61), passed()),
            case("no IPv4", unreachable(2, &tunnel(CARE_OF)).ether_type(0x86dd), passed()),
        ],
    );
}
