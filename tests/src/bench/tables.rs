//! A million bindings in thousands of tunnels: how long they take to load, to adopt and to follow the network, how much of
//! the kernel's memory they are, and what a change of their tables costs the traffic.
//!
//! The data plane runs in this process, in a namespace of its own; at last the agent itself, from its state store.

mod network;
mod restart;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mipd_agent::dataplane::{BindingRoute, DataPlane, Inspection, Settings, unload};
use tokio::runtime::Runtime;

use self::network::{Network, Stream, route};
use super::{
    arguments::Tables,
    report::{Benchmark, Report},
};

/// What the slot table may cost.
const BYTES_PER_BINDING: f64 = 16.0;
/// What a change of the tunnels' next hop may take: well below a second.
const NEXT_HOP_MS: f64 = 1000.0;

/// Runs all of it.
pub(super) fn measure(arguments: &Tables, report: &mut Report) -> Result<()> {
    let network = Network::build()?;
    let size = arguments.bindings;
    for benchmark in network.on_router(|runtime| data_plane(&network, runtime, arguments))? {
        report.add(benchmark);
    }
    if !arguments.skip_state_store {
        report.add(milliseconds(&format!("restart/state-store/{size}"), restart::measure(&network, arguments)?));
    }
    Ok(())
}

fn data_plane(network: &Network, runtime: &Runtime, arguments: &Tables) -> Result<Vec<Benchmark>> {
    let mut report = Vec::new();
    let (size, tunnels) = (arguments.bindings, arguments.tunnels);
    let settings = network.settings(size, tunnels);
    let routes = || (0..size).map(|number| route(number, tunnels));

    // One by one, as registrations come.
    let mut plane = DataPlane::start(settings.clone())?;
    let start = Instant::now();
    for route in routes() {
        plane.install_binding(&route)?;
    }
    let singly = start.elapsed();
    drop(plane);
    unload(&settings.bpffs_dir, &settings.state_dir)?;

    // All at a time, as after a restart of the machine.
    let mut plane = DataPlane::start(settings.clone())?;
    let start = Instant::now();
    let failed = plane.install_bindings(routes());
    let together = start.elapsed();
    ensure!(failed.is_empty(), "{} bindings cannot be carried: {}", failed.len(), failed[0].1);
    let mut load = milliseconds(&format!("load/{size}"), together);
    load.compared_with.insert("singly".into(), as_milliseconds(singly));
    report.push(load);

    report.extend(memory(&settings, size)?);
    report.push(milliseconds(&format!("next-hop/{tunnels}"), network.change_next_hop(runtime, &mut plane)?));
    drop(plane);

    // The agent only, not the machine.
    let start = Instant::now();
    let plane = DataPlane::start(settings.clone())?;
    let adopted = start.elapsed();
    report.push(claim(plane, routes(), adopted, &format!("adopt/{size}"))?);

    let start = Instant::now();
    let bindings = Inspection::open(&settings.bpffs_dir)?.bindings()?.len();
    report.push(milliseconds(&format!("show-maps/{size}"), start.elapsed()));
    ensure!(bindings == size as usize, "{bindings} bindings, not {size}");

    report.extend(swap(network, &settings, size)?);
    unload(&settings.bpffs_dir, &settings.state_dir)?;
    Ok(report)
}

/// What the role does when it has restored what it knows.
fn claim(
    mut plane: DataPlane,
    routes: impl Iterator<Item = BindingRoute>,
    adopted: Duration,
    name: &str,
) -> Result<Benchmark> {
    let start = Instant::now();
    let failed = plane.install_bindings(routes);
    let forgotten = plane.remove_unclaimed()?;
    ensure!(failed.is_empty() && forgotten == 0, "{} failed, {forgotten} forgotten", failed.len());
    let mut benchmark = milliseconds(name, adopted + start.elapsed());
    benchmark.compared_with.insert("until it forwards".into(), as_milliseconds(adopted));
    Ok(benchmark)
}

/// What the kernel says that the maps take.
fn memory(settings: &Settings, size: u32) -> Result<Vec<Benchmark>> {
    let maps = network::map_memory(settings)?;
    let of = |name: &str| maps.get(name).copied().with_context(|| format!("no map {name}"));
    let slots = bytes(&format!("memory/slots-per-binding/{size}"), of("SLOTS")? as f64 / f64::from(size));
    let total: u64 = maps.values().sum();
    let mut all = bytes(&format!("memory/all-maps/{size}"), total as f64);
    for (name, map) in [("slots", "SLOTS"), ("tunnels", "TUNNELS"), ("MACs at home", "HOME_MACS")] {
        all.compared_with.insert(name.into(), of(map)? as f64);
    }
    Ok(vec![Benchmark { goal: Some(BYTES_PER_BINDING), ..slots }, all])
}

/// Starts again with one home subnet more, so that every binding moves into another slot, while packets are under way.
fn swap(network: &Network, settings: &Settings, size: u32) -> Result<Vec<Benchmark>> {
    let stream = Stream::start(network)?;
    let start = Instant::now();
    let plane = DataPlane::start(network::with_another_subnet(settings))?;
    let took = start.elapsed();
    let outcome = stream.stop()?;
    drop(plane);
    let lost = (outcome.sent - outcome.received) as f64;
    let mut loss =
        Benchmark { name: format!("tables/swap/lost-packets/{size}"), unit: "packets".into(), ..Benchmark::default() };
    (loss.p50, loss.p99, loss.goal) = (lost, lost, Some(0.0));
    loss.compared_with = BTreeMap::from([("sent meanwhile".into(), outcome.sent as f64)]);
    Ok(vec![milliseconds(&format!("swap/{size}"), took), loss])
}

fn milliseconds(name: &str, took: Duration) -> Benchmark {
    let took = as_milliseconds(took);
    let goal = name.starts_with("next-hop").then_some(NEXT_HOP_MS);
    Benchmark { name: format!("tables/{name}"), unit: "ms".into(), p50: took, p99: took, goal, ..Benchmark::default() }
}

fn bytes(name: &str, number: f64) -> Benchmark {
    Benchmark { name: format!("tables/{name}"), unit: "bytes".into(), p50: number, p99: number, ..Benchmark::default() }
}

fn as_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
