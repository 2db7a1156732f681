//! IPv4 packets, built byte by byte and sharing nothing with the programs under test.

use std::net::Ipv4Addr;

/// RFC 1071, over bytes.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet. Starts with DF set, TTL 64, UDP and no payload. What it carries: [`transport`](super::transport) and
/// [`tunnel`](super::tunnel).
#[derive(Clone, Debug)]
pub struct Ipv4 {
    pub(super) tos: u8,
    pub(super) identification: u16,
    pub(super) fragment_word: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) version: u8,
    pub(super) header_words: Option<u8>,
    pub(super) total_length: Option<u16>,
    pub(super) checksum_error: u8,
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
            header_words: None,
            total_length: None,
            checksum_error: 0,
        }
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
    pub fn options(self) -> Self {
        self.option_bytes(&[1, 1, 1, 1])
    }

    /// Sets the options, in multiples of four bytes.
    #[must_use]
    pub fn option_bytes(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Makes the payload `length` bytes long.
    #[must_use]
    pub fn payload(mut self, length: usize) -> Self {
        self.payload.resize(length, 0x5a);
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn payload_bytes(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Claims another header length than there is, in words of four bytes.
    #[must_use]
    pub fn header_words(mut self, words: u8) -> Self {
        self.header_words = Some(words);
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

    /// Length of the packet in bytes.
    #[expect(clippy::len_without_is_empty, reason = "there is always a header")]
    pub fn len(&self) -> usize {
        20 + self.options.len() + self.payload.len()
    }

    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let header_words = self.header_words.unwrap_or(5 + (self.options.len() / 4) as u8);
        let total_length = self.total_length.unwrap_or(self.len() as u16);
        let mut packet = vec![self.version << 4 | header_words, self.tos];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_well_known_example() {
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(checksum(&header), [0xb8, 0x61]);
    }
}
