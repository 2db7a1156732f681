//! The compiler of the kernel programs. Two routes lead to one: rustup's pinned nightly, or Debian's `rustc-web`
//! unpacked into the cache. Neither disturbs a compiler that is installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;

use super::packages::{self, Package};
use crate::{command, workspace};

/// The pinned nightly: rustc 1.97 with LLVM 22, which bpf-linker 0.13 can read.
pub const NIGHTLY: &str = "nightly-2026-05-20";
/// What rustup is asked for.
pub const INSTALL_NIGHTLY: [&str; 8] =
    ["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "rust-src", "--no-self-update"];
/// A download that takes longer has stalled.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(480);
/// Where the compiler of [`Compiler::Prebuilt`] is unpacked, within the cache.
const UNPACKED: &str = "rustc-web";

/// How to come by a compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// The pinned nightly, by rustup.
    Rustup,
    /// Debian's packages, unpacked, never installed.
    Debian,
}

impl Route {
    /// What `MIPD_EBPF_ROUTE` asks for.
    pub fn from_environment() -> Result<Option<Self>> {
        match env::var("MIPD_EBPF_ROUTE") {
            Ok(value) => Self::from_str(&value, true)
                .map(Some)
                .map_err(|_| anyhow!("MIPD_EBPF_ROUTE is {value:?}: set it to rustup or debian, or unset it")),
            Err(_) => Ok(None),
        }
    }
}

/// A compiler that can make kernel programs.
#[derive(Debug)]
pub enum Compiler {
    /// [`NIGHTLY`] with the standard library's source; `core` is built with the programs.
    Rustup { sysroot: PathBuf },
    /// A stable compiler with a prebuilt `core` for BPF, in the tree below this prefix.
    Prebuilt { prefix: PathBuf },
}

impl Compiler {
    /// The one that is here already, by the given route or by any.
    pub fn find(route: Option<Route>) -> Result<Option<Self>> {
        if route != Some(Route::Debian) {
            if let Some(sysroot) = nightly_sysroot() {
                return Ok(Some(Self::Rustup { sysroot }));
            }
        }
        if route != Some(Route::Rustup) {
            for prefix in [workspace::cache()?.join(UNPACKED).join("usr"), PathBuf::from("/usr")] {
                if prebuilt_works(&prefix) {
                    return Ok(Some(Self::Prebuilt { prefix }));
                }
            }
        }
        Ok(None)
    }

    /// A cargo command that compiles with it. `--target` and the package are the caller's.
    pub fn cargo(&self, stable: Command) -> Command {
        match self {
            Self::Rustup { .. } => {
                let mut command = Command::new("rustup");
                command.args(["run", NIGHTLY, "cargo", "build", "-Z", "build-std=core"]);
                // The outer cargo's choice of toolchain must not win over `rustup run`.
                for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
                    command.env_remove(variable);
                }
                if let Some(directory) = stable.get_current_dir() {
                    command.current_dir(directory);
                }
                command
            }
            Self::Prebuilt { prefix } => {
                let mut command = stable;
                command.arg("build").env("RUSTC", prefix.join("bin/rustc")).env("RUSTC_BOOTSTRAP", "1");
                command.env("LD_LIBRARY_PATH", library_path(prefix));
                command
            }
        }
    }

    /// Flags for rustc beyond those of every kernel program.
    pub fn flags(&self) -> Vec<String> {
        match self {
            Self::Rustup { .. } => Vec::new(),
            Self::Prebuilt { prefix } => vec![format!("--sysroot={}", prefix.display())],
        }
    }

    /// Directories that may hold the LLVM it is made of.
    pub fn library_directories(&self) -> Vec<PathBuf> {
        match self {
            Self::Rustup { sysroot } => vec![sysroot.join("lib")],
            Self::Prebuilt { .. } => Vec::new(),
        }
    }
}

/// Installs the pinned nightly by rustup; leaves the default toolchain as it is.
pub fn install_nightly() -> Result<()> {
    let mut rustup = command::limited(DOWNLOAD_LIMIT, "rustup");
    command::run(rustup.args(INSTALL_NIGHTLY))?;
    nightly_sysroot().map(drop).with_context(|| format!("rustup succeeded, yet {NIGHTLY} has no rust-src"))
}

fn nightly_sysroot() -> Option<PathBuf> {
    let mut rustc = Command::new(command::find("rustup")?);
    rustc.args(["run", NIGHTLY, "rustc", "--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0");
    let sysroot = PathBuf::from(command::capture(&mut rustc).ok()?.trim());
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file().then_some(sysroot)
}

fn prebuilt_works(prefix: &Path) -> bool {
    prefix.join("lib/rustlib/bpfel-unknown-none/lib").is_dir()
        && command::capture(
            Command::new(prefix.join("bin/rustc")).arg("-V").env("LD_LIBRARY_PATH", library_path(prefix)),
        )
        .is_ok_and(|version| rustc_version(&version).is_some_and(|version| version >= super::MINIMUM_RUSTC))
}

/// Debian keeps rustc's driver in `lib/<multiarch triple>`.
fn library_path(prefix: &Path) -> std::ffi::OsString {
    let mut directories = vec![prefix.join("lib")];
    if let Ok(entries) = fs::read_dir(prefix.join("lib")) {
        directories.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-")) && path.is_dir()
        }));
    }
    directories.extend(env::split_paths(&env::var_os("LD_LIBRARY_PATH").unwrap_or_default()));
    env::join_paths(directories).unwrap_or_default()
}

/// Major and minor version from `rustc 1.95.0 (59807616e 2026-04-14)`.
pub fn rustc_version(output: &str) -> Option<(u32, u32)> {
    let mut numbers = output.strip_prefix("rustc ")?.split(['.', '-', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Downloads Debian's packages and unpacks them into the cache. `rustc-web` conflicts with every other compiler's
/// package, so it is never installed.
pub fn unpack_debian() -> Result<()> {
    if candidate("rustc-web")?.is_none() {
        packages::update_lists()?;
    }
    let version =
        candidate("rustc-web")?.context("apt offers no rustc-web here: install rustup from https://rustup.rs")?;
    let minimum = super::MINIMUM_RUSTC;
    if debian_version(&version).is_none_or(|found| found < minimum) {
        bail!(
            "apt offers rustc-web {version}, {}.{} is needed: enable the security updates in apt's sources, or install \
             rustup from https://rustup.rs",
            minimum.0,
            minimum.1
        );
    }
    let libraries = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = dependency(&libraries, "libllvm")?;
    packages::install(&[Package::library(&llvm)])?;

    let cache = workspace::cache()?;
    let staging = cache.join(format!("{UNPACKED}.{}", std::process::id()));
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let result =
        download_and_unpack(&staging, &["rustc-web", &libraries, "libstd-rust-web-dev", "libstd-rust-web-dev-bpf"])
            .and_then(|()| {
                let unpacked = cache.join(UNPACKED);
                if unpacked.exists() {
                    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot replace {}", unpacked.display()))?;
                }
                fs::rename(staging.join("root"), &unpacked)
                    .with_context(|| format!("cannot move the compiler to {}", unpacked.display()))?;
                if prebuilt_works(&unpacked.join("usr")) {
                    Ok(())
                } else {
                    bail!("the compiler unpacked into {} does not start: is {llvm} installed?", unpacked.display())
                }
            });
    // Only leftovers of the download are in there; they are of no use to anybody.
    let _ = fs::remove_dir_all(&staging);
    result
}

fn download_and_unpack(staging: &Path, names: &[&str]) -> Result<()> {
    let mut download = command::limited(DOWNLOAD_LIMIT, "apt-get");
    // Downloading as root would otherwise try to drop privileges in a directory that only root can enter.
    download.args(["-o", "APT::Sandbox::User=", "download"]).args(names).current_dir(staging);
    command::run(&mut download)?;
    for entry in fs::read_dir(staging)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            command::run(Command::new("dpkg").arg("-x").arg(&path).arg(staging.join("root")))?;
        }
    }
    Ok(())
}

fn candidate(package: &str) -> Result<Option<String>> {
    Ok(candidate_version(&apt_cache(&["policy", package])?))
}

fn candidate_version(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// `1.96` of `1.96.0+dfsg1-1~deb12u2`.
fn debian_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '+', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn dependency(package: &str, prefix: &str) -> Result<String> {
    first_dependency(&apt_cache(&["depends", package])?, prefix).with_context(|| {
        format!("package {package} depends on nothing that is called {prefix}…: has apt the security updates?")
    })
}

fn first_dependency(depends: &str, prefix: &str) -> Option<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends:")).map(str::trim);
    names
        .into_iter()
        .find(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
        .map(str::to_owned)
}

fn apt_cache(arguments: &[&str]) -> Result<String> {
    command::capture(Command::new("apt-cache").args(arguments).env("LC_ALL", "C"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_rustc_and_of_its_debian_package_are_read() {
        assert_eq!(rustc_version("rustc 1.95.0 (59807616e 2026-04-14)\n"), Some((1, 95)));
        assert_eq!(rustc_version("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"), Some((1, 97)));
        assert_eq!(rustc_version("gcc 12"), None);
        assert_eq!(debian_version("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
    }

    #[test]
    fn a_package_without_candidate_is_not_offered() {
        assert_eq!(candidate_version("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(
            candidate_version("rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0\n").as_deref(),
            Some("1.96.0")
        );
        assert_eq!(candidate_version(""), None);
    }

    #[test]
    fn the_versioned_dependency_is_picked_not_the_unversioned_one() {
        let depends = "libstd-rust-web-dev\n  Depends: libstd-rust-web-dev-bpf\n  Depends: libstd-rust-web-1.96\n";
        assert_eq!(first_dependency(depends, "libstd-rust-web-").as_deref(), Some("libstd-rust-web-1.96"));
        assert_eq!(first_dependency(depends, "libllvm"), None);
    }
}
