//! What happens to a client's connection in every way of moving, and what its access points tell of it afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::{Link, emit_udp};
use mipd_agent::wire::ip::Datagram;
use mipd_common::mac::MacAddress;
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place, Traffic};
use mipd_lab::topology::{CLIENT, CLIENT_MAC, CORRESPONDENT};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
/// A connection without answers tries again ever less often.
const LONG_PATIENCE: Duration = Duration::from_secs(40);
const PROGRESS: u64 = 100_000;
const MAC: &str = "02:c1:1e:00:00:64";

/// The names of the steps that an agent tells of the client.
fn steps(agent: &Agent, client: &str) -> Result<Vec<String>> {
    let told = agent.trace(client)?;
    Ok(told.iter().filter_map(|step| step["step"].as_str().map(str::to_owned)).collect())
}

#[test]
fn every_box_tells_its_part_of_a_client_s_story() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("story", &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    let address = CLIENT.to_string();
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows abroad")?;

    let visit = ["noticed", "home_agent_found", "requested", "answered", "forwarded", "held_released"];
    ensure!(steps(&campus.agents.ap1, &address)? == visit, "{}", campus.agents.ap1.trace_text(&address)?);
    let bound = steps(&campus.agents.ha, &address)?;
    ensure!(bound.starts_with(&["bound".into()]), "{bound:?}");
    let visitor = steps(&campus.agents.fa1, MAC)?;
    ensure!(visitor.starts_with(&["visiting".into()]), "{visitor:?}");

    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    let gone =
        wait::until(PATIENCE, || Ok(steps(&campus.agents.ap1, MAC)?.iter().any(|step| step == "gone").then_some(())))?;
    let story = campus.agents.ap1.trace_text(MAC)?;
    gone.with_context(|| story.clone())?;
    ensure!(story.contains("gone: its MAC is behind another access point of this subnet"), "{story}");
    println!("{story}");

    campus.roam(Place::Home, Carrier::Kept)?;
    let home =
        wait::until(PATIENCE, || Ok(steps(&campus.agents.home_ap, MAC)?.ends_with(&["at_home".into()]).then_some(())))?;
    home.with_context(|| campus.agents.home_ap.trace_text(MAC).unwrap_or_default())?;
    println!("{}", campus.agents.home_ap.trace_text(MAC)?);
    let stranger = campus.agents.ap3.trace(&address).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(stranger.contains("nothing is known of 10.1.0.100 here"), "{stranger}");
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the connection has suffered");
    Ok(())
}

/// A campus whose agents run, and a client at home with a connection that flows.
fn campus(label: &str) -> Result<(Deployment, Traffic)> {
    let mut campus = Deployment::build(label, &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    flows(&traffic, "at home")?;
    Ok((campus, traffic))
}

/// Fresh bytes arrive both ways.
fn flows(traffic: &Traffic, place: &str) -> Result<()> {
    traffic.connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("TCP stands still {place}")).map(drop)
}

fn binding(campus: &Deployment) -> Result<Option<Value>> {
    Ok(campus.agents.ha.rows_of("bindings", CLIENT)?.pop())
}

/// Where the client is registered: the care-of address that the home agent has.
fn care_of_address(campus: &Deployment) -> Result<Option<String>> {
    Ok(binding(campus)?.and_then(|binding| binding["care_of_address"].as_str().map(str::to_owned)))
}

fn finish(traffic: Traffic) -> Result<()> {
    let outcome = traffic.connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "the two ends saw different bytes: {outcome:?}");
    Ok(())
}

#[test]
fn within_a_visited_network_the_old_access_point_is_silent_and_the_switches_are_told_first() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (mut campus, traffic) = campus("samenet")?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    flows(&traffic, "behind AP 1")?;
    let sent =
        |agent: &Agent| -> Result<u64> { Ok(agent.counter("requests_sent")? + agent.counter("deregistrations_sent")?) };
    let since = |campus: &Deployment| -> Result<Value> {
        let steps = campus.agents.ha.trace(&CLIENT.to_string())?;
        Ok(steps.iter().find(|step| step["step"] == "bound").context("no binding")?["time"].clone())
    };
    let (before, bound) = (sent(&campus.agents.ap1)?, since(&campus)?);
    let directory = campus.campus.lab.directory().join("pcap");
    campus.capture(&["lan2", "core1"], &directory)?;
    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    flows(&traffic, "behind AP 2")?;
    campus.agents.ap1.await_count("moved", 0, PATIENCE)?;
    flows(&traffic, "when AP 1 has forgotten the client")?;
    let files = campus.stop_captures()?;
    ensure!(sent(&campus.agents.ap1)? == before, "the old access point has sent something for the client");
    ensure!(campus.agents.ap1.rows_of("clients", CLIENT)?.is_empty(), "the old access point still has the client");
    // The time of day that is shown is reckoned from a monotonic clock, and moves by microseconds.
    let (was, is) = (bound.to_string(), since(&campus)?.to_string());
    ensure!(was[..22] == is[..22], "the binding is another one: since {was}, then since {is}");

    let first = |filter: &str| -> Result<u64> {
        let frames = files["lan2"].fields(filter, &["frame.number"])?;
        Ok(frames.first().with_context(|| format!("nothing matches {filter}"))?.trim().parse()?)
    };
    let client = format!("eth.src == {MAC}");
    let (told, asked) = (first(&format!("llc && {client}"))?, first(&format!("mip.type == 1 && {client}"))?);
    ensure!(told < asked, "the switches are told by frame {told}, the foreign agent asked by frame {asked}");
    ensure!(files["lan2"].count(&format!("mip.type == 1 && {client}"))? == 1, "more than one request");
    ensure!(files["core1"].count("mip.type == 1 && mip.life == 0")? == 0, "a deregistration reached the home agent");
    finish(traffic)
}

#[test]
fn at_home_everybody_is_told_before_the_home_agent_and_the_home_agent_tells_everybody_afterwards() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (mut campus, traffic) = campus("homeorder")?;
    for carrier in [Carrier::Kept, Carrier::Lost] {
        campus.roam(Place::Visited2, carrier)?;
        flows(&traffic, "abroad")?;
        let directory = campus.campus.lab.directory().join(format!("pcap-{carrier:?}"));
        campus.capture(&["lan1"], &directory)?;
        campus.roam(Place::Home, carrier)?;
        flows(&traffic, "back home")?;
        let home = wait::until(PATIENCE, || {
            let rows = campus.agents.home_ap.rows_of("clients", CLIENT)?;
            Ok(rows.iter().any(|row| row["state"] == "at_home").then_some(()))
        })?;
        home.context("the home access point does not know that the client is at home")?;
        let files = campus.stop_captures()?;
        let first = |what: &str, filter: &str| -> Result<u64> {
            let frames = files["lan1"].fields(filter, &["frame.number"])?;
            Ok(frames.first().with_context(|| format!("{carrier:?}: no {what}"))?.trim().parse()?)
        };
        let gratuitous = "arp.src.proto_ipv4 == 10.1.0.100 && arp.dst.proto_ipv4 == 10.1.0.100";
        let by_client = format!("{gratuitous} && arp.src.hw_mac == {MAC} && eth.src == {MAC}");
        let announced = first("gratuitous ARP", &by_client)?;
        let deregistration =
            format!("mip.type == 1 && mip.life == 0 && eth.src == {MAC} && eth.dst == 02:00:0a:01:00:01");
        let asked = first("deregistration straight to the home agent", &deregistration)?;
        let answered = first("answer", "mip.type == 3 && mip.code == 0")?;
        ensure!(announced < asked && asked < answered, "{carrier:?}: frames {announced}, {asked}, {answered}");
        let restored = format!("{gratuitous} && arp.src.hw_mac == {MAC} && eth.src != {MAC}");
        let restored = first("gratuitous ARP of the home agent", &restored)?;
        ensure!(
            restored > asked,
            "{carrier:?}: the home agent announces the client in frame {restored}, asked in {asked}"
        );
    }
    finish(traffic)
}

/// Pauses shorter than a registration takes, and longer ones.
const PAUSES: [u64; 14] = [0, 1, 3, 10, 30, 100, 200, 0, 1, 3, 10, 30, 100, 200];

#[test]
fn a_client_that_goes_to_and_fro_several_times_a_second_is_reachable_where_it_comes_to_rest() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (campus, traffic) = campus("pingpong")?;
    for pause in PAUSES.map(Duration::from_millis) {
        for place in [Place::Visited1Ap1, Place::Visited1Ap2] {
            campus.campus.client.roam(campus.air(place), Carrier::Kept)?;
            std::thread::sleep(pause);
        }
    }
    flows(&traffic, "after going to and fro between two access points")?;
    ensure!(care_of_address(&campus)?.as_deref() == Some("10.2.0.1"), "{:?}", binding(&campus)?);
    finish(traffic)
}

/// The access points of different subnets learn nothing of each other, and without word of associations they cannot know that
/// a client was away for a moment. As its connection gets no answer it falls silent for more than a second, which they notice.
#[test]
fn a_connection_survives_going_to_and_fro_between_subnets_several_times_a_second() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (campus, Traffic { connection, pings }) = campus("pongping")?;
    drop(pings);
    for (here, there, expected) in [
        (Place::Home, Place::Visited1Ap1, Some("10.2.0.1")),
        (Place::Visited1Ap2, Place::Visited2, Some("10.3.0.1")),
        (Place::Visited2, Place::Home, None),
    ] {
        for pause in PAUSES.map(Duration::from_millis) {
            for place in [here, there] {
                campus.campus.client.roam(campus.air(place), Carrier::Kept)?;
                std::thread::sleep(pause);
            }
        }
        let way = format!("between {} and {}", here.label(), there.label());
        let flows = connection.progresses(PROGRESS, LONG_PATIENCE)?;
        flows.with_context(|| format!("TCP stands still after going to and fro {way}"))?;
        let reached =
            wait::until(LONG_PATIENCE, || Ok((care_of_address(&campus)?.as_deref() == expected).then_some(())))?;
        reached.with_context(|| format!("after going to and fro {way}: {:?}", binding(&campus)))?;
    }
    let outcome = connection.finish(LONG_PATIENCE)?;
    ensure!(outcome.intact, "the two ends saw different bytes: {outcome:?}");
    Ok(())
}

#[test]
fn a_client_that_is_switched_off_while_it_is_registered_is_forgotten_and_asked_for_no_more() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("poweroff", &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    campus.agents.ha.stop()?;
    let pings = campus.start_pings()?;
    campus.campus.client.roam(campus.air(Place::Visited2), Carrier::Kept)?;
    let ap = &campus.agents.ap3;
    ap.await_count("requests_sent", 0, PATIENCE)?;
    campus.campus.client.leave()?;
    drop(pings);
    let gone = wait::until(PATIENCE, || Ok(ap.rows_of("clients", CLIENT)?.is_empty().then_some(())))?;
    gone.with_context(|| format!("AP 3 still serves the client:\n{}", ap.trace_text(MAC).unwrap_or_default()))?;
    let told = steps(ap, MAC)?;
    ensure!(told.last().map(String::as_str) == Some("gone"), "{told:?}");
    ensure!(told.iter().any(|step| step == "held_dropped"), "{told:?}");
    let sent = ap.counter("requests_sent")?;
    campus.agents.ha.run()?;
    // As long as the foreign agent and a retransmission would take.
    std::thread::sleep(Duration::from_secs(3));
    ensure!(ap.counter("requests_sent")? == sent, "AP 3 asks for a client that has gone");
    ensure!(binding(&campus)?.is_none(), "a client that nobody has seen since is bound");
    Ok(())
}

#[test]
fn of_two_access_points_that_believe_to_have_the_client_the_one_that_hears_it_keeps_it() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let (campus, traffic) = campus("twoaps")?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    flows(&traffic, "behind AP 1")?;
    // Somebody behind each access point that the client has left says something in its name, late.
    let late = |gateway: [u8; 6]| {
        let link = Link { destination: MacAddress(gateway), source: MacAddress(CLIENT_MAC) };
        let datagram = Datagram {
            source: CLIENT,
            source_port: 9,
            destination: CORRESPONDENT,
            destination_port: 9,
            ttl: 64,
            payload: b"late",
        };
        emit_udp(link, &datagram)
    };
    let straggler = campus.campus.lab.host("straggler")?;
    let wires = campus.campus.lab.wires();
    campus.air(Place::Visited1Ap1).join(&straggler, "wlan1", [0x02, 0xc1, 0x1e, 0, 0, 0x65], wires)?;
    let air = FramePort::open(&straggler, "wlan1")?;

    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    campus.agents.ap1.await_count("moved", 0, PATIENCE)?;
    air.send(&late([0x02, 0, 0x0a, 2, 0, 1]))?;
    campus.agents.ap1.await_count("moved", 1, PATIENCE)?;
    flows(&traffic, "behind AP 2 after a late frame at AP 1")?;
    let kept = wait::until(PATIENCE, || {
        let there = campus.agents.ap2.rows_of("clients", CLIENT)?.iter().any(|row| row["state"] == "registered");
        Ok((there && campus.agents.ap1.rows_of("clients", CLIENT)?.is_empty()).then_some(()))
    })?;
    kept.context("not AP 2 alone has the client")?;
    finish(traffic)
}
