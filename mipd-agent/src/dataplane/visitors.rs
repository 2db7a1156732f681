//! The foreign agent's part: visitors.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddrV4},
};

use aya::maps::{Array, MapData};
use ipnet::Ipv4Net;
use mipd_common::{
    mac::MacAddress,
    maps::{Mac, Visitor, VisitorKey, VisitorSource, tunnel_flags, visitor_flags},
    table::{VisitorEntry, VisitorSourceEntry},
};

use super::{
    DataPlane,
    error::DataPlaneError,
    interfaces::Interfaces,
    maps::name,
    mode::{Encapsulation, GreKeys, TunnelMode, UdpEnds},
    netlink::absent_is_fine,
    routes::{DeviceRoute, MAIN_TABLE},
    segments::VisitorLimits,
    settings::VisitSettings,
    table::Table,
    tunnels::{TunnelId, TunnelKey, ethernet_destination, ethernet_header},
};

/// A visitor: how it is reached, and where its packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisitorRoute {
    /// The client's address.
    pub home_address: Ipv4Addr,
    /// The other end of its tunnel.
    pub home_agent: Ipv4Addr,
    /// Our end of its tunnel.
    pub care_of_address: Ipv4Addr,
    /// The client's MAC.
    pub mac: MacAddress,
    /// The access interface it is behind.
    pub interface: u32,
    /// How packets are wrapped, in both directions.
    pub mode: TunnelMode,
    /// Send its packets through the tunnel too (RFC 3024).
    pub reverse_tunnel: bool,
    /// Of its packets, only those that it has wrapped for us (RFC 3024 §5.2).
    pub encapsulating_delivery: bool,
}

/// What identifies a visitor: two home networks may use the same address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct VisitorId {
    pub home_agent: Ipv4Addr,
    pub home_address: Ipv4Addr,
}

impl VisitorId {
    fn key(self) -> VisitorKey {
        VisitorKey { home_agent: self.home_agent.octets(), home_address: self.home_address.octets() }
    }
}

impl VisitorRoute {
    /// Its tunnel to the home agent.
    fn reverse_key(&self) -> TunnelKey {
        let remote = self.mode.udp.map_or(self.home_agent, |udp| *udp.peer.ip());
        TunnelKey::Between { local: self.care_of_address, remote, mode: self.mode }
    }

    fn id(&self) -> VisitorId {
        VisitorId { home_agent: self.home_agent, home_address: self.home_address }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Installed {
    route: VisitorRoute,
    tunnel: Option<TunnelId>,
    limits: VisitorLimits,
    /// Installed by this agent, not only found in the map.
    claimed: bool,
}

impl Installed {
    /// What it may send, and where that goes.
    fn source(&self) -> VisitorSource {
        VisitorSource {
            home_address: self.route.home_address.octets(),
            tunnel: self.tunnel.map_or(0, |tunnel| tunnel.0),
            segment_limit: self.limits.announced,
            flags: if self.route.encapsulating_delivery { visitor_flags::ENCAPSULATING } else { 0 },
        }
    }
}

/// The visitors, in memory and in the maps.
pub(super) struct Visitors {
    map: Table<MapData, VisitorKey, Visitor, 16>,
    macs: Table<MapData, Mac, VisitorSource, 4>,
    installed: HashMap<VisitorId, Installed>,
    namesakes: Namesakes,
}

/// Who has an address. The first one has the kernel's neighbour entry and route; the kernel knows nothing of the others.
#[derive(Default)]
struct Namesakes(HashMap<Ipv4Addr, Vec<VisitorId>>);

impl Namesakes {
    fn with(&self, address: Ipv4Addr) -> &[VisitorId] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The one that is in the kernel.
    fn first(&self, address: Ipv4Addr) -> Option<VisitorId> {
        self.with(address).first().copied()
    }

    /// Adds a visitor behind those that are there.
    fn add(&mut self, id: VisitorId) {
        let ids = self.0.entry(id.home_address).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    /// Adds the visitor that is in the kernel.
    fn add_first(&mut self, id: VisitorId) {
        self.0.entry(id.home_address).or_default().insert(0, id);
    }

    /// Whether it was the first. The one behind it is now.
    fn remove(&mut self, id: VisitorId) -> bool {
        let Some(ids) = self.0.get_mut(&id.home_address) else { return false };
        let was_first = ids.first() == Some(&id);
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            self.0.remove(&id.home_address);
        }
        was_first
    }
}

impl Visitors {
    pub fn new(
        map: Array<MapData, VisitorEntry>,
        macs: Array<MapData, VisitorSourceEntry>,
        limit: usize,
    ) -> Result<Self, DataPlaneError> {
        Ok(Self {
            map: Table::open(map, name::VISITORS, limit)?,
            macs: Table::open(macs, name::VISITOR_MACS, limit)?,
            installed: HashMap::new(),
            namesakes: Namesakes::default(),
        })
    }

    /// A visitor that is installed.
    pub fn get(&self, id: VisitorId) -> Option<&VisitorRoute> {
        self.installed.get(&id).map(|installed| &installed.route)
    }

    /// The tunnel that a visitor's own packets take.
    pub fn reverse_tunnel(&self, id: VisitorId) -> Option<TunnelId> {
        self.installed.get(&id)?.tunnel
    }

    /// The interface to which the kernel too delivers this visitor's packets.
    pub fn kernel_interface(&self, id: VisitorId) -> Option<u32> {
        self.is_in_kernel(id).then(|| self.get(id).map(|route| route.interface))?
    }

    /// Whether the kernel's entries are, or would be, this visitor's.
    pub fn is_in_kernel(&self, id: VisitorId) -> bool {
        self.namesakes.first(id.home_address).is_none_or(|first| first == id)
    }

    /// The map's entry of a visitor that the kernel does not know.
    pub fn entry_of_hidden(&self, id: VisitorId, interfaces: &Interfaces) -> Option<Visitor> {
        let route = self.get(id).filter(|_| !self.is_in_kernel(id))?;
        self.entry(route, interfaces)
    }

    /// The map's entry of a visitor. `None` if the access interface is gone.
    pub fn entry(&self, route: &VisitorRoute, interfaces: &Interfaces) -> Option<Visitor> {
        let access = interfaces.link(route.interface)?;
        let xdp_target = if interfaces.is_xdp_target(route.interface) { tunnel_flags::XDP_TARGET } else { 0 };
        let kernel = if self.is_in_kernel(route.id()) { 0 } else { tunnel_flags::NOT_IN_KERNEL };
        Some(Visitor {
            ethernet: ethernet_header(route.mac, access.mac),
            flags: route.mode.flags() | xdp_target | kernel,
            kind: route.mode.encapsulation.kind(),
            ifindex: route.interface,
            care_of_address: route.care_of_address.octets(),
            receive_key: route.mode.encapsulation.keys().map_or(0, |keys| keys.receive).to_be_bytes(),
            port: route.mode.udp.map_or(0, |udp| udp.peer.port()).to_be_bytes(),
            segment_limit: self.installed.get(&route.id()).map_or(0, |installed| installed.limits.told),
        })
    }

    fn left_over(&self) -> Result<Vec<(VisitorKey, Visitor, Option<VisitorSource>)>, DataPlaneError> {
        let sources = self.macs.entries().map_err(DataPlaneError::map("read", name::VISITOR_MACS))?;
        let sources: HashMap<Mac, VisitorSource> = sources.into_iter().collect();
        let visitors = self.map.entries().map_err(DataPlaneError::map("read", name::VISITORS))?;
        Ok(visitors
            .into_iter()
            .map(|(key, visitor)| {
                let source = sources.get(&Mac::new(ethernet_destination(&visitor.ethernet).0)).copied();
                (key, visitor, source.filter(|source| source.home_address == key.home_address))
            })
            .collect())
    }

    /// Forgets what a MAC may send, unless a visitor with the same address still has it.
    fn remove_mac(&mut self, route: &VisitorRoute) -> Result<(), DataPlaneError> {
        let mac = Mac::new(route.mac.0);
        let namesakes = self.namesakes.with(route.home_address).iter().filter(|id| **id != route.id());
        if let Some(other) =
            namesakes.filter_map(|id| self.installed.get(id)).find(|other| other.route.mac == route.mac)
        {
            let source = other.source();
            return self.macs.insert(mac, source).map_err(DataPlaneError::map("write", name::VISITOR_MACS));
        }
        match self.macs.get(mac).map_err(DataPlaneError::map("read", name::VISITOR_MACS))? {
            Some(source) if source.home_address == route.home_address.octets() => {
                self.macs.remove(mac).map_err(DataPlaneError::map("write", name::VISITOR_MACS))
            }
            _ => Ok(()),
        }
    }
}

/// What an entry says of the packets that arrive for the visitor; nothing is known of those that leave.
pub(super) fn mode_of_arrivals(key: VisitorKey, visitor: &Visitor) -> Option<TunnelMode> {
    let keys = GreKeys { send: 0, receive: u32::from_be_bytes(visitor.receive_key) };
    let keys = (visitor.flags & tunnel_flags::KEYED != 0).then_some(keys);
    let peer = SocketAddrV4::new(key.home_agent.into(), u16::from_be_bytes(visitor.port));
    Some(TunnelMode {
        encapsulation: Encapsulation::of_kind(visitor.kind, keys)?,
        udp: (visitor.flags & tunnel_flags::UDP != 0).then_some(UdpEnds { port: UdpEnds::PORT, peer }),
    })
}

impl DataPlane {
    /// Delivers what arrives in a tunnel for this client, and lets it send. Installing the same visitor again is cheap
    /// and harmless; another MAC, interface or direction replaces the old one.
    pub fn install_visitor(&mut self, route: VisitorRoute) -> Result<(), DataPlaneError> {
        if self.settings.visit.is_none() {
            return Err(DataPlaneError::RoleNotConfigured("foreign agent"));
        }
        let id = route.id();
        if self.visitors.installed.get(&id).is_some_and(|installed| installed.route == route && installed.claimed) {
            return Ok(());
        }
        let entry = self
            .visitor_entry(&route)
            .ok_or_else(|| DataPlaneError::NoSuchInterface { name: format!("number {}", route.interface) })?;
        let to_ourselves = self.settings.home.as_ref().is_some_and(|home| home.address == route.home_agent);
        let tunnel =
            (route.reverse_tunnel && !to_ourselves).then(|| self.tunnels.acquire(route.reverse_key())).transpose()?;
        let installed = Installed { route, tunnel, limits: VisitorLimits::default(), claimed: true };
        let previous = self.visitors.installed.insert(id, installed);
        self.visitors.namesakes.add(id);
        let Err(error) = self.apply_visitor(installed, entry, previous) else {
            return previous.and_then(|previous| previous.tunnel).map_or(Ok(()), |old| self.leave_reverse_tunnel(old));
        };
        match previous {
            Some(previous) => {
                self.keep_visitor(previous, route)?;
                tunnel.map_or(Ok(()), |tunnel| self.leave_reverse_tunnel(tunnel))?;
            }
            None => self.remove_visitor(route.home_agent, route.home_address)?,
        }
        Err(error)
    }

    /// Goes on with what a visitor was before a change that failed half-way.
    fn keep_visitor(&mut self, previous: Installed, failed: VisitorRoute) -> Result<(), DataPlaneError> {
        self.visitors.installed.insert(previous.route.id(), previous);
        if previous.route.mac != failed.mac {
            self.visitors.remove_mac(&failed)?;
        }
        let Some(entry) = self.visitor_entry(&previous.route) else { return Ok(()) };
        self.apply_visitor(previous, entry, None)
    }

    fn apply_visitor(
        &mut self,
        mut installed: Installed,
        mut entry: Visitor,
        previous: Option<Installed>,
    ) -> Result<(), DataPlaneError> {
        let route = installed.route;
        let id = route.id();
        if let Some(tunnel) = installed.tunnel {
            self.settle_tunnel(tunnel)?;
            self.set_reverse_route()?;
        }
        installed.limits = self.visitor_limits(&route, installed.tunnel)?;
        self.visitors.installed.insert(id, installed);
        entry.segment_limit = installed.limits.told;
        let full = |name, error| DataPlaneError::full_or("visitors", "maximum-visitors", name, error);
        self.visitors.map.insert(id.key(), entry).map_err(|error| full(name::VISITORS, error))?;
        let source = installed.source();
        self.visitors.macs.insert(Mac::new(route.mac.0), source).map_err(|error| full(name::VISITOR_MACS, error))?;
        if let Some(previous) = previous.filter(|previous| previous.route.mac != route.mac) {
            self.visitors.remove_mac(&previous.route)?;
        }
        if self.visitors.is_in_kernel(id) {
            if let Some(previous) = previous.filter(|previous| previous.route.interface != route.interface) {
                absent_is_fine(self.netlink.delete_neighbour(previous.route.interface, route.home_address))?;
            }
            self.enter_into_kernel(route)?;
        }
        self.refresh_direct(id)
    }

    /// Forgets a visitor. One that is not there is fine.
    pub fn remove_visitor(&mut self, home_agent: Ipv4Addr, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        let id = VisitorId { home_agent, home_address };
        let Some(installed) = self.visitors.installed.remove(&id) else { return Ok(()) };
        self.visitors.map.remove(id.key()).map_err(DataPlaneError::map("write", name::VISITORS))?;
        self.visitors.remove_mac(&installed.route)?;
        if self.visitors.namesakes.remove(id) {
            absent_is_fine(self.netlink.delete_neighbour(installed.route.interface, home_address))?;
            self.refresh_direct(id)?;
            self.hand_down(home_address)?;
        } else {
            self.refresh_direct(id)?;
        }
        match installed.tunnel {
            Some(tunnel) => self.leave_reverse_tunnel(tunnel),
            None => Ok(()),
        }
    }

    /// The kernel's entries for an address go to the next visitor that has it, if there is one.
    fn hand_down(&mut self, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        let heir = self.visitors.namesakes.first(home_address).and_then(|id| self.visitors.installed.get(&id)).copied();
        let Some(Installed { route, .. }) = heir else {
            let table = self.visitor_table();
            return Ok(absent_is_fine(self.netlink.delete_route(Ipv4Net::from(home_address), table))?);
        };
        self.enter_into_kernel(route)?;
        self.rewrite_visitor(&route)?;
        self.refresh_direct(route.id())
    }

    /// One user less; the route into the tunnels has the smallest MTU of those that are left.
    fn leave_reverse_tunnel(&mut self, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        self.tunnels.release(tunnel)?;
        if self.tunnels.get(tunnel).is_none() {
            self.set_reverse_route()?;
        }
        Ok(())
    }

    /// Writes the visitors of an interface again, whose own address or mode has changed.
    pub(super) fn rewrite_visitors(&mut self, interface: u32) -> Result<(), DataPlaneError> {
        let there = self.visitors.installed.values().filter(|installed| installed.route.interface == interface);
        there.copied().collect::<Vec<_>>().iter().try_for_each(|installed| self.rewrite_visitor(&installed.route))
    }

    /// Brings the limits of the visitors with a reverse tunnel in step with it, whose MTU has changed.
    pub(super) fn limit_visitors(&mut self, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        let with_tunnel = self.visitors.installed.values().filter(|installed| installed.tunnel == Some(tunnel));
        for mut installed in with_tunnel.copied().collect::<Vec<_>>() {
            installed.limits = self.visitor_limits(&installed.route, Some(tunnel))?;
            self.visitors.installed.insert(installed.route.id(), installed);
            self.rewrite_visitor(&installed.route)?;
            self.visitors
                .macs
                .insert(Mac::new(installed.route.mac.0), installed.source())
                .map_err(DataPlaneError::map("write", name::VISITOR_MACS))?;
        }
        Ok(())
    }

    fn rewrite_visitor(&mut self, route: &VisitorRoute) -> Result<(), DataPlaneError> {
        let Some(entry) = self.visitor_entry(route) else { return Ok(()) };
        self.visitors.map.insert(route.id().key(), entry).map_err(DataPlaneError::map("write", name::VISITORS))
    }

    fn visitor_entry(&self, route: &VisitorRoute) -> Option<Visitor> {
        self.visitors.entry(route, &self.interfaces)
    }

    fn visitor_table(&self) -> u32 {
        self.settings.visit.as_ref().map_or(VisitSettings::DEFAULT_TABLE, |visit| visit.table)
    }

    /// Lets the kernel's slow path deliver to a visitor what comes out of a tunnel.
    fn enter_into_kernel(&mut self, route: VisitorRoute) -> Result<(), DataPlaneError> {
        self.netlink.set_neighbour(route.interface, route.home_address, route.mac)?;
        let table = self.visitor_table();
        let destination = Ipv4Net::from(route.home_address);
        self.netlink.set_route(DeviceRoute { destination, table, device: route.interface, mtu: None })?;
        Ok(())
    }

    /// If the visitor is a client of our own home agent, its binding is delivered directly: brings that up to date.
    fn refresh_direct(&mut self, id: VisitorId) -> Result<(), DataPlaneError> {
        let key = TunnelKey::Direct { home_agent: id.home_agent, home_address: id.home_address };
        let Some(tunnel) = self.tunnels.id(key) else { return Ok(()) };
        self.tunnels.mark(tunnel);
        self.settle_tunnel(tunnel)?;
        self.route_binding(id.home_address)
    }

    /// Takes over the visitors that an earlier agent left in the maps.
    pub(super) fn adopt_visitors(&mut self) -> Result<(), DataPlaneError> {
        let Some(care_of_address) = self.settings.visit.as_ref().map(|visit| visit.care_of_address) else {
            return Ok(());
        };
        let neighbours: HashSet<_> = self.netlink.own_neighbours()?.into_iter().collect();
        for (key, visitor, source) in self.visitors.left_over()? {
            let reverse = source
                .filter(|source| source.tunnel != 0)
                .and_then(|source| self.tunnels.get(TunnelId(source.tunnel)).map(|state| state.key));
            let mode = match reverse {
                Some(TunnelKey::Between { mode, .. }) => Some(mode),
                _ => mode_of_arrivals(key, &visitor),
            };
            let tunnel = reverse.map(|key| self.tunnels.acquire(key)).transpose()?;
            let route = VisitorRoute {
                home_address: key.home_address.into(),
                home_agent: key.home_agent.into(),
                care_of_address,
                mac: ethernet_destination(&visitor.ethernet),
                interface: visitor.ifindex,
                mode: mode.unwrap_or_default(),
                reverse_tunnel: tunnel.is_some(),
                encapsulating_delivery: source.is_some_and(|source| source.flags & visitor_flags::ENCAPSULATING != 0),
            };
            let known_to_kernel = visitor.flags & tunnel_flags::NOT_IN_KERNEL == 0;
            if known_to_kernel && neighbours.contains(&(route.interface, route.home_address)) {
                self.visitors.namesakes.add_first(route.id());
            } else {
                self.visitors.namesakes.add(route.id());
            }
            let limits = VisitorLimits {
                told: visitor.segment_limit,
                announced: source.map_or(0, |source| source.segment_limit),
            };
            self.visitors.installed.insert(route.id(), Installed { route, tunnel, limits, claimed: false });
        }
        Ok(())
    }

    /// Removes visitors that were adopted but not installed again, and kernel entries that belong to none.
    pub(super) fn remove_unclaimed_visitors(&mut self) -> Result<usize, DataPlaneError> {
        let unclaimed: Vec<_> =
            self.visitors.installed.iter().filter(|(_, installed)| !installed.claimed).map(|(id, _)| *id).collect();
        for id in &unclaimed {
            self.remove_visitor(id.home_agent, id.home_address)?;
        }
        if self.settings.visit.is_none() {
            return Ok(unclaimed.len());
        }
        let table = self.visitor_table();
        let installed = self.visitors.installed.values().map(|installed| &installed.route);
        let known: HashSet<_> = installed
            .filter(|route| self.visitors.is_in_kernel(route.id()))
            .map(|route| (route.interface, route.home_address))
            .collect();
        for (device, address) in self.netlink.own_neighbours()? {
            if !known.contains(&(device, address)) {
                absent_is_fine(self.netlink.delete_neighbour(device, address))?;
            }
        }
        let reverse_table = self.settings.visit.as_ref().map(VisitSettings::reverse_table);
        for route in self.netlink.own_routes()? {
            let wanted = match route.table {
                MAIN_TABLE => true,
                other if other == table => self.visitors.namesakes.first(route.destination.addr()).is_some(),
                other => Some(other) == reverse_table,
            };
            if !wanted {
                absent_is_fine(self.netlink.delete_route(route.destination, route.table))?;
            }
        }
        Ok(unclaimed.len())
    }
}
