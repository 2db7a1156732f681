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
    broadcasts("bcxdp", FastPath::Auto, &IP_IN_IP)
}

#[test]
fn broadcasts_at_home_reach_the_client_by_the_kernel() -> Result<()> {
    broadcasts("bcoff", FastPath::Off, &IP_IN_IP)
}

#[test]
fn broadcasts_at_home_reach_the_client_through_gre() -> Result<()> {
    let tunnel =
        Tunnel { encapsulation: "gre", udp: "off", filter: "gre.flags_and_version == 0 && gre.proto == 0x0800" };
    broadcasts("bcgre", FastPath::Auto, &tunnel)
}

#[test]
fn broadcasts_at_home_reach_the_client_over_udp() -> Result<()> {
    let filter = "udp.dstport == 434 && mip.type == 4 && mip.nattt.nexthdr == 4";
    broadcasts("bcudp", FastPath::Auto, &Tunnel { encapsulation: "ipip", udp: "forced", filter })
}

/// What the broadcasts come through.
struct Tunnel {
    encapsulation: &'static str,
    udp: &'static str,
    /// What is on the wire between the agents.
    filter: &'static str,
}

const IP_IN_IP: Tunnel = Tunnel { encapsulation: "ipip", udp: "off", filter: "ip.proto == 4" };

fn broadcasts(label: &str, fast_path: FastPath, tunnel: &Tunnel) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { broadcast: true, ..Settings::new(fast_path) };
    let mut campus = Deployment::build(label, &settings)?;
    campus.wrap_by(&settings, Place::Visited1Ap1, tunnel.encapsulation, ("never", tunnel.udp))?;
    campus.agents.start()?;
    campus.capture(&["core2", "lan2", "air-ap1"], &campus.campus.lab.directory().join("pcap"))?;
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
    ensure!(count("core2", &format!("{call} && {}", tunnel.filter))? > 0, "no broadcast in the tunnel");
    ensure!(count("lan2", &format!("{call} && ip.proto == 4"))? > 0, "no wrapped broadcast on the visited network");
    ensure!(count("lan2", &format!("{call} && eth.dst != 02:c1:1e:00:00:64"))? == 0, "others get the broadcasts");
    ensure!(count("air-ap1", &call)? > 0 && count("air-ap1", "ip.proto == 4")? == 0, "a wrapper reaches the client");
    Ok(())
}
