//! `cargo xtask test --kernels`: the tests of the kernel programs under other kernels.

use std::{path::Path, process::Command, time::Duration};

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

/// What is tested unless something else is asked for: the oldest, those that Debian's releases have, and the newest.
pub const LINES: &str = "5.10,6.1,6.12,7";
/// A test program that takes longer hangs. Emulated, everything takes ten times as long.
const LIMIT: Duration = Duration::from_secs(600);
/// What the tests' networks are made of. A kernel that has one of them built in has no such module.
const MODULES: [&str; 3] = ["tun", "veth", "bridge"];
/// The tests: of every packet through every program, and of the agent's data plane, which loads and attaches them.
const PROGRAMS: [&str; 2] = ["programs", "dataplane"];

/// The file of costs in a guest's directory.
const COSTS: &str = "costs.json";

/// Runs the matrix. A kernel that cannot be had, and all of them where guests cannot run, counts as skipped.
pub fn run(workspace: &Workspace, lines: &[Line], arguments: &Arguments, route: Option<Route>) -> Result<Summary> {
    setup::ensure(workspace, Purpose::Kernels, route)?;
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
    cargo.args(PROGRAMS.iter().flat_map(|name| ["--test", name]));
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
            total.add(&title, one(workspace, &kernel, program, &mut test, &mut costs));
        }
    }
    build::announce("what the verifier of each kernel says, and the machine code");
    println!("{costs}");
    Ok(total)
}

fn one(workspace: &Workspace, kernel: &Kernel, program: &Executable, test: &mut Command, costs: &mut Costs) -> Summary {
    let directory = workspace.target.join("guests").join(format!("{}-{}", kernel.release, program.name));
    let guest = Guest::new(kernel, directory.clone()).processors(2).limit(LIMIT).modules(&MODULES);
    test.env(costs::VARIABLE, Path::new(guest::JOB_DIRECTORY).join(COSTS));
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
            if summary.succeeded() {
                forget(&directory);
            } else {
                println!("{}", summary::failures(&outcome.output).trim_end());
                println!("status {}; the console's log is in {}", outcome.status, directory.display());
            }
            summary
        }
        Err(error) => {
            println!("{error:#}");
            Summary::failure("the guest failed")
        }
    }
}

/// Removes the log of what went well.
fn forget(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        eprintln!("cannot remove {}: {error}", directory.display());
    }
}
