//! Packets in packets: every encapsulation as its RFC draws it, well formed or with one thing wrong.

use std::net::Ipv4Addr;

use super::ipv4::{Ipv4, checksum};

/// GRE's protocol type of what is inside.
const ETHER_TYPE_IPV4: u16 = 0x0800;
/// The port of Mobile IP, also of UDP tunnels.
pub(super) const MOBILE_IP_PORT: u16 = 434;
/// Type of the message that carries tunnelled packets (RFC 3519 §3.3).
const TUNNEL_DATA: u8 = 4;

impl Ipv4 {
    /// An IP-in-IP packet around `inner`, as a tunnel entry makes it (RFC 2003): TOS and DF copied, TTL 64.
    pub fn tunnel(source: Ipv4Addr, destination: Ipv4Addr, inner: &Self) -> Self {
        Self::around(source, destination, inner, 4, &inner.bytes())
    }

    /// The outer header of a tunnel entry around `contents`, which hold `inner`.
    fn around(source: Ipv4Addr, destination: Ipv4Addr, inner: &Self, protocol: u8, contents: &[u8]) -> Self {
        Self { tos: inner.tos, fragment_word: inner.fragment_word & 0x4000, ..Self::new(source, destination) }
            .protocol(protocol)
            .payload_bytes(contents)
    }
}

/// A GRE header (RFC 2784, RFC 2890). Starts without any optional field.
#[derive(Clone, Debug, Default)]
pub struct Gre {
    checksum: bool,
    checksum_error: u8,
    key: Option<[u8; 4]>,
    sequence: Option<u32>,
    flags: u16,
    ether_type: Option<u16>,
}

impl Gre {
    /// A plain header.
    pub fn new() -> Self {
        Self::default()
    }

    /// With checksum (C).
    #[must_use]
    pub fn checksum(mut self) -> Self {
        self.checksum = true;
        self
    }

    /// With a wrong checksum (C).
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum_error = 0x11;
        self.checksum()
    }

    /// With a key (K).
    #[must_use]
    pub fn key(mut self, key: [u8; 4]) -> Self {
        self.key = Some(key);
        self
    }

    /// With a sequence number (S).
    #[must_use]
    pub fn sequence(mut self, number: u32) -> Self {
        self.sequence = Some(number);
        self
    }

    /// With further bits in its first word: routing, reserved ones, the version.
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// Says that something else than IPv4 is inside.
    #[must_use]
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.ether_type = Some(ether_type);
        self
    }

    /// The GRE packet around `inner`, without an outer header.
    pub fn bytes(&self, inner: &Ipv4) -> Vec<u8> {
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = self.flags
            | flag(self.checksum, 0x8000)
            | flag(self.key.is_some(), 0x2000)
            | flag(self.sequence.is_some(), 0x1000);
        let mut packet = flags.to_be_bytes().to_vec();
        packet.extend(self.ether_type.unwrap_or(ETHER_TYPE_IPV4).to_be_bytes());
        if self.checksum {
            packet.extend([0; 4]);
        }
        packet.extend(self.key.iter().flatten());
        packet.extend(self.sequence.iter().flat_map(|number| number.to_be_bytes()));
        packet.extend(inner.bytes());
        if self.checksum {
            let mut sum = checksum(&packet);
            sum[1] ^= self.checksum_error;
            packet[4..6].copy_from_slice(&sum);
        }
        packet
    }

    /// The tunnelled packet: TOS and DF copied, TTL 64.
    pub fn tunnel(&self, source: Ipv4Addr, destination: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        Ipv4::around(source, destination, inner, 47, &self.bytes(inner))
    }
}

/// A minimal forwarding header (RFC 2004 §3.1). Starts with the original source in it.
#[derive(Clone, Debug, Default)]
pub struct Minimal {
    without_source: bool,
    reserved: u8,
    checksum_error: u8,
}

impl Minimal {
    /// A header with the original source.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without the original source: the tunnel's entry has sent the packet.
    #[must_use]
    pub fn without_source(mut self) -> Self {
        self.without_source = true;
        self
    }

    /// With bits in the reserved field.
    #[must_use]
    pub fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// With a wrong checksum.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum_error = 0x11;
        self
    }

    /// The forwarding header and the payload of `inner`, without an outer header.
    pub fn bytes(&self, inner: &Ipv4) -> Vec<u8> {
        let present = if self.without_source { 0 } else { 0x80 };
        let mut packet = vec![inner.protocol, present | self.reserved, 0, 0];
        packet.extend(inner.destination.octets());
        if !self.without_source {
            packet.extend(inner.source.octets());
        }
        let mut sum = checksum(&packet);
        sum[1] ^= self.checksum_error;
        packet[2..4].copy_from_slice(&sum);
        packet.extend(&inner.payload);
        packet
    }

    /// The tunnelled packet: the header of `inner` with other addresses and protocol.
    pub fn tunnel(&self, source: Ipv4Addr, destination: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        Ipv4 { source, destination, ..inner.clone() }.protocol(55).payload_bytes(&self.bytes(inner))
    }
}

/// A UDP header with a tunnel data header (RFC 3519 §3.3). Starts from port 434 to port 434, with IP-in-IP.
#[derive(Clone, Debug)]
pub struct UdpTunnel {
    source_port: u16,
    destination_port: u16,
    kind: u8,
    next_header: u8,
    reserved: [u8; 2],
    length_error: u16,
    checksum: [u8; 2],
}

impl Default for UdpTunnel {
    fn default() -> Self {
        Self::new()
    }
}

impl UdpTunnel {
    /// From port 434 to port 434.
    pub fn new() -> Self {
        Self {
            source_port: MOBILE_IP_PORT,
            destination_port: MOBILE_IP_PORT,
            kind: TUNNEL_DATA,
            next_header: 4,
            reserved: [0; 2],
            length_error: 0,
            checksum: [0; 2],
        }
    }

    /// Sets source and destination port.
    #[must_use]
    pub fn ports(mut self, source: u16, destination: u16) -> Self {
        (self.source_port, self.destination_port) = (source, destination);
        self
    }

    /// Sets the type of the message.
    #[must_use]
    pub fn kind(mut self, kind: u8) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the next header: 4, 47 or 55.
    #[must_use]
    pub fn next_header(mut self, protocol: u8) -> Self {
        self.next_header = protocol;
        self
    }

    /// Sets the reserved field.
    #[must_use]
    pub fn reserved(mut self, bytes: [u8; 2]) -> Self {
        self.reserved = bytes;
        self
    }

    /// Sets the UDP checksum, whatever it should be. Zero: there is none.
    #[must_use]
    pub fn checksum(mut self, checksum: [u8; 2]) -> Self {
        self.checksum = checksum;
        self
    }

    /// Claims a UDP length that is larger than what there is.
    #[must_use]
    pub fn too_long_by(mut self, bytes: u16) -> Self {
        self.length_error = bytes;
        self
    }

    /// The UDP datagram around `contents`, without an outer header.
    pub fn bytes(&self, contents: &[u8]) -> Vec<u8> {
        let mut packet = self.source_port.to_be_bytes().to_vec();
        packet.extend(self.destination_port.to_be_bytes());
        packet.extend((contents.len() as u16 + 12 + self.length_error).to_be_bytes());
        packet.extend(self.checksum);
        packet.extend([self.kind, self.next_header]);
        packet.extend(self.reserved);
        packet.extend(contents);
        packet
    }

    /// The tunnelled packet around `contents`, which hold `inner`: TOS and DF copied, TTL 64.
    pub fn tunnel(&self, source: Ipv4Addr, destination: Ipv4Addr, inner: &Ipv4, contents: &[u8]) -> Ipv4 {
        Ipv4::around(source, destination, inner, 17, &self.bytes(contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const EXIT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn inner() -> Ipv4 {
        Ipv4::udp((Ipv4Addr::new(10, 0, 0, 3), 1), (Ipv4Addr::new(10, 0, 0, 4), 2), 3).tos(8).ttl(9)
    }

    #[test]
    fn gre_fields_stand_in_the_order_checksum_key_sequence() {
        let packet = Gre::new().checksum().key([1, 2, 3, 4]).sequence(5).bytes(&inner());
        assert_eq!(packet[..4], [0xb0, 0, 8, 0]);
        assert_eq!(packet[6..16], [0, 0, 1, 2, 3, 4, 0, 0, 0, 5]);
        assert_eq!(packet[16..], inner().bytes());
        assert_eq!(checksum(&packet), [0, 0], "the sum over everything, checksum included");
    }

    #[test]
    fn a_minimal_header_takes_the_addresses_out_of_the_original_one() {
        let packet = Minimal::new().tunnel(ENTRY, EXIT, &inner()).bytes();
        assert_eq!(packet[..10], [0x45, 8, 0, 43, 0, 0, 0x40, 0, 9, 55]);
        assert_eq!(packet[12..22], [10, 0, 0, 1, 10, 0, 0, 2, 17, 0x80]);
        assert_eq!(packet[24..32], [10, 0, 0, 4, 10, 0, 0, 3]);
        assert_eq!(checksum(&packet[20..32]), [0, 0]);
        assert_eq!(Minimal::new().without_source().bytes(&inner()).len() + 4, packet.len() - 20);
    }

    #[test]
    fn a_udp_tunnel_has_twelve_bytes_between_outer_header_and_contents() {
        let contents = inner().bytes();
        let packet = UdpTunnel::new().ports(5, 434).tunnel(ENTRY, EXIT, &inner(), &contents).bytes();
        assert_eq!(packet[20..32], [0, 5, 1, 178, 0, 43, 0, 0, 4, 4, 0, 0]);
        assert_eq!(packet[32..], contents);
    }
}
