//! What clients call themselves: network access identifiers by address range (RFC 2794).

use std::{fmt, str::FromStr};

use mipd_common::mac::MacAddress;

use crate::{
    mobility::security::AddressRange,
    wire::{nai::Nai, types::HomeAddress},
};

/// A network access identifier, in which `{address}` and `{mac}` stand for the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NaiTemplate(String);

const ADDRESS: &str = "{address}";
const MAC: &str = "{mac}";
/// As long as both of them can become.
const LONGEST_ADDRESS: &str = "255.255.255.255";
const LONGEST_MAC: &str = "ff:ff:ff:ff:ff:ff";

/// Why a text is no identifier.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidNai {
    /// RFC 2794 §2: it has to fit its extension.
    #[error("an identifier has 1 to 255 bytes, with {{address}} and {{mac}} filled in: shorten it")]
    Length,
    /// RFC 4282 §2.1 allows none of them, nor do terminals.
    #[error("identifier `{0}` has control characters or white space: write it like scanner7@warehouse.example")]
    Characters(String),
}

impl FromStr for NaiTemplate {
    type Err = InvalidNai;

    fn from_str(text: &str) -> Result<Self, InvalidNai> {
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(InvalidNai::Characters(text.escape_debug().to_string()));
        }
        let longest = text.replace(ADDRESS, LONGEST_ADDRESS).replace(MAC, LONGEST_MAC);
        if Nai::new(longest).is_some() { Ok(Self(text.to_owned())) } else { Err(InvalidNai::Length) }
    }
}

impl fmt::Display for NaiTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NaiTemplate {
    /// Whether different clients get different identifiers.
    pub fn tells_clients_apart(&self) -> bool {
        self.0.contains(ADDRESS) || self.0.contains(MAC)
    }

    /// The identifier of one client.
    pub fn of(&self, home_address: HomeAddress, mac: MacAddress) -> Option<Nai> {
        Nai::new(self.0.replace(ADDRESS, &home_address.to_string()).replace(MAC, &mac.to_string()))
    }
}

/// Identifiers by ranges of clients that do not overlap.
#[derive(Clone, Debug, Default)]
pub struct ClientNames(Vec<(AddressRange, NaiTemplate)>);

impl FromIterator<(AddressRange, NaiTemplate)> for ClientNames {
    /// Of two identifiers for the same range the first one counts.
    fn from_iter<I: IntoIterator<Item = (AddressRange, NaiTemplate)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(range, _)| *range);
        entries.dedup_by_key(|(range, _)| *range);
        Self(entries)
    }
}

impl ClientNames {
    /// What the client is called, if it has a name.
    pub fn of(&self, home_address: HomeAddress, mac: MacAddress) -> Option<Nai> {
        let after = self.0.partition_point(|(range, _)| range.first() <= home_address.0);
        let (range, template) = self.0.get(after.checked_sub(1)?)?;
        range.contains(home_address.0).then(|| template.of(home_address, mac))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x1f]);

    fn names(entries: &[(&str, &str)]) -> ClientNames {
        entries.iter().map(|(range, text)| (range.parse().unwrap(), text.parse().unwrap())).collect()
    }

    fn name(names: &ClientNames, address: &str) -> Option<String> {
        names.of(HomeAddress(address.parse().unwrap()), CLIENT).map(|nai| nai.to_string())
    }

    #[test]
    fn each_client_of_a_range_gets_its_own_identifier() {
        let names = names(&[("10.2.0.0/24", "{mac}@b.example"), ("10.1.0.0/24", "{address}@a.example")]);
        assert_eq!(name(&names, "10.1.0.7").as_deref(), Some("10.1.0.7@a.example"));
        assert_eq!(name(&names, "10.2.0.7").as_deref(), Some("02:00:00:00:00:1f@b.example"));
        assert_eq!(name(&names, "10.3.0.7"), None);
        assert_eq!(name(&names, "9.0.0.0"), None);
    }

    #[test]
    fn of_two_identifiers_for_a_range_the_first_counts() {
        let names = names(&[("10.1.0.5", "first@a.example"), ("10.1.0.5", "second@a.example")]);
        assert_eq!(name(&names, "10.1.0.5").as_deref(), Some("first@a.example"));
    }

    #[test]
    fn what_cannot_be_an_identifier_is_refused() {
        let parse = |text: &str| text.parse::<NaiTemplate>();
        assert_eq!(parse(""), Err(InvalidNai::Length));
        assert_eq!(parse(&"a".repeat(256)), Err(InvalidNai::Length));
        assert_eq!(parse(&format!("{}{{address}}", "a".repeat(241))), Err(InvalidNai::Length), "when filled in");
        assert!(matches!(parse("a b"), Err(InvalidNai::Characters(_))));
        assert!(matches!(parse("a\x1b@b"), Err(InvalidNai::Characters(_))));
        assert!(parse(&"a".repeat(255)).is_ok());
        assert!(!parse("scanner7@warehouse.example").unwrap().tells_clients_apart());
        assert!(parse("{address}@warehouse.example").unwrap().tells_clients_apart());
    }
}
