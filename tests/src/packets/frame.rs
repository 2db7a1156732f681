//! Ethernet frames, and ARP in them.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::ipv4::Ipv4;

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

    /// Another operation than these two.
    #[must_use]
    pub fn operation(mut self, operation: u16) -> Self {
        self.operation = operation;
        self
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
        self.payload.resize(length - self.header_length(), 0);
        self
    }

    /// Cut off after `length` bytes.
    #[must_use]
    pub fn cut(mut self, length: usize) -> Self {
        self.payload.truncate(length - self.header_length());
        self
    }

    /// Length of the frame in bytes.
    #[expect(clippy::len_without_is_empty, reason = "there is always a header")]
    pub fn len(&self) -> usize {
        self.header_length() + self.payload.len()
    }

    fn header_length(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
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
