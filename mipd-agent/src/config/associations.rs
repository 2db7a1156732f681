//! Security associations: who shares a key with whom.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use toml::Spanned;

use super::{
    document::{AssociationSection, PeerSection},
    error::{ConfigError, Source},
    secret,
    values::HostAddressText,
};
pub use crate::mobility::security::Peer;
use crate::mobility::{
    proxy::{InvalidNai, NaiTemplate},
    security::{AddressRange, ReplayProtection, SecurityAssociation},
};
use crate::wire::authentication::Algorithm;

/// A mobile–home security association of a range of clients (RFC 5944 §5.1).
#[derive(Clone, Debug)]
pub struct ClientAssociation {
    /// The home addresses that it serves.
    pub clients: AddressRange,
    /// What they share.
    pub association: SecurityAssociation,
    /// What the clients call themselves in requests.
    pub nai: Option<NaiTemplate>,
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
    /// What they share.
    pub association: SecurityAssociation,
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

impl PeerKind {
    /// Whether a mobile node is at one end.
    pub(super) fn is_of_mobile(self) -> bool {
        self == Self::MobileForeign
    }
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
    HmacSha1,
    HmacSha256,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::HmacMd5 => Self::HmacMd5,
            AlgorithmName::Md5PrefixSuffix => Self::Md5PrefixSuffix,
            AlgorithmName::Md5PrefixSuffixWithoutSpi => Self::Md5PrefixSuffixWithoutSpi,
            AlgorithmName::HmacSha1 => Self::HmacSha1,
            AlgorithmName::HmacSha256 => Self::HmacSha256,
        }
    }
}

/// A [`ReplayProtection`] as the file names it.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReplayName {
    #[default]
    Timestamps,
    Nonces,
}

impl From<ReplayName> for ReplayProtection {
    fn from(name: ReplayName) -> Self {
        match name {
            ReplayName::Timestamps => Self::Timestamps,
            ReplayName::Nonces => Self::Nonces,
        }
    }
}

/// What the configuration file calls an algorithm.
pub fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacMd5 => "hmac-md5",
        Algorithm::Md5PrefixSuffix => "md5-prefix-suffix",
        Algorithm::Md5PrefixSuffixWithoutSpi => "md5-prefix-suffix-without-spi",
        Algorithm::HmacSha1 => "hmac-sha1",
        Algorithm::HmacSha256 => "hmac-sha256",
    }
}

/// Validates the `[[security-association]]` sections. Ranges that share an address must be the same range, with
/// different SPIs: else it would depend on the order of sections which key a client has.
pub(super) fn clients(
    source: &Source<'_>,
    sections: Vec<Spanned<AssociationSection>>,
) -> Result<Vec<ClientAssociation>, ConfigError> {
    let mut associations: Vec<ClientAssociation> = Vec::with_capacity(sections.len());
    // By their first address: since unequal ranges are disjoint, only the two neighbours of a new one can overlap it.
    let mut ranges: BTreeMap<AddressRange, Vec<usize>> = BTreeMap::new();
    for section in sections {
        let (at, section) = (section.span(), section.into_inner());
        let (clients, spi) = (*section.clients.get_ref(), section.spi.get_ref().0);
        let neighbours = ranges.range(..=clients).next_back().into_iter().chain(ranges.range(clients..).next());
        let overlapping = neighbours.filter(|(range, _)| range.overlaps(clients)).flat_map(|(_, indices)| indices);
        for other in overlapping.map(|index| &associations[*index]) {
            if other.clients != clients {
                let message = format!(
                    "clients {clients} overlap {} of line {}: make the ranges equal or disjoint",
                    other.clients, other.line,
                );
                return Err(source.error(&section.clients.span(), message));
            }
            if other.association.spi == spi {
                let message = format!(
                    "clients {clients} already have a key for spi {} in line {}: use another spi",
                    spi.get(),
                    other.line,
                );
                return Err(source.error(&section.spi.span(), message));
            }
        }
        ranges.entry(clients).or_default().push(associations.len());
        associations.push(ClientAssociation {
            clients,
            nai: section.nai.map(|nai| name(source, clients, &nai)).transpose()?,
            association: SecurityAssociation {
                spi,
                algorithm: section.algorithm.into(),
                key: secret::key(source, &at, section.key, section.key_file)?,
                replay: section.replay.into(),
                replay_window: None,
                accept_any_algorithm: section.accept_any_algorithm,
                sign_deregistrations: false,
            },
            line: source.line(&section.clients.span()),
        });
    }
    Ok(associations)
}

/// An identifier for the clients of a range, of which each must have its own (RFC 2794 §1).
fn name(source: &Source<'_>, clients: AddressRange, text: &Spanned<String>) -> Result<NaiTemplate, ConfigError> {
    let template: NaiTemplate =
        text.get_ref().parse().map_err(|error: InvalidNai| source.error(&text.span(), error.to_string()))?;
    if clients.first() != clients.last() && !template.tells_clients_apart() {
        let message = format!("all of {clients} would be called the same: write {{address}} or {{mac}} into the nai");
        return Err(source.error(&text.span(), message));
    }
    Ok(template)
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
        let same =
            |other: &&PeerAssociation| (other.peer, other.kind, other.association.spi) == (peer, section.kind, spi);
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
            association: SecurityAssociation {
                spi,
                algorithm: section.algorithm.into(),
                key: secret::key(source, &at, section.key, section.key_file)?,
                replay: ReplayProtection::default(),
                replay_window: None,
                accept_any_algorithm: section.accept_any_algorithm,
                sign_deregistrations: section.sign_deregistrations,
            },
            line: source.line(&section.peer.span()),
        });
    }
    Ok(associations)
}
