//! The demo as a newcomer runs it: it passes, its report says what it promises, and it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn demo() -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.stdin(Stdio::null());
    demo
}

/// What a lab of that process has left on the machine.
fn left_by(process: u32) -> Vec<String> {
    let prefix = format!("mipd-demo-{process}-");
    let names =
        ["/run/netns", "/sys/fs/bpf", "/tmp"].into_iter().filter_map(|directory| std::fs::read_dir(directory).ok());
    let names = names.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

#[test]
fn the_demo_passes_and_reports_each_roam() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("report.json");
    let child = demo().arg("--report").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = child.id();
    let output = child.wait_with_output()?;
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{told}\n{complaint}");
    ensure!(told.contains("PASSED"), "{told}");

    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let roams = report["roams"].as_array().context("the report has no roams")?;
    ensure!(roams.len() == 8, "{} roams", roams.len());
    for roam in roams {
        let told = roam["from"].is_string() && roam["to"].is_string();
        ensure!(told && roam["outage_ms"].is_number() && roam["packets_lost"].is_u64(), "{roam}");
        ensure!(roam["registration_ms"].is_number(), "{roam}");
        ensure!(roam["path_up"] != "?" && roam["path_down"] != "?", "nobody carried the packets: {roam}");
    }
    ensure!(
        report["tcp"]["survived"] == true && report["tcp"]["bytes"].as_u64() > Some(1_000_000),
        "{}",
        report["tcp"]
    );
    let interfaces = report["data_path"]["interfaces"].as_array().context("the report has no interfaces")?;
    for interface in interfaces {
        let modes = interface["wanted"].is_string() && interface["attached"].is_string();
        ensure!(modes && interface["packets_fast"].is_u64() && interface["packets_slow"].is_u64(), "{interface}");
    }
    let left = left_by(process);
    ensure!(left.is_empty(), "the demo has left {left:?}");
    Ok(())
}

#[test]
fn the_demo_cleans_up_when_it_is_interrupted() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = demo().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let process = child.id();
        let told = BufReader::new(child.stdout.take().context("no output")?);
        let mut lines = told.lines();
        let walking = lines.by_ref().map_while(Result::ok).find(|line| line.contains("first walk"));
        walking.context("the demo ended before its first walk")?;
        ensure!(!left_by(process).is_empty(), "there is nothing to clean up");
        kill(Pid::from_raw(process.cast_signed()), signal)?;
        // Nobody may wait for a reader.
        let rest = std::thread::spawn(move || lines.count());
        let status = wait::until(PATIENCE, || Ok(child.try_wait()?))?.context("the demo does not end")?;
        let _ = rest.join();
        ensure!(status.code() == Some(130), "after {signal}: {status}");
        let left = left_by(process);
        ensure!(left.is_empty(), "after {signal} the demo has left {left:?}");
    }
    Ok(())
}
