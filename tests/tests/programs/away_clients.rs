//! Home agent: packets for away clients.

use std::net::Ipv4Addr;

use mipd_common::maps::{Counter, interface_flags, tunnel_flags, tunnel_kind};
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    AT_HOME, AWAY, BROADCAST, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, HOME_AGENT, HOST, NEARBY, NEXT_HOP,
    ROUTER, World,
};

/// Why a frame is not run at TC.
const WHOLE_HEADER: &str = "the kernel refuses a test run of IPv4 without a whole header";

fn arriving(packet: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(packet)
}

fn packet() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (AWAY, 9), 32)
}

fn tunnelled(inner: &Ipv4) -> Vec<u8> {
    Frame::new(EGRESS, NEXT_HOP).ipv4(&Ipv4::tunnel(HOME_AGENT, FAR_AGENT, inner)).bytes()
}

fn encapsulated(inner: &Ipv4) -> Expect {
    Expect::transmit(Counter::Encapsulated).bytes(tunnelled(inner))
}

pub fn cases() -> Vec<Case> {
    vec![
        case("a packet for an away client is encapsulated", arriving(&packet()), encapsulated(&packet().forwarded())),
        case(
            "the outer header takes over TOS",
            arriving(&packet().tos(0xb8)),
            encapsulated(&packet().tos(0xb8).forwarded()),
        ),
        case(
            "without DF the outer packet has none either, but an identification",
            arriving(&packet().may_fragment().identification(7)),
            encapsulated(&packet().may_fragment().identification(7).forwarded()).any_identification(),
        ),
        case(
            "an inner fragment is encapsulated as it is",
            arriving(&packet().fragment(40, true)),
            encapsulated(&packet().fragment(40, true).forwarded()).any_identification(),
        ),
        case(
            "the largest packet that fits is encapsulated",
            arriving(&packet().payload(1460)),
            encapsulated(&packet().payload(1460).forwarded()),
        ),
        case(
            "a wrong header checksum stays wrong, so the client's stack drops the packet",
            arriving(&packet().wrong_checksum()),
            encapsulated(&packet().forwarded()).bytes({
                let mut bytes = tunnelled(&packet().wrong_checksum());
                // One hop: TTL one less, and the wrong sum raised like a right one.
                bytes[34 + 8] -= 1;
                let raised = u32::from(u16::from_be_bytes([bytes[44], bytes[45]])) + 0x100;
                bytes[44..46].copy_from_slice(&((raised + raised / 0xffff) as u16).to_be_bytes());
                bytes
            }),
        ),
        case(
            "a client whose care-of address is our own gets its packet without a tunnel",
            arriving(&Ipv4::udp((CORRESPONDENT, 9), (NEARBY, 9), 5)),
            Expect::transmit(Counter::DeliveredDirect).bytes(
                Frame::new(EGRESS, CLIENT).ipv4(&Ipv4::udp((CORRESPONDENT, 9), (NEARBY, 9), 5).forwarded()).bytes(),
            ),
        ),
        case(
            "a client of a ninth home subnet is found by prefix",
            arriving(&packet()),
            encapsulated(&packet().forwarded()),
        )
        .when(World::many_home_subnets),
        case(
            "of many home subnets none has this address",
            arriving(&Ipv4::udp((CORRESPONDENT, 9), (Ipv4Addr::new(10, 1, 1, 10), 9), 5)),
            Expect::pass(Counter::PassedNoTunnel),
        )
        .when(World::many_home_subnets),
        case(
            "a client of a sparse home subnet is found by its address",
            arriving(&packet()),
            encapsulated(&packet().forwarded()),
        )
        .when(|world| world.sparse(true)),
        case(
            "a client of a sparse home subnet that is at home is left to the kernel, whatever the slots say",
            arriving(&packet()),
            Expect::pass(Counter::PassedNoTunnel),
        )
        .when(|world| world.sparse(false)),
        case(
            "a client of a sparse home subnet beyond those compared inline is found too",
            arriving(&packet()),
            encapsulated(&packet().forwarded()),
        )
        .when(|world| {
            world.many_home_subnets();
            world.sparse(true);
        }),
        case(
            "one byte too big is left to the kernel",
            arriving(&packet().payload(1461)),
            Expect::pass(Counter::SlowTooBig),
        ),
        case("options are left to the kernel", arriving(&packet().options()), Expect::pass(Counter::SlowOptions)),
        case("an expiring TTL is left to the kernel", arriving(&packet().ttl(1)), Expect::pass(Counter::SlowTtl)),
        case("TTL zero is left to the kernel", arriving(&packet().ttl(0)), Expect::pass(Counter::SlowTtl)),
        case("fast path off leaves it to the kernel", arriving(&packet()), Expect::pass(Counter::SlowFastPathOff))
            .when(|world| world.interface.flags &= !interface_flags::FAST),
        case(
            "without a known next hop it is left to the kernel",
            arriving(&packet()),
            Expect::pass(Counter::SlowUnresolved),
        )
        .when(|world| world.tunnel().flags &= !tunnel_flags::ADJACENT),
        case(
            "a slot whose tunnel is gone is left to the kernel",
            arriving(&packet()),
            Expect::pass(Counter::SlowUnresolved),
        )
        .when(|world| world.tunnel().kind = tunnel_kind::NONE),
        case(
            "a packet from the tunnel's exit goes round and is dropped",
            arriving(&Ipv4::udp((FAR_AGENT, 9), (AWAY, 9), 5)),
            Expect::drop(Counter::DroppedLoop),
        ),
        case(
            "a packet from our own address goes round and is dropped",
            arriving(&Ipv4::udp((CARE_OF, 9), (AWAY, 9), 5)),
            Expect::drop(Counter::DroppedLoop),
        ),
        case(
            "a frame for another MAC is none of our business",
            Frame::new(HOST, EGRESS).ipv4(&packet()),
            Expect::pass(Counter::PassedNotForUs),
        ),
        case(
            "a broadcast frame is none of our business",
            Frame::new(HOST, BROADCAST).ipv4(&packet()),
            Expect::pass(Counter::PassedNotForUs),
        ),
        case(
            "a client at home is routed by the kernel",
            arriving(&Ipv4::udp((CORRESPONDENT, 9), (AT_HOME, 9), 5)),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case(
            "a stranger's address is routed by the kernel",
            arriving(&Ipv4::udp((AWAY, 9), (CORRESPONDENT, 9), 5)),
            Expect::pass(Counter::PassedNoTunnel),
        ),
        case(
            "a packet for ourselves is for the kernel",
            arriving(&Ipv4::udp((CORRESPONDENT, 9), (HOME_AGENT, 434), 24)),
            Expect::pass(Counter::PassedControl),
        ),
        case(
            "a total length beyond the frame is dropped",
            arriving(&packet().total_length(500)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "a total length below the header is dropped",
            arriving(&packet().total_length(19)),
            Expect::drop(Counter::DroppedShort),
        ),
        case(
            "version 6 in an IPv4 frame is passed",
            arriving(&packet().version(6)),
            Expect::pass(Counter::PassedOther),
        ),
        case("a VLAN tag is passed", arriving(&packet()).vlan(5), Expect::pass(Counter::PassedOther)),
        case("another Ethernet type is passed", Frame::new(HOST, ROUTER), Expect::pass(Counter::PassedOther)),
        case(
            "copies for several care-of addresses are left to the tunnel device",
            arriving(&packet()),
            Expect::pass(Counter::SlowCopies),
        )
        .when(World::copies),
        case("IPv6 is passed", Frame::new(HOST, ROUTER).ether_type(0x86dd), Expect::pass(Counter::PassedOther)),
        case("padding does not count", arriving(&short()).padded(60), {
            let mut bytes = tunnelled(&short().forwarded());
            bytes.resize(60 + 20, 0);
            Expect::transmit(Counter::Encapsulated).bytes(bytes)
        }),
        case("a header cut in the middle is passed", arriving(&packet()).cut(30), Expect::pass(Counter::PassedOther))
            .not_at_tc(WHOLE_HEADER),
        case("an Ethernet header alone is passed", arriving(&packet()).cut(14), Expect::pass(Counter::PassedOther))
            .not_at_tc(WHOLE_HEADER),
        case(
            "an interface that XDP cannot reach is left to TC",
            arriving(&packet()),
            Expect::pass(Counter::SlowNotXdpTarget),
        )
        .tc(encapsulated(&packet().forwarded()))
        .when(|world| world.tunnel().flags &= !tunnel_flags::XDP_TARGET),
        case(
            "a buffer of segments that are too big is left to the kernel",
            arriving(&packet().payload(400)),
            Expect::pass(Counter::SlowTooBig),
        )
        .buffer(SocketBuffer { gso_size: 1453, ..SocketBuffer::default() })
        .not_at_xdp("there are no segments in one buffer"),
        case(
            "without room in front of the frame it is left to the kernel",
            arriving(&packet()),
            Expect::pass(Counter::SlowNoHeadroom),
        )
        .buffer(SocketBuffer { metadata: 216, gso_size: 40, ..SocketBuffer::default() })
        .xdp_since(6, 12),
    ]
}

/// A packet that is shorter than Ethernet's shortest frame.
fn short() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (AWAY, 9), 1)
}
