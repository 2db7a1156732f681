//! The benchmarks in their quick form: every figure that the documentation shows is there, whatever its value.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Runs one suite and gives its report.
fn quickly(suite: &str) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("report.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.args([suite, "--quick", "--json"]).arg(&file).stdin(Stdio::null());
    let output = bench.output()?;
    ensure!(output.status.success(), "{suite}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_str(&std::fs::read_to_string(&file)?)?)
}

/// Checks that all of these were measured, with a unit.
fn contains(report: &Value, names: &[&str], unit: &str) -> Result<()> {
    for field in ["machine", "kernel", "commit"] {
        ensure!(report[field].as_str().is_some_and(|text| !text.is_empty()), "the report does not tell the {field}");
    }
    let benchmarks = report["benchmarks"].as_array().context("the report has no benchmarks")?;
    for name in names {
        let found = benchmarks.iter().find(|benchmark| benchmark["name"] == *name);
        let benchmark = found.with_context(|| format!("{name} was not measured"))?;
        ensure!(
            benchmark["unit"] == unit && benchmark["p50"].is_number() && benchmark["p99"].is_number(),
            "{benchmark}"
        );
    }
    Ok(())
}

#[test]
fn every_path_through_the_programs_has_a_cost() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let report = quickly("programs")?;
    for bindings in ["1", "1000"] {
        for hook in ["xdp", "tc"] {
            let names: Vec<String> = [
                "home-agent/encapsulate",
                "home-agent/reverse-decapsulate",
                "home-agent/miss",
                "foreign-agent/decapsulate",
                "foreign-agent/reverse-encapsulate",
                "access-point/rewrite",
            ]
            .iter()
            .map(|path| format!("programs/{hook}/{path}/{bindings}"))
            .collect();
            contains(&report, &names.iter().map(String::as_str).collect::<Vec<_>>(), "ns")?;
        }
    }
    Ok(())
}

#[test]
fn every_row_of_boxes_forwards_and_is_compared() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let report = quickly("forwarding")?;
    let rows = [
        "forwarding/kernel/route",
        "forwarding/kernel/chain-down",
        "forwarding/xdp/redirect",
        "forwarding/xdp/home-agent/encapsulate/1",
        "forwarding/xdp/foreign-agent/decapsulate/1",
        "forwarding/xdp/access-point/rewrite/1",
        "forwarding/xdp/chain-down",
        "forwarding/xdp/chain-up",
        "forwarding/tc/chain-down",
        "forwarding/tc/chain-up",
    ];
    contains(&report, &rows, "pps")?;
    contains(&report, &["forwarding/xdp/home-agent/encapsulate/1/share-of-redirect"], "percent")?;
    contains(&report, &["forwarding/xdp/home-agent/encapsulate/1/times-plain-forwarding"], "times")
}

#[test]
fn every_part_of_a_roam_is_timed_and_every_packet_followed() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let report = quickly("roam")?;
    let times = [
        "round-trip-to-home-agent",
        "visited/first-packet",
        "visited/beyond-round-trip-p99",
        "visited/part/access-point-notices-and-asks",
        "visited/part/foreign-agent",
        "visited/part/network",
        "visited/part/home-agent",
        "visited/part/access-point-writes-and-releases",
    ]
    .map(|name| format!("roam/{name}"));
    contains(&report, &times.each_ref().map(String::as_str), "ms")?;
    let packets = ["lost-up", "repeated-up", "lost-down-before-foreign-agent-knows", "lost-down-otherwise"];
    let packets = packets.map(|name| format!("roam/packets/{name}"));
    contains(&report, &packets.each_ref().map(String::as_str), "packets")
}
