//! Benchmarks of kernel programs and agents, on the lab's networks.
//!
//! `programs` measures each path through the kernel programs by itself, `encapsulations` each way to wrap, `forwarding` whole boxes, `transfer` TCP through all of
//! them with their agents; `roam` how long a client that moves is cut off; `registrations` drives home agent and foreign agent over UDP, and `tables` holds a million bindings in the
//! data path.
//!
//! `boxes` fills the programs' tables, `path` knows what takes which path, `headers` makes the packets, `test_run` runs a
//! program, `durations` collects; `machine` pins processes to cores and reads what they cost; `report`
//! prints and writes the figures, `document` puts them into the documentation, with a `picture`.

mod arguments;
mod boxes;
mod document;
mod durations;
mod encapsulations;
mod forwarding;
mod headers;
mod machine;
mod path;
mod picture;
mod programs;
mod registrations;
mod report;
mod roam;
mod tables;
mod test_run;
mod transfer;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use self::{
    arguments::{Arguments, Suite},
    report::Report,
};
use crate::interrupt;

/// The benchmarks' `main`: exit code 0 when everything was measured, whether goals were reached or not.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::handle("bench") {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::leave_the_exit_to_it();
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let suites = match arguments.suite {
        None => Suite::all(arguments.quick),
        // They have been counted in a guest.
        Some(Suite::Instructions(_)) if arguments.with.is_some() => Vec::new(),
        Some(suite) if arguments.quick => vec![suite.quick()],
        Some(suite) => vec![suite],
    };
    let mut report = Report::new();
    for suite in &suites {
        match suite {
            Suite::Programs(arguments) => programs::measure(arguments, &mut report)?,
            Suite::Forwarding(arguments) => forwarding::measure(arguments, &mut report)?,
            Suite::Instructions(arguments) => forwarding::count_instructions(arguments, &mut report)?,
            Suite::Transfer(arguments) => transfer::measure(arguments, &mut report)?,
            Suite::Registrations(arguments) => registrations::measure(arguments, &mut report)?,
            Suite::Tables(arguments) => tables::measure(arguments, &mut report)?,
            Suite::Roam(arguments) => roam::measure(arguments, &mut report)?,
            Suite::Document => return document::rewrite(&document::directory()),
        }
    }
    if let Some(file) = &arguments.with {
        report.add_all(file)?;
    }
    report.print();
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    if arguments.document {
        let directory = document::directory();
        report.write(&directory.join("performance.json"))?;
        document::rewrite(&directory)?;
    }
    Ok(())
}
