//! `cargo xtask demo`: build everything, then let one client roam.

use std::{ffi::OsString, process::Command};

use anyhow::Result;
use clap::Args;

use crate::{
    build::{self, Profile},
    command, kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Arguments of `cargo xtask demo`.
#[derive(Args)]
pub struct Arguments {
    /// Passed on to the demo, `--help` among them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `cargo xtask demo`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    kernel::require()?;
    setup::ensure(workspace, Purpose::Demo, route)?;
    build::announce("building");
    let kernel = build::kernel(workspace, route)?;
    let (mipd, demo) = build::agent_and_lab(workspace, &kernel, Profile::Debug, "demo")?;
    let mut demo = Command::new(demo);
    demo.args(&arguments.arguments);
    build::export(&mut demo, &kernel, &mipd);
    let status = command::elevated(&demo)?.status()?;
    // The demo has said what was wrong; its exit code is ours.
    std::process::exit(status.code().unwrap_or(1));
}
