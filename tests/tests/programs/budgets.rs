//! What the programs cost the verifier, against `mipd-ebpf/budgets.toml`. What they cost by themselves `cargo xtask build`
//! compares.

use std::{collections::BTreeMap, env, fs};

use mipd_common::programs::{TC_PROGRAMS, XDP_PROGRAMS};
use mipd_lab::packets::{bench, object, verifier};
use serde::Deserialize;

const BUDGETS: &str = include_str!("../../../mipd-ebpf/budgets.toml");

#[derive(Deserialize)]
struct Budget {
    verified: u64,
}

/// Also prints the costs, and writes them to the file that `MIPD_COSTS` names.
#[test]
fn every_program_passes_the_verifier_within_its_budget() {
    if !bench::privileged() {
        return;
    }
    let budgets: BTreeMap<String, Budget> = toml::from_str(BUDGETS).unwrap();
    let costs = verifier::costs().unwrap();
    println!(
        "{:<18} {:>12} {:>8} {:>6} {:>10} {:>12}",
        "program", "instructions", "verified", "stack", "verifier", "machine code"
    );
    for (name, cost) in &costs {
        println!(
            "{name:<18} {:>12} {:>8} {:>6} {:>7} µs {:>12}",
            cost.instructions, cost.verified, cost.stack, cost.verifier_us, cost.machine_code
        );
    }
    if let Some(file) = env::var_os("MIPD_COSTS") {
        fs::write(file, serde_json::to_string(&costs).unwrap()).unwrap();
    }
    assert_eq!(
        costs.keys().collect::<Vec<_>>(),
        budgets.keys().collect::<Vec<_>>(),
        "programs, and those with a budget"
    );
    for (name, cost) in costs {
        let budget = budgets[&name].verified;
        assert!(cost.verified <= budget, "{name}: {} instructions are verified, its budget is {budget}", cost.verified);
    }
}

#[test]
fn every_program_that_is_tested_is_in_the_object() {
    if !bench::privileged() {
        return;
    }
    let loaded = object::load(&[]).unwrap();
    let mut there: Vec<_> = loaded.programs().map(|(name, _)| name).collect();
    let mut tested = [&XDP_PROGRAMS[..], &TC_PROGRAMS[..]].concat();
    there.sort_unstable();
    tested.sort_unstable();
    assert_eq!(there, tested);
}
