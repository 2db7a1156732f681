//! Stations that are not who they say they are, or too many at once.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::arp::ArpPacket;
use mipd_agent::wire::frame::{ETHERTYPE_IPV4, Link, emit_udp};
use mipd_agent::wire::ip::{Datagram, Ipv4};
use mipd_common::mac::MacAddress;
use mipd_lab::topology::{CLIENT, CLIENT_MAC, CORRESPONDENT};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::traffic::ping::reach;
use mipd_lab::{Client, wait};

use super::scene::{FOREIGN_AGENT_MAC, PATIENCE, Scene, counted};

const STATION: [u8; 6] = [2, 0xbb, 0, 0, 0, 1];
/// What ten thousand addresses may cost the agent: far less than a hundred bytes for each.
const GROWTH_KIB: u64 = 1024;

/// A packet by some address, as a station sends it.
fn packet(mac: MacAddress, source: Ipv4Addr) -> Vec<u8> {
    let mut frame = [FOREIGN_AGENT_MAC.0, mac.0].concat();
    frame.extend(ETHERTYPE_IPV4.to_be_bytes());
    Ipv4 { source, destination: CORRESPONDENT, ttl: 64, protocol: 253, payload: &[0; 32] }.emit(&mut frame);
    frame
}

/// An announcement of some address (RFC 5227 §2.3).
fn announcement(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    ArpPacket::request(mac, address, address).emit(Link { destination: MacAddress::BROADCAST, source: mac })
}

/// A DHCP client that claims to have had some address (RFC 2131 §4.3.2, INIT-REBOOT).
fn claim(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[28..34].copy_from_slice(&mac.0);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    message.extend([53, 1, 3, 50, 4]);
    message.extend(address.octets());
    message.push(255);
    let (source, destination) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let datagram = Datagram { source, source_port: 68, destination, destination_port: 67, ttl: 64, payload: &message };
    emit_udp(Link { destination: MacAddress::BROADCAST, source: mac }, &datagram)
}

/// Memory that a process has in use, KiB.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[test]
fn a_station_that_claims_ten_thousand_addresses_is_one_client_and_harms_nobody() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostclaim", Scene::settings())?;
    let before = scene.tables()?;
    let (agent, boxes) = (&scene.campus.agents.ap1, &scene.campus.campus);
    let host = boxes.lab.host("greedy")?;
    let _greedy = Client::associate(host.clone(), boxes.lab.wires(), &boxes.ap1.air, STATION)?;
    let port = FramePort::open(&host, "wlan0")?;
    let mac = MacAddress(STATION);
    let address = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 64, 0)) + number);
    let noticed = agent.counter("visitors_noticed")?;
    let heard = wait::until(PATIENCE, || {
        port.send(&packet(mac, address(0)))?;
        Ok((agent.counter("visitors_noticed")? > noticed).then_some(()))
    })?;
    heard.context("the station is not noticed")?;
    let pid = agent.pid().context("the agent does not run")?;
    let (memory, refused) = (resident(pid)?, agent.counter("readdressing_refused")?);
    for number in 1..=10_000 {
        let address = address(number);
        let frame = match number % 3 {
            0 => announcement(mac, address),
            1 => packet(mac, address),
            _ => claim(mac, address),
        };
        port.send(&frame)?;
    }
    counted(agent, "readdressing_refused", refused)?;
    let clients = agent.show("clients")?;
    let clients = clients.as_array().context("no clients")?;
    let its = clients.iter().filter(|client| client["mac"] == mac.to_string()).count();
    ensure!(its <= 1 && clients.len() <= 2, "{its} of {} clients are the station's", clients.len());
    let changed = agent.counter("readdressed")?;
    ensure!(changed <= 12, "it changed its address {changed} times in a few seconds");
    let grown = resident(pid)?.saturating_sub(memory);
    ensure!(grown <= GROWTH_KIB, "the agent has grown by {grown} KiB");
    println!("ten thousand addresses: {grown} KiB more, {changed} changes of address");
    scene.unharmed(&before)
}

#[test]
fn a_station_with_a_registered_clients_address_is_not_served_and_named_in_the_log() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hosttwin", Scene::settings())?;
    let before = scene.tables()?;
    let (agent, boxes) = (&scene.campus.agents.ap1, &scene.campus.campus);
    let host = boxes.lab.host("twin")?;
    let _twin = Client::associate(host.clone(), boxes.lab.wires(), &boxes.ap1.air, STATION)?;
    let port = FramePort::open(&host, "wlan0")?;
    let refused = wait::until(PATIENCE, || {
        port.send(&packet(MacAddress(STATION), CLIENT))?;
        Ok((agent.counter("address_in_use")? > 0).then_some(()))
    })?;
    refused.context("the station is not refused")?;
    let rows = agent.rows_of("clients", CLIENT)?;
    let its =
        rows.iter().find(|row| row["mac"] == MacAddress(STATION).to_string()).context("the station is not shown")?;
    ensure!(its["state"] == "unserved", "{its}");
    let log = std::fs::read_to_string(agent.log())?;
    ensure!(log.contains("another client has its address"), "nothing in the log:\n{}", agent.log_tail());
    let own: Vec<_> = scene.tables()?.into_iter().filter(|row| row["mac"] != MacAddress(STATION).to_string()).collect();
    ensure!(own == before, "the client's entries changed from {before:?} to {own:?}");
    reach(scene.client().namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off").map(drop)
}

#[test]
fn a_frame_from_the_wire_with_a_clients_mac_costs_it_no_more_than_a_registration() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostmac", Scene::settings())?;
    let (agent, boxes) = (&scene.campus.agents.ap1, &scene.campus.campus);
    let moved = agent.counter("moved")?;
    let wired = FramePort::open(&boxes.visited1_host, "eth0")?;
    wired.send(&announcement(MacAddress(CLIENT_MAC), CLIENT))?;
    counted(agent, "moved", moved)?;
    let again = wait::until(PATIENCE, || {
        let rows = agent.rows_of("clients", CLIENT)?;
        Ok(rows.iter().any(|row| row["state"] == "registered").then_some(()))
    })?;
    again.context("the client is not registered again")?;
    reach(scene.client().namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off").map(drop)
}
