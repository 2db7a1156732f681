//! The scene: the campus, an agent on each router and access point, and the client's traffic.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::arguments::Arguments;
use crate::agent::Agent;
use crate::agent::config::{Role, Settings};
use crate::capture::Capture;
use crate::host::Host;
use crate::radio::Air;
use crate::topology::{CORRESPONDENT, Campus, ReversePathFilter, campus};
use crate::traffic::ping::PingStream;
use crate::traffic::tcp::Connection;
use crate::wait;

const PING_INTERVAL: Duration = Duration::from_millis(10);
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(15);

/// Every wire of the campus, by the name of its bridge.
const WIRES: [&str; 11] =
    ["cn", "core1", "core2", "core3", "lan1", "lan2", "lan3", "air-home-ap", "air-ap1", "air-ap2", "air-ap3"];

/// Where the client can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Home,
    Visited1Ap1,
    Visited1Ap2,
    Visited2,
}

impl Place {
    pub fn label(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Visited1Ap1 => "visited 1, AP 1",
            Self::Visited1Ap2 => "visited 1, AP 2",
            Self::Visited2 => "visited 2",
        }
    }
}

/// Campus and agents. Agents come first: they end before their boxes go.
pub(super) struct Stage {
    pub agents: Agents,
    captures: Vec<Capture>,
    pub campus: Campus,
}

/// The agents, by box.
pub(super) struct Agents {
    pub ha: Agent,
    pub home_ap: Agent,
    pub fa1: Agent,
    pub ap1: Agent,
    pub ap2: Agent,
    pub fa2: Agent,
    pub ap3: Agent,
}

/// What the client does all the time.
pub(super) struct Traffic {
    pub connection: Connection,
    pub pings: PingStream,
}

impl Stage {
    /// Builds the networks, with captures if they are wanted.
    pub fn build(arguments: &Arguments) -> Result<Self> {
        let campus = campus("demo", ReversePathFilter::default())?;
        let captures = arguments.pcap.as_deref().map_or(Ok(Vec::new()), |directory| capture_all(&campus, directory))?;
        let settings = Settings { reverse_tunnel: arguments.reverse_tunnel, ..Settings::new(arguments.fast_path) };
        let agents = Agents::configure(&campus, &settings)?;
        Ok(Self { agents, captures, campus })
    }

    pub fn start_traffic(&self) -> Result<Traffic> {
        let client = self.campus.client.host.namespace();
        let connection = Connection::open(client, self.campus.correspondent.namespace(), CORRESPONDENT)?;
        let pings = PingStream::start(client, CORRESPONDENT, PING_INTERVAL)?;
        Ok(Traffic { connection, pings })
    }

    pub fn air(&self, place: Place) -> &Air {
        match place {
            Place::Home => &self.campus.home_ap.air,
            Place::Visited1Ap1 => &self.campus.ap1.air,
            Place::Visited1Ap2 => &self.campus.ap2.air,
            Place::Visited2 => &self.campus.ap3.air,
        }
    }

    /// The access point's agent there.
    pub fn access_point(&self, place: Place) -> &Agent {
        match place {
            Place::Home => &self.agents.home_ap,
            Place::Visited1Ap1 => &self.agents.ap1,
            Place::Visited1Ap2 => &self.agents.ap2,
            Place::Visited2 => &self.agents.ap3,
        }
    }

    /// The router's agent there: the home agent at home, else the foreign agent.
    pub fn router(&self, place: Place) -> &Agent {
        match place {
            Place::Home => &self.agents.ha,
            Place::Visited1Ap1 | Place::Visited1Ap2 => &self.agents.fa1,
            Place::Visited2 => &self.agents.fa2,
        }
    }

    /// A wired host on the LAN there.
    pub fn wired_host(&self, place: Place) -> &Host {
        match place {
            Place::Home => &self.campus.home_host,
            Place::Visited1Ap1 | Place::Visited1Ap2 => &self.campus.visited1_host,
            Place::Visited2 => &self.campus.visited2_host,
        }
    }

    /// Ends the captures, so that their files are complete.
    pub fn stop_captures(&mut self) -> Result<()> {
        self.captures.drain(..).try_for_each(|capture| capture.stop().map(drop))
    }

    /// Copies every agent's log to a folder.
    pub fn keep_logs(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        for agent in self.agents.all() {
            std::fs::copy(agent.log(), directory.join(format!("{}.log", agent.host().name())))?;
        }
        Ok(())
    }
}

impl Agents {
    fn configure(campus: &Campus, settings: &Settings) -> Result<Self> {
        let subnet_map = [campus.ha.lans[0].gateway];
        let router = |router: &crate::topology::Router| {
            Agent::configure(&campus.lab, &router.host, &Role::router(router), settings)
        };
        let access_point = |ap: &crate::topology::AccessPoint| {
            Agent::configure(&campus.lab, &ap.host, &Role::access_point(&subnet_map), settings)
        };
        Ok(Self {
            ha: router(&campus.ha)?,
            home_ap: access_point(&campus.home_ap)?,
            fa1: router(&campus.fa1)?,
            ap1: access_point(&campus.ap1)?,
            ap2: access_point(&campus.ap2)?,
            fa2: router(&campus.fa2)?,
            ap3: access_point(&campus.ap3)?,
        })
    }

    /// Starts all at once and waits until each answers, and until each access point knows an agent on its LAN.
    pub fn start(&mut self) -> Result<()> {
        for agent in self.all_mut() {
            agent.launch()?;
        }
        for agent in self.all() {
            agent.await_ready()?;
        }
        for access_point in [&self.home_ap, &self.ap1, &self.ap2, &self.ap3] {
            let heard = wait::until(DISCOVERY_PATIENCE, || {
                Ok(access_point.show("agents")?.as_array().is_some_and(|agents| !agents.is_empty()).then_some(()))
            })?;
            heard.with_context(|| {
                format!("{} has heard no agent in {DISCOVERY_PATIENCE:?}", access_point.host().name())
            })?;
        }
        Ok(())
    }

    /// All of them, routers first.
    pub fn all(&self) -> [&Agent; 7] {
        [&self.ha, &self.fa1, &self.fa2, &self.home_ap, &self.ap1, &self.ap2, &self.ap3]
    }

    fn all_mut(&mut self) -> [&mut Agent; 7] {
        [&mut self.ha, &mut self.fa1, &mut self.fa2, &mut self.home_ap, &mut self.ap1, &mut self.ap2, &mut self.ap3]
    }
}

fn capture_all(campus: &Campus, directory: &Path) -> Result<Vec<Capture>> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    WIRES.iter().map(|wire| Capture::start(&campus.lab, wire, &directory.join(format!("{wire}.pcap")))).collect()
}
