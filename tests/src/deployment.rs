//! Mobile IP on a campus: an agent on each router and access point, and the client's traffic.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::agent::Agent;
use crate::agent::config::{Role, Settings, Tunnels};
use crate::capture::{Capture, PcapFile};
use crate::host::Host;
use crate::radio::{Air, Carrier};
use crate::topology::{CLIENT, CORRESPONDENT, Campus, ReversePathFilter, campus};
use crate::traffic::ping::PingStream;
use crate::traffic::tcp::Connection;
use crate::wait;

const PING_INTERVAL: Duration = Duration::from_millis(10);
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(15);
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(10);

/// Every wire of the campus, by the name of its bridge.
pub const WIRES: [&str; 11] =
    ["cn", "core1", "core2", "core3", "lan1", "lan2", "lan3", "air-home-ap", "air-ap1", "air-ap2", "air-ap3"];

/// Where the client can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At home, behind the home access point.
    Home,
    /// The first visited network, its first access point.
    Visited1Ap1,
    /// The first visited network, its second access point.
    Visited1Ap2,
    /// The second visited network.
    Visited2,
}

impl Place {
    /// What people call it.
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
#[derive(Debug)]
pub struct Deployment {
    /// The agents.
    pub agents: Agents,
    captures: Vec<(&'static str, Capture)>,
    /// The boxes and wires.
    pub campus: Campus,
}

/// The agents, by box.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as the boxes of `Campus` are")]
pub struct Agents {
    pub ha: Agent,
    pub home_ap: Agent,
    pub fa1: Agent,
    pub ap1: Agent,
    pub ap2: Agent,
    pub fa2: Agent,
    pub ap3: Agent,
}

/// What the client does all the time.
#[derive(Debug)]
pub struct Traffic {
    /// Its TCP connection with the correspondent.
    pub connection: Connection,
    /// Its pings to the correspondent.
    pub pings: PingStream,
}

impl Deployment {
    /// Builds the networks and configures the agents, all with the same settings; starts none.
    pub fn build(label: &str, settings: &Settings) -> Result<Self> {
        Self::on(campus(label, ReversePathFilter::default())?, settings)
    }

    /// Configures the agents on a campus that is there.
    pub fn on(campus: Campus, settings: &Settings) -> Result<Self> {
        let agents = Agents::configure(&campus, settings)?;
        Ok(Self { agents, captures: Vec::new(), campus })
    }

    /// Has the access point there ask for an encapsulation, and the routers on the way carry it. `gre_key` and `udp`: what the
    /// routers think of GRE keys and of tunnels over UDP, as in their configuration. Before the agents start.
    pub fn wrap_by(
        &self,
        settings: &Settings,
        place: Place,
        encapsulation: &str,
        (gre_key, udp): (&str, &str),
    ) -> Result<()> {
        let net = &self.campus;
        let routers = Tunnels {
            encapsulation: ["ipip", "gre", "minimal"].map(str::to_owned).to_vec(),
            gre_key: gre_key.to_owned(),
            udp: udp.to_owned(),
        };
        let with = |tunnels: Tunnels| Settings { tunnels, ..settings.clone() };
        let router = if place == Place::Visited2 { &net.fa2 } else { &net.fa1 };
        self.router(place).reconfigure(&net.lab, &Role::router(router), &with(routers.clone()))?;
        self.agents.ha.reconfigure(&net.lab, &Role::router(&net.ha), &with(routers))?;
        let asked = Tunnels { encapsulation: vec![encapsulation.to_owned()], ..Tunnels::default() };
        let role = Role::access_point(&[net.ha.lans[0].gateway]);
        self.access_point(place).reconfigure(&net.lab, &role, &with(asked))
    }

    /// Captures on these wires into files of a folder, until [`stop_captures`](Self::stop_captures).
    pub fn capture(&mut self, wires: &[&'static str], directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        for wire in wires {
            let capture = Capture::start(&self.campus.lab, wire, &directory.join(format!("{wire}.pcap")))?;
            self.captures.push((wire, capture));
        }
        Ok(())
    }

    /// Ends the captures, so that their files are complete. Gives each wire's.
    pub fn stop_captures(&mut self) -> Result<BTreeMap<&'static str, PcapFile>> {
        self.captures.drain(..).map(|(wire, capture)| Ok((wire, capture.stop()?))).collect()
    }

    /// Connects the client with the correspondent and starts its pings.
    pub fn start_traffic(&self) -> Result<Traffic> {
        let client = self.campus.client.host.namespace();
        let connection = Connection::open(client, self.campus.correspondent.namespace(), CORRESPONDENT)?;
        let pings = self.start_pings()?;
        Ok(Traffic { connection, pings })
    }

    /// Has the client ping the correspondent, for instance to be noticed.
    pub fn start_pings(&self) -> Result<PingStream> {
        PingStream::start(self.campus.client.host.namespace(), CORRESPONDENT, PING_INTERVAL)
    }

    /// What the radio there reaches.
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

    /// The sign that the client is registered at a place: at home that it has no binding any more, elsewhere a registration
    /// that is no older than `since` (an access point may still list the one of an earlier visit). `Null` at home, else the
    /// access point's row of `mipd show clients`.
    pub fn registered(&self, place: Place, since: Instant) -> Result<Option<Value>> {
        let bindings = self.agents.ha.rows_of("bindings", CLIENT)?;
        if place == Place::Home {
            return Ok(bindings.is_empty().then_some(Value::Null));
        }
        let clients = self.access_point(place).rows_of("clients", CLIENT)?;
        Ok(clients.iter().find(|row| is_registered(row, since)).filter(|_| !bindings.is_empty()).cloned())
    }

    /// Moves the client and waits until it is registered where it went.
    pub fn roam(&self, to: Place, carrier: Carrier) -> Result<()> {
        let start = Instant::now();
        self.campus.client.roam(self.air(to), carrier)?;
        let registered = wait::until(REGISTRATION_PATIENCE, || self.registered(to, start))?;
        registered.with_context(|| {
            let log = self.access_point(to).log_tail();
            format!("the client is not registered in {} after {REGISTRATION_PATIENCE:?}:\n{log}", to.label())
        })?;
        Ok(())
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

    /// Ends all that run.
    pub fn stop(&mut self) -> Result<()> {
        self.all_mut().into_iter().try_for_each(Agent::stop)
    }

    /// All of them, routers first.
    pub fn all(&self) -> [&Agent; 7] {
        [&self.ha, &self.fa1, &self.fa2, &self.home_ap, &self.ap1, &self.ap2, &self.ap3]
    }

    fn all_mut(&mut self) -> [&mut Agent; 7] {
        [&mut self.ha, &mut self.fa1, &mut self.fa2, &mut self.home_ap, &mut self.ap1, &mut self.ap2, &mut self.ap3]
    }
}

/// Whether a row of `mipd show clients` is of a registration that is no older than `since`.
pub fn is_registered(row: &Value, since: Instant) -> bool {
    row["state"] == "registered" && age(row).is_some_and(|age| age <= since.elapsed())
}

/// How old a registration is at least, from its lifetimes (whole seconds).
fn age(row: &Value) -> Option<Duration> {
    let (granted, remaining) = (row["lifetime_granted_s"].as_u64()?, row["lifetime_remaining_s"].as_u64()?);
    Some(Duration::from_secs(granted.saturating_sub(remaining).saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_of_an_earlier_visit_is_older_than_the_roam() {
        let row = |remaining: u64| serde_json::json!({"lifetime_granted_s": 600, "lifetime_remaining_s": remaining});
        assert_eq!(age(&row(599)), Some(Duration::ZERO));
        assert_eq!(age(&row(590)), Some(Duration::from_secs(9)));
        assert_eq!(age(&Value::Null), None);
    }
}
