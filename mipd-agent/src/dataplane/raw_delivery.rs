//! What the kernel would not send where it belongs, as whole frames: broadcasts and multicasts of away clients, out on their
//! home link; and packets for a visitor whose address another one has too, and which the programs could not deliver, since
//! the kernel knows only the other one. What the kernel would do to them is done here: one hop, fragmentation.

use std::{io, net::Ipv4Addr};

use mipd_common::{mac::MacAddress, maps::Visitor};
use socket2::{Domain, Socket, Type};

use super::{error::DataPlaneError, netlink::Link, tunnels::ethernet_header};
use crate::{
    linux::link_address,
    wire::{checksum, frame},
};

const HEADER: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// The bit of an option's type that puts it into every fragment (RFC 791 §3.1).
const COPIED: u8 = 0x80;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;

/// Why a packet is not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    /// Its TTL has run out.
    #[error("its TTL has run out")]
    Expired,
    /// It is larger than the link and must not be fragmented.
    #[error("it is larger than the link and must not be fragmented")]
    TooBig,
    /// It cannot be sent.
    #[error(transparent)]
    Send(#[from] io::Error),
}

/// A packet socket that sends out of any interface and hears nothing.
pub(super) struct RawDelivery(Socket);

impl RawDelivery {
    /// Opens the socket.
    pub fn open() -> Result<Self, DataPlaneError> {
        let open = || {
            // Protocol 0: nothing is received.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        open().map(Self).map_err(|source| DataPlaneError::Socket { what: "a packet socket for visitors", source })
    }

    /// Sends a broadcast or multicast out on a link of ours, as if its sender were there: unchanged.
    pub fn send_to_group(&self, link: &Link, destination: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let mac = group_mac(destination);
        self.0
            .send_to(
                &[&ethernet_header(mac, link.mac), packet].concat(),
                &link_address(link.index, frame::ETHERTYPE_IPV4),
            )
            .map(drop)
    }

    /// Sends a whole IPv4 packet to a visitor, in fragments if the link's MTU demands it and the packet allows it.
    pub fn send(&self, visitor: &Visitor, mtu: u32, packet: &[u8]) -> Result<(), Undelivered> {
        let to = link_address(visitor.ifindex, frame::ETHERTYPE_IPV4);
        for packet in hop(packet, mtu as usize)? {
            self.0.send_to(&[&visitor.ethernet, packet.as_slice()].concat(), &to)?;
        }
        Ok(())
    }
}

/// Where frames for a multicast or broadcast address go, that of a subnet included.
fn group_mac(address: Ipv4Addr) -> MacAddress {
    frame::group_mac(address).unwrap_or(MacAddress::BROADCAST)
}

/// The packet one hop on, in pieces that fit. It must be whole and well-formed.
fn hop(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Undelivered> {
    let mut packet = packet.to_vec();
    if packet[8] <= 1 {
        return Err(Undelivered::Expired);
    }
    packet[8] -= 1;
    in_pieces(&packet, mtu)
}

/// The packet in pieces that fit (RFC 791 §3.2). It must be whole and well-formed.
pub(super) fn in_pieces(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Undelivered> {
    let header = packet[..usize::from(packet[0] & 0x0f) * 4].to_vec();
    let data = &packet[header.len()..];
    if packet.len() <= mtu {
        return Ok(vec![finish(header, data)]);
    }
    let word = u16::from_be_bytes([header[6], header[7]]);
    if word & DONT_FRAGMENT != 0 {
        return Err(Undelivered::TooBig);
    }
    let room = mtu.saturating_sub(header.len()) & !7;
    if room == 0 {
        return Err(Undelivered::TooBig);
    }
    let last = data.len().div_ceil(room) - 1;
    let pieces = data.chunks(room).enumerate().map(|(index, piece)| {
        let mut header = if index == 0 { header.clone() } else { copied(&header) };
        let offset = (word & OFFSET) + (index * room / 8) as u16;
        let more = if index == last { word & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        header[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        finish(header, piece)
    });
    Ok(pieces.collect())
}

/// The header with those options only that every fragment has.
fn copied(header: &[u8]) -> Vec<u8> {
    let (fixed, mut options) = header.split_at(HEADER);
    let mut copy = fixed.to_vec();
    while let Some(&kind) = options.first().filter(|kind| **kind != END_OF_OPTIONS) {
        let length = if kind == NO_OPERATION { 1 } else { options.get(1).map_or(0, |length| usize::from(*length)) };
        let Some((option, rest)) = options.split_at_checked(length).filter(|_| length > 0) else { break };
        if kind & COPIED != 0 {
            copy.extend_from_slice(option);
        }
        options = rest;
    }
    copy.resize(copy.len().next_multiple_of(4), END_OF_OPTIONS);
    copy[0] = 4 << 4 | (copy.len() / 4) as u8;
    copy
}

/// Header and data as one packet, lengths and checksum set.
fn finish(mut header: Vec<u8>, data: &[u8]) -> Vec<u8> {
    let length = (header.len() + data.len()) as u16;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    checksum::seal_ipv4(&mut header);
    header.extend_from_slice(data);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with the options "copied" 0x82 and "not copied" 0x07, three and four bytes, and one to fill.
    fn packet(length: usize, word: u16, options: bool) -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 10, 1, 0, 5];
        header[6..8].copy_from_slice(&word.to_be_bytes());
        if options {
            header.extend([0x82, 3, 0xaa, 0x07, 4, 4, 0, 0]);
            header[0] = 0x47;
        }
        let data: Vec<u8> = (0..length - header.len()).map(|byte| byte as u8).collect();
        finish(header, &data)
    }

    fn parse(packet: &[u8]) -> (etherparse::Ipv4Header, &[u8]) {
        let (header, data) = etherparse::Ipv4Header::from_slice(packet).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), packet.len());
        (header, data)
    }

    #[test]
    fn groups_have_the_ethernet_addresses_that_hosts_listen_to() {
        assert_eq!(group_mac(Ipv4Addr::BROADCAST), MacAddress::BROADCAST);
        assert_eq!(group_mac(Ipv4Addr::new(10, 1, 0, 255)), MacAddress::BROADCAST);
        assert_eq!(group_mac(Ipv4Addr::new(239, 255, 255, 250)), MacAddress([1, 0, 0x5e, 0x7f, 0xff, 0xfa]));
    }

    #[test]
    fn a_packet_that_fits_only_loses_a_hop() {
        let whole = packet(100, DONT_FRAGMENT, false);
        let sent = hop(&whole, 100).unwrap();
        assert_eq!(sent.len(), 1);
        let (header, data) = parse(&sent[0]);
        assert_eq!((header.time_to_live, header.dont_fragment, data), (63, true, &whole[20..]));
    }

    #[test]
    fn fragments_of_a_fragment_continue_where_it_was() {
        let whole = packet(1000, 0x64 | MORE_FRAGMENTS, true);
        let sent = hop(&whole, 500).unwrap();
        assert_eq!(sent.len(), 3);
        let mut data = Vec::new();
        for (index, packet) in sent.iter().enumerate() {
            assert!(packet.len() <= 500);
            let (header, piece) = parse(packet);
            assert_eq!(usize::from(header.fragment_offset.value()), 100 + data.len() / 8);
            assert!(header.more_fragments && header.identification == 9);
            let options: &[u8] = if index == 0 { &[0x82, 3, 0xaa, 7, 4, 4, 0, 0] } else { &[0x82, 3, 0xaa, 0] };
            assert_eq!(header.options.as_slice(), options);
            data.extend_from_slice(piece);
        }
        assert_eq!(data, whole[28..]);
    }

    #[test]
    fn the_last_fragment_of_a_whole_packet_says_so() {
        let sent = hop(&packet(1000, 0, false), 576).unwrap();
        let more: Vec<_> = sent.iter().map(|packet| parse(packet).0.more_fragments).collect();
        assert_eq!(more, [true, false]);
    }

    #[test]
    fn nothing_expired_or_too_big_is_sent() {
        let mut expiring = packet(60, 0, false);
        expiring[8] = 1;
        assert!(matches!(hop(&expiring, 1500), Err(Undelivered::Expired)));
        assert!(matches!(hop(&packet(60, DONT_FRAGMENT, false), 59), Err(Undelivered::TooBig)));
        assert!(matches!(hop(&packet(60, 0, false), 27), Err(Undelivered::TooBig)));
    }

    #[test]
    fn options_that_make_no_sense_end_the_list() {
        for options in [[0x82, 0, 1, 1], [0x82, 9, 1, 1], [1, 1, 1, 0x82]] {
            let mut header = packet(28, 0, false)[..20].to_vec();
            header.extend(options);
            assert_eq!(copied(&header), [&[0x45], &header[1..20]].concat());
        }
    }
}
