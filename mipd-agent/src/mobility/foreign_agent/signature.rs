//! What we sign for clients: mobile-foreign authentication (RFC 5944 §3.5.3).

use super::config::Config;
use crate::{
    mobility::security::{SecurityAssociation, Verification, ViolationReason, verify},
    wire::{
        authentication::{self, Algorithm},
        extension::{Extensions, kind},
        types::{HomeAddress, Spi},
    },
};

/// The association, and the algorithm among those it allows, by which a client authenticated itself to us. It is answered
/// in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signer {
    pub spi: Spi,
    pub algorithm: Algorithm,
    /// Where the extension was.
    pub offset: usize,
    /// The association names another algorithm.
    pub deviates: bool,
}

/// RFC 5944 §3.7.2.1: with an association, exactly one valid type 33, behind what the home agent is to see. Without one,
/// `None`.
pub(super) fn verify_client(
    config: &Config,
    extensions: &Extensions<'_>,
    home_address: HomeAddress,
    authorization_end: Option<usize>,
) -> Result<Option<Signer>, ViolationReason> {
    if !config.mobile_foreign.covers(home_address.0) {
        return Ok(None);
    }
    let select = |spi| config.mobile_foreign.lookup(home_address.0, spi);
    match verify(extensions, kind::MOBILE_FOREIGN_AUTHENTICATION, select) {
        Verification::Valid { association, algorithm, offset, .. }
            if authorization_end.is_none_or(|end| offset >= end) =>
        {
            let deviates = algorithm != association.algorithm;
            Ok(Some(Signer { spi: association.spi, algorithm, offset, deviates }))
        }
        other => Err(reason(other)),
    }
}

/// The SPI of the first authentication extension of a type, for the log.
pub(super) fn spi_of(extensions: &Extensions<'_>, kind: u8) -> Option<Spi> {
    extensions.of_kind(kind).next().and_then(|extension| authentication::spi(&extension))
}

/// What is wrong with an authentication that is not as it must be.
pub(super) fn reason(verification: Verification<'_>) -> ViolationReason {
    match verification {
        Verification::Absent => ViolationReason::MissingExtension,
        Verification::UnknownSpi => ViolationReason::BadSpi,
        Verification::Repeated | Verification::Wrong(_) | Verification::Valid { .. } => {
            ViolationReason::BadAuthenticator
        }
    }
}

/// Ends a reply with type 33, if we share an association with the client (RFC 5944 §3.7.3.2).
pub(super) fn sign_for_client(
    config: &Config,
    home_address: HomeAddress,
    signer: Option<Signer>,
    message: &mut Vec<u8>,
) {
    let answered = signer.and_then(|signer| {
        let association = config.mobile_foreign.lookup(home_address.0, signer.spi)?;
        Some((association, signer.algorithm))
    });
    let primary =
        || config.mobile_foreign.primary(home_address.0).map(|association| (association, association.algorithm));
    if let Some((association, algorithm)) = answered.or_else(primary) {
        let association: &SecurityAssociation = association;
        association.sign_with(algorithm, message, kind::MOBILE_FOREIGN_AUTHENTICATION);
    }
}
