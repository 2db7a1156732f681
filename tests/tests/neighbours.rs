//! What a visitor says to its neighbours, as it would at home: it is answered, and the visited LAN hears nothing of it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_common::mac::MacAddress;
use mipd_lab::Carrier;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::packets::frame::{Arp, Frame};
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::radio::CLIENT_INTERFACE;
use mipd_lab::topology::{CLIENT, CLIENT_MAC};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);
const MAC: MacAddress = MacAddress(CLIENT_MAC);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 3, 4);
/// The gateway's MAC at home, which the client remembers.
const REMEMBERED: MacAddress = MacAddress([0x02, 0, 10, 1, 0, 1]);

fn ask(to: MacAddress, sender: Ipv4Addr, target: Ipv4Addr) -> Frame {
    Frame::new(MAC, to).arp(Arp::request((MAC, sender), target))
}

/// Sends a question and waits for the answer to it, from anybody. Repeated, since the first one may meet an access point that
/// knows nothing of the client yet.
fn answer(port: &FramePort, question: &Frame, target: Ipv4Addr) -> Result<Option<MacAddress>> {
    wait::until(PATIENCE, || {
        // What the client's own stack was told.
        while port.next(&mut [0; 2048]).is_some() {}
        port.send(&question.bytes())?;
        heard(port, target, Duration::from_secs(1))
    })
}

/// Who answers for an address, within some time.
fn heard(port: &FramePort, target: Ipv4Addr, patience: Duration) -> Result<Option<MacAddress>> {
    port.receive(patience, |frame| {
        let is_reply = frame.get(12..14)? == [0x08, 0x06] && frame.get(20..22)? == [0, 2];
        let for_us = frame.get(..6)? == MAC.0 && frame.get(28..32)? == target.octets();
        (is_reply && for_us).then(|| MacAddress(frame[22..28].try_into().expect("six bytes")))
    })
}

/// Everything that a stack may say to its neighbours.
fn chatter(port: &FramePort) -> Result<()> {
    for (what, to, target, by) in [
        ("the gateway, at the MAC that it had at home", REMEMBERED, GATEWAY, REMEMBERED),
        ("the gateway", MacAddress::BROADCAST, GATEWAY, MacAddress::VIRTUAL_GATEWAY),
        ("a neighbour", MacAddress::BROADCAST, NEIGHBOUR, MacAddress::VIRTUAL_GATEWAY),
        ("the gateway, at the virtual MAC", MacAddress::VIRTUAL_GATEWAY, GATEWAY, MacAddress::VIRTUAL_GATEWAY),
    ] {
        let answered = answer(port, &ask(to, CLIENT, target), target)?;
        ensure!(answered == Some(by), "asked for {what}: {answered:?}");
    }
    for (what, question, target) in [
        ("a probe for the client's own address", ask(MacAddress::BROADCAST, NOBODY, CLIENT), CLIENT),
        ("a probe for a neighbour's address", ask(MacAddress::BROADCAST, NOBODY, NEIGHBOUR), NEIGHBOUR),
        ("an announcement", ask(MacAddress::BROADCAST, CLIENT, CLIENT), CLIENT),
        ("a probe for a link-local address", ask(MacAddress::BROADCAST, NOBODY, LINK_LOCAL), LINK_LOCAL),
        ("a question by a link-local address", ask(MacAddress::BROADCAST, LINK_LOCAL, GATEWAY), GATEWAY),
    ] {
        port.send(&question.bytes())?;
        let answered = heard(port, target, SILENCE)?;
        ensure!(answered.is_none(), "{what} is answered by {answered:?}");
    }
    let announcement = Arp::reply((MAC, CLIENT), (MacAddress::BROADCAST, CLIENT));
    port.send(&Frame::new(MAC, MacAddress::BROADCAST).arp(announcement).bytes())?;
    for source in [CLIENT, LINK_LOCAL] {
        for (group, last, udp) in [([224, 0, 0, 251], 0xfb, 5353), ([224, 0, 0, 252], 0xfc, 5355)] {
            let mac = MacAddress([0x01, 0, 0x5e, 0, 0, last]);
            let packet = Ipv4::udp((source, udp), (Ipv4Addr::from(group), udp), 12).ttl(1);
            port.send(&Frame::new(MAC, mac).ipv4(&packet).bytes())?;
        }
        let netbios = Ipv4::udp((source, 137), (Ipv4Addr::new(10, 1, 0, 255), 137), 50);
        port.send(&Frame::new(MAC, MacAddress::BROADCAST).ipv4(&netbios).bytes())?;
    }
    Ok(())
}

fn nothing_leaks(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build(label, &Settings::new(fast_path))?;
    let client = campus.campus.client.host.clone();
    for interface in ["all", CLIENT_INTERFACE] {
        client.namespace().set_sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")?;
    }
    campus.agents.start()?;
    let directory = campus.campus.lab.directory().join("pcap");
    campus.capture(&["lan2", "lan3"], &directory)?;
    let port = FramePort::open(&client, CLIENT_INTERFACE)?;

    // Its first frame is a question to the gateway's MAC at home (RFC 4436).
    campus.campus.client.roam(campus.air(Place::Visited1Ap1), Carrier::Kept)?;
    chatter(&port).context("as it arrives and after")?;
    let registered = wait::until(PATIENCE, || {
        let rows = campus.agents.ap1.rows_of("clients", CLIENT)?;
        Ok(rows.iter().any(|row| row["state"] == "registered").then_some(()))
    })?;
    registered.with_context(|| format!("it is not registered:\n{}", campus.agents.ap1.log_tail()))?;
    chatter(&port).context("while it is registered")?;
    let pings = |target: Ipv4Addr, ttl: &str| -> Result<String> {
        let mut command = Command::new("ping");
        command.args(["-n", "-c", "3", "-i", "0.2", "-W", "2", "-t", ttl]).arg(target.to_string());
        Ok(String::from_utf8_lossy(&client.namespace().output(&mut command)?.stdout).into_owned())
    };
    for neighbour in [GATEWAY, NEIGHBOUR] {
        let pinged = pings(neighbour, "1")?;
        ensure!(pinged.contains("3 received"), "{neighbour}, one hop away, does not answer: {pinged}");
    }
    ensure!(campus.agents.ap1.counter("echoes_prolonged")? >= 6);
    let beyond = pings(mipd_lab::topology::CORRESPONDENT, "1")?;
    ensure!(beyond.contains("0 received"), "who is not a neighbour answers nevertheless: {beyond}");

    // On hold: its home agent does not answer any more.
    campus.agents.ha.kill9();
    campus.campus.client.roam(campus.air(Place::Visited2), Carrier::Kept)?;
    let probe = campus.campus.client.host.namespace();
    wait::until(PATIENCE, || {
        probe.output(Command::new("ping").args(["-n", "-c", "1", "-W", "1"]).arg(GATEWAY.to_string()))?;
        Ok((!campus.agents.ap3.rows_of("clients", CLIENT)?.is_empty()).then_some(()))
    })?
    .context("it is not noticed")?;
    chatter(&port).context("on hold")?;

    let files = campus.stop_captures()?;
    let from_client = "eth.src == 02:c1:1e:00:00:64";
    for (lan, agent) in [("lan2", "02:00:0a:02:00:01"), ("lan3", "02:00:0a:03:00:01")] {
        for (what, filter) in [
            ("ARP", format!("arp && {from_client}")),
            ("frames for a group", format!("eth.dst.ig == 1 && {from_client} && !llc")),
            ("packets from another address", format!("ip && ip.src != {CLIENT} && {from_client}")),
            ("frames for others than the foreign agent", format!("{from_client} && eth.dst != {agent} && !llc")),
        ] {
            let leaked = files[lan].count(&filter)?;
            ensure!(leaked == 0, "{what}: {leaked} on {lan}");
        }
    }
    let held = files["lan3"].count(&format!("ip && {from_client} && udp.dstport != 434"))?;
    ensure!(held == 0, "{held} packets went on without a registration");
    let lan = &files["lan2"];
    ensure!(lan.count(&format!("icmp.type == 8 && {from_client}"))? >= 6, "nothing of the client was there at all");
    Ok(())
}

#[test]
fn neighbours_are_answered_and_nothing_leaks_by_xdp() -> Result<()> {
    nothing_leaks("arpxdp", FastPath::Auto)
}

#[test]
fn neighbours_are_answered_and_nothing_leaks_by_tc() -> Result<()> {
    nothing_leaks("arptc", FastPath::Tc)
}
