//! What to measure.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};

/// How fast the agents are
#[derive(Parser, Debug)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub(super) enum Arguments {
    /// Registrations per second, their latency, and memory per binding
    ///
    /// A generator with distinct clients, keys and correct authenticators drives one home agent, then a foreign agent and a
    /// home agent together, over UDP. Generator and agents have a core each. Needs root.
    Registrations(Registrations),
}

/// Arguments of `bench registrations`.
#[derive(Args, Debug)]
pub(super) struct Registrations {
    /// How many bindings there are while it is measured
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    pub bindings: Vec<u32>,
    /// At most so many requests of each kind are timed
    #[arg(long, default_value_t = 300_000)]
    pub requests: u32,
    /// How many visitors the foreign agent has in the end
    #[arg(long, default_value_t = 10_000)]
    pub visitors: u32,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Arguments {
    pub fn json(&self) -> Option<&Path> {
        match self {
            Self::Registrations(arguments) => arguments.json.as_deref(),
        }
    }
}
