//! Messages as they cross the boundary between the roles and the network.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::wire::ip;

/// The port of the agents (RFC 5944 §3.3).
pub const REGISTRATION_PORT: u16 = 434;
/// IP TTL of what an agent sends, but for what must not leave the link.
pub const TTL: u8 = 64;

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

impl Transmit {
    /// From one agent to another, by the kernel's routes.
    pub fn between_agents(payload: Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            payload,
            source,
            source_port: REGISTRATION_PORT,
            destination,
            destination_port: REGISTRATION_PORT,
            ttl: TTL,
            path: Path::Routed,
        }
    }

    /// Back to where `received` came from, by the kernel's routes.
    pub fn answer(received: &Received<'_>, payload: Vec<u8>) -> Self {
        Self {
            payload,
            source: received.destination,
            source_port: received.destination_port,
            destination: received.source,
            destination_port: received.source_port,
            ttl: TTL,
            path: Path::Routed,
        }
    }

    /// In the form that becomes a packet.
    pub fn datagram(&self) -> ip::Datagram<'_> {
        ip::Datagram {
            source: self.source,
            source_port: self.source_port,
            destination: self.destination,
            destination_port: self.destination_port,
            ttl: self.ttl,
            payload: &self.payload,
        }
    }

    /// As it arrives at the other end on a simulated network.
    pub fn arrival(&self, interface: InterfaceIndex, source_mac: Option<MacAddress>) -> Received<'_> {
        Received {
            payload: &self.payload,
            source: self.source,
            source_port: self.source_port,
            destination: self.destination,
            destination_port: self.destination_port,
            ttl: self.ttl,
            interface,
            source_mac,
        }
    }
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
