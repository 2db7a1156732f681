//! Agents start, die, come back and go: traffic goes on, and a box is left as it was.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Role, Settings};
use mipd_lab::deployment::{Deployment, Place, Traffic};
use mipd_lab::fingerprint::fingerprint;
use mipd_lab::topology::{CLIENT, CORRESPONDENT, ReversePathFilter, campus, single_router};
use mipd_lab::traffic::ping::reach;
use mipd_lab::wait;

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;

fn flows(traffic: &Traffic, when: &str) -> Result<()> {
    let time = traffic.connection.progresses(PROGRESS, PATIENCE)?;
    time.with_context(|| format!("TCP stands still {when}"))?;
    Ok(())
}

fn select<'a>(campus: &'a mut Deployment, name: &str) -> &'a mut Agent {
    match name {
        "ha" => &mut campus.agents.ha,
        "fa1" => &mut campus.agents.fa1,
        _ => &mut campus.agents.ap1,
    }
}

fn survives_kill_9(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build(label, &Settings::new(fast_path))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    flows(&traffic, "after the roam")?;
    for (name, table) in [("ha", "bindings"), ("fa1", "visitors"), ("ap1", "clients")] {
        // What was registered a moment ago may be lost with the agent.
        let agent = select(&mut campus, name);
        wait::until(PATIENCE, || Ok((agent.counter("changes_settled")? == agent.counter("changes")?).then_some(())))?
            .with_context(|| format!("the agent on {name} does not write its state"))?;
        agent.kill9();
        flows(&traffic, &format!("with the agent on {name} killed"))?;
        let agent = select(&mut campus, name);
        let rows = agent.show_maps(table)?;
        let listed = rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["home_address"] == "10.1.0.100"));
        ensure!(listed, "`mipd show {table} --maps` on {name} without an agent: {rows}");
        agent.run()?;
        let rows = agent.rows_of(table, CLIENT)?;
        ensure!(!rows.is_empty(), "the restarted agent on {name} does not know the client: {}", agent.log_tail());
        flows(&traffic, &format!("after the restart of the agent on {name}"))?;
    }
    // All three are as good as new: the client goes on to the next place, and home.
    campus.roam(Place::Visited2, Carrier::Kept)?;
    flows(&traffic, "at the next place")?;
    campus.roam(Place::Home, Carrier::Kept)?;
    flows(&traffic, "at home again")?;
    let outcome = traffic.connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "{outcome:?}");
    Ok(())
}

#[test]
fn traffic_survives_kill_9_of_every_agent_by_xdp() -> Result<()> {
    survives_kill_9("killauto", FastPath::Auto)
}

#[test]
fn traffic_survives_kill_9_of_every_agent_by_tc() -> Result<()> {
    survives_kill_9("killtc", FastPath::Tc)
}

#[test]
fn traffic_survives_kill_9_of_every_agent_by_the_kernel() -> Result<()> {
    survives_kill_9("killoff", FastPath::Off)
}

#[test]
fn agents_restarted_with_other_tables_lose_no_packet() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let first = Settings { routers_tunnels: Some(100), reverse_tunnel: true, ..Settings::new(FastPath::Auto) };
    let mut campus = Deployment::build("othertables", &first)?;
    campus.agents.start()?;
    let pings = campus.start_pings()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    reach(campus.campus.client.host.namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off")?;
    let roles = [("ha", Role::router(&campus.campus.ha)), ("fa1", Role::router(&campus.campus.fa1))];
    // Longer and shorter tables of tunnels; a hash map instead of slots, and slots again.
    for (tunnels, slots) in [(300, Some(1)), (50, None)] {
        let settings = Settings { routers_tunnels: Some(tunnels), home_agents_slots: slots, ..first.clone() };
        let start = Instant::now();
        for (name, role) in &roles {
            select(&mut campus, name).stop()?;
            let agent = if *name == "ha" { &campus.agents.ha } else { &campus.agents.fa1 };
            agent.reconfigure(&campus.campus.lab, role, &settings)?;
            select(&mut campus, name).run()?;
        }
        let end = Instant::now();
        wait::until(PATIENCE, || Ok(pings.answered_since(end)))?.context("the client is cut off in the end")?;
        let account = pings.during(start, end);
        ensure!(account.sent > 0 && account.lost == 0, "with {tunnels} tunnels: {account:?}");
        let rows = campus.agents.ha.show_maps("bindings")?;
        ensure!(rows.as_array().map_or(0, Vec::len) == 1, "bindings with {tunnels} tunnels: {rows}");
    }
    Ok(())
}

/// What one fingerprint has that the other has not.
fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(after).map(|line| format!("- {line}"));
    gone.chain(after.difference(before).map(|line| format!("+ {line}"))).collect()
}

#[test]
fn unload_leaves_every_box_as_it_was() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("unload", &Settings::new(FastPath::Auto))?;
    let hosts: Vec<_> = campus.agents.all().iter().map(|agent| agent.host().clone()).collect();
    let before = hosts.iter().map(fingerprint).collect::<Result<Vec<_>>>()?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    flows(&traffic, "after the roam")?;
    let during = fingerprint(campus.agents.ha.host())?;
    ensure!(!difference(&before[0], &during).is_empty(), "the fingerprint sees nothing of what an agent does");
    // The home agent was killed, all others end in order.
    campus.agents.ha.kill9();
    campus.agents.stop()?;
    for (agent, before) in campus.agents.all().iter().zip(&before) {
        agent.unload()?;
        let left = difference(before, &fingerprint(agent.host())?);
        ensure!(left.is_empty(), "unload has left on {}:\n{}", agent.host().name(), left.join("\n"));
        let pins = campus.campus.lab.bpffs().join(agent.host().name());
        let pins = std::fs::read_dir(&pins).map_or(0, Iterator::count);
        ensure!(pins == 0, "unload has left {pins} pins of {}", agent.host().name());
    }
    Ok(())
}

#[test]
fn an_agent_that_cannot_start_leaves_the_box_as_it_was() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let net = single_router("halfway", ReversePathFilter::default())?;
    let before = fingerprint(&net.router.host)?;
    let Role::Router { mut lans } = Role::router(&net.router) else {
        unreachable!("a router's role is that of a router")
    };
    // The first interface is fine, the second does not exist.
    "lan7".clone_into(&mut lans[1].0);
    let started = Agent::start(&net.lab, &net.router.host, &Role::Router { lans }, &Settings::new(FastPath::Auto));
    let complaint = started.err().context("the agent started without one of its interfaces")?;
    ensure!(format!("{complaint:#}").contains("lan7"), "the complaint does not name the interface: {complaint:#}");
    let left = difference(&before, &fingerprint(&net.router.host)?);
    ensure!(left.is_empty(), "it has left:\n{}", left.join("\n"));
    Ok(())
}

#[test]
fn a_taken_registration_port_leaves_the_box_as_it_was() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let net = single_router("taken", ReversePathFilter::default())?;
    let before = fingerprint(&net.router.host)?;
    let _holder = net.router.host.namespace().enter(|| std::net::UdpSocket::bind("0.0.0.0:434"))??;
    let started = Agent::start(&net.lab, &net.router.host, &Role::router(&net.router), &Settings::new(FastPath::Auto));
    let complaint = started.err().context("the agent started without its port")?;
    ensure!(format!("{complaint:#}").contains("UDP port 434"), "the complaint does not name the port: {complaint:#}");
    let left = difference(&before, &fingerprint(&net.router.host)?);
    ensure!(left.is_empty(), "it has left:\n{}", left.join("\n"));
    Ok(())
}

#[test]
fn a_strict_reverse_path_filter_does_not_stop_a_roam_and_comes_back() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let strict = ReversePathFilter { all: 1, default: 1 };
    // A strict core router takes a visitor's address for forged: a case for the reverse tunnel.
    let settings = Settings { reverse_tunnel: true, ..Settings::new(FastPath::Off) };
    let mut campus = Deployment::on(campus("strict", strict)?, &settings)?;
    let lan = "net/ipv4/conf/lan0/rp_filter";
    campus.agents.start()?;
    ensure!(campus.agents.fa1.host().namespace().sysctl(lan)? == "2", "the filter is still strict");
    let traffic = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    flows(&traffic, "after the roam")?;
    campus.agents.fa1.stop()?;
    campus.agents.fa1.unload()?;
    ensure!(campus.agents.fa1.host().namespace().sysctl(lan)? == "1", "the filter has not come back");
    Ok(())
}
