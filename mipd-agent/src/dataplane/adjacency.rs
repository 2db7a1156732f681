//! Keeps every tunnel's next hop ready, so that no packet needs a route or neighbour look-up.
//!
//! Route, neighbour and link events mark tunnels; [`DataPlane::settle`] looks the marked ones up again, one at a time.

use mipd_common::mac::MacAddress;

use super::{
    DataPlane,
    error::DataPlaneError,
    routes::{DeviceRoute, NextHop},
    tunnels::{Adjacency, DEFAULT_INNER_MTU, TunnelId, TunnelKey},
    visitors::VisitorId,
};

impl DataPlane {
    /// Looks up the next hop of every marked tunnel.
    pub(super) fn settle(&mut self) -> Result<(), DataPlaneError> {
        while let Some(id) = self.tunnels.next_stale() {
            self.refresh_tunnel(id)?;
        }
        Ok(())
    }

    fn refresh_tunnel(&mut self, id: TunnelId) -> Result<(), DataPlaneError> {
        let Some(key) = self.tunnels.get(id).map(|state| state.key) else { return Ok(()) };
        let (next_hop, adjacency) = match key {
            TunnelKey::Copies { .. } => {
                if self.tunnels.limit_copies(id)? {
                    self.reroute_bindings(id)?;
                }
                return Ok(());
            }
            TunnelKey::Between { local, remote, .. } => match self.netlink.next_hop(remote, local)? {
                Some(hop) => (Some(hop), self.resolve(hop)?),
                None => (None, Adjacency::default()),
            },
            TunnelKey::Direct { home_agent, home_address } => {
                let visitor = self.visitors.get(VisitorId { home_agent, home_address });
                let visitor = visitor.map(|visitor| (visitor.mac, visitor.interface));
                (None, visitor.map_or_else(Adjacency::default, |(mac, device)| self.adjacency(device, Some(mac))))
            }
        };
        if self.tunnels.set_adjacency(id, next_hop, adjacency)? {
            self.reroute_bindings(id)?;
            for copies in self.tunnels.copying_into(id) {
                self.refresh_tunnel(copies)?;
            }
            self.set_reverse_route()?;
        }
        Ok(())
    }

    /// The adjacency of a next hop. One that is not resolved yet is being resolved: an event will tell.
    fn resolve(&mut self, hop: NextHop) -> Result<Adjacency, DataPlaneError> {
        let mac = self.netlink.neighbour(hop.device, hop.address)?;
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

    /// Sets the route that reverse-tunnelled packets of the slow path take, with the smallest MTU of all reverse tunnels.
    pub(super) fn set_reverse_route(&mut self) -> Result<(), DataPlaneError> {
        let Some(visit) = self.settings.visit.as_ref() else { return Ok(()) };
        let local = visit.care_of_address;
        let mtu = self
            .tunnels
            .iter()
            .filter(|(_, state)| matches!(state.key, TunnelKey::Between { local: entry, .. } if entry == local))
            .map(|(_, state)| state.entry.inner_mtu)
            .min()
            .unwrap_or(DEFAULT_INNER_MTU);
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
