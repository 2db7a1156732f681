use etherparse::{Icmpv4Slice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

const ENTRY: [u8; 4] = [10, 1, 0, 1];
const EXIT: [u8; 4] = [10, 2, 0, 1];
const SENDER: [u8; 4] = [192, 0, 2, 9];
const CLIENT: [u8; 4] = [10, 1, 0, 5];
const ROUTER: [u8; 4] = [198, 51, 100, 1];

fn inner(payload: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(SENDER, CLIENT, 63).udp(5000, 6000).write(&mut packet, &vec![7; payload]).unwrap();
    packet
}

fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(ENTRY, EXIT, 60).write(&mut packet, protocol.into(), payload).unwrap();
    packet
}

fn error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], rest.as_slice(), quoted].concat();
    let checksum = checksum::internet(&[&message]);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut packet = Vec::new();
    PacketBuilder::ipv4(ROUTER, ENTRY, 60).write(&mut packet, 1.into(), &message).unwrap();
    packet
}

/// The ways to wrap a packet, each with what is around it.
fn wrapped(packet: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let udp = |next: u8, inside: &[u8]| outer(17, &[&[1, 178, 15, 160, 0, 0, 0, 0, 4, next, 0, 0], inside].concat());
    let gre = [&[0, 0, 8, 0], packet].concat();
    let all = [&[0xb0, 0, 8, 0], [1; 12].as_slice(), packet].concat();
    let forwarding = [&[17, 0x80, 0, 0], CLIENT.as_slice(), SENDER.as_slice(), &packet[20..]].concat();
    vec![
        ("ipip", outer(4, packet)),
        ("gre", outer(47, &gre)),
        ("gre with everything", outer(47, &all)),
        ("minimal", outer(55, &forwarding)),
        ("udp/ipip", udp(4, packet)),
        ("udp/gre", udp(47, &gre)),
        ("udp/minimal", udp(55, &forwarding)),
    ]
}

#[test]
fn the_packet_inside_is_found_in_every_encapsulation() {
    let packet = inner(100);
    for (name, outer) in wrapped(&packet) {
        let bytes = error(3, 4, [0, 0, 5, 120], &outer);
        let error = IcmpError::parse(&bytes).unwrap();
        assert_eq!((error.reporter.octets(), error.cause), (ROUTER, Cause::TooBig { mtu: 1400 }), "{name}");
        assert_eq!((error.quoted.source().octets(), error.quoted.destination().octets()), (ENTRY, EXIT));
        assert_eq!(error.quoted.udp_ports(), name.starts_with("udp").then_some((434, 4000)), "{name}");
        let inside = error.quoted.inner().unwrap_or_else(|| panic!("nothing in {name}"));
        assert_eq!((inside.source().octets(), inside.destination().octets()), (SENDER, CLIENT), "{name}");
        assert_eq!(usize::from(inside.total_length()), packet.len(), "{name}");
        assert_eq!(inside.data(), &packet[20..], "{name}");
    }
}

#[test]
fn an_error_that_quotes_too_little_of_the_packet_inside_has_none() {
    for (name, outer) in wrapped(&inner(100)) {
        let (mut with, mut without) = (0, 0);
        for length in 28..outer.len() {
            let bytes = error(3, 4, [0, 0, 5, 120], &outer[..length]);
            match IcmpError::parse(&bytes).unwrap().quoted.inner() {
                Some(inside) => {
                    assert!(inside.data().len() >= 8, "{name}");
                    with += 1;
                }
                None => without += 1,
            }
        }
        assert!(with > 0 && without > 0, "{name}");
        let bytes = error(3, 4, [0, 0, 5, 120], &outer[..27]);
        assert_eq!(IcmpError::parse(&bytes), None, "{name}");
    }
}

#[test]
fn extensions_behind_the_quotation_are_not_taken_for_it() {
    let outer = outer(4, &inner(200));
    let bytes = error(11, 0, [0, 32, 0, 0], &[&outer[..128], [0xee; 20].as_slice()].concat());
    assert_eq!(IcmpError::parse(&bytes).unwrap().quoted.0.len(), 128);
}

#[test]
fn damaged_errors_and_other_messages_are_none() {
    let good = error(3, 1, [0; 4], &outer(4, &inner(10)));
    assert!(IcmpError::parse(&good).is_some());
    for at in [20, 23, 40, 60] {
        let mut damaged = good.clone();
        damaged[at] ^= 0x55;
        assert_eq!(IcmpError::parse(&damaged), None, "{at}");
    }
    assert_eq!(IcmpError::parse(&error(8, 0, [0; 4], &outer(4, &inner(10)))), None, "an echo request");
    assert_eq!(IcmpError::parse(&outer(4, &inner(10))), None, "no ICMP at all");
}

fn answer(kind: u8, code: u8, rest: [u8; 4], at_home: bool) -> Option<(u8, u8, [u8; 4])> {
    let outer = outer(4, &inner(1400));
    let bytes = error(kind, code, rest, &outer);
    let error = IcmpError::parse(&bytes).unwrap();
    let inside = error.quoted.inner().unwrap();
    Answer::to(error.cause, &error.quoted, &inside, 1380, at_home).map(|answer| (answer.kind, answer.code, answer.rest))
}

#[test]
fn every_row_of_the_table_of_rfc_2003_is_followed() {
    for (kind, code, told, told_at_home) in [
        (3, 0, Some((3, 0)), Some((3, 1))),
        (3, 1, Some((3, 1)), Some((3, 1))),
        (3, 2, Some((3, 0)), Some((3, 1))),
        (3, 3, None, None),
        (3, 5, None, None),
        (3, 13, Some((3, 1)), Some((3, 1))),
        (4, 0, None, None),
        (5, 1, None, None),
        (11, 0, Some((3, 1)), Some((3, 1))),
        (11, 1, Some((3, 1)), Some((3, 1))),
    ] {
        let expected = |told: Option<(u8, u8)>| told.map(|(kind, code)| (kind, code, [0; 4]));
        assert_eq!(answer(kind, code, [0; 4], false), expected(told), "{kind}/{code}");
        assert_eq!(answer(kind, code, [0; 4], true), expected(told_at_home), "{kind}/{code}");
    }
    assert_eq!(answer(3, 4, [0, 0, 5, 120], false), Some((3, 4, [0, 0, 5, 100])), "1,380 of the tunnel's 1,400");
}

#[test]
fn a_parameter_problem_is_told_only_of_fields_that_are_the_senders() {
    let told = |pointer| answer(12, 0, [pointer, 0, 0, 0], false);
    assert_eq!(told(1), Some((12, 0, [1, 0, 0, 0])), "type of service");
    assert_eq!(told(6), Some((12, 0, [6, 0, 0, 0])), "don't fragment");
    for pointer in [0, 2, 4, 8, 9, 10, 12, 16, 20, 21, 255] {
        assert_eq!(told(pointer), None, "{pointer}");
    }
    let (_, minimal) = wrapped(&inner(100)).remove(3);
    let minimal = Quoted::new(minimal).unwrap();
    let copied: Vec<_> = (0..=255).filter(|offset| minimal.is_copied(*offset)).collect();
    assert_eq!(copied, [0, 1, 4, 5, 6, 7, 8]);
}

#[test]
fn nobody_is_told_what_nobody_may_be_told() {
    let about = |change: fn(&mut Vec<u8>)| {
        let mut packet = inner(1400);
        change(&mut packet);
        let (outer, inside) = (Quoted::new(outer(4, &packet)).unwrap(), Quoted::new(packet).unwrap());
        Answer::to(Cause::HostUnreachable, &outer, &inside, 1380, false)
    };
    assert!(about(|_| {}).is_some());
    assert_eq!(about(|packet| packet[7] = 1), None, "a fragment other than the first");
    assert!(about(|packet| packet[6] = 0x20).is_some(), "the first fragment");
    assert_eq!(about(|packet| packet[12] = 0), None, "from nobody");
    assert_eq!(about(|packet| packet[12] = 127), None, "from a loopback address");
    assert_eq!(about(|packet| packet[12] = 224), None, "from a group");
    assert_eq!(about(|packet| packet[16] = 224), None, "to a group");
    assert_eq!(about(|packet| packet[16..20].fill(255)), None, "to everybody");
    for kind in [3, 4, 5, 11, 12] {
        let mut packet = inner(1400);
        (packet[9], packet[20]) = (1, kind);
        assert!(Quoted::new(packet).unwrap().is_exempt(), "an ICMP error, type {kind}");
    }
    let mut packet = inner(1400);
    (packet[9], packet[20]) = (1, 8);
    assert!(!Quoted::new(packet).unwrap().is_exempt(), "an echo request");
}

#[test]
fn who_sent_what_fits_is_not_told_that_it_is_too_big() {
    let (packet, fits) = (inner(1400), inner(1300));
    let tell = |packet: Vec<u8>| {
        let (outer, inside) = (Quoted::new(outer(4, &packet)).unwrap(), Quoted::new(packet).unwrap());
        Answer::to(Cause::TooBig { mtu: 1400 }, &outer, &inside, 1380, false)
    };
    assert!(tell(packet).is_some());
    assert_eq!(tell(fits), None);
}

proptest! {
    #[test]
    fn an_answer_is_a_whole_error_about_the_packet_to_its_sender(
        payload in 0usize..1400, quoted in 28usize..1500, kind in any::<u8>(), code: u8, rest: [u8; 4],
    ) {
        let packet = inner(payload);
        let inside = Quoted::new(&packet[..quoted.min(packet.len())]).unwrap();
        let bytes = Answer { kind, code, rest }.emit(ENTRY.into(), &inside);
        prop_assert!(bytes.len() <= LARGEST);
        let sliced = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4: {sliced:?}") };
        prop_assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
        prop_assert_eq!((ip.header().source(), ip.header().destination()), (ENTRY, SENDER));
        let Some(TransportSlice::Icmpv4(_)) = &sliced.transport else { panic!("no ICMP: {sliced:?}") };
        let icmp = Icmpv4Slice::from_slice(&bytes[20..]).unwrap();
        prop_assert_eq!(checksum::internet(&[&bytes[20..]]), 0);
        prop_assert_eq!((icmp.type_u8(), icmp.code_u8()), (kind, code));
        let length = (bytes.len() - 28).min(548);
        prop_assert_eq!(&bytes[28..], &packet[..length]);
    }

    #[test]
    fn arbitrary_quotations_never_panic(
        kind in prop::sample::select(vec![3u8, 4, 5, 11, 12]), code: u8, rest: [u8; 4],
        protocol in prop::sample::select(vec![4u8, 17, 47, 55, 6]), bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut quoted = bytes;
        if let [first, .., _, _, _, _, _, _, _, _, _, _] = quoted.as_mut_slice() {
            *first = 0x45;
            quoted[9] = protocol;
        }
        let packet = error(kind, code, rest, &quoted);
        if let Some(error) = IcmpError::parse(&packet) {
            error.quoted.udp_ports();
            if let Some(inside) = error.quoted.inner()
                && let Some(answer) = Answer::to(error.cause, &error.quoted, &inside, 1380, false)
            {
                prop_assert!(answer.emit(ENTRY.into(), &inside).len() <= LARGEST);
            }
        }
    }
}
