//! Routes, rules, neighbours and bridge forwarding entries.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
        RouteType,
    },
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use super::{
    netlink::{Existing, Netlink, NetlinkError, PROTOCOL},
    settings::Mark,
};

/// The kernel's main routing table.
pub(super) const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// A route by way of a device, without gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DeviceRoute {
    pub destination: Ipv4Net,
    pub table: u32,
    pub device: u32,
    /// Path MTU of the route; `None` = the device's.
    pub mtu: Option<u32>,
}

/// What a rule matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Selector {
    IncomingInterface(String),
    Mark(Mark),
}

/// A rule that leads to a table. Its priority is the table's number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub selector: Selector,
    pub table: u32,
}

/// The first hop towards an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NextHop {
    pub device: u32,
    /// The neighbour to send to: the gateway, or the destination itself.
    pub address: Ipv4Addr,
    /// MTU of the route, where one smaller than the device's is set. Not what the kernel has learned for itself: when it
    /// forgets that, it tells nobody.
    pub mtu: Option<u32>,
}

impl Netlink {
    /// Adds or replaces a route.
    pub fn set_route(&mut self, route: DeviceRoute) -> Result<(), NetlinkError> {
        self.change(
            || format!("add route {} in table {}", route.destination, route.table),
            RouteNetlinkMessage::NewRoute(route_message(route)),
            Existing::Replace.flags(),
        )
    }

    /// Removes a route of ours, whatever its device.
    pub fn delete_route(&mut self, destination: Ipv4Net, table: u32) -> Result<(), NetlinkError> {
        let mut message = route_message(DeviceRoute { destination, table, device: 0, mtu: None });
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Oif(_)));
        message.header.scope = RouteScope::NoWhere;
        self.change(
            || format!("delete route {destination} from table {table}"),
            RouteNetlinkMessage::DelRoute(message),
            0,
        )
    }

    /// All routes that carry our protocol number: destination, table, device.
    pub fn own_routes(&mut self) -> Result<Vec<DeviceRoute>, NetlinkError> {
        let mut routes = Vec::new();
        self.each_route(PROTOCOL, |route| routes.push(route))?;
        Ok(routes)
    }

    /// The device of a connected route for exactly this prefix in the main table.
    pub fn connected(&mut self, prefix: Ipv4Net) -> Result<Option<u32>, NetlinkError> {
        let mut device = None;
        self.each_route(RouteProtocol::Kernel, |route| {
            if route.destination == prefix && route.table == MAIN_TABLE {
                device = Some(route.device);
            }
        })?;
        Ok(device)
    }

    /// The devices of all unicast routes in the main table that have a gateway, each once.
    pub fn gateway_devices(&mut self) -> Result<Vec<u32>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let mut devices = Vec::new();
        self.dump("list routes", RouteNetlinkMessage::GetRoute(message), |message| {
            let RouteNetlinkMessage::NewRoute(message) = message else { return };
            let gateway = message.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Gateway(_)));
            let route = read_route(&message);
            if gateway && route.table == MAIN_TABLE && route.device != 0 && !devices.contains(&route.device) {
                devices.push(route.device);
            }
        })?;
        Ok(devices)
    }

    fn each_route(&mut self, protocol: RouteProtocol, mut each: impl FnMut(DeviceRoute)) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.protocol = protocol;
        self.dump("list routes", RouteNetlinkMessage::GetRoute(message), |message| {
            let RouteNetlinkMessage::NewRoute(message) = message else { return };
            if message.header.protocol == protocol && message.header.kind == RouteType::Unicast {
                each(read_route(&message));
            }
        })
    }

    /// Asks the kernel how it would send to `destination` from `source`. `None`: not at all, or to itself.
    pub fn next_hop(&mut self, destination: Ipv4Addr, source: Ipv4Addr) -> Result<Option<NextHop>, NetlinkError> {
        let Some(answer) = self.route_to(destination, source, RouteFlags::empty())? else { return Ok(None) };
        let mut hop = NextHop { device: 0, address: destination, mtu: mtu_of(&answer.attributes) };
        let mut learned = false;
        for attribute in &answer.attributes {
            match attribute {
                RouteAttribute::Oif(device) => hop.device = *device,
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => hop.address = *gateway,
                RouteAttribute::CacheInfo(cache) => learned = cache.expires != 0,
                _ => {}
            }
        }
        if learned && hop.mtu.is_some() {
            let route = self.route_to(destination, source, RouteFlags::FibMatch)?;
            hop.mtu = route.and_then(|route| mtu_of(&route.attributes));
        }
        Ok((hop.device != 0).then_some(hop))
    }

    /// The route that the kernel would take; with `FibMatch`, as it is in the table.
    fn route_to(
        &mut self,
        destination: Ipv4Addr,
        source: Ipv4Addr,
        flags: RouteFlags,
    ) -> Result<Option<RouteMessage>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 32;
        message.header.source_prefix_length = 32;
        message.header.flags = flags;
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(destination)),
            RouteAttribute::Source(RouteAddress::Inet(source)),
        ];
        match self.get(|| format!("look up the route to {destination}"), RouteNetlinkMessage::GetRoute(message)) {
            Ok(RouteNetlinkMessage::NewRoute(route)) if route.header.kind == RouteType::Unicast => Ok(Some(route)),
            Ok(_) => Ok(None),
            Err(error) if error.is_absent() || error.errno() == Some(libc::EINVAL) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a rule; one that exists already is left.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        match self.change(
            || format!("add the rule for table {}", rule.table),
            RouteNetlinkMessage::NewRule(rule_message(rule)),
            Existing::Refuse.flags(),
        ) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes all rules that carry our protocol number, except those to keep.
    pub fn delete_own_rules(&mut self, keep: &[Rule]) -> Result<(), NetlinkError> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut rules = Vec::new();
        self.dump("list rules", RouteNetlinkMessage::GetRule(message), |message| {
            if let RouteNetlinkMessage::NewRule(rule) = message
                && rule.attributes.contains(&RuleAttribute::Protocol(PROTOCOL))
                && !keep.iter().any(|keep| is_rule(&rule, keep))
            {
                rules.push(rule);
            }
        })?;
        for rule in rules {
            super::netlink::absent_is_fine(self.change(
                || "delete a rule".to_owned(),
                RouteNetlinkMessage::DelRule(rule),
                0,
            ))?;
        }
        Ok(())
    }

    /// Makes a permanent neighbour entry.
    pub fn set_neighbour(&mut self, device: u32, address: Ipv4Addr, mac: MacAddress) -> Result<(), NetlinkError> {
        let mut message = neighbour_message(device, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        message.attributes.push(NeighbourAttribute::Protocol(PROTOCOL));
        self.change(
            || format!("add neighbour {address} at {mac}"),
            RouteNetlinkMessage::NewNeighbour(message),
            Existing::Replace.flags(),
        )
    }

    /// Removes a neighbour entry.
    pub fn delete_neighbour(&mut self, device: u32, address: Ipv4Addr) -> Result<(), NetlinkError> {
        self.change(
            || format!("delete neighbour {address}"),
            RouteNetlinkMessage::DelNeighbour(neighbour_message(device, address)),
            0,
        )
    }

    /// Has the kernel resolve a neighbour, or confirm it if it is stale.
    pub fn use_neighbour(&mut self, device: u32, address: Ipv4Addr) -> Result<(), NetlinkError> {
        let mut message = neighbour_message(device, address);
        message.header.flags = NeighbourFlags::Use;
        self.change(|| format!("resolve neighbour {address}"), RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    /// The MAC of a neighbour, if it is resolved.
    pub fn neighbour(&mut self, device: u32, address: Ipv4Addr) -> Result<Option<MacAddress>, NetlinkError> {
        let message = RouteNetlinkMessage::GetNeighbour(neighbour_message(device, address));
        match self.get(|| format!("look up neighbour {address}"), message) {
            Ok(RouteNetlinkMessage::NewNeighbour(neighbour)) => Ok(read_neighbour(&neighbour).and_then(|n| n.mac)),
            Ok(_) => Ok(None),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Neighbours that carry our protocol number.
    pub fn own_neighbours(&mut self) -> Result<Vec<(u32, Ipv4Addr)>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut neighbours = Vec::new();
        self.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(message), |message| {
            if let RouteNetlinkMessage::NewNeighbour(message) = message
                && message.attributes.contains(&NeighbourAttribute::Protocol(PROTOCOL))
                && let Some(neighbour) = read_neighbour(&message)
            {
                neighbours.push((neighbour.device, neighbour.address));
            }
        })?;
        Ok(neighbours)
    }

    /// Tells the bridge behind which port a MAC is. Bridge learning misses what TC redirects.
    pub fn set_forwarding(&mut self, port: u32, mac: MacAddress) -> Result<(), NetlinkError> {
        let mut message = forwarding_message(port, mac);
        message.header.flags = NeighbourFlags::Controller | NeighbourFlags::ExtLearned;
        message.header.state = NeighbourState::Reachable;
        self.change(
            || format!("add bridge forwarding entry {mac} on port {port}"),
            RouteNetlinkMessage::NewNeighbour(message),
            Existing::Replace.flags(),
        )
    }

    /// Removes a bridge forwarding entry.
    pub fn delete_forwarding(&mut self, port: u32, mac: MacAddress) -> Result<(), NetlinkError> {
        let mut message = forwarding_message(port, mac);
        message.header.flags = NeighbourFlags::Controller;
        self.change(
            || format!("delete bridge forwarding entry {mac} from port {port}"),
            RouteNetlinkMessage::DelNeighbour(message),
            0,
        )
    }

    /// Bridge forwarding entries that some program (not learning) put on a port.
    pub fn external_forwarding(&mut self, port: u32) -> Result<Vec<MacAddress>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        let mut macs = Vec::new();
        self.dump("list bridge forwarding entries", RouteNetlinkMessage::GetNeighbour(message), |message| {
            let RouteNetlinkMessage::NewNeighbour(message) = message else { return };
            if message.header.ifindex != port || !message.header.flags.contains(NeighbourFlags::ExtLearned) {
                return;
            }
            macs.extend(message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(mac) => <[u8; 6]>::try_from(mac.as_slice()).ok().map(MacAddress),
                _ => None,
            }));
        })?;
        Ok(macs)
    }
}

/// An IPv4 neighbour as the kernel describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Neighbour {
    pub device: u32,
    pub address: Ipv4Addr,
    /// `None` while it is not resolved.
    pub mac: Option<MacAddress>,
}

/// `None` if it is not an IPv4 neighbour.
pub(super) fn read_neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let mut neighbour = Neighbour { device: message.header.ifindex, address: Ipv4Addr::UNSPECIFIED, mac: None };
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    let resolved = !matches!(
        message.header.state,
        NeighbourState::None | NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::Noarp
    );
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => neighbour.address = *address,
            NeighbourAttribute::LinkLayerAddress(mac) if resolved => {
                neighbour.mac = <[u8; 6]>::try_from(mac.as_slice()).ok().map(MacAddress);
            }
            _ => {}
        }
    }
    (!neighbour.address.is_unspecified()).then_some(neighbour)
}

fn route_message(route: DeviceRoute) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = route.destination.prefix_len();
    message.header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.protocol = PROTOCOL;
    message.header.scope = RouteScope::Link;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Table(route.table));
    if route.destination.prefix_len() != 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(route.destination.network())));
    }
    message.attributes.push(RouteAttribute::Oif(route.device));
    if let Some(mtu) = route.mtu {
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    message
}

pub(super) fn read_route(message: &RouteMessage) -> DeviceRoute {
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let mut route = DeviceRoute {
        destination: Ipv4Net::default(),
        table: message.header.table.into(),
        device: 0,
        mtu: mtu_of(&message.attributes),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = *address,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Oif(device) => route.device = *device,
            _ => {}
        }
    }
    route.destination = Ipv4Net::new(destination, message.header.destination_prefix_length).unwrap_or_default();
    route
}

/// The path MTU among a route's metrics.
fn mtu_of(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match metric {
            RouteMetric::Mtu(mtu) => Some(*mtu),
            _ => None,
        }),
        _ => None,
    })
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.table = u8::try_from(rule.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.action = RuleAction::ToTable;
    message.attributes =
        vec![RuleAttribute::Priority(rule.table), RuleAttribute::Table(rule.table), RuleAttribute::Protocol(PROTOCOL)];
    match &rule.selector {
        Selector::IncomingInterface(name) => message.attributes.push(RuleAttribute::Iifname(name.clone())),
        Selector::Mark(mark) => {
            message.attributes.push(RuleAttribute::FwMark(mark.value));
            message.attributes.push(RuleAttribute::FwMask(mark.mask));
        }
    }
    message
}

/// Whether the kernel's description is of this rule. It may have more attributes than we set.
fn is_rule(message: &RuleMessage, rule: &Rule) -> bool {
    rule_message(rule).attributes.iter().all(|attribute| message.attributes.contains(attribute))
}

fn neighbour_message(device: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = device;
    message.attributes.push(NeighbourAttribute::Destination(IpAddr::V4(address).into()));
    message
}

fn forwarding_message(port: u32, mac: MacAddress) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    message
}
