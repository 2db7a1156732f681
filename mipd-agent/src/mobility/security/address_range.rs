//! Inclusive ranges of addresses, as operators write them: one address, a prefix, or `first-last`.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::Deserialize;

/// An inclusive, non-empty range of IPv4 addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl AddressRange {
    /// All addresses from `first` to `last`; `None` if that is empty.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest address.
    pub fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The highest address.
    pub fn last(self) -> Ipv4Addr {
        self.last
    }

    /// Whether `address` lies inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Whether all of it lies within `prefix`.
    pub fn is_within(self, prefix: &Ipv4Net) -> bool {
        prefix.contains(&self.first) && prefix.contains(&self.last)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<Ipv4Addr> for AddressRange {
    fn from(address: Ipv4Addr) -> Self {
        Self { first: address, last: address }
    }
}

impl From<Ipv4Net> for AddressRange {
    /// The whole prefix, network and broadcast address included.
    fn from(prefix: Ipv4Net) -> Self {
        Self { first: prefix.network(), last: prefix.broadcast() }
    }
}

/// Why a text is no range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAddressRange {
    /// Neither an address, nor a prefix, nor a range.
    #[error("`{0}` is not a range of clients: write 10.1.0.0/24, 10.1.0.5 or 10.1.0.10-10.1.0.20")]
    Unreadable(String),
    /// The last address lies before the first.
    #[error("range `{0}` ends before it begins: exchange its ends")]
    Backwards(String),
    /// An address within the prefix in the place of the prefix.
    #[error("prefix `{text}` has host bits set: write {prefix}")]
    HostBits {
        /// As written.
        text: String,
        /// What was probably meant.
        prefix: Ipv4Net,
    },
}

impl FromStr for AddressRange {
    type Err = InvalidAddressRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || InvalidAddressRange::Unreadable(text.to_owned());
        let address = |part: &str| part.trim().parse::<Ipv4Addr>().map_err(|_| unreadable());
        if text.contains('/') {
            let prefix: Ipv4Net = text.parse().map_err(|_| unreadable())?;
            if prefix.trunc() != prefix {
                return Err(InvalidAddressRange::HostBits { text: text.to_owned(), prefix: prefix.trunc() });
            }
            Ok(prefix.into())
        } else if let Some((first, last)) = text.split_once('-') {
            Self::new(address(first)?, address(last)?).ok_or_else(|| InvalidAddressRange::Backwards(text.to_owned()))
        } else {
            address(text).map(Self::from)
        }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidAddressRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let as_prefix = (0..32)
            .filter_map(|length| Ipv4Net::new(self.first, length).ok())
            .find(|prefix| prefix.network() == self.first && prefix.broadcast() == self.last);
        match as_prefix {
            _ if self.first == self.last => self.first.fmt(f),
            Some(prefix) => prefix.fmt(f),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AddressRange;

    #[test]
    fn every_way_of_writing_a_range_is_understood() {
        for (text, shown) in [
            ("10.1.0.5", "10.1.0.5"),
            ("10.1.0.0/24", "10.1.0.0/24"),
            ("10.1.0.0-10.1.0.255", "10.1.0.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.0.5/32", "10.1.0.5"),
            ("10.1.0.10-10.1.0.20", "10.1.0.10-10.1.0.20"),
            ("10.1.0.10 - 10.1.0.10", "10.1.0.10"),
        ] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_unreadable_or_empty_range_is_refused() {
        for text in
            ["", "10.1.0", "10.1.0.0/33", "10.1.0.77/24", "10.1.0.20-10.1.0.10", "10.1.0.1-10.1.0.2-10.1.0.3", "a-b"]
        {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_that_only_touch_do_not_overlap() {
        let low: AddressRange = "10.1.0.0/25".parse().unwrap();
        let high: AddressRange = "10.1.0.128/25".parse().unwrap();
        assert!(!low.overlaps(high) && !high.overlaps(low));
        assert!(low.overlaps("10.1.0.127-10.1.0.128".parse().unwrap()));
    }
}
