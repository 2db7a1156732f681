//! `cargo xtask simulate`: campuses in memory, with every property checked after every step.

use std::{ffi::OsString, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{build, cargo_messages, workspace::Workspace};

/// Arguments of `cargo xtask simulate`.
#[derive(Args)]
pub struct Arguments {
    /// Passed on to the simulation, `--help` among them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `cargo xtask simulate`. Its profile is optimised, and the simulation carries no kernel programs, so nothing needs to be set
/// up.
pub fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    build::announce("building the simulation");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", "simulation", "--package", "mipd-simulation", "--bin", "simulate"]);
    let built = cargo_messages::executables(&mut cargo)?;
    let simulate = built.into_iter().find(|executable| executable.name == "simulate" && executable.kind == "bin");
    let simulate = simulate.context("package mipd-simulation has no binary simulate")?;
    build::announce("simulating");
    let status = Command::new(simulate.path).args(&arguments.arguments).status()?;
    // The simulation has said what was wrong; its exit code is ours.
    std::process::exit(status.code().unwrap_or(1));
}
