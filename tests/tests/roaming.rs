//! A client roams through a whole network: in each way of forwarding, with and without reverse tunnel.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Role, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::{CLIENT, CORRESPONDENT, ReversePathFilter, single_router};
use mipd_lab::traffic::ping::reach;
use mipd_lab::traffic::tcp::Connection;

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
const WALK: [(Place, Carrier); 4] = [
    (Place::Visited1Ap1, Carrier::Lost),
    (Place::Visited1Ap2, Carrier::Kept),
    (Place::Visited2, Carrier::Lost),
    (Place::Home, Carrier::Kept),
];

#[test]
fn a_client_roams_by_xdp_without_reverse_tunnel() -> Result<()> {
    walk("xdp", FastPath::Auto, false)
}

#[test]
fn a_client_roams_by_xdp_with_reverse_tunnel() -> Result<()> {
    walk("xdprt", FastPath::Auto, true)
}

#[test]
fn a_client_roams_by_tc_without_reverse_tunnel() -> Result<()> {
    walk("tc", FastPath::Tc, false)
}

#[test]
fn a_client_roams_by_tc_with_reverse_tunnel() -> Result<()> {
    walk("tcrt", FastPath::Tc, true)
}

#[test]
fn a_client_roams_by_the_kernel_without_reverse_tunnel() -> Result<()> {
    walk("off", FastPath::Off, false)
}

#[test]
fn a_client_roams_by_the_kernel_with_reverse_tunnel() -> Result<()> {
    walk("offrt", FastPath::Off, true)
}

#[test]
fn packets_too_large_for_the_tunnel_are_answered_and_others_fragmented_by_xdp() -> Result<()> {
    large_packets("largexdp", FastPath::Auto)
}

#[test]
fn packets_too_large_for_the_tunnel_are_answered_and_others_fragmented_by_the_kernel() -> Result<()> {
    large_packets("largeoff", FastPath::Off)
}

/// From the correspondent to the client that is away: 1500 bytes with DF get "fragmentation needed" with MTU 1480, 1480 bytes
/// pass, and 4000 bytes of payload without DF arrive in fragments.
fn large_packets(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build(label, &Settings::new(fast_path))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let ping = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new("ping");
        command.args(["-n", "-c", "3", "-i", "0.2", "-W", "2"]).args(arguments).arg(CLIENT.to_string());
        let output = campus.campus.correspondent.namespace().output(&mut command).context("cannot run ping")?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let fits = ping(&["-M", "do", "-s", "1452"])?;
    ensure!(fits.contains("3 received"), "1480 bytes do not pass: {fits}");
    let too_large = ping(&["-M", "do", "-s", "1472"])?;
    ensure!(too_large.contains("mtu = 1480") || too_large.contains("mtu=1480"), "no MTU of 1480 in: {too_large}");
    ensure!(too_large.contains("0 received"), "1500 bytes with DF pass: {too_large}");
    let fragmented = ping(&["-M", "dont", "-s", "4000"])?;
    ensure!(fragmented.contains("3 received"), "fragments do not arrive: {fragmented}");
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the TCP connection has suffered");
    Ok(())
}

/// The whole walk with captures on the way, and what must and must not have been on the wires.
fn walk(label: &str, fast_path: FastPath, reverse_tunnel: bool) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { reverse_tunnel, ..Settings::new(fast_path) };
    let mut campus = Deployment::build(label, &settings)?;
    campus.agents.start()?;
    let wires = ["lan2", "core1", "core2", "air-ap1", "air-ap2"];
    campus.capture(&wires, &campus.campus.lab.directory().join("pcap"))?;
    let traffic = campus.start_traffic()?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows at home")?;

    let mut from = Place::Home;
    for (to, carrier) in WALK {
        let step = || format!("{} → {} ({carrier:?})", from.label(), to.label());
        campus.roam(to, carrier).with_context(step)?;
        let registered = Instant::now();
        traffic.connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("{}: TCP stands still", step()))?;
        for host in [campus.wired_host(from), campus.wired_host(Place::Home)] {
            let answered = reach(host.namespace(), CLIENT, PATIENCE)?;
            answered.with_context(|| format!("{}: {} does not reach the client", step(), host.name()))?;
        }
        let watched = Instant::now();
        traffic.connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("{}: TCP stopped", step()))?;
        let account = traffic.pings.during(registered, watched);
        ensure!(account.lost == 0, "{}: {} pings lost after registration", step(), account.lost);
        from = to;
    }
    let outcome = traffic.connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "the two ends saw different bytes: {outcome:?}");
    drop(traffic.pings);

    let files = campus.stop_captures()?;
    let count = |wire: &str, filter: &str| -> Result<usize> {
        files.get(wire).with_context(|| format!("no capture of {wire}"))?.count(filter)
    };
    let from_client = "eth.src == 02:c1:1e:00:00:64";
    let authenticated_request = format!("mip.type == 1 && mip.ext.type == 32 && {from_client} && ip.ttl == 255");
    ensure!(count("lan2", &authenticated_request)? >= 2, "no registration requests in the client's name");
    ensure!(count("lan2", "mip.type == 3 && mip.code <= 1")? >= 2, "no replies from the foreign agent");
    let down = count("core2", "ip.proto == 4 && ip.src == 10.1.0.1 && ip.dst == 10.2.0.1")?;
    let up = count("core2", "ip.proto == 4 && ip.src == 10.2.0.1 && ip.dst == 10.1.0.1")?;
    let plain = count("core2", "tcp && !icmp && !(ip.proto == 4) && ip.src == 10.1.0.100")?;
    ensure!(down > 0, "nothing came down the tunnel");
    ensure!((up > 0) == reverse_tunnel, "{up} packets in the reverse tunnel");
    ensure!((plain > 0) != reverse_tunnel, "{plain} packets routed plainly from the foreign agent");
    for air in ["air-ap1", "air-ap2"] {
        ensure!(count(air, "udp.port == 434")? == 0, "a registration message was on {air}");
    }
    let broadcast = format!("arp && {from_client} && eth.dst == ff:ff:ff:ff:ff:ff");
    ensure!(count("lan2", &broadcast)? == 0, "the client's ARP broadcasts were on the visited LAN");
    for (wire, file) in &files {
        ensure!(file.count("_ws.malformed")? == 0, "malformed packets on {wire}");
    }
    Ok(())
}

#[test]
fn one_router_is_home_agent_and_foreign_agent_for_two_subnets() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    for fast_path in [FastPath::Auto, FastPath::Off] {
        single_router_roam(fast_path).with_context(|| format!("{fast_path:?}"))?;
    }
    Ok(())
}

fn single_router_roam(fast_path: FastPath) -> Result<()> {
    let net = single_router("single", ReversePathFilter::default())?;
    let settings = Settings::new(fast_path);
    let router = Agent::start(&net.lab, &net.router.host, &Role::router(&net.router), &settings)?;
    let role = Role::access_point(&[net.router.lans[0].gateway]);
    let home_ap = Agent::start(&net.lab, &net.home_ap.host, &role, &settings)?;
    let visited_ap = Agent::start(&net.lab, &net.visited_ap.host, &role, &settings)?;
    for access_point in [&home_ap, &visited_ap] {
        access_point.await_rows("agents", PATIENCE)?;
    }
    let connection = Connection::open(net.client.host.namespace(), net.correspondent.namespace(), CORRESPONDENT)?;
    connection.progresses(PROGRESS, PATIENCE)?.context("no data flows at home")?;

    net.client.roam(&net.visited_ap.air, Carrier::Kept)?;
    let bindings = router.await_rows("bindings", PATIENCE)?;
    ensure!(bindings[0]["encapsulation"] == "direct", "{bindings:?}");
    connection.progresses(PROGRESS, PATIENCE)?.context("no data flows in the other subnet")?;
    let answered = reach(net.visited_host.namespace(), CLIENT, PATIENCE)?;
    answered.context("the client's new neighbour does not reach it")?;

    net.client.roam(&net.home_ap.air, Carrier::Kept)?;
    mipd_lab::wait::until(PATIENCE, || Ok(router.rows_of("bindings", CLIENT)?.is_empty().then_some(())))?
        .context("the binding has not ended at home")?;
    connection.progresses(PROGRESS, PATIENCE)?.context("no data flows after the return")?;
    let answered = reach(net.visited_host.namespace(), CLIENT, PATIENCE)?;
    answered.context("the neighbour just left does not reach the client")?;
    let outcome = connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "{outcome:?}");
    Ok(())
}
