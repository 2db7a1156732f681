//! What to measure.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// How fast the agents and the kernel programs are
///
/// Without a suite, everything is measured: some minutes on a quiet machine. Needs root.
#[derive(Parser, Debug)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub(super) struct Arguments {
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE", global = true)]
    pub json: Option<PathBuf>,
    /// Only see that it works: small numbers of everything, within seconds. The figures mean little
    #[arg(long, global = true)]
    pub quick: bool,
    /// Keep the figures in the documentation: docs/performance.json, .md and .svg
    #[arg(long, global = true)]
    pub document: bool,
    /// Add the figures of another report, measured elsewhere
    #[arg(long, value_name = "FILE", global = true, hide = true)]
    pub with: Option<PathBuf>,
    #[command(subcommand)]
    pub suite: Option<Suite>,
}

/// What can be measured by itself.
#[derive(Subcommand, Debug)]
pub(super) enum Suite {
    /// Cost of each path through the kernel programs
    ///
    /// By `BPF_PROG_TEST_RUN`, each packet of a client at random; an empty program's time is subtracted.
    Programs(Programs),
    /// Packets per second over virtual Ethernet: whole boxes, and a home agent, a foreign agent and an access point in a row
    ///
    /// Source, boxes and sink do all their work on one core. Compared with programs that only redirect, with the kernel's
    /// forwarding, and with those of the kernel's own tunnels that there are.
    Forwarding(Forwarding),
    /// Instructions per packet, beside the kernel's own tunnels
    ///
    /// In a guest whose clock counts instructions: throughput of an emulated machine would mean nothing, and many kernels have
    /// no tunnels of their own.
    #[command(name = "kernel-tunnels")]
    Instructions(Instructions),
    /// Write the documentation anew from the figures in docs/performance.json, without measuring
    Document,
    /// TCP throughput through agents on a whole campus, by XDP, TC and the slow path, against plain routing
    Transfer(Transfer),
    /// Registrations per second, their latency, and memory per binding
    ///
    /// A generator with distinct clients, keys and correct authenticators drives one home agent, then a foreign agent and a
    /// home agent together, over UDP. Generator and agents have a core each.
    Registrations(Registrations),
    /// A million bindings: time to load, adopt and follow the network, memory, and what changed tables cost the traffic
    ///
    /// The data plane is driven directly, one box in the place of all foreign agents; at last the agent starts from its
    /// state store.
    Tables(Tables),
    /// How long a client that moves is cut off, and where the time goes
    ///
    /// A client with a TCP connection goes round two visited networks and its home. Its frames are captured on every wire: from
    /// the first one at an access point to the first one that is forwarded, beside the round trip to the home agent in the same
    /// minutes; and each packet of the connection is followed from end to end.
    Roam(Roam),
}

/// Arguments of `bench roam`.
#[derive(Args, Debug)]
pub(super) struct Roam {
    /// How often the client comes into a visited network; one stop in 81 is at home
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub roams: u32,
}

/// Arguments of `bench instructions`.
#[derive(Args, Debug)]
pub(super) struct Instructions {
    /// How often each row of boxes has its turn
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Frames per turn
    #[arg(long, default_value_t = 4_000)]
    pub frames: u32,
}

/// Arguments of `bench programs`.
#[derive(Args, Debug)]
pub(super) struct Programs {
    /// How many bindings, visitors and stations there are while it is measured
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 10_000, 100_000, 1_000_000])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(super::boxes::MOST_CLIENTS)))]
    pub bindings: Vec<u32>,
    /// How often each path has its turn
    #[arg(long, default_value_t = 20)]
    pub rounds: u32,
    /// Packets per turn
    #[arg(long, default_value_t = 15_000)]
    pub calls: u32,
}

/// Arguments of `bench forwarding`.
#[derive(Args, Debug)]
pub(super) struct Forwarding {
    /// No box has more bindings or visitors than this
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(super::boxes::MOST_CLIENTS)))]
    pub most_clients: u32,
    /// How often each row of boxes has its turn
    #[arg(long, default_value_t = 40)]
    pub rounds: u32,
    /// Frames per turn
    #[arg(long, default_value_t = 50_000)]
    pub frames: u32,
}

/// Arguments of `bench transfer`.
#[derive(Args, Debug)]
pub(super) struct Transfer {
    /// How many connections of each kind, one after another
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// How long each of them sends
    #[arg(long, default_value_t = 1_000)]
    pub milliseconds: u64,
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
}

/// Arguments of `bench tables`.
#[derive(Args, Debug)]
pub(super) struct Tables {
    /// How many bindings there are
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_048_570))]
    pub bindings: u32,
    /// In how many tunnels
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub tunnels: u32,
    /// Without the start from a state store, which has to be written first
    #[arg(long)]
    pub skip_state_store: bool,
}

/// A suite's arguments as clap fills them in when none are given, or as few as make sense.
pub(super) trait Defaults: Args {
    /// The ones for `--quick`.
    fn quick() -> Self;

    /// What the command line would give without options.
    fn defaults(quick: bool) -> Self {
        if quick {
            return Self::quick();
        }
        let command = Self::augment_args(clap::Command::new("bench"));
        let matches = command.get_matches_from(["bench"]);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

impl Defaults for Programs {
    fn quick() -> Self {
        Self { bindings: vec![1, 1_000], rounds: 3, calls: 200 }
    }
}

impl Defaults for Forwarding {
    fn quick() -> Self {
        Self { most_clients: 1_000, rounds: 3, frames: 5_000 }
    }
}

impl Defaults for Instructions {
    fn quick() -> Self {
        Self { rounds: 1, frames: 1_000 }
    }
}

impl Defaults for Transfer {
    fn quick() -> Self {
        Self { rounds: 1, milliseconds: 100 }
    }
}

impl Defaults for Registrations {
    fn quick() -> Self {
        Self { bindings: vec![1_000], requests: 5_000, visitors: 500 }
    }
}

impl Defaults for Tables {
    fn quick() -> Self {
        Self { bindings: 10_000, tunnels: 100, skip_state_store: false }
    }
}

impl Defaults for Roam {
    fn quick() -> Self {
        Self { roams: 10 }
    }
}

impl Suite {
    /// All that measure on this machine.
    pub fn all(quick: bool) -> Vec<Self> {
        vec![
            Self::Programs(Programs::defaults(quick)),
            Self::Forwarding(Forwarding::defaults(quick)),
            Self::Transfer(Transfer::defaults(quick)),
            Self::Registrations(Registrations::defaults(quick)),
            Self::Tables(Tables::defaults(quick)),
            Self::Roam(Roam::defaults(quick)),
        ]
    }

    /// The same suite with the arguments for `--quick`.
    pub fn quick(self) -> Self {
        match self {
            Self::Programs(_) => Self::Programs(Programs::quick()),
            Self::Forwarding(_) => Self::Forwarding(Forwarding::quick()),
            Self::Transfer(_) => Self::Transfer(Transfer::quick()),
            Self::Instructions(_) => Self::Instructions(Instructions::quick()),
            Self::Document => Self::Document,
            Self::Registrations(_) => Self::Registrations(Registrations::quick()),
            Self::Tables(_) => Self::Tables(Tables::quick()),
            Self::Roam(_) => Self::Roam(Roam::quick()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_means_all_with_their_defaults() {
        let arguments = Arguments::try_parse_from(["bench", "--json", "x.json"]).unwrap();
        assert!(arguments.suite.is_none());
        let suites = Suite::all(false);
        assert!(suites.iter().any(|suite| matches!(suite, Suite::Programs(programs) if programs.bindings.len() == 5)));
        assert!(suites.iter().any(|suite| matches!(suite, Suite::Registrations(_))));
    }

    #[test]
    fn options_follow_the_suite() {
        let arguments =
            Arguments::try_parse_from(["bench", "programs", "--bindings", "1", "--json", "x.json"]).unwrap();
        assert!(arguments.json.is_some());
        let Some(Suite::Programs(programs)) = arguments.suite else { panic!("another suite") };
        assert_eq!(programs.bindings, [1]);
        assert!(Arguments::try_parse_from(["bench", "programs", "--bindings", "2000000"]).is_err());
    }
}
