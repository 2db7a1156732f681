//! Ranges of client addresses that share a security association.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::values::PrefixText;

/// Consecutive home addresses, both ends included. Written as a prefix, an address, or `first-last`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ClientRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl ClientRange {
    /// `None` if `last` lies before `first`.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest address.
    pub fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> Ipv4Addr {
        self.last
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether all of it lies within `prefix`.
    pub fn is_within(&self, prefix: &Ipv4Net) -> bool {
        prefix.contains(&self.first) && prefix.contains(&self.last)
    }
}

impl TryFrom<String> for ClientRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for ClientRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = |part: &str| {
            part.trim().parse::<Ipv4Addr>().map_err(|_| {
                format!("`{text}` is not a range of clients: write 10.1.0.0/24, 10.1.0.5 or 10.1.0.10-10.1.0.20")
            })
        };
        if text.contains('/') {
            let PrefixText(prefix) = PrefixText::try_from(text.to_owned())?;
            Ok(Self { first: prefix.network(), last: prefix.broadcast() })
        } else if let Some((first, last)) = text.split_once('-') {
            Self::new(address(first)?, address(last)?)
                .ok_or_else(|| format!("range `{text}` ends before it begins: exchange its ends"))
        } else {
            let only = address(text)?;
            Ok(Self { first: only, last: only })
        }
    }
}

impl fmt::Display for ClientRange {
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
    use super::ClientRange;

    fn range(text: &str) -> ClientRange {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_round_trips() {
        for text in ["10.1.0.0/24", "10.1.0.5", "10.1.0.10-10.1.0.20", "0.0.0.0/0", "10.1.0.4/31"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("10.1.0.0-10.1.0.255").to_string(), "10.1.0.0/24");
        assert_eq!(range("10.1.0.5/32").to_string(), "10.1.0.5");
    }

    #[test]
    fn ranges_overlap_when_they_share_one_address() {
        assert!(range("10.1.0.0/24").overlaps(&range("10.1.0.255-10.1.1.3")));
        assert!(range("10.1.0.7").overlaps(&range("10.1.0.0/24")));
        assert!(!range("10.1.0.0/24").overlaps(&range("10.1.1.0/24")));
    }
}
