//! The text in which a RADIUS server writes a security association: Cisco's AV pair `mobileip:spi#N=…`.
//!
//! The value is the rest of a router's command `ip mobile secure host ADDRESS …`:
//!
//! ```text
//! mobileip:spi#0=spi 100 key hex 000102…0f [replay timestamp [within 7]] [algorithm md5 mode prefix-suffix]
//! ```
//!
//! * `spi N`: hexadecimal, as routers write it; also `0xN`, and `decimal N`. 0x100 at least.
//! * `key hex …`: 32 digits. ASCII keys are refused, since no two vendors make the same bytes of one.
//! * `replay timestamp [within SECONDS]`: how far a timestamp may be off, 1 to 3600 s.
//! * `algorithm md5 [mode prefix-suffix]`, `algorithm hmac-md5`; our own additions are `algorithm hmac-sha1`,
//!   `algorithm hmac-sha256`, and `algorithm md5 mode prefix-suffix-without-spi` for the letter of RFC 2002.
//!
//! Words are case-insensitive, spaces may be any white space, and the clauses after the first may come in any order.

use std::{str::SplitAsciiWhitespace, time::Duration};

use thiserror::Error;

use crate::wire::{
    authentication::{Algorithm, Key},
    types::Spi,
};

/// RFC 5944 §5.1: the default algorithm's keys have 128 bits.
const KEY_DIGITS: usize = 32;
/// The longest replay window that makes sense, seconds; the same as in the configuration file.
const LONGEST_WINDOW: u64 = 3600;

/// A security association as a server wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AssociationText {
    /// The number after `spi#`: associations are listed in its order.
    pub index: u32,
    /// Tells the receiver which association to check with.
    pub spi: Spi,
    /// The shared secret.
    pub key: Key,
    /// How the authenticator is computed, if the text says so.
    pub algorithm: Option<Algorithm>,
    /// How far a timestamp may be off, if the text says so.
    pub replay_window: Option<Duration>,
}

/// Why a text that should be a security association is none. Shows nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AssociationTextError {
    /// Not UTF-8.
    #[error("it is no text")]
    NotText,
    /// What follows `spi#` is no number.
    #[error("`spi#` is not followed by a number")]
    Index,
    /// No or no usable SPI.
    #[error("it does not begin with `spi` and a number from 100 hexadecimal (256) on")]
    Spi,
    /// No or no usable key.
    #[error("it has no `key hex` with 32 hexadecimal digits")]
    Key,
    /// A replay clause that is not understood.
    #[error("its `replay` is not `timestamp`, `within` 1 to 3600 seconds")]
    Replay,
    /// An algorithm that is not known.
    #[error("its `algorithm` is not known")]
    Algorithm,
    /// A word that is not known.
    #[error("it has a word that is not known")]
    Word,
    /// A clause that occurs twice.
    #[error("it says something twice")]
    Repeated,
}

impl AssociationText {
    /// Reads an AV pair. `None` if it is about something else.
    pub fn parse(av_pair: &[u8]) -> Option<Result<Self, AssociationTextError>> {
        const NAME: &[u8] = b"mobileip:spi";
        let (name, rest) = av_pair.split_at_checked(NAME.len())?;
        if !name.eq_ignore_ascii_case(NAME) || !matches!(rest.first(), Some(b'#' | b'=' | b'*')) {
            return None;
        }
        Some(str::from_utf8(rest).map_err(|_| AssociationTextError::NotText).and_then(Self::parse_numbered))
    }

    /// `#N=…`. Without a number it is the first; `*` instead of `=` marks an optional attribute.
    fn parse_numbered(text: &str) -> Result<Self, AssociationTextError> {
        let (number, value) = text.split_once(['=', '*']).ok_or(AssociationTextError::Index)?;
        let index = match number.strip_prefix('#') {
            Some(digits) => digits.trim().parse().map_err(|_| AssociationTextError::Index)?,
            None => 0,
        };
        Self::parse_value(index, value)
    }

    fn parse_value(index: u32, value: &str) -> Result<Self, AssociationTextError> {
        let mut words = Words(value.split_ascii_whitespace());
        if !words.take("spi") {
            return Err(AssociationTextError::Spi);
        }
        let spi = words.spi().ok_or(AssociationTextError::Spi)?;
        let (mut key, mut algorithm, mut replay_window) = (None, None, None);
        let mut replay = false;
        while let Some(word) = words.next() {
            let repeated = match word.to_ascii_lowercase().as_str() {
                "key" => key.replace(words.key().ok_or(AssociationTextError::Key)?).is_some(),
                "algorithm" => algorithm.replace(words.algorithm().ok_or(AssociationTextError::Algorithm)?).is_some(),
                "replay" => {
                    replay_window = words.replay()?;
                    std::mem::replace(&mut replay, true)
                }
                _ => return Err(AssociationTextError::Word),
            };
            if repeated {
                return Err(AssociationTextError::Repeated);
            }
        }
        Ok(Self { index, spi, key: key.ok_or(AssociationTextError::Key)?, algorithm, replay_window })
    }
}

/// The words of a text still to be read.
#[derive(Clone)]
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, wanted: &str) -> bool {
        let mut ahead = self.0.clone();
        let found = ahead.next().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
        if found {
            self.0 = ahead;
        }
        found
    }

    fn spi(&mut self) -> Option<Spi> {
        let radix = if self.take("decimal") { 10 } else { 16 };
        let word = self.next()?;
        let prefixed = word.strip_prefix("0x").or(word.strip_prefix("0X"));
        let digits = if radix == 16 { prefixed.unwrap_or(word) } else { word };
        // `from_str_radix` would take a sign.
        let number = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
        u32::from_str_radix(number, radix).ok().and_then(Spi::new)
    }

    fn key(&mut self) -> Option<Key> {
        let digits = self.take("hex").then(|| self.next())??;
        (digits.len() == KEY_DIGITS).then(|| Key::from_hex(digits).ok())?
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        Some(match self.next()?.to_ascii_lowercase().as_str() {
            "md5" if !self.take("mode") || self.take("prefix-suffix") => Algorithm::Md5PrefixSuffix,
            "md5" if self.take("prefix-suffix-without-spi") => Algorithm::Md5PrefixSuffixWithoutSpi,
            "hmac-md5" => Algorithm::HmacMd5,
            "hmac-sha1" => Algorithm::HmacSha1,
            "hmac-sha256" => Algorithm::HmacSha256,
            _ => return None,
        })
    }

    /// `timestamp`, and the window if one follows.
    fn replay(&mut self) -> Result<Option<Duration>, AssociationTextError> {
        if !self.take("timestamp") {
            return Err(AssociationTextError::Replay);
        }
        if !self.take("within") {
            return Ok(None);
        }
        let seconds = self.next().and_then(|word| word.parse().ok());
        let seconds = seconds.filter(|seconds| (1..=LONGEST_WINDOW).contains(seconds));
        seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or(AssociationTextError::Replay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    fn parse(text: &str) -> Result<AssociationText, AssociationTextError> {
        AssociationText::parse(text.as_bytes()).expect("it is about a security association")
    }

    fn spi(text: &str) -> Option<u32> {
        parse(&format!("mobileip:spi#0=spi {text} key hex {KEY}")).ok().map(|association| association.spi.get())
    }

    #[test]
    fn the_forms_that_routers_write_are_understood() {
        let seven = Some(Duration::from_secs(7));
        let prefix_suffix = Some(Algorithm::Md5PrefixSuffix);
        for (rest, replay_window, algorithm) in [
            ("", None, None),
            (" replay timestamp", None, None),
            (" replay timestamp within 7", seven, None),
            (" algorithm md5 mode prefix-suffix", None, prefix_suffix),
            (" algorithm md5", None, prefix_suffix),
            (" algorithm hmac-md5", None, Some(Algorithm::HmacMd5)),
            (" replay timestamp within 7 algorithm md5 mode prefix-suffix", seven, prefix_suffix),
            ("\talgorithm  md5  replay timestamp within 7 ", seven, prefix_suffix),
            (" algorithm hmac-sha1", None, Some(Algorithm::HmacSha1)),
            (" algorithm HMAC-SHA256", None, Some(Algorithm::HmacSha256)),
            (" algorithm md5 mode prefix-suffix-without-spi", None, Some(Algorithm::Md5PrefixSuffixWithoutSpi)),
        ] {
            let found = parse(&format!("mobileip:spi#3=spi 100 key hex {KEY}{rest}")).unwrap();
            let key = Key::from_hex(KEY).unwrap();
            let expected = AssociationText { index: 3, spi: Spi::new(0x100).unwrap(), key, algorithm, replay_window };
            assert_eq!(found, expected, "{rest}");
        }
    }

    #[test]
    fn an_spi_is_hexadecimal_unless_it_says_decimal() {
        for (text, number) in [
            ("100", Some(0x100)),
            ("0x100", Some(0x100)),
            ("0Xffffffff", Some(u32::MAX)),
            ("abc", Some(0xabc)),
            ("decimal 256", Some(256)),
            ("DECIMAL 4294967295", Some(u32::MAX)),
            ("ff", None),
            ("decimal 255", None),
            ("decimal 0x100", None),
            ("decimal abc", None),
            ("100000000", None),
            ("+100", None),
            ("", None),
        ] {
            assert_eq!(spi(text), number, "{text}");
        }
    }

    #[test]
    fn names_are_liberal_and_other_pairs_are_left_alone() {
        for name in ["mobileip:spi#0=", "MobileIP:SPI#0=", "mobileip:spi=", "mobileip:spi#0*", "mobileip:spi# 0 = "] {
            assert!(parse(&format!("{name}spi 100 key hex {KEY}")).is_ok(), "{name}");
        }
        for other in ["", "mobileip", "mobileip:spi", "mobileip:spill=1", "ip:addr-pool=x", "mobileip:timer=3"] {
            assert!(AssociationText::parse(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn each_fault_is_told() {
        use AssociationTextError::*;
        for (text, error) in [
            ("mobileip:spi#0", Index),
            ("mobileip:spi#x=spi 100", Index),
            ("mobileip:spi#0=", Spi),
            ("mobileip:spi#0=key hex 00", Spi),
            ("mobileip:spi#0=spi 100", Key),
            ("mobileip:spi#0=spi 100 key ascii secret", Key),
            ("mobileip:spi#0=spi 100 key hex 0001", Key),
            ("mobileip:spi#0=spi 100 key hex 0001020304050607x8090a0b0c0d0e0f", Key),
            ("mobileip:spi#0=spi 100 replay nonce", Replay),
            ("mobileip:spi#0=spi 100 replay timestamp within 0", Replay),
            ("mobileip:spi#0=spi 100 replay timestamp within 3601", Replay),
            ("mobileip:spi#0=spi 100 algorithm sha3", Algorithm),
            ("mobileip:spi#0=spi 100 algorithm md5 mode suffix", Algorithm),
            ("mobileip:spi#0=spi 100 outbound-spi 200", Word),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for clause in ["replay timestamp", "algorithm md5", "key hex 000102030405060708090a0b0c0d0e0f"] {
            let text = format!("mobileip:spi#0=spi 100 {clause} {clause}");
            assert_eq!(parse(&text), Err(Repeated), "{text}");
        }
        assert_eq!(AssociationText::parse(b"mobileip:spi#0=\xff"), Some(Err(NotText)));
    }

    #[test]
    fn the_key_is_never_printed() {
        let shown = format!("{:?}", parse(&format!("mobileip:spi#0=spi 100 key hex {KEY}")).unwrap());
        assert!(!shown.contains("0d0e0f") && !shown.contains("13, 14, 15"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(spi|key|hex|replay|algorithm|md5|mode|within|[ #=*0-9a-fx])*") {
            let _ = AssociationText::parse(format!("mobileip:spi{text}").as_bytes());
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = AssociationText::parse(&bytes);
            let _ = AssociationText::parse(&[b"mobileip:spi#0=".as_slice(), &bytes].concat());
        }

        #[test]
        fn what_is_written_is_read(index: u32, spi in 256u32.., key: [u8; 16], window in 1u64..=3600) {
            let digits = format!("{:032x}", u128::from_be_bytes(key));
            let text = format!("mobileip:spi#{index}=spi {spi:x} key hex {digits} replay timestamp within {window}");
            let found = parse(&text).unwrap();
            prop_assert_eq!((found.index, found.spi.get()), (index, spi));
            prop_assert_eq!(found.key, Key::from_bytes(key.to_vec()).unwrap());
            prop_assert_eq!(found.replay_window, Some(Duration::from_secs(window)));
        }
    }
}
