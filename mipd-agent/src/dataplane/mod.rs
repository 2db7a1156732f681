//! The data path: loads and attaches the kernel programs, writes their maps, and keeps the kernel's own routing in step,
//! so that a slow path exists for everything the programs leave alone. Knows nothing of Mobile IP messages.
//!
//! * [`settings`]: what it is told; `checks`: what is wrong with this box for it;
//! * [`bindings`], [`visitors`], [`stations`]: what the roles have it do;
//! * [`events`]: what it tells the daemon;
//! * [`interfaces`], [`counters`]: what is attached where, and what was counted;
//! * [`inspect`]: the same state seen from outside, with no agent running;
//! * [`unload()`]: takes everything away;
//! * `load`, `attach`, `pins`, `maps`: the kernel programs and their maps;
//! * `devices`, `routes`, [`sysctl`], `journal`: changes to the system, and how they are undone;
//! * [`network`], `netlink`, `filters`: interfaces and addresses of this box, and how the kernel is asked;
//! * [`mode`]: how packets are wrapped in a tunnel;
//! * `tunnels`, `adjacency`, `monitor`: ready next hops, kept so from routing events;
//! * `tunnel_sockets`: tunnel packets that no kernel program takes; `raw_delivery`: those for visitors that the kernel does
//!   not know;
//! * `path_mtu`, `icmp_error`, [`icmp_relay`]: what routers on the tunnels' ways say, and who is told;
//! * `segments`: how large a segment TCP connections may announce;
//! * [`error`]: what can go wrong.
//!
//! Dropping a [`DataPlane`], and stopping the agent, leaves everything in place: the traffic goes on, and the next
//! [`DataPlane::start`] adopts it. Only [`unload()`] removes it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt::Display,
    fs::File,
    net::Ipv4Addr,
    time::Duration,
};

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use ipnet::Ipv4Net;
use mipd_common::{
    mac::MacAddress,
    maps::{AccessPoint, AddressList, Counters, LIST_LENGTH, Router, Subnet, SubnetList},
    packet::ETHERNET_LENGTH,
};
use tokio::{
    io::unix::AsyncFd,
    time::{Interval, MissedTickBehavior, interval},
};

mod adjacency;
mod attach;
mod binding_table;
pub mod bindings;
mod bulk;
mod checks;
pub mod counters;
mod devices;
pub mod error;
pub mod events;
mod filters;
pub(crate) mod home_subnets;
mod host_routes;
mod icmp_error;
pub mod icmp_relay;
pub mod inspect;
pub mod interfaces;
mod journal;
mod load;
mod maps;
pub mod mode;
mod monitor;
mod netlink;
pub mod network;
mod path_mtu;
mod pins;
mod raw_delivery;
mod routes;
mod segments;
pub mod settings;
pub mod stations;
pub mod sysctl;
pub mod table;
mod tunnel_sockets;
mod tunnels;
mod unload;
pub mod visitors;

pub use self::{
    bindings::{BindingRoute, TunnelExit},
    checks::check,
    counters::{CounterReport, CounterValue, Hook},
    devices::{HOME_TUN, PUNT_TAP, VISIT_TUN},
    error::DataPlaneError,
    events::{Event, Sighting, SightingKind},
    icmp_relay::IcmpCounters,
    inspect::{Inspection, PathMtuReport, PathMtuSource, TunnelReport},
    interfaces::{Attached, InterfaceReport},
    mode::{Encapsulation, GreKeys, TunnelMode, UdpEnds},
    netlink::NetlinkError,
    network::Network,
    settings::{
        AccessPointSettings, FastPath, HomeRoutes, HomeSettings, HomeSubnetSettings, InterfaceSettings, Mark, Roles,
        Settings, VisitSettings,
    },
    stations::StationEntry,
    tunnel_sockets::{FromUdp, Refusal, TunnelSocketCounters, UdpArrival},
    unload::unload,
    visitors::VisitorRoute,
};

use self::{
    attach::Attacher,
    binding_table::BindingTable,
    bindings::Bindings,
    devices::Devices,
    icmp_relay::IcmpRelay,
    interfaces::{Interfaces, counter_rows},
    journal::Journal,
    maps::{Maps, name},
    monitor::Monitor,
    netlink::{InterfaceAddress, Netlink},
    path_mtu::PathMtus,
    pins::Pins,
    raw_delivery::RawDelivery,
    routes::{Rule, Selector},
    segments::Clamping,
    stations::Stations,
    tunnel_sockets::TunnelSockets,
    tunnels::{TunnelId, TunnelState, Tunnels},
    visitors::Visitors,
};
use crate::mobility::time::Instant;

/// How often the kernel is asked to confirm the next hops of tunnels.
const CONFIRM_NEXT_HOPS: Duration = Duration::from_secs(5);

/// The data path of one agent.
pub struct DataPlane {
    settings: Settings,
    netlink: Netlink,
    journal: Journal,
    monitor: Monitor,
    attacher: Attacher,
    devices: Devices,
    interfaces: Interfaces,
    tunnels: Tunnels,
    bindings: Bindings,
    visitors: Visitors,
    stations: Stations,
    raw_delivery: RawDelivery,
    tunnel_sockets: TunnelSockets,
    icmp: IcmpRelay,
    path_mtus: PathMtus,
    /// Where [`Self::now`] counts from.
    start: tokio::time::Instant,
    access_point: Array<MapData, AccessPoint>,
    own_addresses: Array<MapData, AddressList>,
    own_subnets: Array<MapData, SubnetList>,
    advertised_subnets: Vec<Ipv4Net>,
    /// MTU of the route into `mip-visit`, once it is set.
    reverse_mtu: Option<u16>,
    counters: PerCpuArray<MapData, Counters>,
    ring: Option<AsyncFd<RingBuf<MapData>>>,
    tick: Interval,
    pending: VecDeque<Event>,
    adopted: bool,
    _locks: [File; 2],
}

impl DataPlane {
    /// Brings up the data path, or takes over the one that an earlier agent left. Must be called in a tokio runtime of
    /// the `current_thread` kind, in the network namespace that the agent serves.
    ///
    /// A fresh start that fails undoes what it did; a failed take-over leaves the old data path working.
    pub fn start(settings: Settings) -> Result<Self, DataPlaneError> {
        checks::machine()?;
        let mut netlink = Netlink::open()?;
        checks::network(&settings, &netlink.links()?)?;
        std::fs::create_dir_all(&settings.state_dir).map_err(DataPlaneError::file("create", &settings.state_dir))?;
        let state_lock = checks::lock(&settings.state_dir)?;
        let mut journal = Journal::open(&settings.state_dir)?;
        let pins = Pins::new(&settings.bpffs_dir);
        pins.create(&mut journal)?;
        let locks = [state_lock, checks::lock(&settings.bpffs_dir)?];
        let adopted = !journal.is_new() && pins.exist();
        if !adopted {
            // Pins of a namespace or boot that is gone, or of another layout of the maps.
            Pins::clear(&settings.bpffs_dir)?;
            pins.create(&mut journal)?;
        }
        let (bpffs_dir, state_dir) = (settings.bpffs_dir.clone(), settings.state_dir.clone());
        Self::bring_up(settings, netlink, journal, pins, adopted, locks).inspect_err(|_| {
            if !adopted && let Err(error) = unload::undo(&bpffs_dir, &state_dir) {
                tracing::error!(%error, "a failed start could not be undone; `mipd unload` tries again");
            }
        })
    }

    fn bring_up(
        settings: Settings,
        mut netlink: Netlink,
        mut journal: Journal,
        pins: Pins,
        adopted: bool,
        locks: [File; 2],
    ) -> Result<Self, DataPlaneError> {
        // Before anything is looked at, so that no change is missed.
        let monitor = Monitor::open()?;
        let tunnel_sockets = TunnelSockets::open(&settings)?;
        let icmp = IcmpRelay::open()?;
        let devices = Devices::open(&settings, &mut netlink, &mut journal)?;
        sysctl::apply(sysctl::required(&settings, &Devices::names(&settings))?, &mut journal)?;
        let links = netlink.links()?;
        let largest_index = links.iter().map(|link| link.index).max().unwrap_or(0);
        let layout = settings.home.as_ref().map(HomeSettings::layout).unwrap_or_default();
        let sizes = load::Sizes::new(&settings, &layout, largest_index, counter_rows(&settings));
        let (ebpf, maps) = load::load(&pins, &sizes, &layout)?;
        let Maps {
            interfaces,
            mut router,
            own_addresses,
            own_subnets,
            home_subnets: _,
            home_prefixes: _,
            slots,
            bindings,
            tunnels,
            home_macs,
            visitors,
            visitor_macs,
            access_point,
            stations,
            seen,
            counters,
        } = maps;
        router.set(0, router_entry(&settings, &devices), 0).map_err(DataPlaneError::map("write", name::ROUTER))?;
        let ring = settings
            .access_point
            .as_ref()
            .map(|_| {
                events::watch(maps::events(&pins)?)
                    .map_err(|source| DataPlaneError::Socket { what: "the ring of station events", source })
            })
            .transpose()?;
        let mut tick = interval(CONFIRM_NEXT_HOPS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut this = Self {
            interfaces: Interfaces::new(&settings, interfaces, links)?,
            tunnels: Tunnels::new(tunnels, Clamping::new(&settings)),
            bindings: Bindings::new(BindingTable::new(layout, slots, bindings), home_macs, &settings),
            visitors: Visitors::new(visitors, visitor_macs, sizes.visitors())?,
            stations: Stations::new(stations, seen, sizes.stations())?,
            attacher: Attacher::new(ebpf, pins),
            settings,
            netlink,
            journal,
            monitor,
            devices,
            raw_delivery: RawDelivery::open()?,
            tunnel_sockets,
            icmp,
            path_mtus: PathMtus::new(),
            start: tokio::time::Instant::now(),
            access_point,
            own_addresses,
            own_subnets,
            advertised_subnets: Vec::new(),
            reverse_mtu: None,
            counters,
            ring,
            tick,
            pending: VecDeque::new(),
            adopted,
            _locks: locks,
        };
        this.publish_addresses()?;
        this.interfaces.publish()?;
        this.publish_access_point()?;
        this.add_rules()?;
        this.route_home_subnets()?;
        this.interfaces.attach(&mut this.attacher, &mut this.netlink, &mut this.journal)?;
        this.adopt()?;
        this.settle()?;
        this.set_reverse_route()?;
        Ok(this)
    }

    /// Takes over what an earlier agent left in the maps. All of it works until
    /// [`remove_unclaimed`](Self::remove_unclaimed).
    fn adopt(&mut self) -> Result<(), DataPlaneError> {
        let bindings = self.bindings.left_over()?;
        let clients: HashMap<TunnelId, Ipv4Addr> =
            bindings.iter().map(|(address, tunnel)| (*tunnel, *address)).collect();
        let home_agent = self.settings.home.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |home| home.address);
        self.tunnels.adopt(home_agent, clients)?;
        self.adopt_bindings(bindings)?;
        self.adopt_visitors()?;
        self.adopt_stations()
    }

    /// Whether an earlier agent's data path was taken over.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Removes every binding, visitor and station that was taken over from an earlier agent and has not been installed
    /// again since. To be called when the daemon has restored what it knows, or after a time of grace. Returns how many
    /// there were.
    pub fn remove_unclaimed(&mut self) -> Result<usize, DataPlaneError> {
        let mut removed = self.remove_unclaimed_stations()?;
        removed += self.remove_unclaimed_bindings()?;
        removed += self.remove_unclaimed_visitors()?;
        self.tunnels.remove_unused()?;
        Ok(removed)
    }

    /// Writes a frame as if a client had sent it: a held packet that is released, or one that is none of ours after all.
    pub fn inject(&self, frame: &[u8]) -> Result<(), DataPlaneError> {
        let punt = self.devices.punt.as_ref().ok_or(DataPlaneError::RoleNotConfigured("access point"))?;
        let write = |frame: &[u8]| {
            punt.get_ref().write(frame).map_err(|source| DataPlaneError::Device {
                action: "write to",
                name: PUNT_TAP.to_owned(),
                source,
            })
        };
        match self.too_large_to_wrap(frame) {
            // The program has answered those that must not be fragmented.
            Some((packet, room)) => {
                let pieces = raw_delivery::in_pieces(packet, room).unwrap_or_default();
                pieces.iter().try_for_each(|piece| write(&[&frame[..ETHERNET_LENGTH], piece].concat()))
            }
            None => write(frame),
        }
    }

    /// The packet of a frame whose station has its packets wrapped, and the room that there is for it, if it is too large.
    fn too_large_to_wrap<'a>(&self, frame: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let (ethernet, rest) = frame.split_first_chunk::<ETHERNET_LENGTH>()?;
        let sender = ethernet[6..12].first_chunk().filter(|_| ethernet[12..] == [0x08, 0x00])?;
        let room = self.room_in_wrapper(MacAddress(*sender))? as usize;
        let packet = rest.get(..crate::wire::encapsulation::whole_length(rest)?)?;
        (packet.len() > room).then_some((packet, room))
    }

    /// Sets prefixes that count as local besides the configured ones and those of the access interfaces.
    pub fn set_advertised_subnets(&mut self, subnets: Vec<Ipv4Net>) -> Result<(), DataPlaneError> {
        self.advertised_subnets = subnets;
        self.publish_addresses()
    }

    /// An interface's index and Ethernet address, if it is here.
    pub fn interface(&self, name: &str) -> Option<(u32, MacAddress)> {
        self.interfaces.index(name).and_then(|index| self.interfaces.link(index)).map(|link| (link.index, link.mac))
    }

    /// An interface's name.
    pub fn interface_name(&self, index: u32) -> Option<&str> {
        self.interfaces.link(index).map(|link| link.name.as_str())
    }

    /// The configured interfaces, with what is attached to each.
    pub fn interfaces(&self) -> Vec<InterfaceReport> {
        self.interfaces.reports()
    }

    /// What became of the packets, per interface and hook.
    pub fn counters(&self) -> Result<Vec<CounterReport>, DataPlaneError> {
        counters::read(&self.counters, [(0, "")].into_iter().chain(self.interfaces.rows()))
    }

    /// The tunnels in use.
    pub fn tunnels(&self) -> Vec<TunnelReport> {
        TunnelReport::all(self.tunnels.entries())
    }

    /// What the ways of the tunnels take, by number of the tunnel.
    pub fn path_mtus(&self) -> BTreeMap<u32, PathMtuReport> {
        let report = |state: &TunnelState| {
            let learned = self.path_mtus.get(&state.key.path()?);
            Some(PathMtuReport::new(state, learned, self.now()))
        };
        self.tunnels.iter().filter_map(|(id, state)| Some((id.0, report(state)?))).collect()
    }

    /// The time, by the data plane's own clock.
    fn now(&self) -> Instant {
        Instant(self.start.elapsed())
    }

    /// The rules that lead to the visitors' tables.
    fn add_rules(&mut self) -> Result<(), DataPlaneError> {
        let wanted: Vec<_> = self
            .settings
            .visit
            .iter()
            .flat_map(|visit| {
                let incoming = Selector::IncomingInterface(VISIT_TUN.to_owned());
                [
                    Rule { selector: incoming, table: visit.table },
                    Rule { selector: Selector::Mark(visit.mark), table: visit.reverse_table() },
                ]
            })
            .collect();
        for rule in &wanted {
            self.netlink.add_rule(rule)?;
        }
        // Those of an earlier agent with other settings.
        self.netlink.delete_own_rules(&wanted)?;
        Ok(())
    }

    /// Tells the programs our addresses, and which prefixes are local.
    fn publish_addresses(&mut self) -> Result<(), DataPlaneError> {
        let addresses = self.netlink.addresses()?;
        let ours: HashSet<u32> = self.interfaces.with_role(|_| true).collect();
        let access: HashSet<u32> = self.interfaces.with_role(|roles| roles.access).collect();
        let bridge = self.settings.access_point.as_ref().and_then(|settings| self.interfaces.index(&settings.bridge));

        let role_addresses = [
            self.settings.home.as_ref().map(|home| home.address),
            self.settings.visit.as_ref().map(|visit| visit.care_of_address),
        ];
        let (near, far): (Vec<_>, Vec<_>) = addresses.iter().partition(|entry| ours.contains(&entry.index));
        let others = near.into_iter().chain(far).map(|entry: &InterfaceAddress| entry.address.addr());
        let own = distinct(role_addresses.into_iter().flatten().chain(others));

        let configured = self.settings.access_point.iter().flat_map(|settings| &settings.own_subnets).copied();
        let of_bridge = bridge
            .filter(|_| self.settings.access_point.as_ref().is_some_and(|settings| settings.own_subnets.is_empty()));
        let connected = addresses
            .iter()
            .filter(|entry| access.contains(&entry.index) || Some(entry.index) == of_bridge)
            .map(|entry| entry.address.trunc())
            .filter(|prefix| prefix.prefix_len() < 32);
        let subnets = distinct(configured.chain(self.advertised_subnets.iter().copied()).chain(connected));

        let mut list = AddressList { length: own.len().min(LIST_LENGTH) as u32, ..AddressList::default() };
        for (entry, address) in list.addresses.iter_mut().zip(&own) {
            *entry = address.octets();
        }
        self.own_addresses.set(0, list, 0).map_err(DataPlaneError::map("write", name::OWN_ADDRESSES))?;
        let mut list = SubnetList { length: subnets.len().min(LIST_LENGTH) as u32, ..SubnetList::default() };
        for (entry, prefix) in list.subnets.iter_mut().zip(&subnets) {
            *entry = Subnet { network: prefix.network().octets(), mask: prefix.netmask().octets() };
        }
        self.own_subnets.set(0, list, 0).map_err(DataPlaneError::map("write", name::OWN_SUBNETS))?;
        if own.len() > LIST_LENGTH || subnets.len() > LIST_LENGTH {
            tracing::warn!(
                addresses = own.len(),
                subnets = subnets.len(),
                "more of our own addresses or subnets than the programs compare ({LIST_LENGTH}): the last ones take the slow path"
            );
        }
        Ok(())
    }
}

fn router_entry(settings: &Settings, devices: &Devices) -> Router {
    // Without visitors the mark only tells copies apart on `mip-home`.
    let mark = settings.visit.as_ref().map_or_else(Mark::default, |visit| visit.mark);
    Router {
        home_tun: devices.home_index(),
        visit_tun: devices.visit_index(),
        mark: mark.value,
        mark_mask: mark.mask,
        reserved: 0,
    }
}

fn distinct<T: Copy + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}

/// Serialises what has a text form by that form.
fn serialize_display<S: serde::Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
