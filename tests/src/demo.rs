//! The demo: one client with an ordinary stack walks through a campus while a TCP connection and a stream of pings run.
//!
//! `script` is the walk, `roam` measures one step of it, `path` and `data_path` find out
//! who carried the packets, `verdict` judges, `print` tells it to people and `report` to programs.

mod arguments;
mod data_path;
mod path;
mod print;
mod report;
mod roam;
mod script;
mod verdict;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use self::arguments::Arguments;
use self::print::Narrator;
use self::report::Report;
use crate::interrupt;

/// The demo's `main`: exit code 0 if all went as promised, 1 if not, 2 for wrong usage, 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::handle("demo") {
        eprintln!("demo: {error:#}");
        return ExitCode::FAILURE;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            interrupt::leave_the_exit_to_it();
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let narrator = Narrator::new();
    print::introduction(arguments);
    let report = script::perform(arguments, &narrator)?;
    print::roams(&report);
    print::boxes(&report);
    print::data_path(&report);
    print::verdict(&report);
    if let Some(file) = &arguments.report {
        write(&report, file)?;
        println!("report written to {}", file.display());
    }
    Ok(report.verdict.passed)
}

fn write(report: &Report, file: &std::path::Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, text + "\n").with_context(|| format!("cannot write the report to {}", file.display()))
}
