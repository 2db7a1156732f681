//! `cargo xtask test`: all tests, privileged ones included, and one sum at the end.

mod costs;
mod matrix;
mod summary;

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    build::{self, Profile},
    cargo_messages::{self, Executable},
    command, guest, kernel,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};
use summary::Summary;

/// A test program that runs longer hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// Arguments of `cargo xtask test`.
#[derive(Args)]
pub struct Arguments {
    /// Run only tests whose names contain this
    #[arg(long)]
    filter: Option<String>,
    /// Run the kernel programs' tests under other kernels, in QEMU: all of the default, or those named
    #[arg(long, value_name = "LINES", value_delimiter = ',', num_args = 0..=1, require_equals = true,
        default_missing_value = matrix::KERNEL_LINES)]
    kernels: Option<Vec<guest::Line>>,
    /// Run the Wi-Fi tests, with simulated radios, under other kernels in QEMU: both of the default, or those named
    #[arg(long, value_name = "LINES", value_delimiter = ',', num_args = 0..=1, require_equals = true,
        default_missing_value = matrix::WIFI_LINES)]
    wifi: Option<Vec<guest::Line>>,
    /// Passed on to every test program
    #[arg(last = true, value_name = "ARGUMENTS")]
    passed_on: Vec<String>,
}

/// `cargo xtask test`. Its last line is the sum, `N passed, N failed, N skipped`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    let matrices = [(&matrix::KERNELS, &arguments.kernels), (&matrix::WIFI, &arguments.wifi)];
    let asked_for: Vec<_> =
        matrices.into_iter().filter_map(|(matrix, lines)| Some((matrix, lines.as_ref()?))).collect();
    if !asked_for.is_empty() {
        let mut total = Summary::default();
        for (matrix, lines) in asked_for {
            total.append(matrix.run(workspace, lines, arguments, route)?);
        }
        return finish(&total);
    }
    setup::ensure(workspace, Purpose::Test, route)?;
    let obstacle = kernel::obstacle();
    if let Some(reason) = &obstacle {
        println!("note: {reason}. Tests that need it skip themselves.");
    }
    build::announce("building");
    let kernel = build::kernel(workspace, route)?.with_bench(workspace, route)?;
    kernel.report(workspace)?;
    let mipd = build::agent(workspace, &kernel, Profile::Debug)?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-run", "--workspace", "--exclude", "mipd-ebpf"]);
    kernel.export(&mut cargo);
    let mut programs = cargo_messages::executables(&mut cargo)?;
    programs.retain(|program| program.is_test);
    // What is quick and needs least comes first.
    programs.sort_by_key(|program| (needs_root(program), title(program)));

    let mut total = Summary::default();
    for program in &programs {
        let privileged = obstacle.is_none() && needs_root(program);
        build::announce(&title(program));
        let mut test = prepare(command::limited(LIMIT, &program.path), program, arguments);
        build::export(&mut test, &kernel, &mipd);
        test.env("MIPD_PYTHON_PACKAGES", setup::python_packages()?);
        let mut test = if privileged { command::elevated(&test)? } else { test };
        total.add(&title(program), run(&mut test)?);
    }

    build::announce("examples in the documentation");
    let mut documentation = workspace.cargo();
    documentation.args(["test", "--doc", "--workspace", "--exclude", "mipd-ebpf", "--", "--show-output"]);
    documentation.args(&arguments.filter).args(&arguments.passed_on);
    build::export(&mut documentation, &kernel, &mipd);
    total.add("examples in the documentation", run(&mut documentation)?);

    finish(&total)
}

/// Says how it went, and fails if anything did.
fn finish(total: &Summary) -> Result<()> {
    total.print();
    if total.succeeded() { Ok(()) } else { std::process::exit(1) }
}

/// Gives a test program its arguments, and the directory that cargo would run it in.
fn prepare(mut test: Command, program: &Executable, arguments: &Arguments) -> Command {
    // Captured output of passed tests is shown, for in there they say that they skipped themselves.
    test.arg("--show-output").args(&arguments.filter).args(&arguments.passed_on);
    test.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
    test
}

/// End-to-end tests make networks and load programs; unit tests run as whoever builds.
fn needs_root(program: &Executable) -> bool {
    program.kind == "test" || program.package.file_name().is_some_and(|name| name == "tests")
}

fn title(program: &Executable) -> String {
    let package = program.package.file_name().unwrap_or_default().to_string_lossy();
    match program.kind.as_str() {
        "lib" => format!("{package}: unit tests"),
        kind => format!("{package}: {kind} {}", program.name),
    }
}

/// Runs test programs, showing each test's line as it comes.
fn run(test: &mut Command) -> Result<Summary> {
    let mut child = test
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command::describe(test)))?;
    let mut errors = child.stderr.take().context("standard error is not a pipe")?;
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read before an error is all there is to show.
        let _ = errors.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut output = String::new();
    for line in BufReader::new(child.stdout.take().context("standard output is not a pipe")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if summary::is_progress(&line) {
            println!("{line}");
        }
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_default();
    let summary = Summary::of(&output, status.success());
    if !summary.succeeded() {
        println!("{}\n{errors}\n{status}", summary::failures(&output).trim_end());
    }
    Ok(summary)
}
