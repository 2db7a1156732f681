//! Security associations: who shares a key with whom.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::{
    document::{AssociationSection, PeerSection},
    error::{ConfigError, Source},
    secret,
    values::HostAddressText,
};
use crate::mobility::security::AddressRange;
pub use crate::mobility::security::Peer;
use crate::wire::{
    authentication::{Algorithm, Key},
    types::Spi,
};

/// A mobile–home security association of a range of clients (RFC 5944 §5.1).
#[derive(Clone, Debug)]
pub struct ClientAssociation {
    /// The home addresses that it serves.
    pub clients: AddressRange,
    /// Its index, chosen by whoever receives the message.
    pub spi: Spi,
    /// How authenticators are computed.
    pub algorithm: Algorithm,
    /// The shared key.
    pub key: Key,
    /// Where it is in the file.
    pub line: usize,
}

/// A security association with an agent (RFC 5944 §3.5.3, §3.5.4).
#[derive(Clone, Debug)]
pub struct PeerAssociation {
    /// Who is at the other end.
    pub peer: Peer,
    /// Between which roles it is.
    pub kind: PeerKind,
    /// Its index.
    pub spi: Spi,
    /// How authenticators are computed.
    pub algorithm: Algorithm,
    /// The shared key.
    pub key: Key,
    /// Where it is in the file.
    pub line: usize,
}

/// The text form of a [`Peer`]: an address or `any`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PeerText(Peer);

impl TryFrom<String> for PeerText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self(Peer::Any));
        }
        HostAddressText::try_from(text).map(|HostAddressText(address)| Self(Peer::Address(address)))
    }
}

/// Between which roles a [`PeerAssociation`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerKind {
    /// Foreign agent and home agent (extension 34).
    ForeignHome,
    /// Mobile node (or its access point) and foreign agent (extension 33).
    MobileForeign,
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignHome => "foreign-home",
            Self::MobileForeign => "mobile-foreign",
        })
    }
}

/// An [`Algorithm`] as the file names it.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AlgorithmName {
    #[default]
    HmacMd5,
    Md5PrefixSuffix,
    Md5PrefixSuffixWithoutSpi,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::HmacMd5 => Self::HmacMd5,
            AlgorithmName::Md5PrefixSuffix => Self::Md5PrefixSuffix,
            AlgorithmName::Md5PrefixSuffixWithoutSpi => Self::Md5PrefixSuffixWithoutSpi,
        }
    }
}

/// What the configuration file calls an algorithm.
pub fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacMd5 => "hmac-md5",
        Algorithm::Md5PrefixSuffix => "md5-prefix-suffix",
        Algorithm::Md5PrefixSuffixWithoutSpi => "md5-prefix-suffix-without-spi",
    }
}

/// Validates the `[[security-association]]` sections. Ranges that share an address must be the same range, with
/// different SPIs: else it would depend on the order of sections which key a client has.
pub(super) fn clients(
    source: &Source<'_>,
    sections: Vec<Spanned<AssociationSection>>,
) -> Result<Vec<ClientAssociation>, ConfigError> {
    let mut associations: Vec<ClientAssociation> = Vec::with_capacity(sections.len());
    for section in sections {
        let (at, section) = (section.span(), section.into_inner());
        let (clients, spi) = (*section.clients.get_ref(), section.spi.get_ref().0);
        for other in associations.iter().filter(|other| other.clients.overlaps(clients)) {
            if other.clients != clients {
                let message = format!(
                    "clients {clients} overlap {} of line {}: make the ranges equal or disjoint",
                    other.clients, other.line,
                );
                return Err(source.error(&section.clients.span(), message));
            }
            if other.spi == spi {
                let message = format!(
                    "clients {clients} already have a key for spi {} in line {}: use another spi",
                    spi.get(),
                    other.line,
                );
                return Err(source.error(&section.spi.span(), message));
            }
        }
        associations.push(ClientAssociation {
            clients,
            spi,
            algorithm: section.algorithm.into(),
            key: secret::key(source, &at, section.key, section.key_file)?,
            line: source.line(&section.clients.span()),
        });
    }
    Ok(associations)
}

/// Validates the `[[peer-association]]` sections.
pub(super) fn peers(
    source: &Source<'_>,
    sections: Vec<Spanned<PeerSection>>,
) -> Result<Vec<PeerAssociation>, ConfigError> {
    let mut associations: Vec<PeerAssociation> = Vec::with_capacity(sections.len());
    for section in sections {
        let (at, section) = (section.span(), section.into_inner());
        let (PeerText(peer), spi) = (*section.peer.get_ref(), section.spi.0);
        let same = |other: &&PeerAssociation| (other.peer, other.kind, other.spi) == (peer, section.kind, spi);
        if let Some(other) = associations.iter().find(same) {
            let message = format!(
                "{} association with {peer} and spi {} is already in line {}: use another spi",
                section.kind,
                spi.get(),
                other.line,
            );
            return Err(source.error(&section.peer.span(), message));
        }
        associations.push(PeerAssociation {
            peer,
            kind: section.kind,
            spi,
            algorithm: section.algorithm.into(),
            key: secret::key(source, &at, section.key, section.key_file)?,
            line: source.line(&section.peer.span()),
        });
    }
    Ok(associations)
}
