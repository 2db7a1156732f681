//! Access point: what arrives by the wire, and what the agent gives back.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{Counter, REINJECT_MARK, Seen, hook, station_event, station_state};
use mipd_lab::packets::bench::Expect;
use mipd_lab::packets::frame::{Arp, Frame, Ipv4};

use crate::table::{case, check};
use crate::world::{
    AGENT, AWAY, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, GATEWAY, HOST, NEIGHBOUR, REGISTRATION_PORT, VISITOR,
    VISITORS_AGENT, World,
};

fn hold(world: &mut World) {
    world.station(station_state::HOLD);
}

fn reply(to: MacAddress) -> Frame {
    Frame::new(AGENT, to).ipv4(&registration_reply(434, REGISTRATION_PORT))
}

fn registration_reply(from: u16, to: u16) -> Ipv4 {
    Ipv4::udp((CARE_OF, from), (VISITOR, to), 42)
}

#[test]
fn registration_replies_go_to_the_agent_and_all_else_to_the_bridge() {
    let passed = || Expect::pass(Counter::PassedOther);
    check(
        "uplink_ingress",
        hook::INGRESS,
        vec![
            case("a reply for a station never reaches it", reply(CLIENT), Expect::redirect(Counter::Punted)).when(hold),
            case(
                "also with IP options",
                Frame::new(AGENT, CLIENT).ipv4(&registration_reply(434, REGISTRATION_PORT).options()),
                Expect::redirect(Counter::Punted),
            )
            .when(hold),
            case("without an agent it is dropped all the same", reply(CLIENT), Expect::drop(Counter::DroppedNoAgent))
                .when(|world| {
                    hold(world);
                    world.access_point.punt_ifindex = 0;
                }),
            case("a reply for somebody else is bridged", reply(HOST), passed()).when(hold),
            case(
                "a datagram to another port is the client's",
                Frame::new(AGENT, CLIENT).ipv4(&registration_reply(434, 5000)),
                passed(),
            )
            .when(hold),
            case(
                "a datagram from another port is the client's",
                Frame::new(AGENT, CLIENT).ipv4(&registration_reply(5000, REGISTRATION_PORT)),
                passed(),
            )
            .when(hold),
            case(
                "TCP with the same ports is the client's",
                Frame::new(AGENT, CLIENT).ipv4(&registration_reply(434, REGISTRATION_PORT).protocol(6)),
                passed(),
            )
            .when(hold),
            case(
                "a later fragment has no ports",
                Frame::new(AGENT, CLIENT).ipv4(&registration_reply(434, REGISTRATION_PORT).fragment(2, false)),
                passed(),
            )
            .when(hold),
            case("a short one is bridged", reply(CLIENT).cut(37), passed()).when(hold),
            case("a tagged one is bridged", reply(CLIENT).vlan(8), passed()).when(hold),
        ],
    );
}

#[test]
fn moves_and_announcements_are_reported() {
    let announce = |mac, address| Frame::new(mac, BROADCAST).arp(Arp::request((mac, address), address));
    let passed = || Expect::pass(Counter::PassedOther);
    let nowhere = Ipv4Addr::UNSPECIFIED;
    check(
        "uplink_ingress",
        hook::INGRESS,
        vec![
            case(
                "a visitor that speaks from the wire has moved",
                Frame::new(CLIENT, HOST).ipv4(&Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 4)),
                passed().event(station_event::MOVED, VISITOR),
            )
            .when(hold),
            case("a local station may speak from anywhere", Frame::new(CLIENT, HOST), passed())
                .when(|world| world.station(station_state::LOCAL)),
            case(
                "a home agent takes an address over",
                announce(GATEWAY, AWAY),
                passed().event(station_event::ANNOUNCED, AWAY),
            ),
            case(
                "an ordinary question is nobody's business",
                Frame::new(HOST, BROADCAST).arp(Arp::request((HOST, NEIGHBOUR), AWAY)),
                passed(),
            ),
            case("a probe announces nothing", announce(HOST, nowhere), passed()),
        ],
    );
}

#[test]
fn frames_of_the_agent_go_back_to_the_stations_radio() {
    let frame = || Frame::new(CLIENT, HOST).ipv4(&Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 4));
    check(
        "punt_ingress",
        hook::INGRESS,
        vec![
            case("a known station's", frame(), Expect::redirect(Counter::Reinjected).mark(REINJECT_MARK)).when(hold),
            case("one that was only seen", frame(), Expect::redirect(Counter::Reinjected).mark(REINJECT_MARK))
                .when(|world| world.seen.push((CLIENT, Seen { address: VISITOR.octets(), ifindex: 5, reported: 1 }))),
            case("nobody's", frame(), Expect::drop(Counter::DroppedNoVisitor)),
        ],
    );
}

#[test]
fn broadcasts_that_the_home_agent_wrapped_reach_the_visitor_unwrapped() {
    let broadcast = || Ipv4::udp((AWAY, 138), (Ipv4Addr::BROADCAST, 138), 42);
    let wrapped = |from, to| Frame::new(AGENT, CLIENT).ipv4(&Ipv4::tunnel(from, to, &broadcast()));
    let listen = |world: &mut World| {
        world.station(station_state::FORWARD);
        world.stations[0].1.broadcasts_from = VISITORS_AGENT.octets();
    };
    let passed = || Expect::pass(Counter::PassedOther);
    check(
        "uplink_ingress",
        hook::INGRESS,
        vec![
            case(
                "the wrapper is taken off, the frame stays the client's",
                wrapped(VISITORS_AGENT, VISITOR),
                Expect::pass(Counter::BroadcastUnwrapped).bytes(Frame::new(AGENT, CLIENT).ipv4(&broadcast()).bytes()),
            )
            .when(listen),
            case("a client that did not ask keeps the wrapper", wrapped(VISITORS_AGENT, VISITOR), passed())
                .when(|world| world.station(station_state::FORWARD)),
            case("somebody else's wrapper stays", wrapped(CORRESPONDENT, VISITOR), passed()).when(listen),
            case("a wrapper for another address stays", wrapped(VISITORS_AGENT, AWAY), passed()).when(listen),
            case(
                "a wrapper without a packet in it stays",
                Frame::new(AGENT, CLIENT).ipv4(&Ipv4::udp((VISITORS_AGENT, 1), (VISITOR, 1), 40).protocol(4)),
                passed(),
            )
            .when(listen),
            case("a wrapper that is cut short stays", wrapped(VISITORS_AGENT, VISITOR).cut(60), passed()).when(listen),
        ],
    );
}
