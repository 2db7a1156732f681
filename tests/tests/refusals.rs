//! Peers that are wrong, broken or hostile: each gets the documented answer or silence, is counted, and does the
//! registered client no harm.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::{ETHERTYPE_IPV4, Link, emit_udp, parse_udp};
use mipd_agent::wire::ip::{Datagram, Ipv4};
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest, RequestFlags};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime, ReplyCode};
use mipd_common::mac::MacAddress;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings, random_key};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::{CLIENT, CLIENT_MAC, CORRESPONDENT};
use mipd_lab::traffic::forge::{self, identification, signed_reply, signed_request};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::traffic::ping::{PingStream, reach};
use mipd_lab::{Carrier, Client, wait};
use rand::Rng;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
/// An agent has acted before it counts: what it sent is there by then.
const SILENCE: Duration = Duration::from_millis(50);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const FOREIGN_AGENT_MAC: MacAddress = MacAddress([2, 0, 10, 2, 0, 1]);

/// What an agent does with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Code(u8),
    Silence(&'static str),
}

/// The campus with a registered client behind the first access point.
struct Scene {
    campus: Deployment,
    settings: Settings,
    /// An access point notices a client by what it sends.
    _pings: PingStream,
}

impl Scene {
    fn set(label: &str) -> Result<Self> {
        let settings = Settings {
            clients: "10.1.0.0/16".to_owned(),
            maximum_lifetime: "1h".to_owned(),
            ..Settings::new(FastPath::Auto)
        };
        let mut campus = Deployment::build(label, &settings)?;
        campus.agents.start()?;
        let client = campus.campus.client.host.namespace();
        let pings = PingStream::start(client, CORRESPONDENT, Duration::from_millis(20))?;
        let scene = Self { campus, settings, _pings: pings };
        reach(scene.client().namespace(), CORRESPONDENT, PATIENCE)?.context("no way out from home")?;
        scene.campus.roam(Place::Visited1Ap1, Carrier::Lost)?;
        scene.flows()?;
        Ok(scene)
    }

    fn client(&self) -> &mipd_lab::Host {
        &self.campus.campus.client.host
    }

    fn flows(&self) -> Result<()> {
        reach(self.client().namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off").map(drop)
    }

    /// The client in all tables, without what passes by itself.
    fn tables(&self) -> Result<Vec<Value>> {
        let agents = &self.campus.agents;
        let mut rows = Vec::new();
        for (agent, what) in [(&agents.ha, "bindings"), (&agents.fa1, "visitors"), (&agents.ap1, "clients")] {
            let found = agent.rows_of(what, CLIENT)?;
            let registered = found.into_iter().filter(|row| row["state"] != "pending");
            rows.extend(registered);
        }
        for field in rows.iter_mut().filter_map(|row| row.get_mut("lifetime_remaining_s")) {
            field.take();
        }
        Ok(rows)
    }

    fn unharmed(&self, before: &[Value]) -> Result<()> {
        let after = self.tables()?;
        ensure!(before.len() == 3, "the client is not in the three tables: {before:?}");
        ensure!(before == after.as_slice(), "the client's entries changed from {before:?} to {after:?}");
        for agent in self.campus.agents.all() {
            ensure!(agent.is_running()?, "the agent on {} is dead:\n{}", agent.host().name(), agent.log_tail());
        }
        self.flows()
    }

    fn sign(&self, request: &RegistrationRequest) -> Result<Vec<u8>> {
        signed_request(request, self.settings.spi, &self.settings.key)
    }
}

/// A request in the client's name, as its access point would send it.
fn request() -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::default(),
        lifetime: Lifetime(600),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(FOREIGN_AGENT),
        identification: identification(),
    }
}

/// A message whose last 22 bytes, the authentication, follow another extension that they do not protect.
fn with_extension(mut message: Vec<u8>, kind: u8) -> Vec<u8> {
    message.extend([kind, 2, 0, 0]);
    message
}

fn counted(agent: &Agent, name: &str, before: u64) -> Result<()> {
    wait::until(PATIENCE, || Ok((agent.counter(name)? > before).then_some(())))?
        .with_context(|| format!("{} does not count {name} beyond {before}", agent.host().name()))
}

fn answer(socket: &UdpSocket, patience: Duration) -> Result<Option<RegistrationReply>> {
    socket.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 2048];
    let Ok(length) = socket.recv(&mut buffer) else { return Ok(None) };
    Ok(Some(RegistrationReply::parse(&buffer[..length])?.0))
}

#[test]
fn the_home_agent_refuses_bad_requests_by_the_documented_code_or_silence() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostha")?;
    let before = scene.tables()?;
    let agent = &scene.campus.agents.ha;
    let stranger = RegistrationRequest { home_address: HomeAddress([10, 1, 0, 177].into()), ..request() };
    let old = RegistrationRequest { identification: before_now(60), ..request() };
    let gre = RequestFlags { gre: true, ..RequestFlags::default() };
    let cases: Vec<(&str, Vec<u8>, Fate)> = vec![
        ("wrong key", signed_request(&request(), scene.settings.spi, &random_key())?, Fate::Code(131)),
        ("wrong SPI", signed_request(&request(), 999, &scene.settings.key)?, Fate::Code(131)),
        ("an old Identification", scene.sign(&old)?, Fate::Code(133)),
        (
            "an unavailable encapsulation",
            scene.sign(&RegistrationRequest { flags: gre, ..request() })?,
            Fate::Code(139),
        ),
        (
            "a home address not served",
            scene.sign(&RegistrationRequest { home_address: HomeAddress([10, 1, 7, 7].into()), ..request() })?,
            Fate::Code(129),
        ),
        (
            "another Home Agent field",
            scene.sign(&RegistrationRequest { home_agent: HomeAgentAddress([10, 1, 0, 99].into()), ..request() })?,
            Fate::Code(136),
        ),
        (
            "no association",
            scene.sign(&RegistrationRequest { home_address: HomeAddress([192, 0, 2, 1].into()), ..stranger })?,
            Fate::Silence("discarded_no_association"),
        ),
        ("a truncated extension", scene.sign(&request())?[..40].to_vec(), Fate::Code(134)),
        ("a truncated header", scene.sign(&request())?[..20].to_vec(), Fate::Silence("discarded_not_a_request")),
        (
            "an unknown extension that may not be skipped",
            with_extension(scene.sign(&request())?, 99),
            Fate::Silence("discarded_unknown_extension"),
        ),
        ("an oversized message", [scene.sign(&request())?, vec![200; 1400]].concat(), Fate::Code(134)),
    ];
    let attacker = scene.campus.campus.correspondent.namespace();
    for (what, message, fate) in cases {
        let name = match fate {
            Fate::Code(code) => format!("denied_{code}"),
            Fate::Silence(name) => name.to_owned(),
        };
        let count = agent.counter(&name)?;
        let socket = forge::send(attacker, HOME_AGENT, &message)?;
        counted(agent, &name, count).context(what)?;
        let patience = if matches!(fate, Fate::Code(_)) { PATIENCE } else { SILENCE };
        let code = answer(&socket, patience)?.map(|reply| reply.code.0);
        let wanted = if let Fate::Code(code) = fate { Some(code) } else { None };
        ensure!(code == wanted, "{what}: answered {code:?}, not {wanted:?}");
    }

    // The same bytes twice: the first are good, also with an extension that may be skipped. A deregistration leaves nothing.
    let good = with_extension(
        scene.sign(&RegistrationRequest {
            identification: identification(),
            lifetime: Lifetime::DEREGISTER,
            ..stranger
        })?,
        200,
    );
    for wanted in [ReplyCode::ACCEPTED, ReplyCode::HA_IDENTIFICATION] {
        let reply = answer(&forge::send(attacker, HOME_AGENT, &good)?, PATIENCE)?.context("no reply")?;
        ensure!(reply.code == wanted, "a request and its replay: {reply:?}, not {wanted:?}");
    }
    scene.unharmed(&before)
}

fn before_now(seconds: u64) -> mipd_agent::wire::types::Identification {
    mipd_agent::wire::types::Identification(identification().0 - (seconds << 32))
}

#[test]
fn the_foreign_agent_refuses_bad_requests_by_the_documented_code_or_silence() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostfa")?;
    let before = scene.tables()?;
    let agent = &scene.campus.agents.fa1;
    let attacker = FramePort::open(&scene.campus.campus.visited1_host, "eth0")?;
    let flags = |gre, reverse_tunnel| RequestFlags { gre, reverse_tunnel, ..RequestFlags::default() };
    let elsewhere = CareOfAddress([10, 2, 0, 99].into());
    let good = scene.sign(&request())?;
    let cases: Vec<(&str, Vec<u8>, u8, Fate)> = vec![
        (
            "a lifetime too long",
            scene.sign(&RegistrationRequest { lifetime: Lifetime(7200), ..request() })?,
            255,
            Fate::Code(69),
        ),
        (
            "an unavailable encapsulation",
            scene.sign(&RegistrationRequest { flags: flags(true, false), ..request() })?,
            255,
            Fate::Code(72),
        ),
        (
            "a distant node that wants a reverse tunnel",
            scene.sign(&RegistrationRequest { flags: flags(false, true), ..request() })?,
            254,
            Fate::Code(76),
        ),
        (
            "a wrong care-of address",
            scene.sign(&RegistrationRequest { care_of_address: elsewhere, ..request() })?,
            255,
            Fate::Code(77),
        ),
        ("a truncated extension", good[..40].to_vec(), 255, Fate::Code(70)),
        ("a truncated header", good[..20].to_vec(), 255, Fate::Silence("discarded_not_a_request")),
        ("an unknown extension", with_extension(good, 99), 255, Fate::Silence("discarded_unknown_extension")),
        ("a wrong key", signed_request(&request(), scene.settings.spi, &random_key())?, 255, Fate::Code(131)),
    ];
    for (number, (what, payload, ttl, fate)) in (1..).zip(cases) {
        let mac = MacAddress([2, 0xba, 0xd, 0, 0, number]);
        let name = match fate {
            Fate::Code(131) => "denied_by_home_agent_131".to_owned(),
            Fate::Code(code) => format!("denied_{code}"),
            Fate::Silence(name) => name.to_owned(),
        };
        let count = agent.counter(&name)?;
        attacker.send(&to_foreign_agent(mac, ttl, &payload))?;
        counted(agent, &name, count).context(what)?;
        let patience = if matches!(fate, Fate::Code(_)) { PATIENCE } else { SILENCE };
        let reply = attacker.receive(patience, |frame| {
            let (link, datagram) = parse_udp(frame, true).ok()?;
            (link.destination == mac)
                .then(|| RegistrationReply::parse(datagram.payload).ok().map(|(reply, _)| reply))?
        })?;
        let code = reply.map(|reply| reply.code.0);
        let wanted = if let Fate::Code(code) = fate { Some(code) } else { None };
        ensure!(code == wanted, "{what}: answered {code:?}, not {wanted:?}");
        if code == Some(69) {
            ensure!(reply.is_some_and(|reply| reply.lifetime == Lifetime(3600)), "the maximum is not told: {reply:?}");
        }
    }
    let count = agent.counter("malformed")?;
    let mut frame = to_foreign_agent(MacAddress([2, 0xba, 0xd, 0, 0, 99]), 255, &scene.sign(&request())?);
    frame[14 + 20 + 6] ^= 0x55;
    attacker.send(&frame)?;
    counted(agent, "malformed", count).context("a wrong UDP checksum")?;
    scene.unharmed(&before)
}

fn to_foreign_agent(mac: MacAddress, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let link = Link { destination: FOREIGN_AGENT_MAC, source: mac };
    let (source, destination) = (CLIENT, FOREIGN_AGENT);
    emit_udp(link, &Datagram { source, source_port: 50_000, destination, destination_port: 434, ttl, payload })
}

fn ip_frame(link: Link, protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut frame = [link.destination.0, link.source.0].concat();
    frame.extend(ETHERTYPE_IPV4.to_be_bytes());
    Ipv4 { source, destination, ttl: 64, protocol, payload }.emit(&mut frame);
    frame
}

#[test]
fn forged_replies_and_packets_and_floods_leave_the_client_unharmed() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostpk")?;
    let before = scene.tables()?;
    let (agents, boxes) = (&scene.campus.agents, &scene.campus.campus);
    let wired = FramePort::open(&boxes.visited1_host, "eth0")?;

    // Replies that nobody asked for.
    let reply = RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: Lifetime(0),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        identification: identification(),
    };
    let reply = signed_reply(&reply, scene.settings.spi, &random_key())?;
    let count = agents.fa1.counter("discarded_unsolicited")?;
    forge::send(boxes.correspondent.namespace(), FOREIGN_AGENT, &reply)?;
    counted(&agents.fa1, "discarded_unsolicited", count)?;

    // Tunnelled packets from wrong tunnel ends.
    let mut inner = Vec::new();
    Ipv4 { source: CORRESPONDENT, destination: CLIENT, ttl: 64, protocol: 253, payload: &[0; 32] }.emit(&mut inner);
    let core = MacAddress([2, 0, 10, 9, 0, 1]);
    let correspondent = FramePort::open(&boxes.correspondent, "eth0")?;
    let link = Link { destination: core, source: MacAddress([2, 0, 10, 9, 0, 10]) };
    let count = agents.fa1.counter("dropped_no_visitor")?;
    correspondent.send(&ip_frame(link, 4, CORRESPONDENT, FOREIGN_AGENT, &inner))?;
    counted(&agents.fa1, "dropped_no_visitor", count)?;
    let mut inner = Vec::new();
    Ipv4 { source: CLIENT, destination: CORRESPONDENT, ttl: 64, protocol: 253, payload: &[0; 32] }.emit(&mut inner);
    let count = agents.ha.counter("dropped_tunnel_source")?;
    correspondent.send(&ip_frame(link, 4, CORRESPONDENT, HOME_AGENT, &inner))?;
    counted(&agents.ha, "dropped_tunnel_source", count)?;

    // The visitor with a source address that is not its own.
    let radio = FramePort::open(scene.client(), "wlan0")?;
    let link = Link { destination: FOREIGN_AGENT_MAC, source: MacAddress(CLIENT_MAC) };
    let count = agents.ap1.counter("dropped_spoofed")?;
    radio.send(&ip_frame(link, 253, [10, 77, 0, 1].into(), CORRESPONDENT, &[0; 32]))?;
    counted(&agents.ap1, "dropped_spoofed", count)?;
    scene.unharmed(&before)?;

    // Registration messages, mutated.
    let good = scene.sign(&RegistrationRequest { identification: before_now(600), ..request() })?;
    let mut random = rand::rng();
    let link = Link { destination: MacAddress(CLIENT_MAC), source: FOREIGN_AGENT_MAC };
    for round in 0..3_334_usize {
        let mut message = good.clone();
        for _ in 0..=(round % 6) {
            let at = random.next_u32() as usize % message.len();
            message[at] = random.next_u32() as u8;
        }
        message.truncate(1 + random.next_u32() as usize % (2 * message.len()));
        wired.send(&to_foreign_agent(MacAddress([2, 0xf0, 0, 0, 0, round as u8]), 255, &message))?;
        message[0] = 3;
        let (source, destination) = (FOREIGN_AGENT, CLIENT);
        let ports = (434, random.next_u32() as u16);
        let (source_port, destination_port, ttl) = (ports.0, ports.1, 255);
        let payload = &message;
        wired.send(&emit_udp(link, &Datagram { source, source_port, destination, destination_port, ttl, payload }))?;
        message[0] = 1;
        let socket = Link { destination: core, source: MacAddress([2, 0, 10, 9, 0, 10]) };
        let (source, destination, destination_port, ttl) = (CORRESPONDENT, HOME_AGENT, 434, 64);
        let payload = &message;
        let datagram = Datagram { source, source_port: 50_001, destination, destination_port, ttl, payload };
        correspondent.send(&emit_udp(socket, &datagram))?;
    }
    scene.unharmed(&before)?;

    // A station with more identities than the access point remembers clients (4096): records nobody will miss go first.
    let crowd = boxes.lab.host("crowd")?;
    let _crowd = Client::associate(crowd.clone(), boxes.lab.wires(), &boxes.ap1.air, [2, 0xcc, 0, 0, 0, 0])?;
    let port = FramePort::open(&crowd, "wlan0")?;
    for round in 0..8_u16 {
        let noticed = agents.ap1.counter("visitors_noticed")?;
        for number in round * 1000..(round + 1) * 1000 {
            let [high, low] = number.to_be_bytes();
            let link = Link { destination: FOREIGN_AGENT_MAC, source: MacAddress([2, 0xcc, 0, 1, high, low]) };
            port.send(&ip_frame(link, 253, Ipv4Addr::new(10, 50, high, low), CORRESPONDENT, &[0; 32]))?;
        }
        counted(&agents.ap1, "visitors_noticed", noticed)?;
    }
    counted(&agents.ap1, "evicted", 0)?;
    let clients = agents.ap1.show("clients")?.as_array().map_or(0, Vec::len);
    ensure!(clients <= 4096, "{clients} stations are remembered");
    scene.unharmed(&before)
}
