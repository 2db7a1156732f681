//! The rule that all authentication extensions share: exactly one, and valid (RFC 5944 §3.6.2.1, §3.7.2.1, §3.8.2.1).

use super::SecurityAssociation;
use crate::wire::{
    authentication::{self, Algorithm},
    extension::{Extension, Extensions, kind},
    types::Spi,
};

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
        /// The algorithm that matched: the association's, unless it accepts any.
        algorithm: Algorithm,
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
    only_one(extensions, extensions.of_kind(kind), select)
}

/// The same for the generalized authentication extension of this sub-type (RFC 4721 §5).
pub fn verify_generalized<'a>(
    extensions: &Extensions<'_>,
    subtype: u8,
    select: impl FnOnce(Spi) -> Option<&'a SecurityAssociation>,
) -> Verification<'a> {
    let found = extensions.of_kind(kind::GENERALIZED_AUTHENTICATION);
    only_one(extensions, found.filter(|extension| extension.long_subtype() == subtype), select)
}

fn only_one<'a, 'm>(
    extensions: &Extensions<'_>,
    mut found: impl Iterator<Item = Extension<'m>>,
    select: impl FnOnce(Spi) -> Option<&'a SecurityAssociation>,
) -> Verification<'a> {
    let Some(extension) = found.next() else { return Verification::Absent };
    if found.next().is_some() {
        return Verification::Repeated;
    }
    let Some(association) = authentication::spi(&extension).and_then(select) else { return Verification::UnknownSpi };
    match association.verify(extensions.message(), &extension) {
        Some(algorithm) => {
            Verification::Valid { association, algorithm, offset: extension.offset, end: extension.end() }
        }
        None => Verification::Wrong(association),
    }
}

#[cfg(test)]
mod tests {
    use super::{Verification, verify};
    use crate::{
        mobility::security::SecurityAssociation,
        wire::{
            authentication::{self, Algorithm, Key},
            extension::kind,
            registration::RegistrationReply,
            types::Spi,
        },
    };

    const REPLY: [u8; RegistrationReply::LENGTH] = [3; RegistrationReply::LENGTH];

    fn matched(sent: Algorithm, accept_any_algorithm: bool) -> Option<Algorithm> {
        let spi = Spi::new(256).unwrap();
        let key = Key::from_bytes(vec![7; 16]).unwrap();
        let mut message = REPLY.to_vec();
        authentication::append(&mut message, kind::MOBILE_HOME_AUTHENTICATION, spi, sent, &key);
        let association =
            SecurityAssociation { accept_any_algorithm, ..SecurityAssociation::new(spi, Algorithm::HmacMd5, key) };
        let (_, extensions) = RegistrationReply::parse(&message).unwrap();
        match verify(&extensions, kind::MOBILE_HOME_AUTHENTICATION, |_| Some(&association)) {
            Verification::Valid { algorithm, .. } => Some(algorithm),
            _ => None,
        }
    }

    #[test]
    fn only_the_configured_algorithm_is_accepted_unless_any_is() {
        for sent in Algorithm::ALL {
            assert_eq!(matched(sent, false), (sent == Algorithm::HmacMd5).then_some(sent), "{sent:?}");
            assert_eq!(matched(sent, true), Some(sent), "{sent:?}");
        }
    }
}
