//! The compiled kernel programs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::{Ebpf, EbpfLoader, programs::Program};
use mipd_common::maps::hook;
use mipd_common::programs::{TC_PROGRAMS, XDP_PROGRAMS};
use mipd_common::table;

use super::maps::ROWS;

/// Where the object lies in the target directory.
const IN_TARGET: &str = "ebpf/bpfel-unknown-none/release/mipd-ebpf";
/// Where the one with programs for measurements lies.
const BENCH_IN_TARGET: &str = "ebpf-bench/bpfel-unknown-none/release/mipd-ebpf";

/// How many entries maps have that are of no use with all of them in tests.
const SIZES: [(&str, u32); 9] = [
    ("HOME_PREFIXES", 16),
    ("SLOTS", 512),
    ("BINDINGS", 16),
    ("TUNNELS", 16),
    ("INTERFACES", 64),
    ("VISITORS", table::length(16)),
    ("VISITOR_MACS", table::length(16)),
    ("STATIONS", table::length(16)),
    ("COUNTERS", ROWS * hook::COUNT),
];

/// How many entries a map is given, if it is not as many as the object says.
pub(super) fn size_for_tests(map: &str) -> Option<u32> {
    SIZES.iter().find(|(name, _)| *name == map).map(|(_, size)| *size)
}

/// The object file: `MIPD_EBPF_OBJECT`, or where `cargo xtask build` puts it.
pub fn path() -> Result<PathBuf> {
    find("MIPD_EBPF_OBJECT", IN_TARGET)
}

/// The object that a variable names, or that lies in the target directory.
fn find(variable: &str, in_target: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Ok(PathBuf::from(path));
    }
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let found = target
        .into_iter()
        .chain(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|directory| directory.join("target")))
        .map(|target| target.join(in_target))
        .find(|object| object.exists());
    match found {
        Some(object) => Ok(object),
        None => {
            bail!(
                "no {in_target} in any target directory: run `cargo xtask build`, or `cargo xtask bench --quick` if \
             it is for measurements"
            )
        }
    }
}

/// Opens the object with fresh maps, sized for tests or as given, and loads all programs: the verifier has its say.
pub fn load(sizes: &[(&'static str, u32)]) -> Result<Ebpf> {
    let mut object = open(sizes)?;
    for name in XDP_PROGRAMS.iter().chain(&TC_PROGRAMS) {
        load_program(&mut object, name)?;
    }
    Ok(object)
}

/// Opens the object with fresh maps and loads nothing yet.
pub fn open(sizes: &[(&'static str, u32)]) -> Result<Ebpf> {
    open_file(&path()?, sizes)
}

/// Opens the object that has the programs for measurements as well, with fresh maps, and loads nothing yet.
pub fn open_bench(sizes: &[(&'static str, u32)]) -> Result<Ebpf> {
    open_file(&find("MIPD_BENCH_OBJECT", BENCH_IN_TARGET)?, sizes)
}

fn open_file(path: &Path, sizes: &[(&'static str, u32)]) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    for (map, size) in SIZES.iter().chain(sizes) {
        loader.map_max_entries(map, *size);
    }
    loader.load_file(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Loads one program, if it is not yet.
pub fn load_program(object: &mut Ebpf, name: &str) -> Result<()> {
    let program = object.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    if program.fd().is_ok() {
        return Ok(());
    }
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => bail!("{name} is neither an XDP nor a TC program"),
    }
    .with_context(|| format!("the kernel refuses {name}"))
}
