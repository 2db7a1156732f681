//! Visitors and those who might be taken for them: the second one with an address, claims in ARP, sources of others.

use mipd_common::maps::{Counter, interface_flags, station_event, station_state, tunnel_flags};
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::{Arp, Frame};
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    AGENT, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, HOST, NEIGHBOUR, REVERSE_TUNNEL, ROUTER, VISITOR,
    VISITORS_AGENT, World,
};

fn inner() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)
}

fn down(inner: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(&Ipv4::tunnel(VISITORS_AGENT, CARE_OF, inner))
}

fn not_in_kernel(world: &mut World) {
    world.visitors[0].2.flags |= tunnel_flags::NOT_IN_KERNEL;
}

/// Description, packet, world, counter.
type Odd = (&'static str, Ipv4, fn(&mut World), Counter);

/// Packets that the kernel would have to deal with, if it knew the visitor, and why XDP leaves them to TC.
fn odd() -> Vec<Odd> {
    vec![
        ("inner options", inner().options(), not_in_kernel, Counter::SlowOptions),
        (
            "the fast path switched off",
            inner(),
            |world| {
                not_in_kernel(world);
                world.interface.flags &= !interface_flags::FAST;
            },
            Counter::SlowFastPathOff,
        ),
        (
            "an interface that XDP cannot reach",
            inner(),
            |world| {
                not_in_kernel(world);
                world.visitors[0].2.flags &= !tunnel_flags::XDP_TARGET;
            },
            Counter::SlowNotXdpTarget,
        ),
    ]
}

fn to_the_visitor(inner: &Ipv4) -> Expect {
    Expect::transmit(Counter::DeliveredVisitor)
        .bytes(Frame::new(EGRESS, CLIENT).ipv4(&inner.clone().forwarded()).bytes())
}

pub fn unknown_to_the_kernel() -> Vec<Case> {
    let mut cases = vec![
        case("a plain packet", down(&inner()), to_the_visitor(&inner())).when(not_in_kernel),
        case("an inner fragment", down(&inner().fragment(3, true)), to_the_visitor(&inner().fragment(3, true)))
            .when(not_in_kernel),
        case("an expiring TTL is dropped", down(&inner().ttl(1)), Expect::pass(Counter::SlowTtl))
            .tc(Expect::drop(Counter::DroppedTtl))
            .when(not_in_kernel),
        case("too big for the link: the agent's", down(&inner()), Expect::pass(Counter::SlowTooBig)).when(|world| {
            not_in_kernel(world);
            world.access.mtu = 59;
        }),
    ];
    for (description, inner, world, counter) in odd() {
        let left = case(description, down(&inner), Expect::pass(counter)).when(world);
        cases.push(left.tc(to_the_visitor(&inner)));
    }
    cases
}

/// The visitor is told by the foreign agent, with 48 bytes of the packet.
fn told(kind: u8, code: u8, rest: [u8; 4], about: &Ipv4, counter: Counter) -> Expect {
    let mut quoted = about.bytes();
    quoted.resize(48, 0);
    let error = Ipv4::icmp_about(CARE_OF, VISITOR, (kind, code), rest, &quoted).tos(0xc0).may_fragment();
    Expect::transmit(counter).bytes(Frame::new(ROUTER, CLIENT).ipv4(&error).bytes())
}

/// Description, packet, counter of XDP, outcome at TC.
type Refused = (&'static str, Ipv4, Counter, Expect);

/// Packets that cannot go into the reverse tunnel, why XDP leaves them to TC, and what TC does.
fn refused() -> Vec<Refused> {
    let packet = || Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 16);
    let ping = |kind| Ipv4::icmp(VISITOR, CORRESPONDENT, kind, 0, &[7; 56]).ttl(1);
    let large = packet().payload(1461);
    let expired = |about: &Ipv4| told(11, 0, [0; 4], about, Counter::AnsweredTtl);
    let silent = || Expect::drop(Counter::DroppedTtl);
    vec![
        (
            "a packet too large that must not be fragmented",
            large.clone(),
            Counter::SlowTooBig,
            told(3, 4, [0, 0, 0x05, 0xc8], &large, Counter::AnsweredTooBig),
        ),
        ("the same, expiring", large.clone().ttl(1), Counter::SlowTtl, expired(&large.ttl(1))),
        ("an expiring TTL", packet().ttl(1), Counter::SlowTtl, expired(&packet().ttl(1))),
        (
            "an expiring first fragment",
            packet().ttl(1).fragment(0, true),
            Counter::SlowTtl,
            expired(&packet().ttl(1).fragment(0, true)),
        ),
        ("an expiring later fragment", packet().ttl(1).fragment(3, true), Counter::SlowTtl, silent()),
        ("an expiring echo request", ping(8), Counter::SlowTtl, expired(&ping(8))),
        ("an expiring ICMP error", ping(3), Counter::SlowTtl, silent()),
    ]
}

pub fn told_to_visitors() -> Vec<Case> {
    let up = |packet: &Ipv4| Frame::new(CLIENT, ROUTER).ipv4(packet);
    let cases = refused().into_iter().map(|(what, packet, why, told)| {
        case(what, up(&packet), Expect::pass(why)).tc(told).when(|world| world.visitor_sources[0].2 = REVERSE_TUNNEL)
    });
    cases.collect()
}

pub fn claims() -> Vec<Case> {
    let frame = |arp| Frame::new(CLIENT, ROUTER).arp(arp);
    let spoofed = || Expect::drop(Counter::DroppedSpoofed);
    let passed = || Expect::pass(Counter::PassedOther);
    vec![
        case(
            "an answer with somebody else's address",
            frame(Arp::reply((CLIENT, CORRESPONDENT), (ROUTER, CARE_OF))),
            spoofed(),
        ),
        case("a question in somebody else's name", frame(Arp::request((CLIENT, CORRESPONDENT), CARE_OF)), spoofed()),
        case(
            "an announcement of our own address",
            Frame::new(CLIENT, BROADCAST).arp(Arp::request((CLIENT, CARE_OF), CARE_OF)),
            spoofed(),
        ),
        case("its own address at another's MAC", frame(Arp::reply((HOST, VISITOR), (ROUTER, CARE_OF))), spoofed()),
        case("an answer about itself", frame(Arp::reply((CLIENT, VISITOR), (ROUTER, CARE_OF))), passed()),
        case("an address of the visited subnet", frame(Arp::request((CLIENT, NEIGHBOUR), CARE_OF)), passed()),
        case("somebody else's", Frame::new(HOST, ROUTER).arp(Arp::request((HOST, CORRESPONDENT), CARE_OF)), passed()),
        case("no whole packet", frame(Arp::request((CLIENT, CORRESPONDENT), CARE_OF)).cut(40), passed()),
    ]
    .into_iter()
    .map(|case| case.xdp(Expect::pass(Counter::PassedOther)))
    .chain([case(
        "a datagram from our own address",
        Frame::new(CLIENT, ROUTER).ipv4(&Ipv4::udp((CARE_OF, 9), (CORRESPONDENT, 9), 4)),
        Expect::drop(Counter::DroppedSpoofed),
    )])
    .collect()
}

pub fn claims_by_radio() -> Vec<Case> {
    let spoofed = || Expect::drop(Counter::DroppedSpoofed);
    // The agent hears of it: the visitor may have this address by now.
    let told = || spoofed().event(station_event::VISITOR, CORRESPONDENT);
    vec![
        case(
            "an answer with somebody else's address",
            Frame::new(CLIENT, AGENT).arp(Arp::reply((CLIENT, CORRESPONDENT), (AGENT, CARE_OF))),
            told(),
        ),
        case(
            "its own address at another's MAC",
            Frame::new(CLIENT, AGENT).arp(Arp::reply((HOST, VISITOR), (AGENT, CARE_OF))),
            spoofed(),
        ),
        case(
            "a question in somebody else's name",
            Frame::new(CLIENT, BROADCAST).arp(Arp::request((CLIENT, CORRESPONDENT), CARE_OF)),
            told(),
        ),
    ]
    .into_iter()
    .map(|case| case.when(|world| world.station(station_state::FORWARD)))
    .collect()
}
