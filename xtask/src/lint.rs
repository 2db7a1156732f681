//! `cargo xtask lint`: formatting, and clippy with warnings denied.

use anyhow::Result;

use crate::{
    build, command,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// `cargo xtask lint`.
pub fn main(workspace: &Workspace, route: Option<Route>) -> Result<()> {
    setup::ensure(workspace, Purpose::Lint, route)?;
    build::announce("formatting");
    command::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    build::announce("clippy");
    // The kernel programs compile for another target only; their formatting is checked above.
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--workspace", "--exclude", "mipd-ebpf", "--all-targets", "--", "-D", "warnings"]);
    command::run(&mut clippy)
}
