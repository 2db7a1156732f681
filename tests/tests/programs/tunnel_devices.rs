//! What the kernel itself sends into the tunnels: real TUN devices with a program at their egress, a real interface where
//! the result leaves.

use std::net::Ipv4Addr;

use mipd_common::maps::{Counter, tunnel_flags, tunnel_kind};
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    ALSO_AWAY, AT_HOME, AWAY, CARE_OF, CLIENT, CORRESPONDENT, DIRECT_TUNNEL, EGRESS, FAR_AGENT, FARTHER_AGENT,
    HOME_AGENT, HOST, MARK, NEARBY, NEXT_HOP, REVERSE_TUNNEL, ROUTER, VISITOR, VISITORS_AGENT, World,
};

/// What the gateway gets.
fn out(packet: &Ipv4) -> Vec<u8> {
    Frame::new(EGRESS, NEXT_HOP).ipv4(packet).bytes()
}

fn to(destination: Ipv4Addr) -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (destination, 9), 32)
}

/// A frame that the kernel forwards to the tunnel device.
fn forwarded(packet: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(packet)
}

fn received() -> SocketBuffer {
    SocketBuffer { forwarded: true, ..SocketBuffer::default() }
}

pub fn home() -> Vec<Case> {
    let tunnelled =
        |inner: &Ipv4| Expect::transmit(Counter::Encapsulated).bytes(out(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, inner)));
    let mut cases = vec![
        case("a packet for an away client is encapsulated", &to(AWAY), tunnelled(&to(AWAY))),
        case("a forwarded one too, after its hop", forwarded(&to(AWAY)), tunnelled(&to(AWAY).forwarded()))
            .buffer(received()),
        case(
            "one made here may come from the tunnel's exit",
            &Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5),
            tunnelled(&Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5)),
        ),
        case(
            "one that is forwarded may not",
            forwarded(&Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5)),
            Expect::drop(Counter::DroppedLoop),
        )
        .buffer(received()),
        case("options stay inside", &to(AWAY).options(), tunnelled(&to(AWAY).options())),
        case(
            "a fragment is encapsulated as it is",
            &to(AWAY).fragment(40, true),
            tunnelled(&to(AWAY).fragment(40, true)).any_identification(),
        ),
        case("the largest packet that fits", &to(AWAY).payload(1460), tunnelled(&to(AWAY).payload(1460))),
        case("one byte too big is dropped", &to(AWAY).payload(1461), Expect::drop(Counter::DroppedTooBig)),
        case(
            "without a known next hop the kernel finds it",
            &to(AWAY),
            Expect::resolve(Counter::Encapsulated).bytes(out(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, &to(AWAY)))),
        )
        .when(|world| {
            world.tunnel().flags &= !tunnel_flags::ADJACENT;
            world.tunnel().ethernet = [0; 14];
        }),
        case("without any way it is dropped", &to(AWAY), Expect::drop(Counter::DroppedUnresolved))
            .when(|world| world.tunnel().ifindex = 0),
        case("a tunnel that is gone drops it", &to(AWAY), Expect::drop(Counter::DroppedUnresolved))
            .when(|world| world.tunnel().kind = tunnel_kind::NONE),
        case("a client at home has no tunnel", &to(AT_HOME), Expect::drop(Counter::DroppedNoVisitor)),
        case("neither has a stranger", &to(VISITOR), Expect::drop(Counter::DroppedNoVisitor)),
        case(
            "a client behind this same router gets it without a tunnel",
            &to(NEARBY),
            Expect::transmit(Counter::DeliveredDirect).bytes(Frame::new(EGRESS, CLIENT).ipv4(&to(NEARBY)).bytes()),
        ),
        case("IPv6 is passed", vec![0x60; 40], Expect::pass(Counter::PassedOther)),
        case(
            "one large datagram in a buffer cannot be encapsulated",
            &to(AWAY).payload(2000),
            Expect::drop(Counter::DroppedError),
        )
        .buffer(SocketBuffer { gso_size: 800, datagram: true, ..SocketBuffer::default() }),
        case(
            "each care-of address gets a copy",
            &to(AWAY),
            Expect::transmit(Counter::EncapsulatedCopies)
                .bytes(out(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, &to(AWAY))))
                .copy(Counter::EncapsulatedCopies, out(&Ipv4::tunnel(HOME_AGENT, FARTHER_AGENT, &to(AWAY)))),
        )
        .when(World::copies),
        case(
            "and the client itself where the care-of address is our own",
            &to(AWAY),
            Expect::transmit(Counter::EncapsulatedCopies)
                .bytes(out(&Ipv4::tunnel(HOME_AGENT, FARTHER_AGENT, &to(AWAY))))
                .copy(Counter::DeliveredDirect, Frame::new(EGRESS, CLIENT).ipv4(&to(AWAY)).bytes()),
        )
        .when(|world| world.copies_into(&[DIRECT_TUNNEL, crate::world::OTHER_TUNNEL])),
        case(
            "a copy does not go back where the packet comes from",
            forwarded(&Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5)),
            Expect::transmit(Counter::EncapsulatedCopies)
                .bytes(out(&Ipv4::tunnel(
                    HOME_AGENT,
                    FARTHER_AGENT,
                    &Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5).forwarded(),
                )))
                .dropped_copy(Counter::DroppedLoop),
        )
        .when(World::copies)
        .buffer(received()),
        case(
            "copies that are too big are dropped",
            &to(AWAY).payload(1461),
            Expect::drop(Counter::DroppedTooBig).dropped_copy(Counter::DroppedTooBig),
        )
        .when(World::copies),
        case(
            "copies without any way are dropped",
            &to(AWAY),
            Expect::drop(Counter::DroppedUnresolved).dropped_copy(Counter::DroppedUnresolved),
        )
        .when(|world| {
            world.copies();
            world.tunnels[0].1.ifindex = 0;
            world.tunnels[1].1.ifindex = 0;
        }),
        case(
            "the client of another tunnel",
            &to(ALSO_AWAY),
            Expect::transmit(Counter::Encapsulated).bytes(out(&Ipv4::tunnel(
                HOME_AGENT,
                FARTHER_AGENT,
                &to(ALSO_AWAY),
            ))),
        ),
    ];
    for &encapsulation in Encapsulation::ALL {
        cases.extend(wrapped_at_home(encapsulation));
    }
    cases
}

/// What the kernel sends to away clients in each encapsulation, and in two at once.
fn wrapped_at_home(encapsulation: Encapsulation) -> Vec<Case> {
    let name = encapsulation.name();
    let sent = |inner: &Ipv4| {
        let bytes = out(&encapsulation.sent(HOME_AGENT, FAR_AGENT, inner));
        Expect::transmit(Counter::Encapsulated).bytes(bytes)
    };
    let one = |what: &str, inner: &Ipv4, expect: Expect| {
        case(format!("{name}: {what}"), inner, expect).when(move |world| world.wrap(encapsulation, encapsulation))
    };
    let ours = Ipv4::udp((HOME_AGENT, 9), (AWAY, 9), 32);
    let largest = to(AWAY).payload(usize::from(encapsulation.largest()) - 20);
    let mut cases = vec![
        one("a packet for an away client", &to(AWAY), sent(&to(AWAY))),
        one("our own", &ours, sent(&ours)),
        one("options stay inside", &to(AWAY).options(), sent(&to(AWAY).options())),
        one("a fragment", &to(AWAY).fragment(40, true), sent(&to(AWAY).fragment(40, true)).any_identification()),
        one("the last TTL", &to(AWAY).ttl(1), sent(&to(AWAY).ttl(1))),
        one("the largest packet that fits", &largest, sent(&largest)),
    ];
    for &other in Encapsulation::ALL {
        cases.push(
            case(
                format!("a copy by {name}, and one by {}", other.name()),
                &to(AWAY),
                Expect::transmit(Counter::EncapsulatedCopies)
                    .bytes(out(&encapsulation.sent(HOME_AGENT, FAR_AGENT, &to(AWAY))))
                    .copy(Counter::EncapsulatedCopies, out(&other.sent(HOME_AGENT, FARTHER_AGENT, &to(AWAY)))),
            )
            .when(move |world| {
                world.wrap(encapsulation, other);
                world.copies();
            }),
        );
    }
    cases
}

pub fn visit() -> Vec<Case> {
    let packet = || Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 16);
    let tunnelled = |inner: &Ipv4| {
        Expect::transmit(Counter::ReverseEncapsulated).bytes(out(&Ipv4::tunnel(CARE_OF, VISITORS_AGENT, inner)))
    };
    let marked = |mark| SocketBuffer { mark, ..SocketBuffer::default() };
    let mut cases = vec![
        case("the mark names the tunnel", &packet(), tunnelled(&packet())).buffer(marked(MARK | REVERSE_TUNNEL)),
        case("without a tunnel in the mark it is dropped", &packet(), Expect::drop(Counter::DroppedNoVisitor))
            .buffer(marked(MARK)),
        case("a tunnel that is gone drops it", &packet(), Expect::drop(Counter::DroppedUnresolved))
            .buffer(marked(MARK | 9)),
        case("one byte too big is dropped", &packet().payload(1461), Expect::drop(Counter::DroppedTooBig))
            .buffer(marked(MARK | REVERSE_TUNNEL)),
        case("options stay inside", &packet().options(), tunnelled(&packet().options()))
            .buffer(marked(MARK | REVERSE_TUNNEL)),
        case("TOS and fragmentation are taken over", &packet().tos(0x28).may_fragment(), {
            tunnelled(&packet().tos(0x28).may_fragment()).any_identification()
        })
        .buffer(marked(MARK | REVERSE_TUNNEL)),
        case("IPv6 is passed", vec![0x60; 40], Expect::pass(Counter::PassedOther)),
    ];
    for &encapsulation in Encapsulation::ALL {
        let sent = encapsulation.reversed().sent(CARE_OF, VISITORS_AGENT, &packet());
        cases.push(
            case(
                format!("{}: a visitor's packet", encapsulation.name()),
                &packet(),
                Expect::transmit(Counter::ReverseEncapsulated).bytes(out(&sent)),
            )
            .when(move |world| world.wrap_visitor(encapsulation))
            .buffer(marked(MARK | REVERSE_TUNNEL)),
        );
    }
    cases
}
