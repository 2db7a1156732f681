//! Registration revocation (RFC 3543): an agent tells the other one that a registration is over.

use std::net::Ipv4Addr;

use super::{
    extension::{Extension, Extensions, ParseError, Space, append, kind},
    registration::{MessageType, address, fixed, word},
    types::{HomeAddress, HomeAgentAddress},
};

/// Revocation support, extension 137 (RFC 3543 §3.2), in requests and replies between agents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationSupport {
    /// I: the sender is willing to use the inform bit.
    pub inform: bool,
    /// The sender's clock, by its own epoch; later revocations must be newer.
    pub timestamp: u32,
}

impl RevocationSupport {
    /// The first one in the list, and where it is.
    pub fn find<'a>(extensions: &Extensions<'a>) -> Option<(Extension<'a>, Self)> {
        let extension = extensions.of_kind(kind::REVOCATION_SUPPORT).next()?;
        let [flags, _, a, b, c, d] = *extension.data else { return None };
        Some((extension, Self { inform: flags & 0x80 != 0, timestamp: u32::from_be_bytes([a, b, c, d]) }))
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        let [a, b, c, d] = self.timestamp.to_be_bytes();
        append(message, kind::REVOCATION_SUPPORT, &[if self.inform { 0x80 } else { 0 }, 0, a, b, c, d]);
    }
}

/// Whether an identifier or timestamp is later than another of the same sender. Modulo 2^32, so that it survives the wrap of
/// 2036.
pub fn is_newer(stamp: u32, before: u32) -> bool {
    stamp.wrapping_sub(before).cast_signed() > 0
}

/// What to use next after `before`: the wall clock's `seconds`, but something newer even if that was set back.
pub fn next_stamp(seconds: u32, before: Option<u32>) -> u32 {
    before.filter(|before| !is_newer(seconds, *before)).map_or(seconds, |before| before.wrapping_add(1))
}

/// Registration Revocation, type 7 (RFC 3543 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// A: the sender is the home agent.
    pub from_home_agent: bool,
    /// I: the receiver may, or did, tell the mobile node.
    pub inform: bool,
    /// Whose registration.
    pub home_address: HomeAddress,
    /// Home domain address: the home agent.
    pub home_agent: HomeAgentAddress,
    /// Foreign domain address: the foreign agent, or the care-of address.
    pub foreign_agent: Ipv4Addr,
    /// The sender's clock; fresh in each message.
    pub identifier: u32,
}

impl Revocation {
    /// Length of the fixed part in bytes.
    pub const LENGTH: usize = 20;
    const FROM_HOME_AGENT: u8 = 0x80;
    const INFORM: u8 = 0x40;

    /// Reads the message and checks its extensions.
    pub fn parse(message: &[u8]) -> Result<(Self, Extensions<'_>), ParseError> {
        let fixed = fixed::<{ Self::LENGTH }>(message, MessageType::Revocation)?;
        let revocation = Self {
            from_home_agent: fixed[2] & Self::FROM_HOME_AGENT != 0,
            inform: fixed[2] & Self::INFORM != 0,
            home_address: HomeAddress(address(fixed, 4)),
            home_agent: HomeAgentAddress(address(fixed, 8)),
            foreign_agent: address(fixed, 12),
            identifier: word(fixed, 16),
        };
        Ok((revocation, Extensions::parse(message, Self::LENGTH, Space::Control)?))
    }

    /// Appends the fixed part.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let flags =
            if self.from_home_agent { Self::FROM_HOME_AGENT } else { 0 } | if self.inform { Self::INFORM } else { 0 };
        out.extend([MessageType::Revocation as u8, 0, flags, 0]);
        out.extend(self.home_address.0.octets());
        out.extend(self.home_agent.0.octets());
        out.extend(self.foreign_agent.octets());
        out.extend(self.identifier.to_be_bytes());
    }
}

/// Registration Revocation Acknowledgement, type 15 (RFC 3543 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationAcknowledgement {
    /// I: the mobile node was told; only if the revocation had it.
    pub inform: bool,
    /// Copied from the revocation.
    pub home_address: HomeAddress,
    /// Copied from the revocation.
    pub identifier: u32,
}

impl RevocationAcknowledgement {
    /// Length of the fixed part in bytes.
    pub const LENGTH: usize = 12;
    const INFORM: u8 = 0x80;

    /// Reads the message and checks its extensions.
    pub fn parse(message: &[u8]) -> Result<(Self, Extensions<'_>), ParseError> {
        let fixed = fixed::<{ Self::LENGTH }>(message, MessageType::RevocationAcknowledgement)?;
        let acknowledgement = Self {
            inform: fixed[2] & Self::INFORM != 0,
            home_address: HomeAddress(address(fixed, 4)),
            identifier: word(fixed, 8),
        };
        Ok((acknowledgement, Extensions::parse(message, Self::LENGTH, Space::Control)?))
    }

    /// Appends the fixed part.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let flags = if self.inform { Self::INFORM } else { 0 };
        out.extend([MessageType::RevocationAcknowledgement as u8, 0, flags, 0]);
        out.extend(self.home_address.0.octets());
        out.extend(self.identifier.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Flags A, home address 10.91.7.151, home agent 10.91.7.1, foreign agent 10.20.0.2.
    const REVOCATION: [u8; 20] = [
        0x07, 0x00, 0x80, 0x00, 0x0a, 0x5b, 0x07, 0x97, 0x0a, 0x5b, 0x07, 0x01, 0x0a, 0x14, 0x00, 0x02, 0xe5, 0xa1,
        0xb2, 0xc3,
    ];

    #[test]
    fn the_reference_revocation_parses_and_is_emitted_byte_for_byte() {
        let (revocation, extensions) = Revocation::parse(&REVOCATION).unwrap();
        assert_eq!(extensions.iter().count(), 0);
        assert_eq!(
            revocation,
            Revocation {
                from_home_agent: true,
                inform: false,
                home_address: HomeAddress(Ipv4Addr::new(10, 91, 7, 151)),
                home_agent: HomeAgentAddress(Ipv4Addr::new(10, 91, 7, 1)),
                foreign_agent: Ipv4Addr::new(10, 20, 0, 2),
                identifier: 0xe5a1_b2c3,
            }
        );
        let mut out = Vec::new();
        revocation.emit(&mut out);
        assert_eq!(out, REVOCATION);
    }

    #[test]
    fn the_support_extension_is_laid_out_as_the_rfc_draws_it() {
        let support = RevocationSupport { inform: true, timestamp: 0x0102_0304 };
        let mut message = Vec::new();
        support.append(&mut message);
        assert_eq!(message, [137, 6, 0x80, 0, 1, 2, 3, 4]);
        let extensions = Extensions::parse(&message, 0, Space::Control).unwrap();
        assert_eq!(RevocationSupport::find(&extensions).unwrap().1, support);
    }

    #[test]
    fn a_short_or_foreign_message_is_refused() {
        assert_eq!(Revocation::parse(&REVOCATION[..19]).unwrap_err(), ParseError::Truncated);
        assert_eq!(RevocationAcknowledgement::parse(&REVOCATION).unwrap_err(), ParseError::WrongType);
        assert_eq!(RevocationAcknowledgement::parse(&[15; 11]).unwrap_err(), ParseError::Truncated);
    }

    #[test]
    fn stamps_grow_even_if_the_clock_is_set_back_or_wraps() {
        assert_eq!(next_stamp(100, None), 100);
        assert_eq!(next_stamp(100, Some(50)), 100);
        assert_eq!(next_stamp(100, Some(100)), 101);
        assert_eq!(next_stamp(100, Some(500)), 501);
        assert_eq!(next_stamp(3, Some(u32::MAX)), 3);
        assert_eq!(next_stamp(u32::MAX, Some(2)), 3);
        assert!(is_newer(0, u32::MAX) && !is_newer(7, 7) && !is_newer(u32::MAX, 0));
    }

    proptest! {
        #[test]
        fn both_messages_round_trip(from_home_agent: bool, inform: bool, home: u32, agent: u32, foreign: u32, identifier: u32) {
            let home_address = HomeAddress(home.into());
            let home_agent = HomeAgentAddress(agent.into());
            let revocation =
                Revocation { from_home_agent, inform, home_address, home_agent, foreign_agent: foreign.into(), identifier };
            let mut message = Vec::new();
            revocation.emit(&mut message);
            prop_assert_eq!(message.len(), Revocation::LENGTH);
            prop_assert_eq!(Revocation::parse(&message).unwrap().0, revocation);

            let acknowledgement = RevocationAcknowledgement { inform, home_address, identifier };
            let mut message = Vec::new();
            acknowledgement.emit(&mut message);
            prop_assert_eq!(message.len(), RevocationAcknowledgement::LENGTH);
            prop_assert_eq!(RevocationAcknowledgement::parse(&message).unwrap().0, acknowledgement);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..200), revocation: bool) {
            bytes[0] = if revocation { 7 } else { 15 };
            let _ = Revocation::parse(&bytes);
            let _ = RevocationAcknowledgement::parse(&bytes);
        }
    }
}
