//! The mobile node's network access identifier, extension 131 (RFC 2794 §2): `user@realm`.

use std::fmt;

use super::extension::{Extensions, append, kind};

/// A network access identifier of 1 to 255 bytes, as received: not necessarily a valid `user@realm`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nai(Box<[u8]>);

impl Nai {
    /// `None` if it is empty or does not fit the extension.
    pub fn new(text: impl AsRef<[u8]>) -> Option<Self> {
        let text = text.as_ref();
        (1..=255).contains(&text.len()).then(|| Self(text.into()))
    }

    /// The first one in the list.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        extensions.of_kind(kind::MOBILE_NODE_NAI).next().and_then(|extension| Self::new(extension.data))
    }

    /// Appends the extension.
    pub fn append(&self, message: &mut Vec<u8>) {
        append(message, kind::MOBILE_NODE_NAI, &self.0);
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Nai {
    /// Control characters and invalid UTF-8 are escaped: the text comes from a stranger and goes to a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Nai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Nai;
    use crate::wire::extension::{Extensions, ParseError, Space};

    #[test]
    fn an_identifier_round_trips() {
        let nai = Nai::new("scanner7@warehouse.example").unwrap();
        let mut message = Vec::new();
        nai.append(&mut message);
        assert_eq!(message[..2], [131, 26]);
        assert_eq!(Nai::find(&Extensions::parse(&message, 0, Space::Control).unwrap()), Some(nai));
    }

    #[test]
    fn what_fits_no_extension_is_no_identifier() {
        assert_eq!(Nai::new(""), None);
        assert_eq!(Nai::new([b'a'; 256]), None);
        let error = Extensions::parse(&[131, 0], 0, Space::Control).unwrap_err();
        assert_eq!(error, ParseError::MalformedExtension { kind: 131, offset: 0 });
    }

    #[test]
    fn a_hostile_identifier_cannot_write_to_the_terminal() {
        assert_eq!(Nai::new("a\x1b[2J\u{e9}").unwrap().to_string(), r"a\x1b[2J\xc3\xa9");
    }
}
