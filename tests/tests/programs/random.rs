//! Tunnel packets that nobody has thought of: anything behind a good outer header, and good packets with bytes changed.

use mipd_common::maps::Counter;
use mipd_lab::packets::bench;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::{Fate, hex};
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::transport::maximum_segment_size;
use mipd_lab::packets::tunnel::UdpTunnel;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::rig;
use crate::world::{
    AWAY, CARE_OF, CLIENT, CORRESPONDENT, FAR_AGENT, HOME_AGENT, HOST, REVERSE_TUNNEL, ROUTED, ROUTER, VISITOR,
    VISITORS_AGENT, World,
};

/// Packets per encapsulation and program.
const PACKETS: usize = 600;
const PROGRAMS: [&str; 2] = ["router_xdp", "router_ingress"];
const SEGMENT_LIMIT: u16 = 536;

/// Anything behind the outer headers of an encapsulation.
fn anything(encapsulation: Encapsulation, dice: &mut StdRng) -> Ipv4 {
    let length = dice.random_range(0..120);
    let contents: Vec<u8> = (0..length).map(|_| dice.random()).collect();
    let protocol = [4, 47, 55][dice.random_range(0..3)];
    let outer = Ipv4::new(VISITORS_AGENT, CARE_OF);
    if encapsulation.ports().is_some() {
        return outer.protocol(17).payload_bytes(&UdpTunnel::new().next_header(protocol).bytes(&contents));
    }
    outer.protocol(protocol).payload_bytes(&contents)
}

#[test]
fn what_is_no_packet_is_dropped_or_left_to_the_kernel_untouched() {
    if !bench::privileged() {
        return;
    }
    let mut dice = StdRng::seed_from_u64(2003);
    for &encapsulation in Encapsulation::ALL {
        let mut world = World::default();
        world.wrap_visitor(encapsulation);
        for program in PROGRAMS {
            for _ in 0..PACKETS {
                let packet = Frame::new(HOST, ROUTER).ipv4(&anything(encapsulation, &mut dice)).bytes();
                let what = format!("{} in {program}: {}", encapsulation.name(), hex(&packet));
                let (outcome, counted) = rig::with(|rig| rig.run(program, &world, &packet))
                    .unwrap()
                    .unwrap_or_else(|e| panic!("{what}: {e:#}"));
                assert!(matches!(outcome.fate, Fate::Pass | Fate::Drop), "{what}: {:?}", outcome.fate);
                assert!(outcome.fate == Fate::Drop || outcome.bytes == packet, "{what}: {}", hex(&outcome.bytes));
                assert_ne!(counted, Counter::DroppedError, "{what}");
            }
        }
    }
}

/// Whether the checksum of an IPv4 header is right (RFC 791).
fn is_valid(header: &[u8]) -> bool {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    // The header holds a version, so the sum is not 0.
    sum.is_multiple_of(0xffff)
}

/// Good packets in every direction, of a kind that is looked into: into tunnels, out of them, in each of the programs' tables.
fn good(encapsulation: Encapsulation) -> [Frame; 6] {
    let syn = |source, destination| Ipv4::tcp_syn((source, 4000), (destination, 80), &maximum_segment_size(1460));
    let arriving = |packet: &Ipv4| Frame::new(HOST, ROUTER).ipv4(packet);
    let down = |inner: &Ipv4| arriving(&encapsulation.reversed().arriving(VISITORS_AGENT, CARE_OF, inner));
    let back = |inner: &Ipv4| arriving(&encapsulation.arriving(FAR_AGENT, HOME_AGENT, inner));
    [
        down(&Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)),
        back(&Ipv4::udp((AWAY, 9), (ROUTED, 9), 32)),
        down(&syn(CORRESPONDENT, VISITOR)),
        back(&syn(AWAY, ROUTED)),
        arriving(&syn(CORRESPONDENT, AWAY)),
        Frame::new(CLIENT, ROUTER).ipv4(&syn(VISITOR, CORRESPONDENT)),
    ]
}

#[test]
fn a_changed_packet_never_makes_a_program_fail_or_send_what_is_no_packet() {
    if !bench::privileged() {
        return;
    }
    let mut dice = StdRng::seed_from_u64(2004);
    for &encapsulation in Encapsulation::ALL {
        let mut world = World::default();
        world.wrap_visitor(encapsulation);
        world.wrap(encapsulation, Encapsulation::KEYED_GRE);
        world.visitors[0].2.segment_limit = SEGMENT_LIMIT;
        world.visitor_sources[0].2 = REVERSE_TUNNEL;
        for (_, tunnel) in &mut world.tunnels {
            tunnel.segment_limit = SEGMENT_LIMIT;
        }
        let packets = good(encapsulation);
        for program in PROGRAMS {
            for round in 0..PACKETS {
                let mut packet = packets[round % packets.len()].bytes();
                // Half of them behind the outer addresses, so that most of it is looked at.
                let from = if (round / packets.len()).is_multiple_of(2) { 34 } else { 14 };
                for _ in 0..dice.random_range(1..4) {
                    let at = dice.random_range(from..packet.len());
                    packet[at] = dice.random();
                }
                let what = format!("{} in {program}: {}", encapsulation.name(), hex(&packet));
                let (outcome, counted) = rig::with(|rig| rig.run(program, &world, &packet))
                    .unwrap()
                    .unwrap_or_else(|e| panic!("{what}: {e:#}"));
                let what = format!("{what} became {:?} {}", outcome.fate, hex(&outcome.bytes));
                assert_ne!(counted, Counter::DroppedError, "{what}");
                if outcome.fate.leaves() {
                    let total = usize::from(u16::from_be_bytes([outcome.bytes[16], outcome.bytes[17]]));
                    assert_eq!(outcome.bytes[14] >> 4, 4, "{what}");
                    assert!(total >= 20 && outcome.bytes.len() >= 14 + total, "{what}");
                    if matches!(counted, Counter::Encapsulated | Counter::ReverseEncapsulated) {
                        assert!(is_valid(&outcome.bytes[14..34]), "the outer checksum: {what}");
                    }
                }
            }
        }
    }
}
