//! What two parties share so that one can authenticate the other (RFC 5944 §1.6, "mobility security association").

use std::{fmt, net::Ipv4Addr};

use super::AddressRange;
use crate::wire::{
    authentication::{self, Algorithm, Key},
    types::Spi,
};

/// An SPI with the algorithm and key it selects. Replay protection is by timestamps.
#[derive(Clone)]
pub struct SecurityAssociation {
    /// Tells the receiver which association to check with.
    pub spi: Spi,
    /// How the authenticator is computed.
    pub algorithm: Algorithm,
    /// The shared secret.
    pub key: Key,
}

impl SecurityAssociation {
    /// Ends `message` with an authentication extension of type `kind` over everything so far (RFC 5944 §3.5.1).
    pub fn sign(&self, message: &mut Vec<u8>, kind: u8) {
        authentication::append(message, kind, self.spi, self.algorithm, &self.key);
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
