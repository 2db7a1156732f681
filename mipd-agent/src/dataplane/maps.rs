//! Typed handles on the pinned maps; the layouts are in [`mipd_common::maps`].

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf};
use mipd_common::{
    maps::{
        AccessPoint, Address, AddressList, Counters, HomeSubnet, HomeSubnets, Interface, Mac, Router, Seen, SubnetList,
        Tunnel,
    },
    table::{StationEntry, VisitorEntry, VisitorSourceEntry},
};

use super::{error::DataPlaneError, pins::Pins};

/// All maps' names.
pub(super) mod name {
    pub const INTERFACES: &str = "INTERFACES";
    pub const ROUTER: &str = "ROUTER";
    pub const OWN_ADDRESSES: &str = "OWN_ADDRESSES";
    pub const OWN_SUBNETS: &str = "OWN_SUBNETS";
    pub const HOME_SUBNETS: &str = "HOME_SUBNETS";
    pub const HOME_PREFIXES: &str = "HOME_PREFIXES";
    pub const SLOTS: &str = "SLOTS";
    pub const BINDINGS: &str = "BINDINGS";
    pub const TUNNELS: &str = "TUNNELS";
    pub const HOME_MACS: &str = "HOME_MACS";
    pub const VISITORS: &str = "VISITORS";
    pub const VISITOR_MACS: &str = "VISITOR_MACS";
    pub const ACCESS_POINT: &str = "ACCESS_POINT";
    pub const STATIONS: &str = "STATIONS";
    pub const SEEN: &str = "SEEN";
    pub const EVENTS: &str = "EVENTS";
    pub const COUNTERS: &str = "COUNTERS";

    /// Every one of them.
    pub const ALL: [&str; 17] = [
        INTERFACES,
        ROUTER,
        OWN_ADDRESSES,
        OWN_SUBNETS,
        HOME_SUBNETS,
        HOME_PREFIXES,
        SLOTS,
        BINDINGS,
        TUNNELS,
        HOME_MACS,
        VISITORS,
        VISITOR_MACS,
        ACCESS_POINT,
        STATIONS,
        SEEN,
        EVENTS,
        COUNTERS,
    ];
}

/// The pinned maps, the event ring excepted.
pub(super) struct Maps {
    pub interfaces: Array<MapData, Interface>,
    pub router: Array<MapData, Router>,
    pub own_addresses: Array<MapData, AddressList>,
    pub own_subnets: Array<MapData, SubnetList>,
    pub home_subnets: Array<MapData, HomeSubnets>,
    pub home_prefixes: LpmTrie<MapData, Address, HomeSubnet>,
    pub slots: Array<MapData, u32>,
    pub bindings: HashMap<MapData, Address, u32>,
    pub tunnels: Array<MapData, Tunnel>,
    pub home_macs: HashMap<MapData, Address, Mac>,
    pub visitors: Array<MapData, VisitorEntry>,
    pub visitor_macs: Array<MapData, VisitorSourceEntry>,
    pub access_point: Array<MapData, AccessPoint>,
    pub stations: Array<MapData, StationEntry>,
    pub seen: HashMap<MapData, Mac, Seen>,
    pub counters: PerCpuArray<MapData, Counters>,
}

impl Maps {
    /// Opens the maps where they are pinned.
    pub fn open(pins: &Pins) -> Result<Self, DataPlaneError> {
        Ok(Self {
            interfaces: open(pins, name::INTERFACES)?,
            router: open(pins, name::ROUTER)?,
            own_addresses: open(pins, name::OWN_ADDRESSES)?,
            own_subnets: open(pins, name::OWN_SUBNETS)?,
            home_subnets: open(pins, name::HOME_SUBNETS)?,
            home_prefixes: open(pins, name::HOME_PREFIXES)?,
            slots: open(pins, name::SLOTS)?,
            bindings: open(pins, name::BINDINGS)?,
            tunnels: open(pins, name::TUNNELS)?,
            home_macs: open(pins, name::HOME_MACS)?,
            visitors: open(pins, name::VISITORS)?,
            visitor_macs: open(pins, name::VISITOR_MACS)?,
            access_point: open(pins, name::ACCESS_POINT)?,
            stations: open(pins, name::STATIONS)?,
            seen: open(pins, name::SEEN)?,
            counters: open(pins, name::COUNTERS)?,
        })
    }
}

/// Opens the event ring. Only one reader may exist.
pub(super) fn events(pins: &Pins) -> Result<RingBuf<MapData>, DataPlaneError> {
    open(pins, name::EVENTS)
}

fn open<M: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &'static str) -> Result<M, DataPlaneError> {
    open_at(&pins.map(name), name)
}

/// Opens a map by path; `name` is for the error.
pub(super) fn open_at<M: TryFrom<Map, Error = MapError>>(
    path: &std::path::Path,
    name: &'static str,
) -> Result<M, DataPlaneError> {
    MapData::from_pin(path)
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(DataPlaneError::map("open", name))
}

/// Removes a key from a hash map; one that is not there is fine.
pub(super) fn remove<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    key: &K,
    name: &'static str,
) -> Result<(), DataPlaneError> {
    match map.remove(key) {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result.map_err(DataPlaneError::map("write", name)),
    }
}
