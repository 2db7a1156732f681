//! Which bindings have a route each in the kernel, and what it is.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;

use super::{
    routes::{DeviceRoute, MAIN_TABLE},
    settings::{HomeRoutes, HomeSubnetSettings},
    tunnels::TunnelId,
};

/// The host routes of bindings.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    /// The subnets whose away clients have one each; disjoint, ascending.
    subnets: Vec<Ipv4Net>,
    /// Whose routes depend on each tunnel: there may be thousands of tunnels, and a million routes.
    by_tunnel: BTreeSet<(TunnelId, Ipv4Addr)>,
    /// Those that an earlier agent left and nobody has looked at yet. Adding one costs 17 µs, and there may be a million.
    left_over: HashMap<Ipv4Addr, DeviceRoute>,
}

impl HostRoutes {
    pub fn new<'a>(subnets: impl IntoIterator<Item = &'a HomeSubnetSettings>) -> Self {
        let routed = subnets.into_iter().filter(|subnet| subnet.routes == HomeRoutes::Host);
        let mut subnets: Vec<_> = routed.map(|subnet| subnet.prefix).collect();
        subnets.sort_unstable();
        Self { subnets, ..Self::default() }
    }

    /// Whether a client of this address has a route of its own while it is away.
    pub fn cover(&self, address: Ipv4Addr) -> bool {
        let after = self.subnets.partition_point(|subnet| subnet.network() <= address);
        after.checked_sub(1).is_some_and(|index| self.subnets[index].contains(&address))
    }

    /// A client's binding leads to another tunnel now; `None` = none, before or now.
    pub fn rebind(&mut self, address: Ipv4Addr, from: Option<TunnelId>, to: Option<TunnelId>) {
        if from == to || !self.cover(address) {
            return;
        }
        if let Some(from) = from {
            self.by_tunnel.remove(&(from, address));
        }
        if let Some(to) = to {
            self.by_tunnel.insert((to, address));
        }
    }

    /// The clients whose routes depend on a tunnel.
    pub fn of(&self, tunnel: TunnelId) -> Vec<Ipv4Addr> {
        let range = (tunnel, Ipv4Addr::UNSPECIFIED)..=(tunnel, Ipv4Addr::BROADCAST);
        self.by_tunnel.range(range).map(|(_, address)| *address).collect()
    }

    /// Takes note of what is in the kernel.
    pub fn found(&mut self, routes: impl IntoIterator<Item = DeviceRoute>) {
        let routes =
            routes.into_iter().filter(|route| route.table == MAIN_TABLE && route.destination.prefix_len() == 32);
        self.left_over = routes.map(|route| (route.destination.addr(), route)).collect();
    }

    /// Whether this route is in the kernel already. What is there for the client is not known any more afterwards.
    pub fn is_there(&mut self, route: &DeviceRoute) -> bool {
        self.left_over.remove(&route.destination.addr()).is_some_and(|there| there == *route)
    }

    /// Knows nothing of the kernel any more.
    pub fn forget_found(&mut self) {
        self.left_over = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;

    use super::HostRoutes;
    use crate::dataplane::{
        routes::{DeviceRoute, MAIN_TABLE},
        settings::{HomeRoutes, HomeSubnetSettings},
        tunnels::TunnelId,
    };

    fn routes() -> HostRoutes {
        let subnet = |prefix: &str, routes| HomeSubnetSettings {
            prefix: prefix.parse().unwrap(),
            interface: "lan0".to_owned(),
            routes,
        };
        HostRoutes::new(&[
            subnet("10.9.0.0/16", HomeRoutes::Host),
            subnet("10.2.0.0/16", HomeRoutes::Subnet),
            subnet("10.1.0.0/24", HomeRoutes::Host),
        ])
    }

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn only_clients_of_subnets_that_want_them_have_routes() {
        let routes = routes();
        let covered = ["10.1.0.0", "10.1.0.255", "10.9.0.0", "10.9.255.255"];
        assert!(covered.iter().all(|text| routes.cover(address(text))));
        let others = ["0.0.0.0", "10.0.0.1", "10.1.1.0", "10.2.0.1", "10.8.0.1", "10.10.0.0", "255.255.255.255"];
        assert!(others.iter().all(|text| !routes.cover(address(text))));
    }

    #[test]
    fn a_tunnels_routes_are_those_of_its_clients_now() {
        let mut routes = routes();
        let (one, other) = (TunnelId(1), TunnelId(2));
        let (first, second) = (address("10.1.0.5"), address("10.9.0.5"));
        routes.rebind(first, None, Some(one));
        routes.rebind(second, None, Some(one));
        routes.rebind(address("10.2.0.5"), None, Some(one));
        assert_eq!(routes.of(one), [first, second]);
        routes.rebind(first, Some(one), Some(other));
        routes.rebind(second, Some(one), None);
        assert_eq!((routes.of(one), routes.of(other)), (vec![], vec![first]));
    }

    #[test]
    fn a_route_that_is_there_as_it_must_be_is_recognised_once() {
        let mut routes = routes();
        let of = |last, mtu| {
            let destination = Ipv4Net::from(Ipv4Addr::new(10, 1, 0, last));
            DeviceRoute { destination, table: MAIN_TABLE, device: 7, mtu }
        };
        routes.found([of(5, Some(1480)), of(6, Some(1480)), of(7, None)]);
        assert!(routes.is_there(&of(5, Some(1480))));
        assert!(!routes.is_there(&of(5, Some(1480))), "whatever has become of it since");
        assert!(!routes.is_there(&of(6, Some(1400))));
        assert!(!routes.is_there(&of(8, None)));
        routes.forget_found();
        assert!(!routes.is_there(&of(7, None)));
    }
}
