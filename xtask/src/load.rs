//! `cargo xtask build-and-load`: build, check the configuration, load and attach on this machine.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    build::{self, Profile},
    command, kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Arguments of `cargo xtask build-and-load`.
#[derive(Args)]
pub struct Arguments {
    /// The agent's configuration
    #[arg(long)]
    config: PathBuf,
    /// Attach only to these interfaces of the configuration
    #[arg(long)]
    interface: Vec<String>,
}

/// `cargo xtask build-and-load`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    let config = arguments.config.canonicalize();
    let config = config.with_context(|| format!("cannot find the configuration {}", arguments.config.display()))?;
    kernel::require()?;
    setup::ensure(workspace, Purpose::Build, route)?;
    build::announce("building");
    let kernel = build::kernel(workspace, route)?;
    kernel.report(workspace)?;
    let mipd = build::agent(workspace, &kernel, Profile::Debug)?;

    build::announce("checking the configuration");
    // As root, because key files are readable by nobody else.
    let mut check = Command::new(&mipd);
    check.args(["check", "--config"]).arg(&config);
    command::run(&mut command::elevated(&check)?)?;

    build::announce("loading and attaching");
    let mut load = Command::new(&mipd);
    load.args(["load", "--config"]).arg(&config);
    for interface in &arguments.interface {
        load.args(["--interface", interface]);
    }
    kernel.export(&mut load);
    command::run(&mut command::elevated(&load)?)
}
