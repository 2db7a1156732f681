//! Keeps every tunnel's next hop ready, so that no packet needs a route or neighbour look-up.
//!
//! Route, neighbour and link events mark tunnels; [`DataPlane::settle`] looks the marked ones up again. There may be
//! thousands, and a million bindings in them: each look-up costs no more than it would alone, what is the same for many is
//! looked up once, and signalling gets its turn in between.

use std::{collections::HashMap, net::Ipv4Addr};

use mipd_common::mac::MacAddress;

use super::{
    DataPlane,
    error::DataPlaneError,
    routes::{DeviceRoute, NextHop},
    tunnels::{Adjacency, DEFAULT_INNER_MTU, TunnelId, TunnelKey},
    visitors::VisitorId,
};

/// Tunnels that are looked up in one go: a few milliseconds.
const TURN: usize = 256;

/// Neighbours that were looked up a moment ago.
type Resolved = HashMap<(u32, Ipv4Addr), Option<MacAddress>>;

/// Smallest MTU of the route into the reverse tunnels: what the kernel believes at least of a path
/// (`net.ipv4.route.min_pmtu`). What is larger than a tunnel's MTU then is fragmented on its way.
const SMALLEST_REVERSE_MTU: u16 = 552;

impl DataPlane {
    /// Looks up the next hop of every marked tunnel.
    pub(super) fn settle(&mut self) -> Result<(), DataPlaneError> {
        while self.settle_some()? {}
        Ok(())
    }

    /// Looks up the next hops of some marked tunnels. Returns whether there are more.
    pub(super) fn settle_some(&mut self) -> Result<bool, DataPlaneError> {
        let mut resolved = Resolved::new();
        let mut limits_changed = false;
        for _ in 0..TURN {
            let Some(id) = self.tunnels.next_stale() else { break };
            limits_changed |= self.refresh_tunnel(id, &mut resolved)?;
        }
        if limits_changed {
            self.adapt_shared_routes()?;
        }
        Ok(self.tunnels.has_stale())
    }

    /// Looks up the next hop of one tunnel, or of those that it copies into, if they are marked.
    pub(super) fn settle_tunnel(&mut self, id: TunnelId) -> Result<(), DataPlaneError> {
        let parts = self.tunnels.get(id).map(|state| state.parts.clone()).unwrap_or_default();
        let mut limits_changed = false;
        for id in parts.into_iter().chain([id]) {
            if self.tunnels.take_stale(id) {
                limits_changed |= self.refresh_tunnel(id, &mut Resolved::new())?;
            }
        }
        if limits_changed { self.adapt_shared_routes() } else { Ok(()) }
    }

    /// Brings the routes that lead into many tunnels in step with them.
    fn adapt_shared_routes(&mut self) -> Result<(), DataPlaneError> {
        self.set_reverse_route()?;
        self.adapt_subnet_routes()
    }

    /// Returns whether the tunnel takes smaller or larger packets now.
    fn refresh_tunnel(&mut self, id: TunnelId, resolved: &mut Resolved) -> Result<bool, DataPlaneError> {
        let Some(key) = self.tunnels.get(id).map(|state| state.key) else { return Ok(false) };
        let (next_hop, adjacency) = match key {
            TunnelKey::Copies { .. } => {
                if self.tunnels.limit_copies(id)? {
                    self.reroute_bindings(id)?;
                }
                return Ok(false);
            }
            TunnelKey::Between { local, remote, .. } => match self.netlink.next_hop(remote, local)? {
                Some(hop) => (Some(hop), self.resolve(hop, resolved)?),
                None => (None, Adjacency::default()),
            },
            TunnelKey::Direct { home_agent, home_address } => {
                let visitor = self.visitors.get(VisitorId { home_agent, home_address });
                let visitor = visitor.map(|visitor| (visitor.mac, visitor.interface));
                (None, visitor.map_or_else(Adjacency::default, |(mac, device)| self.adjacency(device, Some(mac))))
            }
        };
        let learned = key.path().and_then(|path| self.path_mtus.get(&path)).map(|learned| learned.mtu);
        let limit_changed = self.tunnels.set_adjacency(id, next_hop, adjacency, learned)?;
        if limit_changed {
            self.reroute_bindings(id)?;
            for copies in self.tunnels.copying_into(id) {
                self.refresh_tunnel(copies, resolved)?;
            }
            self.limit_visitors(id)?;
        }
        Ok(limit_changed)
    }

    /// The adjacency of a next hop. One that is not resolved yet is being resolved: an event will tell.
    fn resolve(&mut self, hop: NextHop, resolved: &mut Resolved) -> Result<Adjacency, DataPlaneError> {
        if let Some(mac) = resolved.get(&(hop.device, hop.address)) {
            return Ok(self.adjacency(hop.device, *mac));
        }
        let mac = self.netlink.neighbour(hop.device, hop.address)?;
        resolved.insert((hop.device, hop.address), mac);
        if mac.is_none()
            && let Err(error) = self.netlink.use_neighbour(hop.device, hop.address)
        {
            tracing::debug!(%error, "next hop cannot be resolved now");
        }
        Ok(self.adjacency(hop.device, mac))
    }

    fn adjacency(&self, device: u32, destination: Option<MacAddress>) -> Adjacency {
        let Some(link) = self.interfaces.link(device) else { return Adjacency::default() };
        let has_ethernet = link.mac != MacAddress::default();
        Adjacency {
            macs: destination.filter(|_| has_ethernet && link.up).map(|destination| (destination, link.mac)),
            device,
            device_mtu: link.mtu,
            xdp_target: self.interfaces.is_xdp_target(device),
        }
    }

    /// Has the kernel confirm the neighbours of all next hops, so that a dead one is noticed and none is forgotten.
    pub(super) fn confirm_next_hops(&mut self) {
        let mut hops: Vec<_> =
            self.tunnels.iter().filter_map(|(_, state)| state.next_hop).map(|hop| (hop.device, hop.address)).collect();
        hops.sort_unstable();
        hops.dedup();
        for (device, address) in hops {
            if let Err(error) = self.netlink.use_neighbour(device, address) {
                tracing::debug!(%error, "next hop cannot be confirmed now");
            }
        }
    }

    /// Sets the route that reverse-tunnelled packets of the slow path take, with the smallest MTU of all reverse tunnels, so
    /// that packets are fragmented before they go into any. (Who forbids that is told its own tunnel's MTU by the programs.)
    /// A router that claims to have an absurdly small one does not make crumbs of everybody's packets.
    pub(super) fn set_reverse_route(&mut self) -> Result<(), DataPlaneError> {
        let Some(visit) = self.settings.visit.as_ref() else { return Ok(()) };
        let local = visit.care_of_address;
        let mtu = self
            .tunnels
            .iter()
            .filter(|(_, state)| matches!(state.key, TunnelKey::Between { local: entry, .. } if entry == local))
            .map(|(_, state)| state.entry.inner_mtu)
            .min()
            .unwrap_or(DEFAULT_INNER_MTU)
            .max(SMALLEST_REVERSE_MTU);
        if self.reverse_mtu == Some(mtu) {
            return Ok(());
        }
        self.netlink.set_route(DeviceRoute {
            destination: ipnet::Ipv4Net::default(),
            table: visit.reverse_table(),
            device: self.devices.visit_index(),
            mtu: Some(mtu.into()),
        })?;
        self.reverse_mtu = Some(mtu);
        Ok(())
    }
}
