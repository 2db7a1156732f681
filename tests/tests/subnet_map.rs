//! Access points that are told no home agent tell each other, on real sockets; a client roams by what they know.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mipd_agent::wire::authentication::Key;
use mipd_agent::wire::frame::{emit_udp, parse_udp};
use mipd_agent::wire::ip::Datagram;
use mipd_agent::wire::subnet_map::{Body, Entry, Header, Nonce, PORT, emit};
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::capture::Capture;
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::{Carrier, wait};

const PATIENCE: Duration = Duration::from_secs(15);
/// The first access point of each visited network.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 11);

#[test]
fn access_points_learn_the_home_agents_and_a_client_roams_by_them() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { authoritative: vec![FIRST, SECOND], ..Settings::new(FastPath::Auto) };
    let mut campus = Deployment::build("map", &settings)?;
    campus.capture(&["lan2", "core2"], &campus.campus.lab.directory().join("pcap"))?;
    campus.agents.start()?;
    let everybody = [&campus.agents.home_ap, &campus.agents.ap1, &campus.agents.ap2, &campus.agents.ap3];
    for access_point in everybody {
        await_subnets(access_point, &["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"])?;
    }
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    campus.roam(Place::Home, Carrier::Kept)?;

    // What was forgotten comes back from the others, and goes on being known while the first authoritative one is down.
    campus.agents.ap2.clear_subnet_map()?;
    await_subnets(&campus.agents.ap2, &["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"])?;
    campus.agents.ap1.stop()?;
    let in_charge = wait::until(PATIENCE, || {
        let rows = campus.agents.ap2.show("access-points")?;
        let rows = rows.as_array().context("no rows")?;
        Ok(rows.iter().find(|row| row["in_charge"] == true && row["address"] == SECOND.to_string()).map(|_| ()))
    })?;
    in_charge.context("the second authoritative access point does not take over")?;
    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    traffic.connection.finish(PATIENCE)?;
    drop(traffic.pings);

    let files = campus.stop_captures()?;
    let capture = files.get("lan2").context("no capture of the visited network")?;
    dissect(capture.path())
}

#[test]
fn forged_entries_and_everything_said_before_change_nobodys_map() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { authoritative: vec![FIRST, SECOND], ..Settings::new(FastPath::Auto) };
    let mut campus = Deployment::build("mapattack", &settings)?;
    let capture = Capture::start(&campus.campus.lab, "lan2", &campus.campus.lab.directory().join("said.pcap"))?;
    campus.agents.start()?;
    let everybody = [&campus.agents.home_ap, &campus.agents.ap1, &campus.agents.ap2, &campus.agents.ap3];
    for access_point in everybody {
        await_subnets(access_point, &["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"])?;
    }
    let attacker = FramePort::open(&campus.campus.visited1_host, "eth0")?;

    // In the name of the second authoritative access point, with a key that is not ours.
    let said = to_the_first(&capture)?;
    let (link, _) = parse_udp(said.first().context("nobody joined on the visited network")?, false)?;
    let entry = Entry {
        network: Ipv4Addr::new(10, 1, 0, 0),
        prefix_length: 24,
        home_agent: Ipv4Addr::new(10, 2, 0, 20),
        removed: false,
        origin: SECOND,
        version: u64::MAX,
    };
    let header = Header { sender: SECOND, to: Nonce(1), from: Nonce(2), sequence: 1, acknowledged: 0 };
    let key = Key::from_bytes(vec![1; 16]).context("a key")?;
    let payload = &emit(&header, &Body::Entries { first: true, last: true, entries: vec![entry] }, &key);
    let (source, source_port, destination, destination_port) = (SECOND, PORT, FIRST, PORT);
    let forged = Datagram { source, source_port, destination, destination_port, ttl: 64, payload };
    discarded(&campus.agents.ap1, &["discarded_authenticator"], || attacker.send(&emit_udp(link, &forged)))?;

    // Everything that was said to it, once more: in the same sessions, and when it has begun new ones.
    let again = || to_the_first(&capture)?.iter().try_for_each(|frame| attacker.send(frame));
    discarded(&campus.agents.ap1, &["discarded_replayed", "discarded_session"], again)?;
    campus.agents.ap1.stop()?;
    let before = to_the_first(&capture)?;
    campus.agents.ap1.run()?;
    let joins = || before.iter().try_for_each(|frame| attacker.send(frame));
    discarded(&campus.agents.ap1, &["discarded_session"], joins)?;

    for access_point in [&campus.agents.home_ap, &campus.agents.ap1, &campus.agents.ap2, &campus.agents.ap3] {
        await_subnets(access_point, &["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"])?;
        let rows = access_point.show("subnet-map")?;
        let home = rows.as_array().and_then(|rows| rows.iter().find(|row| row["subnet"] == "10.1.0.0/24").cloned());
        ensure!(home.is_some_and(|home| home["home_agent"] == "10.1.0.1"), "the home agent has changed: {rows}");
    }
    Ok(())
}

/// The messages to the first authoritative access point that were captured so far.
fn to_the_first(capture: &Capture) -> Result<Vec<Vec<u8>>> {
    let to_it = |frame: &Vec<u8>| {
        parse_udp(frame, false).is_ok_and(|(_, udp)| udp.destination == FIRST && udp.destination_port == PORT)
    };
    Ok(capture.frames()?.into_iter().filter(to_it).collect())
}

/// Does something until one of these counters of the access point has risen by it.
fn discarded(access_point: &Agent, counters: &[&str], attack: impl Fn() -> Result<()>) -> Result<()> {
    let count = || counters.iter().try_fold(0, |sum, name| anyhow::Ok(sum + access_point.counter(name)?));
    let before = count()?;
    let rose = wait::until(PATIENCE, || {
        attack()?;
        Ok((count()? > before).then_some(()))
    })?;
    rose.with_context(|| format!("{counters:?} do not rise on {}", access_point.host().name()))
}

/// Waits until an access point shows exactly these subnets.
fn await_subnets(access_point: &Agent, expected: &[&str]) -> Result<()> {
    let mut last = Vec::new();
    let known = wait::until(PATIENCE, || {
        let rows = access_point.show("subnet-map")?;
        let subnets = rows.as_array().context("no rows")?.iter().filter_map(|row| row["subnet"].as_str());
        last = subnets.map(str::to_owned).collect();
        Ok((last == expected).then_some(()))
    })?;
    known.with_context(|| format!("{} knows {last:?}:\n{}", access_point.host().name(), access_point.log_tail()))
}

/// The dissector for Wireshark understands all that was said.
fn dissect(capture: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/wireshark/mipd-subnet-map.lua");
    let script = fs::canonicalize(&script).with_context(|| format!("no {}", script.display()))?;
    let fields = |filter: &str, fields: &[&str]| -> Result<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-X").arg(format!("lua_script:{}", script.display())).arg("-r").arg(capture);
        command.args(["-n", "-Y", filter, "-T", "fields"]).args(fields.iter().flat_map(|field| ["-e", field]));
        let output = command.output().context("this test needs tshark; `cargo xtask setup` installs it")?;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && !complaints.contains("Lua"), "{complaints}");
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    };
    let types = fields("mipd_subnet_map && !icmp", &["mipd_subnet_map.type"])?;
    for kind in ["1", "2", "3", "4", "5", "6"] {
        ensure!(types.iter().any(|found| found == kind), "no message of type {kind} among {types:?}");
    }
    let all = fields("udp.port == 6500 && !icmp", &["frame.number"])?;
    ensure!(types.len() == all.len(), "{} of {} messages were dissected", types.len(), all.len());
    let malformed = fields("mipd_subnet_map.malformed && !icmp", &["frame.number"])?;
    ensure!(malformed.is_empty(), "malformed: {malformed:?}");
    let home = "mipd_subnet_map.network == 10.1.0.0 && mipd_subnet_map.home_agent == 10.1.0.1";
    if fields(home, &["frame.number"])?.is_empty() {
        bail!("nobody tells of the home agent of 10.1.0.0/24");
    }
    Ok(())
}
