//! Home agent, foreign agent and access point as measurements need them: the real programs, their tables filled directly,
//! with as many clients as wished.

use std::net::Ipv4Addr;

use anyhow::Result;
use aya::Ebpf;
use mipd_common::{
    bench::Target,
    mac::MacAddress,
    maps::{
        AccessPoint, Interface, Mac, Router, SPARSE, Station, Visitor, VisitorKey, VisitorSource, interface_flags,
        station_state, tunnel_flags, tunnel_kind,
    },
    table,
};

use crate::cable::Port;
use crate::packets::{
    encapsulation::Encapsulation,
    maps::{Maps, ethernet},
    object,
};

/// The home agent.
pub(super) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// The client whose home address is the first one.
pub(super) const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);
/// The first address of a home network where everybody is at home.
pub(super) const FIRST_AT_HOME: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
/// The first foreign agent.
pub(super) const FIRST_CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 210, 0, 1);
/// Whom clients talk to.
pub(super) const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// A campus of so many foreign agents.
pub(super) const MOST_TUNNELS: u32 = 1_000;
/// The largest home network, a /12.
pub(super) const MOST_CLIENTS: u32 = 1 << 20;
/// Counter rows are there for four interfaces.
const ROW: u32 = 1;

/// What a box is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    HomeAgent,
    /// A home agent of a network that is too large for slots: its bindings are in a hash map.
    HashedHomeAgent,
    ForeignAgent,
    AccessPoint,
    /// None: programs that do the least of what the others do.
    Reference,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::HomeAgent, Self::HashedHomeAgent, Self::ForeignAgent, Self::AccessPoint, Self::Reference];

    pub fn label(self) -> &'static str {
        match self {
            Self::HomeAgent => "home-agent",
            Self::HashedHomeAgent => "hashed-home-agent",
            Self::ForeignAgent => "foreign-agent",
            Self::AccessPoint => "access-point",
            Self::Reference => "reference",
        }
    }
}

/// Where a program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hook {
    Xdp,
    Tc,
}

impl Hook {
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Tc];

    pub fn label(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }
}

/// How a box is connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// Where packets arrive.
    pub ingress: Port,
    /// Whether it is the one that clients or visitors are behind.
    pub from_clients: bool,
    /// Where they leave.
    pub egress: Port,
    /// The Ethernet address of the next box.
    pub next_hop: MacAddress,
}

/// What opens an object whose maps have these sizes.
type Open = fn(&[(&'static str, u32)]) -> Result<Ebpf>;

/// The address so many after another.
pub(super) fn nth(first: Ipv4Addr, index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + index)
}

/// A client's Ethernet address ends with its home address.
pub(super) fn client_mac(home_address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = home_address.octets();
    MacAddress([0x02, 0xc1, a, b, c, d])
}

/// Where a home agent looks up its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bindings {
    /// In an array, by the address.
    Slots,
    /// In a hash map, as for sparse or huge home networks.
    Hashed,
}

/// A home agent whose clients are away, spread over `tunnels` foreign agents.
pub(super) fn home_agent(open: Open, ports: &Ports, kind: Bindings, bindings: u32, tunnels: u32) -> Result<Ebpf> {
    let subnet = bindings.next_power_of_two().max(256);
    let (slots, hashed) = match kind {
        Bindings::Slots => (2 * subnet, 1),
        Bindings::Hashed => (1, bindings),
    };
    let sizes =
        [("SLOTS", slots), ("BINDINGS", hashed), ("TUNNELS", tunnels + 1), ("INTERFACES", most_interfaces(ports))];
    let mut object = open(&sizes)?;
    let mut maps = Maps(&mut object);
    fill_interfaces(&mut maps, ports)?;
    maps.router(Router::default())?;
    maps.own_addresses(&[HOME_AGENT])?;
    let mask = Ipv4Addr::from_bits(!(subnet - 1));
    let (first, second) = match kind {
        Bindings::Slots => (0, subnet),
        Bindings::Hashed => (SPARSE, SPARSE),
    };
    maps.home_subnets(&[(FIRST_CLIENT, mask, first), (FIRST_AT_HOME, mask, second)])?;
    let adjacent = (ports.next_hop, ports.egress.mac);
    for number in 0..tunnels {
        let tunnel =
            Encapsulation::IP_IN_IP.entry(HOME_AGENT, care_of_address(number, tunnels), adjacent, ports.egress.ifindex);
        maps.tunnel(number + 1, tunnel)?;
    }
    for client in 0..bindings {
        let tunnel = client % tunnels + 1;
        match kind {
            Bindings::Slots => maps.slot(client, tunnel)?,
            Bindings::Hashed => maps.insert("BINDINGS", nth(FIRST_CLIENT, client).octets(), tunnel)?,
        }
    }
    Ok(object)
}

/// Where a client is.
pub(super) fn care_of_address(client: u32, tunnels: u32) -> Ipv4Addr {
    nth(FIRST_CARE_OF_ADDRESS, client % tunnels)
}

/// A foreign agent whose visitors all have the same home agent, and a reverse tunnel.
pub(super) fn foreign_agent(open: Open, ports: &Ports, visitors: u32) -> Result<Ebpf> {
    let length = table::length(visitors);
    let sizes = [("VISITORS", length), ("VISITOR_MACS", length), ("INTERFACES", most_interfaces(ports))];
    let mut object = open(&sizes)?;
    let mut maps = Maps(&mut object);
    fill_interfaces(&mut maps, ports)?;
    maps.router(Router::default())?;
    maps.own_addresses(&[FIRST_CARE_OF_ADDRESS])?;
    let adjacent = (ports.next_hop, ports.egress.mac);
    maps.tunnel(1, Encapsulation::IP_IN_IP.entry(FIRST_CARE_OF_ADDRESS, HOME_AGENT, adjacent, ports.egress.ifindex))?;
    let mut table = maps.visitors()?;
    for number in 0..visitors {
        let home_address = nth(FIRST_CLIENT, number);
        let visitor = Visitor {
            ethernet: ethernet(client_mac(home_address), ports.egress.mac),
            flags: tunnel_flags::XDP_TARGET,
            kind: tunnel_kind::IP_IN_IP,
            ifindex: ports.egress.ifindex,
            care_of_address: FIRST_CARE_OF_ADDRESS.octets(),
            ..Visitor::default()
        };
        let key = VisitorKey { home_agent: HOME_AGENT.octets(), home_address: home_address.octets() };
        table.insert(key, visitor)?;
    }
    let mut table = maps.visitor_macs()?;
    for number in 0..visitors {
        let home_address = nth(FIRST_CLIENT, number);
        let source = VisitorSource { home_address: home_address.octets(), tunnel: 1, ..VisitorSource::default() };
        table.insert(Mac::new(client_mac(home_address).0), source)?;
    }
    Ok(object)
}

/// An access point with visitors.
pub(super) fn access_point(open: Open, ports: &Ports, visitors: u32) -> Result<Ebpf> {
    let mut object = open(&[("STATIONS", table::length(visitors)), ("INTERFACES", most_interfaces(ports))])?;
    let mut maps = Maps(&mut object);
    fill_interfaces(&mut maps, ports)?;
    maps.access_point(AccessPoint { uplink_ifindex: ports.egress.ifindex, ..AccessPoint::default() })?;
    let mut table = maps.stations()?;
    for number in 0..visitors {
        let home_address = nth(FIRST_CLIENT, number);
        let station = Station {
            home_address: home_address.octets(),
            agent_mac: ports.next_hop.0,
            state: station_state::FORWARD,
            flags: tunnel_flags::XDP_TARGET,
            uplink_ifindex: ports.egress.ifindex,
            radio_ifindex: ports.ingress.ifindex,
            ..Station::default()
        };
        table.insert(Mac::new(client_mac(home_address).0), station)?;
    }
    Ok(object)
}

/// The tables of the programs that do the least.
pub(super) fn reference(ports: &Ports, bindings: u32, tunnels: u32) -> Result<Ebpf> {
    let sizes = [("LEAST_SLOTS", bindings), ("LEAST_TUNNELS", tunnels + 1), ("LEAST_STATIONS", bindings)];
    let mut object = object::open_bench(&sizes)?;
    let mut maps = Maps(&mut object);
    let adjacent = (ports.next_hop, ports.egress.mac);
    for number in 0..tunnels {
        let tunnel =
            Encapsulation::IP_IN_IP.entry(HOME_AGENT, care_of_address(number, tunnels), adjacent, ports.egress.ifindex);
        maps.set("LEAST_TUNNELS", number + 1, tunnel)?;
    }
    let target = Target {
        ethernet: ethernet(ports.next_hop, ports.egress.mac),
        ifindex: ports.egress.ifindex,
        ..Target::default()
    };
    for client in 0..bindings {
        let (home_address, tunnel) = (nth(FIRST_CLIENT, client), client % tunnels + 1);
        maps.set("LEAST_SLOTS", client, tunnel)?;
        maps.insert("LEAST_STATIONS", Mac::new(client_mac(home_address).0), target)?;
    }
    Ok(object)
}

/// Describes both interfaces of a box.
pub(super) fn fill_interfaces(maps: &mut Maps<'_>, ports: &Ports) -> Result<()> {
    for (port, access) in [(ports.ingress, ports.from_clients), (ports.egress, !ports.from_clients)] {
        let access = if access { interface_flags::ACCESS } else { 0 };
        let flags = interface_flags::FAST | interface_flags::XDP_TARGET | access;
        maps.interface(port.ifindex, Interface { mac: port.mac.0, flags, row: ROW, mtu: 1500 })?;
    }
    Ok(())
}

fn most_interfaces(ports: &Ports) -> u32 {
    ports.ingress.ifindex.max(ports.egress.ifindex) + 1
}
