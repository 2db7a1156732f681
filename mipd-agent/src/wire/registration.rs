//! Registration Request and Registration Reply (RFC 5944 §3.3, §3.4).

use std::net::Ipv4Addr;

use super::{
    extension::{Extensions, ParseError, Space},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
};

/// The first byte of a payload on UDP port 434.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MessageType {
    /// Registration Request (RFC 5944 §3.3).
    RegistrationRequest = 1,
    /// Registration Reply (RFC 5944 §3.4).
    RegistrationReply = 3,
    /// UDP tunnel data (RFC 3519 §3.3).
    TunnelData = 4,
    /// Registration revocation (RFC 3543 §3.3).
    Revocation = 7,
    /// Registration revocation acknowledgement (RFC 3543 §3.4).
    RevocationAcknowledgement = 15,
}

/// What a payload on UDP port 434 is; `None` for an empty or unknown one.
pub fn message_type(payload: &[u8]) -> Option<MessageType> {
    match payload.first()? {
        1 => Some(MessageType::RegistrationRequest),
        3 => Some(MessageType::RegistrationReply),
        4 => Some(MessageType::TunnelData),
        7 => Some(MessageType::Revocation),
        15 => Some(MessageType::RevocationAcknowledgement),
        _ => None,
    }
}

/// The flags of a request (RFC 5944 §3.3, RFC 3024 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestFlags {
    /// S: keep earlier bindings.
    pub simultaneous: bool,
    /// B: forward broadcasts of the home network.
    pub broadcast: bool,
    /// D: the sender itself is the end of the tunnel.
    pub co_located: bool,
    /// M: minimal encapsulation wanted.
    pub minimal_encapsulation: bool,
    /// G: GRE wanted.
    pub gre: bool,
    /// T: reverse tunnel wanted.
    pub reverse_tunnel: bool,
}

impl RequestFlags {
    const SIMULTANEOUS: u8 = 0x80;
    const BROADCAST: u8 = 0x40;
    const CO_LOCATED: u8 = 0x20;
    const MINIMAL_ENCAPSULATION: u8 = 0x10;
    const GRE: u8 = 0x08;
    const REVERSE_TUNNEL: u8 = 0x02;
    const RESERVED_R: u8 = 0x04;
    const RESERVED_X: u8 = 0x01;

    /// Whether one of the bits r and x is set, which are sent as zero.
    pub fn has_reserved(bits: u8) -> bool {
        bits & (Self::RESERVED_R | Self::RESERVED_X) != 0
    }

    /// The byte on the wire; r and x are zero.
    pub fn to_bits(self) -> u8 {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        bit(self.simultaneous, Self::SIMULTANEOUS)
            | bit(self.broadcast, Self::BROADCAST)
            | bit(self.co_located, Self::CO_LOCATED)
            | bit(self.minimal_encapsulation, Self::MINIMAL_ENCAPSULATION)
            | bit(self.gre, Self::GRE)
            | bit(self.reverse_tunnel, Self::REVERSE_TUNNEL)
    }

    /// Reads the byte; r and x are ignored, as RFC 5944 §3.3 says of each.
    pub fn from_bits(bits: u8) -> Self {
        Self {
            simultaneous: bits & Self::SIMULTANEOUS != 0,
            broadcast: bits & Self::BROADCAST != 0,
            co_located: bits & Self::CO_LOCATED != 0,
            minimal_encapsulation: bits & Self::MINIMAL_ENCAPSULATION != 0,
            gre: bits & Self::GRE != 0,
            reverse_tunnel: bits & Self::REVERSE_TUNNEL != 0,
        }
    }
}

/// The fixed part of a Registration Request (RFC 5944 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrationRequest {
    /// Flags.
    pub flags: RequestFlags,
    /// Requested lifetime.
    pub lifetime: Lifetime,
    /// Home address; 0.0.0.0 asks for one.
    pub home_address: HomeAddress,
    /// Home agent.
    pub home_agent: HomeAgentAddress,
    /// Care-of address.
    pub care_of_address: CareOfAddress,
    /// Matches the reply, protects against replay.
    pub identification: Identification,
}

impl RegistrationRequest {
    /// Length of the fixed part in bytes.
    pub const LENGTH: usize = 24;

    /// Reads the message and checks its extensions.
    pub fn parse(message: &[u8]) -> Result<(Self, Extensions<'_>), ParseError> {
        Ok((Self::parse_fixed(message)?, Extensions::parse(message, Self::LENGTH, Space::Control)?))
    }

    /// Reads the fixed part only, whatever follows: enough to refuse a poorly formed request.
    pub fn parse_fixed(message: &[u8]) -> Result<Self, ParseError> {
        let fixed = fixed::<{ Self::LENGTH }>(message, MessageType::RegistrationRequest)?;
        Ok(Self {
            flags: RequestFlags::from_bits(fixed[1]),
            lifetime: lifetime(fixed),
            home_address: HomeAddress(address(fixed, 4)),
            home_agent: HomeAgentAddress(address(fixed, 8)),
            care_of_address: CareOfAddress(address(fixed, 12)),
            identification: identification(fixed, 16),
        })
    }

    /// Appends the fixed part.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend([MessageType::RegistrationRequest as u8, self.flags.to_bits()]);
        out.extend(self.lifetime.0.to_be_bytes());
        out.extend(self.home_address.0.octets());
        out.extend(self.home_agent.0.octets());
        out.extend(self.care_of_address.0.octets());
        out.extend(self.identification.0.to_be_bytes());
    }
}

/// The fixed part of a Registration Reply (RFC 5944 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrationReply {
    /// Accepted, or why not.
    pub code: ReplyCode,
    /// Granted lifetime; without meaning when denied, except with code 69 (the foreign agent's maximum).
    pub lifetime: Lifetime,
    /// Home address.
    pub home_address: HomeAddress,
    /// Home agent.
    pub home_agent: HomeAgentAddress,
    /// Low half copied from the request, high half by the replay protection style (RFC 5944 §5.7).
    pub identification: Identification,
}

impl RegistrationReply {
    /// Length of the fixed part in bytes.
    pub const LENGTH: usize = 20;

    /// Reads the message and checks its extensions.
    pub fn parse(message: &[u8]) -> Result<(Self, Extensions<'_>), ParseError> {
        Ok((Self::parse_fixed(message)?, Extensions::parse(message, Self::LENGTH, Space::Control)?))
    }

    /// Reads the fixed part only, whatever follows: enough to tell the mobile node that its reply was poorly formed.
    pub fn parse_fixed(message: &[u8]) -> Result<Self, ParseError> {
        let fixed = fixed::<{ Self::LENGTH }>(message, MessageType::RegistrationReply)?;
        Ok(Self {
            code: ReplyCode(fixed[1]),
            lifetime: lifetime(fixed),
            home_address: HomeAddress(address(fixed, 4)),
            home_agent: HomeAgentAddress(address(fixed, 8)),
            identification: identification(fixed, 12),
        })
    }

    /// Appends the fixed part.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend([MessageType::RegistrationReply as u8, self.code.0]);
        out.extend(self.lifetime.0.to_be_bytes());
        out.extend(self.home_address.0.octets());
        out.extend(self.home_agent.0.octets());
        out.extend(self.identification.0.to_be_bytes());
    }
}

pub(super) fn fixed<const LENGTH: usize>(message: &[u8], expected: MessageType) -> Result<&[u8; LENGTH], ParseError> {
    let fixed = message.first_chunk().ok_or(ParseError::Truncated)?;
    if message[0] == expected as u8 { Ok(fixed) } else { Err(ParseError::WrongType) }
}

fn lifetime(fixed: &[u8]) -> Lifetime {
    Lifetime(u16::from_be_bytes([fixed[2], fixed[3]]))
}

pub(super) fn address(fixed: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3])
}

pub(super) fn word(fixed: &[u8], at: usize) -> u32 {
    u32::from(address(fixed, at))
}

fn identification(fixed: &[u8], at: usize) -> Identification {
    Identification(fixed[at..at + 8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: [u8; 24] = [
        0x01, 0x00, 0x07, 0x08, 0x0a, 0x5b, 0x07, 0x97, 0x0a, 0x5b, 0x07, 0x01, 0x0a, 0x14, 0x00, 0x02, 0xe5, 0xa1,
        0xb2, 0xc3, 0x12, 0x34, 0x56, 0x78,
    ];
    const REPLY: [u8; 20] = [
        0x03, 0x00, 0x07, 0x08, 0x0a, 0x5b, 0x07, 0x97, 0x0a, 0x5b, 0x07, 0x01, 0xe5, 0xa1, 0xb2, 0xc3, 0x12, 0x34,
        0x56, 0x78,
    ];

    #[test]
    fn the_reference_request_parses_and_is_emitted_byte_for_byte() {
        let (request, extensions) = RegistrationRequest::parse(&REQUEST).unwrap();
        assert_eq!(
            request,
            RegistrationRequest {
                flags: RequestFlags::default(),
                lifetime: Lifetime(1800),
                home_address: HomeAddress(Ipv4Addr::new(10, 91, 7, 151)),
                home_agent: HomeAgentAddress(Ipv4Addr::new(10, 91, 7, 1)),
                care_of_address: CareOfAddress(Ipv4Addr::new(10, 20, 0, 2)),
                identification: Identification(0xe5a1_b2c3_1234_5678),
            }
        );
        assert_eq!(extensions.iter().count(), 0);
        let mut out = Vec::new();
        request.emit(&mut out);
        assert_eq!(out, REQUEST);
    }

    #[test]
    fn the_reference_reply_parses_and_is_emitted_byte_for_byte() {
        let (reply, _) = RegistrationReply::parse(&REPLY).unwrap();
        assert_eq!(reply.code, ReplyCode::ACCEPTED);
        assert_eq!(reply.lifetime, Lifetime(1800));
        assert_eq!(reply.home_address.0, Ipv4Addr::new(10, 91, 7, 151));
        assert_eq!(reply.home_agent.0, Ipv4Addr::new(10, 91, 7, 1));
        assert_eq!(reply.identification, Identification(0xe5a1_b2c3_1234_5678));
        let mut out = Vec::new();
        reply.emit(&mut out);
        assert_eq!(out, REPLY);
    }

    #[test]
    fn each_flag_has_the_bit_of_the_rfc() {
        let none = RequestFlags::default();
        for (flags, bits) in [
            (RequestFlags { simultaneous: true, ..none }, 0x80),
            (RequestFlags { broadcast: true, ..none }, 0x40),
            (RequestFlags { co_located: true, ..none }, 0x20),
            (RequestFlags { minimal_encapsulation: true, ..none }, 0x10),
            (RequestFlags { gre: true, ..none }, 0x08),
            (RequestFlags { reverse_tunnel: true, ..none }, 0x02),
        ] {
            assert_eq!(flags.to_bits(), bits);
            assert_eq!(RequestFlags::from_bits(bits), flags);
        }
    }

    #[test]
    fn reserved_flag_bits_are_ignored() {
        assert_eq!(RequestFlags::from_bits(0x05), RequestFlags::default());
        for bits in 0..=u8::MAX {
            assert_eq!(RequestFlags::has_reserved(bits), RequestFlags::from_bits(bits).to_bits() != bits);
        }
    }

    #[test]
    fn a_short_or_foreign_message_is_refused() {
        assert_eq!(RegistrationRequest::parse(&REQUEST[..23]).unwrap_err(), ParseError::Truncated);
        assert_eq!(RegistrationReply::parse(&REPLY[..19]).unwrap_err(), ParseError::Truncated);
        assert_eq!(RegistrationReply::parse(&REQUEST).unwrap_err(), ParseError::WrongType);
        assert_eq!(RegistrationRequest::parse(&[]).unwrap_err(), ParseError::Truncated);
    }

    #[test]
    fn a_broken_list_still_yields_the_fixed_part() {
        let mut message = REQUEST.to_vec();
        message.extend([32, 200, 0]);
        assert_eq!(
            RegistrationRequest::parse(&message).unwrap_err(),
            ParseError::MalformedExtension { kind: 32, offset: 24 }
        );
        assert_eq!(RegistrationRequest::parse_fixed(&message).unwrap().lifetime, Lifetime(1800));
    }

    #[test]
    fn message_types_are_told_apart_by_the_first_byte() {
        assert_eq!(message_type(&REQUEST), Some(MessageType::RegistrationRequest));
        assert_eq!(message_type(&REPLY), Some(MessageType::RegistrationReply));
        assert_eq!(message_type(&[2]), None);
        assert_eq!(message_type(&[]), None);
    }

    proptest! {
        #[test]
        fn requests_round_trip(bits: u8, lifetime: u16, home: u32, agent: u32, care_of: u32, id: u64) {
            let request = RegistrationRequest {
                flags: RequestFlags::from_bits(bits),
                lifetime: Lifetime(lifetime),
                home_address: HomeAddress(home.into()),
                home_agent: HomeAgentAddress(agent.into()),
                care_of_address: CareOfAddress(care_of.into()),
                identification: Identification(id),
            };
            let mut message = Vec::new();
            request.emit(&mut message);
            prop_assert_eq!(message.len(), RegistrationRequest::LENGTH);
            prop_assert_eq!(RegistrationRequest::parse(&message).unwrap().0, request);
        }

        #[test]
        fn replies_round_trip(code: u8, lifetime: u16, home: u32, agent: u32, id: u64) {
            let reply = RegistrationReply {
                code: ReplyCode(code),
                lifetime: Lifetime(lifetime),
                home_address: HomeAddress(home.into()),
                home_agent: HomeAgentAddress(agent.into()),
                identification: Identification(id),
            };
            let mut message = Vec::new();
            reply.emit(&mut message);
            prop_assert_eq!(message.len(), RegistrationReply::LENGTH);
            prop_assert_eq!(RegistrationReply::parse(&message).unwrap().0, reply);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300), request: bool) {
            bytes[0] = if request { 1 } else { 3 };
            if let Ok((_, extensions)) = RegistrationRequest::parse(&bytes) {
                prop_assert!(extensions.iter().all(|extension| extension.end() <= bytes.len()));
            }
            if let Ok((_, extensions)) = RegistrationReply::parse(&bytes) {
                prop_assert!(extensions.iter().all(|extension| extension.end() <= bytes.len()));
            }
        }
    }
}
