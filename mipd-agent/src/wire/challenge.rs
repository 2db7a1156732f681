//! The foreign agent's challenge (RFC 4721 §2, §4): random bytes that a request must echo.

use super::extension::{Extension, Extensions, append, kind};

/// Length in bytes of the challenges that we make. RFC 4721 §2 asks for at least 4.
pub const LENGTH: usize = 8;

/// A challenge that we made.
pub type Challenge = [u8; LENGTH];

/// Mobile-Foreign challenge, extension 132, in requests and replies. `None` without one; its bytes are
/// [`Extension::data`].
pub fn find<'a>(extensions: &Extensions<'a>) -> Option<Extension<'a>> {
    extensions.of_kind(kind::CHALLENGE).next()
}

/// Appends extension 132. What exceeds 255 bytes, which no advertisement can carry, is cut.
pub fn append_challenge(message: &mut Vec<u8>, challenge: &[u8]) {
    append(message, kind::CHALLENGE, &challenge[..challenge.len().min(255)]);
}

#[cfg(test)]
mod tests {
    use super::{append_challenge, find};
    use crate::wire::extension::{Extensions, ParseError, Space};

    #[test]
    fn a_challenge_is_found_with_its_place() {
        let mut message = vec![200, 0];
        append_challenge(&mut message, &[1, 2, 3, 4]);
        let extensions = Extensions::parse(&message, 0, Space::Control).unwrap();
        let challenge = find(&extensions).unwrap();
        assert_eq!((challenge.offset, challenge.data), (2, &[1, 2, 3, 4][..]));
    }

    #[test]
    fn an_empty_challenge_is_malformed() {
        let error = Extensions::parse(&[132, 0], 0, Space::Control).unwrap_err();
        assert_eq!(error, ParseError::MalformedExtension { kind: 132, offset: 0 });
    }
}
