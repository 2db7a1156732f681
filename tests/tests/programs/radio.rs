//! Access point: what stations send.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{
    Counter, REINJECT_MARK, Seen, access_point_flags, interface_flags, station_event, station_flags, station_state,
    tunnel_flags,
};
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::{Arp, Frame};
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{AGENT, AWAY, BROADCAST, CLIENT, CORRESPONDENT, GATEWAY, HOST, NEIGHBOUR, VIRTUAL, VISITOR, World};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 3, 4);
const MULTICAST: MacAddress = MacAddress([0x01, 0x00, 0x5e, 0, 0, 0xfb]);
const SUBNETS_OWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 99);

fn hold(world: &mut World) {
    world.station(station_state::HOLD);
}

fn forward(world: &mut World) {
    world.station(station_state::FORWARD);
}

fn local(world: &mut World) {
    world.station(station_state::LOCAL);
}

fn awaited(world: &mut World) {
    local(world);
    if let Some((_, station)) = world.stations.last_mut() {
        station.flags |= station_flags::AWAITED;
    }
}

fn send(to: MacAddress, packet: &Ipv4) -> Frame {
    Frame::new(CLIENT, to).ipv4(packet)
}

fn datagram(source: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((source, 9), (CORRESPONDENT, 9), 12)
}

fn discover() -> Ipv4 {
    Ipv4::udp((NOBODY, 68), (Ipv4Addr::BROADCAST, 67), 240)
}

/// By which a client makes sure that its gateway is still there.
fn last_hop_echo(source: Ipv4Addr) -> Ipv4 {
    Ipv4::new(source, CORRESPONDENT).protocol(1).ttl(1).payload_bytes(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0])
}

/// Multicast DNS (RFC 6762).
fn to_group(source: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((source, 5353), (Ipv4Addr::new(224, 0, 0, 251), 5353), 12)
}

/// A client in the state RENEWING or REBINDING.
fn renewal(to: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((VISITOR, 68), (to, 67), 240)
}

fn given_back() -> SocketBuffer {
    SocketBuffer { mark: REINJECT_MARK, ..SocketBuffer::default() }
}

fn ask(to: MacAddress, sender: Ipv4Addr, target: Ipv4Addr) -> Frame {
    Frame::new(CLIENT, to).arp(Arp::request((CLIENT, sender), target))
}

fn answer(to: MacAddress) -> Frame {
    Frame::new(CLIENT, to).arp(Arp::reply((CLIENT, VISITOR), (to, NEIGHBOUR)))
}

fn answered(by: MacAddress, target: Ipv4Addr) -> Expect {
    let reply = Arp::reply((by, target), (CLIENT, VISITOR));
    Expect::transmit(Counter::ArpAnswered).bytes(Frame::new(by, CLIENT).arp(reply).bytes())
}

fn punted() -> Expect {
    Expect::transmit(Counter::Punted)
}

/// The same for visitors on hold and registered ones.
fn every_visitor() -> Vec<Case> {
    vec![
        case(
            "EAPOL is never touched",
            Frame::new(CLIENT, HOST).ether_type(0x888e),
            Expect::pass(Counter::PassedLinkLayer),
        ),
        case(
            "pre-authentication is never touched",
            Frame::new(CLIENT, HOST).ether_type(0x88c7),
            Expect::pass(Counter::PassedLinkLayer),
        ),
        case(
            "fast transition is never touched",
            Frame::new(CLIENT, HOST).ether_type(0x890d),
            Expect::pass(Counter::PassedLinkLayer),
        ),
        case("another Ethernet type is passed", Frame::new(CLIENT, HOST), Expect::pass(Counter::PassedOther)),
        case("IPv6 is bridged", Frame::new(CLIENT, HOST).ether_type(0x86dd), Expect::pass(Counter::PassedIpv6)),
        case(
            "another foreign source is dropped, and the agent hears of it",
            send(GATEWAY, &datagram(AWAY)),
            Expect::drop(Counter::DroppedSpoofed).event(station_event::VISITOR, AWAY),
        ),
        case(
            "once a second, whatever address it is",
            send(GATEWAY, &datagram(AWAY)),
            Expect::drop(Counter::DroppedSpoofed),
        )
        .when(|world| {
            world.seen.push((CLIENT, Seen { address: CORRESPONDENT.octets(), ifindex: 1, reported: now() }));
        }),
        case(
            "a source that no host has is dropped without a word",
            send(GATEWAY, &datagram(Ipv4Addr::LOCALHOST)),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "a source of this subnet is bridged, and the agent hears of it",
            send(GATEWAY, &datagram(SUBNETS_OWN)),
            Expect::pass(Counter::PassedLocal).event(station_event::LOCAL, SUBNETS_OWN),
        ),
        case("no source, no DHCP: dropped", send(GATEWAY, &datagram(NOBODY)), Expect::drop(Counter::DroppedSpoofed)),
        case("a DHCP client is the agent's", send(BROADCAST, &discover()), punted()),
        case("also one that renews its lease", send(HOST, &renewal(CORRESPONDENT)), punted()),
        case("also one that asks any server", send(BROADCAST, &renewal(Ipv4Addr::BROADCAST)), punted()),
        case(
            "a DHCP client that looks for a local address is bridged when the agent gives it back",
            send(BROADCAST, &discover()),
            Expect::pass(Counter::PassedLocal),
        )
        .buffer(given_back()),
        case(
            "a broadcast of a lease's owner does not get out even then",
            send(BROADCAST, &renewal(Ipv4Addr::BROADCAST)),
            Expect::drop(Counter::DroppedBroadcast),
        )
        .buffer(given_back()),
        case("a question to its gateway, one hop away, is the agent's", send(HOST, &last_hop_echo(VISITOR)), punted()),
        case("multicast DNS stays here", send(MULTICAST, &to_group(VISITOR)), Expect::drop(Counter::DroppedBroadcast)),
        case(
            "what it says by a link-local address stays here",
            send(HOST, &datagram(LINK_LOCAL)),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "multicast DNS from there, too",
            send(MULTICAST, &to_group(LINK_LOCAL)),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case("a probe for a link-local address", ask(BROADCAST, NOBODY, LINK_LOCAL), Expect::drop(Counter::DroppedArp)),
        case(
            "a question in its name",
            ask(BROADCAST, LINK_LOCAL, CORRESPONDENT),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case("an announcement in reply form", answer(BROADCAST), Expect::drop(Counter::DroppedArp)),
        case("a broadcast is dropped", send(BROADCAST, &datagram(VISITOR)), Expect::drop(Counter::DroppedBroadcast)),
        case("a VLAN tag is passed", send(GATEWAY, &datagram(VISITOR)).vlan(3), Expect::pass(Counter::PassedOther)),
        case(
            "everybody asked for is at the virtual MAC",
            ask(BROADCAST, VISITOR, CORRESPONDENT),
            answered(VIRTUAL, CORRESPONDENT),
        ),
        case("even a host of this subnet", ask(BROADCAST, VISITOR, NEIGHBOUR), answered(VIRTUAL, NEIGHBOUR)),
        case(
            "who is asked by unicast is where it was",
            ask(HOST, VISITOR, CORRESPONDENT),
            answered(HOST, CORRESPONDENT),
        ),
        case("an announcement stays here", ask(BROADCAST, VISITOR, VISITOR), Expect::drop(Counter::DroppedArp)),
        case(
            "a probe for its own address stays unanswered",
            ask(BROADCAST, NOBODY, VISITOR),
            Expect::drop(Counter::DroppedArp),
        ),
        case(
            "a probe for an address of this subnet is bridged",
            ask(BROADCAST, NOBODY, SUBNETS_OWN),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a question in another's name stays here",
            ask(BROADCAST, AWAY, CORRESPONDENT),
            Expect::drop(Counter::DroppedSpoofed).event(station_event::VISITOR, AWAY),
        ),
        case(
            "a question in the name of a local address is bridged",
            ask(BROADCAST, SUBNETS_OWN, NEIGHBOUR),
            Expect::pass(Counter::PassedLocal).event(station_event::LOCAL, SUBNETS_OWN),
        ),
        case("an ARP reply to the foreign agent is bridged", answer(AGENT), Expect::pass(Counter::PassedLocal)),
        case("an ARP reply to a host is dropped", answer(HOST), Expect::drop(Counter::DroppedArp)),
        case(
            "an ARP reply to us says that it is here",
            answer(VIRTUAL),
            Expect::drop(Counter::DroppedArp).event(station_event::ATTACHED, VISITOR),
        ),
        case("short ARP is dropped", ask(BROADCAST, VISITOR, CORRESPONDENT).cut(40), Expect::drop(Counter::DroppedArp)),
    ]
}

pub fn on_hold() -> Vec<Case> {
    let mut cases: Vec<_> = every_visitor().into_iter().map(|case| case.when(hold)).collect();
    cases.push(case("its packets are the agent's to hold", send(HOST, &datagram(VISITOR)), punted()).when(hold));
    cases.push(
        case("without an agent they are lost", send(HOST, &datagram(VISITOR)), Expect::drop(Counter::DroppedNoAgent))
            .when(|world| {
                hold(world);
                world.access_point.punt_ifindex = 0;
            }),
    );
    cases
}

fn forwarded() -> Expect {
    Expect::transmit(Counter::StationForwarded).bytes(send(AGENT, &datagram(VISITOR)).bytes())
}

pub fn registered() -> Vec<Case> {
    let mut cases: Vec<_> = every_visitor().into_iter().map(|case| case.when(forward)).collect();
    cases.extend([
        case("its packets go to the foreign agent", send(HOST, &datagram(VISITOR)), forwarded()).when(forward),
        case("also those that it sends to the virtual MAC", send(VIRTUAL, &datagram(VISITOR)), forwarded())
            .when(forward),
        case("a released packet goes to the foreign agent", send(HOST, &datagram(VISITOR)), forwarded())
            .when(forward)
            .buffer(given_back()),
        case(
            "a DHCP message that the agent gives back does, too",
            send(HOST, &renewal(CORRESPONDENT)),
            Expect::transmit(Counter::StationForwarded).bytes(send(AGENT, &renewal(CORRESPONDENT)).bytes()),
        )
        .when(forward)
        .buffer(given_back()),
        case(
            "an echo request that the agent gives back does, too",
            send(HOST, &last_hop_echo(VISITOR)),
            Expect::transmit(Counter::StationForwarded).bytes(send(AGENT, &last_hop_echo(VISITOR)).bytes()),
        )
        .when(forward)
        .buffer(given_back()),
        case(
            "one that may travel on goes to the foreign agent at once",
            send(HOST, &last_hop_echo(VISITOR).ttl(2)),
            Expect::transmit(Counter::StationForwarded).bytes(send(AGENT, &last_hop_echo(VISITOR).ttl(2)).bytes()),
        )
        .when(forward),
        case(
            "a later fragment is no DHCP message, whatever it holds",
            send(HOST, &renewal(CORRESPONDENT).fragment(2, false)),
            Expect::transmit(Counter::StationForwarded)
                .bytes(send(AGENT, &renewal(CORRESPONDENT).fragment(2, false)).bytes()),
        )
        .when(forward),
        case(
            "after a silence the agent hears of it",
            send(HOST, &datagram(VISITOR)),
            forwarded().event(station_event::RETURNED, VISITOR),
        )
        .when(|world| {
            forward(world);
            world.stations[0].1.last_seen = 0;
        }),
        case(
            "IPv6 is dropped if configured so",
            Frame::new(CLIENT, HOST).ether_type(0x86dd),
            Expect::drop(Counter::DroppedIpv6),
        )
        .when(|world| {
            forward(world);
            world.access_point.flags = access_point_flags::DROP_VISITOR_IPV6;
        }),
    ]);
    cases
}

pub fn local_stations() -> Vec<Case> {
    vec![
        case("IPv4 is bridged", send(HOST, &datagram(SUBNETS_OWN)), Expect::pass(Counter::PassedLocal)).when(local),
        case("broadcasts are bridged", send(BROADCAST, &discover()), Expect::pass(Counter::PassedLocal)).when(local),
        case("ARP is bridged", ask(BROADCAST, SUBNETS_OWN, NEIGHBOUR), Expect::pass(Counter::PassedLocal)).when(local),
        case(
            "the virtual MAC of an old ARP cache is the gateway",
            send(VIRTUAL, &datagram(SUBNETS_OWN)),
            Expect::pass(Counter::GatewayRewritten).bytes(send(GATEWAY, &datagram(SUBNETS_OWN)).bytes()),
        )
        .when(local),
        case("as long as there is one", send(VIRTUAL, &datagram(SUBNETS_OWN)), Expect::pass(Counter::PassedLocal))
            .when(|world| {
                local(world);
                world.access_point.gateway_mac = [0; 6];
            }),
        case(
            "one that is awaited is bridged and reported",
            send(HOST, &datagram(SUBNETS_OWN)),
            Expect::pass(Counter::PassedLocal).event(station_event::LOCAL, SUBNETS_OWN),
        )
        .when(awaited),
        case(
            "one that is awaited and turns out to be a visitor is reported and held",
            send(HOST, &datagram(VISITOR)),
            punted().event(station_event::VISITOR, VISITOR),
        )
        .when(awaited),
        case(
            "what the agent gives back of one that is awaited is bridged",
            send(BROADCAST, &discover()),
            Expect::pass(Counter::PassedLocal),
        )
        .when(awaited)
        .buffer(given_back()),
    ]
}

pub fn newcomers() -> Vec<Case> {
    let visitor = || punted().event(station_event::VISITOR, VISITOR);
    vec![
        case("a foreign source is reported and held", send(HOST, &datagram(VISITOR)), visitor()),
        case("a foreign ARP sender too", ask(BROADCAST, VISITOR, NEIGHBOUR), visitor()),
        case(
            "a foreign broadcast is reported and dropped",
            send(BROADCAST, &datagram(VISITOR)),
            Expect::drop(Counter::DroppedBroadcast).event(station_event::VISITOR, VISITOR),
        ),
        case("within a second it is not reported again", send(HOST, &datagram(VISITOR)), punted()).when(|world| {
            world.seen.push((CLIENT, Seen { address: VISITOR.octets(), ifindex: 1, reported: now() }));
        }),
        case("after a second it is", send(HOST, &datagram(VISITOR)), visitor()).when(|world| {
            world.seen.push((CLIENT, Seen { address: VISITOR.octets(), ifindex: 1, reported: now() - 1_100_000_000 }));
        }),
        case("with another address it is", send(HOST, &datagram(VISITOR)), visitor()).when(|world| {
            world.seen.push((CLIENT, Seen { address: AWAY.octets(), ifindex: 1, reported: now() }));
        }),
        case("on another radio it is", send(HOST, &datagram(VISITOR)), visitor()).when(|world| {
            world.seen.push((CLIENT, Seen { address: VISITOR.octets(), ifindex: 5, reported: now() }));
        }),
        case(
            "a local source is reported and bridged",
            send(HOST, &datagram(SUBNETS_OWN)),
            Expect::pass(Counter::PassedLocal).event(station_event::LOCAL, SUBNETS_OWN),
        ),
        case("once", send(HOST, &datagram(SUBNETS_OWN)), Expect::pass(Counter::PassedLocal)).when(|world| {
            world.seen.push((CLIENT, Seen { address: SUBNETS_OWN.octets(), ifindex: 1, reported: 0 }));
        }),
        case(
            "a local station with an old ARP cache reaches its gateway",
            send(VIRTUAL, &datagram(SUBNETS_OWN)),
            Expect::pass(Counter::GatewayRewritten)
                .bytes(send(GATEWAY, &datagram(SUBNETS_OWN)).bytes())
                .event(station_event::LOCAL, SUBNETS_OWN),
        ),
        case(
            "a local ARP sender is reported and bridged",
            ask(BROADCAST, SUBNETS_OWN, NEIGHBOUR),
            Expect::pass(Counter::PassedLocal).event(station_event::LOCAL, SUBNETS_OWN),
        ),
        case("a DHCP client is the agent's", send(BROADCAST, &discover()), punted()),
        case("no source, no DHCP: bridged", send(HOST, &datagram(NOBODY)), Expect::pass(Counter::PassedLocal)),
        case(
            "a link-local source is nobody's visitor",
            send(HOST, &datagram(Ipv4Addr::new(169, 254, 3, 4))),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a loopback source is nobody's visitor",
            send(HOST, &datagram(Ipv4Addr::LOCALHOST)),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a probe for an address of this subnet is bridged",
            ask(BROADCAST, NOBODY, SUBNETS_OWN),
            Expect::pass(Counter::PassedLocal),
        ),
        case("a probe for a foreign address is the agent's", ask(BROADCAST, NOBODY, VISITOR), punted()),
        case(
            "EAPOL is never touched",
            Frame::new(CLIENT, HOST).ether_type(0x888e),
            Expect::pass(Counter::PassedLinkLayer),
        ),
        case("IPv6 is bridged", Frame::new(CLIENT, HOST).ether_type(0x86dd), Expect::pass(Counter::PassedOther)),
        case(
            "a frame that the agent gives back is bridged",
            send(HOST, &datagram(VISITOR)),
            Expect::pass(Counter::PassedLocal),
        )
        .buffer(given_back()),
    ]
}

/// Nanoseconds of `CLOCK_MONOTONIC`, as the programs count.
fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure it is given.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

pub fn accelerated() -> Vec<Case> {
    vec![
        case("its packets go to the foreign agent", send(HOST, &datagram(VISITOR)), forwarded()).when(forward),
        case("a spoofed source is left to TC", send(HOST, &datagram(AWAY)), Expect::pass(Counter::PassedLocal))
            .when(forward),
        case(
            "a question to its gateway is left to TC",
            send(HOST, &last_hop_echo(VISITOR)),
            Expect::pass(Counter::PassedLocal),
        )
        .when(forward),
        case("a DHCP client is left to TC", send(HOST, &renewal(CORRESPONDENT)), Expect::pass(Counter::PassedLocal))
            .when(forward),
        case("a broadcast is left to TC", send(BROADCAST, &datagram(VISITOR)), Expect::pass(Counter::PassedOther))
            .when(forward),
        case("ARP is left to TC", ask(BROADCAST, VISITOR, NEIGHBOUR), Expect::pass(Counter::PassedOther)).when(forward),
        case("a visitor on hold is left to TC", send(HOST, &datagram(VISITOR)), Expect::pass(Counter::PassedLocal))
            .when(hold),
        case("an unknown station is left to TC", send(HOST, &datagram(VISITOR)), Expect::pass(Counter::PassedLocal)),
        case("EAPOL is left alone", Frame::new(CLIENT, HOST).ether_type(0x888e), Expect::pass(Counter::PassedOther))
            .when(forward),
        case("a short frame is left alone", send(HOST, &datagram(VISITOR)).cut(33), Expect::pass(Counter::PassedOther))
            .when(forward),
        case("fast path off leaves it to TC", send(HOST, &datagram(VISITOR)), Expect::pass(Counter::SlowFastPathOff))
            .when(|world| {
                forward(world);
                world.interface.flags &= !interface_flags::FAST;
            }),
        case(
            "an uplink that XDP cannot reach is left to TC",
            send(HOST, &datagram(VISITOR)),
            Expect::pass(Counter::SlowNotXdpTarget),
        )
        .when(|world| {
            forward(world);
            world.stations[0].1.flags &= !tunnel_flags::XDP_TARGET;
        }),
    ]
}
