//! What goes through tunnels: packets of every sort that a tunnel must carry unchanged.

use std::net::Ipv4Addr;

use super::ipv4::Ipv4;
use super::transport::maximum_segment_size;
use super::tunnel::{Gre, Minimal, UdpTunnel};

/// Packets between two addresses, each with what it is. None is larger than 1,400 bytes.
pub fn packets(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<(&'static str, Ipv4)> {
    let (from, to) = ((source, 4000), (destination, 5000));
    let datagram = || Ipv4::udp(from, to, 32);
    let far = Ipv4::udp((Ipv4Addr::new(203, 0, 113, 5), 1), (Ipv4Addr::new(203, 0, 113, 6), 2), 24);
    let mut options = maximum_segment_size(1360).to_vec();
    options.extend([4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7]);
    vec![
        ("a datagram", datagram()),
        ("a header alone", Ipv4::new(source, destination)),
        ("one byte", Ipv4::new(source, destination).payload(1)),
        ("1,400 bytes", datagram().payload(1380)),
        ("DSCP expedited forwarding", datagram().tos(0xb8)),
        ("DSCP and congestion experienced", datagram().tos(0x2b)),
        ("every TOS bit", datagram().tos(0xff)),
        ("an identification with DF", datagram().identification(0xbeef)),
        ("no DF", datagram().may_fragment().identification(7)),
        ("no DF, no identification", datagram().may_fragment()),
        ("the first fragment", datagram().fragment(0, true).identification(0x1234)),
        ("a middle fragment", datagram().fragment(40, true).identification(0x1234)),
        ("the last fragment", datagram().fragment(185, false).identification(0x1234)),
        ("the highest fragment offset", datagram().fragment(0x1fff, false).identification(0x1234)),
        ("the smallest TTL that survives", datagram().ttl(2)),
        ("the largest TTL", datagram().ttl(255)),
        ("a header checksum next to wrapping over", wrapping(&datagram())),
        ("a wrong UDP length", Ipv4::new(source, destination).payload_bytes(&[0, 1, 0, 2, 0xff, 0xff, 0, 0])),
        ("a TCP SYN with options", Ipv4::tcp_syn(from, to, &options)),
        ("a TCP SYN without options", Ipv4::tcp_syn(from, to, &[])),
        ("a TCP segment", Ipv4::tcp_data(from, to, 1000)),
        ("an echo request", Ipv4::echo(source, destination, 56)),
        ("port unreachable about a datagram", Ipv4::icmp_error(source, destination, 3, 3, &far)),
        ("time exceeded about IP-in-IP", {
            Ipv4::icmp_error(source, destination, 11, 0, &Ipv4::tunnel(destination, source, &far))
        }),
        ("fragmentation needed about GRE", {
            Ipv4::fragmentation_needed(source, destination, 1300, &Gre::new().tunnel(destination, source, &far))
        }),
        ("another IP-in-IP tunnel", Ipv4::tunnel(source, destination, &far)),
        ("another GRE tunnel", Gre::new().checksum().key([1; 4]).sequence(3).tunnel(source, destination, &far)),
        ("another minimal tunnel", Minimal::new().tunnel(source, destination, &far)),
        ("another UDP tunnel", UdpTunnel::new().tunnel(source, destination, &far, &far.bytes())),
        ("a protocol that nobody knows", datagram().protocol(253)),
    ]
}

/// Gives a packet the identification that makes its header checksum 0xff10, which one hop makes wrap over.
fn wrapping(packet: &Ipv4) -> Ipv4 {
    let bytes = packet.clone().identification(0).bytes();
    let without = u32::from(u16::from_be_bytes([bytes[10], bytes[11]]));
    // A sum without identification falls by as much as that is, modulo 0xffff.
    let packet = packet.clone().identification(((without + 0xffff - 0xff10) % 0xffff) as u16);
    assert_eq!(packet.bytes()[10..12], [0xff, 0x10]);
    packet
}
