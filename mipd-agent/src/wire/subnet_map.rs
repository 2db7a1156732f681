//! Messages of the subnet map protocol on UDP port 6500: how access points learn each other's home agents.
//!
//! The protocol is our own; `docs/subnet-map-protocol.md` describes it with every byte. A message is a header, a body that
//! depends on its type, and an HMAC-SHA-256 over both. All numbers are in network byte order.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use super::authentication::Key;

/// UDP port of the protocol.
pub const PORT: u16 = 6500;
/// First two bytes of every message: "SM".
const MAGIC: [u8; 2] = *b"SM";
/// The version described here.
const VERSION: u8 = 1;
/// Length of the header in bytes.
pub const HEADER_LENGTH: usize = 32;
/// Length of the authenticator at the end in bytes.
pub const AUTHENTICATOR_LENGTH: usize = 32;
/// Length of an entry in bytes.
const ENTRY_LENGTH: usize = 24;
/// The most entries of one message: its packet has at most 1,300 bytes and so is not fragmented on any usual path.
pub const MAXIMUM_ENTRIES: usize = 48;

/// Chosen at random by one end for one session: what carries it was made for that session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Nonce(pub u64);

/// What stands before the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The access point that sends: its address, which is also the IP source.
    pub sender: Ipv4Addr,
    /// The nonce that the recipient chose; zero in a hello.
    pub to: Nonce,
    /// The nonce that the sender chose.
    pub from: Nonce,
    /// Number of the message in its direction of the session, from 1; the same in a repetition. Zero in a hello, a welcome
    /// and an acknowledgement.
    pub sequence: u32,
    /// Of an acknowledgement: the sequence number of what is acknowledged. Otherwise zero.
    pub acknowledged: u32,
}

/// The order-independent sum over a table: tables with equal digests are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest(pub u64);

/// One subnet and who serves it, with what decides between two reports about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Network address of the subnet.
    pub network: Ipv4Addr,
    /// Its prefix length.
    pub prefix_length: u8,
    /// The home agent; that of a removed entry was the last one.
    pub home_agent: Ipv4Addr,
    /// Whether the entry was removed: it must not come back by an older message.
    pub removed: bool,
    /// The authoritative access point that said so.
    pub origin: Ipv4Addr,
    /// When, in milliseconds of the NTP era, or later than all it had seen: the higher one counts.
    pub version: u64,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Asks for a session.
    Hello,
    /// Grants a session: the answer to a hello.
    Welcome,
    /// From an access point to its authoritative one: I am here (again).
    Report {
        /// My subnet's home agent and prefix length, if I know one.
        home_agent: Option<(Ipv4Addr, u8)>,
        /// I am going to another authoritative access point.
        leaving: bool,
        /// Of the table that I have.
        digest: Digest,
    },
    /// Entries of the table.
    Entries {
        /// These are the first ones of a whole table.
        first: bool,
        /// Nothing is missing after these.
        last: bool,
        /// At most [`MAXIMUM_ENTRIES`].
        entries: Vec<Entry>,
    },
    /// Between authoritative access points: compare.
    Comparison {
        /// Of the table that I have.
        digest: Digest,
    },
    /// Answers everything but a hello and a welcome.
    Acknowledgement {
        /// Of the table that the sender has now.
        digest: Digest,
    },
}

/// Why a datagram is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// Shorter than the shortest message.
    #[error("shorter than a message")]
    Short,
    /// Another protocol.
    #[error("not a message of the subnet map protocol")]
    Magic,
    /// Another version of this one.
    #[error("version {0} of the protocol")]
    Version(u8),
    /// The authenticator is not that of our key.
    #[error("wrong authenticator")]
    Authenticator,
    /// Nothing that we know.
    #[error("message type {0}")]
    Type(u8),
    /// The body does not fit its type.
    #[error("malformed body")]
    Body,
}

impl Body {
    const HELLO: u8 = 1;
    const WELCOME: u8 = 2;
    const REPORT: u8 = 3;
    const ENTRIES: u8 = 4;
    const COMPARISON: u8 = 5;
    const ACKNOWLEDGEMENT: u8 = 6;

    const LEAVING: u8 = 0x01;
    const HAS_HOME_AGENT: u8 = 0x02;
    const FIRST: u8 = 0x01;
    const LAST: u8 = 0x02;

    fn kind(&self) -> u8 {
        match self {
            Self::Hello => Self::HELLO,
            Self::Welcome => Self::WELCOME,
            Self::Report { .. } => Self::REPORT,
            Self::Entries { .. } => Self::ENTRIES,
            Self::Comparison { .. } => Self::COMPARISON,
            Self::Acknowledgement { .. } => Self::ACKNOWLEDGEMENT,
        }
    }

    fn emit(&self, message: &mut Vec<u8>) {
        match self {
            Self::Hello | Self::Welcome => {}
            Self::Report { home_agent, leaving, digest } => {
                let (address, prefix_length) = home_agent.unwrap_or((Ipv4Addr::UNSPECIFIED, 0));
                let flags = flag(home_agent.is_some(), Self::HAS_HOME_AGENT) | flag(*leaving, Self::LEAVING);
                message.extend(address.octets());
                message.extend([prefix_length, flags, 0, 0]);
                message.extend(digest.0.to_be_bytes());
            }
            Self::Entries { first, last, entries } => {
                let flags = flag(*first, Self::FIRST) | flag(*last, Self::LAST);
                message.extend([flags, 0]);
                message.extend((entries.len() as u16).to_be_bytes());
                for entry in entries {
                    message.extend(entry.to_bytes());
                }
            }
            Self::Comparison { digest } | Self::Acknowledgement { digest } => message.extend(digest.0.to_be_bytes()),
        }
    }

    fn parse(kind: u8, body: &[u8]) -> Result<Self, Malformed> {
        match (kind, body) {
            (Self::HELLO, []) => Ok(Self::Hello),
            (Self::WELCOME, []) => Ok(Self::Welcome),
            (Self::REPORT, &[a, b, c, d, prefix_length, flags, _, _, ref digest @ ..]) => Ok(Self::Report {
                home_agent: (flags & Self::HAS_HOME_AGENT != 0).then_some((Ipv4Addr::new(a, b, c, d), prefix_length)),
                leaving: flags & Self::LEAVING != 0,
                digest: digest_of(digest)?,
            }),
            (Self::ENTRIES, &[flags, _, high, low, ref list @ ..]) => {
                let (entries, rest) = list.as_chunks::<ENTRY_LENGTH>();
                if !rest.is_empty() || entries.len() != usize::from(u16::from_be_bytes([high, low])) {
                    return Err(Malformed::Body);
                }
                Ok(Self::Entries {
                    first: flags & Self::FIRST != 0,
                    last: flags & Self::LAST != 0,
                    entries: entries.iter().map(Entry::parse).collect::<Option<_>>().ok_or(Malformed::Body)?,
                })
            }
            (Self::COMPARISON, digest) => Ok(Self::Comparison { digest: digest_of(digest)? }),
            (Self::ACKNOWLEDGEMENT, digest) => Ok(Self::Acknowledgement { digest: digest_of(digest)? }),
            (Self::HELLO..=Self::ACKNOWLEDGEMENT, _) => Err(Malformed::Body),
            _ => Err(Malformed::Type(kind)),
        }
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn digest_of(bytes: &[u8]) -> Result<Digest, Malformed> {
    bytes.try_into().map(|bytes| Digest(u64::from_be_bytes(bytes))).map_err(|_| Malformed::Body)
}

impl Entry {
    const REMOVED: u8 = 1;

    /// The entry as in a message; what a digest is made of.
    pub fn to_bytes(self) -> [u8; ENTRY_LENGTH] {
        let mut bytes = [0; ENTRY_LENGTH];
        bytes[0..4].copy_from_slice(&self.network.octets());
        bytes[4] = self.prefix_length;
        bytes[5] = flag(self.removed, Self::REMOVED);
        bytes[8..12].copy_from_slice(&self.home_agent.octets());
        bytes[12..16].copy_from_slice(&self.origin.octets());
        bytes[16..24].copy_from_slice(&self.version.to_be_bytes());
        bytes
    }

    /// `None` for a prefix length that no address has.
    fn parse(bytes: &[u8; ENTRY_LENGTH]) -> Option<Self> {
        let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let prefix_length = bytes[4];
        (prefix_length <= 32).then(|| Self {
            network: address(0),
            prefix_length,
            removed: bytes[5] & Self::REMOVED != 0,
            home_agent: address(8),
            origin: address(12),
            version: u64::from_be_bytes(std::array::from_fn(|byte| bytes[16 + byte])),
        })
    }
}

/// A whole message, signed.
pub fn emit(header: &Header, body: &Body, key: &Key) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LENGTH + 64 + AUTHENTICATOR_LENGTH);
    message.extend(MAGIC);
    message.extend([VERSION, body.kind()]);
    message.extend(header.sender.octets());
    message.extend(header.to.0.to_be_bytes());
    message.extend(header.from.0.to_be_bytes());
    message.extend(header.sequence.to_be_bytes());
    message.extend(header.acknowledged.to_be_bytes());
    body.emit(&mut message);
    let authenticator = mac(&message, key).finalize().into_bytes();
    message.extend(authenticator);
    message
}

/// Reads a message whose authenticator is that of `key`; nothing of another one is looked at but magic and version.
pub fn parse(message: &[u8], key: &Key) -> Result<(Header, Body), Malformed> {
    let Some((signed, authenticator)) = message.split_last_chunk::<AUTHENTICATOR_LENGTH>() else {
        return Err(Malformed::Short);
    };
    let Some((header, body)) = signed.split_first_chunk::<HEADER_LENGTH>() else { return Err(Malformed::Short) };
    if header[0..2] != MAGIC {
        return Err(Malformed::Magic);
    }
    if header[2] != VERSION {
        return Err(Malformed::Version(header[2]));
    }
    mac(signed, key).verify(authenticator.into()).map_err(|_| Malformed::Authenticator)?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let nonce = |at: usize| Nonce(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
    let parsed = Header {
        sender: Ipv4Addr::from_bits(word(4)),
        to: nonce(8),
        from: nonce(16),
        sequence: word(24),
        acknowledged: word(28),
    };
    Ok((parsed, Body::parse(header[3], body)?))
}

fn mac(signed: &[u8], key: &Key) -> Hmac<Sha256> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes());
    let mut mac = mac.expect("HMAC takes a key of any length (RFC 2104 §2)");
    mac.update(signed);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::from_bytes(vec![7; 16]).unwrap()
    }

    fn addresses() -> impl Strategy<Value = Ipv4Addr> {
        any::<u32>().prop_map(Ipv4Addr::from_bits)
    }

    fn entries() -> impl Strategy<Value = Entry> {
        (addresses(), 0u8..=32, addresses(), any::<bool>(), addresses(), any::<u64>()).prop_map(
            |(network, prefix_length, home_agent, removed, origin, version)| Entry {
                network,
                prefix_length,
                home_agent,
                removed,
                origin,
                version,
            },
        )
    }

    fn bodies() -> impl Strategy<Value = Body> {
        let digest = any::<u64>().prop_map(Digest);
        prop_oneof![
            Just(Body::Hello),
            Just(Body::Welcome),
            (proptest::option::of((addresses(), any::<u8>())), any::<bool>(), digest.clone())
                .prop_map(|(home_agent, leaving, digest)| Body::Report { home_agent, leaving, digest }),
            (any::<bool>(), any::<bool>(), proptest::collection::vec(entries(), 0..=MAXIMUM_ENTRIES))
                .prop_map(|(first, last, entries)| Body::Entries { first, last, entries }),
            digest.clone().prop_map(|digest| Body::Comparison { digest }),
            digest.prop_map(|digest| Body::Acknowledgement { digest }),
        ]
    }

    fn headers() -> impl Strategy<Value = Header> {
        (addresses(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()).prop_map(
            |(sender, to, from, sequence, acknowledged)| Header {
                sender,
                to: Nonce(to),
                from: Nonce(from),
                sequence,
                acknowledged,
            },
        )
    }

    proptest! {
        #[test]
        fn every_message_comes_back_as_it_was(header in headers(), body in bodies()) {
            let message = emit(&header, &body, &key());
            prop_assert!(message.len() <= 1300 - 28);
            prop_assert_eq!(parse(&message, &key()), Ok((header, body)));
        }

        #[test]
        fn a_changed_byte_or_a_missing_one_is_noticed(header in headers(), body in bodies(), at: usize, by in 1u8..) {
            let mut message = emit(&header, &body, &key());
            let at = at % message.len();
            prop_assert!(parse(&message[..at], &key()).is_err());
            message[at] ^= by;
            prop_assert!(parse(&message, &key()).is_err());
        }

        #[test]
        fn any_signed_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 32..400), kind in 0u8..9) {
            bytes[..4].copy_from_slice(&[b'S', b'M', VERSION, kind]);
            let authenticator = mac(&bytes, &key()).finalize().into_bytes();
            bytes.extend(authenticator);
            let _ = parse(&bytes, &key());
        }
    }

    #[test]
    fn another_key_or_version_is_named() {
        let header =
            Header { sender: Ipv4Addr::new(10, 2, 0, 11), to: Nonce(1), from: Nonce(2), sequence: 3, acknowledged: 0 };
        let mut message = emit(&header, &Body::Hello, &key());
        let other = Key::from_bytes(vec![8; 16]).unwrap();
        assert_eq!(parse(&message, &other), Err(Malformed::Authenticator));
        message[2] = 2;
        assert_eq!(parse(&message, &key()), Err(Malformed::Version(2)));
        message[0] = 0;
        assert_eq!(parse(&message, &key()), Err(Malformed::Magic));
    }

    #[test]
    fn a_count_that_is_not_the_number_of_entries_is_malformed() {
        let mut signed = vec![b'S', b'M', VERSION, Body::ENTRIES];
        signed.resize(HEADER_LENGTH, 0);
        signed.extend([0, 0, 0, 2]);
        signed.extend([0; ENTRY_LENGTH]);
        let authenticator = mac(&signed, &key()).finalize().into_bytes();
        signed.extend(authenticator);
        assert_eq!(parse(&signed, &key()), Err(Malformed::Body));
    }
}
