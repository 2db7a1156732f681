//! Broadcasts of the home network follow a client that is away.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::{Carrier, wait};

const PATIENCE: Duration = Duration::from_secs(10);
const PORT: u16 = 4711;
const CALL: &[u8] = b"is anybody away?";

#[test]
fn broadcasts_at_home_reach_the_client_by_xdp() -> Result<()> {
    broadcasts("bcxdp", FastPath::Auto)
}

#[test]
fn broadcasts_at_home_reach_the_client_by_the_kernel() -> Result<()> {
    broadcasts("bcoff", FastPath::Off)
}

fn broadcasts(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { broadcast: true, ..Settings::new(fast_path) };
    let mut campus = Deployment::build(label, &settings)?;
    campus.agents.start()?;
    campus.capture(&["lan2", "air-ap1"], &campus.campus.lab.directory().join("pcap"))?;
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;

    let ear = campus.campus.client.host.namespace().enter(|| UdpSocket::bind(("0.0.0.0", PORT)))??;
    ear.set_nonblocking(true)?;
    let mouth = campus.wired_host(Place::Home).namespace().enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    mouth.set_broadcast(true)?;
    for group in [Ipv4Addr::new(10, 1, 0, 255), Ipv4Addr::BROADCAST] {
        let heard = wait::until(PATIENCE, || {
            mouth.send_to(CALL, (group, PORT))?;
            let mut buffer = [0; 64];
            Ok(ear.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
        })?;
        let heard = heard.with_context(|| format!("the client does not hear {group}"))?;
        ensure!(heard == CALL, "the client hears something else");
    }
    let forwarded = campus.router(Place::Home).counter("broadcasts_forwarded")?;
    ensure!(forwarded > 0, "the home agent counts no broadcast");
    ensure!(
        campus.access_point(Place::Visited1Ap1).counter("broadcast_unwrapped")? > 0,
        "the access point counts none"
    );
    traffic.connection.finish(PATIENCE)?;
    drop(traffic.pings);

    let files = campus.stop_captures()?;
    let count = |wire: &str, filter: &str| -> Result<usize> {
        files.get(wire).with_context(|| format!("no capture of {wire}"))?.count(filter)
    };
    let call = format!("udp.port == {PORT}");
    ensure!(count("lan2", &format!("{call} && ip.proto == 4"))? > 0, "no wrapped broadcast on the visited network");
    ensure!(count("lan2", &format!("{call} && eth.dst != 02:c1:1e:00:00:64"))? == 0, "others get the broadcasts");
    ensure!(count("air-ap1", &call)? > 0 && count("air-ap1", "ip.proto == 4")? == 0, "a wrapper reaches the client");
    Ok(())
}
