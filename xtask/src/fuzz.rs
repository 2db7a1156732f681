//! `cargo xtask fuzz`: coverage-guided fuzzing of decoders and roles with libFuzzer.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    build, cargo_messages, command,
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

/// What LLVM's coverage pass is told, so that libFuzzer sees edges and comparisons. It is part of every compiler; the
/// address sanitizer, which would need a nightly one, has nothing to find in safe code.
const INSTRUMENTATION: [&str; 10] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg",
    "fuzzing",
];
/// One input that takes longer than this has found a loop without end.
const INPUT_SECONDS: u32 = 10;
/// Longest input: more than any datagram of the protocol, and some hundred events.
const INPUT_LENGTH: u32 = 4096;
const MEMORY_MB: u32 = 2048;

/// Arguments of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Arguments {
    /// What to fuzz, by name; everything if none is given
    targets: Vec<String>,
    /// How long each target is fuzzed: `90`, `60s`, `10m` or `1h`
    #[arg(long, default_value = "60s", value_parser = duration)]
    time: Duration,
    /// Only print the names of the targets
    #[arg(long)]
    list: bool,
}

/// `cargo xtask fuzz`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    let known = targets(workspace)?;
    if arguments.list {
        println!("{}", known.join("\n"));
        return Ok(());
    }
    if let Some(unknown) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("{unknown} is no fuzzing target; there are {}", known.join(", "));
    }
    setup::ensure(workspace, Purpose::Fuzz, route)?;
    let fuzzer = build(workspace)?;
    let chosen = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    let mut results = Vec::new();
    for target in chosen {
        build::announce(&format!("fuzzing {target} for {} s", arguments.time.as_secs()));
        results.push((target, fuzz(workspace, &fuzzer, target, arguments.time)?));
    }
    println!("{:<16} {:>14} {:>10} {:>8}  found", "target", "executions", "coverage", "corpus");
    for (target, result) in &results {
        println!(
            "{target:<16} {:>14} {:>10} {:>8}  {}",
            result.executions, result.coverage, result.corpus, result.found
        );
    }
    let broken: Vec<_> =
        results.iter().filter(|(_, result)| result.failed).map(|(target, _)| target.as_str()).collect();
    if !broken.is_empty() {
        bail!(
            "an input breaks {}: it is in {} and fails `cargo test -p mipd-fuzz` until it is mended; commit it with the mend",
            broken.join(" and "),
            crashes(workspace, broken[0]).parent().unwrap_or(&workspace.root).display()
        );
    }
    Ok(())
}

/// The names in `fuzz/src/lib.rs`, which is the one place that lists them.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let list = workspace.root.join("fuzz/src/lib.rs");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(names(&text))
}

fn names(text: &str) -> Vec<String> {
    let entries = text.split("Target { name: \"").skip(1);
    entries.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let version = command::capture(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let mut cargo = workspace.cargo();
    // With a target named, build scripts and macros stay free of instrumentation.
    cargo.args(["build", "--release", "--package", "mipd-fuzz", "--bin", "mipd-fuzz"]);
    // Messages and state machines alone: neither kernel programs nor the crates that touch a machine.
    cargo.args(["--no-default-features", "--features", "libfuzzer"]);
    cargo.args(["--target", host]).arg("--target-dir").arg(workspace.target.join("fuzz"));
    cargo.env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    let built = cargo_messages::executables(&mut cargo)?;
    let fuzzer = built.into_iter().find(|executable| executable.kind == "bin");
    fuzzer.map(|fuzzer| fuzzer.path).context("package mipd-fuzz has no binary")
}

/// What came of fuzzing one target.
#[derive(Default)]
struct Outcome {
    executions: u64,
    /// Edges and blocks, as libFuzzer counts them.
    coverage: u64,
    corpus: usize,
    found: String,
    failed: bool,
}

fn crashes(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.root.join("fuzz/crashes").join(target)
}

fn fuzz(workspace: &Workspace, fuzzer: &Path, target: &str, time: Duration) -> Result<Outcome> {
    let corpus = workspace.target.join("fuzz/corpus").join(target);
    let (kept, crashes) = (workspace.root.join("fuzz/corpus").join(target), crashes(workspace, target));
    for directory in [&corpus, &crashes] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let mut run = Command::new(fuzzer);
    run.env("MIPD_FUZZ_TARGET", target).env("MIPD_FUZZ_SEEDS", &corpus);
    run.arg(format!("-max_total_time={}", time.as_secs())).arg(format!("-timeout={INPUT_SECONDS}"));
    run.arg(format!("-max_len={INPUT_LENGTH}")).arg(format!("-rss_limit_mb={MEMORY_MB}")).arg("-print_final_stats=1");
    run.arg(format!("-artifact_prefix={}/", crashes.display()));
    run.arg(&corpus).args(kept.is_dir().then_some(&kept)).arg(&crashes);
    let mut child = run.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start the fuzzer")?;
    let mut outcome = Outcome { found: "nothing".to_owned(), ..Outcome::default() };
    for line in BufReader::new(child.stderr.take().context("standard error is not a pipe")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        outcome.read(&line);
        // A line for every new input is too much; a failure is told in full.
        if outcome.failed || line.contains("pulse") || line.starts_with("thread ") {
            println!("{line}");
        }
    }
    outcome.failed |= !child.wait()?.success();
    outcome.corpus = fs::read_dir(&corpus)?.count();
    if fs::read_dir(&crashes)?.next().is_none() {
        fs::remove_dir(&crashes)?;
    }
    Ok(outcome)
}

impl Outcome {
    /// Takes what a line of libFuzzer's says.
    fn read(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(0);
        }
        if let Some(rest) = line.split(" cov: ").nth(1) {
            self.coverage = rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(self.coverage);
        }
        if line.contains("ERROR: libFuzzer") || line.contains("panicked at") {
            self.failed = true;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            path.trim().clone_into(&mut self.found);
        }
    }
}

/// `90`, `60s`, `10m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return Err(format!("{text} is no duration: give 60s, 10m or 1h")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text} is no duration: give 60s, 10m or 1h"))?;
    Ok(Duration::from_secs(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_unit() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert!(duration("soon").is_err() && duration("s").is_err() && duration("5d").is_err());
    }

    #[test]
    fn the_names_of_the_targets_are_those_of_the_list() {
        let text = "[\n    Target { name: \"messages\", check: a },\n    Target { name: \"proxy\", check: b },\n]";
        assert_eq!(names(text), ["messages", "proxy"]);
    }

    #[test]
    fn the_outcome_is_read_from_the_fuzzers_lines() {
        let mut outcome = Outcome::default();
        outcome.read("#1024\tpulse  cov: 412 ft: 988 corp: 97/4Kb exec/s: 512 rss: 50Mb");
        outcome.read("stat::number_of_executed_units: 2048");
        assert_eq!((outcome.coverage, outcome.executions, outcome.failed), (412, 2048, false));
        outcome.read("==1== ERROR: libFuzzer: deadly signal");
        outcome.read("artifact_prefix='/x/'; Test unit written to /x/crash-0123");
        assert_eq!((outcome.failed, outcome.found.as_str()), (true, "/x/crash-0123"));
    }
}
