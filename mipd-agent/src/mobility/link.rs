//! Messages as they cross the boundary between the roles and the network.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

/// A network interface, by its kernel index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceIndex(pub u32);

/// A UDP datagram as received. Its UDP checksum was verified (or was zero).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    /// UDP payload.
    pub payload: &'a [u8],
    /// IP source address.
    pub source: Ipv4Addr,
    /// UDP source port.
    pub source_port: u16,
    /// IP destination address.
    pub destination: Ipv4Addr,
    /// UDP destination port.
    pub destination_port: u16,
    /// IP TTL.
    pub ttl: u8,
    /// Where it came in.
    pub interface: InterfaceIndex,
    /// Link-layer source; known on access, home and radio interfaces.
    pub source_mac: Option<MacAddress>,
}

/// A UDP datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// UDP payload.
    pub payload: Vec<u8>,
    /// IP source address.
    pub source: Ipv4Addr,
    /// UDP source port.
    pub source_port: u16,
    /// IP destination address.
    pub destination: Ipv4Addr,
    /// UDP destination port.
    pub destination_port: u16,
    /// IP TTL.
    pub ttl: u8,
    /// How it leaves.
    pub path: Path,
}

/// How a datagram leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// By the kernel's routing table.
    Routed,
    /// As a raw frame, without ARP.
    Frame {
        /// Outgoing interface.
        interface: InterfaceIndex,
        /// Link-layer destination.
        destination: MacAddress,
        /// Link-layer source; `None` = the interface's own.
        source: Option<MacAddress>,
    },
}
