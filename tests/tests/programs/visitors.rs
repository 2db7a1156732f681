//! Foreign agent: packets down to visitors, and what visitors send.

use std::net::Ipv4Addr;

use mipd_common::maps::{Counter, interface_flags, tunnel_flags};
use mipd_lab::packets::bench::Expect;
use mipd_lab::packets::frame::{Frame, Ipv4};

use crate::table::{Case, case, check_tc, check_xdp};
use crate::world::{
    AWAY, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, HOME_AGENT, HOST, MARK, NEARBY, NEIGHBOUR,
    NEXT_HOP, REVERSE_TUNNEL, ROUTER, VISITOR, VISITORS_AGENT,
};

fn inner() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)
}

fn down(outer: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(outer)
}

fn tunnel(inner: &Ipv4) -> Ipv4 {
    Ipv4::tunnel(VISITORS_AGENT, CARE_OF, inner)
}

fn delivered(inner: &Ipv4) -> Expect {
    Expect::redirect(Counter::DeliveredVisitor).bytes(Frame::new(EGRESS, CLIENT).ipv4(inner).bytes())
}

/// Down, the same outcome at both hooks.
fn downlink() -> Vec<Case> {
    vec![
        case("a tunnelled packet reaches the visitor's MAC", down(&tunnel(&inner())), delivered(&inner().forwarded())),
        case(
            "an inner fragment is delivered as it is",
            down(&tunnel(&inner().fragment(3, false))),
            delivered(&inner().fragment(3, false).forwarded()),
        ),
        case(
            "an outer fragment goes to the raw socket",
            down(&tunnel(&inner()).fragment(0, true)),
            Expect::pass(Counter::SlowFragment),
        ),
        case(
            "a last outer fragment goes to the raw socket",
            down(&tunnel(&inner()).fragment(9, false)),
            Expect::pass(Counter::SlowFragment),
        ),
        case(
            "outer options go to the raw socket",
            down(&tunnel(&inner()).options()),
            Expect::pass(Counter::SlowOptions),
        ),
        case("an inner TTL of zero is dropped", down(&tunnel(&inner().ttl(0))), Expect::drop(Counter::DroppedShort)),
        case(
            "an inner packet of another version is dropped",
            down(&tunnel(&inner().version(6))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner total length beyond the outer one is dropped",
            down(&tunnel(&inner().total_length(61))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner total length below its header is dropped",
            down(&tunnel(&inner().total_length(12))),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an outer total length beyond the frame is dropped",
            down(&tunnel(&inner()).total_length(900)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an outer packet that holds no whole inner header is dropped",
            down(&tunnel(&inner()).payload(19)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "padding that looks like an inner header is not one",
            down(&tunnel(&inner()).total_length(39)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a wrong outer checksum is dropped",
            down(&tunnel(&inner()).wrong_checksum()),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "an inner destination that is no visitor is dropped silently",
            down(&tunnel(&Ipv4::udp((CORRESPONDENT, 9), (NEIGHBOUR, 9), 4))),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "a visitor's address from another tunnel end is dropped silently",
            down(&Ipv4::tunnel(HOME_AGENT, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedNoVisitor),
        ),
        case(
            "a tunnel packet for somebody else is routed",
            down(&Ipv4::tunnel(VISITORS_AGENT, CORRESPONDENT, &inner())),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case(
            "a tunnel packet for another MAC is passed",
            Frame::new(HOST, EGRESS).ipv4(&tunnel(&inner())),
            Expect::pass(Counter::PassedNotForUs),
        ),
    ]
}

/// A packet that takes the slow path: description, packet, what is special about the world, counter.
type Exception = (&'static str, Ipv4, fn(&mut crate::world::World), Counter);

/// What XDP leaves to TC, and the frame after TC has handed it to the kernel.
fn downlink_slow() -> Vec<Exception> {
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

#[test]
fn xdp_delivers_to_visitors_as_specified() {
    let mut cases = downlink();
    for (description, inner, world, counter) in downlink_slow() {
        cases.push(case(description, down(&tunnel(&inner)), Expect::pass(counter)).when(world));
    }
    cases.push(
        case(
            "an access interface that XDP cannot reach",
            down(&tunnel(&inner())),
            Expect::pass(Counter::SlowNotXdpTarget),
        )
        .when(|world| world.visitors[0].2.flags &= !tunnel_flags::XDP_TARGET),
    );
    check_xdp(cases);
}

#[test]
fn tc_delivers_to_visitors_as_specified() {
    let mut cases = downlink();
    for (description, inner, world, _) in downlink_slow() {
        // A test run shows the frame before the redirection takes the Ethernet header off.
        let handed_over = Frame::new(HOST, ROUTER).ipv4(&inner).bytes();
        cases.push(
            case(description, down(&tunnel(&inner)), Expect::redirect(Counter::SlowToTun).bytes(handed_over))
                .when(world),
        );
    }
    cases.push(
        case("an access interface that XDP cannot reach", down(&tunnel(&inner())), delivered(&inner().forwarded()))
            .when(|world| world.visitors[0].2.flags &= !tunnel_flags::XDP_TARGET),
    );
    cases.push(
        case(
            "without a visit device the raw socket gets it",
            down(&tunnel(&inner().ttl(1))),
            Expect::pass(Counter::SlowTtl),
        )
        .when(|world| world.router.visit_tun = 0),
    );
    check_tc(cases);
}

fn up(packet: &Ipv4) -> Frame {
    Frame::new(CLIENT, ROUTER).ipv4(packet)
}

fn from_visitor(destination: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((VISITOR, 9), (destination, 9), 16)
}

/// Up, the same outcome at both hooks.
fn uplink() -> Vec<Case> {
    let to_correspondent = from_visitor(CORRESPONDENT);
    let reverse: fn(&mut crate::world::World) = |world| world.visitor_sources[0].2 = REVERSE_TUNNEL;
    vec![
        case(
            "with a reverse tunnel the packet goes to the home agent",
            up(&to_correspondent),
            Expect::redirect(Counter::ReverseEncapsulated).bytes(
                Frame::new(EGRESS, NEXT_HOP)
                    .ipv4(&Ipv4::tunnel(CARE_OF, VISITORS_AGENT, &to_correspondent.clone().forwarded()))
                    .bytes(),
            ),
        )
        .when(reverse),
        case(
            "a visitor's spoofed source is dropped",
            up(&Ipv4::udp((AWAY, 9), (CORRESPONDENT, 9), 4)),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "a visitor with an address of this subnet is local",
            up(&Ipv4::udp((NEIGHBOUR, 9), (CORRESPONDENT, 9), 4)),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a visitor without an address is local",
            up(&Ipv4::udp((Ipv4Addr::UNSPECIFIED, 68), (CARE_OF, 67), 4)),
            Expect::pass(Counter::PassedLocal),
        ),
        case(
            "a registration request is for the agent",
            up(&Ipv4::udp((VISITOR, 4340), (CARE_OF, 434), 48)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "a visitor is no tunnel end",
            up(&Ipv4::tunnel(VISITOR, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedTunnelSource),
        ),
        case(
            "a visitor that feigns a tunnel end is dropped",
            up(&Ipv4::tunnel(VISITORS_AGENT, CARE_OF, &inner())),
            Expect::drop(Counter::DroppedSpoofed),
        ),
        case(
            "multicast to our MAC is dropped",
            up(&from_visitor(Ipv4Addr::new(224, 0, 0, 251))),
            Expect::drop(Counter::DroppedBroadcast),
        ),
        case(
            "a wrong checksum is dropped",
            up(&to_correspondent.clone().wrong_checksum()),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a wrong total length is dropped",
            up(&to_correspondent.clone().total_length(200)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a client of this home agent that is away is reached through its tunnel",
            up(&from_visitor(AWAY)),
            Expect::redirect(Counter::Encapsulated).bytes(
                Frame::new(EGRESS, NEXT_HOP)
                    .ipv4(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, &from_visitor(AWAY).forwarded()))
                    .bytes(),
            ),
        ),
        case(
            "a client of this home agent that is nearby is reached directly",
            up(&from_visitor(NEARBY)),
            Expect::redirect(Counter::DeliveredDirect)
                .bytes(Frame::new(EGRESS, CLIENT).ipv4(&from_visitor(NEARBY).forwarded()).bytes()),
        ),
        case("without a route the kernel decides", up(&to_correspondent), Expect::pass(Counter::SlowUnresolved)),
        case(
            "fast path off leaves plain routing to the kernel",
            up(&to_correspondent),
            Expect::pass(Counter::SlowFastPathOff),
        )
        .when(|world| world.interface.flags &= !interface_flags::FAST),
        case(
            "a neighbour's packet is none of our business",
            Frame::new(HOST, ROUTER).ipv4(&to_correspondent),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case("off the access side nobody is a visitor", up(&to_correspondent), Expect::pass(Counter::PassedNoTunnel))
            .when(|world| world.interface.flags &= !interface_flags::ACCESS),
    ]
}

/// What the fast path cannot put into a reverse tunnel, and why.
fn uplink_slow() -> Vec<Exception> {
    fn reverse(world: &mut crate::world::World) {
        world.visitor_sources[0].2 = REVERSE_TUNNEL;
    }
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

#[test]
fn xdp_treats_visitors_packets_as_specified() {
    let mut cases = uplink();
    for (description, packet, world, counter) in uplink_slow() {
        cases.push(case(description, up(&packet), Expect::pass(counter)).when(world));
    }
    cases.push(case(
        "broadcasts are left to TC",
        Frame::new(CLIENT, BROADCAST).ipv4(&from_visitor(Ipv4Addr::BROADCAST)),
        Expect::pass(Counter::PassedNotForUs),
    ));
    check_xdp(cases);
}

#[test]
fn tc_treats_visitors_packets_as_specified() {
    let mut cases = uplink();
    for (description, packet, world, _) in uplink_slow() {
        cases.push(
            case(description, up(&packet), Expect::pass(Counter::SlowMarked).mark(MARK | REVERSE_TUNNEL)).when(world),
        );
    }
    let broadcast = |packet: &Ipv4| Frame::new(CLIENT, BROADCAST).ipv4(packet);
    let anywhere = Ipv4Addr::BROADCAST;
    cases.extend([
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
        case(
            "a reverse tunnel that is gone still marks the packet, for the visit device to drop",
            up(&from_visitor(CORRESPONDENT)),
            Expect::pass(Counter::SlowMarked).mark(MARK | 9),
        )
        .when(|world| world.visitor_sources[0].2 = 9),
    ]);
    check_tc(cases);
}
