//! Which tunnel each home address is bound to, as the programs see it: an array of slots, and a hash map for sparse subnets.

use std::{net::Ipv4Addr, path::PathBuf};

use aya::maps::{Array, HashMap, LpmTrie, MapData, MapError};
use mipd_common::maps::{Address, HomeSubnet, HomeSubnets};

use super::{
    bulk,
    error::DataPlaneError,
    home_subnets::{Layout, Place},
    maps::{self, name, open_at},
};

/// The bindings in the maps.
pub(super) struct BindingTable {
    layout: Layout,
    slots: Array<MapData, u32>,
    hash: HashMap<MapData, Address, u32>,
}

impl BindingTable {
    /// The table whose maps are laid out so.
    pub fn new(layout: Layout, slots: Array<MapData, u32>, hash: HashMap<MapData, Address, u32>) -> Self {
        Self { layout, slots, hash }
    }

    /// The table in pinned maps, laid out as those say. `pin` tells where each is.
    pub fn open(pin: impl Fn(&'static str) -> PathBuf) -> Result<Self, DataPlaneError> {
        let layout = read_layout(&pin)?;
        Ok(Self::new(layout, open_at(&pin(name::SLOTS), name::SLOTS)?, open_at(&pin(name::BINDINGS), name::BINDINGS)?))
    }

    /// Whether an address is in one of the home subnets.
    pub fn serves(&self, address: Ipv4Addr) -> bool {
        self.layout.place(address).is_some()
    }

    /// Binds an address to a tunnel, in place of the one before.
    pub fn set(&mut self, address: Ipv4Addr, tunnel: u32) -> Result<(), DataPlaneError> {
        match self.layout.place(address) {
            None => Err(DataPlaneError::NotAHomeAddress(address)),
            Some(Place::Slot(slot)) => {
                self.slots.set(slot, tunnel, 0).map_err(DataPlaneError::map("write", name::SLOTS))
            }
            Some(Place::Hash) => self.hash.insert(address.octets(), tunnel, 0).map_err(|error| {
                DataPlaneError::full_or("bindings of sparse home subnets", "maximum-bindings", name::BINDINGS, error)
            }),
        }
    }

    /// The same for many addresses, each of which must be in a home subnet.
    pub fn set_many(&mut self, bindings: &[(Ipv4Addr, u32)]) -> Result<(), DataPlaneError> {
        let place = |address: Ipv4Addr| self.layout.place(address);
        let slots = bindings.iter().filter_map(|(address, tunnel)| match place(*address) {
            Some(Place::Slot(slot)) => Some((slot, *tunnel)),
            _ => None,
        });
        bulk::write(&mut self.slots, name::SLOTS, slots)?;
        let hashed = bindings.iter().filter(|(address, _)| place(*address) == Some(Place::Hash));
        bulk::write(&mut self.hash, name::BINDINGS, hashed.map(|(address, tunnel)| (address.octets(), *tunnel)))
    }

    /// Unbinds an address. One that is not bound is fine.
    pub fn remove(&mut self, address: Ipv4Addr) -> Result<(), DataPlaneError> {
        match self.layout.place(address) {
            None => Ok(()),
            Some(Place::Slot(slot)) => self.slots.set(slot, 0, 0).map_err(DataPlaneError::map("write", name::SLOTS)),
            Some(Place::Hash) => maps::remove(&mut self.hash, &address.octets(), name::BINDINGS),
        }
    }

    /// All bound addresses and their tunnels, in no order.
    pub fn in_use(&self) -> Result<Vec<(Ipv4Addr, u32)>, DataPlaneError> {
        let mut used = Vec::new();
        let mut ranges = self.layout.slot_ranges().peekable();
        bulk::read(&self.slots, name::SLOTS, |slot, tunnel: u32| {
            while ranges.next_if(|(_, last, _)| *last < slot).is_some() {}
            if tunnel != 0
                && let Some((first, _, network)) = ranges.peek()
            {
                used.push((Ipv4Addr::from_bits(network + (slot - first)), tunnel));
            }
        })?;
        bulk::read(&self.hash, name::BINDINGS, |address: Address, tunnel: u32| used.push((address.into(), tunnel)))?;
        Ok(used)
    }

    /// Takes over from a table with another layout or other sizes what there is room for.
    pub fn take_over(&mut self, from: &Self) -> Result<(), DataPlaneError> {
        let room = bulk::size(&self.hash, name::BINDINGS)?;
        let mut hashed = 0;
        let mut bindings = from.in_use()?;
        bindings.retain(|(address, _)| match self.layout.place(*address) {
            None => false,
            Some(Place::Slot(_)) => true,
            Some(Place::Hash) => {
                hashed += 1;
                hashed <= room
            }
        });
        self.set_many(&bindings)
    }
}

/// The layout that pinned maps have.
pub(super) fn read_layout(pin: impl Fn(&'static str) -> PathBuf) -> Result<Layout, DataPlaneError> {
    let inline = open_at::<Array<MapData, HomeSubnets>>(&pin(name::HOME_SUBNETS), name::HOME_SUBNETS)?
        .get(&0, 0)
        .map_err(DataPlaneError::map("read", name::HOME_SUBNETS))?;
    let prefixes: LpmTrie<MapData, Address, HomeSubnet> = open_at(&pin(name::HOME_PREFIXES), name::HOME_PREFIXES)?;
    let further = prefixes
        .iter()
        .map(|entry| entry.map(|(_, subnet)| subnet))
        .collect::<Result<Vec<_>, MapError>>()
        .map_err(DataPlaneError::map("read", name::HOME_PREFIXES))?;
    Ok(Layout::from_maps(&inline, further))
}
