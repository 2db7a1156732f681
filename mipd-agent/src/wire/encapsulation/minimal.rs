//! Minimal encapsulation (RFC 2004): the packet's own header goes on as the outer one; a short header keeps what it loses.

use super::{Damage, HEADER_LENGTH, header_length};
use crate::wire::checksum;

/// The original source is present.
const SOURCE_PRESENT: u8 = 0x80;
const SHORT: usize = 8;
const LONG: usize = 12;
const FRAGMENT: u16 = 0x3fff;

/// Puts the packet together again that followed the outer header `outer`.
pub fn unwrap(outer: &[u8], payload: &[u8]) -> Result<Vec<u8>, Damage> {
    let header_length = header_length(outer).ok_or(Damage::Malformed)?;
    let short = payload.first_chunk::<SHORT>().ok_or(Damage::Malformed)?;
    let length = if short[1] & SOURCE_PRESENT == 0 { SHORT } else { LONG };
    let (forwarding, rest) = payload.split_at_checked(length).ok_or(Damage::Malformed)?;
    if checksum::internet(&[forwarding]) != 0 {
        return Err(Damage::Checksum);
    }
    let total = u16::try_from(header_length + rest.len()).map_err(|_| Damage::Malformed)?;
    let mut packet = Vec::with_capacity(usize::from(total));
    packet.extend(&outer[..header_length]);
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[9] = forwarding[0];
    if let Some(source) = forwarding.get(SHORT..LONG) {
        packet[12..16].copy_from_slice(source);
    }
    packet[16..20].copy_from_slice(&forwarding[4..SHORT]);
    checksum::seal_ipv4(&mut packet);
    packet.extend(rest);
    Ok(packet)
}

/// What follows the outer header, or `None` for a packet that cannot be carried so. The original source is always there:
/// the outer one is ours.
pub fn wrap(packet: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = packet.split_first_chunk::<HEADER_LENGTH>()?;
    if header[0] != 0x45 || u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0 {
        return None;
    }
    let mut forwarding = [0; LONG];
    forwarding[..2].copy_from_slice(&[header[9], SOURCE_PRESENT]);
    forwarding[4..SHORT].copy_from_slice(&header[16..20]);
    forwarding[SHORT..].copy_from_slice(&header[12..16]);
    let sum = checksum::internet(&[&forwarding]);
    forwarding[2..4].copy_from_slice(&sum.to_be_bytes());
    Some([&forwarding, rest].concat())
}
