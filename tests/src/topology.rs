//! The networks that demo, tests and benches share.
//!
//! ```text
//!     home network 10.1.0.0/24                core                visited networks 10.2.0.0/24, 10.3.0.0/24
//!  client ))) home-ap ══ lan1 ══ ha ────────── core ─┬──────────── fa1 ══ lan2 ══ ap1 ))), ap2 )))
//!             home-host ╝                        │   └──────────── fa2 ══ lan3 ══ ap3 )))
//!                                          correspondent               each LAN with one more wired host
//! ```

use std::net::Ipv4Addr;

use anyhow::Result;
use ipnet::Ipv4Net;

use crate::host::Host;
use crate::lab::Lab;
use crate::radio::{Air, Client};
use crate::wire::Wire;

/// The client's home address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
/// The client's Ethernet address.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0xc1, 0x1e, 0x00, 0x00, 0x64];
/// The host the client talks to.
pub const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);
/// An access point's bridge.
pub const BRIDGE: &str = "br-lan";
/// An access point's wired port.
pub const UPLINK: &str = "eth0";
/// An access point's radio.
pub const RADIO: &str = "wlan0";
/// A router's interface towards the core.
pub const CORE_INTERFACE: &str = "core0";

/// How a distribution may set reverse path filtering before an agent arrives. The larger of the two counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReversePathFilter {
    /// `net.ipv4.conf.all.rp_filter`.
    pub all: u8,
    /// `net.ipv4.conf.default.rp_filter`, which interfaces made later inherit.
    pub default: u8,
}

impl Default for ReversePathFilter {
    /// As systemd ships it: loose.
    fn default() -> Self {
        Self { all: 0, default: 2 }
    }
}

/// A router with the LANs behind it.
#[derive(Debug)]
pub struct Router {
    /// The box.
    pub host: Host,
    /// Its LANs, in the order of its interfaces `lan0`, `lan1`, …
    pub lans: Vec<Lan>,
}

/// A LAN: an IP subnet on one wire.
#[derive(Debug)]
pub struct Lan {
    /// The wire.
    pub wire: Wire,
    /// The router's interface on it.
    pub interface: String,
    /// The router's address and the prefix.
    pub gateway: Ipv4Net,
}

/// An access point, a bridge between its wired port and its radio.
#[derive(Debug)]
pub struct AccessPoint {
    /// The box.
    pub host: Host,
    /// Its own address, on the bridge.
    pub address: Ipv4Net,
    /// What its radio reaches.
    pub air: Air,
}

/// The network of the demo.
#[derive(Debug)]
pub struct Campus {
    /// The lab; removed with it.
    pub lab: Lab,
    /// The router all others hang on.
    pub core: Host,
    /// The host the client talks to.
    pub correspondent: Host,
    /// The client's home router.
    pub ha: Router,
    /// The access point at home.
    pub home_ap: AccessPoint,
    /// A wired neighbour at home.
    pub home_host: Host,
    /// The first visited network's router.
    pub fa1: Router,
    /// Its first access point.
    pub ap1: AccessPoint,
    /// Its second access point.
    pub ap2: AccessPoint,
    /// A wired host behind it.
    pub visited1_host: Host,
    /// The second visited network's router.
    pub fa2: Router,
    /// Its access point.
    pub ap3: AccessPoint,
    /// A wired host behind it.
    pub visited2_host: Host,
    /// The client, at home.
    pub client: Client,
}

/// One router that serves two subnets, an access point in each: home agent and foreign agent in one box.
#[derive(Debug)]
pub struct SingleRouter {
    /// The lab; removed with it.
    pub lab: Lab,
    /// The router; `lan0` is the client's home, `lan1` the other subnet.
    pub router: Router,
    /// The host the client talks to, behind the router's `core0`.
    pub correspondent: Host,
    /// The access point at home.
    pub home_ap: AccessPoint,
    /// The access point in the other subnet.
    pub visited_ap: AccessPoint,
    /// A wired host in the other subnet.
    pub visited_host: Host,
    /// The client, at home.
    pub client: Client,
}

/// Builds the network of the demo.
pub fn campus(label: &str, filter: ReversePathFilter) -> Result<Campus> {
    let lab = Lab::new(label)?;
    let core = router(&lab, "core", filter)?;
    let correspondent = correspondent_behind(&lab, &core, "cn0")?;

    let ha = subnet_router(&lab, "ha", &core, 1, filter)?;
    let home_ap = access_point(&lab, "home-ap", &ha.lans[0], 11, filter)?;
    let home_host = wired_host(&lab, "home-host", &ha.lans[0], 20, filter)?;

    let fa1 = subnet_router(&lab, "fa1", &core, 2, filter)?;
    let ap1 = access_point(&lab, "ap1", &fa1.lans[0], 11, filter)?;
    let ap2 = access_point(&lab, "ap2", &fa1.lans[0], 12, filter)?;
    let visited1_host = wired_host(&lab, "visited1-host", &fa1.lans[0], 20, filter)?;

    let fa2 = subnet_router(&lab, "fa2", &core, 3, filter)?;
    let ap3 = access_point(&lab, "ap3", &fa2.lans[0], 11, filter)?;
    let visited2_host = wired_host(&lab, "visited2-host", &fa2.lans[0], 20, filter)?;

    let client = client(&lab, &home_ap, &ha.lans[0])?;
    Ok(Campus {
        lab,
        core,
        correspondent,
        ha,
        home_ap,
        home_host,
        fa1,
        ap1,
        ap2,
        visited1_host,
        fa2,
        ap3,
        visited2_host,
        client,
    })
}

/// Builds the network with one router for everything.
pub fn single_router(label: &str, filter: ReversePathFilter) -> Result<SingleRouter> {
    let lab = Lab::new(label)?;
    let host = router(&lab, "router", filter)?;
    let correspondent = correspondent_behind(&lab, &host, CORE_INTERFACE)?;
    let home = lan(&lab, &host, "lan0", 1)?;
    let visited = lan(&lab, &host, "lan1", 2)?;
    let home_ap = access_point(&lab, "home-ap", &home, 11, filter)?;
    let visited_ap = access_point(&lab, "visited-ap", &visited, 11, filter)?;
    let visited_host = wired_host(&lab, "visited-host", &visited, 20, filter)?;
    let client = client(&lab, &home_ap, &home)?;
    let router = Router { host, lans: vec![home, visited] };
    Ok(SingleRouter { lab, router, correspondent, home_ap, visited_ap, visited_host, client })
}

fn filtering_host(lab: &Lab, name: &str, filter: ReversePathFilter) -> Result<Host> {
    let host = lab.host(name)?;
    host.namespace().set_sysctl("net/ipv4/conf/all/rp_filter", &filter.all.to_string())?;
    host.namespace().set_sysctl("net/ipv4/conf/default/rp_filter", &filter.default.to_string())?;
    Ok(host)
}

pub(crate) fn router(lab: &Lab, name: &str, filter: ReversePathFilter) -> Result<Host> {
    let host = filtering_host(lab, name, filter)?;
    host.forward()?;
    Ok(host)
}

/// The correspondent and its wire to a router's interface, 10.9.0.0/24.
pub(crate) fn correspondent_behind(lab: &Lab, router: &Host, interface: &str) -> Result<Host> {
    let gateway = Ipv4Addr::new(10, 9, 0, 1);
    let wire = lab.wire("cn")?;
    wire.connect(router, interface, mac(0, gateway))?;
    router.add_address(interface, net(gateway, 24))?;
    let correspondent = lab.host("correspondent")?;
    wire.connect(&correspondent, "eth0", mac(0, CORRESPONDENT))?;
    correspondent.add_address("eth0", net(CORRESPONDENT, 24))?;
    correspondent.add_default_route(gateway)?;
    Ok(correspondent)
}

/// The router of 10.`number`.0.0/24, joined to the core by 10.0.`number`.0/30.
pub(crate) fn subnet_router(
    lab: &Lab,
    name: &str,
    core: &Host,
    number: u8,
    filter: ReversePathFilter,
) -> Result<Router> {
    let host = router(lab, name, filter)?;
    let wire = lab.wire(&format!("core{number}"))?;
    let (near, far) = (Ipv4Addr::new(10, 0, number, 1), Ipv4Addr::new(10, 0, number, 2));
    let core_side = format!("to-{name}");
    wire.connect(core, &core_side, mac(0, near))?;
    core.add_address(&core_side, net(near, 30))?;
    wire.connect(&host, CORE_INTERFACE, mac(0, far))?;
    host.add_address(CORE_INTERFACE, net(far, 30))?;
    host.add_default_route(near)?;
    core.add_route(net(Ipv4Addr::new(10, number, 0, 0), 24), far)?;
    let lan = lan(lab, &host, "lan0", number)?;
    Ok(Router { host, lans: vec![lan] })
}

fn lan(lab: &Lab, router: &Host, interface: &str, number: u8) -> Result<Lan> {
    let gateway = Ipv4Addr::new(10, number, 0, 1);
    let wire = lab.wire(&format!("lan{number}"))?;
    wire.connect(router, interface, mac(0, gateway))?;
    router.add_address(interface, net(gateway, 24))?;
    Ok(Lan { wire, interface: interface.to_owned(), gateway: net(gateway, 24) })
}

fn access_point(lab: &Lab, name: &str, lan: &Lan, number: u8, filter: ReversePathFilter) -> Result<AccessPoint> {
    let (host, address) = radioless_access_point(lab, name, lan, number, filter)?;
    let air = lab.wire(&format!("air-{name}"))?;
    air.connect(&host, RADIO, radio_mac(address))?;
    host.add_port(BRIDGE, RADIO)?;
    Ok(AccessPoint { host, address, air: Air::new(air) })
}

/// An access point with its bridge and wired port, and its own address. Its radio may come from elsewhere.
pub(crate) fn radioless_access_point(
    lab: &Lab,
    name: &str,
    lan: &Lan,
    number: u8,
    filter: ReversePathFilter,
) -> Result<(Host, Ipv4Net)> {
    let host = filtering_host(lab, name, filter)?;
    let address = in_lan(lan, number);
    host.add_bridge(BRIDGE, mac(0, address.addr()))?;
    lan.wire.connect(&host, UPLINK, mac(1, address.addr()))?;
    host.add_port(BRIDGE, UPLINK)?;
    host.add_address(BRIDGE, address)?;
    host.add_default_route(lan.gateway.addr())?;
    Ok((host, address))
}

/// The Ethernet address of an access point's radio, by its own address.
pub(crate) fn radio_mac(address: Ipv4Net) -> [u8; 6] {
    mac(2, address.addr())
}

pub(crate) fn wired_host(lab: &Lab, name: &str, lan: &Lan, number: u8, filter: ReversePathFilter) -> Result<Host> {
    let host = filtering_host(lab, name, filter)?;
    let address = in_lan(lan, number);
    lan.wire.connect(&host, "eth0", mac(0, address.addr()))?;
    host.add_address("eth0", address)?;
    host.add_default_route(lan.gateway.addr())?;
    Ok(host)
}

fn client(lab: &Lab, home_ap: &AccessPoint, home: &Lan) -> Result<Client> {
    let host = lab.host("client")?;
    let client = Client::associate(host, lab.wires(), &home_ap.air, CLIENT_MAC)?;
    settle_at_home(&client.host, CLIENT, home)?;
    Ok(client)
}

/// Gives a client its home address and its gateway.
pub(crate) fn settle_at_home(client: &Host, address: Ipv4Addr, home: &Lan) -> Result<()> {
    // As connection managers do it, nothing is sent while there is no link. Otherwise an ARP request lost in that time
    // would hold everything back until the stack's retry a second later, which says nothing about the network.
    client.namespace().set_sysctl("net/ipv4/conf/wlan0/ignore_routes_with_linkdown", "1")?;
    client.add_address(crate::radio::CLIENT_INTERFACE, net(address, home.gateway.prefix_len()))?;
    client.add_default_route(home.gateway.addr())
}

fn in_lan(lan: &Lan, number: u8) -> Ipv4Net {
    let [a, b, c, _] = lan.gateway.addr().octets();
    net(Ipv4Addr::new(a, b, c, number), lan.gateway.prefix_len())
}

fn net(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, length)
}

/// A locally administered Ethernet address that shows the IP address in captures.
fn mac(kind: u8, address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, kind, a, b, c, d]
}
