//! `cargo xtask bench`: build everything with optimisation, then measure.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::{build::Profile, lab, setup::Route, workspace::Workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure and how: `[SUITE] [--json FILE]`; `--help` tells more
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `cargo xtask bench`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    lab::run(workspace, "bench", Profile::Release, &arguments.arguments, route)
}
