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
    // The agent carries the kernel programs, so it cannot be checked without them. They themselves compile for another
    // target only: their compiler's warnings and their formatting are all that is checked.
    let kernel = build::kernel(workspace, route)?;
    let mut clippy = workspace.cargo();
    kernel.export(&mut clippy);
    clippy.args(["clippy", "--workspace", "--exclude", "mipd-ebpf", "--all-targets", "--", "-D", "warnings"]);
    command::run(&mut clippy)
}
