//! Routers: what must not leave.

use std::net::Ipv4Addr;

use mipd_common::maps::Counter;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{CARE_OF, CORRESPONDENT, EGRESS, NEXT_HOP, VISITOR, VISITORS_AGENT};

fn unreachable(code: u8, quoted: &Ipv4) -> Frame {
    Frame::new(EGRESS, NEXT_HOP).ipv4(&Ipv4::icmp(CARE_OF, VISITORS_AGENT, 3, code, &quoted.bytes()[..28]))
}

/// Quotes so much.
fn quoting(code: u8, quoted: &Ipv4, length: usize) -> Frame {
    Frame::new(EGRESS, NEXT_HOP).ipv4(&Ipv4::icmp(CARE_OF, VISITORS_AGENT, 3, code, &quoted.bytes()[..length]))
}

pub fn cases() -> Vec<Case> {
    let inner = Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 8);
    let tunnel = |destination: Ipv4Addr| Ipv4::tunnel(VISITORS_AGENT, destination, &inner);
    let passed = || Expect::pass(Counter::PassedOther);
    let mut cases = vec![
        case(
            "protocol unreachable about our tunnel",
            unreachable(2, &tunnel(CARE_OF)),
            Expect::drop(Counter::DroppedIcmp),
        ),
        case("port unreachable about our tunnel", unreachable(3, &tunnel(CARE_OF)), Expect::drop(Counter::DroppedIcmp)),
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
        case(
            "port unreachable about a registration",
            quoting(3, &Ipv4::udp_with((VISITORS_AGENT, 434), (CARE_OF, 434), &[3; 40]), 48),
            passed(),
        ),
        case(
            "port unreachable about a datagram of type 4 elsewhere",
            quoting(3, &Ipv4::udp_with((VISITORS_AGENT, 434), (CARE_OF, 435), &[4; 40]), 48),
            passed(),
        ),
        case(
            "port unreachable that quotes too little to tell",
            quoting(3, &Ipv4::udp_with((VISITORS_AGENT, 434), (CARE_OF, 434), &[4; 40]), 28),
            passed(),
        ),
    ];
    for &encapsulation in Encapsulation::ALL {
        let outer = encapsulation.reversed().arriving(VISITORS_AGENT, CARE_OF, &inner);
        for code in [2, 3] {
            let what = format!("code {code} about {}", encapsulation.name());
            cases.push(case(what, quoting(code, &outer, 48), Expect::drop(Counter::DroppedIcmp)));
        }
        let what = format!("host unreachable about {}", encapsulation.name());
        cases.push(case(what, quoting(1, &outer, 48), passed()));
    }
    cases
}
