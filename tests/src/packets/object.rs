//! The compiled kernel programs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::{Ebpf, EbpfLoader, programs::Program};

/// Where the object lies in the target directory.
const IN_TARGET: &str = "ebpf/bpfel-unknown-none/release/mipd-ebpf";

/// The programs for routers and access points, by entry point and hook.
pub const XDP_PROGRAMS: [&str; 2] = ["router_xdp", "radio_xdp"];
/// See [`XDP_PROGRAMS`].
pub const TC_PROGRAMS: [&str; 7] = [
    "router_ingress",
    "router_egress",
    "home_tun_egress",
    "visit_tun_egress",
    "radio_ingress",
    "punt_ingress",
    "uplink_ingress",
];

/// The object file: `MIPD_EBPF_OBJECT`, or where `cargo xtask build` puts it.
pub fn path() -> Result<PathBuf> {
    if let Some(path) = env::var_os("MIPD_EBPF_OBJECT") {
        return Ok(PathBuf::from(path));
    }
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let found = target
        .into_iter()
        .chain(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|directory| directory.join("target")))
        .map(|target| target.join(IN_TARGET))
        .find(|object| object.exists());
    match found {
        Some(object) => Ok(object),
        None => bail!("no {IN_TARGET} in any target directory: run `cargo xtask build`, which compiles the kernel programs"),
    }
}

/// Opens the object with fresh maps, sized for tests, and loads all programs: the verifier has its say.
pub fn load() -> Result<Ebpf> {
    load_with(&[])
}

/// Like [`load`], with other map sizes.
pub fn load_with(sizes: &[(&'static str, u32)]) -> Result<Ebpf> {
    let path = path()?;
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("SLOTS", 1024).map_max_entries("TUNNELS", 16).map_max_entries("INTERFACES", 64);
    for (map, size) in sizes {
        loader.map_max_entries(map, *size);
    }
    let mut object = loader.load_file(&path).with_context(|| format!("cannot load {}", path.display()))?;
    for (name, program) in object.programs_mut() {
        match program {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            _ => bail!("{name} is neither an XDP nor a TC program"),
        }
        .with_context(|| format!("the kernel refuses {name}"))?;
    }
    Ok(object)
}
