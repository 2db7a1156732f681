//! Loads the kernel programs and creates, adopts or resizes their maps.
//!
//! A pinned map of the right size is adopted as it is. One whose size no longer fits the configuration is set aside,
//! created anew and filled from the old one; the traffic is on the old map until the programs are swapped.

use std::{fs, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, IterableMap, MapData, MapInfo, PerCpuArray, lpm_trie::Key},
};
use mipd_common::{
    maps::{Counters, Mac, Station, Tunnel, Visitor, VisitorKey, VisitorSource, hook},
    table::{self, Entry},
};

use super::{
    binding_table::{self, BindingTable},
    bulk,
    error::DataPlaneError,
    home_subnets::Layout,
    maps::{Maps, name, open_at},
    pins::Pins,
    settings::Settings,
    table::{Table, entries},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MIPD_EBPF_OBJECT"));

/// Room for interfaces that appear later.
const MINIMUM_INTERFACES: u32 = 4_096;

/// How many entries each map needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    interfaces: u32,
    home_prefixes: u32,
    slots: u32,
    bindings: u32,
    tunnels: u32,
    home_macs: u32,
    visitors: u32,
    stations: u32,
    counter_rows: u32,
}

impl Sizes {
    /// What these settings need, where `largest_index` is the largest interface index now.
    pub fn new(settings: &Settings, layout: &Layout, largest_index: u32, rows: u32) -> Self {
        let home_tunnels = settings.home.as_ref().map_or(0, |home| home.maximum_tunnels);
        let reverse_tunnels = settings.visit.as_ref().map_or(0, |visit| visit.maximum_tunnels);
        let bindings = settings.home.as_ref().map_or(1, |home| home.maximum_bindings.max(1));
        let visitors = settings.visit.as_ref().map_or(0, |visit| visit.maximum_visitors);
        Self {
            interfaces: (largest_index.saturating_mul(2)).max(MINIMUM_INTERFACES).next_power_of_two(),
            home_prefixes: layout.further().len().max(1) as u32,
            slots: layout.slots().max(1),
            bindings: if layout.has_sparse() { bindings } else { 1 },
            tunnels: home_tunnels.saturating_add(reverse_tunnels).saturating_add(1),
            home_macs: bindings.min(MAXIMUM_HOME_MACS),
            visitors: visitors.saturating_add(SPARE_VISITORS),
            stations: settings.access_point.as_ref().map_or(1, |access_point| access_point.maximum_stations.max(1)),
            counter_rows: rows * hook::COUNT,
        }
    }

    /// How many visitors there may be, also for a moment.
    pub fn visitors(&self) -> usize {
        self.visitors as usize
    }

    /// How many stations there may be.
    pub fn stations(&self) -> usize {
        self.stations as usize
    }

    fn of(&self, map: &str) -> Option<u32> {
        Some(match map {
            name::INTERFACES => self.interfaces,
            name::HOME_PREFIXES => self.home_prefixes,
            name::SLOTS => self.slots,
            name::BINDINGS => self.bindings,
            name::HOME_MACS => self.home_macs,
            name::TUNNELS => self.tunnels,
            name::VISITORS | name::VISITOR_MACS => table::length(self.visitors),
            name::STATIONS => table::length(self.stations),
            name::SEEN => self.stations,
            name::COUNTERS => self.counter_rows,
            _ => return None,
        })
    }
}

/// For a moment a visitor that changes has two entries.
const SPARE_VISITORS: u32 = 16;
/// Clients whose MACs are remembered: enough for those that are about to come home.
const MAXIMUM_HOME_MACS: u32 = 65_536;
/// The maps that say where bindings are and what they are, which belong together. The first one also says, by whether it
/// is set aside, which of two sets is whole.
const BINDING_MAPS: [&str; 4] = [name::SLOTS, name::BINDINGS, name::HOME_PREFIXES, name::HOME_SUBNETS];

/// Loads the programs into the kernel, on maps pinned at `pins`.
pub(super) fn load(pins: &Pins, sizes: &Sizes, layout: &Layout) -> Result<(Ebpf, Maps), DataPlaneError> {
    restore_set_aside(pins)?;
    let moved = set_aside(pins, sizes, layout)?;
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
        move_content(pins, map, &mut maps, sizes)?;
    }
    maps.home_subnets.set(0, layout.inline(), 0).map_err(DataPlaneError::map("write", name::HOME_SUBNETS))?;
    for subnet in layout.further() {
        let length = u32::from_be_bytes(subnet.subnet.mask).leading_ones();
        maps.home_prefixes
            .insert(&Key::new(length, subnet.subnet.network), subnet, 0)
            .map_err(DataPlaneError::map("write", name::HOME_PREFIXES))?;
    }
    move_bindings(pins)?;
    Ok((ebpf, maps))
}

/// Brings back what an interrupted earlier attempt set aside.
fn restore_set_aside(pins: &Pins) -> Result<(), DataPlaneError> {
    let bindings_are_whole = pins.map_set_aside(BINDING_MAPS[0]).exists();
    for map in name::ALL {
        let aside = pins.map_set_aside(map);
        if !aside.exists() {
            continue;
        }
        if BINDING_MAPS.contains(&map) && !bindings_are_whole {
            // The new ones were complete.
            fs::remove_file(&aside).map_err(DataPlaneError::file("remove", aside))?;
        } else {
            fs::rename(&aside, pins.map(map)).map_err(DataPlaneError::file("restore", aside))?;
        }
    }
    Ok(())
}

/// Renames the pins of maps that cannot be adopted. Returns those whose content is moved one by one.
fn set_aside(pins: &Pins, sizes: &Sizes, layout: &Layout) -> Result<Vec<&'static str>, DataPlaneError> {
    let mut moved = Vec::new();
    let mut misfits = Vec::new();
    for map in name::ALL {
        let pin = pins.map(map);
        if pin.exists() {
            let size = MapInfo::from_pin(&pin).map_err(DataPlaneError::map("open", map))?.max_entries();
            if sizes.of(map).is_some_and(|wanted| wanted != size) {
                misfits.push(map);
            }
        }
    }
    let misfit = |map: &&str| misfits.contains(map);
    let pinned = BINDING_MAPS.iter().all(|map| pins.map(map).exists());
    if pinned && (BINDING_MAPS.iter().any(misfit) || binding_table::read_layout(|map| pins.map(map))? != *layout) {
        for map in BINDING_MAPS {
            aside(pins, map)?;
        }
    }
    if !pinned {
        // One without the others, as a start that was interrupted leaves it, says nothing.
        for pin in BINDING_MAPS.map(|map| pins.map(map)).into_iter().filter(|pin| pin.exists()) {
            fs::remove_file(&pin).map_err(DataPlaneError::file("remove", pin))?;
        }
    }
    for map in misfits.into_iter().filter(|map| !BINDING_MAPS.contains(map)) {
        aside(pins, map)?;
        moved.push(map);
    }
    Ok(moved)
}

fn aside(pins: &Pins, map: &str) -> Result<(), DataPlaneError> {
    let pin = pins.map(map);
    fs::rename(&pin, pins.map_set_aside(map)).map_err(DataPlaneError::file("set aside", pin))
}

/// Fills the new maps of bindings from those set aside, if they are.
fn move_bindings(pins: &Pins) -> Result<(), DataPlaneError> {
    if !pins.map_set_aside(BINDING_MAPS[0]).exists() {
        return Ok(());
    }
    let old = BindingTable::open(|map| pins.map_set_aside(map))?;
    let mut new = BindingTable::open(|map| pins.map(map))?;
    new.take_over(&old)?;
    for map in BINDING_MAPS {
        let aside = pins.map_set_aside(map);
        fs::remove_file(&aside).map_err(DataPlaneError::file("remove", aside))?;
    }
    Ok(())
}

fn move_content(pins: &Pins, map: &'static str, maps: &mut Maps, sizes: &Sizes) -> Result<(), DataPlaneError> {
    let aside = pins.map_set_aside(map);
    match map {
        name::TUNNELS => copy(&open_at::<Array<_, Tunnel>>(&aside, map)?, &mut maps.tunnels, map)?,
        name::HOME_MACS => copy_hash(&aside, &mut maps.home_macs, map)?,
        name::VISITORS => copy_table::<VisitorKey, Visitor, 16>(pins, map, sizes.visitors())?,
        name::VISITOR_MACS => copy_table::<Mac, VisitorSource, 4>(pins, map, sizes.visitors())?,
        name::STATIONS => copy_table::<Mac, Station, 8>(pins, map, sizes.stations())?,
        name::COUNTERS => copy_counters(&open_at(&aside, map)?, &mut maps.counters)?,
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
    let room = bulk::size(to, name)?;
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

/// As many entries as there may be.
fn copy_table<K: table::Key, V: aya::Pod + Default, const REST: usize>(
    pins: &Pins,
    name: &'static str,
    limit: usize,
) -> Result<(), DataPlaneError> {
    let from: Array<MapData, Entry<V, REST>> = open_at(&pins.map_set_aside(name), name)?;
    let mut to = Table::<_, K, V, REST>::open(open_at(&pins.map(name), name)?, name, limit)?;
    for (key, value) in entries(&from, name)?.into_iter().take(limit) {
        to.insert(key, value).map_err(DataPlaneError::map("write", name))?;
    }
    Ok(())
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
