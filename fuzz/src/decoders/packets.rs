//! Frames, IPv4 packets, UDP datagrams, ARP and DHCP.

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    arp::ArpPacket,
    dhcp::{
        ClientMessage,
        relay::{Answer, Relay},
    },
    frame::{Link, emit_icmp, emit_udp, parse_icmp, parse_udp},
    ip::{Datagram, Ipv4},
};
use mipd_common::mac::MacAddress;

use super::checksum;

const IP_AT: usize = 14;

/// An Ethernet frame: as it is, and with the checksum of its IP header made right.
pub fn check(data: &[u8]) {
    read(data);
    let mut sealed = data.to_vec();
    if let Some(packet) = sealed.get_mut(IP_AT..)
        && let Some(first) = packet.first()
    {
        let length = usize::from(first & 0x0f) * 4;
        if (20..=packet.len()).contains(&length) {
            packet[10..12].fill(0);
            let sum = checksum(&packet[..length]);
            packet[10..12].copy_from_slice(&sum);
            read(&sealed);
        }
    }
    // A DHCP client's message rarely comes through two checksums.
    let _ = ClientMessage::parse(data).map(|message| (message.claimed_address(), message.surrendered_address()));
    let _ = Answer::parse(data);
    let relay =
        Relay { address: Ipv4Addr::LOCALHOST, subnet: Ipv4Addr::LOCALHOST, server_identifier: Ipv4Addr::LOCALHOST };
    if let (Ok(before), Ok(relayed)) = (ClientMessage::parse(data), relay.request(data)) {
        assert_eq!(ClientMessage::parse(&relayed), Ok(before));
    }
}

fn read(frame: &[u8]) {
    let _ = Link::parse(frame);
    if let Ok((link, packet)) = ArpPacket::parse(frame) {
        assert_eq!(ArpPacket::parse(&packet.emit(link)), Ok((link, packet)));
    }
    if let Ok((link, packet)) = parse_icmp(frame) {
        assert_eq!(parse_icmp(&emit_icmp(link, &packet)), Ok((link, packet)));
    }
    for verified in [false, true] {
        if let Ok((link, datagram)) = parse_udp(frame, verified) {
            let _ = ClientMessage::parse(datagram.payload);
            assert_eq!(parse_udp(&emit_udp(link, &datagram), false), Ok((link, datagram)));
        }
    }
    let Some(packet) = frame.get(IP_AT..) else { return };
    if let Ok(ip) = Ipv4::parse(packet) {
        let mut emitted = Vec::new();
        ip.emit(&mut emitted);
        assert_eq!(Ipv4::parse(&emitted), Ok(ip));
        // The same packet in a frame and without one.
        if frame[12..IP_AT] == [0x08, 0x00] {
            assert_eq!(Datagram::parse(packet, true), parse_udp(frame, true).map(|(_, datagram)| datagram));
        }
    }
}

/// One frame of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let (client, agent) = (MacAddress([2, 0, 0, 0, 0, 9]), MacAddress([2, 0, 0, 0, 0, 1]));
    let link = Link { destination: agent, source: client };
    let (home, foreign) = (Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 2, 0, 1));
    let udp = |destination_port, payload: &[u8]| {
        let (source, destination, source_port) = (home, foreign, 40_434);
        emit_udp(link, &Datagram { source, source_port, destination, destination_port, ttl: 255, payload })
    };
    let mut dhcp = vec![0; 240];
    dhcp[..3].copy_from_slice(&[1, 1, 6]);
    dhcp[28..34].copy_from_slice(&client.0);
    dhcp[236..].copy_from_slice(&[99, 130, 83, 99]);
    dhcp.extend([53, 1, 3, 50, 4, 10, 1, 0, 100, 54, 4, 10, 1, 0, 1, 0, 255]);
    let ask = ArpPacket::request(client, home, foreign);
    vec![
        udp(434, &[1; 24]),
        udp(67, &dhcp),
        dhcp,
        ask.emit_broadcast(),
        ask.reply(agent).emit(link),
        super::discovery::seeds()
            .first()
            .map(|message| {
                let packet =
                    mipd_agent::wire::frame::IcmpPacket { source: foreign, destination: home, ttl: 1, message };
                emit_icmp(link, &packet)
            })
            .unwrap_or_default(),
    ]
}
