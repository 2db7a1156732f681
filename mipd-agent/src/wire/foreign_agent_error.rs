//! Foreign agent error, extension 45 (RFC 4636): the foreign agent refuses what the home agent has answered.

use super::{
    extension::{Extensions, append, kind},
    types::ReplyCode,
};

/// The code of the first such extension.
pub fn find(extensions: &Extensions<'_>) -> Option<ReplyCode> {
    let extension = extensions.of_kind(kind::FOREIGN_AGENT_ERROR).next()?;
    extension.data.get(1).copied().map(ReplyCode)
}

/// Appends the extension, with one of the foreign agent's codes.
pub fn append_error(message: &mut Vec<u8>, code: ReplyCode) {
    append(message, kind::FOREIGN_AGENT_ERROR, &[0, code.0]);
}

#[cfg(test)]
mod tests {
    use super::{append_error, find};
    use crate::wire::{
        extension::{Extensions, Space},
        types::ReplyCode,
    };

    #[test]
    fn an_error_round_trips() {
        let mut message = Vec::new();
        append_error(&mut message, ReplyCode::FA_HOME_AUTHENTICATION);
        assert_eq!(message, [45, 2, 0, 68]);
        let extensions = Extensions::parse(&message, 0, Space::Control).unwrap();
        assert_eq!(find(&extensions), Some(ReplyCode::FA_HOME_AUTHENTICATION));
    }
}
