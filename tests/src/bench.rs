//! Benchmarks of the agents, on the lab's networks.
//!
//! `registrations` drives home agent and foreign agent over UDP; `report` prints and writes the figures; `machine` pins
//! processes to cores and reads what they cost.

mod arguments;
mod machine;
mod registrations;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use self::{arguments::Arguments, report::Report};
use crate::interrupt;

/// The benchmarks' `main`: exit code 0 when everything was measured, whether goals were reached or not.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::handle("bench") {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::leave_the_exit_to_it();
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut report = Report::new();
    match arguments {
        Arguments::Registrations(arguments) => registrations::measure(arguments, &mut report)?,
    }
    report.print();
    match arguments.json() {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}
