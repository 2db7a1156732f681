//! Packets inside packets: IP in IP (RFC 2003), GRE (RFC 2784, RFC 2890), minimal encapsulation (RFC 2004).
//!
//! For the few that no kernel program carries.

mod gre;
mod minimal;

use std::{borrow::Cow, net::Ipv4Addr};

use thiserror::Error;

use super::ip::Ipv4;

/// IP protocol number of IP in IP.
pub const IP_IN_IP: u8 = 4;
/// IP protocol number of GRE.
pub const GRE: u8 = 47;
/// IP protocol number of minimal encapsulation.
pub const MINIMAL: u8 = 55;

const HEADER_LENGTH: usize = 20;

/// How a packet is wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// IP in IP.
    IpInIp,
    /// GRE, with what its header had beside the protocol. The checksum, if there was one, is right.
    Gre {
        /// Whose traffic it is.
        key: Option<u32>,
        /// For the receiver to put packets in order.
        sequence: Option<u32>,
    },
    /// Minimal encapsulation.
    Minimal,
}

/// What was in a tunnel packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unwrapped<'a> {
    /// How it was wrapped.
    pub form: Form,
    /// The IPv4 packet inside, whole, without padding.
    pub packet: Cow<'a, [u8]>,
}

/// Why there is no packet inside. All of them: drop and count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Damage {
    /// A header or packet that is shorter than it says, or contradicts itself, or is used up (TTL 0).
    #[error("truncated or inconsistent header")]
    Malformed,
    /// A wrong checksum of GRE or of the minimal forwarding header.
    #[error("wrong checksum")]
    Checksum,
    /// Something else than IPv4 inside, or features that no standard in force knows.
    #[error("unknown encapsulation")]
    Unknown,
}

impl Unwrapped<'_> {
    /// Source of the packet inside.
    pub fn source(&self) -> Ipv4Addr {
        address(&self.packet, 12)
    }

    /// Destination of the packet inside.
    pub fn destination(&self) -> Ipv4Addr {
        address(&self.packet, 16)
    }
}

/// Takes the packet out of `payload`, which followed the outer header `outer` as `protocol`. Over UDP, `outer` is that of
/// the datagram; of it, minimal encapsulation keeps what it does not carry itself.
pub fn unwrap<'a>(protocol: u8, outer: &[u8], payload: &'a [u8]) -> Result<Unwrapped<'a>, Damage> {
    let (form, packet) = match protocol {
        IP_IN_IP => (Form::IpInIp, Cow::Borrowed(payload)),
        GRE => {
            let header = gre::Header::parse(payload)?;
            (Form::Gre { key: header.key, sequence: header.sequence }, Cow::Borrowed(header.payload))
        }
        MINIMAL => (Form::Minimal, Cow::Owned(minimal::unwrap(outer, payload)?)),
        _ => return Err(Damage::Unknown),
    };
    let length = whole_length(&packet).ok_or(Damage::Malformed)?;
    // RFC 2003 §3.1: nothing arrives with TTL 0.
    if packet[8] == 0 {
        return Err(Damage::Malformed);
    }
    let packet = match packet {
        Cow::Borrowed(packet) => Cow::Borrowed(&packet[..length]),
        Cow::Owned(packet) => Cow::Owned(packet),
    };
    Ok(Unwrapped { form, packet })
}

/// Wraps a whole IPv4 packet: the protocol, and what follows the outer header. What minimal encapsulation cannot carry
/// (fragments, options) goes IP in IP (RFC 2004 §1). GRE gets the key, but never a sequence number.
pub fn wrap(form: Form, packet: &[u8]) -> (u8, Vec<u8>) {
    match form {
        Form::Gre { key, .. } => (GRE, gre::wrap(key, packet)),
        Form::Minimal => match minimal::wrap(packet) {
            Some(payload) => (MINIMAL, payload),
            None => (IP_IN_IP, packet.to_vec()),
        },
        Form::IpInIp => (IP_IN_IP, packet.to_vec()),
    }
}

/// An outer header that is not known, except for what a socket tells of a datagram.
pub fn outer_header(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, identification: u16) -> [u8; HEADER_LENGTH] {
    let mut header = Vec::with_capacity(HEADER_LENGTH);
    Ipv4 { source, destination, ttl, protocol: super::ip::PROTOCOL_UDP, payload: &[] }.emit(&mut header);
    let mut outer = [0; HEADER_LENGTH];
    outer.copy_from_slice(&header);
    outer[4..6].copy_from_slice(&identification.to_be_bytes());
    // What is inside may have to be fragmented.
    outer[6] = 0;
    outer
}

/// The length of the IPv4 packet at the front of `bytes`, if all of it is there.
pub fn whole_length(bytes: &[u8]) -> Option<usize> {
    let header = header_length(bytes)?;
    let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    (header..=bytes.len()).contains(&total).then_some(total)
}

/// The length of the IPv4 header at the front of `bytes`, if all of it is there.
pub fn header_length(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= HEADER_LENGTH && bytes.len() >= length).then_some(length)
}

/// Four bytes of a header whose length was checked.
fn address(packet: &[u8], offset: usize) -> Ipv4Addr {
    packet
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(Ipv4Addr::UNSPECIFIED, |octets| (*octets).into())
}

#[cfg(test)]
mod tests;
