//! What two parties share so that one can authenticate the other (RFC 5944 §1.6, "mobility security association").

use std::{fmt, net::Ipv4Addr, time::Duration};

use super::AddressRange;
use crate::wire::{
    authentication::{self, Algorithm, Key},
    extension::Extension,
    types::Spi,
};

/// How replays are told from new requests (RFC 5944 §5.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplayProtection {
    /// The Identification is a time (§5.7.1).
    #[default]
    Timestamps,
    /// The Identification's high half is what the home agent chose last (§5.7.2).
    Nonces,
}

/// An SPI with what it selects: algorithm, key and replay protection.
#[derive(Clone, PartialEq, Eq)]
pub struct SecurityAssociation {
    /// Tells the receiver which association to check with.
    pub spi: Spi,
    /// How the authenticator is computed.
    pub algorithm: Algorithm,
    /// The shared secret.
    pub key: Key,
    /// How replays are told from new requests; of mobile-home associations only.
    pub replay: ReplayProtection,
    /// How far a timestamp may be off, if other than the home agent's own setting.
    pub replay_window: Option<Duration>,
    /// Accept authenticators of every algorithm that we know, and answer with the one that matched: for the time in which
    /// peers are changed over to another algorithm.
    pub accept_any_algorithm: bool,
    /// Foreign-home associations only: the foreign agent signs deregistrations, too. RFC 5944 §3.7.2.2 forbids it; home agents
    /// of its predecessors insist on it.
    pub sign_deregistrations: bool,
}

impl SecurityAssociation {
    /// With timestamps, and no other algorithm than this.
    pub fn new(spi: Spi, algorithm: Algorithm, key: Key) -> Self {
        Self {
            spi,
            algorithm,
            key,
            replay: ReplayProtection::Timestamps,
            replay_window: None,
            accept_any_algorithm: false,
            sign_deregistrations: false,
        }
    }

    /// Ends `message` with an authentication extension of type `kind` over everything so far (RFC 5944 §3.5.1).
    pub fn sign(&self, message: &mut Vec<u8>, kind: u8) {
        self.sign_with(self.algorithm, message, kind);
    }

    /// The same with the algorithm that the peer was found to use.
    pub fn sign_with(&self, algorithm: Algorithm, message: &mut Vec<u8>, kind: u8) {
        authentication::append(message, kind, self.spi, algorithm, &self.key);
    }

    /// The algorithm by which the extension, which is one of `message`'s, is authentic.
    pub(super) fn verify(&self, message: &[u8], extension: &Extension<'_>) -> Option<Algorithm> {
        let matches = |algorithm: &Algorithm| authentication::verify(message, extension, *algorithm, &self.key);
        let others = Algorithm::ALL.into_iter().filter(|other| self.accept_any_algorithm && *other != self.algorithm);
        std::iter::once(self.algorithm).chain(others).find(matches)
    }
}

impl fmt::Debug for SecurityAssociation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityAssociation").field("spi", &self.spi).finish_non_exhaustive()
    }
}

/// Why a set of associations is ambiguous.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AssociationError {
    /// Two ranges share addresses without being the same range.
    #[error(
        "security associations for clients {first} and {second} overlap: make the ranges disjoint, or equal with different \
         SPIs"
    )]
    Overlap {
        /// The range that starts lower.
        first: AddressRange,
        /// The range that runs into it.
        second: AddressRange,
    },
    /// The same clients twice with the same SPI.
    #[error("two security associations for clients {clients} have SPI {}: give each its own SPI", .spi.get())]
    DuplicateClientSpi {
        /// The clients.
        clients: AddressRange,
        /// The SPI that occurs twice.
        spi: Spi,
    },
    /// The same peer twice with the same SPI.
    #[error("two security associations for peer {peer} have SPI {}: give each its own SPI", .spi.get())]
    DuplicatePeerSpi {
        /// The peer.
        peer: Ipv4Addr,
        /// The SPI that occurs twice.
        spi: Spi,
    },
    /// Two associations for any peer with the same SPI.
    #[error("two security associations for any peer have SPI {}: give each its own SPI", .0.get())]
    DuplicateAnySpi(Spi),
}
