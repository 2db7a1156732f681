//! `simulate`: runs campuses in memory and says what became of them.

use std::{process::ExitCode, thread, time::Instant};

use clap::Parser;
use mipd_simulation::{Scenario, World};

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
        let campus = thread::spawn(|| run(&Scenario::campus(1)));
        let small = run_all((0..200).map(Scenario::small));
        campus.join().unwrap_or(false) && small
    } else {
        let first = arguments.seed.unwrap_or(1);
        run_all((first..first + arguments.seeds).map(|seed| arguments.scenario(seed)))
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one after the other; says whether all went well.
fn run_all(scenarios: impl Iterator<Item = Scenario>) -> bool {
    scenarios.filter(|scenario| !run(scenario)).count() == 0
}

fn run(scenario: &Scenario) -> bool {
    let started = Instant::now();
    match World::new(*scenario).run() {
        Ok(summary) => {
            println!("seed {}: {summary}; {:.1} s", scenario.seed, started.elapsed().as_secs_f64());
            true
        }
        Err(failure) => {
            println!("seed {}: FAILED\n{failure}", scenario.seed);
            false
        }
    }
}
