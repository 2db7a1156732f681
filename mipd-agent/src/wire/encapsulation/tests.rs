use etherparse::{Ipv4Header, Ipv4HeaderSlice, PacketBuilder};
use proptest::prelude::*;

use super::*;

const OUTER: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [198, 51, 100, 7]);

fn inner(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 1, 0, 5], [10, 9, 0, 7], 63).udp(1, 2).write(&mut packet, payload).unwrap();
    packet
}

fn outer(protocol: u8, length: usize) -> Vec<u8> {
    let mut header = Ipv4Header::new(length as u16, 63, protocol.into(), OUTER.0, OUTER.1).unwrap();
    // As `PacketBuilder` writes it, so that minimal encapsulation brings back the very same packet.
    header.dont_fragment = true;
    header.header_checksum = header.calc_header_checksum();
    header.to_bytes().to_vec()
}

fn forms() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::IpInIp),
        Just(Form::Minimal),
        any::<Option<u32>>().prop_map(|key| Form::Gre { key, sequence: None })
    ]
}

/// A GRE packet with the optional fields that the flags ask for.
fn gre(flags: u16, key: u32, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut bytes = [&flags.to_be_bytes()[..], &[8, 0]].concat();
    let places: [(u16, [u8; 4]); 3] = [(0x8000, [0; 4]), (0x2000, key.to_be_bytes()), (0x1000, sequence.to_be_bytes())];
    for (_, word) in places.iter().filter(|(flag, _)| flags & flag != 0) {
        bytes.extend(word);
    }
    bytes.extend(packet);
    if flags & 0x8000 != 0 {
        let sum = crate::wire::checksum::internet(&[&bytes]).to_be_bytes();
        bytes[4..6].copy_from_slice(&sum);
    }
    bytes
}

proptest! {
    #[test]
    fn what_is_wrapped_is_unwrapped_unchanged(form in forms(), payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let packet = inner(&payload);
        let (protocol, wrapped) = wrap(form, &packet);
        let unwrapped = unwrap(protocol, &outer(protocol, wrapped.len()), &wrapped).unwrap();
        prop_assert_eq!(unwrapped.form, form);
        prop_assert_eq!(unwrapped.source(), Ipv4Addr::new(10, 1, 0, 5));
        prop_assert_eq!(unwrapped.destination(), Ipv4Addr::new(10, 9, 0, 7));
        prop_assert_eq!(unwrapped.packet.into_owned(), packet);
    }

    #[test]
    fn arbitrary_bytes_are_taken_apart_without_panic_and_never_give_more_than_there_was(
        protocol in prop_oneof![Just(4u8), Just(47), Just(55), any::<u8>()],
        header in prop::collection::vec(any::<u8>(), 0..64),
        mut payload in prop::collection::vec(any::<u8>(), 0..120),
        likely: bool,
    ) {
        if likely && payload.len() > 4 {
            payload[..4].copy_from_slice(if protocol == 47 { &[0x30, 0, 8, 0] } else { &[0x45, 0, 0, 40] });
        }
        if let Ok(unwrapped) = unwrap(protocol, &header, &payload) {
            prop_assert_eq!(whole_length(&unwrapped.packet), Some(unwrapped.packet.len()));
            prop_assert!(unwrapped.packet.len() <= payload.len() + header.len());
        }
    }

    #[test]
    fn one_changed_byte_of_a_checksummed_gre_packet_is_noticed(
        at in 0usize..76, bit in 0u8..8, key: Option<u32>, sequence: Option<u32>,
    ) {
        let flags = 0x8000 | if key.is_some() { 0x2000 } else { 0 } | if sequence.is_some() { 0x1000 } else { 0 };
        let mut bytes = gre(flags, key.unwrap_or(0), sequence.unwrap_or(0), &inner(&[7; 40]));
        let right = unwrap(GRE, &outer(GRE, 0), &bytes).unwrap().form;
        prop_assert_eq!(right, Form::Gre { key, sequence });
        bytes[at] ^= 1 << bit;
        // Without C in the flags nothing is verified.
        prop_assume!(bytes[0] & 0x80 != 0);
        prop_assert!(unwrap(GRE, &outer(GRE, 0), &bytes).is_err());
    }
}

#[test]
fn truncated_packets_are_refused_in_every_form() {
    for form in [Form::IpInIp, Form::Gre { key: None, sequence: None }, Form::Gre { key: Some(1), sequence: None }] {
        let (protocol, wrapped) = wrap(form, &inner(&[7; 30]));
        for length in 0..wrapped.len() {
            assert!(unwrap(protocol, &outer(protocol, length), &wrapped[..length]).is_err(), "{form:?} {length}");
        }
    }
    let (_, wrapped) = wrap(Form::Minimal, &inner(&[7; 30]));
    for length in 0..12 {
        assert_eq!(unwrap(MINIMAL, &outer(MINIMAL, length), &wrapped[..length]), Err(Damage::Malformed), "{length}");
    }
}

#[test]
fn padding_behind_the_packet_inside_is_cut_off_and_a_length_beyond_it_refused() {
    let mut packet = inner(&[7; 30]);
    let length = packet.len();
    packet.extend([0; 6]);
    assert_eq!(unwrap(IP_IN_IP, &outer(4, 0), &packet).unwrap().packet.len(), length);
    for (offset, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (2, 0xff), (3, 0x05), (8, 0)] {
        let mut packet = packet.clone();
        packet[offset] = value;
        assert_eq!(unwrap(IP_IN_IP, &outer(4, 0), &packet), Err(Damage::Malformed), "{offset} {value}");
    }
}

#[test]
fn gre_headers_of_other_standards_are_refused_and_reserved_bits_ignored() {
    let packet = inner(b"x");
    let form = |flags| unwrap(GRE, &outer(GRE, 0), &gre(flags, 5, 6, &packet)).map(|unwrapped| unwrapped.form);
    assert_eq!(form(0x0000), Ok(Form::Gre { key: None, sequence: None }));
    assert_eq!(form(0xb000), Ok(Form::Gre { key: Some(5), sequence: Some(6) }));
    for ignored in [0x0200, 0x0100, 0x0080, 0x0008] {
        assert_eq!(form(ignored), Ok(Form::Gre { key: None, sequence: None }), "{ignored:#x}");
    }
    for refused in [0x4000, 0x0800, 0x0400, 0x0001, 0x0002, 0x0004] {
        assert_eq!(form(refused), Err(Damage::Unknown), "{refused:#x}");
    }
    let mut other = gre(0, 0, 0, &packet);
    other[2..4].copy_from_slice(&[0x86, 0xdd]);
    assert_eq!(unwrap(GRE, &outer(GRE, 0), &other), Err(Damage::Unknown), "IPv6 inside");
    assert_eq!(unwrap(41, &outer(41, 0), &packet), Err(Damage::Unknown));
}

#[test]
fn minimal_encapsulation_keeps_options_and_everything_else_of_the_outer_header() {
    let mut header = Ipv4Header::new(0, 17, MINIMAL.into(), OUTER.0, OUTER.1).unwrap();
    header.options = etherparse::Ipv4Options::try_from(&[7, 7, 4, 0, 0, 0, 0, 0][..]).unwrap();
    header.set_payload_len(0).unwrap();
    header.identification = 0xbeef;
    header.dscp = etherparse::IpDscp::try_new(0x2e).unwrap();
    // Original protocol, no source, checksum, original destination.
    let mut forwarding = [6, 0, 0, 0, 10, 9, 0, 7];
    let sum = crate::wire::checksum::internet(&[&forwarding]).to_be_bytes();
    forwarding[2..4].copy_from_slice(&sum);
    let payload = [&forwarding[..], b"payload"].concat();
    let unwrapped = unwrap(MINIMAL, &header.to_bytes(), &payload).unwrap();
    let parsed = Ipv4HeaderSlice::from_slice(&unwrapped.packet).unwrap();
    assert_eq!(parsed.source(), OUTER.0, "the outer source was the original one");
    assert_eq!((parsed.destination(), parsed.protocol().0, parsed.ttl()), ([10, 9, 0, 7], 6, 17));
    assert_eq!((parsed.identification(), parsed.dcp().value(), parsed.options().len()), (0xbeef, 0x2e, 8));
    assert_eq!(parsed.header_checksum(), parsed.to_header().calc_header_checksum());
    assert_eq!(unwrapped.packet.len(), 28 + 7);
    forwarding[4] ^= 1;
    assert_eq!(unwrap(MINIMAL, &header.to_bytes(), &forwarding), Err(Damage::Checksum));
}

#[test]
fn fragments_and_packets_with_options_go_ip_in_ip() {
    let mut fragment = inner(&[7; 64]);
    fragment[6] = 0x20;
    assert_eq!(wrap(Form::Minimal, &fragment), (IP_IN_IP, fragment.clone()));
    let mut options = inner(&[7; 64]);
    options[0] = 0x46;
    assert_eq!(wrap(Form::Minimal, &options).0, IP_IN_IP);
}

#[test]
fn a_header_made_up_for_a_datagram_allows_fragments() {
    let header = outer_header(OUTER.0.into(), OUTER.1.into(), 9, 0x1234);
    let parsed = Ipv4HeaderSlice::from_slice(&header).unwrap();
    assert_eq!((parsed.ttl(), parsed.identification(), parsed.dont_fragment()), (9, 0x1234, false));
}
