//! Dynamic home agent assignment, extension 139 (RFC 4433 §4).
//!
//! The RFC prints its length as two bytes, which nobody could skip by the rule of RFC 5944 §1.8; others read one. Both
//! forms are accepted, and the one-byte form is sent.

use std::net::Ipv4Addr;

use super::extension::{Extensions, append, kind};

/// What the address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Purpose {
    /// The node would like this home agent.
    Requested = 1,
    /// The node shall register with this home agent.
    Redirected = 2,
}

/// The address of a home agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DynamicHomeAgent {
    /// What it is there for.
    pub purpose: Purpose,
    /// The home agent; possibly 0.0.0.0 or 255.255.255.255 in a request.
    pub address: Ipv4Addr,
}

impl DynamicHomeAgent {
    /// The first one of a known sub-type in the list.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        extensions.of_kind(kind::DYNAMIC_HOME_AGENT).find_map(|extension| {
            let (subtype, address) = match *extension.data {
                [a, b, c, d] => (extension.raw[1], [a, b, c, d]),
                [subtype, a, b, c, d] => (subtype, [a, b, c, d]),
                _ => return None,
            };
            let purpose = match subtype {
                1 => Purpose::Requested,
                2 => Purpose::Redirected,
                _ => return None,
            };
            Some(Self { purpose, address: address.into() })
        })
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        let [a, b, c, d] = self.address.octets();
        append(message, kind::DYNAMIC_HOME_AGENT, &[self.purpose as u8, a, b, c, d]);
    }
}

#[cfg(test)]
mod tests {
    use super::{DynamicHomeAgent, Purpose};
    use crate::wire::extension::{Extensions, Space};
    use std::net::Ipv4Addr;

    fn read(bytes: &[u8]) -> Option<DynamicHomeAgent> {
        DynamicHomeAgent::find(&Extensions::parse(bytes, 0, Space::Control).unwrap())
    }

    #[test]
    fn both_forms_are_read_and_the_skippable_one_is_sent() {
        let expected = DynamicHomeAgent { purpose: Purpose::Redirected, address: Ipv4Addr::new(10, 0, 0, 1) };
        assert_eq!(read(&[139, 2, 0, 4, 10, 0, 0, 1]), Some(expected));
        assert_eq!(read(&[139, 5, 2, 10, 0, 0, 1]), Some(expected));
        let mut message = Vec::new();
        expected.append(&mut message);
        assert_eq!(message, [139, 5, 2, 10, 0, 0, 1]);
    }

    #[test]
    fn another_subtype_or_length_is_skipped() {
        assert_eq!(read(&[139, 5, 3, 10, 0, 0, 1]), None);
        assert_eq!(read(&[139, 1, 2]), None);
    }
}
