//! Ethernet (EUI-48) addresses.

use core::fmt;

/// An Ethernet address in transmission order.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The link-layer broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The campus-wide virtual MAC: what every access point answers to a visitor's broadcast ARP requests, so that a
    /// client finds "its gateway" under the same address wherever it goes. Locally administered, unicast.
    pub const VIRTUAL_GATEWAY: Self = Self([0x02, 0x6d, 0x69, 0x70, 0x64, 0x01]);

    /// Whether the group bit is set (broadcast included).
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not six colon-separated hexadecimal octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidMacAddress;

impl fmt::Display for InvalidMacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address: write six hexadecimal octets separated by colons")
    }
}

impl core::error::Error for InvalidMacAddress {}

impl core::str::FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(InvalidMacAddress)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| InvalidMacAddress)?;
        }
        if parts.next().is_some() { Err(InvalidMacAddress) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::MacAddress;
    use std::string::ToString;

    #[test]
    fn text_form_round_trips() {
        let text = "02:6d:69:70:64:01";
        assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), text);
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in
            ["", "02:6d:69:70:64", "02:6d:69:70:64:01:02", "2:6d:69:70:64:01", "02-6d-69-70-64-01", "0g:6d:69:70:64:01"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
