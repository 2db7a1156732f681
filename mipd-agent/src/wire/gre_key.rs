//! The GRE key extension (RFC 6245 §4): both tunnel ends say with which key they want to be sent to.

use super::extension::{Extensions, append_long, kind};

/// The key that its sender wants to find in the GRE packets that it receives. In a request, 0 means that the key of the
/// reply holds in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GreKey(pub u32);

impl GreKey {
    /// The first one in the list.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        let extension = extensions.of_kind(kind::GRE_KEY).next()?;
        extension.data.first_chunk().map(|key| Self(u32::from_be_bytes(*key)))
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        append_long(message, kind::GRE_KEY, 0, &self.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::GreKey;
    use crate::wire::extension::{Extensions, ParseError, Space};

    #[test]
    fn a_key_is_laid_out_as_the_rfc_draws_it_and_comes_back() {
        let mut message = Vec::new();
        GreKey(0x0102_0304).append(&mut message);
        assert_eq!(message, [48, 0, 0, 4, 1, 2, 3, 4]);
        assert_eq!(GreKey::find(&Extensions::parse(&message, 0, Space::Control).unwrap()), Some(GreKey(0x0102_0304)));
    }

    #[test]
    fn another_length_is_malformed_and_another_subtype_unknown() {
        let parse = |bytes: &[u8]| Extensions::parse(bytes, 0, Space::Control).unwrap_err();
        assert_eq!(parse(&[48, 0, 0, 3, 1, 2, 3]), ParseError::MalformedExtension { kind: 48, offset: 0 });
        assert_eq!(parse(&[48, 1, 0, 4, 1, 2, 3, 4]), ParseError::UnknownNonSkippable(48));
    }
}
