//! `cargo xtask bench`: build everything with optimisation, then measure; what has to be measured under another kernel first.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    build::{self, Profile},
    command,
    guest::{self, Guest, Kernel, Line},
    kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure and how: `[SUITE] [--json FILE]`; `--help` tells more
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// The suite that counts instructions, in a guest.
const IN_GUEST: &str = "kernel-tunnels";
/// The other ones.
const SUITES: [&str; 7] = ["programs", "forwarding", "transfer", "registrations", "tables", "roam", "document"];
/// The kernel in the guest: Debian 13's.
const LINE: &str = "6.12";
/// The kernel's own tunnels, and what the boxes are joined by.
const MODULES: [&str; 5] = ["veth", "bridge", "ipip", "ip_gre", "vxlan"];

/// `cargo xtask bench`. Runs the benchmarks as root in place of this program: they say themselves what is wrong, and their
/// exit code is ours.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    let arguments = &arguments.arguments;
    kernel::require()?;
    setup::ensure(workspace, Purpose::Demo, route)?;
    build::announce("building");
    let kernel = build::kernel(workspace, route)?.with_bench(workspace, route)?;
    let (mipd, program) = build::agent_and_lab(workspace, &kernel, Profile::Release, "bench")?;
    let mut bench = Command::new(program);
    build::export(&mut bench, &kernel, &mipd);
    let mut with = None;
    if wants_guest(arguments) {
        build::announce(&format!("counting instructions under Linux {LINE}, in QEMU"));
        match count_instructions(workspace, &bench, has(arguments, "--quick")) {
            Ok(report) => with = Some(report),
            Err(error) if has(arguments, IN_GUEST) => return Err(error),
            Err(error) => println!("note: not compared with the kernel's own tunnels: {error:#}"),
        }
    }
    bench.args(arguments);
    if let Some(report) = with {
        bench.arg("--with").arg(report);
    }
    build::announce("measuring");
    let status = command::elevated(&bench)?.status()?;
    std::process::exit(status.code().unwrap_or(1));
}

fn has(arguments: &[OsString], wanted: &str) -> bool {
    arguments.iter().any(|argument| argument == OsStr::new(wanted))
}

/// Whether everything is to be measured, or just that.
fn wants_guest(arguments: &[OsString]) -> bool {
    let asks = ["--help", "-h"].into_iter().any(|wanted| has(arguments, wanted));
    !asks && SUITES.into_iter().all(|suite| !has(arguments, suite))
}

/// Gives the report.
fn count_instructions(workspace: &Workspace, bench: &Command, is_quick: bool) -> Result<PathBuf> {
    setup::ensure(workspace, Purpose::Kernels, None)?;
    if let Some(why) = guest::obstacle() {
        bail!(why);
    }
    let kernel = Kernel::get(&LINE.parse::<Line>().map_err(anyhow::Error::msg)?)?;
    let directory = workspace.target.join("guests/bench");
    let mut counting = Command::new(bench.get_program());
    counting.arg(IN_GUEST).args(is_quick.then_some("--quick")).args(["--json", "/job/report.json"]);
    for (key, value) in bench.get_envs() {
        if let Some(value) = value {
            counting.env(key, value);
        }
    }
    let guest = Guest::new(&kernel, directory.clone()).counting_instructions().modules(&MODULES);
    let outcome = guest.run(&counting, |line| println!("{line}"))?;
    if outcome.status != 0 {
        bail!("the benchmarks failed in the guest, with status {}", outcome.status);
    }
    Ok(directory.join("report.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<OsString> {
        texts.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_guest_is_for_everything_or_for_itself() {
        assert!(wants_guest(&arguments(&[])));
        assert!(wants_guest(&arguments(&["--json", "x.json", "--quick"])));
        assert!(wants_guest(&arguments(&["kernel-tunnels"])));
        assert!(!wants_guest(&arguments(&["programs", "--quick"])));
        assert!(!wants_guest(&arguments(&["--help"])));
    }
}
