//! The rule that all authentication extensions share: exactly one, and valid (RFC 5944 §3.6.2.1, §3.7.2.1, §3.8.2.1).

use super::SecurityAssociation;
use crate::wire::{authentication, extension::Extensions, types::Spi};

/// What a message's authentication extension of one type amounts to.
#[derive(Clone, Copy, Debug)]
pub enum Verification<'a> {
    /// There is none.
    Absent,
    /// There are several.
    Repeated,
    /// The SPI selects no association.
    UnknownSpi,
    /// The authenticator does not match.
    Wrong(&'a SecurityAssociation),
    /// Exactly one, and it matches.
    Valid {
        /// The association it was checked with.
        association: &'a SecurityAssociation,
        /// Where in the message the extension starts.
        offset: usize,
        /// Where in the message the extension ends.
        end: usize,
    },
}

impl Verification<'_> {
    /// Exactly one, and it matches.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// Checks the authentication extension of type `kind`, with the association that `select` finds by SPI.
pub fn verify<'a>(
    extensions: &Extensions<'_>,
    kind: u8,
    select: impl FnOnce(Spi) -> Option<&'a SecurityAssociation>,
) -> Verification<'a> {
    let mut found = extensions.of_kind(kind);
    let Some(extension) = found.next() else { return Verification::Absent };
    if found.next().is_some() {
        return Verification::Repeated;
    }
    let Some(association) = authentication::spi(&extension).and_then(select) else { return Verification::UnknownSpi };
    if authentication::verify(extensions.message(), &extension, association.algorithm, &association.key) {
        Verification::Valid { association, offset: extension.offset, end: extension.end() }
    } else {
        Verification::Wrong(association)
    }
}
