//! libFuzzer around the target that `MIPD_FUZZ_TARGET` names. Built and started by `cargo xtask fuzz`.

#![no_main]

use std::{env, fs, path::PathBuf, sync::OnceLock};

use libfuzzer_sys::fuzz_target;
use mipd_fuzz::{TARGETS, Target};

fn target() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = env::var("MIPD_FUZZ_TARGET").expect("set MIPD_FUZZ_TARGET to the name of a target");
        TARGETS.iter().find(|target| target.name == name).expect("MIPD_FUZZ_TARGET names no target")
    })
}

/// Before libFuzzer reads its corpus.
fn write_seeds() {
    let Some(directory) = env::var_os("MIPD_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in (target().seeds)().iter().enumerate() {
        fs::write(directory.join(format!("seed-{number}")), seed).expect("a seed can be written");
    }
}

fuzz_target!(init: write_seeds(), |data: &[u8]| (target().check)(data));
