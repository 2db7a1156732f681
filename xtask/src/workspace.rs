//! Where things are: the checkout, what is built, what is cached.

use std::{env, ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;

/// The places that every verb needs.
pub struct Workspace {
    /// The checkout.
    pub root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, cargo's configuration, or `target`.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub fn locate() -> Result<Self> {
        let metadata = command::capture(cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// A cargo command that runs in the checkout.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }
}

/// The cargo that runs this xtask.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Where downloaded compilers and tools live: outside the checkout, so that every clone shares them.
pub fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(cache) = absolute("XDG_CACHE_HOME") {
        return Ok(cache.join("mipd"));
    }
    match absolute("HOME") {
        Some(home) => Ok(home.join(".cache/mipd")),
        None => {
            bail!("neither XDG_CACHE_HOME nor HOME is set: set one, the compiler of the kernel programs is kept there")
        }
    }
}
