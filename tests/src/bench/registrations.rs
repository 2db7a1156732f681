//! Registrations per second, their latency, and memory per binding.
//!
//! [`clients`] makes requests with correct authenticators, [`load`] keeps a window of them under way, [`network`] builds the
//! boxes. Each kind of request is measured by itself: a first registration makes a binding, a renewal keeps it, a move
//! changes its care-of address.

mod clients;
mod load;
mod network;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::{
    clients::Clients,
    load::{Load, Outcome},
    network::{CARE_OF_ADDRESS, CARE_OF_ADDRESSES, HomeNetwork, Pair},
};
use super::{
    arguments::Registrations,
    machine::{self, Cores},
    report::{Benchmark, Report, quantile},
};
use crate::{agent::Agent, wait};

/// Requests under way at a time, of a busy home agent.
const WINDOW: usize = 192;
/// A home agent on one core shall take so many renewals or moves per second.
const GOAL_PER_SECOND: f64 = 100_000.0;
/// A binding shall need no more memory in the agent.
const GOAL_BYTES: f64 = 512.0;
/// Foreign agent and home agent together shall add no more delay in an idle system.
const GOAL_DELAY_MS: f64 = 1.0;
/// Requests one by one for the delay of an idle system.
const SINGLE_REQUESTS: usize = 2_000;
/// Longer than any pause between gratuitous ARPs or transactions.
const QUIET: Duration = Duration::from_millis(2_500);
const SETTLING_INTERVAL: Duration = Duration::from_millis(250);
const SETTLING_PATIENCE: Duration = Duration::from_mins(2);
/// A measurement that loses more than one request in so many is none.
const TOLERATED_LOSS: u64 = 100;

/// Measures everything.
pub(super) fn measure(arguments: &Registrations, report: &mut Report) -> Result<()> {
    let cores = Cores::find()?;
    let floor = echo(cores, arguments.requests, report)?;
    for bindings in &arguments.bindings {
        home_agent(cores, *bindings, arguments.requests, floor, report)?;
    }
    foreign_and_home_agent(cores, arguments.visitors, report)
}

/// The same messages, sent back by a program that does nothing else: what the network and the calls cost.
fn echo(cores: Cores, requests: u32, report: &mut Report) -> Result<f64> {
    let network = HomeNetwork::build("echo")?;
    let clients = Clients::new(1_000);
    let everybody = clients.shuffled();
    let echo = network.start_echo(cores.agents)?;
    let load = Load { requests: requests as usize, is_echo: true, ..busy(&everybody, &CARE_OF_ADDRESSES) };
    let outcome = network.run(cores.generator, &clients, &load)?;
    drop(echo);
    add_rate(report, "registrations/udp-echo".to_owned(), &outcome, None, None, BTreeMap::new())
}

/// Each client once, in a window that keeps an agent busy.
fn busy<'a>(clients: &'a [u32], care_of_addresses: &'a [Ipv4Addr]) -> Load<'a> {
    let window = WINDOW.min(clients.len() / 2);
    Load { clients, requests: clients.len(), window, care_of_addresses, moves: false, is_echo: false }
}

fn home_agent(cores: Cores, bindings: u32, requests: u32, floor: f64, report: &mut Report) -> Result<()> {
    let clients = Clients::new(bindings);
    let network = HomeNetwork::build("ha")?;
    let agent = network.start_agent(cores.agents, &clients)?;
    let before = machine::anonymous_memory(pid(&agent)?)?;

    let everybody = clients.shuffled();
    let first = busy(&everybody, &CARE_OF_ADDRESSES);
    let renewal = Load { requests: requests as usize, ..first };
    for (kind, load) in [("first", first), ("renewal", renewal), ("move", Load { moves: true, ..renewal })] {
        settle(&agent)?;
        let used = Used::before(&agent)?;
        let outcome = network.run(cores.generator, &clients, &load)?;
        let mut compared = used.per_message(&agent, outcome.answered)?;
        compared.insert("lost", outcome.lost as f64);
        let goal = (kind != "first").then_some(GOAL_PER_SECOND);
        let name = format!("registrations/ha/{kind}/{bindings}");
        add_rate(report, name.clone(), &outcome, Some(floor), goal, compared)?;
        add_latency(report, format!("{name}/latency"), &outcome, None);
        if kind == "first" {
            settle(&agent)?;
            let memory = machine::anonymous_memory(pid(&agent)?)?.saturating_sub(before) as f64 / f64::from(bindings);
            report.add(Benchmark {
                name: format!("registrations/ha/memory-per-binding/{bindings}"),
                unit: "bytes".into(),
                p50: memory,
                p99: memory,
                goal: Some(GOAL_BYTES),
                ..Benchmark::default()
            });
        }
    }
    let outcome = network.run(cores.generator, &clients, &one_by_one(renewal))?;
    add_latency(report, format!("registrations/ha/renewal/{bindings}/idle-latency"), &outcome, None);
    Ok(())
}

/// Waits until what earlier registrations have left to do is done: gratuitous ARPs are repeated for three seconds, and
/// records wait for the disk.
fn settle(agent: &Agent) -> Result<()> {
    let traces = || -> Result<u64> { Ok(agent.counter("gratuitous_arps_sent")? + agent.counter("records_written")?) };
    let (mut last, mut since) = (traces()?, Instant::now());
    let settled = wait::until(SETTLING_PATIENCE, || {
        std::thread::sleep(SETTLING_INTERVAL);
        let now = traces()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
        Ok((since.elapsed() > QUIET).then_some(()))
    })?;
    settled.with_context(|| format!("the agent is still busy after {SETTLING_PATIENCE:?}"))
}

/// The delay of a system that has nothing else to do.
fn one_by_one(load: Load<'_>) -> Load<'_> {
    Load { requests: SINGLE_REQUESTS, window: 1, ..load }
}

/// The visitors' side: raw frames with each client's Ethernet address, through a foreign agent to the home agent.
fn foreign_and_home_agent(cores: Cores, visitors: u32, report: &mut Report) -> Result<()> {
    let clients = Clients::new(visitors);
    let pair = Pair::build()?;
    let agents = pair.start_agents(cores.agents, &clients)?;
    let everybody = clients.shuffled();
    let first = busy(&everybody, &[CARE_OF_ADDRESS]);
    for kind in ["first", "renewal"] {
        settle(&agents.home)?;
        let used = Used::before(&agents.foreign)?;
        let used_at_home = Used::before(&agents.home)?;
        let outcome = pair.run(cores.generator, &clients, &first)?;
        let mut compared = BTreeMap::from([("lost", outcome.lost as f64)]);
        compared.extend(used.per_message(&agents.foreign, outcome.answered)?.get("agent_ns").map(|ns| ("fa_ns", *ns)));
        let at_home = used_at_home.per_message(&agents.home, outcome.answered)?;
        compared.extend(at_home.get("agent_ns").map(|ns| ("ha_ns", *ns)));
        let name = format!("registrations/fa+ha/{kind}/{visitors}");
        add_rate(report, name.clone(), &outcome, None, None, compared)?;
        add_latency(report, format!("{name}/latency"), &outcome, None);
    }
    settle(&agents.home)?;
    let outcome = pair.run(cores.generator, &clients, &one_by_one(first))?;
    add_latency(report, format!("registrations/fa+ha/renewal/{visitors}/idle-latency"), &outcome, Some(GOAL_DELAY_MS));
    Ok(())
}

/// Processor time of an agent before a measurement.
struct Used(Vec<(String, Duration)>);

impl Used {
    fn before(agent: &Agent) -> Result<Self> {
        Ok(Self(machine::processor_time(pid(agent)?)?))
    }

    /// Nanoseconds per message since then: of the thread that handles messages, and of the one that writes the state.
    fn per_message(&self, agent: &Agent, messages: u64) -> Result<BTreeMap<&'static str, f64>> {
        let after = machine::processor_time(pid(agent)?)?;
        let total = |threads: &[(String, Duration)], state: bool| {
            let of_kind = threads.iter().filter(|(name, _)| (name == "state") == state);
            of_kind.map(|(_, time)| time.as_nanos() as f64).sum::<f64>()
        };
        let each = |state| (total(&after, state) - total(&self.0, state)) / messages.max(1) as f64;
        Ok(BTreeMap::from([("agent_ns", each(false)), ("state_ns", each(true))]))
    }
}

fn pid(agent: &Agent) -> Result<u32> {
    match agent.pid() {
        Some(pid) => Ok(pid),
        None => bail!("the agent on {} is not running", agent.host().name()),
    }
}

fn add_rate(
    report: &mut Report,
    name: String,
    outcome: &Outcome,
    floor_p50: Option<f64>,
    goal: Option<f64>,
    compared_with: BTreeMap<&'static str, f64>,
) -> Result<f64> {
    if outcome.lost * TOLERATED_LOSS > outcome.answered {
        bail!("{name}: {} of {} requests got no answer", outcome.lost, outcome.lost + outcome.answered);
    }
    let mut rates = outcome.rates.clone();
    let (p50, p99) = (quantile(&mut rates, 0.5), quantile(&mut rates, 0.01));
    let compared_with = compared_with.into_iter().map(|(name, value)| (name.into(), value)).collect();
    report.add(Benchmark { name, unit: "per_s".into(), p50, p99, floor_p50, goal, compared_with });
    Ok(p50)
}

fn add_latency(report: &mut Report, name: String, outcome: &Outcome, goal: Option<f64>) {
    let mut milliseconds: Vec<f64> = outcome.latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect();
    let (p50, p99) = (quantile(&mut milliseconds, 0.5), quantile(&mut milliseconds, 0.99));
    report.add(Benchmark { name, unit: "ms".into(), p50, p99, goal, ..Benchmark::default() });
}
