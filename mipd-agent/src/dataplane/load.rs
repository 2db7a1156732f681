//! Loads the kernel programs and creates, adopts or resizes their maps.
//!
//! A pinned map of the right size is adopted as it is. One whose size no longer fits the configuration is set aside,
//! created anew and filled from the old one; the traffic is on the old map until the programs are swapped.

use std::{fs, net::Ipv4Addr, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, IterableMap, MapData, MapInfo, PerCpuArray},
};
use ipnet::Ipv4Net;
use mipd_common::maps::{Counters, HOME_SUBNETS_LENGTH, HomeSubnet, HomeSubnets, Subnet, Tunnel, hook};

use super::{
    bulk,
    error::DataPlaneError,
    maps::{Maps, name, open_at},
    pins::Pins,
    settings::Settings,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MIPD_EBPF_OBJECT"));

/// The most slots of the direct-indexed binding table: 16 MiB.
const MAXIMUM_SLOTS: u64 = 1 << 22;
/// Room for interfaces that appear later.
const MINIMUM_INTERFACES: u32 = 4_096;

/// How many entries each map needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    interfaces: u32,
    slots: u32,
    tunnels: u32,
    visitors: u32,
    stations: u32,
    counter_rows: u32,
}

impl Sizes {
    /// What these settings need, where `largest_index` is the largest interface index now.
    pub fn new(settings: &Settings, largest_index: u32, rows: u32) -> Result<Self, DataPlaneError> {
        let prefixes = settings.home.iter().flat_map(|home| home.subnets.iter().map(|subnet| subnet.prefix));
        let slots: u64 = prefixes.map(addresses_in).sum();
        if slots > MAXIMUM_SLOTS {
            return Err(DataPlaneError::TooManySlots { count: slots, maximum: MAXIMUM_SLOTS });
        }
        let home_tunnels = settings.home.as_ref().map_or(0, |home| home.maximum_tunnels);
        let visitors = settings.visit.as_ref().map_or(0, |visit| visit.maximum_visitors);
        Ok(Self {
            interfaces: (largest_index.saturating_mul(2)).max(MINIMUM_INTERFACES).next_power_of_two(),
            slots: (slots as u32).max(1),
            tunnels: home_tunnels.saturating_add(REVERSE_TUNNELS).saturating_add(1),
            visitors: visitors.max(1),
            stations: settings.access_point.as_ref().map_or(1, |access_point| access_point.maximum_stations.max(1)),
            counter_rows: rows * hook::COUNT,
        })
    }

    fn of(&self, map: &str) -> Option<u32> {
        Some(match map {
            name::INTERFACES => self.interfaces,
            name::SLOTS | name::HOME_MACS => self.slots,
            name::TUNNELS => self.tunnels,
            name::VISITORS | name::VISITOR_MACS => self.visitors,
            name::STATIONS | name::SEEN => self.stations,
            name::COUNTERS => self.counter_rows,
            _ => return None,
        })
    }
}

/// Room for reverse tunnels: one for each home agent that visitors come from.
const REVERSE_TUNNELS: u32 = 4_096;

fn addresses_in(prefix: Ipv4Net) -> u64 {
    1 << (32 - prefix.prefix_len())
}

/// Lays out the home subnets one after another in the slots.
pub(super) fn home_subnets(settings: &Settings) -> Result<HomeSubnets, DataPlaneError> {
    let mut list = HomeSubnets::default();
    let prefixes: Vec<Ipv4Net> =
        settings.home.iter().flat_map(|home| home.subnets.iter().map(|subnet| subnet.prefix)).collect();
    if prefixes.len() > HOME_SUBNETS_LENGTH {
        return Err(DataPlaneError::TooManyHomeSubnets { count: prefixes.len(), maximum: HOME_SUBNETS_LENGTH });
    }
    let mut first_slot = 0;
    for (entry, prefix) in list.subnets.iter_mut().zip(&prefixes) {
        let subnet = Subnet { network: prefix.network().octets(), mask: prefix.netmask().octets() };
        *entry = HomeSubnet { subnet, first_slot, reserved: 0 };
        first_slot += addresses_in(*prefix) as u32;
    }
    list.length = prefixes.len() as u32;
    Ok(list)
}

/// The slot of an address, if it is in one of the home subnets.
pub(super) fn slot_of(subnets: &HomeSubnets, address: Ipv4Addr) -> Option<u32> {
    subnets.subnets.iter().take(subnets.length as usize).find_map(|entry| {
        let mask = u32::from_be_bytes(entry.subnet.mask);
        (address.to_bits() & mask == u32::from_be_bytes(entry.subnet.network))
            .then(|| entry.first_slot + (address.to_bits() & !mask))
    })
}

/// All slots in use, with the addresses they stand for.
pub(super) fn slots_in_use(
    subnets: &HomeSubnets,
    slots: &Array<MapData, u32>,
) -> Result<Vec<(Ipv4Addr, u32)>, DataPlaneError> {
    let mut used = Vec::new();
    let mut subnets = subnets.subnets.iter().take(subnets.length as usize).peekable();
    bulk::read(slots, name::SLOTS, |slot, tunnel: u32| {
        // Slots ascend, and so do the subnets' places in them.
        while subnets.next_if(|entry| slot - entry.first_slot > !u32::from_be_bytes(entry.subnet.mask)).is_some() {}
        if tunnel != 0
            && let Some(entry) = subnets.peek()
        {
            let network = u32::from_be_bytes(entry.subnet.network);
            used.push((Ipv4Addr::from_bits(network + (slot - entry.first_slot)), tunnel));
        }
    })?;
    Ok(used)
}

/// Loads the programs into the kernel, on maps pinned at `pins`.
pub(super) fn load(pins: &Pins, sizes: &Sizes, subnets: &HomeSubnets) -> Result<(Ebpf, Maps), DataPlaneError> {
    let moved = set_aside(pins, sizes, subnets)?;
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    for map in name::ALL {
        loader.map_pin_path(map, pins.map(map));
        if let Some(size) = sizes.of(map) {
            loader.map_max_entries(map, size);
        }
    }
    let ebpf = loader.load(OBJECT)?;
    let mut maps = Maps::open(pins)?;
    for map in moved {
        move_content(pins, map, &mut maps, subnets)?;
    }
    maps.home_subnets.set(0, subnets, 0).map_err(DataPlaneError::map("write", name::HOME_SUBNETS))?;
    Ok((ebpf, maps))
}

/// Renames the pins of maps that cannot be adopted. What an interrupted earlier attempt set aside comes back first.
fn set_aside(pins: &Pins, sizes: &Sizes, subnets: &HomeSubnets) -> Result<Vec<&'static str>, DataPlaneError> {
    for map in name::ALL {
        let aside = pins.map_set_aside(map);
        if aside.exists() {
            fs::rename(&aside, pins.map(map)).map_err(DataPlaneError::file("restore", aside))?;
        }
    }
    let pinned_subnets = pins.map(name::HOME_SUBNETS);
    let renumbered = pinned_subnets.exists()
        && open_at::<Array<MapData, HomeSubnets>>(&pinned_subnets, name::HOME_SUBNETS)?
            .get(&0, 0)
            .map_err(DataPlaneError::map("read", name::HOME_SUBNETS))?
            != *subnets;
    let mut moved = Vec::new();
    for map in name::ALL {
        let pin = pins.map(map);
        if !pin.exists() {
            continue;
        }
        let size = MapInfo::from_pin(&pin).map_err(DataPlaneError::map("open", map))?.max_entries();
        let resized = sizes.of(map).is_some_and(|wanted| wanted != size);
        if resized || (renumbered && matches!(map, name::SLOTS | name::HOME_SUBNETS)) {
            fs::rename(&pin, pins.map_set_aside(map)).map_err(DataPlaneError::file("set aside", pin))?;
            moved.push(map);
        }
    }
    // The slots' meaning is in HOME_SUBNETS: the old one must be at hand before SLOTS is moved.
    moved.sort_by_key(|map| *map == name::HOME_SUBNETS);
    Ok(moved)
}

fn move_content(pins: &Pins, map: &'static str, maps: &mut Maps, subnets: &HomeSubnets) -> Result<(), DataPlaneError> {
    let aside = pins.map_set_aside(map);
    match map {
        name::TUNNELS => copy(&open_at::<Array<_, Tunnel>>(&aside, map)?, &mut maps.tunnels, map)?,
        name::HOME_MACS => copy_hash(&aside, &mut maps.home_macs, map)?,
        name::VISITORS => copy_hash(&aside, &mut maps.visitors, map)?,
        name::VISITOR_MACS => copy_hash(&aside, &mut maps.visitor_macs, map)?,
        name::STATIONS => copy_hash(&aside, &mut maps.stations, map)?,
        name::COUNTERS => copy_counters(&open_at(&aside, map)?, &mut maps.counters)?,
        name::SLOTS => {
            let old_subnets = pins.map_set_aside(name::HOME_SUBNETS);
            let old_subnets = if old_subnets.exists() { old_subnets } else { pins.map(name::HOME_SUBNETS) };
            let old_subnets: HomeSubnets = open_at::<Array<MapData, HomeSubnets>>(&old_subnets, name::HOME_SUBNETS)?
                .get(&0, 0)
                .map_err(DataPlaneError::map("read", name::HOME_SUBNETS))?;
            let used = slots_in_use(&old_subnets, &open_at(&aside, map)?)?;
            let kept = used.into_iter().filter_map(|(address, tunnel)| Some((slot_of(subnets, address)?, tunnel)));
            bulk::write(&mut maps.slots, map, kept)?;
        }
        // Written anew at every start, or of no use later.
        _ => {}
    }
    fs::remove_file(&aside).map_err(DataPlaneError::file("remove", aside))
}

/// As many entries as there is room for.
fn copy<K: aya::Pod, V: aya::Pod>(
    from: &impl IterableMap<K, V>,
    to: &mut impl IterableMap<K, V>,
    name: &'static str,
) -> Result<(), DataPlaneError> {
    let room = to.map().info().map_err(DataPlaneError::map("open", name))?.max_entries();
    // Those of an array ascend.
    bulk::write(to, name, bulk::entries(from, name)?.into_iter().take(room as usize))
}

fn copy_hash<K: aya::Pod, V: aya::Pod>(
    from: &Path,
    to: &mut HashMap<MapData, K, V>,
    name: &'static str,
) -> Result<(), DataPlaneError> {
    copy(&open_at::<HashMap<MapData, K, V>>(from, name)?, to, name)
}

fn copy_counters(
    from: &PerCpuArray<MapData, Counters>,
    to: &mut PerCpuArray<MapData, Counters>,
) -> Result<(), DataPlaneError> {
    for index in 0..from.len().min(to.len()) {
        let values = from.get(&index, 0).map_err(DataPlaneError::map("read", name::COUNTERS))?;
        to.set(index, values, 0).map_err(DataPlaneError::map("write", name::COUNTERS))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{home_subnets, slot_of};
    use crate::dataplane::settings::{HomeRoutes, HomeSettings, HomeSubnetSettings, Settings};

    fn settings(prefixes: &[&str]) -> Settings {
        Settings {
            bpffs_dir: "/sys/fs/bpf/test".into(),
            state_dir: "/tmp".into(),
            interfaces: Vec::new(),
            home: Some(HomeSettings {
                address: Ipv4Addr::new(10, 1, 0, 1),
                subnets: prefixes
                    .iter()
                    .map(|prefix| HomeSubnetSettings {
                        prefix: prefix.parse().unwrap(),
                        interface: "lan0".to_owned(),
                        routes: HomeRoutes::Host,
                    })
                    .collect(),
                maximum_tunnels: 16,
            }),
            visit: None,
            access_point: None,
        }
    }

    #[test]
    fn subnets_follow_one_another_in_the_slots() {
        let subnets = home_subnets(&settings(&["10.1.0.0/24", "10.9.8.0/30", "10.2.0.7/32"])).unwrap();
        assert_eq!(slot_of(&subnets, "10.1.0.0".parse().unwrap()), Some(0));
        assert_eq!(slot_of(&subnets, "10.1.0.255".parse().unwrap()), Some(255));
        assert_eq!(slot_of(&subnets, "10.9.8.1".parse().unwrap()), Some(257));
        assert_eq!(slot_of(&subnets, "10.2.0.7".parse().unwrap()), Some(260));
        assert_eq!(slot_of(&subnets, "10.2.0.8".parse().unwrap()), None);
    }

    #[test]
    fn a_ninth_home_subnet_is_refused() {
        let prefixes: Vec<String> = (0..9).map(|i| format!("10.{i}.0.0/24")).collect();
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        assert!(home_subnets(&settings(&prefixes)).is_err());
        assert!(home_subnets(&settings(&prefixes[..8])).is_ok());
    }

    #[test]
    fn an_enormous_home_subnet_is_refused() {
        assert!(super::Sizes::new(&settings(&["10.0.0.0/9"]), 10, 4).is_err());
        assert!(super::Sizes::new(&settings(&["10.0.0.0/10"]), 10, 4).is_ok());
    }
}
