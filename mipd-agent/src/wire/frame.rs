//! Whole Ethernet frames: what the agent sends and receives on raw sockets and the punt device.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::checksum;
use super::ip::{Datagram, Ipv4, PROTOCOL_ICMP, PacketError};

/// Ethernet type of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethernet type of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;

const HEADER_LENGTH: usize = 14;

/// The addresses of an Ethernet frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Destination address.
    pub destination: MacAddress,
    /// Source address.
    pub source: MacAddress,
}

impl Link {
    /// Takes an untagged frame apart: addresses, the two bytes after them (an Ethernet type, or an 802.3 length below
    /// 0x0600), payload.
    pub fn parse(frame: &[u8]) -> Result<(Self, u16, &[u8]), PacketError> {
        let (header, payload) = frame.split_first_chunk::<HEADER_LENGTH>().ok_or(PacketError::Truncated)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low] = *header;
        let link =
            Self { destination: MacAddress([d0, d1, d2, d3, d4, d5]), source: MacAddress([s0, s1, s2, s3, s4, s5]) };
        Ok((link, u16::from_be_bytes([high, low]), payload))
    }

    /// The same, for one Ethernet type only.
    pub(super) fn parse_type(frame: &[u8], expected: u16) -> Result<(Self, &[u8]), PacketError> {
        match Self::parse(frame)? {
            (link, found, payload) if found == expected => Ok((link, payload)),
            (_, found, _) => Err(PacketError::EtherType(found)),
        }
    }

    /// A frame with nothing but its header.
    pub(super) fn begin(self, type_or_length: u16) -> Vec<u8> {
        let mut frame = Vec::with_capacity(128);
        frame.extend(self.destination.0);
        frame.extend(self.source.0);
        frame.extend(type_or_length.to_be_bytes());
        frame
    }
}

/// Reads a frame that carries a UDP datagram; `checksum_verified_by_kernel` as in [`Datagram::parse`].
pub fn parse_udp(frame: &[u8], checksum_verified_by_kernel: bool) -> Result<(Link, Datagram<'_>), PacketError> {
    let (link, packet) = Link::parse_type(frame, ETHERTYPE_IPV4)?;
    Ok((link, Datagram::parse(packet, checksum_verified_by_kernel)?))
}

/// A frame that carries a UDP datagram.
pub fn emit_udp(link: Link, datagram: &Datagram<'_>) -> Vec<u8> {
    let mut frame = link.begin(ETHERTYPE_IPV4);
    datagram.emit(&mut frame);
    frame
}

/// An ICMP message with the addresses of its packet. The ICMP checksum belongs to the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpPacket<'a> {
    /// IP source address.
    pub source: Ipv4Addr,
    /// IP destination address.
    pub destination: Ipv4Addr,
    /// IP time to live.
    pub ttl: u8,
    /// The whole ICMP message.
    pub message: &'a [u8],
}

/// Reads a frame that carries ICMP.
pub fn parse_icmp(frame: &[u8]) -> Result<(Link, IcmpPacket<'_>), PacketError> {
    let (link, packet) = Link::parse_type(frame, ETHERTYPE_IPV4)?;
    let Ipv4 { source, destination, ttl, protocol, payload } = Ipv4::parse(packet)?;
    if protocol != PROTOCOL_ICMP {
        return Err(PacketError::Protocol(protocol));
    }
    Ok((link, IcmpPacket { source, destination, ttl, message: payload }))
}

/// A frame that carries ICMP.
pub fn emit_icmp(link: Link, packet: &IcmpPacket<'_>) -> Vec<u8> {
    let IcmpPacket { source, destination, ttl, message } = *packet;
    let mut frame = link.begin(ETHERTYPE_IPV4);
    Ipv4 { source, destination, ttl, protocol: PROTOCOL_ICMP, payload: message }.emit(&mut frame);
    frame
}

/// The destination of a frame's packet, if that is an ICMP echo request without IP options that no router would pass on.
pub fn last_hop_echo(frame: &[u8]) -> Option<Ipv4Addr> {
    const PLAIN: u8 = 0x45;
    const ECHO_REQUEST: u8 = 8;
    let (_, packet) = Link::parse_type(frame, ETHERTYPE_IPV4).ok()?;
    let Ipv4 { destination, ttl, protocol, payload, .. } = Ipv4::parse(packet).ok()?;
    let asks = packet[0] == PLAIN && protocol == PROTOCOL_ICMP && payload.first() == Some(&ECHO_REQUEST);
    (asks && ttl == 1).then_some(destination)
}

/// Gives the packet of a frame another time to live. Nothing happens to a frame without an IPv4 packet, or one with options.
pub fn set_ttl(frame: &mut [u8], ttl: u8) {
    const TTL_AT: usize = 8;
    let Ok((_, packet)) = Link::parse_type(frame, ETHERTYPE_IPV4) else { return };
    if packet.first() != Some(&0x45) {
        return;
    }
    if let Some(header) = frame.get_mut(HEADER_LENGTH..HEADER_LENGTH + 20) {
        header[TTL_AT] = ttl;
        checksum::seal_ipv4(header);
    }
}

/// The Ethernet address of an IPv4 multicast or broadcast destination (RFC 1112 §6.4); `None` for unicast.
pub fn group_mac(destination: Ipv4Addr) -> Option<MacAddress> {
    let [_, b, c, d] = destination.octets();
    if destination.is_broadcast() {
        Some(MacAddress::BROADCAST)
    } else {
        destination.is_multicast().then_some(MacAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
    }
}

/// The frame by which an access point moves a client to itself in the tables of all switches: an 802.2 exchange
/// identification response, broadcast with the client's address as source, as access points do when a station
/// associates (IEEE 802.2 §5.4.1.1.2; the "layer 2 update frame" of IEEE 802.11F).
pub fn layer_2_update(client: MacAddress) -> Vec<u8> {
    const LENGTH: u16 = 6;
    const XID: [u8; LENGTH as usize] = [0x00, 0x01, 0xaf, 0x81, 0x01, 0x00];
    const MINIMUM_FRAME_LENGTH: usize = 60;
    let mut frame = Link { destination: MacAddress::BROADCAST, source: client }.begin(LENGTH);
    frame.extend(XID);
    frame.resize(MINIMUM_FRAME_LENGTH, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINK: Link = Link { destination: MacAddress([2, 0, 0, 0, 0, 1]), source: MacAddress([2, 0, 0, 0, 0, 2]) };

    fn datagram(payload: &[u8]) -> Datagram<'_> {
        Datagram {
            source: Ipv4Addr::new(10, 1, 0, 9),
            source_port: 4242,
            destination: Ipv4Addr::new(10, 2, 0, 1),
            destination_port: 434,
            ttl: 255,
            payload,
        }
    }

    #[test]
    fn frames_start_with_destination_source_and_type() {
        let frame = emit_udp(LINK, &datagram(b"x"));
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    }

    #[test]
    fn another_ethernet_type_is_refused() {
        let mut frame = emit_udp(LINK, &datagram(b"x"));
        frame[13] = 6;
        assert_eq!(parse_udp(&frame, false), Err(PacketError::EtherType(0x0806)));
        assert_eq!(parse_udp(&frame[..13], false), Err(PacketError::Truncated));
    }

    #[test]
    fn icmp_keeps_its_ttl_and_is_not_taken_for_udp() {
        let packet = IcmpPacket {
            source: Ipv4Addr::new(10, 2, 0, 1),
            destination: Ipv4Addr::new(224, 0, 0, 1),
            ttl: 1,
            message: &[10, 0, 0xf5, 0xff, 0, 0, 0, 0],
        };
        let frame = emit_icmp(LINK, &packet);
        assert_eq!(parse_icmp(&frame), Ok((LINK, packet)));
        assert_eq!(parse_udp(&frame, false), Err(PacketError::Protocol(1)));
    }

    #[test]
    fn an_echo_request_with_one_hop_to_live_can_be_given_more() {
        let echo = |ttl, kind| {
            let message = &[kind, 0, 0, 0, 0, 0, 0, 1];
            let packet = IcmpPacket {
                source: Ipv4Addr::new(10, 1, 0, 9),
                destination: Ipv4Addr::new(10, 1, 0, 1),
                ttl,
                message,
            };
            emit_icmp(LINK, &packet)
        };
        let mut frame = echo(1, 8);
        assert_eq!(last_hop_echo(&frame), Some(Ipv4Addr::new(10, 1, 0, 1)));
        set_ttl(&mut frame, 64);
        assert_eq!(frame, echo(64, 8));
        assert_eq!(last_hop_echo(&frame), None);
        assert_eq!(last_hop_echo(&echo(1, 0)), None);
        assert_eq!(last_hop_echo(&emit_udp(LINK, &datagram(b"x"))), None);
        let mut short = echo(1, 8)[..30].to_vec();
        set_ttl(&mut short, 64);
        assert_eq!(short, echo(1, 8)[..30]);
    }

    #[test]
    fn multicast_and_broadcast_addresses_map_to_their_group_macs() {
        assert_eq!(group_mac(Ipv4Addr::new(224, 128, 0, 11)), Some(MacAddress([1, 0, 0x5e, 0, 0, 11])));
        assert_eq!(group_mac(Ipv4Addr::BROADCAST), Some(MacAddress::BROADCAST));
        assert_eq!(group_mac(Ipv4Addr::new(10, 0, 0, 1)), None);
    }

    #[test]
    fn the_layer_2_update_is_a_padded_xid_response_from_the_client() {
        let frame = layer_2_update(MacAddress([2, 0, 0, 0, 0, 7]));
        assert_eq!(
            frame[..20],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0, 6, 0x00, 0x01, 0xaf, 0x81, 0x01, 0x00]
        );
        assert_eq!(frame.len(), 60);
    }

    proptest! {
        #[test]
        fn udp_frames_round_trip(destination: [u8; 6], source: [u8; 6], payload in prop::collection::vec(any::<u8>(), 0..99)) {
            let link = Link { destination: MacAddress(destination), source: MacAddress(source) };
            let frame = emit_udp(link, &datagram(&payload));
            prop_assert_eq!(parse_udp(&frame, false), Ok((link, datagram(&payload))));
        }

        #[test]
        fn arbitrary_frames_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Link::parse(&bytes);
            if bytes.len() >= 15 {
                bytes[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
            }
            let _ = parse_icmp(&bytes);
            prop_assert!(parse_udp(&bytes, true).is_err() || bytes.len() >= 42);
        }
    }
}
