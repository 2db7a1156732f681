//! Proxy Mobile IPv4, extensions 47 and 147 (RFC 5563 §6): how a proxy authenticates, and whom it stands for.

use mipd_common::mac::MacAddress;

use super::extension::{Extensions, append, append_long, kind};

/// Sub-type of extension 47: how the registration is authenticated (RFC 5563 §6.1).
const AUTHENTICATION_METHOD: u8 = 1;

/// By what a proxy's registration is authorized (RFC 5563 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthenticationMethod {
    /// The foreign-home authentication extension alone.
    ForeignHome,
    /// An `IPsec` association between the agents.
    IpSec,
    /// Something that we do not know.
    Other(u8),
}

impl AuthenticationMethod {
    /// The first one in the list.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        let extension = extensions.of_kind(kind::PROXY_NON_SKIPPABLE).next()?;
        Some(match extension.data.first()? {
            1 => Self::ForeignHome,
            2 => Self::IpSec,
            other => Self::Other(*other),
        })
    }

    /// Appends extension 47.
    pub fn append(self, message: &mut Vec<u8>) {
        let method = match self {
            Self::ForeignHome => 1,
            Self::IpSec => 2,
            Self::Other(other) => other,
        };
        append_long(message, kind::PROXY_NON_SKIPPABLE, AUTHENTICATION_METHOD, &[method]);
    }
}

const DEVICE_ID: u8 = 2;
const ETHERNET: u8 = 1;
const ACCESS_TECHNOLOGY: u8 = 4;

/// The client's Ethernet address, extension 147 sub-type 2 (RFC 5563 §6.2).
pub fn find_device(extensions: &Extensions<'_>) -> Option<MacAddress> {
    extensions.of_kind(kind::PROXY_SKIPPABLE).find_map(|extension| match extension.data {
        [DEVICE_ID, ETHERNET, device @ ..] => device.try_into().ok().map(MacAddress),
        _ => None,
    })
}

/// Appends the client's Ethernet address.
pub fn append_device(message: &mut Vec<u8>, device: MacAddress) {
    append(message, kind::PROXY_SKIPPABLE, &[&[DEVICE_ID, ETHERNET], &device.0[..]].concat());
}

/// How the client is attached, extension 147 sub-type 4 (RFC 5563 §6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AccessTechnology {
    /// IEEE 802.3.
    Ethernet = 1,
    /// IEEE 802.11a/b/g.
    WirelessLan = 2,
}

impl AccessTechnology {
    /// The first one in the list; `None` also for one that we do not know.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        extensions.of_kind(kind::PROXY_SKIPPABLE).find_map(|extension| match *extension.data {
            [ACCESS_TECHNOLOGY, 1] => Some(Self::Ethernet),
            [ACCESS_TECHNOLOGY, 2] => Some(Self::WirelessLan),
            _ => None,
        })
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        append(message, kind::PROXY_SKIPPABLE, &[ACCESS_TECHNOLOGY, self as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extension::{ParseError, Space};

    const DEVICE: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    #[test]
    fn all_extensions_are_laid_out_as_the_rfc_draws_them_and_come_back() {
        let mut message = Vec::new();
        AuthenticationMethod::ForeignHome.append(&mut message);
        append_device(&mut message, DEVICE);
        AccessTechnology::WirelessLan.append(&mut message);
        assert_eq!(message, [47, 1, 0, 1, 1, 147, 8, 2, 1, 2, 0, 0, 0, 0, 9, 147, 2, 4, 2]);
        let extensions = Extensions::parse(&message, 0, Space::Control).unwrap();
        assert_eq!(AuthenticationMethod::find(&extensions), Some(AuthenticationMethod::ForeignHome));
        assert_eq!(find_device(&extensions), Some(DEVICE));
        assert_eq!(AccessTechnology::find(&extensions), Some(AccessTechnology::WirelessLan));
    }

    #[test]
    fn an_unknown_non_skippable_subtype_refuses_the_message() {
        let error = Extensions::parse(&[47, 2, 0, 1, 1], 0, Space::Control).unwrap_err();
        assert_eq!(error, ParseError::UnknownNonSkippable(47));
    }
}
