//! A visited network where guests of two home networks meet, with an agent on every box:
//!
//! ```text
//!           cn-1 ─── home-1 ─┐
//!                              ├─ core ─── visited ══ lan ══ ap ))) wlan0: guests, wlan1: guests
//!           cn-2 ─── home-2 ─┘                       ╚ visited-host
//! ```
//!
//! Each radio has a subnet map of its own: the first one's clients are from the first home network, the second one's from
//! the second. So the home networks may overlap, and guests of both may have the same address.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::agent::Agent;
use crate::agent::config::{FastPath, Role, Settings};
use crate::capture::{Capture, PcapFile};
use crate::host::Host;
use crate::lab::Lab;
use crate::radio::{Air, CLIENT_INTERFACE, Client};
use crate::topology::{BRIDGE, CORE_INTERFACE, Lan, Router, UPLINK};
use crate::traffic::ping::reach;
use crate::wait;
use crate::wire::Wire;

/// The visited network.
const VISITED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 2, 0, 1), 24);
/// A wired host there.
pub const VISITED_HOST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 20);
/// The access point.
const ACCESS_POINT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 2, 0, 11), 24);
/// The foreign agent's Ethernet address in the visited network.
pub const FOREIGN_AGENT_MAC: [u8; 6] = [2, 0, 10, 2, 0, 1];
/// How the access point's clients are kept apart.
const RADIOS: [&str; 2] = ["wlan0", "wlan1"];
/// Captures: the visited LAN, and what the two radios reach.
pub const WIRES: [&str; 4] = ["visited", "air-1", "air-2", "core3"];
const PATIENCE: Duration = Duration::from_secs(15);

/// Which home networks there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Homes {
    /// 10.1.0.0/24 and 10.4.0.0/24.
    Apart,
    /// 10.1.0.0/24 and 10.1.0.0/16, which knows nothing of the other.
    Overlapping,
    /// The same, and the first one is behind the visited network's own router, which is its home agent.
    OverlappingAndNear,
}

impl Homes {
    fn gateways(self) -> [Ipv4Net; 2] {
        let second = match self {
            Self::Apart => Ipv4Net::new_assert(Ipv4Addr::new(10, 4, 0, 1), 24),
            Self::Overlapping | Self::OverlappingAndNear => Ipv4Net::new_assert(Ipv4Addr::new(10, 1, 2, 1), 16),
        };
        [Ipv4Net::new_assert(Ipv4Addr::new(10, 1, 0, 1), 24), second]
    }
}

/// The networks and their agents. Agents come first: they end before their boxes go.
#[derive(Debug)]
pub struct Meeting {
    /// The visited network's foreign agent.
    pub foreign_agent: Agent,
    /// The access point's agent.
    pub access_point: Agent,
    /// The home agents, where they are boxes of their own.
    pub home_agents: Vec<Agent>,
    /// The visited network's router.
    pub visited: Router,
    /// A wired host of the visited network.
    pub visited_host: Host,
    /// What the access point's radios reach.
    pub airs: [Air; 2],
    /// A host behind each home agent.
    pub correspondents: [Host; 2],
    /// The router between all of them.
    pub core: Host,
    gateways: [Ipv4Net; 2],
    captures: Vec<(&'static str, Capture)>,
    /// The lab.
    pub lab: Lab,
}

/// What is special about the access point and the foreign agent.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further lines of the section `[access-point]`.
    pub access_point: String,
    /// Further lines of the section `[foreign-agent]`.
    pub foreign_agent: String,
}

impl Meeting {
    /// Builds the networks and starts the agents.
    pub fn set_up(label: &str, homes: Homes, settings: &Settings, options: &Options) -> Result<Self> {
        let lab = Lab::new(label)?;
        let settings = Settings { clients: "10.0.0.0/8".to_owned(), ..settings.clone() };
        let gateways = homes.gateways();
        let core = router(&lab, "core")?;
        let near = homes == Homes::OverlappingAndNear;

        let visited_host = router(&lab, "visited")?;
        join(&lab, &core, &visited_host, 3)?;
        core.add_route(VISITED.trunc(), core_address(3))?;
        let home_1 = if near { visited_host.clone() } else { router(&lab, "home-1")? };
        let home_2 = router(&lab, "home-2")?;
        let mut lans = vec![lan(&lab, &visited_host, "lan0", "visited", VISITED)?];
        let home_lan = lan(&lab, &home_1, if near { "lan1" } else { "lan0" }, "home1", gateways[0])?;
        let mut routers = Vec::new();
        if near {
            core.add_route(gateways[0].trunc(), core_address(3))?;
            lans.push(home_lan);
        } else {
            join(&lab, &core, &home_1, 1)?;
            core.add_route(gateways[0].trunc(), core_address(1))?;
            routers.push(Router { host: home_1.clone(), lans: vec![home_lan] });
        }
        join(&lab, &core, &home_2, 2)?;
        let second = if homes == Homes::Apart { gateways[1].trunc() } else { gateways[1].addr().into() };
        core.add_route(second, core_address(2))?;
        let home_lan = lan(&lab, &home_2, "lan0", "home2", gateways[1])?;
        routers.push(Router { host: home_2.clone(), lans: vec![home_lan] });
        let correspondents =
            [correspondent(&lab, &core, &home_1, 1, near)?, correspondent(&lab, &core, &home_2, 2, false)?];

        let wired = lab.host("visited-host")?;
        lans[0].wire.connect(&wired, "eth0", mac(0, VISITED_HOST))?;
        wired.add_address("eth0", Ipv4Net::new(VISITED_HOST, 24)?)?;
        wired.add_default_route(VISITED.addr())?;
        let (ap, airs) = access_point(&lab, &lans[0].wire)?;

        let visited = Router { host: visited_host, lans };
        let foreign_agent = Agent::configure_as(
            &lab,
            &visited.host,
            &settings,
            &format!("{}{}", association(&settings), router_roles(&visited, &settings, options, near)),
        )?;
        let on_access_point = match settings.fast_path {
            FastPath::Off => Settings { fast_path: FastPath::Tc, ..settings.clone() },
            _ => settings.clone(),
        };
        let access_point = Agent::configure_as(
            &lab,
            &ap,
            &on_access_point,
            &format!("{}{}", association(&settings), access_point_role(gateways, &settings, options)),
        )?;
        let mut home_agents = Vec::new();
        for router in &routers {
            home_agents.push(Agent::configure(&lab, &router.host, &Role::router(router), &settings)?);
        }
        let mut this = Self {
            foreign_agent,
            access_point,
            home_agents,
            visited,
            visited_host: wired,
            airs,
            correspondents,
            core,
            gateways,
            captures: Vec::new(),
            lab,
        };
        this.start()?;
        Ok(this)
    }

    fn start(&mut self) -> Result<()> {
        let agents = self.home_agents.iter_mut().chain([&mut self.foreign_agent, &mut self.access_point]);
        for agent in agents {
            agent.launch()?;
        }
        for agent in self.agents() {
            agent.await_ready()?;
        }
        self.access_point.await_rows("agents", PATIENCE).map(drop)
    }

    /// All agents.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.home_agents.iter().chain([&self.foreign_agent, &self.access_point])
    }

    /// The home agent of home network 0 or 1.
    pub fn home_agent(&self, home: usize) -> &Agent {
        match self.home_agents.len() {
            1 if home == 0 => &self.foreign_agent,
            1 => &self.home_agents[0],
            _ => &self.home_agents[home],
        }
    }

    /// The address of a home agent.
    pub fn home_agent_address(&self, home: usize) -> Ipv4Addr {
        self.gateways[home].addr()
    }

    /// The address of the host behind a home agent.
    pub fn correspondent_address(&self, home: usize) -> Ipv4Addr {
        correspondent_address(home as u8 + 1)
    }

    /// A client of home network 0 or 1, which has never been anywhere but here, registers.
    pub fn guest(&self, name: &str, home: usize, address: Ipv4Addr, last: u8) -> Result<Client> {
        let host = self.lab.host(name)?;
        let client = Client::associate(host, self.lab.wires(), &self.airs[home], guest_mac(last))?;
        client.host.add_address(CLIENT_INTERFACE, Ipv4Net::new(address, self.gateways[home].prefix_len())?)?;
        client.host.add_default_route(self.gateways[home].addr())?;
        let answered = reach(client.host.namespace(), self.correspondent_address(home), PATIENCE)?;
        answered.with_context(|| format!("{name} does not reach home:\n{}", self.access_point.log_tail()))?;
        Ok(client)
    }

    /// The visitors with an address, as the foreign agent lists them.
    pub fn visitors(&self, address: Ipv4Addr) -> Result<Vec<Value>> {
        self.foreign_agent.rows_of("visitors", address)
    }

    /// Captures on these wires until [`stop_captures`](Self::stop_captures).
    pub fn capture(&mut self, wires: &[&'static str]) -> Result<()> {
        let directory = self.lab.directory().join("pcap");
        std::fs::create_dir_all(&directory)?;
        for wire in wires {
            let file = directory.join(Path::new(wire).with_extension("pcap"));
            self.captures.push((wire, Capture::start(&self.lab, wire, &file)?));
        }
        Ok(())
    }

    /// Ends the captures, and makes sure that there is nothing malformed in them, no bad checksum and no ICMP redirect.
    pub fn stop_captures(&mut self) -> Result<Vec<(&'static str, PcapFile)>> {
        let mut files = Vec::new();
        for (wire, capture) in self.captures.drain(..) {
            let file = capture.stop()?;
            for (what, count) in [
                ("bad checksums", file.bad_checksums()?),
                ("malformed packets", file.count("_ws.malformed")?),
                ("ICMP redirects", file.count("icmp.type == 5")?),
            ] {
                ensure!(count == 0, "{count} {what} on {wire}");
            }
            files.push((wire, file));
        }
        Ok(files)
    }

    /// Waits until every agent is still there and has logged no error.
    pub fn healthy(&self) -> Result<()> {
        for agent in self.agents() {
            ensure!(agent.is_running()?, "the agent on {} is dead:\n{}", agent.host().name(), agent.log_tail());
            let log = std::fs::read_to_string(agent.log())?;
            let error = log.lines().find(|line| line.contains("ERROR"));
            ensure!(error.is_none(), "the agent on {} says {}", agent.host().name(), error.unwrap_or_default());
        }
        Ok(())
    }

    /// Waits for a counter of the foreign agent to grow.
    pub fn counted(&self, agent: &Agent, name: &str, before: u64) -> Result<()> {
        agent.await_count(name, before, PATIENCE).map(drop)
    }

    /// Waits until something holds.
    pub fn await_that(&self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        wait::until(PATIENCE, || Ok(condition()?.then_some(())))?
            .with_context(|| format!("{what}: not within {PATIENCE:?}"))
    }
}

/// The Ethernet address of a guest.
pub fn guest_mac(last: u8) -> [u8; 6] {
    [0x02, 0xc1, 0x1e, 0x00, 0x00, last]
}

fn router(lab: &Lab, name: &str) -> Result<Host> {
    let host = lab.host(name)?;
    host.namespace().set_sysctl("net/ipv4/conf/default/rp_filter", "2")?;
    host.forward()?;
    Ok(host)
}

/// Joins a router to the core by 10.0.`number`.0/30, its way out.
fn join(lab: &Lab, core: &Host, router: &Host, number: u8) -> Result<()> {
    let wire = lab.wire(&format!("core{number}"))?;
    let (near, far) = (Ipv4Addr::new(10, 0, number, 1), core_address(number));
    let side = format!("to-{number}");
    wire.connect(core, &side, mac(0, near))?;
    core.add_address(&side, Ipv4Net::new(near, 30)?)?;
    wire.connect(router, CORE_INTERFACE, mac(0, far))?;
    router.add_address(CORE_INTERFACE, Ipv4Net::new(far, 30)?)?;
    router.add_default_route(near)
}

fn core_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, number, 2)
}

fn lan(lab: &Lab, router: &Host, interface: &str, name: &str, gateway: Ipv4Net) -> Result<Lan> {
    let wire = lab.wire(name)?;
    wire.connect(router, interface, mac(0, gateway.addr()))?;
    router.add_address(interface, gateway)?;
    Ok(Lan { wire, interface: interface.to_owned(), gateway })
}

fn correspondent_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, number, 10)
}

/// A host behind a home router, in 10.9.`number`.0/24.
fn correspondent(lab: &Lab, core: &Host, router: &Host, number: u8, near: bool) -> Result<Host> {
    let wire = lab.wire(&format!("cn{number}"))?;
    let gateway = Ipv4Net::new(Ipv4Addr::new(10, 9, number, 1), 24)?;
    wire.connect(router, "cn0", mac(0, gateway.addr()))?;
    router.add_address("cn0", gateway)?;
    core.add_route(gateway.trunc(), core_address(if near { 3 } else { number }))?;
    let host = lab.host(&format!("cn-{number}"))?;
    wire.connect(&host, "eth0", mac(0, correspondent_address(number)))?;
    host.add_address("eth0", Ipv4Net::new(correspondent_address(number), 24)?)?;
    host.add_default_route(gateway.addr())?;
    Ok(host)
}

fn access_point(lab: &Lab, lan: &Wire) -> Result<(Host, [Air; 2])> {
    let host = lab.host("ap")?;
    host.add_bridge(BRIDGE, mac(0, ACCESS_POINT.addr()))?;
    lan.connect(&host, UPLINK, mac(1, ACCESS_POINT.addr()))?;
    host.add_port(BRIDGE, UPLINK)?;
    let mut airs = Vec::new();
    for (number, radio) in (2..).zip(RADIOS) {
        let air = lab.wire(&format!("air-{}", number - 1))?;
        air.connect(&host, radio, mac(number, ACCESS_POINT.addr()))?;
        host.add_port(BRIDGE, radio)?;
        airs.push(Air::new(air));
    }
    host.add_address(BRIDGE, ACCESS_POINT)?;
    host.add_default_route(VISITED.addr())?;
    let airs = airs.try_into().ok().context("two radios")?;
    Ok((host, airs))
}

fn association(settings: &Settings) -> String {
    let Settings { clients, spi, key, .. } = settings;
    format!("[[security-association]]\nclients = {clients:?}\nspi = {spi}\nkey = \"hex:{key}\"\n\n")
}

fn router_roles(router: &Router, settings: &Settings, options: &Options, home: bool) -> String {
    let Settings { routers_reverse_tunnel, maximum_lifetime, broadcast, .. } = settings;
    let mut text = format!(
        "[foreign-agent]\ninterfaces = [\"lan0\"]\ncare-of-address = \"{}\"\nreverse-tunnel = {routers_reverse_tunnel:?}\n\
         registration-lifetime = {maximum_lifetime:?}\nadvertisement-interval = \"1s\"\n{}\n",
        VISITED.addr(),
        options.foreign_agent
    );
    if let Some(lan) = router.lans.get(1).filter(|_| home) {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[home-agent]\naddress = \"{}\"\nsubnets = [{{ prefix = \"{}\", interface = {:?} }}]\n\
             reverse-tunnel = {routers_reverse_tunnel:?}\nbroadcast = {broadcast}\nadvertisement-interval = \"1s\"\n",
            lan.gateway.addr(),
            lan.gateway.trunc(),
            lan.interface
        );
    }
    text
}

fn access_point_role(gateways: [Ipv4Net; 2], settings: &Settings, options: &Options) -> String {
    let radios: Vec<_> = RADIOS
        .iter()
        .zip(gateways)
        .map(|(radio, gateway)| {
            let (home_agent, mask) = (gateway.addr(), gateway.netmask());
            format!(
                "{{ interface = {radio:?}, subnet-map = [{{ home-agent = \"{home_agent}\", mask = \"{mask}\" }}] }}"
            )
        })
        .collect();
    format!(
        "[access-point]\nuplink = {UPLINK:?}\nbridge = {BRIDGE:?}\nradios = [{}]\nregistration-lifetime = {:?}\n\
         broadcast = {}\nreverse-tunnel = {:?}\n{}\n",
        radios.join(", "),
        settings.lifetime,
        settings.broadcast,
        if settings.reverse_tunnel { "require" } else { "never" },
        options.access_point
    )
}

/// A locally administered Ethernet address that shows the IP address in captures.
fn mac(kind: u8, address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, kind, a, b, c, d]
}
