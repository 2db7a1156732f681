//! Authenticators of messages on UDP port 434 (RFC 5944 §3.5).
//!
//! Protected are the message from its first byte, every earlier extension, and the type, length and SPI of the
//! authentication extension itself (RFC 5944 §3.5.1). The generalized extension adds a sub-type (RFC 4721 §5).

use std::fmt;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    extension::{Extension, kind},
    types::Spi,
};

/// Length in bytes of the longest authenticator there is.
pub const LONGEST_AUTHENTICATOR: usize = 32;

/// How the authenticator is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Algorithm {
    /// HMAC-MD5, the default of RFC 5944 §3.5.1.
    #[default]
    HmacMd5,
    /// MD5 of key, protected bytes and key: the default of RFC 2002, with the SPI protected as RFC 3220 and later say.
    Md5PrefixSuffix,
    /// The same by the letter of RFC 2002, whose list of protected bytes ends before the SPI.
    Md5PrefixSuffixWithoutSpi,
    /// HMAC-SHA-1 (RFC 2104), 20 bytes.
    HmacSha1,
    /// HMAC-SHA-256 (RFC 4231), 32 bytes.
    HmacSha256,
}

impl Algorithm {
    /// All of them, the most usual first.
    pub const ALL: [Self; 5] =
        [Self::HmacMd5, Self::Md5PrefixSuffix, Self::Md5PrefixSuffixWithoutSpi, Self::HmacSha1, Self::HmacSha256];

    /// Length of its authenticators in bytes.
    pub fn authenticator_length(self) -> usize {
        match self {
            Self::HmacMd5 | Self::Md5PrefixSuffix | Self::Md5PrefixSuffixWithoutSpi => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => LONGEST_AUTHENTICATOR,
        }
    }
}

/// Why a key was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum InvalidKey {
    /// No bytes at all.
    #[error("the key is empty: give 16 bytes, as 32 hexadecimal digits")]
    Empty,
    /// A half byte.
    #[error("the key has an odd number of hexadecimal digits ({0}): two digits make one byte")]
    OddLength(usize),
    /// Something that is no digit.
    #[error("the key has something other than a hexadecimal digit at position {0}")]
    NotHexadecimal(usize),
}

/// A shared secret. It is wiped from memory when dropped, compared in constant time and never printed.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Takes arbitrary binary of at least one byte.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidKey> {
        let bytes = Zeroizing::new(bytes);
        if bytes.is_empty() { Err(InvalidKey::Empty) } else { Ok(Self(bytes)) }
    }

    /// Reads pairs of hexadecimal digits.
    pub fn from_hex(digits: &str) -> Result<Self, InvalidKey> {
        let mut nibbles = Zeroizing::new(Vec::with_capacity(digits.len()));
        for (position, digit) in digits.chars().enumerate() {
            nibbles.push(digit.to_digit(16).ok_or(InvalidKey::NotHexadecimal(position))? as u8);
        }
        if nibbles.len() % 2 == 1 {
            return Err(InvalidKey::OddLength(nibbles.len()));
        }
        Self::from_bytes(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }

    /// For digests of other protocols than registration.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

/// Appends an authentication extension of type 32, 33 or 34 that protects everything in `message` so far.
pub fn append(message: &mut Vec<u8>, kind: u8, spi: Spi, algorithm: Algorithm, key: &Key) {
    message.extend([kind, 4 + algorithm.authenticator_length() as u8]);
    finish(message, spi, algorithm, key);
}

/// Sub-type of a [generalized authentication extension](kind::GENERALIZED_AUTHENTICATION): between the mobile node and
/// its AAA server (RFC 4721 §5.1).
pub const MOBILE_AAA: u8 = 1;

/// Appends a generalized authentication extension (type 36, RFC 4721 §5) that protects everything in `message` so far.
pub fn append_generalized(message: &mut Vec<u8>, subtype: u8, spi: Spi, algorithm: Algorithm, key: &Key) {
    message.extend([kind::GENERALIZED_AUTHENTICATION, subtype]);
    message.extend((4 + algorithm.authenticator_length() as u16).to_be_bytes());
    finish(message, spi, algorithm, key);
}

fn finish(message: &mut Vec<u8>, spi: Spi, algorithm: Algorithm, key: &Key) {
    message.extend(spi.get().to_be_bytes());
    let authenticator = authenticator(message, algorithm, key);
    message.extend_from_slice(authenticator.as_bytes());
}

/// The SPI of an authentication extension; `None` if it is reserved (RFC 5944 §5.1) or missing.
pub fn spi(extension: &Extension<'_>) -> Option<Spi> {
    extension.data.first_chunk().copied().map(u32::from_be_bytes).and_then(Spi::new)
}

/// Whether the authenticator of `extension`, which is one of `message`'s, is right. Takes the same time whichever
/// byte is wrong.
pub fn verify(message: &[u8], extension: &Extension<'_>, algorithm: Algorithm, key: &Key) -> bool {
    let Some((_, received)) = extension.data.split_first_chunk::<4>() else { return false };
    let Some(protected) = message.get(..extension.end() - received.len()) else { return false };
    authenticator(protected, algorithm, key).as_bytes().ct_eq(received).into()
}

/// An authenticator on the stack: digests have different lengths, and registrations are many.
struct Authenticator {
    bytes: [u8; LONGEST_AUTHENTICATOR],
    length: usize,
}

impl Authenticator {
    fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; LONGEST_AUTHENTICATOR];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { bytes, length: digest.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// `protected` ends with the SPI.
fn authenticator(protected: &[u8], algorithm: Algorithm, key: &Key) -> Authenticator {
    match algorithm {
        Algorithm::HmacMd5 => keyed_hash::<Md5>(&key.0, protected),
        Algorithm::HmacSha1 => keyed_hash::<Sha1>(&key.0, protected),
        Algorithm::HmacSha256 => keyed_hash::<Sha256>(&key.0, protected),
        Algorithm::Md5PrefixSuffix => prefix_suffix(&key.0, protected),
        Algorithm::Md5PrefixSuffixWithoutSpi => prefix_suffix(&key.0, &protected[..protected.len() - 4]),
    }
}

fn prefix_suffix(key: &[u8], protected: &[u8]) -> Authenticator {
    let mut digest = Md5::new();
    for part in [key, protected, key] {
        digest.update(part);
    }
    Authenticator::new(&digest.finalize())
}

fn keyed_hash<D: EagerHash>(key: &[u8], protected: &[u8]) -> Authenticator {
    let mac = <Hmac<D> as KeyInit>::new_from_slice(key);
    let mut mac = mac.expect("HMAC takes a key of any length (RFC 2104 §2)");
    mac.update(protected);
    Authenticator::new(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        extension::{Extensions, Space},
        registration::{RegistrationReply, RegistrationRequest},
    };
    use proptest::prelude::*;

    const REQUEST: &str = "010007080a5b07970a5b07010a140002e5a1b2c312345678";
    const REPLY: &str = "030007080a5b07970a5b0701e5a1b2c312345678";
    const REVOCATION: &str = "070080000a5b07970a5b07010a140002e5a1b2c3";

    fn bytes(hex: &str) -> Vec<u8> {
        Key::from_hex(hex).unwrap().0.to_vec()
    }

    fn key() -> Key {
        Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap()
    }

    fn protect(message: &str, kind: u8, spi: u32, algorithm: Algorithm) -> Vec<u8> {
        let mut message = bytes(message);
        append(&mut message, kind, Spi::new(spi).unwrap(), algorithm, &key());
        message
    }

    #[test]
    fn reference_vectors_of_all_digests_come_out() {
        for (message, algorithm, expected) in [
            (REQUEST, Algorithm::HmacMd5, "f66e4d554c8fb07900e413f6aed8702c"),
            (REQUEST, Algorithm::Md5PrefixSuffix, "d75578f82f6c1ce346d2762e6b7a710f"),
            (REQUEST, Algorithm::Md5PrefixSuffixWithoutSpi, "1644b847107675853b0669b6b19b4426"),
            (REPLY, Algorithm::HmacMd5, "81dd56168f086d4803f8e1bb1511d5b4"),
            (REPLY, Algorithm::Md5PrefixSuffix, "ae00c75936b5edba324eedb9e39a5f1d"),
            (REPLY, Algorithm::Md5PrefixSuffixWithoutSpi, "90b50ea7ad80a28bd82692ada2f1652e"),
        ] {
            let expected = bytes(&format!("{message}201400000100{expected}"));
            assert_eq!(protect(message, kind::MOBILE_HOME_AUTHENTICATION, 0x100, algorithm), expected, "{algorithm:?}");
        }
        assert_eq!(
            protect(REVOCATION, kind::FOREIGN_HOME_AUTHENTICATION, 0x101, Algorithm::HmacMd5),
            bytes(&format!("{REVOCATION}221400000101c1655fd88c3af0573c821ad88e476a04"))
        );
    }

    #[test]
    fn longer_digests_and_the_generalized_extension_match_an_independent_implementation() {
        let sha1 = "95cdeff50ad3bcdde61f288c62a49c6cd43ad43a";
        let sha256 = "e9ade8b87461bbc650b6c3a485f5556b07cf8bb84274fcc939ab7c2a709a859e";
        assert_eq!(
            protect(REQUEST, kind::MOBILE_HOME_AUTHENTICATION, 0x100, Algorithm::HmacSha1),
            bytes(&format!("{REQUEST}201800000100{sha1}"))
        );
        assert_eq!(
            protect(REQUEST, kind::MOBILE_HOME_AUTHENTICATION, 0x100, Algorithm::HmacSha256),
            bytes(&format!("{REQUEST}202400000100{sha256}"))
        );
        let mut message = bytes(REQUEST);
        append_generalized(&mut message, MOBILE_AAA, Spi::new(0x100).unwrap(), Algorithm::HmacMd5, &key());
        assert_eq!(message, bytes(&format!("{REQUEST}24010014000001003daba98a40ef68e4cbb8c96b74541ed4")));
        let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
        assert!(verify(&message, &extensions.iter().next().unwrap(), Algorithm::HmacMd5, &key()));
    }

    #[test]
    fn what_is_appended_verifies_with_its_own_algorithm_only() {
        for algorithm in Algorithm::ALL {
            let message = protect(REQUEST, kind::MOBILE_HOME_AUTHENTICATION, 0x100, algorithm);
            let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
            let extension = extensions.iter().next().unwrap();
            assert_eq!(spi(&extension), Spi::new(0x100));
            for other in Algorithm::ALL {
                assert_eq!(verify(&message, &extension, other, &key()), algorithm == other, "{algorithm:?} {other:?}");
            }
            assert!(!verify(&message, &extension, algorithm, &Key::from_hex("00").unwrap()));
        }
    }

    #[test]
    fn a_later_extension_protects_the_earlier_ones() {
        let mut message = protect(REPLY, kind::MOBILE_HOME_AUTHENTICATION, 0x100, Algorithm::HmacMd5);
        append(&mut message, kind::FOREIGN_HOME_AUTHENTICATION, Spi::new(0x200).unwrap(), Algorithm::HmacMd5, &key());
        let outcome = |message: &[u8]| {
            let (_, extensions) = RegistrationReply::parse(message).unwrap();
            extensions.iter().map(|each| verify(message, &each, Algorithm::HmacMd5, &key())).collect::<Vec<_>>()
        };
        assert_eq!(outcome(&message), [true, true]);
        message[30] ^= 1;
        assert_eq!(outcome(&message), [false, false]);
        message[30] ^= 1;
        message[50] ^= 1;
        assert_eq!(outcome(&message), [true, false]);
    }

    #[test]
    fn a_reserved_spi_is_none() {
        let mut message = bytes("20140000000200000000000000000000000000000000");
        let reserved = Extensions::parse(&message, 0, Space::Control).unwrap();
        assert_eq!(spi(&reserved.iter().next().unwrap()), None);
        message[4] = 1;
        let allowed = Extensions::parse(&message, 0, Space::Control).unwrap();
        assert_eq!(spi(&allowed.iter().next().unwrap()), Spi::new(0x102));
    }

    #[test]
    fn an_authenticator_of_another_length_is_wrong() {
        let message = protect(REQUEST, kind::MOBILE_HOME_AUTHENTICATION, 0x100, Algorithm::HmacMd5);
        for length in [15, 17] {
            let mut message = message.clone();
            message[25] = 4 + length;
            message.resize(30 + usize::from(length), 0);
            let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
            let extension = extensions.iter().next().unwrap();
            assert!(!verify(&message, &extension, Algorithm::HmacMd5, &key()));
        }
    }

    #[test]
    fn the_key_is_never_printed() {
        assert_eq!(format!("{:?}", key()), "Key(secret)");
    }

    #[test]
    fn malformed_keys_are_refused_with_the_reason() {
        assert_eq!(Key::from_hex("").unwrap_err(), InvalidKey::Empty);
        assert_eq!(Key::from_hex("abc").unwrap_err(), InvalidKey::OddLength(3));
        assert_eq!(Key::from_hex("0g").unwrap_err(), InvalidKey::NotHexadecimal(1));
        assert_eq!(Key::from_hex("FFee").unwrap(), Key::from_bytes(vec![0xff, 0xee]).unwrap());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(byte in 0usize..46, bit in 0u8..8) {
            for algorithm in Algorithm::ALL {
                let mut message = protect(REQUEST, kind::MOBILE_HOME_AUTHENTICATION, 0x100, algorithm);
                message[byte] ^= 1 << bit;
                let Ok((_, extensions)) = RegistrationRequest::parse(&message) else { continue };
                let unprotected = algorithm == Algorithm::Md5PrefixSuffixWithoutSpi && (26..30).contains(&byte);
                for extension in extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION) {
                    prop_assert_eq!(verify(&message, &extension, algorithm, &key()), unprotected);
                }
            }
        }
    }
}
