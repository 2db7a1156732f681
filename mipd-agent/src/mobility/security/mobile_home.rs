//! Mobile-home associations: which key a client, by its home address, shares with its home agent.

use std::{collections::BTreeMap, sync::Arc};

use super::{AddressRange, AssociationError, SecurityAssociation};
use crate::wire::types::{HomeAddress, Spi};

/// All mobile-home associations of this box: configured ones, by ranges of client addresses that do not overlap, and for
/// clients outside of these ranges downloaded ones.
///
/// A client may have several associations, told apart by SPI, so that keys can be changed without a gap; the first one
/// listed is the one that senders use.
#[derive(Clone, Debug, Default)]
pub struct MobileHomeAssociations {
    ranges: Vec<Clients>,
    downloads: bool,
    downloaded: BTreeMap<HomeAddress, Arc<[SecurityAssociation]>>,
}

#[derive(Clone, Debug)]
struct Clients {
    range: AddressRange,
    associations: Vec<SecurityAssociation>,
}

impl MobileHomeAssociations {
    /// Builds the set. Entries for the same range are kept together in the order given.
    pub fn new(
        entries: impl IntoIterator<Item = (AddressRange, SecurityAssociation)>,
    ) -> Result<Self, AssociationError> {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(range, _)| *range);

        let mut ranges: Vec<Clients> = Vec::new();
        for (range, association) in entries {
            match ranges.last_mut() {
                Some(clients) if clients.range == range => {
                    if clients.associations.iter().any(|known| known.spi == association.spi) {
                        return Err(AssociationError::DuplicateClientSpi { clients: range, spi: association.spi });
                    }
                    clients.associations.push(association);
                }
                Some(clients) if clients.range.overlaps(range) => {
                    return Err(AssociationError::Overlap { first: clients.range, second: range });
                }
                _ => ranges.push(Clients { range, associations: vec![association] }),
            }
        }
        Ok(Self { ranges, ..Self::default() })
    }

    /// The same, with a server from which associations of clients outside of the ranges can be downloaded.
    #[must_use]
    pub fn with_downloads(self) -> Self {
        Self { downloads: true, ..self }
    }

    /// Whether a server knows better than we which associations the client has.
    pub fn must_ask(&self, home_address: HomeAddress) -> bool {
        self.downloads && self.configured(home_address).is_empty()
    }

    /// Whether the client has associations, or may turn out to have some.
    pub fn may_cover(&self, home_address: HomeAddress) -> bool {
        self.downloads || self.covers(home_address)
    }

    /// Keeps what a server said of the client, in place of what it said before; `None`: it has none, or they have expired.
    /// How many clients are kept is up to whoever downloads.
    pub fn set_downloaded(&mut self, home_address: HomeAddress, associations: Option<Arc<[SecurityAssociation]>>) {
        match associations.filter(|_| self.must_ask(home_address)) {
            Some(associations) => drop(self.downloaded.insert(home_address, associations)),
            None => drop(self.downloaded.remove(&home_address)),
        }
    }

    /// Whether any association exists for the client.
    pub fn covers(&self, home_address: HomeAddress) -> bool {
        !self.of(home_address).is_empty()
    }

    /// The association that a received SPI selects.
    pub fn lookup(&self, home_address: HomeAddress, spi: Spi) -> Option<&SecurityAssociation> {
        self.of(home_address).iter().find(|association| association.spi == spi)
    }

    /// The association to send with: the first one listed.
    pub fn primary(&self, home_address: HomeAddress) -> Option<&SecurityAssociation> {
        self.of(home_address).first()
    }

    /// Everything shared with the client, in the order listed.
    pub fn of(&self, home_address: HomeAddress) -> &[SecurityAssociation] {
        match self.configured(home_address) {
            [] => self.downloaded.get(&home_address).map_or(&[], |associations| associations),
            configured => configured,
        }
    }

    fn configured(&self, home_address: HomeAddress) -> &[SecurityAssociation] {
        let after = self.ranges.partition_point(|clients| clients.range.first() <= home_address.0);
        match after.checked_sub(1).map(|index| &self.ranges[index]) {
            Some(clients) if clients.range.contains(home_address.0) => &clients.associations,
            _ => &[],
        }
    }

    /// The configured ranges with their associations, ascending by address.
    pub fn iter(&self) -> impl Iterator<Item = (AddressRange, &[SecurityAssociation])> {
        self.ranges.iter().map(|clients| (clients.range, clients.associations.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MobileHomeAssociations;
    use crate::{
        mobility::security::{AddressRange, AssociationError, SecurityAssociation},
        wire::{
            authentication::{Algorithm, Key},
            types::{HomeAddress, Spi},
        },
    };

    fn entry(range: &str, spi: u32) -> (AddressRange, SecurityAssociation) {
        let association = SecurityAssociation::new(
            Spi::new(spi).unwrap(),
            Algorithm::HmacMd5,
            Key::from_bytes(vec![spi as u8; 16]).unwrap(),
        );
        (range.parse().unwrap(), association)
    }

    fn home(text: &str) -> HomeAddress {
        HomeAddress(text.parse().unwrap())
    }

    #[test]
    fn an_address_finds_the_range_that_holds_it() {
        let associations =
            MobileHomeAssociations::new([entry("10.2.0.0/24", 300), entry("10.1.0.10-10.1.0.20", 256)]).unwrap();
        for (address, spi) in [
            ("10.1.0.9", None),
            ("10.1.0.10", Some(256)),
            ("10.1.0.20", Some(256)),
            ("10.1.0.21", None),
            ("10.2.0.255", Some(300)),
            ("0.0.0.0", None),
            ("255.255.255.255", None),
        ] {
            assert_eq!(associations.primary(home(address)).map(|found| found.spi.get()), spi, "{address}");
            assert_eq!(associations.covers(home(address)), spi.is_some());
        }
    }

    #[test]
    fn several_spis_of_one_range_are_told_apart_and_the_first_one_sends() {
        let associations =
            MobileHomeAssociations::new([entry("10.1.0.0/24", 900), entry("10.1.0.0-10.1.0.255", 256)]).unwrap();
        let address = home("10.1.0.7");
        assert_eq!(associations.primary(address).unwrap().spi.get(), 900);
        assert_eq!(associations.lookup(address, Spi::new(256).unwrap()).unwrap().spi.get(), 256);
        assert!(associations.lookup(address, Spi::new(257).unwrap()).is_none());
    }

    #[test]
    fn overlapping_ranges_are_refused_and_both_are_named() {
        let error =
            MobileHomeAssociations::new([entry("10.1.0.200-10.1.1.3", 257), entry("10.1.0.0/24", 256)]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("10.1.0.0/24") && message.contains("10.1.0.200-10.1.1.3"), "{message}");
    }

    #[test]
    fn a_range_nested_in_another_is_an_overlap() {
        let entries = [entry("10.1.0.0/16", 256), entry("10.1.0.0/24", 257)];
        assert!(matches!(MobileHomeAssociations::new(entries), Err(AssociationError::Overlap { .. })));
    }

    #[test]
    fn the_same_spi_twice_for_one_range_is_refused() {
        let entries = [entry("10.1.0.0/24", 256), entry("10.1.0.0/24", 256)];
        assert!(matches!(MobileHomeAssociations::new(entries), Err(AssociationError::DuplicateClientSpi { .. })));
    }

    #[test]
    fn a_downloaded_association_serves_clients_that_have_no_configured_one() {
        let configured = MobileHomeAssociations::new([entry("10.1.0.0/24", 256)]).unwrap();
        let (inside, outside) = (home("10.1.0.7"), home("10.2.0.7"));
        assert!(!configured.must_ask(outside) && !configured.may_cover(outside));

        let mut associations = configured.with_downloads();
        assert!(associations.must_ask(outside) && associations.may_cover(outside));
        assert!(!associations.must_ask(inside), "the file comes first");
        let (_, downloaded) = entry("10.2.0.7", 300);
        let downloaded: Arc<[_]> = [downloaded].into();
        for address in [inside, outside] {
            associations.set_downloaded(address, Some(downloaded.clone()));
        }
        assert_eq!(associations.primary(outside).unwrap().spi.get(), 300);
        assert_eq!(associations.primary(inside).unwrap().spi.get(), 256);
        assert!(!associations.covers(home("10.2.0.8")));
        assert!(associations.must_ask(outside), "it may have changed");

        associations.set_downloaded(outside, None);
        assert!(!associations.covers(outside) && associations.downloaded.is_empty());
    }

    #[test]
    fn the_debug_form_shows_no_key() {
        let (_, association) = entry("10.1.0.5", 256);
        assert_eq!(format!("{association:?}"), "SecurityAssociation { spi: Spi(256), .. }");
    }
}
