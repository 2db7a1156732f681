//! Tunnel packets that no agent of ours sends, in every encapsulation: each is dropped and counted by its name, none comes out at
//! either end, and the client's own packets go on.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_common::mac::MacAddress;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::tunnel::{Gre, Minimal, UdpTunnel};
use mipd_lab::topology::{CLIENT, CORE_INTERFACE, CORRESPONDENT};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::traffic::ping::reach;
use mipd_lab::{Carrier, wait};
use serde_json::Value;

use super::scene::{FOREIGN_AGENT, HOME_AGENT, PATIENCE};

/// How often each packet is sent, so that a chance event cannot be taken for its count.
const REPETITIONS: u64 = 20;
/// What must never come out of a tunnel, and what must.
const FORGED: &[u8] = b"nobody sent this";
const GENUINE: &[u8] = b"this is for real";
/// No box's.
const ATTACKER: MacAddress = MacAddress([2, 0xba, 0xd, 0, 0, 1]);
/// After this nothing is under way any more.
const SILENCE: Duration = Duration::from_millis(300);
/// An address of the home network that nobody has registered, and one that no network has.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 77);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);

#[test]
fn forged_packets_in_ip_in_ip_are_dropped_by_name() -> Result<()> {
    attack("forgeipip", "ipip", "never", "off")
}

#[test]
fn forged_packets_in_gre_are_dropped_by_name() -> Result<()> {
    attack("forgegre", "gre", "never", "off")
}

#[test]
fn forged_packets_in_gre_with_keys_are_dropped_by_name() -> Result<()> {
    attack("forgekey", "gre", "with-gre", "off")
}

#[test]
fn forged_packets_in_minimal_encapsulation_are_dropped_by_name() -> Result<()> {
    attack("forgemin", "minimal", "never", "off")
}

#[test]
fn forged_packets_over_udp_are_dropped_by_name() -> Result<()> {
    attack("forgeudp", "ipip", "never", "forced")
}

#[test]
fn forged_packets_in_gre_with_keys_over_udp_are_dropped_by_name() -> Result<()> {
    attack("forgeudpgre", "gre", "with-gre", "forced")
}

/// How one end wraps what it sends.
#[derive(Clone, Copy, Debug)]
struct Form {
    base: &'static str,
    key: Option<u32>,
    over_udp: bool,
    ports: (u16, u16),
}

impl Form {
    fn wrap(self, source: Ipv4Addr, destination: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        let gre = self.key.map_or_else(Gre::new, |key| Gre::new().key(key.to_be_bytes()));
        let (protocol, contents) = match self.base {
            "gre" => (47, gre.bytes(inner)),
            "minimal" => (55, Minimal::new().bytes(inner)),
            _ => (4, inner.bytes()),
        };
        let udp = UdpTunnel::new().ports(self.ports.0, self.ports.1).next_header(protocol);
        let packet = Ipv4::tunnel(source, destination, inner);
        if self.over_udp {
            return packet.protocol(17).payload_bytes(&udp.bytes(&contents));
        }
        packet.protocol(protocol).payload_bytes(&contents)
    }

    /// Another form than agreed: with another key, from another port, of another kind.
    fn altered(self) -> [(&'static str, Self); 2] {
        let kind = if self.base == "gre" { "ipip" } else { "gre" };
        let kind = ("another encapsulation", Self { base: kind, key: None, ..self });
        match self.key {
            Some(key) => [("a wrong key", Self { key: Some(key ^ 1), ..self }), kind],
            None if self.over_udp => [("a wrong port", Self { ports: (4_711, self.ports.1), ..self }), kind],
            None => [("a key that is not agreed on", Self { base: "gre", key: Some(7), ..self }), kind],
        }
    }
}

/// A tunnel's end that is attacked, and the other one, in whose name.
struct End<'a> {
    victim: &'a Agent,
    address: Ipv4Addr,
    other: Ipv4Addr,
    /// Out of the other end's interface.
    port: FramePort,
    next_hop: MacAddress,
    /// How the other end wraps.
    form: Form,
}

impl End<'_> {
    fn send(&self, packet: &Ipv4) -> Result<()> {
        self.port.send(&Frame::new(ATTACKER, self.next_hop).ipv4(packet).bytes())
    }

    /// Each of these packets is counted by this name.
    fn refuses(&self, what: &str, packet: &Ipv4, counter: &str) -> Result<()> {
        let before = self.victim.counter(counter)?;
        for _ in 0..REPETITIONS {
            self.send(packet)?;
        }
        let counted =
            wait::until(PATIENCE, || Ok((self.victim.counter(counter)? >= before + REPETITIONS).then_some(())))?;
        let name = self.victim.host().name();
        counted.with_context(|| {
            format!("{what}: {name} counts {} as {counter}", self.victim.counter(counter).unwrap_or(0) - before)
        })
    }
}

fn attack(label: &str, encapsulation: &'static str, gre_key: &str, udp: &str) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let campus = campus_with(label, encapsulation, gre_key, udp)?;
    let boxes = &campus.campus;
    let (client, correspondent) = (&boxes.client.host, &boxes.correspondent);
    let (home, visited) = (the_tunnel(&campus.agents.ha)?, the_tunnel(&campus.agents.fa1)?);
    let form = |sender: &Value| Form {
        base: encapsulation,
        key: sender["send_key"].as_u64().map(|key| key as u32),
        over_udp: udp != "off",
        ports: (434, 434),
    };
    let up = End {
        victim: &campus.agents.ha,
        address: HOME_AGENT,
        other: FOREIGN_AGENT,
        port: FramePort::open(&boxes.fa1.host, CORE_INTERFACE)?,
        next_hop: next_hop(&visited)?,
        form: form(&visited),
    };
    let down = End {
        victim: &campus.agents.fa1,
        address: FOREIGN_AGENT,
        other: HOME_AGENT,
        port: FramePort::open(&boxes.ha.host, CORE_INTERFACE)?,
        next_hop: next_hop(&home)?,
        form: form(&home),
    };
    let ears = (FramePort::open(client, "wlan0")?, FramePort::open(correspondent, "eth0")?);
    let packet = |from, to, data: &[u8]| Ipv4::udp_with((from, 9), (to, 9), data);

    // What the tests build is what the agents take.
    for (end, ear, inner) in [
        (&up, &ears.1, packet(CLIENT, CORRESPONDENT, GENUINE)),
        (&down, &ears.0, packet(CORRESPONDENT, CLIENT, GENUINE)),
    ] {
        end.send(&end.form.wrap(end.other, end.address, &inner))?;
        let came = ear.receive(PATIENCE, |frame| holds(frame, GENUINE))?;
        came.with_context(|| format!("a genuine packet for {} does not arrive", end.victim.host().name()))?;
    }

    let before =
        (campus.agents.ha.rows_of("bindings", CLIENT)?.len(), campus.agents.fa1.rows_of("visitors", CLIENT)?.len());
    for (end, inner) in [(&up, packet(CLIENT, CORRESPONDENT, FORGED)), (&down, packet(CORRESPONDENT, CLIENT, FORGED))] {
        for (what, form) in end.form.altered() {
            end.refuses(what, &form.wrap(end.other, end.address, &inner), "dropped_encapsulation")?;
        }
        let truncated = truncated(&end.form.wrap(end.other, end.address, &inner), end.form.over_udp);
        end.refuses("a truncated inner header", &truncated, "dropped_short")?;
        let nested = Ipv4::tunnel(end.other, ELSEWHERE, &inner);
        end.refuses("a tunnel in a tunnel", &end.form.wrap(end.other, end.address, &nested), "dropped_no_visitor")?;
        if encapsulation == "gre" {
            let inner = packet(CLIENT, end.other, FORGED);
            end.refuses("a loop", &end.form.wrap(end.other, end.address, &inner), "dropped_loop")?;
        }
    }
    let spoofed = packet(NEIGHBOUR, CORRESPONDENT, FORGED);
    up.refuses("a spoofed inner source", &up.form.wrap(up.other, up.address, &spoofed), "dropped_no_visitor")?;
    let inner = packet(CLIENT, CORRESPONDENT, FORGED);
    let counter = "dropped_tunnel_source";
    up.refuses("a wrong tunnel end, upwards", &up.form.wrap(ELSEWHERE, up.address, &inner), counter)?;
    let inner = packet(CORRESPONDENT, CLIENT, FORGED);
    let counter = "dropped_no_visitor";
    down.refuses("a wrong tunnel end, downwards", &down.form.wrap(ELSEWHERE, down.address, &inner), counter)?;
    // RFC 2003 §4: from the tunnel's exit, back into it.
    up.refuses("the tunnel's exit as source", &packet(FOREIGN_AGENT, CLIENT, FORGED), "dropped_loop")?;

    for (ear, who) in [(&ears.0, "client"), (&ears.1, "correspondent")] {
        ensure!(ear.receive(SILENCE, |frame| holds(frame, FORGED))?.is_none(), "a forged packet reached the {who}");
    }
    reach(client.namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off")?;
    let after =
        (campus.agents.ha.rows_of("bindings", CLIENT)?.len(), campus.agents.fa1.rows_of("visitors", CLIENT)?.len());
    ensure!(before == (1, 1) && after == before, "bindings and visitors: {before:?}, then {after:?}");
    Ok(())
}

/// The client is registered behind the first access point, which asks for this encapsulation and a reverse tunnel.
fn campus_with(label: &str, encapsulation: &str, gre_key: &str, udp: &str) -> Result<Deployment> {
    let settings = Settings { reverse_tunnel: true, ..Settings::new(FastPath::Auto) };
    let mut campus = Deployment::build(label, &settings)?;
    campus.wrap_by(&settings, Place::Visited1Ap1, encapsulation, (gre_key, udp))?;
    campus.agents.start()?;
    let pings = campus.start_pings()?;
    campus.roam(Place::Visited1Ap1, Carrier::Lost)?;
    drop(pings);
    reach(campus.campus.client.host.namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off")?;
    Ok(campus)
}

/// The only tunnel of a router, once its next hop is known.
fn the_tunnel(agent: &Agent) -> Result<Value> {
    let tunnel = wait::until(PATIENCE, || {
        let tunnels = agent.show("tunnels")?.as_array().cloned().unwrap_or_default();
        Ok(tunnels.into_iter().find(|tunnel| tunnel["state"] == "ready"))
    })?;
    tunnel.with_context(|| format!("tunnels of {}: {:?}", agent.host().name(), agent.show("tunnels")))
}

/// Where a router sends what goes into its tunnel.
fn next_hop(tunnel: &Value) -> Result<MacAddress> {
    let mac = tunnel["next_hop"].as_str().context("a tunnel without next hop")?;
    mac.parse().ok().context("a next hop without MAC")
}

/// The packet cut off within the headers that follow the outer one.
fn truncated(packet: &Ipv4, over_udp: bool) -> Ipv4 {
    let keep = if over_udp { 12 + 6 } else { 6 };
    let mut payload = packet.bytes()[20..20 + keep].to_vec();
    if over_udp {
        payload[4..6].copy_from_slice(&(keep as u16).to_be_bytes());
    }
    packet.clone().payload_bytes(&payload)
}

fn holds(frame: &[u8], data: &[u8]) -> Option<()> {
    frame.windows(data.len()).any(|window| window == data).then_some(())
}
