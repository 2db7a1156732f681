//! Finds the compiled kernel programs, which the agent carries inside itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::exit,
};

fn main() {
    if env::var_os("CARGO_FEATURE_DAEMON").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=MIPD_EBPF_OBJECT");
    let object = env::var_os("MIPD_EBPF_OBJECT").map_or_else(built_object, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    if !object.is_file() {
        println!(
            "cargo::error=there are no kernel programs at {}: run `cargo xtask build`, which compiles the kernel programs first",
            object.display()
        );
        exit(1);
    }
    println!("cargo::rustc-env=MIPD_EBPF_OBJECT={}", object.display());
}

/// Where `cargo xtask build` leaves the object: beside the directories of the profiles.
fn built_object() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let architecture = match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // <target>[/<triple>]/<profile>/build/mipd-agent-<hash>/out
    let profile = out.ancestors().nth(3).unwrap_or(&out);
    profile
        .ancestors()
        .skip(1)
        .take(2)
        .map(|target| target.join("ebpf").join(architecture).join("release/mipd-ebpf"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            profile.parent().unwrap_or(Path::new("target")).join("ebpf").join(architecture).join("release/mipd-ebpf")
        })
}
