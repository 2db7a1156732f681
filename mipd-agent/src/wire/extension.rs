//! The extension list of a message and its skip-or-refuse rule (RFC 5944 §1.8 to §1.10).
//!
//! A list is checked once, when its message is parsed; walking it afterwards cannot fail and allocates nothing.

use thiserror::Error;

/// Extension types of the messages on UDP port 434.
pub mod kind {
    /// One byte without length or data (RFC 5944 §1.8).
    pub const PADDING: u8 = 0;
    /// Mobile-Home authentication (RFC 5944 §3.5.2).
    pub const MOBILE_HOME_AUTHENTICATION: u8 = 32;
    /// Mobile-Foreign authentication (RFC 5944 §3.5.3).
    pub const MOBILE_FOREIGN_AUTHENTICATION: u8 = 33;
    /// Foreign-Home authentication (RFC 5944 §3.5.4).
    pub const FOREIGN_HOME_AUTHENTICATION: u8 = 34;
    /// Generalized authentication (RFC 4721 §5).
    pub const GENERALIZED_AUTHENTICATION: u8 = 36;
    /// Critical vendor or organization specific (RFC 3115 §2.1).
    pub const CRITICAL_VENDOR: u8 = 38;
    /// UDP tunnel reply (RFC 3519 §3.2).
    pub const UDP_TUNNEL_REPLY: u8 = 44;
    /// Foreign agent error (RFC 4636 §3).
    pub const FOREIGN_AGENT_ERROR: u8 = 45;
    /// Gateway foreign agent address (RFC 4857 §9.1).
    pub const GATEWAY_FOREIGN_AGENT: u8 = 46;
    /// Proxy Mobile IPv4, non-skippable (RFC 5563 §6.1).
    pub const PROXY_NON_SKIPPABLE: u8 = 47;
    /// GRE key (RFC 6245 §4).
    pub const GRE_KEY: u8 = 48;
    /// Encapsulating delivery style (RFC 3024 §3.3).
    pub const ENCAPSULATING_DELIVERY: u8 = 130;
    /// Mobile node network access identifier (RFC 2794 §2).
    pub const MOBILE_NODE_NAI: u8 = 131;
    /// Mobile-Foreign challenge (RFC 4721 §4).
    pub const CHALLENGE: u8 = 132;
    /// Normal vendor or organization specific (RFC 3115 §2.2).
    pub const NORMAL_VENDOR: u8 = 134;
    /// Revocation support (RFC 3543 §3.2).
    pub const REVOCATION_SUPPORT: u8 = 137;
    /// Dynamic home agent (RFC 4433 §4).
    pub const DYNAMIC_HOME_AGENT: u8 = 139;
    /// UDP tunnel request (RFC 3519 §3.1).
    pub const UDP_TUNNEL_REQUEST: u8 = 144;
    /// Proxy Mobile IPv4, skippable (RFC 5563 §6.2).
    pub const PROXY_SKIPPABLE: u8 = 147;

    /// The non-skippable types that mipd acts upon in messages on UDP port 434. Whatever is missing here makes a
    /// message go unanswered (RFC 5944 §1.8): add a type only together with the code that obeys it.
    pub const UNDERSTOOD: [u8; 9] = [
        MOBILE_HOME_AUTHENTICATION,
        MOBILE_FOREIGN_AUTHENTICATION,
        FOREIGN_HOME_AUTHENTICATION,
        GENERALIZED_AUTHENTICATION,
        CRITICAL_VENDOR,
        UDP_TUNNEL_REPLY,
        FOREIGN_AGENT_ERROR,
        PROXY_NON_SKIPPABLE,
        GRE_KEY,
    ];
}

/// Why a message could not be parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ParseError {
    /// The fixed part is incomplete.
    #[error("message shorter than its fixed part; drop it")]
    Truncated,
    /// The first byte is not this message's type.
    #[error("message type is not the expected one; hand it to the parser of its type or drop it")]
    WrongType,
    /// RFC 5944 §1.8: the whole message must be silently discarded.
    #[error("extension type {0} is unknown and must not be skipped; discard the message silently")]
    UnknownNonSkippable(u8),
    /// The list does not add up: the message is poorly formed (codes 70, 71, 134).
    #[error("extension type {kind} at byte {offset} is malformed; answer with the poorly-formed code of the role")]
    MalformedExtension {
        /// Extension type.
        kind: u8,
        /// Where its type byte is in the message.
        offset: usize,
    },
}

/// One extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    /// Its type.
    pub kind: u8,
    /// Where its type byte is in the message.
    pub offset: usize,
    /// What follows the length field. In the long format (types 36, 38, 47, 48) the sub-type comes before that field
    /// and is not in here: see [`Extension::raw`].
    pub data: &'a [u8],
    /// All of it, from the type byte on.
    pub raw: &'a [u8],
}

impl Extension<'_> {
    /// In the long format, the byte between type and length.
    pub fn long_subtype(&self) -> u8 {
        self.raw[1]
    }

    /// The offset in the message of the first byte after it.
    pub fn end(&self) -> usize {
        self.offset + self.raw.len()
    }
}

/// Appends an extension of the simple format (RFC 5944 §1.8).
///
/// # Panics
///
/// With more than 255 bytes of data: the length field has no room for them.
pub fn append(message: &mut Vec<u8>, kind: u8, data: &[u8]) {
    message.extend([kind, u8::try_from(data.len()).expect("at most 255 bytes of data")]);
    message.extend(data);
}

/// Appends an extension of the long format (RFC 5944 §1.9): types 36, 38, 47 and 48.
///
/// # Panics
///
/// With more data than a datagram holds.
pub fn append_long(message: &mut Vec<u8>, kind: u8, subtype: u8, data: &[u8]) {
    message.extend([kind, subtype]);
    message.extend(u16::try_from(data.len()).expect("at most 65535 bytes of data").to_be_bytes());
    message.extend(data);
}

/// The number space that an extension's type belongs to: the RFC keeps two (RFC 5944 §1.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    /// Messages on UDP port 434.
    Control,
    /// ICMP router advertisements.
    Discovery,
}

impl Space {
    fn understood(self) -> &'static [u8] {
        match self {
            Self::Control => &kind::UNDERSTOOD,
            Self::Discovery => &super::advertisement::UNDERSTOOD,
        }
    }
}

/// A checked list of extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extensions<'a> {
    message: &'a [u8],
    start: usize,
    space: Space,
}

impl<'a> Extensions<'a> {
    /// Checks everything from byte `start` of `message` to its end.
    pub(super) fn parse(message: &'a [u8], start: usize, space: Space) -> Result<Self, ParseError> {
        let mut offset = start;
        while offset < message.len() {
            let kind = message[offset];
            // Before its length is looked at: of an unknown type even the format is unknown.
            if matches!(kind, 1..=127) && !space.understood().contains(&kind) {
                return Err(ParseError::UnknownNonSkippable(kind));
            }
            let extension = split(message, offset, space)?;
            if !is_well_formed(&extension, space)? {
                return Err(ParseError::MalformedExtension { kind, offset });
            }
            offset = extension.end();
        }
        Ok(Self { message, start, space })
    }

    /// The whole message, fixed part included.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The rest of the list from this offset in the message on, where an extension must begin or the message end.
    #[must_use]
    pub fn since(&self, offset: usize) -> Self {
        Self { start: offset.max(self.start), ..*self }
    }

    /// Where in the message the list begins.
    pub fn start(&self) -> usize {
        self.start
    }

    /// All extensions in their order, skippable unknown ones included, padding left out.
    pub fn iter(&self) -> Iter<'a> {
        Iter { message: self.message, offset: self.start, space: self.space }
    }

    /// The extensions of one type (see [`kind`]), in their order.
    pub fn of_kind(&self, kind: u8) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        self.iter().filter(move |extension| extension.kind == kind)
    }
}

impl<'a> IntoIterator for Extensions<'a> {
    type Item = Extension<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Extensions<'a> {
    type Item = Extension<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks [`Extensions`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    message: &'a [u8],
    offset: usize,
    space: Space,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        while self.offset < self.message.len() {
            let extension = split(self.message, self.offset, self.space).ok()?;
            self.offset = extension.end();
            if extension.kind != kind::PADDING {
                return Some(extension);
            }
        }
        None
    }
}

/// Cuts one extension off by the length format of its type.
fn split(message: &[u8], offset: usize, space: Space) -> Result<Extension<'_>, ParseError> {
    let rest = &message[offset..];
    let kind = rest[0];
    let malformed = ParseError::MalformedExtension { kind, offset };
    let (header, length) = match (space, kind) {
        (_, kind::PADDING) => (1, 0),
        (
            Space::Control,
            kind::GENERALIZED_AUTHENTICATION | kind::CRITICAL_VENDOR | kind::PROXY_NON_SKIPPABLE | kind::GRE_KEY,
        ) => (4, rest.get(2..4).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))).ok_or(malformed)?),
        // RFC 4433 prints type 139 with a sub-type of 1 or 2 before a 16-bit length of 4. As a short length 1 or 2
        // could not hold the address, so the two readings cannot be confused.
        (Space::Control, kind::DYNAMIC_HOME_AGENT) if matches!(rest, [_, 1 | 2, 0, 4, ..]) => (4, 4),
        _ => (2, rest.get(1).copied().map(usize::from).ok_or(malformed)?),
    };
    let raw = rest.get(..header + length).ok_or(malformed)?;
    Ok(Extension { kind, offset, data: &raw[header..], raw })
}

/// Whether the extension has the shape that its RFC gives it, for those that mipd understands.
fn is_well_formed(extension: &Extension<'_>, space: Space) -> Result<bool, ParseError> {
    let length = extension.data.len();
    match space {
        Space::Control => match extension.kind {
            // No RFC sets a minimum; nothing at all is not an authenticator.
            kind::MOBILE_HOME_AUTHENTICATION
            | kind::MOBILE_FOREIGN_AUTHENTICATION
            | kind::FOREIGN_HOME_AUTHENTICATION => Ok(length > 4),
            // An unknown sub-type counts like an unknown type.
            kind::GENERALIZED_AUTHENTICATION => match extension.long_subtype() {
                1..=3 => Ok(length >= 20),
                _ => Err(ParseError::UnknownNonSkippable(extension.kind)),
            },
            kind::CRITICAL_VENDOR => Ok(length >= 6),
            kind::UDP_TUNNEL_REPLY | kind::FOREIGN_AGENT_ERROR => {
                let expected = if extension.kind == kind::UDP_TUNNEL_REPLY { 6 } else { 2 };
                match extension.data.first() {
                    Some(0) => Ok(length == expected),
                    Some(_) => Err(ParseError::UnknownNonSkippable(extension.kind)),
                    None => Ok(false),
                }
            }
            kind::PROXY_NON_SKIPPABLE => match extension.long_subtype() {
                1 => Ok(length == 1),
                _ => Err(ParseError::UnknownNonSkippable(extension.kind)),
            },
            kind::GRE_KEY => match extension.long_subtype() {
                0 => Ok(length == 4),
                _ => Err(ParseError::UnknownNonSkippable(extension.kind)),
            },
            kind::ENCAPSULATING_DELIVERY => Ok(length == 0),
            kind::MOBILE_NODE_NAI | kind::CHALLENGE | kind::PROXY_SKIPPABLE => Ok(length > 0),
            kind::REVOCATION_SUPPORT => Ok(length == 6),
            // An unknown sub-type of a skippable extension is skipped, whatever its length.
            kind::UDP_TUNNEL_REQUEST => Ok(length == 6 || !matches!(extension.data.first(), None | Some(0))),
            _ => Ok(true),
        },
        Space::Discovery => match extension.kind {
            super::advertisement::MOBILITY_AGENT => Ok(length >= 6 && (length - 6).is_multiple_of(4)),
            super::advertisement::PREFIX_LENGTHS => Ok(extension.data.iter().all(|&prefix| prefix <= 32)),
            super::advertisement::CHALLENGE => Ok(length >= 4),
            _ => Ok(true),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Vec<(u8, usize, usize)>, ParseError> {
        let list = Extensions::parse(bytes, 0, Space::Control)?;
        Ok(list.iter().map(|extension| (extension.kind, extension.offset, extension.data.len())).collect())
    }

    #[test]
    fn unknown_types_up_to_127_refuse_the_message_and_above_are_skipped() {
        for kind in 1..=u8::MAX {
            let result = parse(&[kind, 0]);
            if kind < 128 && !kind::UNDERSTOOD.contains(&kind) {
                assert_eq!(result, Err(ParseError::UnknownNonSkippable(kind)));
            } else {
                assert!(!matches!(result, Err(ParseError::UnknownNonSkippable(_))), "type {kind}: {result:?}");
            }
        }
        assert_eq!(parse(&[200, 3, 1, 2, 3, 201, 0]), Ok(vec![(200, 0, 3), (201, 5, 0)]));
    }

    #[test]
    fn the_list_must_end_with_the_message() {
        assert_eq!(parse(&[200]), Err(ParseError::MalformedExtension { kind: 200, offset: 0 }));
        assert_eq!(parse(&[201, 0, 200, 2, 1]), Err(ParseError::MalformedExtension { kind: 200, offset: 2 }));
        assert_eq!(parse(&[36, 1, 0]), Err(ParseError::MalformedExtension { kind: 36, offset: 0 }));
    }

    #[test]
    fn long_format_counts_neither_subtype_nor_length_field() {
        let mut bytes = vec![38, 0, 0, 7];
        bytes.extend([0; 7]);
        bytes.extend([131, 1, b'a']);
        assert_eq!(parse(&bytes), Ok(vec![(38, 0, 7), (131, 11, 1)]));
    }

    #[test]
    fn both_readings_of_the_dynamic_home_agent_extension_are_accepted() {
        assert_eq!(parse(&[139, 2, 0, 4, 10, 0, 0, 1, 200, 0]), Ok(vec![(139, 0, 4), (200, 8, 0)]));
        assert_eq!(parse(&[139, 5, 2, 10, 0, 0, 1, 200, 0]), Ok(vec![(139, 0, 5), (200, 7, 0)]));
    }

    #[test]
    fn the_rest_of_a_list_begins_where_it_is_cut() {
        let bytes = [200, 0, 201, 1, 7, 202, 0];
        let list = Extensions::parse(&bytes, 0, Space::Control).unwrap();
        let kinds = |offset| list.since(offset).iter().map(|extension| extension.kind).collect::<Vec<_>>();
        assert_eq!(kinds(0), [200, 201, 202]);
        assert_eq!(kinds(2), [201, 202]);
        assert_eq!(kinds(7), [0; 0]);
    }

    #[test]
    fn padding_is_one_byte_and_not_listed() {
        assert_eq!(parse(&[0, 200, 0, 0]), Ok(vec![(200, 1, 0)]));
    }

    #[test]
    fn an_unknown_subtype_counts_like_an_unknown_type() {
        let mut bytes = vec![36, 9, 0, 20];
        bytes.extend([0; 20]);
        assert_eq!(parse(&bytes), Err(ParseError::UnknownNonSkippable(36)));
        assert_eq!(parse(&[45, 2, 1, 68]), Err(ParseError::UnknownNonSkippable(45)));
        assert_eq!(parse(&[45, 2, 0, 68]), Ok(vec![(45, 0, 2)]));
    }

    #[test]
    fn authentication_without_an_authenticator_is_malformed() {
        for kind in [32, 33, 34] {
            assert_eq!(parse(&[kind, 4, 0, 0, 1, 0]), Err(ParseError::MalformedExtension { kind, offset: 0 }));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_accepted_ones_are_covered_without_gaps(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for space in [Space::Control, Space::Discovery] {
                let Ok(list) = Extensions::parse(&bytes, 0, space) else { continue };
                let mut offset = 0;
                for extension in list {
                    prop_assert!(bytes[offset..extension.offset].iter().all(|&byte| byte == kind::PADDING));
                    offset = extension.end();
                }
                prop_assert!(bytes[offset..].iter().all(|&byte| byte == kind::PADDING));
            }
        }

        #[test]
        fn a_list_of_skippable_extensions_comes_back_as_written(list in prop::collection::vec((128u8.., prop::collection::vec(any::<u8>(), 0..40)), 0..6)) {
            let list: Vec<_> = list.into_iter().filter(|(kind, _)| ![130, 131, 132, 137, 139, 144, 147].contains(kind)).collect();
            let mut bytes = Vec::new();
            for (kind, data) in &list {
                bytes.extend([*kind, data.len() as u8]);
                bytes.extend(data);
            }
            let parsed = Extensions::parse(&bytes, 0, Space::Control).unwrap();
            let read: Vec<_> = parsed.iter().map(|extension| (extension.kind, extension.data.to_vec())).collect();
            prop_assert_eq!(read, list);
        }
    }
}
