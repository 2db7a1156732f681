//! Home agent: ARP for away clients.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{Counter, interface_flags};
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::{Arp, Frame};

use crate::case::{Case, case};
use crate::world::{AT_HOME, AWAY, BROADCAST, CLIENT, EGRESS, HOST, NEARBY, ROUTER};

const ASKER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);

fn ask(asker: (MacAddress, Ipv4Addr), target: Ipv4Addr) -> Frame {
    Frame::new(asker.0, BROADCAST).arp(Arp::request(asker, target))
}

fn answered(asker: (MacAddress, Ipv4Addr), target: Ipv4Addr) -> Expect {
    Expect::transmit(Counter::ArpAnswered)
        .bytes(Frame::new(ROUTER, asker.0).arp(Arp::reply((ROUTER, target), asker)).bytes())
}

pub fn cases() -> Vec<Case> {
    let asker = (HOST, ASKER);
    let prober = (HOST, Ipv4Addr::UNSPECIFIED);
    let cases = vec![
        case("who has an away client? We", ask(asker, AWAY), answered(asker, AWAY)),
        case("a client behind this same router is away too", ask(asker, NEARBY), answered(asker, NEARBY)),
        case("a padded request is answered", ask(asker, AWAY).padded(60), {
            let mut bytes = answered(asker, AWAY).bytes.unwrap_or_default();
            bytes.resize(60, 0);
            Expect::transmit(Counter::ArpAnswered).bytes(bytes)
        }),
        case("somebody's probe for the address is answered: it is taken", ask(prober, AWAY), answered(prober, AWAY)),
        case(
            "a unicast request to us is answered",
            Frame::new(HOST, ROUTER).arp(Arp::request(asker, AWAY)),
            answered(asker, AWAY),
        ),
        case(
            "a unicast request to another is not",
            Frame::new(HOST, EGRESS).arp(Arp::request(asker, AWAY)),
            Expect::pass(Counter::PassedNotForUs),
        ),
        case("a client at home answers for itself", ask(asker, AT_HOME), Expect::pass(Counter::PassedOther)),
        case("an announcement is not answered", ask((HOST, AWAY), AWAY), Expect::pass(Counter::PassedOther)),
        case(
            "the returning client's probe is not contradicted",
            ask((CLIENT, Ipv4Addr::UNSPECIFIED), AWAY),
            Expect::pass(Counter::PassedOther),
        ),
        case(
            "nor if another box sends it for the client",
            Frame::new(HOST, BROADCAST).arp(Arp::request((CLIENT, Ipv4Addr::UNSPECIFIED), AWAY)),
            Expect::pass(Counter::PassedOther),
        ),
        case(
            "a reply is passed",
            Frame::new(HOST, ROUTER).arp(Arp::reply(asker, (ROUTER, AWAY))),
            Expect::pass(Counter::PassedOther),
        ),
        case("a short request is passed", ask(asker, AWAY).cut(41), Expect::pass(Counter::PassedOther)),
        case(
            "a request in another type's clothes is passed",
            ask(asker, AWAY).ether_type(0x8035),
            Expect::pass(Counter::PassedOther),
        ),
        case("off the home side nothing is answered", ask(asker, AWAY), Expect::pass(Counter::PassedOther))
            .when(|world| world.interface.flags &= !interface_flags::HOME),
    ];
    // The accelerated paths leave ARP alone.
    cases.into_iter().map(|case| case.xdp(Expect::pass(Counter::PassedOther))).collect()
}
