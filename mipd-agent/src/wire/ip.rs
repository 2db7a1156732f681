//! IPv4, UDP and ICMP headers around the messages, for raw frames (RFC 791, RFC 768).

use std::net::Ipv4Addr;

use thiserror::Error;

use super::checksum;

/// IP protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

const HEADER_LENGTH: usize = 20;
const UDP_HEADER_LENGTH: usize = 8;

/// Why bytes are not the packet looked for. All of them: drop and count, or leave the packet to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PacketError {
    /// Shorter than its headers, or than they claim.
    #[error("packet shorter than its headers claim; drop it")]
    Truncated,
    /// Another Ethernet type than expected.
    #[error("Ethernet type {0:#06x} is not the expected one; leave the frame alone")]
    EtherType(u16),
    /// Not IP version 4.
    #[error("IP version {0} is not 4; leave the packet alone")]
    Version(u8),
    /// Wrong IP header checksum.
    #[error("wrong IP header checksum; drop the packet")]
    HeaderChecksum,
    /// A fragment: the kernel reassembles, we do not.
    #[error("packet is a fragment; let the kernel reassemble it")]
    Fragment,
    /// Another IP protocol than expected.
    #[error("IP protocol {0} is not the expected one; leave the packet alone")]
    Protocol(u8),
    /// Wrong UDP checksum.
    #[error("wrong UDP checksum; drop the packet")]
    UdpChecksum,
    /// Header fields that contradict each other or the standard.
    #[error("{0}; drop the packet")]
    Malformed(&'static str),
}

/// An unfragmented IPv4 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// What follows the header and its options.
    pub payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Reads and checks the header, skips options, cuts off link-layer padding.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let header: &[u8; HEADER_LENGTH] = packet.first_chunk().ok_or(PacketError::Truncated)?;
        if header[0] >> 4 != 4 {
            return Err(PacketError::Version(header[0] >> 4));
        }
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header_length < HEADER_LENGTH || total_length < header_length {
            return Err(PacketError::Malformed("IP header length contradicts the packet's length"));
        }
        let packet = packet.get(..total_length).ok_or(PacketError::Truncated)?;
        if checksum::internet(&[&packet[..header_length]]) != 0 {
            return Err(PacketError::HeaderChecksum);
        }
        // More-fragments bit or fragment offset.
        if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
            return Err(PacketError::Fragment);
        }
        Ok(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
            ttl: header[8],
            protocol: header[9],
            payload: &packet[header_length..],
        })
    }

    /// Appends the packet, without options. "Don't fragment" is set, so the Identification may be zero (RFC 6864 §4.1).
    pub fn emit(&self, out: &mut Vec<u8>) {
        let total_length = (HEADER_LENGTH + self.payload.len()) as u16;
        let mut header = [0; HEADER_LENGTH];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&total_length.to_be_bytes());
        header[6] = 0x40;
        header[8] = self.ttl;
        header[9] = self.protocol;
        header[12..16].copy_from_slice(&self.source.octets());
        header[16..20].copy_from_slice(&self.destination.octets());
        checksum::seal_ipv4(&mut header);
        out.extend(header);
        out.extend(self.payload);
    }
}

/// A UDP datagram with the addresses of its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// IP source address.
    pub source: Ipv4Addr,
    /// UDP source port.
    pub source_port: u16,
    /// IP destination address.
    pub destination: Ipv4Addr,
    /// UDP destination port.
    pub destination_port: u16,
    /// IP time to live.
    pub ttl: u8,
    /// UDP payload.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads an IPv4 packet that carries UDP. A zero UDP checksum is accepted (RFC 768). With
    /// `checksum_verified_by_kernel` the UDP checksum is not looked at: the packet came from a socket that reports it
    /// as right or, on the same machine, as not yet filled in.
    pub fn parse(packet: &'a [u8], checksum_verified_by_kernel: bool) -> Result<Self, PacketError> {
        let ip = Ipv4::parse(packet)?;
        if ip.protocol != PROTOCOL_UDP {
            return Err(PacketError::Protocol(ip.protocol));
        }
        let header: &[u8; UDP_HEADER_LENGTH] = ip.payload.first_chunk().ok_or(PacketError::Truncated)?;
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let length = usize::from(half(4));
        if length < UDP_HEADER_LENGTH {
            return Err(PacketError::Malformed("UDP length shorter than the UDP header"));
        }
        let udp = ip.payload.get(..length).ok_or(PacketError::Truncated)?;
        let unchecked = checksum_verified_by_kernel || half(6) == 0;
        if !unchecked && checksum::internet(&[&pseudo_header(ip.source, ip.destination, udp.len()), udp]) != 0 {
            return Err(PacketError::UdpChecksum);
        }
        Ok(Self {
            source: ip.source,
            source_port: half(0),
            destination: ip.destination,
            destination_port: half(2),
            ttl: ip.ttl,
            payload: &udp[UDP_HEADER_LENGTH..],
        })
    }

    /// Appends the IPv4 packet, both checksums filled in.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let length = UDP_HEADER_LENGTH + self.payload.len();
        let mut udp = Vec::with_capacity(length);
        udp.extend(self.source_port.to_be_bytes());
        udp.extend(self.destination_port.to_be_bytes());
        udp.extend((length as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(self.payload);
        let checksum = match checksum::internet(&[&pseudo_header(self.source, self.destination, length), &udp]) {
            // Zero would say that there is none (RFC 768).
            0 => 0xffff,
            checksum => checksum,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        Ipv4 {
            source: self.source,
            destination: self.destination,
            ttl: self.ttl,
            protocol: PROTOCOL_UDP,
            payload: &udp,
        }
        .emit(out);
    }
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> [u8; 12] {
    let mut header = [0; 12];
    header[..4].copy_from_slice(&source.octets());
    header[4..8].copy_from_slice(&destination.octets());
    header[9] = PROTOCOL_UDP;
    header[10..].copy_from_slice(&(length as u16).to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 151);
    const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);

    fn datagram(payload: &[u8]) -> Datagram<'_> {
        Datagram {
            source: SOURCE,
            source_port: 4242,
            destination: DESTINATION,
            destination_port: 434,
            ttl: 255,
            payload,
        }
    }

    fn emitted(payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        datagram(payload).emit(&mut packet);
        packet
    }

    /// Sets bytes of the IP header and makes its checksum right again.
    fn with_header(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet[10..12].fill(0);
        let length = usize::from(packet[0] & 0x0f) * 4;
        let checksum = checksum::internet(&[&packet[..length.min(packet.len())]]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    #[test]
    fn a_datagram_of_another_implementation_is_read() {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(SOURCE.octets(), DESTINATION.octets(), 255).udp(4242, 434);
        builder.write(&mut packet, b"register").unwrap();
        assert_eq!(Datagram::parse(&packet, false), Ok(datagram(b"register")));
    }

    #[test]
    fn our_datagram_is_read_by_another_implementation() {
        let packet = emitted(b"register");
        let sliced = etherparse::SlicedPacket::from_ip(&packet).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4: {sliced:?}") };
        assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
        let Some(etherparse::TransportSlice::Udp(udp)) = &sliced.transport else { panic!("no UDP: {sliced:?}") };
        let expected =
            udp.to_header().calc_checksum_ipv4_raw(SOURCE.octets(), DESTINATION.octets(), b"register").unwrap();
        assert_eq!(udp.checksum(), expected);
    }

    #[test]
    fn a_wrong_udp_checksum_is_refused_unless_the_kernel_vouches_for_it() {
        let mut packet = emitted(b"register");
        packet[30] ^= 1;
        assert_eq!(Datagram::parse(&packet, false), Err(PacketError::UdpChecksum));
        assert_eq!(Datagram::parse(&packet, true).unwrap().source_port, 4242);
        packet[26..28].fill(0);
        assert!(Datagram::parse(&packet, false).is_ok(), "a zero checksum means none");
    }

    #[test]
    fn link_layer_padding_is_cut_off_and_options_are_skipped() {
        let mut padded = emitted(b"x");
        padded.resize(46, 0);
        assert_eq!(Datagram::parse(&padded, false), Ok(datagram(b"x")));

        let mut with_options = emitted(b"x");
        with_options.splice(20..20, [1, 1, 1, 1]);
        let with_options = with_header(with_options, 0, &[0x46, 0, 0, 33]);
        assert_eq!(Datagram::parse(&with_options, false), Ok(datagram(b"x")));
    }

    #[test]
    fn packets_that_cannot_be_read_are_refused_with_the_reason() {
        let packet = emitted(b"register");
        let refused = |packet: &[u8]| Datagram::parse(packet, false).unwrap_err();
        assert_eq!(refused(&packet[..19]), PacketError::Truncated);
        assert_eq!(refused(&packet[..35]), PacketError::Truncated);
        assert_eq!(refused(&with_header(packet.clone(), 0, &[0x65])), PacketError::Version(6));
        assert_eq!(refused(&with_header(packet.clone(), 6, &[0x20, 0])), PacketError::Fragment);
        assert_eq!(refused(&with_header(packet.clone(), 6, &[0, 1])), PacketError::Fragment);
        assert_eq!(refused(&with_header(packet.clone(), 9, &[1])), PacketError::Protocol(1));
        assert!(matches!(refused(&with_header(packet.clone(), 0, &[0x44])), PacketError::Malformed(_)));
        assert!(matches!(refused(&with_header(packet.clone(), 2, &[0, 19])), PacketError::Malformed(_)));
        let mut short_udp = packet.clone();
        short_udp[25] = 7;
        assert!(matches!(refused(&short_udp), PacketError::Malformed(_)));
        let mut damaged = packet;
        damaged[8] ^= 1;
        assert_eq!(refused(&damaged), PacketError::HeaderChecksum);
    }

    proptest! {
        #[test]
        fn datagrams_round_trip(source: u32, source_port: u16, destination: u32, destination_port: u16, ttl: u8,
                                payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let datagram = Datagram {
                source: source.into(), source_port, destination: destination.into(), destination_port, ttl,
                payload: &payload,
            };
            let mut packet = Vec::new();
            datagram.emit(&mut packet);
            prop_assert_ne!(&packet[26..28], &[0, 0]);
            prop_assert_eq!(Datagram::parse(&packet, false), Ok(datagram));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 20..80), total in 0u8..90, options in 0u8..16) {
            let _ = Datagram::parse(&bytes, true);
            let packet = with_header(bytes, 0, &[0x40 | options, 0, 0, total, 0, 0, 0, 0, 64, PROTOCOL_UDP]);
            if let Ok(datagram) = Datagram::parse(&packet, true) {
                prop_assert!(datagram.payload.len() + 28 <= usize::from(total));
            }
        }
    }
}
