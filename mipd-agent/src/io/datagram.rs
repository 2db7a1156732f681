//! A received UDP datagram that owns its payload.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

pub use crate::mobility::link::REGISTRATION_PORT;
use crate::mobility::link::{InterfaceIndex, Received};

/// A datagram with everything that the roles ask about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
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
    /// Where it came in.
    pub interface: InterfaceIndex,
    /// Link-layer source, if it came as a frame.
    pub source_mac: Option<MacAddress>,
}

impl Datagram {
    /// The borrowed form.
    pub fn received(&self) -> Received<'_> {
        Received {
            payload: &self.payload,
            source: self.source,
            source_port: self.source_port,
            destination: self.destination,
            destination_port: self.destination_port,
            ttl: self.ttl,
            interface: self.interface,
            source_mac: self.source_mac,
        }
    }
}
