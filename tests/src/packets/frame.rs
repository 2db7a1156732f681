//! Packets, built byte by byte and sharing nothing with the programs under test.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

/// RFC 1071, over bytes.
fn checksum(header: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet. Starts with DF set, TTL 64, UDP and no payload.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    tos: u8,
    identification: u16,
    fragment_word: u16,
    ttl: u8,
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    options: Vec<u8>,
    payload: Vec<u8>,
    version: u8,
    total_length: Option<u16>,
    checksum_error: u8,
}

impl Ipv4 {
    /// A packet between two addresses.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            tos: 0,
            identification: 0,
            fragment_word: 0x4000,
            ttl: 64,
            protocol: 17,
            source,
            destination,
            options: Vec::new(),
            payload: Vec::new(),
            version: 4,
            total_length: None,
            checksum_error: 0,
        }
    }

    /// A UDP datagram with `length` bytes of data; its checksum is left out.
    pub fn udp(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), length: usize) -> Self {
        let mut packet = Self::new(source.0, destination.0);
        packet.payload.extend(source.1.to_be_bytes());
        packet.payload.extend(destination.1.to_be_bytes());
        packet.payload.extend((length as u16 + 8).to_be_bytes());
        packet.payload.extend([0, 0]);
        packet.payload.extend((0..length).map(|byte| byte as u8));
        packet
    }

    /// An IP-in-IP packet around `inner`, as a tunnel entry makes it: TOS and DF copied, TTL 64.
    pub fn tunnel(source: Ipv4Addr, destination: Ipv4Addr, inner: &Self) -> Self {
        Self {
            tos: inner.tos,
            fragment_word: inner.fragment_word & 0x4000,
            protocol: 4,
            payload: inner.bytes(),
            ..Self::new(source, destination)
        }
    }

    /// An ICMP message.
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
        message.extend_from_slice(data);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum);
        Self { protocol: 1, payload: message, ..Self::new(source, destination) }
    }

    /// Sets the type of service.
    #[must_use]
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// Sets the identification.
    #[must_use]
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// Clears DF.
    #[must_use]
    pub fn may_fragment(mut self) -> Self {
        self.fragment_word &= !0x4000;
        self
    }

    /// Makes it a fragment: offset in units of eight bytes, and whether more follow.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment_word = offset | u16::from(more) << 13;
        self
    }

    /// Sets the TTL.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// The packet one hop on.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        self.ttl -= 1;
        self
    }

    /// Sets the protocol.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    /// Adds four bytes of options (no operation).
    #[must_use]
    pub fn options(mut self) -> Self {
        self.options = vec![1, 1, 1, 1];
        self
    }

    /// Makes the payload `length` bytes long.
    #[must_use]
    pub fn payload(mut self, length: usize) -> Self {
        self.payload.resize(length, 0x5a);
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Claims another total length than there is.
    #[must_use]
    pub fn total_length(mut self, length: u16) -> Self {
        self.total_length = Some(length);
        self
    }

    /// Makes the checksum wrong.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum_error = 0x11;
        self
    }

    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let total_length = self.total_length.unwrap_or((header_length + self.payload.len()) as u16);
        let mut packet = vec![self.version << 4 | (header_length / 4) as u8, self.tos];
        packet.extend(total_length.to_be_bytes());
        packet.extend(self.identification.to_be_bytes());
        packet.extend(self.fragment_word.to_be_bytes());
        packet.extend([self.ttl, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.options);
        let mut sum = checksum(&packet);
        sum[1] ^= self.checksum_error;
        packet[10..12].copy_from_slice(&sum);
        packet.extend(&self.payload);
        packet
    }
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    operation: u16,
    sender: (MacAddress, Ipv4Addr),
    target: (MacAddress, Ipv4Addr),
}

impl Arp {
    /// "Who has `target`? Tell `sender`."
    pub fn request(sender: (MacAddress, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self { operation: 1, sender, target: (MacAddress([0; 6]), target) }
    }

    /// "`sender` is at its MAC", told to `target`.
    pub fn reply(sender: (MacAddress, Ipv4Addr), target: (MacAddress, Ipv4Addr)) -> Self {
        Self { operation: 2, sender, target }
    }

    fn bytes(self) -> Vec<u8> {
        let mut packet = vec![0, 1, 8, 0, 6, 4];
        packet.extend(self.operation.to_be_bytes());
        for (mac, address) in [self.sender, self.target] {
            packet.extend(mac.0);
            packet.extend(address.octets());
        }
        packet
    }
}

/// An Ethernet frame.
#[derive(Clone, Debug)]
pub struct Frame {
    destination: MacAddress,
    source: MacAddress,
    vlan: Option<u16>,
    ether_type: u16,
    payload: Vec<u8>,
}

impl Frame {
    /// An empty frame of a local experimental type.
    pub fn new(source: MacAddress, destination: MacAddress) -> Self {
        Self { destination, source, vlan: None, ether_type: 0x88b5, payload: vec![0; 46] }
    }

    /// With an IPv4 packet.
    #[must_use]
    pub fn ipv4(mut self, packet: &Ipv4) -> Self {
        self.ether_type = 0x0800;
        self.payload = packet.bytes();
        self
    }

    /// With an ARP packet.
    #[must_use]
    pub fn arp(mut self, packet: Arp) -> Self {
        self.ether_type = 0x0806;
        self.payload = packet.bytes();
        self
    }

    /// Of another Ethernet type.
    #[must_use]
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.ether_type = ether_type;
        self
    }

    /// With a VLAN tag in the frame.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlan = Some(id);
        self
    }

    /// Filled up with zeros to `length` bytes, as Ethernet fills short frames.
    #[must_use]
    pub fn padded(mut self, length: usize) -> Self {
        self.payload.resize(length - 14, 0);
        self
    }

    /// Cut off after `length` bytes.
    #[must_use]
    pub fn cut(mut self, length: usize) -> Self {
        self.payload.truncate(length - 14);
        self
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(self.destination.0);
        frame.extend(self.source.0);
        if let Some(id) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(id.to_be_bytes());
        }
        frame.extend(self.ether_type.to_be_bytes());
        frame.extend(&self.payload);
        frame
    }
}
