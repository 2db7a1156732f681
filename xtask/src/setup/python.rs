//! Scapy, a second implementation of the registration messages, for the tests. It goes into the cache, where nothing but
//! the tests finds it: the system's Python stays as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// The version that the tests were written with.
pub const VERSION: &str = "2.8.0";
/// One download of 3 MB.
const LIMIT: Duration = Duration::from_secs(180);

/// Where it is, or will be: what the tests get as `MIPD_PYTHON_PACKAGES`.
pub fn packages() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("python"))
}

/// Whether this version is there.
pub fn is_here() -> Result<bool> {
    Ok(packages()?.join(format!("scapy-{VERSION}.dist-info")).is_dir())
}

/// Whether this Python can install packages, by its own pip or by one that it brings for virtual environments. Debian puts
/// neither into `python3`.
pub fn can_install() -> bool {
    has_pip() || works("import ensurepip, venv")
}

fn has_pip() -> bool {
    works("import pip")
}

fn works(program: &str) -> bool {
    command::capture(Command::new("python3").args(["-I", "-c", program])).is_ok()
}

/// Puts Scapy into the cache. It is pure Python and needs nothing else.
pub fn install() -> Result<()> {
    let packages = packages()?;
    let staging = packages.with_extension(std::process::id().to_string());
    let installed = install_into(&staging).and_then(|()| {
        if packages.exists() {
            fs::remove_dir_all(&packages).with_context(|| format!("cannot replace {}", packages.display()))?;
        }
        fs::rename(staging.join("packages"), &packages).with_context(|| format!("cannot create {}", packages.display()))
    });
    // Only what a failed download left is in there.
    let _ = fs::remove_dir_all(&staging);
    installed?;
    if is_here()? { Ok(()) } else { bail!("pip succeeded, yet there is no Scapy {VERSION} in {}", packages.display()) }
}

fn install_into(staging: &Path) -> Result<()> {
    fs::create_dir_all(staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let python = if has_pip() {
        PathBuf::from("python3")
    } else {
        // The environment is there for its pip only.
        let environment = staging.join("environment");
        command::run(command::limited(LIMIT, "python3").args(["-m", "venv"]).arg(&environment))?;
        environment.join("bin/python3")
    };
    let mut pip = command::limited(LIMIT, python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--no-deps", "--no-compile", "--target"]).arg(staging.join("packages"));
    pip.arg(format!("scapy=={VERSION}"));
    command::run(&mut pip)
}
