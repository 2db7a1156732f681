//! Encapsulating delivery (RFC 3024 §5.2): what visitors wrap for the foreign agent, what the access point wraps for them, and
//! broadcasts and multicasts that come home by the reverse tunnel.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{Counter, interface_flags, station_state, tunnel_flags, visitor_flags};
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    AGENT, AWAY, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, EGRESS_INDEX, FAR_AGENT, HOME_AGENT, HOST, MARK,
    NEXT_HOP, REVERSE_TUNNEL, ROUTER, VISITOR, VISITORS_AGENT, World,
};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

fn encapsulating(world: &mut World) {
    world.visitor_sources[0].2 = REVERSE_TUNNEL;
    world.visitor_flags = visitor_flags::ENCAPSULATING;
}

/// The visitor's home agent is this box.
fn at_home_here(world: &mut World) {
    world.visitor_flags = visitor_flags::ENCAPSULATING;
}

fn to(destination: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((VISITOR, 9), (destination, 9), 16)
}

fn up(packet: &Ipv4) -> Frame {
    Frame::new(CLIENT, ROUTER).ipv4(packet)
}

fn wrapped(inner: &Ipv4) -> Frame {
    up(&Ipv4::tunnel(VISITOR, CARE_OF, inner))
}

fn tunnelled(inner: &Ipv4) -> Expect {
    let frame = Frame::new(EGRESS, NEXT_HOP).ipv4(&Ipv4::tunnel(CARE_OF, VISITORS_AGENT, inner));
    Expect::transmit(Counter::ReverseEncapsulated).bytes(frame.bytes())
}

/// The kernel receives it as if it had come plain.
fn handed_over(inner: &Ipv4) -> Expect {
    Expect::receive(Counter::SlowToTun).bytes(up(inner).bytes())
}

pub fn up_wrapped() -> Vec<Case> {
    let plain = || to(CORRESPONDENT);
    vec![
        case("a wrapped packet goes into the reverse tunnel", wrapped(&plain()), tunnelled(&plain().forwarded()))
            .when(encapsulating),
        case("a plain packet is routed as usual", up(&plain()), Expect::pass(Counter::SlowUnresolved))
            .when(encapsulating),
        case(
            "a wrapper with somebody else's address is dropped",
            up(&Ipv4::tunnel(CORRESPONDENT, CARE_OF, &plain())),
            Expect::drop(Counter::DroppedSpoofed),
        )
        .when(encapsulating),
        case(
            "somebody else's packet in a wrapper is dropped",
            wrapped(&Ipv4::udp((AWAY, 9), (CORRESPONDENT, 9), 16)),
            Expect::drop(Counter::DroppedSpoofed),
        )
        .when(encapsulating),
        case(
            "a packet wrapped for somebody else is routed as it is",
            up(&Ipv4::tunnel(VISITOR, CORRESPONDENT, &plain())),
            Expect::pass(Counter::SlowUnresolved),
        )
        .when(encapsulating),
        case(
            "a fragment of a wrapper is not opened",
            up(&Ipv4::tunnel(VISITOR, CARE_OF, &plain()).fragment(0, true)),
            Expect::pass(Counter::SlowFragment),
        )
        .when(encapsulating),
        case(
            "a wrapped packet for a tunnel that is gone is dropped",
            wrapped(&plain()),
            Expect::drop(Counter::DroppedUnresolved),
        )
        .when(|world| {
            encapsulating(world);
            world.visitor_sources[0].2 = 9;
        }),
        case("inner options go by the kernel", wrapped(&plain().options()), Expect::pass(Counter::SlowOptions))
            .tc(handed_over(&plain().options()).mark(MARK | REVERSE_TUNNEL))
            .when(encapsulating),
        case("so does all with the fast path off", wrapped(&plain()), Expect::pass(Counter::SlowFastPathOff))
            .tc(handed_over(&plain()).mark(MARK | REVERSE_TUNNEL))
            .when(|world| {
                encapsulating(world);
                world.interface.flags &= !interface_flags::FAST;
            }),
        case("a home agent on this box has no tunnel", wrapped(&plain()), Expect::pass(Counter::SlowMarked))
            .tc(handed_over(&plain()))
            .when(at_home_here),
    ]
}

pub fn up_groups() -> Vec<Case> {
    let mut cases = Vec::new();
    for ttl in [1, 64, 255] {
        for group in [Ipv4Addr::BROADCAST, GROUP] {
            let packet = to(group).ttl(ttl);
            let case = case(format!("{group} with TTL {ttl}"), wrapped(&packet), Expect::pass(Counter::SlowGroup));
            cases.push(case.tc(tunnelled(&packet)).when(encapsulating));
        }
    }
    cases.extend([
        case("a group without a next hop is dropped", wrapped(&to(GROUP)), Expect::pass(Counter::SlowGroup))
            .tc(Expect::drop(Counter::DroppedUnresolved))
            .when(|world| {
                encapsulating(world);
                world.tunnels[3].1.flags &= !tunnel_flags::ADJACENT;
            }),
        case("a group too large is dropped", wrapped(&to(GROUP).payload(1461)), Expect::pass(Counter::SlowGroup))
            .tc(Expect::drop(Counter::DroppedTooBig))
            .when(encapsulating),
        case(
            "a group for a home agent on this box is dropped",
            wrapped(&to(GROUP)),
            Expect::drop(Counter::DroppedBroadcast),
        )
        .when(at_home_here),
    ]);
    cases
}

pub fn home() -> Vec<Case> {
    let home = |destination| {
        let inner = Ipv4::udp((AWAY, 9), (destination, 9), 16);
        Frame::new(HOST, ROUTER).ipv4(&Ipv4::tunnel(FAR_AGENT, HOME_AGENT, &inner))
    };
    [Ipv4Addr::BROADCAST, GROUP, Ipv4Addr::new(10, 1, 0, 255)]
        .map(|group| case(format!("to {group}"), home(group), Expect::pass(Counter::SlowGroup)))
        .into()
}

fn station(world: &mut World) {
    world.station(station_state::FORWARD);
    world.stations[0].1.agent_address = CARE_OF.octets();
    // An interface of which the maps know the MTU.
    world.stations[0].1.uplink_ifindex = EGRESS_INDEX;
}

fn from(destination: MacAddress, packet: &Ipv4) -> Frame {
    Frame::new(CLIENT, destination).ipv4(packet)
}

pub fn by_radio() -> Vec<Case> {
    let sent = |packet: &Ipv4| {
        let frame = Frame::new(CLIENT, AGENT).ipv4(&Ipv4::tunnel(VISITOR, CARE_OF, packet));
        Expect::transmit(Counter::StationWrapped).bytes(frame.bytes())
    };
    let mut quoted = to(CORRESPONDENT).payload(1461).bytes();
    quoted.truncate(48);
    let error = Ipv4::icmp_about(CARE_OF, VISITOR, (3, 4), [0, 0, 0x05, 0xc8], &quoted).tos(0xc0).may_fragment();
    let cases = vec![
        case("a packet", from(ROUTER, &to(CORRESPONDENT)), sent(&to(CORRESPONDENT))),
        case("with a type of service", from(ROUTER, &to(CORRESPONDENT).tos(0xb8)), sent(&to(CORRESPONDENT).tos(0xb8))),
        case("a broadcast", from(BROADCAST, &to(Ipv4Addr::BROADCAST)), sent(&to(Ipv4Addr::BROADCAST))),
        case("the largest", from(ROUTER, &to(CORRESPONDENT).payload(1460)), sent(&to(CORRESPONDENT).payload(1460))),
        case(
            "one too large is answered",
            from(ROUTER, &to(CORRESPONDENT).payload(1461)),
            Expect::transmit(Counter::AnsweredTooBig).bytes(Frame::new(ROUTER, CLIENT).ipv4(&error).bytes()),
        ),
        case(
            "one too large that may be fragmented is the agent's",
            from(ROUTER, &to(CORRESPONDENT).payload(1461).may_fragment()),
            Expect::transmit(Counter::Punted),
        ),
        case(
            "a broadcast too large is dropped",
            from(BROADCAST, &to(Ipv4Addr::BROADCAST).payload(1461)),
            Expect::drop(Counter::DroppedTooBig),
        ),
        case(
            "a wrong length is dropped",
            from(ROUTER, &to(CORRESPONDENT).total_length(900)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "DHCP is the agent's",
            from(BROADCAST, &Ipv4::udp((VISITOR, 68), (Ipv4Addr::BROADCAST, 67), 240)),
            Expect::transmit(Counter::Punted),
        ),
    ];
    cases.into_iter().map(|case| case.when(station)).collect()
}

pub fn by_accelerated_radio() -> Vec<Case> {
    let left = Expect::pass(Counter::SlowWrapped);
    vec![case("all of it is left to TC", from(ROUTER, &to(CORRESPONDENT)), left).when(station)]
}
