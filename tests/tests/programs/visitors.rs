//! Foreign agent: packets down to visitors, and what visitors send.

use std::net::Ipv4Addr;

use mipd_common::maps::{Counter, interface_flags, tunnel_flags};
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    AWAY, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, HOME_AGENT, HOST, MARK, NEARBY, NEIGHBOUR,
    NEXT_HOP, REVERSE_TUNNEL, ROUTER, VISITOR, VISITORS_AGENT, World,
};

fn inner() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)
}

fn down_to(outer: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(outer)
}

fn tunnel(inner: &Ipv4) -> Ipv4 {
    Ipv4::tunnel(VISITORS_AGENT, CARE_OF, inner)
}

fn delivered(inner: &Ipv4) -> Expect {
    Expect::transmit(Counter::DeliveredVisitor).bytes(Frame::new(EGRESS, CLIENT).ipv4(inner).bytes())
}

pub fn down() -> Vec<Case> {
    let mut cases = vec![
        case(
            "a tunnelled packet reaches the visitor's MAC",
            down_to(&tunnel(&inner())),
            delivered(&inner().forwarded()),
        ),
        case(
            "an inner fragment is delivered as it is",
            down_to(&tunnel(&inner().fragment(3, false))),
            delivered(&inner().fragment(3, false).forwarded()),
        ),
        case(
            "an outer fragment goes to the raw socket",
            down_to(&tunnel(&inner()).fragment(0, true)),
            Expect::pass(Counter::SlowFragment),
        ),
        case(
            "a last outer fragment goes to the raw socket",
            down_to(&tunnel(&inner()).fragment(9, false)),
            Expect::pass(Counter::SlowFragment),
        ),
        case(
            "outer options go to the raw socket",
            down_to(&tunnel(&inner()).options()),
            Expect::pass(Counter::SlowOptions),
        ),
        case("an inner TTL of zero is dropped", down_to(&tunnel(&inner().ttl(0))), Expect::drop(Counter::DroppedShort)),
        case(
            "an inner packet of another version is dropped",
            down_to(&tunnel(&inner().version(6))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner total length beyond the outer one is dropped",
            down_to(&tunnel(&inner().total_length(61))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner total length below its header is dropped",
            down_to(&tunnel(&inner().total_length(12))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an outer total length beyond the frame is dropped",
            down_to(&tunnel(&inner()).total_length(900)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an outer packet that holds no whole inner header is dropped",
            down_to(&tunnel(&inner()).payload(19)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "padding that looks like an inner header is not one",
            down_to(&tunnel(&inner()).total_length(39)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a wrong outer checksum is dropped",
            down_to(&tunnel(&inner()).wrong_checksum()),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner destination that is no visitor is dropped silently",
            down_to(&tunnel(&Ipv4::udp((CORRESPONDENT, 9), (NEIGHBOUR, 9), 4))),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "a visitor's address from another tunnel end is dropped silently",
            down_to(&Ipv4::tunnel(HOME_AGENT, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "a tunnel packet for somebody else is routed",
            down_to(&Ipv4::tunnel(VISITORS_AGENT, CORRESPONDENT, &inner())),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case(
            "a tunnel packet for another MAC is passed",
            Frame::new(HOST, EGRESS).ipv4(&tunnel(&inner())),
            Expect::pass(Counter::PassedNotForUs),
        ),
        case(
            "an access interface that XDP cannot reach is left to TC",
            down_to(&tunnel(&inner())),
            Expect::pass(Counter::SlowNotXdpTarget),
        )
        .tc(delivered(&inner().forwarded()))
        .when(|world| world.visitors[0].2.flags &= !tunnel_flags::XDP_TARGET),
        case(
            "without a visit device the raw socket gets it",
            down_to(&tunnel(&inner().ttl(1))),
            Expect::pass(Counter::SlowTtl),
        )
        .when(|world| world.router.visit_tun = 0),
    ];
    for (description, inner, world, reason) in down_slowly() {
        // A test run shows the frame before the redirection takes the Ethernet header off.
        let handed_over = Frame::new(HOST, ROUTER).ipv4(&inner).bytes();
        let case = case(description, down_to(&tunnel(&inner)), Expect::pass(reason)).when(world);
        cases.push(case.tc(Expect::receive(Counter::SlowToTun).bytes(handed_over)));
    }
    cases
}

/// A packet that takes the slow path: description, packet, what is special about the world, counter at XDP.
type Exception = (&'static str, Ipv4, fn(&mut World), Counter);

/// What XDP leaves to TC, and TC to the kernel.
fn down_slowly() -> Vec<Exception> {
    vec![
        ("an expiring inner TTL", inner().ttl(1), |_| {}, Counter::SlowTtl),
        ("inner options", inner().options(), |_| {}, Counter::SlowOptions),
        (
            "an inner packet larger than the access network's MTU",
            inner(),
            |world| world.access.mtu = 59,
            Counter::SlowTooBig,
        ),
        (
            "any, with the fast path off",
            inner(),
            |world| world.interface.flags &= !interface_flags::FAST,
            Counter::SlowFastPathOff,
        ),
    ]
}

fn sent(packet: &Ipv4) -> Frame {
    Frame::new(CLIENT, ROUTER).ipv4(packet)
}

fn from_visitor(destination: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((VISITOR, 9), (destination, 9), 16)
}

pub fn up() -> Vec<Case> {
    let to_correspondent = from_visitor(CORRESPONDENT);
    let mut cases = vec![
        case(
            "with a reverse tunnel the packet goes to the home agent",
            sent(&to_correspondent),
            Expect::transmit(Counter::ReverseEncapsulated).bytes(
                Frame::new(EGRESS, NEXT_HOP)
                    .ipv4(&Ipv4::tunnel(CARE_OF, VISITORS_AGENT, &to_correspondent.clone().forwarded()))
                    .bytes(),
            ),
        )
        .when(reverse),
        case(
            "a visitor's spoofed source is dropped",
            sent(&Ipv4::udp((AWAY, 9), (CORRESPONDENT, 9), 4)),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "a visitor with an address of this subnet is local",
            sent(&Ipv4::udp((NEIGHBOUR, 9), (CORRESPONDENT, 9), 4)),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a visitor without an address is local",
            sent(&Ipv4::udp((Ipv4Addr::UNSPECIFIED, 68), (CARE_OF, 67), 4)),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a registration request is for the agent",
            sent(&Ipv4::udp((VISITOR, 4340), (CARE_OF, 434), 48)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "a visitor is no tunnel end",
            sent(&Ipv4::tunnel(VISITOR, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedTunnelSource),
        ),
        case(
            "a visitor that feigns a tunnel end is dropped",
            sent(&Ipv4::tunnel(VISITORS_AGENT, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "multicast to our MAC is dropped",
            sent(&from_visitor(Ipv4Addr::new(224, 0, 0, 251))),
            Expect::drop(Counter::DroppedBroadcast),
        ),
        case(
            "a wrong checksum is dropped",
            sent(&to_correspondent.clone().wrong_checksum()),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a wrong total length is dropped",
            sent(&to_correspondent.clone().total_length(200)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a client of this home agent that is away is reached through its tunnel",
            sent(&from_visitor(AWAY)),
            Expect::transmit(Counter::Encapsulated).bytes(
                Frame::new(EGRESS, NEXT_HOP)
                    .ipv4(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, &from_visitor(AWAY).forwarded()))
                    .bytes(),
            ),
        ),
        case(
            "a client of this home agent that is nearby is reached directly",
            sent(&from_visitor(NEARBY)),
            Expect::transmit(Counter::DeliveredDirect)
                .bytes(Frame::new(EGRESS, CLIENT).ipv4(&from_visitor(NEARBY).forwarded()).bytes()),
        ),
        case("without a route the kernel decides", sent(&to_correspondent), Expect::pass(Counter::SlowUnresolved)),
        case(
            "fast path off leaves plain routing to the kernel",
            sent(&to_correspondent),
            Expect::pass(Counter::SlowFastPathOff),
        )
        .when(|world| world.interface.flags &= !interface_flags::FAST),
        case(
            "a neighbour's packet is none of our business",
            Frame::new(HOST, ROUTER).ipv4(&to_correspondent),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case("off the access side nobody is a visitor", sent(&to_correspondent), Expect::pass(Counter::PassedNoTunnel))
            .when(|world| world.interface.flags &= !interface_flags::ACCESS),
        case(
            "a reverse tunnel that is gone still marks the packet, for the visit device to drop",
            sent(&from_visitor(CORRESPONDENT)),
            Expect::pass(Counter::SlowUnresolved),
        )
        .tc(Expect::pass(Counter::SlowMarked).mark(MARK | 9))
        .when(|world| world.visitor_sources[0].2 = 9),
    ];
    for (description, packet, world, reason) in up_slowly() {
        let case = case(description, sent(&packet), Expect::pass(reason)).when(world);
        cases.push(case.tc(Expect::pass(Counter::SlowMarked).mark(MARK | REVERSE_TUNNEL)));
    }
    // The accelerated paths leave frames for groups to TC.
    cases.extend(groups().into_iter().map(|case| case.xdp(Expect::pass(Counter::PassedNotForUs))));
    cases
}

fn reverse(world: &mut World) {
    world.visitor_sources[0].2 = REVERSE_TUNNEL;
}

/// What the fast path cannot put into a reverse tunnel, and why.
fn up_slowly() -> Vec<Exception> {
    vec![
        (
            "too big for the reverse tunnel",
            from_visitor(CORRESPONDENT).may_fragment().payload(1461),
            reverse,
            Counter::SlowTooBig,
        ),
        ("options in the reverse tunnel", from_visitor(CORRESPONDENT).options(), reverse, Counter::SlowOptions),
        (
            "reverse tunnel with the fast path off",
            from_visitor(CORRESPONDENT),
            |world| {
                reverse(world);
                world.interface.flags &= !interface_flags::FAST;
            },
            Counter::SlowFastPathOff,
        ),
        (
            "reverse tunnel without a known next hop",
            from_visitor(CORRESPONDENT),
            |world| {
                reverse(world);
                world.tunnels[3].1.flags = 0;
            },
            Counter::SlowUnresolved,
        ),
    ]
}

/// What visitors send to everybody, or to many.
fn groups() -> Vec<Case> {
    let broadcast = |packet: &Ipv4| Frame::new(CLIENT, BROADCAST).ipv4(packet);
    let anywhere = Ipv4Addr::BROADCAST;
    vec![
        case(
            "a visitor's broadcast is dropped",
            broadcast(&from_visitor(anywhere)),
            Expect::drop(Counter::DroppedBroadcast),
        ),
        case(
            "a solicitation is for the agent",
            broadcast(&Ipv4::icmp(VISITOR, Ipv4Addr::new(224, 0, 0, 11), 10, 0, &[]).ttl(1)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "a ping of everybody is dropped",
            broadcast(&Ipv4::icmp(VISITOR, anywhere, 8, 0, &[])),
            Expect::drop(Counter::DroppedBroadcast),
        ),
        case(
            "a registration to all agents is for the agent",
            broadcast(&Ipv4::udp((VISITOR, 4340), (Ipv4Addr::new(224, 0, 0, 11), 434), 48)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "DHCP is for whoever serves it",
            broadcast(&Ipv4::udp((Ipv4Addr::UNSPECIFIED, 68), (anywhere, 67), 240)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "somebody else's broadcast is none of our business",
            Frame::new(HOST, BROADCAST).ipv4(&from_visitor(anywhere)),
            Expect::pass(Counter::PassedNotForUs),
        ),
    ]
}
