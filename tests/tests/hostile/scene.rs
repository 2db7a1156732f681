//! The campus with a registered client, and the verdict on one message.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::{Link, emit_udp, parse_udp};
use mipd_agent::wire::ip::Datagram;
use mipd_agent::wire::registration::RegistrationReply;
use mipd_agent::wire::types::{Lifetime, ReplyCode};
use mipd_common::mac::MacAddress;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::{CLIENT, CORRESPONDENT};
use mipd_lab::traffic::forge::{self, MOBILE_IP_PORT};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::traffic::ping::{PingStream, reach};
use mipd_lab::{Carrier, wait};
use serde_json::Value;

pub const PATIENCE: Duration = Duration::from_secs(10);
/// An agent has acted before it counts: what it sent is there by then.
const SILENCE: Duration = Duration::from_millis(50);
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
pub const FOREIGN_AGENT_MAC: MacAddress = MacAddress([2, 0, 10, 2, 0, 1]);
/// How often a message is repeated to see that no line is logged for each.
const REPETITIONS: u64 = 40;

/// What an agent does with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// A reply with this code, counted as `denied_CODE`.
    Code(u8),
    /// Nothing but this counter.
    Silence(&'static str),
}

impl Fate {
    fn code(self) -> Option<u8> {
        match self {
            Self::Code(code) => Some(code),
            Self::Silence(_) => None,
        }
    }

    fn counter(self) -> String {
        match self {
            Self::Code(code) => format!("denied_{code}"),
            Self::Silence(name) => name.to_owned(),
        }
    }
}

/// A message, and what must become of it.
pub struct Case {
    pub what: &'static str,
    pub message: Vec<u8>,
    /// The TTL it arrives with.
    pub ttl: u8,
    pub fate: Fate,
}

impl Case {
    pub fn new(what: &'static str, message: Vec<u8>, fate: Fate) -> Self {
        Self { what, message, ttl: 255, fate }
    }
}

/// The campus with a client.
pub struct Scene {
    pub campus: Deployment,
    pub settings: Settings,
    place: Place,
    /// An access point notices a client by what it sends.
    _pings: PingStream,
}

impl Scene {
    /// Settings by which the home agent shares a key with more addresses than it serves, and foreign agents relay less
    /// than an access point could ask for.
    pub fn settings() -> Settings {
        Settings {
            clients: "10.1.0.0/16".to_owned(),
            maximum_lifetime: "1h".to_owned(),
            log: "info".to_owned(),
            ..Settings::new(FastPath::Auto)
        }
    }

    /// The client is registered behind the first access point.
    pub fn set(label: &str, settings: Settings) -> Result<Self> {
        let mut scene = Self::at_home(label, settings)?;
        scene.roam(Place::Visited1Ap1, Carrier::Lost)?;
        scene.flows()?;
        Ok(scene)
    }

    /// The client is where it belongs.
    pub fn at_home(label: &str, settings: Settings) -> Result<Self> {
        let mut campus = Deployment::build(label, &settings)?;
        campus.agents.start()?;
        let client = campus.campus.client.host.namespace();
        let pings = PingStream::start(client, CORRESPONDENT, Duration::from_millis(20))?;
        let scene = Self { campus, settings, place: Place::Home, _pings: pings };
        reach(scene.client().namespace(), CORRESPONDENT, PATIENCE)?.context("no way out from home")?;
        Ok(scene)
    }

    /// Moves the client and waits until it is registered there.
    pub fn roam(&mut self, to: Place, carrier: Carrier) -> Result<()> {
        self.campus.roam(to, carrier)?;
        self.place = to;
        Ok(())
    }

    pub fn client(&self) -> &mipd_lab::Host {
        &self.campus.campus.client.host
    }

    fn flows(&self) -> Result<()> {
        reach(self.client().namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off").map(drop)
    }

    /// The client in all tables, without what passes by itself.
    pub fn tables(&self) -> Result<Vec<Value>> {
        let agents = &self.campus.agents;
        let mut rows = Vec::new();
        let (router, access_point) = (self.campus.router(self.place), self.campus.access_point(self.place));
        for (agent, what) in [(&agents.ha, "bindings"), (router, "visitors"), (access_point, "clients")] {
            let found = agent.rows_of(what, CLIENT)?;
            let registered = found.into_iter().filter(|row| row["state"] != "pending");
            rows.extend(registered);
        }
        for field in ["lifetime_remaining_s", "present_s"] {
            for value in rows.iter_mut().filter_map(|row| row.get_mut(field)) {
                value.take();
            }
        }
        Ok(rows)
    }

    pub fn unharmed(&self, before: &[Value]) -> Result<()> {
        let after = self.tables()?;
        ensure!(before.len() == 3, "the client is not in the three tables: {before:?}");
        ensure!(before == after.as_slice(), "the client's entries changed from {before:?} to {after:?}");
        for agent in self.campus.agents.all() {
            ensure!(agent.is_running()?, "the agent on {} is dead:\n{}", agent.host().name(), agent.log_tail());
        }
        self.flows()
    }

    /// Sends each message to the home agent from far away, and judges what becomes of it.
    pub fn judge_home_agent(&self, cases: &[Case]) -> Result<()> {
        let (agent, from) = (&self.campus.agents.ha, self.campus.campus.correspondent.namespace());
        let before = self.tables()?;
        for Case { what, message, fate, .. } in cases {
            let count = agent.counter(&fate.counter())?;
            let socket = forge::send(from, HOME_AGENT, message)?;
            counted(agent, &fate.counter(), count).context(*what)?;
            socket.set_read_timeout(Some(if fate.code().is_some() { PATIENCE } else { SILENCE }))?;
            let mut buffer = [0; 2048];
            let reply = match socket.recv(&mut buffer) {
                Ok(length) => Some(RegistrationReply::parse(&buffer[..length]).context("a malformed reply")?.0),
                Err(_) => None,
            };
            let code = reply.map(|reply| reply.code.0);
            ensure!(code == fate.code(), "{what}: answered {code:?}, not {:?}", fate.code());
            quiet(agent, what, *fate, || forge::send(from, HOME_AGENT, message).map(drop))?;
        }
        self.unharmed(&before)
    }

    /// Sends each message to the foreign agent from a station of its own, and judges what becomes of it.
    pub fn judge_foreign_agent(&self, cases: &[Case]) -> Result<()> {
        let agent = &self.campus.agents.fa1;
        let before = self.tables()?;
        let wire = FramePort::open(&self.campus.campus.visited1_host, "eth0")?;
        for (number, Case { what, message, ttl, fate }) in (1..).zip(cases) {
            let mac = MacAddress([2, 0xba, 0xd, 0, 0, number]);
            // What the home agent decides is the home agent's to count.
            let relayed = fate.code().is_some_and(|code| ReplyCode(code).is_from_home_agent());
            let counter =
                if relayed { fate.counter().replace("denied", "denied_by_home_agent") } else { fate.counter() };
            let (count, requests) = (agent.counter(&counter)?, agent.counter("requests_relayed")?);
            let frame = to_foreign_agent(mac, *ttl, message);
            wire.send(&frame)?;
            counted(agent, &counter, count).context(*what)?;
            let patience = if fate.code().is_some() { PATIENCE } else { SILENCE };
            let reply = wire.receive(patience, |frame| reply_to(mac, frame))?;
            let code = reply.map(|reply| reply.code.0);
            ensure!(code == fate.code(), "{what}: answered {code:?}, not {:?}", fate.code());
            ensure!(wire.receive(SILENCE, |frame| reply_to(mac, frame))?.is_none(), "{what}: answered twice");
            if code == Some(69) {
                let maximum = reply.is_some_and(|reply| reply.lifetime == Lifetime(3600));
                ensure!(maximum, "the maximum is not told: {reply:?}");
            }
            if !relayed {
                ensure!(agent.counter("requests_relayed")? == requests, "{what}: the request was relayed");
                quiet(agent, what, *fate, || wire.send(&frame))?;
            }
        }
        self.unharmed(&before)
    }
}

/// Repeats a message: each is counted, and hardly any is logged. The home agent counts by another name what it does not
/// answer because it has just answered to the same node without knowing that it was that node.
fn quiet(agent: &Agent, what: &str, fate: Fate, mut send: impl FnMut() -> Result<()>) -> Result<()> {
    let total = || -> Result<u64> { Ok(agent.counter(&fate.counter())? + agent.counter("discarded_denial_limited")?) };
    let (count, lines) = (total()?, lines(agent)?);
    for _ in 0..REPETITIONS {
        send()?;
    }
    wait::until(PATIENCE, || Ok((total()? >= count + REPETITIONS).then_some(())))?.with_context(|| {
        format!("{what}, repeated: {} counts {} of {REPETITIONS}", agent.host().name(), total().unwrap_or(0) - count)
    })?;
    let logged = self::lines(agent)? - lines;
    ensure!(logged < REPETITIONS / 4, "{what}: {logged} lines for {REPETITIONS} messages:\n{}", agent.log_tail());
    Ok(())
}

/// How long an agent's log is.
pub fn lines(agent: &Agent) -> Result<u64> {
    Ok(std::fs::read_to_string(agent.log())?.lines().count() as u64)
}

/// Waits until a counter is above `before`.
pub fn counted(agent: &Agent, name: &str, before: u64) -> Result<()> {
    wait::until(PATIENCE, || Ok((agent.counter(name)? > before).then_some(())))?
        .with_context(|| format!("{} does not count {name} beyond {before}", agent.host().name()))
}

/// A frame with a message in the client's name, from some station to the foreign agent.
pub fn to_foreign_agent(mac: MacAddress, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let link = Link { destination: FOREIGN_AGENT_MAC, source: mac };
    let (source, destination) = (CLIENT, FOREIGN_AGENT);
    let destination_port = MOBILE_IP_PORT;
    emit_udp(link, &Datagram { source, source_port: 50_000, destination, destination_port, ttl, payload })
}

fn reply_to(mac: MacAddress, frame: &[u8]) -> Option<RegistrationReply> {
    let (link, datagram) = parse_udp(frame, true).ok()?;
    (link.destination == mac).then(|| RegistrationReply::parse(datagram.payload).ok().map(|(reply, _)| reply))?
}
