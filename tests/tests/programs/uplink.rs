//! Access point: what arrives by the wire, and what the agent gives back.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{Counter, REINJECT_MARK, Seen, station_event, station_state};
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::{Arp, Frame};
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
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

pub fn replies() -> Vec<Case> {
    let passed = || Expect::pass(Counter::PassedOther);
    vec![
        case("a reply for a station never reaches it", reply(CLIENT), Expect::transmit(Counter::Punted)).when(hold),
        case(
            "also with IP options",
            Frame::new(AGENT, CLIENT).ipv4(&registration_reply(434, REGISTRATION_PORT).options()),
            Expect::transmit(Counter::Punted),
        )
        .when(hold),
        case("without an agent it is dropped all the same", reply(CLIENT), Expect::drop(Counter::DroppedNoAgent)).when(
            |world| {
                hold(world);
                world.access_point.punt_ifindex = 0;
            },
        ),
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
    ]
}

/// A DHCP message to a relay agent on this box, about a client.
fn relayed(operation: u8, client: MacAddress) -> Ipv4 {
    let mut message = vec![0; 240];
    message[0] = operation;
    message[28..34].copy_from_slice(&client.0);
    Ipv4::udp_with((CORRESPONDENT, 67), (NEIGHBOUR, 67), &message)
}

pub fn dhcp_answers() -> Vec<Case> {
    let to_us = |packet: &Ipv4| Frame::new(GATEWAY, HOST).ipv4(packet);
    let passed = || Expect::pass(Counter::PassedOther);
    let punted = || Expect::transmit(Counter::Punted);
    vec![
        case("an answer about a visitor is the agent's", to_us(&relayed(2, CLIENT)), punted()).when(hold),
        case("a request is the kernel's", to_us(&relayed(1, CLIENT)), passed()).when(hold),
        case("an answer about somebody else is, too", to_us(&relayed(2, HOST)), passed()).when(hold),
        case("also one about a local station", to_us(&relayed(2, CLIENT)), passed())
            .when(|world| world.station(station_state::LOCAL)),
        case("a message to another port is none", to_us(&Ipv4::udp((CORRESPONDENT, 67), (VISITOR, 68), 240)), passed())
            .when(hold),
        case("a fragment is none", to_us(&relayed(2, CLIENT).fragment(2, false)), passed()).when(hold),
        case("a message that ends before its client's address is none", to_us(&relayed(2, CLIENT)).cut(75), passed())
            .when(hold),
    ]
}

pub fn sightings() -> Vec<Case> {
    let announce = |mac, address| Frame::new(mac, BROADCAST).arp(Arp::request((mac, address), address));
    let passed = || Expect::pass(Counter::PassedOther);
    let nowhere = Ipv4Addr::UNSPECIFIED;
    vec![
        case(
            "a visitor that speaks from the wire has moved",
            Frame::new(CLIENT, HOST).ipv4(&Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 4)),
            passed().event(station_event::MOVED, VISITOR),
        )
        .when(hold),
        case(
            "so has a client at home that speaks from behind another access point",
            Frame::new(CLIENT, BROADCAST).arp(Arp::request((CLIENT, VISITOR), VISITOR)),
            passed().event(station_event::MOVED, nowhere),
        )
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
    ]
}

pub fn reinjected() -> Vec<Case> {
    let frame = || Frame::new(CLIENT, HOST).ipv4(&Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 4));
    vec![
        case("a known station's", frame(), Expect::receive(Counter::Reinjected).mark(REINJECT_MARK)).when(hold),
        case("one that was only seen", frame(), Expect::receive(Counter::Reinjected).mark(REINJECT_MARK))
            .when(|world| world.seen.push((CLIENT, Seen { address: VISITOR.octets(), ifindex: 5, reported: 1 }))),
        case("nobody's", frame(), Expect::drop(Counter::DroppedNoVisitor)),
    ]
}

pub fn broadcasts() -> Vec<Case> {
    let broadcast = || Ipv4::udp((AWAY, 138), (Ipv4Addr::BROADCAST, 138), 42);
    let wrapped = |from, to| Frame::new(AGENT, CLIENT).ipv4(&Ipv4::tunnel(from, to, &broadcast()));
    let listen = |world: &mut World| {
        world.station(station_state::FORWARD);
        world.stations[0].1.broadcasts_from = VISITORS_AGENT.octets();
    };
    let passed = || Expect::pass(Counter::PassedOther);
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
        case(
            "a wrapper that cannot be taken off is dropped",
            wrapped(VISITORS_AGENT, VISITOR),
            Expect::drop(Counter::DroppedError),
        )
        .buffer(SocketBuffer { gso_size: 40, ..SocketBuffer::default() })
        .when(listen),
        case("a wrapper that is cut short stays", wrapped(VISITORS_AGENT, VISITOR).cut(60), passed()).when(listen),
    ]
}
