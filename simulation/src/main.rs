//! `simulate`: runs campuses in memory and says what became of them.

use std::{process::ExitCode, thread, time::Instant};

use clap::Parser;
use mipd_simulation::{Scenario, Summary, World};

/// Simulate campuses: without arguments one with 1,000 access points and 20,000 clients, and 200 small ones
#[derive(Parser)]
#[command(bin_name = "cargo xtask simulate")]
struct Arguments {
    /// The seed, the first one of several
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Access points
    #[arg(long)]
    aps: Option<usize>,
    /// Routers that are foreign agents
    #[arg(long)]
    fas: Option<usize>,
    /// Routers that are home agents
    #[arg(long)]
    has: Option<usize>,
    /// Clients
    #[arg(long)]
    clients: Option<usize>,
    /// Simulated time
    #[arg(long)]
    minutes: Option<u64>,
    /// The small campus: 10 access points, 4 foreign agents, 3 home agents, 30 clients, half an hour
    #[arg(long)]
    small: bool,
    /// Nothing is lost, nothing fails, nobody is hostile
    #[arg(long)]
    calm: bool,
    /// Only this client does anything, and all notes on it are printed
    #[arg(long)]
    only_client: Option<usize>,
}

impl Arguments {
    fn is_default(&self) -> bool {
        let sizes = self.aps.or(self.fas).or(self.has).or(self.clients).is_some();
        !(sizes || self.seed.is_some() || self.minutes.is_some() || self.small || self.seeds != 1)
    }

    fn scenario(&self, seed: u64) -> Scenario {
        let usual = if self.small { Scenario::small(seed) } else { Scenario::campus(seed) };
        Scenario {
            access_points: self.aps.unwrap_or(usual.access_points),
            foreign_agents: self.fas.unwrap_or(usual.foreign_agents),
            home_agents: self.has.unwrap_or(usual.home_agents),
            clients: self.clients.unwrap_or(usual.clients),
            minutes: self.minutes.unwrap_or(usual.minutes),
            calm: self.calm || usual.calm,
            only_client: self.only_client,
            ..usual
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let succeeded = if arguments.is_default() {
        let campus = thread::spawn(|| run_one(&Scenario::campus(1)));
        let small = run_many(&(0..200).map(Scenario::small).collect::<Vec<_>>());
        campus.join().unwrap_or(false) && small
    } else {
        let first = arguments.seed.unwrap_or(1);
        let scenarios: Vec<_> = (first..first + arguments.seeds).map(|seed| arguments.scenario(seed)).collect();
        match &scenarios[..] {
            [one] => run_one(one),
            _ => run_many(&scenarios),
        }
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one campus and says how it went; `false`: it failed.
fn run_one(scenario: &Scenario) -> bool {
    let started = Instant::now();
    let summary = run(scenario);
    if let Some(summary) = summary {
        println!("seed {}: {summary}; {:.1} s", scenario.seed, started.elapsed().as_secs_f64());
    }
    summary.is_some()
}

/// Runs one after the other and says how they went together; `false`: one has failed.
fn run_many(scenarios: &[Scenario]) -> bool {
    let started = Instant::now();
    let (first, count) = (scenarios.first().map_or(0, |scenario| scenario.seed), scenarios.len());
    let succeeded: Vec<Summary> = scenarios.iter().filter_map(run).collect();
    let failed = count - succeeded.len();
    let summary: Summary = succeeded.into_iter().sum();
    println!(
        "{count} seeds from {first} on, {failed} of them failed: {summary}; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    failed == 0
}

/// Runs a campus. A failure is told at once.
fn run(scenario: &Scenario) -> Option<Summary> {
    World::new(*scenario).run().inspect_err(|failure| println!("seed {}: FAILED\n{failure}", scenario.seed)).ok()
}
