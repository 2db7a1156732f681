//! A client away from home with no agent anywhere: two routers whose programs run on tables that a test has filled.
//!
//! ```text
//!  correspondent ── home ══ visit ── client
//!     10.9.0.10   .1  10.0.0.1  .2  10.1.0.100
//! ```
//!
//! The client's packets go back through the tunnel as well. All neighbours are known from the start.

mod router;

use std::net::Ipv4Addr;

use anyhow::Result;
use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use mipd_common::maps::{Visitor, interface_flags, tunnel_flags};

pub use self::router::{Path, Router};
use self::router::{Port, TUNNEL};
use crate::cable;
use crate::host::Host;
use crate::lab::Lab;
use crate::packets::encapsulation::Encapsulation;
use crate::packets::maps::ethernet;

/// Who packets come from and go to.
pub const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);
/// The client's home address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
/// The home agent's end of the tunnel.
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The foreign agent's end of the tunnel.
pub const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The wire between correspondent and home agent, the one that tunnel packets cross, and the client's.
pub const WIRES: [&str; 3] = ["cn", "core", "lan"];

const CORRESPONDENT_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLIENT_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

const fn mac(last: u8) -> MacAddress {
    MacAddress([0x02, 0, 0, 0, 0xcc, last])
}

/// The correspondent's Ethernet address.
pub const CORRESPONDENT_MAC: MacAddress = mac(1);
/// The home agent's, towards the correspondent.
pub const HOME_CN: MacAddress = mac(2);
const HOME_CORE: MacAddress = mac(3);
const VISIT_CORE: MacAddress = mac(4);
/// The foreign agent's, towards the client.
pub const VISIT_LAN: MacAddress = mac(5);
/// The client's.
pub const CLIENT_MAC: MacAddress = mac(6);

/// What joins the boxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// Wires that can be captured on, with all offloads off.
    ByWires,
    /// Cables with all offloads, over which buffers of many segments travel whole.
    ByCables,
}

/// The boxes.
#[derive(Debug)]
pub struct Chain {
    /// The correspondent.
    pub correspondent: Host,
    /// The client.
    pub client: Host,
    /// The router that is home agent.
    pub home: Router,
    /// The router that is foreign agent.
    pub visit: Router,
    /// The lab; removed with it.
    pub lab: Lab,
}

impl Chain {
    /// Builds the boxes. Packets go IP-in-IP at first.
    pub fn build(label: &str, joined: Joined, path: Path) -> Result<Self> {
        let lab = Lab::new(label)?;
        let (correspondent, client) = (lab.host("correspondent")?, lab.host("client")?);
        let (home, visit) = (lab.host("home")?, lab.host("visit")?);
        for router in [&home, &visit] {
            router.forward()?;
        }
        for host in [&correspondent, &client, &home, &visit] {
            host.namespace().set_sysctl("net/ipv4/conf/all/rp_filter", "0")?;
            host.namespace().set_sysctl("net/ipv4/conf/default/rp_filter", "0")?;
        }
        let ends = [
            ((&correspondent, "eth0", CORRESPONDENT_MAC), (&home, "cn0", HOME_CN)),
            ((&home, "core0", HOME_CORE), (&visit, "core0", VISIT_CORE)),
            ((&visit, "lan0", VISIT_LAN), (&client, "eth0", CLIENT_MAC)),
        ];
        for (wire, (near, far)) in WIRES.into_iter().zip(ends) {
            match joined {
                Joined::ByCables => drop(cable::connect(near, far)?),
                Joined::ByWires => {
                    let wire = lab.wire(wire)?;
                    for (host, interface, mac) in [near, far] {
                        wire.connect(host, interface, mac.0)?;
                    }
                }
            }
        }
        home.add_address("cn0", network(CORRESPONDENT_GATEWAY))?;
        home.add_neighbour("cn0", CORRESPONDENT, CORRESPONDENT_MAC)?;
        home.add_address("core0", network(HOME_AGENT))?;
        home.add_neighbour("core0", CARE_OF, VISIT_CORE)?;
        visit.add_address("core0", network(CARE_OF))?;
        visit.add_neighbour("core0", HOME_AGENT, HOME_CORE)?;
        visit.add_neighbour("lan0", CLIENT, CLIENT_MAC)?;
        let (home, visit) = (home_agent(home, path)?, foreign_agent(visit, path)?);
        let mut chain = Self { correspondent, client, home, visit, lab };
        chain.wrap(Encapsulation::IP_IN_IP)?;
        Ok(chain)
    }

    /// Changes how packets are wrapped, at both ends of the tunnel. No translator is in between.
    pub fn wrap(&mut self, encapsulation: Encapsulation) -> Result<()> {
        let core = self.home.index("core0")?;
        let down = encapsulation.reversed().reversed().entry(HOME_AGENT, CARE_OF, (VISIT_CORE, HOME_CORE), core);
        self.home.maps().tunnel(TUNNEL, down)?;
        let (core, lan) = (self.visit.index("core0")?, self.visit.index("lan0")?);
        let ours = encapsulation.reversed();
        let up = ours.entry(CARE_OF, HOME_AGENT, (HOME_CORE, VISIT_CORE), core);
        let visitor = ours.visitor(Visitor {
            ethernet: ethernet(CLIENT_MAC, VISIT_LAN),
            flags: tunnel_flags::XDP_TARGET,
            ifindex: lan,
            care_of_address: CARE_OF.octets(),
            ..Visitor::default()
        });
        let mut maps = self.visit.maps();
        maps.tunnel(TUNNEL, up)?;
        maps.visitor(HOME_AGENT, CLIENT, visitor)
    }

    /// Gives the hosts at the ends their addresses, and their interfaces an MTU.
    pub fn address_ends(&self, mtu: u16) -> Result<()> {
        address(&self.correspondent, CORRESPONDENT, (CORRESPONDENT_GATEWAY, HOME_CN), mtu)?;
        address(&self.client, CLIENT, (CLIENT_GATEWAY, VISIT_LAN), mtu)
    }
}

fn home_agent(host: Host, path: Path) -> Result<Router> {
    let mut router = Router::new(host, "mip-home", path)?;
    router.port(&Port { name: "cn0", mac: HOME_CN, flags: 0 })?;
    router.port(&Port { name: "core0", mac: HOME_CORE, flags: 0 })?;
    router.roles(true)?;
    let mut maps = router.maps();
    maps.own_addresses(&[HOME_AGENT, CORRESPONDENT_GATEWAY])?;
    maps.home_subnets(&[(network(CLIENT).network(), network(CLIENT).netmask(), 0)])?;
    maps.slot(u32::from(CLIENT.octets()[3]), TUNNEL)?;
    router.route(Ipv4Net::from(CLIENT), "mip-home")?;
    Ok(router)
}

fn foreign_agent(host: Host, path: Path) -> Result<Router> {
    let mut router = Router::new(host, "mip-visit", path)?;
    router.port(&Port { name: "core0", mac: VISIT_CORE, flags: 0 })?;
    router.port(&Port { name: "lan0", mac: VISIT_LAN, flags: interface_flags::ACCESS })?;
    router.roles(false)?;
    let mut maps = router.maps();
    maps.own_addresses(&[CARE_OF])?;
    maps.visitor_source(CLIENT_MAC, CLIENT, TUNNEL, 0)?;
    router.route(Ipv4Net::from(CLIENT), "lan0")?;
    router.route_marked("mip-visit")?;
    Ok(router)
}

/// Gives a host its address and a gateway whose Ethernet address it knows.
fn address(host: &Host, address: Ipv4Addr, gateway: (Ipv4Addr, MacAddress), mtu: u16) -> Result<()> {
    host.add_address("eth0", network(address))?;
    host.add_neighbour("eth0", gateway.0, gateway.1)?;
    host.set_mtu("eth0", mtu)?;
    host.add_default_route(gateway.0)
}

fn network(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new_assert(address, 24)
}
