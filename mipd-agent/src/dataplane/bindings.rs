//! The home agent's part: mobility bindings.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
};

use aya::maps::{HashMap as BpfHashMap, MapData};
use ipnet::Ipv4Net;
use mipd_common::{
    mac::MacAddress,
    maps::{Address, COPIES_LENGTH, Mac},
};

use super::{
    DataPlane,
    binding_table::BindingTable,
    error::DataPlaneError,
    host_routes::HostRoutes,
    maps::{self, name},
    mode::TunnelMode,
    netlink::absent_is_fine,
    routes::{DeviceRoute, MAIN_TABLE},
    settings::{HomeRoutes, HomeSubnetSettings, Settings},
    tunnels::{DEFAULT_INNER_MTU, TunnelId, TunnelKey, Tunnels},
    visitors::VisitorId,
};

/// An away client: where its packets go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingRoute {
    /// The client's address.
    pub home_address: Ipv4Addr,
    /// The tunnels, at most [`BindingRoute::MAXIMUM_EXITS`]. Each gets a copy of every packet; without any, packets for the
    /// client are dropped.
    pub exits: Vec<TunnelExit>,
}

impl BindingRoute {
    /// How many care-of addresses a client can have at the same time.
    pub const MAXIMUM_EXITS: usize = COPIES_LENGTH;
}

/// A tunnel to a care-of address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelExit {
    /// Exit of the tunnel. Our own care-of address means a client on another interface of this box: no tunnel.
    pub care_of_address: Ipv4Addr,
    /// Entry of the tunnel.
    pub home_agent: Ipv4Addr,
    /// How packets are wrapped. Over UDP, they go to the peer instead of the care-of address.
    pub mode: TunnelMode,
}

impl TunnelExit {
    /// Where its packets are sent.
    fn remote(&self) -> Ipv4Addr {
        self.mode.udp.map_or(self.care_of_address, |udp| *udp.peer.ip())
    }
}

/// What a binding leads to. The tunnel table knows the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Installed {
    tunnel: TunnelId,
    /// Installed by this agent, not only found in the map.
    claimed: bool,
}

/// A binding that is being changed.
#[derive(Clone, Copy, Debug)]
struct Change {
    home_address: Ipv4Addr,
    tunnel: TunnelId,
    previous: Option<Installed>,
}

impl Change {
    fn is_in_table(&self) -> bool {
        self.previous.is_some_and(|previous| previous.tunnel == self.tunnel)
    }
}

/// The bindings, in memory and in the maps.
pub(super) struct Bindings {
    table: BindingTable,
    home_macs: BpfHashMap<MapData, Address, Mac>,
    installed: HashMap<Ipv4Addr, Installed>,
    routes: HostRoutes,
    /// Clients with a route of their own in a subnet that has one for all, since their tunnels take less.
    exceptions: HashSet<Ipv4Addr>,
    /// MTU of the routes of whole subnets.
    subnet_mtu: u16,
}

impl Bindings {
    pub fn new(table: BindingTable, home_macs: BpfHashMap<MapData, Address, Mac>, settings: &Settings) -> Self {
        let subnets = settings.home.iter().flat_map(|home| &home.subnets);
        Self {
            table,
            home_macs,
            installed: HashMap::new(),
            routes: HostRoutes::new(subnets),
            exceptions: HashSet::new(),
            subnet_mtu: DEFAULT_INNER_MTU,
        }
    }

    /// Takes note of what a binding leads to, and returns what it led to before.
    fn lead(&mut self, home_address: Ipv4Addr, to: Option<Installed>) -> Option<Installed> {
        let before = match to {
            Some(to) => self.installed.insert(home_address, to),
            None => self.installed.remove(&home_address),
        };
        self.routes.rebind(home_address, before.map(|before| before.tunnel), to.map(|to| to.tunnel));
        before
    }

    /// The tunnel that an earlier agent left for each home address.
    pub fn left_over(&self) -> Result<Vec<(Ipv4Addr, TunnelId)>, DataPlaneError> {
        Ok(self.table.in_use()?.into_iter().map(|(address, tunnel)| (address, TunnelId(tunnel))).collect())
    }

    /// The tunnels of a client, of which each may carry its packets to us.
    pub fn tunnels_of<'a>(&self, tunnels: &'a Tunnels, home_address: Ipv4Addr) -> impl Iterator<Item = &'a TunnelKey> {
        let state = self.installed.get(&home_address).and_then(|installed| tunnels.get(installed.tunnel));
        let parts = state.into_iter().flat_map(|state| &state.parts).filter_map(|part| tunnels.get(*part));
        state.into_iter().chain(parts).map(|state| &state.key)
    }

    /// The tunnel, or the entry that copies into several, for a client's packets.
    pub fn tunnel_of(&self, home_address: Ipv4Addr) -> Option<TunnelId> {
        self.installed.get(&home_address).map(|installed| installed.tunnel)
    }
}

impl DataPlane {
    /// Sends a client's packets to its care-of addresses from now on. Installing the same binding again is cheap and
    /// harmless; other care-of addresses replace the old ones without a gap. After an error, what was there before is.
    pub fn install_binding(&mut self, route: &BindingRoute) -> Result<(), DataPlaneError> {
        let Some(change) = self.begin_binding(route)? else { return Ok(()) };
        let Change { home_address, tunnel, .. } = change;
        let result = self
            .settle_tunnel(tunnel)
            .and_then(|()| self.route_binding(home_address))
            .and_then(|()| self.bindings.table.set(home_address, tunnel.0));
        self.end_binding(&change, result)
    }

    /// Installs many bindings at a time, as after a restart. Returns those that cannot be carried.
    pub fn install_bindings(
        &mut self,
        routes: impl IntoIterator<Item = BindingRoute>,
    ) -> Vec<(Ipv4Addr, DataPlaneError)> {
        let mut failed = Vec::new();
        let mut changes = Vec::new();
        for route in routes {
            match self.begin_binding(&route) {
                Ok(change) => changes.extend(change),
                Err(error) => failed.push((route.home_address, error)),
            }
        }
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "next hops are not up to date");
        }
        // What is in the table from before with the same number is right already.
        let mut written: Vec<_> = changes.iter().filter(|change| !change.is_in_table()).collect();
        written.sort_unstable_by_key(|change| change.home_address);
        let entries: Vec<_> = written.iter().map(|change| (change.home_address, change.tunnel.0)).collect();
        let batched = self.bindings.table.set_many(&entries).is_ok();
        for change in changes {
            let Change { home_address, tunnel, .. } = change;
            let mut result = self.route_binding(home_address);
            if !batched && result.is_ok() {
                result = self.bindings.table.set(home_address, tunnel.0);
            }
            if let Err(error) = self.end_binding(&change, result) {
                failed.push((home_address, error));
            }
        }
        failed
    }

    /// Acquires what a binding needs. `None`: it is installed already.
    fn begin_binding(&mut self, route: &BindingRoute) -> Result<Option<Change>, DataPlaneError> {
        if self.settings.home.is_none() {
            return Err(DataPlaneError::RoleNotConfigured("home agent"));
        }
        let home_address = route.home_address;
        if !self.bindings.table.serves(home_address) {
            return Err(DataPlaneError::NotAHomeAddress(home_address));
        }
        let previous = self.bindings.installed.get(&home_address).copied();
        if let Some(Installed { tunnel, claimed: true }) = previous
            && self.leads_to(tunnel, route)
        {
            return Ok(None);
        }
        let tunnel = match route.exits.as_slice() {
            [exit] => self.tunnels.acquire(self.tunnel_key(home_address, *exit))?,
            exits if exits.len() <= BindingRoute::MAXIMUM_EXITS => {
                let keys: Vec<_> = exits.iter().map(|exit| self.tunnel_key(home_address, *exit)).collect();
                self.tunnels.acquire_copies(home_address, keys.into_iter())?
            }
            exits => return Err(DataPlaneError::Exits { home_address, count: exits.len() }),
        };
        self.bindings.lead(home_address, Some(Installed { tunnel, claimed: true }));
        Ok(Some(Change { home_address, tunnel, previous }))
    }

    /// Releases what a binding had before, or, if it cannot be carried, goes back to that.
    fn end_binding(&mut self, change: &Change, result: Result<(), DataPlaneError>) -> Result<(), DataPlaneError> {
        let Change { home_address, tunnel, previous } = *change;
        let Err(error) = result else {
            return previous.map_or(Ok(()), |previous| self.tunnels.release(previous.tunnel));
        };
        self.bindings.lead(home_address, previous);
        match previous {
            Some(previous) => {
                self.route_binding(home_address)?;
                self.bindings.table.set(home_address, previous.tunnel.0)?;
            }
            None => self.unroute_binding(home_address).and_then(|()| self.bindings.table.remove(home_address))?,
        }
        self.tunnels.release(tunnel)?;
        Err(error)
    }

    /// Whether a tunnel, or the several that it copies into, are those of a route.
    fn leads_to(&self, tunnel: TunnelId, route: &BindingRoute) -> bool {
        let Some(state) = self.tunnels.get(tunnel) else { return false };
        let keys = route.exits.iter().map(|exit| self.tunnel_key(route.home_address, *exit));
        match state.key {
            TunnelKey::Copies { .. } => keys.map(|key| self.tunnels.id(key)).eq(state.parts.iter().copied().map(Some)),
            key => keys.eq([key]),
        }
    }

    /// Delivers a client's packets at home again. A binding that is not there is fine.
    pub fn remove_binding(&mut self, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        let Some(installed) = self.bindings.lead(home_address, None) else { return Ok(()) };
        self.bindings.table.remove(home_address)?;
        maps::remove(&mut self.bindings.home_macs, &home_address.octets(), name::HOME_MACS)?;
        self.unroute_binding(home_address)?;
        self.tunnels.release(installed.tunnel)
    }

    fn unroute_binding(&mut self, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        if self.bindings.routes.cover(home_address) || self.bindings.exceptions.remove(&home_address) {
            absent_is_fine(self.netlink.delete_route(Ipv4Net::from(home_address), MAIN_TABLE))?;
        }
        Ok(())
    }

    /// Tells the home interfaces' ARP responder the client's own MAC: it is never answered about its own address.
    pub fn set_client_mac(&mut self, home_address: Ipv4Addr, mac: MacAddress) -> Result<(), DataPlaneError> {
        match self.bindings.home_macs.insert(home_address.octets(), Mac::new(mac.0), 0) {
            Err(error) => match DataPlaneError::full_or("clients' MACs", "maximum-bindings", name::HOME_MACS, error) {
                // All that is lost is the exception from answering for it.
                DataPlaneError::TableFull { .. } => Ok(()),
                error => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    fn tunnel_key(&self, home_address: Ipv4Addr, exit: TunnelExit) -> TunnelKey {
        match &self.settings.visit {
            Some(visit) if visit.care_of_address == exit.remote() => {
                TunnelKey::Direct { home_agent: exit.home_agent, home_address }
            }
            _ => TunnelKey::Between { local: exit.home_agent, remote: exit.remote(), mode: exit.mode },
        }
    }

    /// Whether an address is of a home subnet.
    pub(super) fn is_home_address(&self, address: Ipv4Addr) -> bool {
        self.bindings.table.serves(address)
    }

    /// The subnets that are routed as a whole.
    fn routed_subnets(&self) -> impl Iterator<Item = &HomeSubnetSettings> {
        let subnets = self.settings.home.iter().flat_map(|home| &home.subnets);
        subnets.filter(|subnet| subnet.routes == HomeRoutes::Subnet)
    }

    /// Sets the kernel's own route to an away client: into `mip-home`, or, where its care-of address is ours and it is
    /// registered with us, straight to its interface.
    pub(super) fn route_binding(&mut self, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        let Some(installed) = self.bindings.installed.get(&home_address).copied() else { return Ok(()) };
        if !self.bindings.routes.cover(home_address) {
            return self.route_exception(home_address, installed.tunnel);
        }
        let access = match self.tunnels.get(installed.tunnel).map(|state| state.key) {
            Some(TunnelKey::Direct { home_agent, home_address }) => {
                self.visitors.kernel_interface(VisitorId { home_agent, home_address })
            }
            _ => None,
        };
        let (device, mtu) = match access {
            Some(access) => (access, None),
            None => (self.devices.home_index(), Some(self.tunnels.inner_mtu(installed.tunnel).into())),
        };
        let route = DeviceRoute { destination: Ipv4Net::from(home_address), table: MAIN_TABLE, device, mtu };
        if !self.bindings.routes.is_there(&route) {
            self.netlink.set_route(route)?;
        }
        Ok(())
    }

    /// Gives a client of a subnet that is routed as a whole a route of its own, if its tunnel takes less than that route
    /// says, so that its senders are told.
    fn route_exception(&mut self, home_address: Ipv4Addr, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        self.lower_subnet_routes(tunnel)?;
        let mtu = self.tunnels.inner_mtu(tunnel);
        let destination = Ipv4Net::from(home_address);
        if mtu < self.bindings.subnet_mtu {
            let device = self.devices.home_index();
            self.netlink.set_route(DeviceRoute { destination, table: MAIN_TABLE, device, mtu: Some(mtu.into()) })?;
            self.bindings.exceptions.insert(home_address);
        } else if self.bindings.exceptions.remove(&home_address) {
            absent_is_fine(self.netlink.delete_route(destination, MAIN_TABLE))?;
        }
        Ok(())
    }

    /// Rewrites the routes of all bindings that use a tunnel, whose MTU has changed.
    pub(super) fn reroute_bindings(&mut self, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        let mut addresses = self.bindings.routes.of(tunnel);
        if self.routed_subnets().next().is_some() {
            // Few tunnels ever are narrower than the rest: their clients are looked for then.
            let there = self.bindings.installed.iter().filter(|(_, installed)| installed.tunnel == tunnel);
            addresses
                .extend(there.map(|(address, _)| *address).filter(|address| !self.bindings.routes.cover(*address)));
        }
        addresses.into_iter().try_for_each(|address| self.route_binding(address))
    }

    /// Routes for whole subnets, where the home network has no link.
    pub(super) fn route_home_subnets(&mut self) -> Result<(), DataPlaneError> {
        for HomeSubnetSettings { prefix, interface, .. } in self.routed_subnets().cloned().collect::<Vec<_>>() {
            if self.netlink.connected(prefix)?.is_some() {
                return Err(DataPlaneError::SubnetRouteOnLink { prefix, interface });
            }
        }
        self.write_subnet_routes(DEFAULT_INNER_MTU)
    }

    fn write_subnet_routes(&mut self, mtu: u16) -> Result<(), DataPlaneError> {
        let prefixes: Vec<_> = self.routed_subnets().map(|subnet| subnet.prefix).collect();
        let device = self.devices.home_index();
        for destination in prefixes {
            self.netlink.set_route(DeviceRoute { destination, table: MAIN_TABLE, device, mtu: Some(mtu.into()) })?;
        }
        self.bindings.subnet_mtu = mtu;
        Ok(())
    }

    /// Brings the routes of whole subnets in step with the tunnels: the smallest MTU that the tunnels have by nature. What
    /// routers have told of single paths is for the routes of single clients.
    pub(super) fn adapt_subnet_routes(&mut self) -> Result<(), DataPlaneError> {
        let former = self.bindings.subnet_mtu;
        let mtu = self.tunnels.smallest_native_mtu().unwrap_or(DEFAULT_INNER_MTU);
        if mtu == former || self.routed_subnets().next().is_none() {
            return Ok(());
        }
        self.write_subnet_routes(mtu)?;
        let between = former.min(mtu)..former.max(mtu);
        for tunnel in self.tunnels.with_inner_mtu(|mtu| between.contains(&mtu)) {
            self.reroute_bindings(tunnel)?;
        }
        Ok(())
    }

    /// The same, for a tunnel that is new.
    fn lower_subnet_routes(&mut self, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        let native = self.tunnels.get(tunnel).map(|state| state.native_mtu);
        if native.is_some_and(|native| native < self.bindings.subnet_mtu) { self.adapt_subnet_routes() } else { Ok(()) }
    }

    /// Takes over the bindings that an earlier agent left in the maps.
    pub(super) fn adopt_bindings(&mut self, left_over: Vec<(Ipv4Addr, TunnelId)>) -> Result<(), DataPlaneError> {
        for (home_address, tunnel) in left_over {
            let Some(key) = self.tunnels.get(tunnel).map(|state| state.key) else {
                self.bindings.table.remove(home_address)?;
                continue;
            };
            let tunnel = self.tunnels.acquire(key)?;
            self.tunnels.adopt_parts(tunnel);
            self.bindings.lead(home_address, Some(Installed { tunnel, claimed: false }));
        }
        if !self.bindings.installed.is_empty() {
            let routes = self.netlink.own_routes()?;
            self.bindings.routes.found(routes);
        }
        Ok(())
    }

    /// Removes bindings that were adopted but not installed again, and routes that belong to none.
    pub(super) fn remove_unclaimed_bindings(&mut self) -> Result<usize, DataPlaneError> {
        let unclaimed: Vec<_> = self
            .bindings
            .installed
            .iter()
            .filter(|(_, installed)| !installed.claimed)
            .map(|(address, _)| *address)
            .collect();
        for home_address in &unclaimed {
            self.remove_binding(*home_address)?;
        }
        self.bindings.routes.forget_found();
        let bound = self.bindings.installed.keys().copied();
        let bound = bound
            .filter(|address| self.bindings.routes.cover(*address) || self.bindings.exceptions.contains(address))
            .map(Ipv4Net::from);
        let wanted: HashSet<_> = bound.chain(self.routed_subnets().map(|subnet| subnet.prefix)).collect();
        for route in self.netlink.own_routes()? {
            if route.table == MAIN_TABLE && !wanted.contains(&route.destination) {
                absent_is_fine(self.netlink.delete_route(route.destination, MAIN_TABLE))?;
            }
        }
        Ok(unclaimed.len())
    }
}
