//! The access point's part: stations.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use mipd_common::{
    mac::MacAddress,
    maps::{
        AccessPoint, Address, Mac, Seen, Station, access_point_flags, station_flags, station_state, tunnel_flags,
        tunnel_kind, tunnel_overhead,
    },
    table,
};
use nix::time::{ClockId, clock_gettime};

use super::{
    DataPlane,
    error::DataPlaneError,
    maps::{self, name},
    netlink::absent_is_fine,
    table::Table,
};

/// What becomes of a station's packets. `radio` is the bridge port it is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StationEntry {
    /// Belongs here: bridged untouched.
    Local {
        /// The bridge port.
        radio: u32,
        /// It has not been seen to use its address yet: its first frame is to be reported.
        awaited: bool,
    },
    /// A visitor that is not registered yet: its packets go to the agent, which holds them.
    Hold {
        /// The client's address.
        home_address: Ipv4Addr,
        /// The bridge port.
        radio: u32,
    },
    /// A registered visitor: its packets go to the foreign agent.
    Forward {
        /// The client's address.
        home_address: Ipv4Addr,
        /// The foreign agent's MAC.
        agent_mac: MacAddress,
        /// With encapsulating delivery, the foreign agent's address: what the client sends is wrapped for it.
        wrapped_for: Option<Ipv4Addr>,
        /// The home agent whose wrapped broadcasts are unwrapped for the client.
        broadcasts_from: Option<Ipv4Addr>,
        /// The bridge port.
        radio: u32,
    },
}

impl StationEntry {
    fn radio(&self) -> u32 {
        match *self {
            Self::Local { radio, .. } | Self::Hold { radio, .. } | Self::Forward { radio, .. } => radio,
        }
    }

    fn is_visitor(&self) -> bool {
        !matches!(self, Self::Local { .. })
    }
}

/// The stations, in memory and in the maps.
pub(super) struct Stations {
    map: Table<MapData, Mac, Station, 8>,
    seen: BpfHashMap<MapData, Mac, Seen>,
    /// Stations found in the map that no one has set again.
    unclaimed: HashSet<MacAddress>,
    /// The bridge port of our forwarding entry, per visitor.
    forwarding: HashMap<MacAddress, u32>,
    gateway_mac: Option<MacAddress>,
}

impl Stations {
    pub fn new(
        map: Array<MapData, table::StationEntry>,
        seen: BpfHashMap<MapData, Mac, Seen>,
        limit: usize,
    ) -> Result<Self, DataPlaneError> {
        Ok(Self {
            map: Table::open(map, name::STATIONS, limit)?,
            seen,
            unclaimed: HashSet::new(),
            forwarding: HashMap::new(),
            gateway_mac: None,
        })
    }

    fn get(&self, mac: MacAddress) -> Result<Option<Station>, DataPlaneError> {
        self.map.get(Mac::new(mac.0)).map_err(DataPlaneError::map("read", name::STATIONS))
    }
}

impl DataPlane {
    /// Says what becomes of a station's packets from now on.
    pub fn set_station(&mut self, mac: MacAddress, entry: StationEntry) -> Result<(), DataPlaneError> {
        let uplink = self.uplink()?;
        let nobody = (MacAddress::default(), None, None);
        let (state, home_address, (agent_mac, broadcasts_from, wrapped_for)) = match entry {
            StationEntry::Local { .. } => (station_state::LOCAL, Ipv4Addr::UNSPECIFIED, nobody),
            StationEntry::Hold { home_address, .. } => (station_state::HOLD, home_address, nobody),
            StationEntry::Forward { home_address, agent_mac, broadcasts_from, wrapped_for, .. } => {
                (station_state::FORWARD, home_address, (agent_mac, broadcasts_from, wrapped_for))
            }
        };
        let awaited = match entry {
            StationEntry::Local { awaited: true, .. } => station_flags::AWAITED,
            _ => 0,
        };
        let known = self.stations.get(mac)?;
        let station = Station {
            home_address: home_address.octets(),
            agent_mac: agent_mac.0,
            state,
            flags: if self.interfaces.is_xdp_target(uplink) { tunnel_flags::XDP_TARGET } else { 0 } | awaited,
            uplink_ifindex: uplink,
            radio_ifindex: entry.radio(),
            broadcasts_from: broadcasts_from.map(|home_agent| home_agent.octets()).unwrap_or_default(),
            agent_address: wrapped_for.map(|agent| agent.octets()).unwrap_or_default(),
            last_jiffy: known.map_or(0, |station| station.last_jiffy),
            last_seen: known.map_or_else(monotonic, |station| station.last_seen),
        };
        self.stations
            .map
            .insert(Mac::new(mac.0), station)
            .map_err(|error| DataPlaneError::full_or("stations", "maximum-clients", name::STATIONS, error))?;
        self.stations.unclaimed.remove(&mac);
        self.set_forwarding(mac, entry.is_visitor().then(|| entry.radio()))
    }

    /// The uplink or a radio has changed, and may have another index, be no target of XDP any more, or be a port of another
    /// bridge.
    pub(super) fn rewrite_stations(&mut self, changed: u32) -> Result<(), DataPlaneError> {
        let Some(link) = self.interfaces.link(changed) else { return Ok(()) };
        let is_uplink = self.settings.access_point.as_ref().is_some_and(|settings| settings.uplink == link.name);
        if link.bridge != 0 {
            let behind = self.stations.forwarding.iter().filter(|(_, port)| **port == changed);
            for mac in behind.map(|(mac, _)| *mac).collect::<Vec<_>>() {
                self.netlink.set_forwarding(changed, mac)?;
            }
        }
        if !is_uplink {
            return Ok(());
        }
        let flags = if self.interfaces.is_xdp_target(changed) { tunnel_flags::XDP_TARGET } else { 0 };
        let outdated = |(_, station): &(Mac, Station)| (station.uplink_ifindex, station.flags) != (changed, flags);
        let entries = self.stations.map.entries().map_err(DataPlaneError::map("read", name::STATIONS))?;
        for (mac, station) in entries.into_iter().filter(outdated) {
            let station = Station { uplink_ifindex: changed, flags, ..station };
            self.stations.map.insert(mac, station).map_err(DataPlaneError::map("write", name::STATIONS))?;
        }
        Ok(())
    }

    /// What a wrapper leaves of the uplink's MTU to a station's packets, if they are wrapped.
    pub(super) fn room_in_wrapper(&self, mac: MacAddress) -> Option<u32> {
        let station = self.stations.get(mac).ok()?.filter(|station| station.agent_address != [0; 4])?;
        let uplink = self.interfaces.link(station.uplink_ifindex)?;
        uplink.mtu.checked_sub(tunnel_overhead(tunnel_kind::IP_IN_IP, 0).into())
    }

    /// Forgets a station. One that is not there is fine.
    pub fn remove_station(&mut self, mac: MacAddress) -> Result<(), DataPlaneError> {
        self.stations.map.remove(Mac::new(mac.0)).map_err(DataPlaneError::map("write", name::STATIONS))?;
        self.stations.unclaimed.remove(&mac);
        self.set_forwarding(mac, None)
    }

    /// Has the programs report a station again if it is unknown.
    pub fn forget_seen(&mut self, mac: MacAddress) -> Result<(), DataPlaneError> {
        maps::remove(&mut self.stations.seen, &Mac::new(mac.0), name::SEEN)
    }

    /// Tells the programs the MAC of the gateway of the access point's own subnet.
    pub fn set_gateway_mac(&mut self, mac: Option<MacAddress>) -> Result<(), DataPlaneError> {
        self.stations.gateway_mac = mac;
        self.publish_access_point()
    }

    /// How long ago each station sent its last frame. One whose entry cannot be read is left out.
    pub fn stations_last_seen(&self) -> Vec<(MacAddress, Duration)> {
        let now = monotonic();
        let entries = self.stations.map.entries().unwrap_or_default().into_iter();
        entries
            .map(|(mac, station)| (MacAddress(mac.octets), Duration::from_nanos(now.saturating_sub(station.last_seen))))
            .collect()
    }

    /// The bridge port that a station is behind, whether the agent set it or the programs only noticed it.
    pub fn radio_of(&self, mac: MacAddress) -> Option<u32> {
        let key = Mac::new(mac.0);
        let known = self.stations.map.get(key).ok().flatten();
        let set = known.map(|station| station.radio_ifindex).filter(|radio| *radio != 0);
        set.or_else(|| self.stations.seen.get(&key, 0).ok().map(|seen| seen.ifindex))
    }

    /// The stations in the map, also those that an earlier agent left.
    pub fn stations(&self) -> Result<Vec<(MacAddress, StationEntry)>, DataPlaneError> {
        let entries = self.stations.map.entries().map_err(DataPlaneError::map("read", name::STATIONS))?;
        entries
            .into_iter()
            .map(|(mac, station)| {
                let home_address = station.home_address.into();
                let radio = station.radio_ifindex;
                let entry = match station.state {
                    station_state::FORWARD => StationEntry::Forward {
                        home_address,
                        agent_mac: MacAddress(station.agent_mac),
                        wrapped_for: some_address(station.agent_address),
                        broadcasts_from: some_address(station.broadcasts_from),
                        radio,
                    },
                    station_state::HOLD => StationEntry::Hold { home_address, radio },
                    _ => StationEntry::Local { radio, awaited: station.flags & station_flags::AWAITED != 0 },
                };
                Ok((MacAddress(mac.octets), entry))
            })
            .collect()
    }

    /// Keeps the bridge's forwarding entry of a visitor at its port.
    fn set_forwarding(&mut self, mac: MacAddress, port: Option<u32>) -> Result<(), DataPlaneError> {
        let old = match port {
            Some(port) => {
                // A radio that is no port of a bridge yet gets its entries when it is.
                if self.interfaces.link(port).is_some_and(|link| link.bridge != 0) {
                    self.netlink.set_forwarding(port, mac)?;
                }
                self.stations.forwarding.insert(mac, port)
            }
            None => self.stations.forwarding.remove(&mac),
        };
        match old.filter(|old| Some(*old) != port) {
            Some(old) if port.is_none() => Ok(absent_is_fine(self.netlink.delete_forwarding(old, mac))?),
            // The bridge has one entry for each MAC: it moved.
            _ => Ok(()),
        }
    }

    fn uplink(&self) -> Result<u32, DataPlaneError> {
        let access_point =
            self.settings.access_point.as_ref().ok_or(DataPlaneError::RoleNotConfigured("access point"))?;
        self.interfaces
            .index(&access_point.uplink)
            .ok_or_else(|| DataPlaneError::NoSuchInterface { name: access_point.uplink.clone() })
    }

    pub(super) fn publish_access_point(&mut self) -> Result<(), DataPlaneError> {
        let Some(settings) = self.settings.access_point.as_ref() else { return Ok(()) };
        let entry = AccessPoint {
            punt_ifindex: self.devices.punt_index(),
            uplink_ifindex: self.interfaces.index(&settings.uplink).unwrap_or(0),
            gateway_mac: self.stations.gateway_mac.unwrap_or_default().0,
            registration_port: settings.registration_port.to_be_bytes(),
            flags: if settings.drop_visitor_ipv6 { access_point_flags::DROP_VISITOR_IPV6 } else { 0 },
        };
        self.access_point.set(0, entry, 0).map_err(DataPlaneError::map("write", name::ACCESS_POINT))
    }

    /// Takes over the stations that an earlier agent left in the map.
    pub(super) fn adopt_stations(&mut self) -> Result<(), DataPlaneError> {
        for (mac, entry) in self.stations()? {
            self.stations.unclaimed.insert(mac);
            if entry.is_visitor() {
                self.stations.forwarding.insert(mac, entry.radio());
            }
        }
        Ok(())
    }

    /// Removes stations that were adopted but not set again. Whoever of them is still there is new when it speaks; a client
    /// at home would never be reported again otherwise.
    pub(super) fn remove_unclaimed_stations(&mut self) -> Result<usize, DataPlaneError> {
        let unclaimed: Vec<_> = self.stations.unclaimed.drain().collect();
        for mac in &unclaimed {
            self.remove_station(*mac)?;
            self.forget_seen(*mac)?;
        }
        Ok(unclaimed.len())
    }
}

fn some_address(address: Address) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(address)).filter(|address| !address.is_unspecified())
}

/// `CLOCK_MONOTONIC` in nanoseconds, the programs' clock.
pub(super) fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}
