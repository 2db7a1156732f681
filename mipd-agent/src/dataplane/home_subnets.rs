//! The home subnets, and in which table the bindings of each are.
//!
//! Most have a slot for every address: the program finds a binding by one look into an array. Where that would take more
//! slots than [`HomeSettings::maximum_slots`](super::HomeSettings), the largest subnets are sparse: a hash map holds their
//! bindings, which costs memory only for those there are, and more time per packet.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use mipd_common::maps::{HOME_SUBNETS_LENGTH, HomeSubnet, HomeSubnets, SPARSE, Subnet};

/// Where the binding of an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the array, at this index.
    Slot(u32),
    /// In the hash map, under the address.
    Hash,
}

/// All home subnets, disjoint, ascending by address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Layout {
    subnets: Vec<HomeSubnet>,
}

impl Layout {
    /// Lays out the slots of subnets one after another; the largest are sparse if there would be more than `maximum_slots`.
    pub fn new(prefixes: impl IntoIterator<Item = Ipv4Net>, maximum_slots: u32) -> Self {
        let mut prefixes: Vec<Ipv4Net> = prefixes.into_iter().collect();
        prefixes.sort_unstable();
        let dense = dense(&prefixes, maximum_slots);
        let mut next_slot = 0;
        let subnets = prefixes
            .iter()
            .zip(dense)
            .map(|(prefix, dense)| {
                let mut first_slot = SPARSE;
                if dense {
                    first_slot = next_slot;
                    next_slot += addresses_in(*prefix) as u32;
                }
                let subnet = Subnet { network: prefix.network().octets(), mask: prefix.netmask().octets() };
                HomeSubnet { subnet, first_slot, reserved: 0 }
            })
            .collect();
        Self { subnets }
    }

    /// As the programs have it: those compared inline, and those found by the longest prefix.
    pub fn from_maps(inline: &HomeSubnets, further: impl IntoIterator<Item = HomeSubnet>) -> Self {
        let length = (inline.length as usize).min(HOME_SUBNETS_LENGTH);
        let mut subnets: Vec<HomeSubnet> = inline.subnets[..length].iter().copied().chain(further).collect();
        subnets.sort_unstable_by_key(network);
        Self { subnets }
    }

    /// Those that are compared inline, and how many there are in all.
    pub fn inline(&self) -> HomeSubnets {
        let mut list = HomeSubnets { length: self.subnets.len() as u32, ..HomeSubnets::default() };
        for (entry, subnet) in list.subnets.iter_mut().zip(&self.subnets) {
            *entry = *subnet;
        }
        list
    }

    /// Those beyond.
    pub fn further(&self) -> &[HomeSubnet] {
        self.subnets.get(HOME_SUBNETS_LENGTH..).unwrap_or_default()
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        let end = |subnet: &HomeSubnet| subnet.first_slot + !mask(subnet) + 1;
        self.subnets.iter().filter(|subnet| subnet.first_slot != SPARSE).map(end).max().unwrap_or(0)
    }

    /// Whether there are sparse ones.
    pub fn has_sparse(&self) -> bool {
        self.subnets.iter().any(|subnet| subnet.first_slot == SPARSE)
    }

    /// Where the binding of an address is; `None`: it is in no home subnet.
    pub fn place(&self, address: Ipv4Addr) -> Option<Place> {
        let address = address.to_bits();
        let after = self.subnets.partition_point(|subnet| network(subnet) <= address);
        let subnet = self.subnets.get(after.checked_sub(1)?)?;
        let host = address & !mask(subnet);
        if address - host != network(subnet) {
            return None;
        }
        Some(if subnet.first_slot == SPARSE { Place::Hash } else { Place::Slot(subnet.first_slot + host) })
    }

    /// The dense ones, ascending by slot: first slot, last slot, and the address of the first.
    pub fn slot_ranges(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let dense = self.subnets.iter().filter(|subnet| subnet.first_slot != SPARSE);
        dense.map(|subnet| (subnet.first_slot, subnet.first_slot + !mask(subnet), network(subnet)))
    }
}

/// Which of the subnets get slots: as many as there are slots for, the small ones first.
pub(crate) fn dense(prefixes: &[Ipv4Net], maximum_slots: u32) -> Vec<bool> {
    let mut dense = vec![false; prefixes.len()];
    let mut by_size: Vec<usize> = (0..prefixes.len()).collect();
    by_size.sort_by_key(|index| (addresses_in(prefixes[*index]), prefixes[*index]));
    let mut left = u64::from(maximum_slots);
    for index in by_size {
        let Some(rest) = left.checked_sub(addresses_in(prefixes[index])) else { break };
        dense[index] = true;
        left = rest;
    }
    dense
}

fn addresses_in(prefix: Ipv4Net) -> u64 {
    1 << (32 - prefix.prefix_len())
}

fn network(subnet: &HomeSubnet) -> u32 {
    u32::from_be_bytes(subnet.subnet.network)
}

fn mask(subnet: &HomeSubnet) -> u32 {
    u32::from_be_bytes(subnet.subnet.mask)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;
    use mipd_common::maps::HOME_SUBNETS_LENGTH;

    use super::{Layout, Place};

    fn layout(prefixes: &[&str], maximum_slots: u32) -> Layout {
        Layout::new(prefixes.iter().map(|prefix| prefix.parse::<Ipv4Net>().unwrap()), maximum_slots)
    }

    fn place(layout: &Layout, address: &str) -> Option<Place> {
        layout.place(address.parse().unwrap())
    }

    #[test]
    fn subnets_follow_one_another_in_the_slots_by_address() {
        let layout = layout(&["10.9.8.0/30", "10.1.0.0/24", "10.2.0.7/32"], 1 << 22);
        assert_eq!(place(&layout, "10.1.0.0"), Some(Place::Slot(0)));
        assert_eq!(place(&layout, "10.1.0.255"), Some(Place::Slot(255)));
        assert_eq!(place(&layout, "10.2.0.7"), Some(Place::Slot(256)));
        assert_eq!(place(&layout, "10.9.8.1"), Some(Place::Slot(258)));
        for nowhere in ["0.0.0.0", "10.0.255.255", "10.1.1.0", "10.2.0.8", "10.9.8.4", "255.255.255.255"] {
            assert_eq!(place(&layout, nowhere), None, "{nowhere}");
        }
        assert_eq!(layout.slots(), 261);
        assert!(!layout.has_sparse());
    }

    #[test]
    fn subnets_too_large_for_the_slots_are_sparse_and_the_small_ones_stay_dense() {
        let layout = layout(&["10.0.0.0/8", "172.16.0.0/24", "192.168.0.0/16"], 1 << 17);
        assert_eq!(place(&layout, "10.1.2.3"), Some(Place::Hash));
        assert_eq!(place(&layout, "172.16.0.1"), Some(Place::Slot(1)));
        assert_eq!(place(&layout, "192.168.0.1"), Some(Place::Slot(257)));
        assert_eq!(layout.slots(), 256 + 65_536);
        assert!(layout.has_sparse());
    }

    #[test]
    fn the_bound_of_slots_counts_all_subnets_together() {
        let subnets = ["10.1.0.0/24", "10.2.0.0/24"];
        assert!(!layout(&subnets, 512).has_sparse());
        let one = layout(&subnets, 511);
        assert_eq!((one.slots(), one.has_sparse()), (256, true));
        let none = layout(&subnets, 1);
        assert_eq!((none.slots(), none.has_sparse()), (0, true));
    }

    #[test]
    fn the_programs_maps_give_the_layout_back_however_many_subnets_there_are() {
        for count in [0, 1, HOME_SUBNETS_LENGTH, HOME_SUBNETS_LENGTH + 1, 300] {
            let prefixes = (0..count).map(|i| Ipv4Net::new(Ipv4Addr::from_bits(0x0a00_0000 + ((i as u32) << 8)), 24));
            let layout = Layout::new(prefixes.map(Result::unwrap), 100 * 256);
            let (inline, further) = (layout.inline(), layout.further().to_vec());
            assert_eq!(inline.length as usize, count);
            assert_eq!(further.len(), count.saturating_sub(HOME_SUBNETS_LENGTH));
            assert_eq!(Layout::from_maps(&inline, further.into_iter().rev()), layout);
        }
    }
}
