//! Associations with a single peer: foreign-home (RFC 5944 §3.5.4) and mobile-foreign (§3.5.3).

use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

use super::{AssociationError, SecurityAssociation};
use crate::wire::types::Spi;

/// Whom an association is shared with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Peer {
    /// Everybody for whom no association of their own is listed.
    Any,
    /// One agent or client.
    Address(Ipv4Addr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Associations by peer and SPI. A peer listed by address has only what is listed for it.
#[derive(Clone, Debug, Default)]
pub struct PeerAssociations {
    by_address: BTreeMap<Ipv4Addr, Vec<SecurityAssociation>>,
    any: Vec<SecurityAssociation>,
}

impl PeerAssociations {
    /// Builds the set; the first association of a peer is the one that senders use.
    pub fn new(entries: impl IntoIterator<Item = (Peer, SecurityAssociation)>) -> Result<Self, AssociationError> {
        let mut set = Self::default();
        for (peer, association) in entries {
            let list = match peer {
                Peer::Any => &mut set.any,
                Peer::Address(address) => set.by_address.entry(address).or_default(),
            };
            if list.iter().any(|known| known.spi == association.spi) {
                let spi = association.spi;
                return Err(match peer {
                    Peer::Any => AssociationError::DuplicateAnySpi(spi),
                    Peer::Address(peer) => AssociationError::DuplicatePeerSpi { peer, spi },
                });
            }
            list.push(association);
        }
        Ok(set)
    }

    /// Whether any association is shared with the peer.
    pub fn covers(&self, peer: Ipv4Addr) -> bool {
        !self.of(peer).is_empty()
    }

    /// The association that a received SPI selects.
    pub fn lookup(&self, peer: Ipv4Addr, spi: Spi) -> Option<&SecurityAssociation> {
        self.of(peer).iter().find(|association| association.spi == spi)
    }

    /// The association to send with: the first one listed.
    pub fn primary(&self, peer: Ipv4Addr) -> Option<&SecurityAssociation> {
        self.of(peer).first()
    }

    /// Everything shared with the peer, in the order listed.
    pub fn of(&self, peer: Ipv4Addr) -> &[SecurityAssociation] {
        self.by_address.get(&peer).unwrap_or(&self.any)
    }

    /// All associations: those by address, ascending, then those for any peer.
    pub fn iter(&self) -> impl Iterator<Item = (Peer, &[SecurityAssociation])> {
        let any = (!self.any.is_empty()).then_some((Peer::Any, self.any.as_slice()));
        self.by_address.iter().map(|(address, list)| (Peer::Address(*address), list.as_slice())).chain(any)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{Peer, PeerAssociations};
    use crate::{
        mobility::security::{AssociationError, SecurityAssociation},
        wire::{
            authentication::{Algorithm, Key},
            types::Spi,
        },
    };

    const KNOWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);

    fn association(spi: u32) -> SecurityAssociation {
        let key = Key::from_bytes(vec![1; 16]).unwrap();
        SecurityAssociation::new(Spi::new(spi).unwrap(), Algorithm::HmacMd5, key)
    }

    #[test]
    fn a_listed_peer_has_only_its_own_associations() {
        let set =
            PeerAssociations::new([(Peer::Any, association(300)), (Peer::Address(KNOWN), association(400))]).unwrap();
        assert_eq!(set.primary(KNOWN).unwrap().spi.get(), 400);
        assert!(set.lookup(KNOWN, Spi::new(300).unwrap()).is_none());
        assert_eq!(set.primary(OTHER).unwrap().spi.get(), 300);
    }

    #[test]
    fn without_an_association_for_any_peer_a_stranger_shares_nothing() {
        let set = PeerAssociations::new([(Peer::Address(KNOWN), association(400))]).unwrap();
        assert!(set.covers(KNOWN) && !set.covers(OTHER));
    }

    #[test]
    fn the_same_spi_twice_for_one_peer_is_refused() {
        let twice = |peer| PeerAssociations::new([(peer, association(400)), (peer, association(400))]).unwrap_err();
        assert!(matches!(twice(Peer::Address(KNOWN)), AssociationError::DuplicatePeerSpi { peer: KNOWN, .. }));
        assert!(matches!(twice(Peer::Any), AssociationError::DuplicateAnySpi(_)));
    }
}
