//! `cargo xtask bench`: build everything with optimisation, then measure.

use std::{ffi::OsString, process::Command};

use anyhow::Result;
use clap::Args;

use crate::{
    build::{self, Profile},
    command, kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure and how: `registrations [--json FILE]`; `--help` tells more
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "--help")]
    arguments: Vec<OsString>,
}

/// `cargo xtask bench`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    kernel::require()?;
    setup::ensure(workspace, Purpose::Demo, route)?;
    build::announce("building");
    let kernel = build::kernel(workspace, route)?;
    let (mipd, bench) = build::agent_and_lab(workspace, &kernel, Profile::Release, "bench")?;
    let mut bench = Command::new(bench);
    bench.args(&arguments.arguments);
    build::export(&mut bench, &kernel, &mipd);
    let status = command::elevated(&bench)?.status()?;
    // The benchmark has said what was wrong; its exit code is ours.
    std::process::exit(status.code().unwrap_or(1));
}
