//! Kernels for guests: asked for by line, kept unpacked in the cache.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::{Context as _, Result};

use super::packages;
use crate::{command, workspace};

/// What Debian calls kernels for this processor.
pub const FLAVOUR: &str = "amd64";

/// A line of kernels: `5.10`, or `7` for the newest of them all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Vec<u32>);

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u32>, _> = text.strip_suffix(".x").unwrap_or(text).split('.').map(str::parse).collect();
        numbers.map(Self).map_err(|_| format!("{text} is no line of kernels: write 5.10, or 7 for the newest 7.x"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{}{}", numbers.join("."), if numbers.len() == 1 { ".x" } else { "" })
    }
}

impl Line {
    /// The newest of these releases that belongs to the line.
    pub fn newest(&self, releases: impl IntoIterator<Item = String>) -> Option<String> {
        let fitting = releases.into_iter().filter_map(|release| {
            let version = version(&release)?;
            version.starts_with(&self.0).then_some((version, release))
        });
        fitting.max().map(|(_, release)| release)
    }
}

/// The numbers of a release of the plain flavour, to compare by: 5, 10, 0, 46 of `5.10.0-46-amd64`. The cloud flavour
/// and the real-time one are others.
fn version(release: &str) -> Option<Vec<u32>> {
    let version = release.strip_suffix(FLAVOUR)?.strip_suffix('-')?;
    let parts = version.split(['.', '-', '+', '~']);
    parts.map(|part| part.trim_start_matches("deb").trim_start_matches("bpo").parse().ok()).collect()
}

/// A kernel and its modules.
#[derive(Debug)]
pub struct Kernel {
    /// What `uname -r` says in it.
    pub release: String,
    /// Its place in the cache.
    pub directory: PathBuf,
}

impl Kernel {
    /// The newest of a line that is in the cache, else the newest that Debian has, which is downloaded.
    pub fn get(line: &Line) -> Result<Self> {
        let cache = workspace::cache()?.join("kernels");
        let cached = fs::read_dir(&cache).into_iter().flatten().flatten();
        let cached = cached.filter_map(|entry| entry.file_name().into_string().ok());
        if let Some(release) = line.newest(cached) {
            return Ok(Self { directory: cache.join(&release), release });
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let staging = cache.join(format!("new.{}", std::process::id()));
        let kernel = Self::download(line, &cache, &staging);
        // Packages, lists and what was not wanted of the kernel.
        let _ = fs::remove_dir_all(&staging);
        kernel.with_context(|| format!("no kernel {line} can be had"))
    }

    fn download(line: &Line, cache: &Path, staging: &Path) -> Result<Self> {
        let unpacked = staging.join("unpacked");
        let release = packages::unpack(line, staging, &unpacked)?;
        let kernel = Self { directory: staging.join("kernel"), release: release.clone() };
        kernel.adopt(&unpacked)?;
        let directory = cache.join(&release);
        fs::rename(&kernel.directory, &directory)
            .with_context(|| format!("cannot move the kernel to {}", directory.display()))?;
        Ok(Self { release, directory })
    }

    /// Moves what is wanted of the unpacked packages to one place, whatever their layout.
    fn adopt(&self, unpacked: &Path) -> Result<()> {
        let first = |candidates: [String; 2]| {
            let paths = candidates.map(|candidate| unpacked.join(candidate));
            paths.into_iter().find(|path| path.exists()).context("the packages are laid out in an unknown way")
        };
        let release = &self.release;
        let image = first([format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")])?;
        let modules = first([format!("lib/modules/{release}"), format!("usr/lib/modules/{release}")])?;
        fs::create_dir_all(self.directory.join("lib/modules"))?;
        // Versions of kmod differ in where they look below another root.
        fs::create_dir_all(self.directory.join("usr"))?;
        std::os::unix::fs::symlink("../lib", self.directory.join("usr/lib"))?;
        fs::rename(image, self.image())?;
        fs::rename(modules, self.modules())?;
        prune(&self.modules().join("kernel"), Path::new(""))?;
        command::run(Command::new(tool("depmod")?).arg("-b").arg(&self.directory).arg(release))
    }

    /// The file that boots.
    pub fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// What belongs to `/lib/modules`.
    pub fn modules(&self) -> PathBuf {
        self.directory.join("lib/modules").join(&self.release)
    }

    /// The files of a module and of those that it needs, in the order to load them in; none if it is built in.
    pub fn files_of(&self, module: &str) -> Result<Vec<PathBuf>> {
        let mut modprobe = Command::new(tool("modprobe")?);
        modprobe.arg("-d").arg(&self.directory).args(["-S", &self.release, "--show-depends", module]);
        let listing = command::capture(&mut modprobe)?;
        let files = listing.lines().filter_map(|line| line.strip_prefix("insmod "));
        Ok(files.filter_map(|file| file.split_whitespace().next()).map(PathBuf::from).collect())
    }
}

fn tool(name: &str) -> Result<PathBuf> {
    command::find(name).with_context(|| format!("there is no {name} here: run `cargo xtask setup`"))
}

/// Kinds of modules that guests have no use for, by directory; of network drivers only virtual ones are of use. They are
/// nine tenths of a kernel's size.
const UNWANTED: [&str; 4] = ["sound", "drivers", "fs", "samples"];
const WANTED: [&str; 10] = [
    "drivers/net",
    "drivers/virtio",
    "drivers/char",
    "drivers/ptp",
    "drivers/pps",
    "fs/9p",
    "fs/overlayfs",
    "fs/netfs",
    "fs/fscache",
    "drivers/net/wireless",
];
const REAL_NETWORK: [&str; 6] = [
    "drivers/net/ethernet",
    "drivers/net/usb",
    "drivers/net/can",
    "drivers/net/wan",
    "drivers/net/dsa",
    "drivers/net/phy",
];

fn is_wanted(directory: &Path) -> bool {
    let below = |of: &[&str]| of.iter().any(|wanted| directory.starts_with(wanted));
    let above = WANTED.iter().any(|wanted| Path::new(wanted).starts_with(directory));
    if below(&REAL_NETWORK) {
        return false;
    }
    if let Ok(wireless) = directory.strip_prefix("drivers/net/wireless") {
        // Simulated radios are in `virtual`, or among the vendors' directories.
        return wireless == Path::new("") || wireless == Path::new("virtual");
    }
    !below(&UNWANTED) || below(&WANTED) || above
}

/// Removes the unwanted directories below `root`.
fn prune(root: &Path, directory: &Path) -> Result<()> {
    let path = root.join(directory);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let below = directory.join(entry.file_name());
        if is_wanted(&below) {
            prune(root, &below)?;
        } else {
            fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(line: &str, releases: &[&str]) -> Option<String> {
        line.parse::<Line>().unwrap().newest(releases.iter().map(|release| (*release).to_owned()))
    }

    #[test]
    fn the_newest_of_a_line_is_taken_by_number_and_only_of_the_plain_flavour() {
        let releases = [
            "5.10.0-9-amd64",
            "5.10.0-46-amd64",
            "5.10.0-47-cloud-amd64",
            "5.10.0-48-rt-amd64",
            "6.1.0-50-amd64",
            "6.12.117+deb12-amd64",
            "6.12.9+deb13-amd64-unsigned",
            "7.3.4+deb13-amd64",
            "7.3.11~bpo13-amd64",
        ];
        assert_eq!(newest("5.10", &releases).as_deref(), Some("5.10.0-46-amd64"));
        assert_eq!(newest("6.1", &releases).as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(newest("6.12", &releases).as_deref(), Some("6.12.117+deb12-amd64"));
        assert_eq!(newest("7.x", &releases).as_deref(), Some("7.3.11~bpo13-amd64"));
        assert_eq!(newest("4.19", &releases), None);
    }

    #[test]
    fn a_line_is_numbers() {
        assert_eq!("7.x".parse::<Line>().unwrap().to_string(), "7.x");
        assert_eq!("6.12".parse::<Line>().unwrap().to_string(), "6.12");
        assert!("newest".parse::<Line>().unwrap_err().contains("newest is no line of kernels"));
    }

    #[test]
    fn what_carries_packets_in_memory_is_kept() {
        let wanted = |directory: &str| is_wanted(Path::new(directory));
        for kept in
            ["net", "net/mac80211", "drivers", "drivers/net", "drivers/net/vxlan", "drivers/net/wireless", "fs/9p"]
        {
            assert!(wanted(kept), "{kept}");
        }
        for removed in ["drivers/gpu", "drivers/net/ethernet", "drivers/net/wireless/intel", "fs/xfs", "sound"] {
            assert!(!wanted(removed), "{removed}");
        }
        assert!(wanted("drivers/net/wireless/virtual"));
    }
}
