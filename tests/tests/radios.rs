//! Interfaces of an access point come and go under its agent: a radio, the bridge, the uplink. Clients on other radios go on.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place, Traffic};
use mipd_lab::radio::CLIENT_INTERFACE;
use mipd_lab::topology::{BRIDGE, CLIENT, CORRESPONDENT, UPLINK};
use mipd_lab::traffic::ping::reach;
use mipd_lab::{Air, Carrier, Client, Wire, wait};

const PATIENCE: Duration = Duration::from_secs(15);
const PROGRESS: u64 = 100_000;
const SECOND_RADIO: &str = "wlan1";
const SECOND_RADIO_MAC: [u8; 6] = [0x02, 0x03, 10, 2, 0, 11];
const SECOND_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);
const SECOND_CLIENT_MAC: [u8; 6] = [0x02, 0xc1, 0x1e, 0x00, 0x00, 0x65];
const BRIDGE_MAC: [u8; 6] = [0x02, 0, 10, 2, 0, 11];
const UPLINK_MAC: [u8; 6] = [0x02, 1, 10, 2, 0, 11];

/// A client with traffic at the first visited access point, which has a second radio configured that is not there.
fn scene(label: &str, fast_path: FastPath, more: &str) -> Result<(Deployment, Traffic)> {
    let radio = format!("{{ interface = {SECOND_RADIO:?}, ssid = \"guests\", hostapd = \"off\"{more} }}");
    let mut campus = Deployment::build(label, &Settings { more_radios: vec![radio], ..Settings::new(fast_path) })?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows")?;
    Ok((campus, traffic))
}

fn ip(campus: &Deployment, arguments: &[&str]) -> Result<()> {
    let host = &campus.campus.ap1.host;
    let output = host.namespace().output(Command::new("ip").args(arguments))?;
    ensure!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// How the agent sees the second radio: index, what is attached, and why not more.
fn second_radio(agent: &Agent) -> Result<(u64, String, String)> {
    let rows = agent.show("interfaces")?;
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["interface"] == SECOND_RADIO));
    let row = row.context("the radio is not listed")?;
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    Ok((row["ifindex"].as_u64().unwrap_or_default(), text("attached"), text("reason")))
}

fn appear(campus: &Deployment, air: &Wire) -> Result<()> {
    let host = &campus.campus.ap1.host;
    air.connect(host, SECOND_RADIO, SECOND_RADIO_MAC)?;
    host.add_port(BRIDGE, SECOND_RADIO)?;
    let attached = wait::until(PATIENCE, || {
        let (index, attached, _) = second_radio(&campus.agents.ap1)?;
        Ok((index != 0 && attached.ends_with("tc")).then_some(()))
    })?;
    attached.with_context(|| format!("the radio is not served:\n{}", campus.agents.ap1.log_tail()))
}

fn serves(campus: &Deployment, client: &Client) -> Result<()> {
    let reached = reach(client.host.namespace(), CORRESPONDENT, PATIENCE)?;
    reached.with_context(|| format!("the second client is not served:\n{}", campus.agents.ap1.log_tail()))?;
    let clients = campus.agents.ap1.rows_of("clients", SECOND_CLIENT)?;
    ensure!(clients.iter().any(|row| row["state"] == "registered"), "{clients:?}");
    ensure!(clients.iter().all(|row| row["interface"] == SECOND_RADIO), "{clients:?}");
    Ok(())
}

fn a_radio_comes_and_goes(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (campus, traffic) = scene(label, fast_path, "")?;
    let (lab, agent) = (&campus.campus.lab, &campus.agents.ap1);
    ensure!(second_radio(agent)? == (0, "none".to_owned(), "the interface is not there yet".to_owned()));

    let began = Instant::now();
    let air = lab.wire("air2-ap1")?;
    appear(&campus, &air)?;
    let host = lab.host("client2")?;
    let client = Client::associate(host, lab.wires(), &Air::new(air.clone()), SECOND_CLIENT_MAC)?;
    client.host.add_address(CLIENT_INTERFACE, Ipv4Net::new(SECOND_CLIENT, 24)?)?;
    client.host.add_default_route(Ipv4Addr::new(10, 1, 0, 1))?;
    serves(&campus, &client)?;

    for _ in 0..2 {
        let before = agent.counter("radios_gone")?;
        ip(&campus, &["link", "delete", SECOND_RADIO])?;
        agent.await_count("radios_gone", before, PATIENCE)?;
        ensure!(agent.rows_of("clients", SECOND_CLIENT)?.is_empty(), "the client is still listed");
        let bindings = campus.agents.ha.rows_of("bindings", SECOND_CLIENT)?;
        ensure!(bindings.len() == 1, "its registration has not ended in silence: {bindings:?}");
        let gone = second_radio(agent)?;
        ensure!(gone == (0, "none".to_owned(), "the interface is gone".to_owned()), "{gone:?}");
        appear(&campus, &air)?;
        serves(&campus, &client)?;
    }
    ensure!(agent.counter("deregistrations_sent")? == 0, "somebody was deregistered");

    let watched = Instant::now();
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("the other radio's client is cut off")?;
    let account = traffic.pings.during(began, watched);
    ensure!(account.lost == 0, "{} pings of the other radio's client were lost", account.lost);
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "its connection has suffered");
    Ok(())
}

#[test]
fn a_radio_comes_and_goes_by_tc() -> Result<()> {
    a_radio_comes_and_goes("radiotc", FastPath::Tc)
}

#[test]
fn a_radio_comes_and_goes_by_xdp() -> Result<()> {
    a_radio_comes_and_goes("radioxdp", FastPath::Auto)
}

#[test]
fn bridge_and_uplink_may_be_made_anew() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (campus, traffic) = scene("remade", FastPath::Auto, "")?;
    let (net, agent) = (&campus.campus, &campus.agents.ap1);
    let go_on = |what: &str| -> Result<()> {
        let progress = traffic.connection.progresses(PROGRESS, PATIENCE)?;
        progress.map(drop).with_context(|| format!("{what}, no data flows:\n{}", agent.log_tail()))?;
        let wired = reach(net.visited1_host.namespace(), CLIENT, PATIENCE)?;
        wired.map(drop).with_context(|| format!("{what}, nobody reaches the client"))
    };

    ip(&campus, &["link", "delete", BRIDGE])?;
    net.ap1.host.add_bridge(BRIDGE, BRIDGE_MAC)?;
    for port in [UPLINK, "wlan0"] {
        net.ap1.host.add_port(BRIDGE, port)?;
    }
    net.ap1.host.add_address(BRIDGE, net.ap1.address)?;
    net.ap1.host.add_default_route(net.fa1.lans[0].gateway.addr())?;
    go_on("with a new bridge")?;
    let known = wait::until(PATIENCE, || {
        let entries = net.ap1.host.namespace().output(Command::new("bridge").args(["fdb", "show", "dev", "wlan0"]))?;
        let entries = String::from_utf8_lossy(&entries.stdout).into_owned();
        Ok(entries
            .lines()
            .any(|line| line.starts_with("02:c1:1e:00:00:64") && line.contains("extern_learn"))
            .then_some(()))
    })?;
    known.context("the new bridge has not been told where the client is")?;

    ip(&campus, &["link", "delete", UPLINK])?;
    net.fa1.lans[0].wire.connect(&net.ap1.host, UPLINK, UPLINK_MAC)?;
    net.ap1.host.add_port(BRIDGE, UPLINK)?;
    go_on("with a new uplink")?;
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the connection has suffered");

    // Advertisements are heard there, and requests go out.
    let (lab, before) = (&net.lab, agent.counter("requests_sent")?);
    let air = lab.wire("air2-ap1")?;
    appear(&campus, &air)?;
    let client = Client::associate(lab.host("client2")?, lab.wires(), &Air::new(air), SECOND_CLIENT_MAC)?;
    client.host.add_address(CLIENT_INTERFACE, Ipv4Net::new(SECOND_CLIENT, 24)?)?;
    client.host.add_default_route(Ipv4Addr::new(10, 1, 0, 1))?;
    serves(&campus, &client)?;
    ensure!(agent.counter("requests_sent")? > before);
    Ok(())
}

/// Two network names of one access point, one of them without the service.
#[test]
fn a_client_that_changes_to_a_network_name_without_the_service_is_bridged_and_comes_back() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (mut campus, traffic) = scene("names", FastPath::Auto, ", proxy-mobile-ip = false")?;
    let air = campus.campus.lab.wire("air2-ap1")?;
    air.connect(&campus.campus.ap1.host, SECOND_RADIO, SECOND_RADIO_MAC)?;
    campus.campus.ap1.host.add_port(BRIDGE, SECOND_RADIO)?;
    ensure!(second_radio(&campus.agents.ap1).is_err(), "a radio without the service is listed");
    let programs =
        campus.campus.ap1.host.namespace().output(Command::new("ip").args(["link", "show", SECOND_RADIO]))?;
    ensure!(!String::from_utf8_lossy(&programs.stdout).contains("xdp"), "it carries a program");
    let directory = campus.campus.lab.directory().join("pcap");
    campus.capture(&["lan2"], &directory)?;

    let requests = campus.agents.ap1.counter("deregistrations_sent")?;
    campus.campus.client.roam(&Air::new(air), Carrier::Lost)?;
    let gone = wait::until(PATIENCE, || Ok(campus.agents.ap1.rows_of("clients", CLIENT)?.is_empty().then_some(())))?;
    gone.with_context(|| format!("the client is still listed:\n{}", campus.agents.ap1.log_tail()))?;
    let bindings = campus.agents.ha.rows_of("bindings", CLIENT)?;
    ensure!(bindings.len() == 1, "its registration has not ended in silence: {bindings:?}");
    ensure!(campus.agents.ap1.counter("deregistrations_sent")? == requests, "it was deregistered");
    // It asks for its gateway, and gets no answer: nobody is between it and the LAN.
    let home = Ipv4Addr::new(10, 1, 0, 1);
    let unheard = reach(campus.campus.client.host.namespace(), home, Duration::from_secs(2))?;
    ensure!(unheard.is_none(), "somebody answers in the home gateway's place");

    campus.roam(Place::Visited1Ap1, Carrier::Lost)?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows after its return")?;
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the connection has suffered");
    let lan = campus.stop_captures()?.remove("lan2").context("no capture")?;
    let bridged = lan.count("arp && eth.src == 02:c1:1e:00:00:64 && eth.dst == ff:ff:ff:ff:ff:ff")?;
    ensure!(bridged > 0, "what it sends without the service is not bridged");
    Ok(())
}
