//! The lab itself, with no agent in it: plain routing, traffic, roaming at layer 2, captures and cleaning up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mipd_lab::capture::Capture;
use mipd_lab::topology::{CLIENT, CORRESPONDENT, ReversePathFilter, campus, single_router};
use mipd_lab::traffic::ping::{PingStream, reach};
use mipd_lab::traffic::tcp::Connection;
use mipd_lab::{Carrier, Lab};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn every_box_of_the_campus_reaches_every_other() -> Result<()> {
    let campus = campus("plain", ReversePathFilter::default())?;
    for from in [&campus.correspondent, &campus.home_host, &campus.visited1_host, &campus.visited2_host] {
        let time = reach(from.namespace(), CLIENT, PATIENCE)?;
        time.with_context(|| format!("{} does not reach the client", from.name()))?;
    }
    for ap in [&campus.home_ap, &campus.ap1, &campus.ap2, &campus.ap3] {
        let time = reach(campus.client.host.namespace(), ap.address.addr(), PATIENCE)?;
        time.with_context(|| format!("the client does not reach {}", ap.host.name()))?;
    }
    Ok(())
}

#[test]
fn a_client_that_moves_between_two_access_points_of_its_subnet_keeps_its_connection() -> Result<()> {
    let lab = campus("move", ReversePathFilter::default())?;
    let client = lab.client.host.namespace();
    let connection = Connection::open(client, lab.correspondent.namespace(), CORRESPONDENT)?;
    let pings = PingStream::start(client, CORRESPONDENT, Duration::from_millis(10))?;
    connection.progresses(20_000, PATIENCE)?.context("no data flows at home")?;

    // Two radios of the same access point's subnet: at layer 2 the second is reached by re-plugging alone.
    let second = lab.lab.wire("air-second")?;
    second.connect(&lab.home_ap.host, "wlan1", [2, 2, 10, 1, 0, 12])?;
    lab.home_ap.host.add_port("br-lan", "wlan1")?;
    let second = mipd_lab::Air::new(second);
    for (air, carrier) in [(&second, Carrier::Kept), (&lab.home_ap.air, Carrier::Lost), (&second, Carrier::Lost)] {
        let start = Instant::now();
        let down = lab.client.roam(air, carrier)?;
        ensure!((carrier == Carrier::Lost) == (down > Duration::ZERO), "{carrier:?} link was down {down:?}");
        connection.progresses(20_000, PATIENCE)?.with_context(|| format!("no data flows after {carrier:?} roam"))?;
        let account = pings.during(start, Instant::now());
        println!("{carrier:?}: link down {down:?}, {account:?}");
        ensure!(account.outage < down + Duration::from_millis(500), "{carrier:?}: link down {down:?}, {account:?}");
    }
    let outcome = connection.finish(PATIENCE)?;
    ensure!(outcome.intact && outcome.bytes_up > 60_000 && outcome.bytes_down > 60_000, "{outcome:?}");
    Ok(())
}

#[test]
fn a_client_away_from_home_is_cut_off_without_agents() -> Result<()> {
    let lab = campus("cutoff", ReversePathFilter::default())?;
    let client = lab.client.host.namespace();
    reach(client, CORRESPONDENT, PATIENCE)?.context("no way out from home")?;
    lab.client.roam(&lab.ap1.air, Carrier::Lost)?;
    ensure!(
        reach(client, CORRESPONDENT, Duration::from_millis(300))?.is_none(),
        "plain routing should not do mobility"
    );
    lab.client.roam(&lab.home_ap.air, Carrier::Lost)?;
    reach(client, CORRESPONDENT, PATIENCE)?.context("no way out after coming home")?;
    Ok(())
}

#[test]
fn a_capture_sees_each_frame_once_and_every_checksum_is_right() -> Result<()> {
    let lab = single_router("capture", ReversePathFilter::default())?;
    let client = lab.client.host.namespace();
    let file = lab.lab.directory().join("cn.pcap");
    let capture = Capture::start(&lab.lab, "cn", &file)?;
    let connection = Connection::open(client, lab.correspondent.namespace(), CORRESPONDENT)?;
    let pings = PingStream::start(client, CORRESPONDENT, Duration::from_millis(10))?;
    connection.progresses(100_000, PATIENCE)?.context("no data flows")?;
    let outcome = connection.finish(PATIENCE)?;
    drop(pings);
    let file = capture.stop()?;
    ensure!(outcome.intact, "{outcome:?}");
    let requests = file.fields("icmp.type == 8", &["icmp.seq"])?;
    let mut distinct = requests.clone();
    distinct.sort_unstable();
    distinct.dedup();
    ensure!(!requests.is_empty() && distinct.len() == requests.len(), "{} of {}", distinct.len(), requests.len());
    ensure!(file.count("tcp.len > 1460")? == 0, "segmentation offload is on");
    Ok(())
}

#[test]
fn native_xdp_on_a_box_delivers_what_it_sends_back() -> Result<()> {
    let lab = single_router("native", ReversePathFilter::default())?;
    let before = lab.router.host.namespace().ip_counter("ForwDatagrams")?;
    reach(lab.client.host.namespace(), CORRESPONDENT, PATIENCE)?.context("no way out")?;
    ensure!(
        lab.router.host.namespace().ip_counter("ForwDatagrams")? >= before + 2,
        "the kernel counts what it forwards"
    );
    Ok(())
}

#[test]
fn a_dropped_lab_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new("gone")?;
    let id = lab.id().to_owned();
    let host = lab.host("box")?;
    let mut sleep = std::process::Command::new("sleep");
    let process = lab.start(host.namespace(), sleep.arg("600"))?;
    let pid = process.child().id();
    drop(lab);
    let left = |directory: &str| -> Result<usize> {
        let names = std::fs::read_dir(directory)?.filter_map(Result::ok);
        Ok(names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&id)).count())
    };
    ensure!(left("/run/netns")? == 0 && left("/tmp")? == 0 && left("/sys/fs/bpf")? == 0, "{id} left something");
    ensure!(!std::path::Path::new("/proc").join(pid.to_string()).exists(), "its process survived");
    ensure!(process.ended()?.is_some(), "its process was not reaped");
    Ok(())
}
