//! `cargo xtask demo`: build everything, then let one client roam.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::{build::Profile, lab, setup::Route, workspace::Workspace};

/// Arguments of `cargo xtask demo`.
#[derive(Args)]
pub struct Arguments {
    /// Passed on to the demo, `--help` among them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `cargo xtask demo`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    lab::run(workspace, "demo", Profile::Debug, &arguments.arguments, route)
}
