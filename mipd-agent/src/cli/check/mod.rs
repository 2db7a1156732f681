//! `mipd check`: is the configuration valid, what will the agent do with it, and will this box let it?
//!
//! * `explain`: the configuration in plain words; `hints`: what in it is hardly meant;
//! * `live`, from the snapshot in `box_state`, and `netfilter`: what this box says to it;
//! * [`finding`]: one thing that is to be said.

mod box_state;
mod explain;
pub(super) mod finding;
#[cfg(test)]
mod hint_tests;
mod hints;
mod live;
mod netfilter;
#[cfg(test)]
mod tests;

use std::{io::Write, path::PathBuf};

use clap::Args;

use self::finding::Severity;
use super::{Backend, Failure};
use crate::config::{Config, DEFAULT_PATH};

#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Look at the file only, not at this box
    #[arg(long)]
    offline: bool,
}

pub(super) fn execute(arguments: &Arguments, backend: &dyn Backend, output: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    writeln!(output, "{} is valid.\n\n{}", arguments.config.display(), explain::explain(&config))?;
    let mut findings = hints::hints(&config);
    if !arguments.offline {
        findings.extend(live::findings(&config)?);
        // It would only find the same problems again, in other words.
        if findings.iter().all(|finding| finding.severity != Severity::Problem) {
            findings.extend(backend.check(&config));
        }
    }
    if !findings.is_empty() {
        writeln!(output, "\n{}", if arguments.offline { "Worth a look:" } else { "On this box:" })?;
        findings.sort_by_key(|finding| finding.severity);
    }
    for finding in &findings {
        writeln!(output, "  {finding}")?;
    }
    match findings.iter().filter(|finding| finding.severity == Severity::Problem).count() {
        0 => Ok(()),
        1 => Err("the agent would not start: solve the problem shown above".into()),
        problems => Err(format!("the agent would not start: solve the {problems} problems shown above").into()),
    }
}
