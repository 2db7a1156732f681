//! Programs that run `mipd` on the lab's networks: the demo.

use std::{ffi::OsString, process::Command};

use anyhow::Result;

use crate::{
    build::{self, Profile},
    command, kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Builds everything, and runs the program as root in place of this one: it says itself what is wrong, and its exit code is
/// ours.
pub fn run(
    workspace: &Workspace,
    program: &str,
    profile: Profile,
    arguments: &[OsString],
    route: Option<Route>,
) -> Result<()> {
    kernel::require()?;
    setup::ensure(workspace, Purpose::Demo, route)?;
    build::announce("building");
    let kernel = build::kernel(workspace, route)?;
    let (mipd, program) = build::agent_and_lab(workspace, &kernel, profile, program)?;
    let mut program = Command::new(program);
    program.args(arguments);
    build::export(&mut program, &kernel, &mipd);
    let status = command::elevated(&program)?.status()?;
    std::process::exit(status.code().unwrap_or(1));
}
