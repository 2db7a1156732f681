//! The home agent's part: mobility bindings.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
};

use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use ipnet::Ipv4Net;
use mipd_common::{
    mac::MacAddress,
    maps::{Address, HomeSubnets, Mac},
};

use super::{
    DataPlane,
    error::DataPlaneError,
    load::{slot_of, slots_in_use},
    maps::{self, name},
    netlink::absent_is_fine,
    routes::{DeviceRoute, MAIN_TABLE},
    settings::{HomeRoutes, HomeSubnetSettings},
    tunnels::{DEFAULT_INNER_MTU, TunnelId, TunnelKey},
    visitors::VisitorId,
};

/// An away client: where its packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BindingRoute {
    /// The client's address.
    pub home_address: Ipv4Addr,
    /// Exit of the tunnel. Our own care-of address means a client on another interface of this box: no tunnel.
    pub care_of_address: Ipv4Addr,
    /// Entry of the tunnel.
    pub home_agent: Ipv4Addr,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Installed {
    route: BindingRoute,
    tunnel: TunnelId,
    /// Installed by this agent, not only found in the map.
    claimed: bool,
}

/// The bindings, in memory and in the maps.
pub(super) struct Bindings {
    slots: Array<MapData, u32>,
    home_macs: BpfHashMap<MapData, Address, Mac>,
    subnets: HomeSubnets,
    installed: HashMap<Ipv4Addr, Installed>,
}

impl Bindings {
    pub fn new(slots: Array<MapData, u32>, home_macs: BpfHashMap<MapData, Address, Mac>, subnets: HomeSubnets) -> Self {
        Self { slots, home_macs, subnets, installed: HashMap::new() }
    }

    /// The tunnel that an earlier agent left for each home address.
    pub fn left_over(&self) -> Result<Vec<(Ipv4Addr, TunnelId)>, DataPlaneError> {
        Ok(slots_in_use(&self.subnets, &self.slots)?
            .into_iter()
            .map(|(address, tunnel)| (address, TunnelId(tunnel)))
            .collect())
    }

    /// Whether the tunnel with this exit may carry packets from `home_address` to us.
    pub fn is_bound_to(&self, home_address: Ipv4Addr, care_of_address: Ipv4Addr) -> bool {
        self.installed.get(&home_address).is_some_and(|binding| binding.route.care_of_address == care_of_address)
    }

    fn set_slot(&mut self, slot: u32, tunnel: u32) -> Result<(), DataPlaneError> {
        self.slots.set(slot, tunnel, 0).map_err(DataPlaneError::map("write", name::SLOTS))
    }
}

impl DataPlane {
    /// Sends a client's packets to its care-of address from now on. Installing the same binding again is cheap and
    /// harmless; another care-of address replaces the old one without a gap.
    pub fn install_binding(&mut self, route: BindingRoute) -> Result<(), DataPlaneError> {
        if self.settings.home.is_none() {
            return Err(DataPlaneError::RoleNotConfigured("home agent"));
        }
        let slot = slot_of(&self.bindings.subnets, route.home_address)
            .ok_or(DataPlaneError::NotAHomeAddress(route.home_address))?;
        if let Some(installed) = self.bindings.installed.get_mut(&route.home_address)
            && installed.route == route
            && installed.claimed
        {
            return Ok(());
        }
        let tunnel = self.tunnels.acquire(self.tunnel_key(&route))?;
        let previous = self.bindings.installed.insert(route.home_address, Installed { route, tunnel, claimed: true });
        let result = self
            .settle()
            .and_then(|()| self.route_binding(route.home_address))
            .and_then(|()| self.bindings.set_slot(slot, tunnel.0));
        if let Err(error) = result {
            match previous {
                Some(previous) => self.bindings.installed.insert(route.home_address, previous),
                None => self.bindings.installed.remove(&route.home_address),
            };
            self.tunnels.release(tunnel)?;
            return Err(error);
        }
        match previous {
            Some(previous) => self.tunnels.release(previous.tunnel),
            None => Ok(()),
        }
    }

    /// Delivers a client's packets at home again. A binding that is not there is fine.
    pub fn remove_binding(&mut self, home_address: Ipv4Addr) -> Result<(), DataPlaneError> {
        let Some(installed) = self.bindings.installed.remove(&home_address) else { return Ok(()) };
        if let Some(slot) = slot_of(&self.bindings.subnets, home_address) {
            self.bindings.set_slot(slot, 0)?;
        }
        maps::remove(&mut self.bindings.home_macs, &home_address.octets(), name::HOME_MACS)?;
        if self.has_host_route(home_address) {
            absent_is_fine(self.netlink.delete_route(Ipv4Net::from(home_address), MAIN_TABLE))?;
        }
        self.tunnels.release(installed.tunnel)
    }

    /// Tells the home interfaces' ARP responder the client's own MAC: it is never answered about its own address.
    pub fn set_client_mac(&mut self, home_address: Ipv4Addr, mac: MacAddress) -> Result<(), DataPlaneError> {
        self.bindings
            .home_macs
            .insert(home_address.octets(), Mac::new(mac.0), 0)
            .map_err(DataPlaneError::map("write", name::HOME_MACS))
    }

    fn tunnel_key(&self, route: &BindingRoute) -> TunnelKey {
        match &self.settings.visit {
            Some(visit) if visit.care_of_address == route.care_of_address => {
                TunnelKey::Direct { home_address: route.home_address }
            }
            _ => TunnelKey::IpInIp { local: route.home_agent, remote: route.care_of_address },
        }
    }

    fn has_host_route(&self, home_address: Ipv4Addr) -> bool {
        let mut subnets = self.settings.home.iter().flat_map(|home| &home.subnets);
        subnets.any(|subnet| subnet.routes == HomeRoutes::Host && subnet.prefix.contains(&home_address))
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
        if !self.has_host_route(home_address) {
            return Ok(());
        }
        let is_direct = matches!(self.tunnel_key(&installed.route), TunnelKey::Direct { .. });
        let id = VisitorId { home_agent: installed.route.home_agent, home_address };
        let access = Some(id).filter(|_| is_direct).and_then(|id| self.visitors.kernel_interface(id));
        let (device, mtu) = match access {
            Some(access) => (access, None),
            None => (self.devices.home_index(), Some(self.tunnels.inner_mtu(installed.tunnel).into())),
        };
        self.netlink.set_route(DeviceRoute {
            destination: Ipv4Net::from(home_address),
            table: MAIN_TABLE,
            device,
            mtu,
        })?;
        Ok(())
    }

    /// Rewrites the routes of all bindings that use a tunnel, whose MTU has changed.
    pub(super) fn reroute_bindings(&mut self, tunnel: TunnelId) -> Result<(), DataPlaneError> {
        let addresses: Vec<_> = self
            .bindings
            .installed
            .iter()
            .filter(|(_, installed)| installed.tunnel == tunnel)
            .map(|(address, _)| *address)
            .collect();
        addresses.into_iter().try_for_each(|address| self.route_binding(address))
    }

    /// Routes for whole subnets, where the home network has no link.
    pub(super) fn route_home_subnets(&mut self) -> Result<(), DataPlaneError> {
        let subnets: Vec<_> = self.routed_subnets().cloned().collect();
        for HomeSubnetSettings { prefix, interface, .. } in subnets {
            if self.netlink.connected(prefix)?.is_some() {
                return Err(DataPlaneError::SubnetRouteOnLink { prefix, interface });
            }
            self.netlink.set_route(DeviceRoute {
                destination: prefix,
                table: MAIN_TABLE,
                device: self.devices.home_index(),
                mtu: Some(DEFAULT_INNER_MTU.into()),
            })?;
        }
        Ok(())
    }

    /// Takes over the bindings that an earlier agent left in the maps.
    pub(super) fn adopt_bindings(&mut self, left_over: Vec<(Ipv4Addr, TunnelId)>) -> Result<(), DataPlaneError> {
        for (home_address, tunnel) in left_over {
            let key = self.tunnels.get(tunnel).map(|state| state.key);
            let own = |visit: Option<Ipv4Addr>| visit.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let care_of_address = own(self.settings.visit.as_ref().map(|visit| visit.care_of_address));
            let home_agent = own(self.settings.home.as_ref().map(|home| home.address));
            let route = match key {
                Some(TunnelKey::IpInIp { local, remote }) => {
                    BindingRoute { home_address, care_of_address: remote, home_agent: local }
                }
                Some(TunnelKey::Direct { .. }) => BindingRoute { home_address, care_of_address, home_agent },
                None => {
                    if let Some(slot) = slot_of(&self.bindings.subnets, home_address) {
                        self.bindings.set_slot(slot, 0)?;
                    }
                    continue;
                }
            };
            if let Some(key) = key {
                let tunnel = self.tunnels.acquire(key)?;
                self.bindings.installed.insert(home_address, Installed { route, tunnel, claimed: false });
            }
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
        let bound = self.bindings.installed.keys().copied().map(Ipv4Net::from);
        let wanted: HashSet<_> = bound.chain(self.routed_subnets().map(|subnet| subnet.prefix)).collect();
        for route in self.netlink.own_routes()? {
            if route.table == MAIN_TABLE && !wanted.contains(&route.destination) {
                absent_is_fine(self.netlink.delete_route(route.destination, MAIN_TABLE))?;
            }
        }
        Ok(unclaimed.len())
    }
}
