//! What IPv4 packets carry when they carry no tunnel: UDP, TCP, ICMP.

use std::net::Ipv4Addr;

use super::ipv4::{Ipv4, checksum};

/// The SYN flag of TCP.
const SYN: u8 = 0x02;
/// The ACK flag of TCP.
const ACK: u8 = 0x10;

impl Ipv4 {
    /// A UDP datagram with `length` bytes of data; its checksum is left out.
    pub fn udp(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), length: usize) -> Self {
        let data: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        Self::udp_with(source, destination, &data)
    }

    /// A UDP datagram with this data; its checksum is left out.
    pub fn udp_with(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), data: &[u8]) -> Self {
        let mut datagram = Vec::new();
        datagram.extend(source.1.to_be_bytes());
        datagram.extend(destination.1.to_be_bytes());
        datagram.extend((data.len() as u16 + 8).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        Self::new(source.0, destination.0).payload_bytes(&datagram)
    }

    /// A TCP segment that opens a connection, with these options (multiples of four bytes).
    pub fn tcp_syn(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), options: &[u8]) -> Self {
        Self::tcp(source, destination, SYN, options, &[])
    }

    /// A TCP segment that answers one of these.
    pub fn tcp_syn_ack(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), options: &[u8]) -> Self {
        Self::tcp(source, destination, SYN | ACK, options, &[])
    }

    /// A TCP segment of an open connection, with `length` bytes of data.
    pub fn tcp_data(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), length: usize) -> Self {
        let data: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        Self::tcp(source, destination, ACK, &[], &data)
    }

    /// A TCP segment with a right checksum.
    pub fn tcp(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), flags: u8, options: &[u8], data: &[u8]) -> Self {
        let mut segment = Vec::new();
        segment.extend(source.1.to_be_bytes());
        segment.extend(destination.1.to_be_bytes());
        segment.extend(0x1234_5678_u32.to_be_bytes());
        segment.extend(if flags & ACK == 0 { [0; 4] } else { 0x8765_4321_u32.to_be_bytes() });
        segment.extend([(5 + options.len() / 4) as u8 * 16, flags]);
        segment.extend(64_240_u16.to_be_bytes());
        segment.extend([0, 0, 0, 0]);
        segment.extend(options);
        segment.extend(data);
        let mut covered = Vec::new();
        covered.extend(source.0.octets());
        covered.extend(destination.0.octets());
        covered.extend([0, 6]);
        covered.extend((segment.len() as u16).to_be_bytes());
        covered.extend(&segment);
        let sum = checksum(&covered);
        segment[16..18].copy_from_slice(&sum);
        Self::new(source.0, destination.0).protocol(6).payload_bytes(&segment)
    }

    /// A TCP packet as stacks leave it that count on the hardware: the sum of the pseudo-header in place of the checksum.
    #[must_use]
    pub fn checksum_left_to_hardware(mut self) -> Self {
        let mut pseudo_header = Vec::new();
        pseudo_header.extend(self.source.octets());
        pseudo_header.extend(self.destination.octets());
        pseudo_header.extend([0, 6]);
        pseudo_header.extend((self.payload.len() as u16).to_be_bytes());
        let [high, low] = checksum(&pseudo_header);
        self.payload[16..18].copy_from_slice(&[!high, !low]);
        self
    }

    /// The checksum of a TCP packet.
    pub fn tcp_checksum(&self) -> u16 {
        u16::from_be_bytes([self.payload[16], self.payload[17]])
    }

    /// An ICMP message: type, code, and what follows the first eight bytes.
    pub fn icmp(source: Ipv4Addr, destination: Ipv4Addr, kind: u8, code: u8, data: &[u8]) -> Self {
        Self::icmp_about(source, destination, (kind, code), [0; 4], data)
    }

    /// An ICMP message with something in the second word of its header.
    pub fn icmp_about(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        (kind, code): (u8, u8),
        word: [u8; 4],
        data: &[u8],
    ) -> Self {
        let mut message = vec![kind, code, 0, 0];
        message.extend(word);
        message.extend(data);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum);
        Self::new(source, destination).protocol(1).payload_bytes(&message)
    }

    /// An echo request with `length` bytes of data.
    pub fn echo(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Self {
        let data: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        Self::icmp_about(source, destination, (8, 0), [0x12, 0x34, 0, 1], &data)
    }

    /// An ICMP error about `packet`, of which it quotes the header and the eight bytes behind it, as RFC 792 has it.
    pub fn icmp_error(source: Ipv4Addr, destination: Ipv4Addr, kind: u8, code: u8, packet: &Self) -> Self {
        let quoted = 20 + packet.options.len() + 8;
        let bytes = packet.bytes();
        Self::icmp(source, destination, kind, code, &bytes[..quoted.min(bytes.len())])
    }

    /// "Fragmentation needed" (RFC 1191) about `packet`, of which it quotes as much as fits into 576 bytes (RFC 1812
    /// §4.3.2.3).
    pub fn fragmentation_needed(source: Ipv4Addr, destination: Ipv4Addr, mtu: u16, packet: &Self) -> Self {
        let bytes = packet.bytes();
        let [high, low] = mtu.to_be_bytes();
        Self::icmp_about(source, destination, (3, 4), [0, 0, high, low], &bytes[..bytes.len().min(548)])
    }
}

/// The maximum segment size option of TCP (RFC 9293 §3.2).
pub fn maximum_segment_size(size: u16) -> [u8; 4] {
    let [high, low] = size.to_be_bytes();
    [2, 4, high, low]
}
