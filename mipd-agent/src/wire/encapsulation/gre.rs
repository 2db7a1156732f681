//! Generic routing encapsulation (RFC 2784), with key and sequence number (RFC 2890).

use super::Damage;
use crate::wire::checksum;

const CHECKSUM_PRESENT: u16 = 0x8000;
const KEY_PRESENT: u16 = 0x2000;
const SEQUENCE_PRESENT: u16 = 0x1000;
/// Routing (deprecated), strict source route, the first bit of recursion control; and the version: drop (RFC 2784 §2.3).
const REFUSED: u16 = 0x4c07;
const IPV4: [u8; 2] = [0x08, 0x00];

/// A header that was checked, and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    pub key: Option<u32>,
    pub sequence: Option<u32>,
    pub payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header. The checksum, if there is one, is verified: it covers header and payload, which must have no padding.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let (&[high, low, kind @ ..], mut rest) = bytes.split_first_chunk::<4>().ok_or(Damage::Malformed)?;
        let flags = u16::from_be_bytes([high, low]);
        if flags & REFUSED != 0 || kind != IPV4 {
            return Err(Damage::Unknown);
        }
        let mut word = |flag| {
            if flags & flag == 0 {
                return Ok(None);
            }
            let (word, behind) = rest.split_first_chunk::<4>().ok_or(Damage::Malformed)?;
            rest = behind;
            Ok(Some(u32::from_be_bytes(*word)))
        };
        let checksum = word(CHECKSUM_PRESENT)?;
        let (key, sequence) = (word(KEY_PRESENT)?, word(SEQUENCE_PRESENT)?);
        if checksum.is_some() && checksum::internet(&[bytes]) != 0 {
            return Err(Damage::Checksum);
        }
        Ok(Self { key, sequence, payload: rest })
    }
}

/// Puts a header before a packet.
pub fn wrap(key: Option<u32>, packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + packet.len());
    bytes.extend(if key.is_some() { KEY_PRESENT } else { 0 }.to_be_bytes());
    bytes.extend(IPV4);
    bytes.extend(key.iter().flat_map(|key| key.to_be_bytes()));
    bytes.extend(packet);
    bytes
}
