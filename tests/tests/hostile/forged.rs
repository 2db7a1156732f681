//! Packets that nobody of ours would send, and floods of them.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::{ETHERTYPE_IPV4, Link, emit_udp};
use mipd_agent::wire::ip::{Datagram, Ipv4};
use mipd_agent::wire::registration::RegistrationRequest;
use mipd_common::mac::MacAddress;
use mipd_lab::topology::{CLIENT, CLIENT_MAC, CORRESPONDENT};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::{Client, wait};
use rand::Rng;

use super::messages::{before_now, request, sign};
use super::scene::{FOREIGN_AGENT, FOREIGN_AGENT_MAC, HOME_AGENT, PATIENCE, Scene, counted, lines, to_foreign_agent};

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
    let scene = Scene::set("hostpk", Scene::settings())?;
    let before = scene.tables()?;
    let (agents, boxes) = (&scene.campus.agents, &scene.campus.campus);
    let wired = FramePort::open(&boxes.visited1_host, "eth0")?;

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
    let stale = RegistrationRequest { identification: before_now(600), ..request() };
    let good = sign(&stale, &scene.settings)?;
    let logged: Vec<u64> = agents.all().into_iter().map(lines).collect::<Result<_>>()?;
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
    for (agent, before) in agents.all().into_iter().zip(logged) {
        let logged = lines(agent)? - before;
        ensure!(logged < 100, "{logged} lines for a flood on {}:\n{}", agent.host().name(), agent.log_tail());
    }

    // A station with more identities than the access point remembers clients (4096): records nobody will miss go first.
    let crowd = boxes.lab.host("crowd")?;
    let _crowd = Client::associate(crowd.clone(), boxes.lab.wires(), &boxes.ap1.air, [2, 0xcc, 0, 0, 0, 0])?;
    let port = FramePort::open(&crowd, "wlan0")?;
    for round in 0..8_u16 {
        let noticed = agents.ap1.counter("visitors_noticed")?;
        // The first frames may come before the air carries them, so they are sent until they count.
        let heard = wait::until(PATIENCE, || {
            for number in round * 1000..(round + 1) * 1000 {
                let [high, low] = number.to_be_bytes();
                let link = Link { destination: FOREIGN_AGENT_MAC, source: MacAddress([2, 0xcc, 0, 1, high, low]) };
                port.send(&ip_frame(link, 253, Ipv4Addr::new(10, 50, high, low), CORRESPONDENT, &[0; 32]))?;
            }
            Ok((agents.ap1.counter("visitors_noticed")? > noticed).then_some(()))
        })?;
        heard.with_context(|| format!("the access point notices nobody of round {round}"))?;
    }
    counted(&agents.ap1, "evicted", 0)?;
    let clients = agents.ap1.show("clients")?.as_array().map_or(0, Vec::len);
    ensure!(clients <= 4096, "{clients} stations are remembered");
    scene.unharmed(&before)
}
