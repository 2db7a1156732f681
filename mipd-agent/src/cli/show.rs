//! `mipd show`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::{Backend, Failure, location, table};
use crate::control::{Client, ClientError, Report, Request, Response, What};

#[derive(Args)]
pub(super) struct Arguments {
    /// The table
    #[arg(value_enum, value_name = "TABLE")]
    what: What,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Counters that are zero too (text shows the others only)
    #[arg(long)]
    all: bool,
    /// Read the pinned maps; works with no agent running
    #[arg(long, conflicts_with = "socket")]
    maps: bool,
    /// Where the maps are pinned
    #[arg(long, value_name = "DIR", requires = "maps", conflicts_with = "config")]
    bpffs_dir: Option<PathBuf>,
    #[command(flatten)]
    agent: location::Agent,
}

pub(super) fn execute(arguments: &Arguments, backend: &dyn Backend, output: &mut dyn Write) -> Result<(), Failure> {
    let report = if arguments.maps { from_maps(arguments, backend)? } else { from_agent(arguments)? };
    if arguments.json {
        table::write_json(&report, output)
    } else {
        let shown = if arguments.all { report } else { without_zeros(report) };
        Ok(writeln!(output, "{}", table::render(&shown))?)
    }
}

fn from_maps(arguments: &Arguments, backend: &dyn Backend) -> Result<Report, Failure> {
    match &arguments.bpffs_dir {
        Some(directory) => backend.inspect(directory, arguments.what),
        None => backend.inspect(&location::locations(arguments.agent.config.as_deref())?.bpffs_dir, arguments.what),
    }
}

fn from_agent(arguments: &Arguments) -> Result<Report, Failure> {
    let socket = arguments.agent.socket()?;
    let mut client = Client::connect(&socket).map_err(|error| match error {
        ClientError::NotRunning { .. } => Failure::from(format!("{error}, or use --maps")),
        other => other.into(),
    })?;
    match client.request(&Request::Show { what: arguments.what })? {
        Response::Report(report) if report.what() == arguments.what => Ok(report),
        Response::Refused { message } => Err(message.into()),
        _ => Err("the agent answered with something else: is it of another version?".into()),
    }
}

fn without_zeros(report: Report) -> Report {
    match report {
        Report::Counters(counters) => {
            Report::Counters(counters.into_iter().filter(|counter| counter.value != 0).collect())
        }
        other => other,
    }
}
