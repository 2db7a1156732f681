//! Looks at a data path by its pinned maps alone, whether or not an agent runs.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    time::Duration,
};

use mipd_common::{
    mac::MacAddress,
    maps::{
        Interface, Mac, Tunnel, VisitorKey, VisitorSource, interface_flags, station_state, tunnel_flags, tunnel_kind,
    },
    programs::TC_PROGRAMS,
};
use nix::net::if_::if_indextoname;
use serde::Serialize;

use super::{
    binding_table::BindingTable,
    bulk,
    counters::{self, CounterReport},
    error::DataPlaneError,
    interfaces::Attached,
    maps::{Maps, name},
    mode::{GreKeys, TunnelMode},
    netlink::Netlink,
    path_mtu::Learned,
    pins::Pins,
    serialize_display,
    stations::monotonic,
    table::entries,
    tunnels::{self, TunnelState, ethernet_destination},
    visitors::mode_of_arrivals,
};
use crate::mobility::time::Instant;

/// A tunnel as the programs see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TunnelReport {
    /// Its number.
    pub id: u32,
    /// `ipip`, `gre`, `minimal`, with `udp/` before it over UDP; `direct` for a client whose care-of address is our own,
    /// `copies` for one with several care-of addresses.
    pub encapsulation: &'static str,
    /// The GRE keys, if agreed on.
    pub gre_keys: Option<GreKeys>,
    /// The other end of a tunnel over UDP.
    pub udp_peer: Option<SocketAddrV4>,
    /// Entry; `None` for direct delivery.
    pub local: Option<Ipv4Addr>,
    /// Exit; `None` for direct delivery.
    pub remote: Option<Ipv4Addr>,
    /// Whether the next hop is known: packets take the fast path.
    pub resolved: bool,
    /// Outgoing interface.
    pub interface: Option<String>,
    /// MAC of the next hop.
    pub next_hop_mac: Option<String>,
    /// Largest inner packet, bytes.
    pub inner_mtu: u16,
    /// Whether XDP sends by itself.
    pub xdp: bool,
}

impl TunnelReport {
    /// Those of many entries, ascending. There may be thousands, most of them by way of the same interface.
    pub(super) fn all<'a>(entries: impl IntoIterator<Item = (&'a u32, &'a Tunnel)>) -> Vec<Self> {
        let mut names = HashMap::new();
        let mut reports: Vec<_> = entries
            .into_iter()
            .filter_map(|(id, entry)| {
                let name = names.entry(entry.ifindex).or_insert_with(|| interface_name(entry.ifindex));
                Self::new(*id, entry, name.clone())
            })
            .collect();
        reports.sort_by_key(|report| report.id);
        reports
    }

    /// `None` for an entry that is not in use.
    fn new(id: u32, tunnel: &Tunnel, interface: Option<String>) -> Option<Self> {
        let mode = TunnelMode::of_entry(tunnel);
        let encapsulation = match tunnel.kind {
            tunnel_kind::DIRECT => "direct",
            tunnel_kind::COPIES => "copies",
            _ => mode?.name(),
        };
        let resolved = tunnel.flags & tunnel_flags::ADJACENT != 0;
        Some(Self {
            id,
            encapsulation,
            gre_keys: mode.and_then(|mode| mode.encapsulation.keys()),
            udp_peer: mode.and_then(|mode| mode.udp).map(|udp| udp.peer),
            local: mode.map(|_| tunnel.local().into()),
            remote: mode.map(|_| tunnel.remote().into()),
            resolved,
            interface,
            next_hop_mac: resolved.then(|| ethernet_destination(&tunnel.ethernet).to_string()),
            inner_mtu: tunnel.inner_mtu,
            xdp: tunnel.flags & tunnel_flags::XDP_TARGET != 0,
        })
    }
}

/// How large a packet the way of a tunnel takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathMtuReport {
    /// Largest outer packet, bytes.
    pub mtu: u16,
    /// How that is known.
    pub source: PathMtuSource,
}

/// What limits the packets of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathMtuSource {
    /// The outgoing interface.
    Interface,
    /// The route.
    Route,
    /// A router on the way told so.
    Icmp {
        /// Which one.
        router: Ipv4Addr,
        /// How long this will be remembered.
        remaining: Duration,
    },
}

impl PathMtuReport {
    pub(super) fn new(state: &TunnelState, learned: Option<Learned>, now: Instant) -> Self {
        let mtu = state.outer_mtu();
        let route = state.next_hop.and_then(|hop| hop.mtu);
        let source = match learned {
            Some(learned) if learned.mtu <= mtu => {
                PathMtuSource::Icmp { router: learned.router, remaining: learned.expires.since(now) }
            }
            _ if route == Some(mtu.into()) => PathMtuSource::Route,
            _ => PathMtuSource::Interface,
        };
        Self { mtu, source }
    }
}

/// A mobility binding as the programs see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BindingReport {
    /// The client's address.
    pub home_address: Ipv4Addr,
    /// Exit of the tunnel; `None` for direct delivery.
    pub care_of_address: Option<Ipv4Addr>,
    /// Number of the tunnel.
    pub tunnel: u32,
    /// As in [`TunnelReport`].
    pub encapsulation: &'static str,
}

/// A visitor as the programs see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VisitorReport {
    /// The client's address.
    pub home_address: Ipv4Addr,
    /// The other end of its tunnel.
    pub home_agent: Ipv4Addr,
    /// Our end of it.
    pub care_of_address: Ipv4Addr,
    /// The client's MAC.
    #[serde(serialize_with = "serialize_display")]
    pub mac: MacAddress,
    /// The access interface.
    pub interface: Option<String>,
    /// How its packets arrive: `ipip`, `gre`, `minimal`, with `udp/` before it over UDP.
    pub encapsulation: &'static str,
    /// Whether its packets go through the tunnel too.
    pub reverse_tunnel: bool,
    /// Whether the kernel can deliver to it; of several visitors with the same address, only to one.
    pub in_kernel: bool,
}

/// A station as the programs see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StationReport {
    /// Its MAC.
    #[serde(serialize_with = "serialize_display")]
    pub mac: MacAddress,
    /// `local`, `hold` or `forward`.
    pub state: &'static str,
    /// The visitor's address.
    pub home_address: Option<Ipv4Addr>,
    /// The foreign agent's MAC.
    pub agent_mac: Option<String>,
    /// The bridge port it is behind.
    pub radio: Option<String>,
    /// Milliseconds since its last frame.
    pub last_seen_ms: u64,
}

/// An interface as the pins and maps tell of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InspectedInterface {
    /// Its name.
    pub name: String,
    /// Kernel index.
    pub ifindex: u32,
    /// Its MAC, as the programs know it.
    #[serde(serialize_with = "serialize_display")]
    pub mac: MacAddress,
    /// Its MTU, as the programs know it.
    pub mtu: u32,
    /// Our programs on it.
    pub programs: Vec<String>,
    /// The same in short.
    pub attached: Attached,
    /// Whether the programs deliver by themselves there.
    pub fast_path: bool,
}

/// A data path, looked at from outside.
pub struct Inspection {
    maps: Maps,
    pins: Pins,
}

impl Inspection {
    /// Opens the maps pinned under `bpffs_dir`.
    pub fn open(bpffs_dir: &Path) -> Result<Self, DataPlaneError> {
        let pins = Pins::new(bpffs_dir);
        if !pins.map(name::INTERFACES).exists() {
            return Err(DataPlaneError::NothingPinned { path: bpffs_dir.to_owned() });
        }
        Ok(Self { maps: Maps::open(&pins)?, pins })
    }

    /// The mobility bindings.
    pub fn bindings(&self) -> Result<Vec<BindingReport>, DataPlaneError> {
        let entries: HashMap<u32, Tunnel> = self.tunnel_entries()?.into_iter().collect();
        let reports: HashMap<u32, TunnelReport> =
            TunnelReport::all(&entries).into_iter().map(|report| (report.id, report)).collect();
        let mut bindings = Vec::new();
        for (home_address, id) in BindingTable::open(|map| self.pins.map(map))?.in_use()? {
            let tunnel = entries.get(&id).copied().unwrap_or_default();
            let copies = tunnels::parts(&tunnel).filter(|_| tunnel.kind == tunnel_kind::COPIES);
            let mut ids: Vec<u32> = copies.map(|part| part.0).collect();
            if ids.is_empty() {
                ids.push(id);
            }
            for id in ids {
                bindings.extend(reports.get(&id).map(|tunnel| BindingReport {
                    home_address,
                    care_of_address: tunnel.remote,
                    tunnel: id,
                    encapsulation: tunnel.encapsulation,
                }));
            }
        }
        bindings.sort_by_key(|binding| binding.home_address);
        Ok(bindings)
    }

    /// Those in use, ascending.
    fn tunnel_entries(&self) -> Result<Vec<(u32, Tunnel)>, DataPlaneError> {
        let mut entries = Vec::new();
        bulk::read(&self.maps.tunnels, name::TUNNELS, |id: u32, entry: Tunnel| {
            if entry.kind != tunnel_kind::NONE {
                entries.push((id, entry));
            }
        })?;
        Ok(entries)
    }

    /// The tunnels.
    pub fn tunnels(&self) -> Result<Vec<TunnelReport>, DataPlaneError> {
        Ok(TunnelReport::all(self.tunnel_entries()?.iter().map(|(id, entry)| (id, entry))))
    }

    /// The visitors.
    pub fn visitors(&self) -> Result<Vec<VisitorReport>, DataPlaneError> {
        let mut visitors = Vec::new();
        let sources: HashMap<Mac, VisitorSource> =
            entries(&self.maps.visitor_macs, name::VISITOR_MACS)?.into_iter().collect();
        for (key, visitor) in entries::<_, VisitorKey, _, _>(&self.maps.visitors, name::VISITORS)? {
            let mac = ethernet_destination(&visitor.ethernet);
            let source = sources.get(&Mac::new(mac.0));
            visitors.push(VisitorReport {
                home_address: key.home_address.into(),
                home_agent: key.home_agent.into(),
                care_of_address: visitor.care_of_address.into(),
                encapsulation: mode_of_arrivals(key, &visitor).unwrap_or_default().name(),
                mac,
                interface: interface_name(visitor.ifindex),
                reverse_tunnel: source.is_some_and(|source| source.tunnel != 0),
                in_kernel: visitor.flags & tunnel_flags::NOT_IN_KERNEL == 0,
            });
        }
        visitors.sort_by_key(|visitor| (visitor.home_address, visitor.home_agent));
        Ok(visitors)
    }

    /// The stations.
    pub fn stations(&self) -> Result<Vec<StationReport>, DataPlaneError> {
        let now = monotonic();
        let mut stations = Vec::new();
        for (mac, station) in entries::<_, Mac, _, _>(&self.maps.stations, name::STATIONS)? {
            let is_visitor = station.state != station_state::LOCAL;
            let is_forwarded = station.state == station_state::FORWARD;
            stations.push(StationReport {
                mac: MacAddress(mac.octets),
                state: match station.state {
                    station_state::FORWARD => "forward",
                    station_state::HOLD => "hold",
                    _ => "local",
                },
                home_address: is_visitor.then(|| station.home_address.into()),
                agent_mac: is_forwarded.then(|| MacAddress(station.agent_mac).to_string()),
                radio: interface_name(station.radio_ifindex),
                last_seen_ms: now.saturating_sub(station.last_seen) / 1_000_000,
            });
        }
        stations.sort_by_key(|station| station.mac);
        Ok(stations)
    }

    /// The interfaces.
    pub fn interfaces(&self) -> Result<Vec<InspectedInterface>, DataPlaneError> {
        let links = self.pins.links()?;
        let mut netlink = Netlink::open()?;
        let mut reports = Vec::new();
        for (index, entry) in self.registered()? {
            let name = interface_name(index).unwrap_or_else(|| format!("#{index}"));
            let mut programs: Vec<_> =
                links.iter().filter(|link| link.interface == name).map(|link| link.program.clone()).collect();
            // Where TC is not tcx, its programs are filters, which have no pins.
            let filters = netlink.filters(index)?.into_iter().map(|filter| filter.name);
            programs.extend(filters.filter(|filter| TC_PROGRAMS.contains(&filter.as_str())));
            let attached = Attached {
                xdp: programs.iter().any(|program| program.ends_with("_xdp")),
                tc: programs.iter().any(|program| !program.ends_with("_xdp")),
            };
            reports.push(InspectedInterface {
                name,
                ifindex: index,
                mac: MacAddress(entry.mac),
                mtu: entry.mtu,
                programs,
                attached,
                fast_path: entry.flags & interface_flags::FAST != 0,
            });
        }
        Ok(reports)
    }

    /// The counters.
    pub fn counters(&self) -> Result<Vec<CounterReport>, DataPlaneError> {
        let registered = self.registered()?;
        let names: Vec<_> = registered
            .iter()
            .map(|(index, entry)| (entry.row, interface_name(*index).unwrap_or_else(|| format!("#{index}"))))
            .collect();
        let rows = [(0, "")].into_iter().chain(names.iter().map(|(row, name)| (*row, name.as_str())));
        counters::read(&self.maps.counters, rows)
    }

    fn registered(&self) -> Result<Vec<(u32, Interface)>, DataPlaneError> {
        let mut registered = Vec::new();
        bulk::read(&self.maps.interfaces, name::INTERFACES, |index: u32, entry: Interface| {
            if entry != Interface::default() {
                registered.push((index, entry));
            }
        })?;
        Ok(registered)
    }
}

/// The name of an interface in the caller's namespace.
pub(super) fn interface_name(index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    if_indextoname(index).ok().and_then(|name| name.into_string().ok())
}
