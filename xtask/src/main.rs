//! `cargo xtask`: everything that is done with this checkout, by one command each.

mod bench;
mod build;
mod cargo_messages;
mod command;
mod demo;
mod fuzz;
mod guest;
mod kernel;
mod lab;
mod lint;
mod load;
mod setup;
mod simulate;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use setup::Route;
use workspace::Workspace;

/// Set-up, build, demo and tests of mipd
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    /// Where the kernel programs' compiler comes from, if not from what is there [env: `MIPD_EBPF_ROUTE`]
    #[arg(long, global = true, value_enum)]
    route: Option<Route>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing to build, demonstrate and test
    Setup(setup::Arguments),
    /// Build the kernel programs and the agent
    Build(build::Arguments),
    /// Build, check a configuration, load and attach on this machine
    BuildAndLoad(load::Arguments),
    /// Build everything and let one client roam through a campus of network namespaces
    #[command(disable_help_flag = true)]
    Demo(demo::Arguments),
    /// Build everything with optimisation and measure how fast it is
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Let thousands of clients roam in memory, on a simulated clock and network
    #[command(disable_help_flag = true)]
    Simulate(simulate::Arguments),
    /// Build everything and run all tests
    Test(test::Arguments),
    /// Fuzz decoders and roles, guided by coverage
    Fuzz(fuzz::Arguments),
    /// Check formatting and lints
    Lint,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let route = match arguments.route {
        Some(route) => Some(route),
        None => Route::from_environment()?,
    };
    let workspace = Workspace::locate()?;
    command::warn_if_under_sudo();
    match &arguments.verb {
        Verb::Setup(arguments) => setup::main(&workspace, arguments, route),
        Verb::Build(arguments) => build::main(&workspace, arguments, route),
        Verb::BuildAndLoad(arguments) => load::main(&workspace, arguments, route),
        Verb::Demo(arguments) => demo::main(&workspace, arguments, route),
        Verb::Bench(arguments) => bench::main(&workspace, arguments, route),
        Verb::Simulate(arguments) => simulate::main(&workspace, arguments),
        Verb::Test(arguments) => test::main(&workspace, arguments, route),
        Verb::Fuzz(arguments) => fuzz::main(&workspace, arguments, route),
        Verb::Lint => lint::main(&workspace, route),
    }
}
