//! `cargo xtask test --kernels` and `--wifi`: tests under other kernels, in guests.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Arguments,
    costs::{self, Costs},
    prepare, summary,
    summary::Summary,
    title,
};
use crate::{
    build::{self, Profile},
    cargo_messages::{self, Executable},
    guest::{self, Guest, Kernel, Line},
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// Tests that run in guests.
pub struct Matrix {
    purpose: Purpose,
    /// The test programs.
    programs: &'static [&'static str],
    /// What modules are loaded first. A kernel that has one of them built in has no such module.
    modules: &'static [&'static str],
    /// A test program that takes longer hangs. Emulated, everything takes ten times as long.
    limit: Duration,
    /// Whether people want to see what tests print that pass.
    talks: bool,
}

/// Kernels for the programs' tests unless others are asked for: the oldest, those that Debian's releases have, and the newest.
pub const KERNEL_LINES: &str = "5.10,6.1,6.12,7";
/// The tests of every packet through every program, and of the agent's data plane, which loads and attaches them.
pub const KERNELS: Matrix = Matrix {
    purpose: Purpose::Kernels,
    programs: &["programs", "dataplane"],
    modules: &["tun", "veth", "bridge"],
    limit: Duration::from_secs(600),
    talks: false,
};

/// Kernels for the Wi-Fi tests unless others are asked for: one with clsact and the newest, with tcx.
pub const WIFI_LINES: &str = "6.1,7";
/// Associations and roams on simulated radios.
pub const WIFI: Matrix = Matrix {
    purpose: Purpose::Wifi,
    programs: &["wifi"],
    modules: &["tun", "veth", "bridge", "mac80211_hwsim radios=0"],
    limit: Duration::from_secs(900),
    talks: true,
};

/// The file of costs in a guest's directory.
const COSTS: &str = "costs.json";

impl Matrix {
    /// Runs it. A kernel that cannot be had, and all of them where guests cannot run, counts as skipped.
    pub fn run(
        &self,
        workspace: &Workspace,
        lines: &[Line],
        arguments: &Arguments,
        route: Option<Route>,
    ) -> Result<Summary> {
        setup::ensure(workspace, self.purpose, route)?;
        let mut total = Summary::default();
        let mut costs = Costs::default();
        let skip = |total: &mut Summary, line: &Line, why: &str| {
            println!("SKIPPED: kernel {line}: {why}");
            total.add(&format!("kernel {line}"), Summary::skipped(why));
        };
        if let Some(why) = guest::obstacle() {
            for line in lines {
                skip(&mut total, line, &why);
            }
            return Ok(total);
        }
        build::announce("building");
        let objects = build::kernel(workspace, route)?;
        let mipd = build::agent(workspace, &objects, Profile::Debug)?;
        // Of the whole workspace, so that nothing is compiled that other tests do not share.
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--no-run", "--workspace", "--exclude", "mipd-ebpf"]);
        cargo.args(self.programs.iter().flat_map(|name| ["--test", name]));
        objects.export(&mut cargo);
        let mut programs = cargo_messages::executables(&mut cargo)?;
        programs.retain(|program| program.is_test);
        for line in lines {
            build::announce(&format!("kernel {line}"));
            let kernel = match Kernel::get(line) {
                Ok(kernel) => kernel,
                Err(error) => {
                    skip(&mut total, line, &format!("{error:#}"));
                    continue;
                }
            };
            for program in &programs {
                let title = format!("kernel {}: {}", kernel.release, title(program));
                build::announce(&title);
                let mut test = prepare(Command::new(&program.path), program, arguments);
                build::export(&mut test, &objects, &mipd);
                total.add(&title, self.one(workspace, &kernel, program, &mut test, &mut costs));
            }
        }
        if !costs.is_empty() {
            build::announce("what the verifier of each kernel says, and the machine code");
            println!("{costs}");
        }
        Ok(total)
    }

    fn one(
        &self,
        workspace: &Workspace,
        kernel: &Kernel,
        program: &Executable,
        test: &mut Command,
        costs: &mut Costs,
    ) -> Summary {
        let directory = workspace.target.join("guests").join(format!("{}-{}", kernel.release, program.name));
        let guest = Guest::new(kernel, directory.clone()).processors(2).limit(self.limit).modules(self.modules);
        test.env(costs::VARIABLE, Path::new(guest::JOB_DIRECTORY).join(COSTS));
        let start = Instant::now();
        let outcome = guest.run(test, |line| {
            if summary::is_progress(line) {
                println!("{line}");
            }
        });
        match outcome {
            Ok(outcome) => {
                let summary = Summary::of(&outcome.output, outcome.status == 0);
                // Only one of the programs writes them, and only if the filter lets its test run.
                let file = directory.join(COSTS);
                if file.exists() {
                    if let Err(error) = costs.add(&kernel.release, &file) {
                        eprintln!("{error:#}");
                    }
                }
                if self.talks {
                    println!("{}", summary::printed(&outcome.output).trim_end());
                }
                if summary.succeeded() {
                    forget(&directory);
                } else {
                    println!("{}", summary::failures(&outcome.output).trim_end());
                    println!("status {}; the console's log is in {}", outcome.status, directory.display());
                }
                println!("the guest took {:.0?}", start.elapsed());
                summary
            }
            Err(error) => {
                println!("{error:#}");
                Summary::failure("the guest failed")
            }
        }
    }
}

/// Removes the log of what went well.
fn forget(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        eprintln!("cannot remove {}: {error}", directory.display());
    }
}
