//! Every encapsulation under real traffic: TCP, large datagrams and the size limit, both ways, in each way of forwarding.
//!
//! The access points of a campus ask for different encapsulations, so that one walk of the client tries several.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::{CLIENT, CORRESPONDENT};
use mipd_lab::traffic::datagrams;
use mipd_lab::translator::Translator;
use mipd_lab::{Carrier, Host, wait};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// What a client meets in a place, and what must come of it.
#[derive(Clone, Copy, Debug)]
struct Stay {
    place: Place,
    /// What the access point asks for.
    asked: &'static str,
    /// As `mipd show tunnels` calls it.
    encapsulation: &'static str,
    keyed: bool,
    /// Largest packet inside.
    mtu: u16,
    /// What is on the wire between the agents.
    filter: &'static str,
}

/// Without UDP. The second foreign agent asks for GRE keys.
const BARE: [Stay; 3] = [
    Stay {
        place: Place::Visited1Ap1,
        asked: "gre",
        encapsulation: "gre",
        keyed: false,
        mtu: 1476,
        filter: "ip.proto == 47 && gre.flags_and_version == 0 && gre.proto == 0x0800",
    },
    Stay {
        place: Place::Visited1Ap2,
        asked: "minimal",
        encapsulation: "minimal",
        keyed: false,
        mtu: 1480,
        filter: "ip.proto == 55",
    },
    Stay {
        place: Place::Visited2,
        asked: "gre",
        encapsulation: "gre",
        keyed: true,
        mtu: 1472,
        filter: "gre.flags_and_version == 0x2000 && gre.key",
    },
];

/// Over UDP, which the foreign agents force.
const OVER_UDP: [Stay; 3] = [
    Stay {
        place: Place::Visited1Ap1,
        asked: "ipip",
        encapsulation: "udp/ipip",
        keyed: false,
        mtu: 1468,
        filter: "udp.port == 434 && mip.type == 4 && mip.nattt.nexthdr == 4",
    },
    Stay {
        place: Place::Visited1Ap2,
        asked: "minimal",
        encapsulation: "udp/minimal",
        keyed: false,
        mtu: 1468,
        filter: "udp.port == 434 && mip.type == 4 && mip.nattt.nexthdr == 55",
    },
    Stay {
        place: Place::Visited2,
        asked: "gre",
        encapsulation: "udp/gre",
        keyed: true,
        mtu: 1460,
        filter: "udp.port == 434 && mip.type == 4 && mip.nattt.nexthdr == 47",
    },
];

#[test]
fn gre_and_minimal_encapsulation_carry_everything_by_xdp() -> Result<()> {
    walk("encxdp", FastPath::Auto, &BARE, "off", &[true, false])
}

#[test]
fn gre_and_minimal_encapsulation_carry_everything_by_tc() -> Result<()> {
    walk("enctc", FastPath::Tc, &BARE, "off", &[true])
}

#[test]
fn gre_and_minimal_encapsulation_carry_everything_by_the_kernel() -> Result<()> {
    walk("encoff", FastPath::Off, &BARE, "off", &[true, false])
}

#[test]
fn tunnels_over_udp_carry_everything_by_xdp() -> Result<()> {
    walk("udpxdp", FastPath::Auto, &OVER_UDP, "forced", &[true, false])
}

#[test]
fn tunnels_over_udp_carry_everything_by_tc() -> Result<()> {
    walk("udptc", FastPath::Tc, &OVER_UDP, "forced", &[true])
}

#[test]
fn tunnels_over_udp_carry_everything_by_the_kernel() -> Result<()> {
    walk("udpoff", FastPath::Off, &OVER_UDP, "forced", &[true, false])
}

fn walk(label: &str, fast_path: FastPath, stays: &[Stay], udp: &str, reverse: &[bool]) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    for reverse_tunnel in reverse {
        let how = || format!("{fast_path:?}, {} reverse tunnel", if *reverse_tunnel { "with" } else { "without" });
        walk_once(label, fast_path, stays, udp, *reverse_tunnel).with_context(how)?;
    }
    Ok(())
}

fn walk_once(label: &str, fast_path: FastPath, stays: &[Stay], udp: &str, reverse_tunnel: bool) -> Result<()> {
    let settings = Settings { reverse_tunnel, ..Settings::new(fast_path) };
    let mut campus = Deployment::build(label, &settings)?;
    for stay in stays {
        configure(&campus, &settings, stay, udp)?;
    }
    campus.agents.start()?;
    campus.capture(&["core1", "core2", "core3"], &campus.campus.lab.directory().join("pcap"))?;
    let traffic = campus.start_traffic()?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows at home")?;
    for stay in stays {
        campus.roam(stay.place, Carrier::Kept)?;
        let step = || format!("{} in {}", stay.encapsulation, stay.place.label());
        traffic.connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("{}: TCP stands still", step()))?;
        visit(&campus, stay, reverse_tunnel).with_context(step)?;
    }
    campus.roam(Place::Home, Carrier::Kept)?;
    ensure!(campus.agents.ha.show("tunnels")? == Value::Array(Vec::new()), "a tunnel is left over");
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the two ends of the TCP connection saw different bytes");
    drop(traffic.pings);

    let files = campus.stop_captures()?;
    for stay in stays {
        let wire = if stay.place == Place::Visited2 { "core3" } else { "core2" };
        let file = files.get(wire).with_context(|| format!("no capture of {wire}"))?;
        let care_of_address = if stay.place == Place::Visited2 { "10.3.0.1" } else { "10.2.0.1" };
        let down = format!("{} && ip.src == 10.1.0.1 && ip.dst == {care_of_address}", stay.filter);
        let up = format!("{} && ip.src == {care_of_address} && ip.dst == 10.1.0.1", stay.filter);
        ensure!(file.count(&down)? > 50, "{}: nothing came down the tunnel", stay.encapsulation);
        ensure!((file.count(&up)? > 50) == reverse_tunnel, "{}: reverse tunnel", stay.encapsulation);
        // The fragments of large datagrams cannot be encapsulated minimally.
        let plain = file.count("ip.proto == 4 && !(ip.flags.mf == 1 || ip.frag_offset > 0)")?;
        ensure!(plain == 0, "{}: {plain} packets IP in IP on {wire}", stay.encapsulation);
    }
    for (wire, file) in &files {
        ensure!(file.bad_checksums()? == 0, "bad checksums on {wire}");
        // What is in our random datagrams, tshark sometimes takes for something else.
        ensure!(file.count("_ws.malformed && (tcp || icmp)")? == 0, "malformed packets on {wire}");
    }
    Ok(())
}

/// Has a campus do what a stay says.
fn configure(campus: &Deployment, settings: &Settings, stay: &Stay, udp: &str) -> Result<()> {
    let gre_key = if stay.place == Place::Visited2 { "with-gre" } else { "never" };
    campus.wrap_by(settings, stay.place, stay.asked, (gre_key, udp))
}

/// What the tables say, and that whatever is sent arrives.
fn visit(campus: &Deployment, stay: &Stay, reverse_tunnel: bool) -> Result<()> {
    let (client, correspondent) = (campus.campus.client.host.namespace(), campus.campus.correspondent.namespace());
    for (agent, exists) in [(&campus.agents.ha, true), (campus.router(stay.place), reverse_tunnel)] {
        let tunnel = the_tunnel(agent, exists)?;
        let Some(tunnel) = tunnel else { continue };
        let said = (&tunnel["encapsulation"], &tunnel["mtu"]);
        ensure!(said == (&Value::from(stay.encapsulation), &Value::from(stay.mtu)), "{tunnel}");
        ensure!(tunnel["send_key"].is_u64() == stay.keyed && tunnel["receive_key"].is_u64() == stay.keyed, "{tunnel}");
        ensure!(tunnel["udp_peer"].is_string() == stay.encapsulation.starts_with("udp/"), "{tunnel}");
    }
    let down = ((correspondent, CORRESPONDENT), (client, CLIENT));
    for (from, to) in [down, (down.1, down.0)] {
        for length in [1, 1_400, 4_000] {
            datagrams::arrives(from, to, length, PATIENCE)?;
        }
    }
    limit(&campus.campus.correspondent, CLIENT, stay.mtu).context("down")?;
    if reverse_tunnel {
        limit(&campus.campus.client.host, CORRESPONDENT, stay.mtu).context("up")?;
    }
    Ok(())
}

/// The only tunnel of a router, once its next hop is known.
fn the_tunnel(agent: &Agent, exists: bool) -> Result<Option<Value>> {
    let tunnels = wait::until(PATIENCE, || {
        let tunnels = agent.show("tunnels")?.as_array().cloned().unwrap_or_default();
        Ok((tunnels.len() == usize::from(exists) && tunnels.iter().all(|row| row["state"] == "ready"))
            .then_some(tunnels))
    })?;
    Ok(tunnels.with_context(|| format!("tunnels of {}: {:?}", agent.host().name(), agent.show("tunnels")))?.pop())
}

/// The largest packet with DF passes, and one byte more is answered with the MTU.
fn limit(host: &Host, target: Ipv4Addr, mtu: u16) -> Result<()> {
    let ping = |size: u16| -> Result<String> {
        let mut command = Command::new("ping");
        command.args(["-n", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", &size.to_string()]);
        let output = host.namespace().output(command.arg(target.to_string())).context("cannot run ping")?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    // What an earlier stay has taught it is of no use here.
    host.namespace().set_sysctl("net/ipv4/route/flush", "1")?;
    let largest = mtu - 28;
    let too_large = ping(largest + 1)?;
    let told = [format!("mtu = {mtu}"), format!("mtu={mtu}")].iter().any(|said| too_large.contains(said));
    ensure!(told && too_large.contains(" 0 received"), "{} bytes with DF: {too_large}", mtu + 1);
    let fits = ping(largest)?;
    ensure!(fits.contains("2 received"), "{mtu} bytes do not pass: {fits}");
    Ok(())
}

#[test]
fn a_nat_between_the_agents_is_noticed_and_crossed_and_may_change_its_mapping() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    for fast_path in [FastPath::Auto, FastPath::Off] {
        behind_nat(fast_path).with_context(|| format!("{fast_path:?}"))?;
    }
    Ok(())
}

fn behind_nat(fast_path: FastPath) -> Result<()> {
    let outside = |port| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), port);
    let lifetime = "10s".to_owned();
    let settings = Settings { reverse_tunnel: true, lifetime, ..Settings::new(fast_path) };
    let mut campus = Deployment::build("nat", &settings)?;
    let stay = Stay { place: Place::Visited1Ap1, ..OVER_UDP[0] };
    configure(&campus, &settings, &stay, "on")?;
    let nat = Translator::start(&campus.campus.core, ("to-fa1", HOME_AGENT), CARE_OF_ADDRESS, outside(40_000))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows at home")?;
    campus.roam(stay.place, Carrier::Kept)?;
    for port in [40_000, 40_001] {
        // The next registration, at half the lifetime, tells the home agent the new mapping.
        nat.set_port(port);
        let known = wait::until(PATIENCE, || {
            let tunnels = campus.agents.ha.show("tunnels")?.as_array().cloned().unwrap_or_default();
            let peers: Vec<_> = tunnels.iter().map(|tunnel| tunnel["udp_peer"].as_str().unwrap_or("")).collect();
            Ok((peers == [outside(port).to_string()]).then_some(()))
        })?;
        known.with_context(|| format!("{port}: {}", campus.agents.ha.show("tunnels").unwrap_or_default()))?;
        let before = nat.translated();
        traffic.connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("{port}: TCP stands still"))?;
        ensure!(nat.translated() > before + 100, "the traffic takes another way");
    }
    visit(&campus, &stay, true)?;
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the two ends of the TCP connection saw different bytes");
    Ok(())
}
