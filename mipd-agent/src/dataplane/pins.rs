//! Where maps and links are pinned.
//!
//! `<bpffs-dir>/v<schema>/<MAP>` and `<bpffs-dir>/v<schema>/links/<program>-<interface>`. What is pinned goes on working
//! without the agent; removing a link's pin detaches its program.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mipd_common::maps::SCHEMA;
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::{
    error::DataPlaneError,
    journal::{Change, Journal},
};

/// The pins of one instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// The pins of this schema version below `bpffs_dir`.
    pub fn new(bpffs_dir: &Path) -> Self {
        Self { directory: bpffs_dir.join(format!("v{SCHEMA}")) }
    }

    /// Whether an agent left a data path here that works.
    pub fn exist(&self) -> bool {
        self.links().is_ok_and(|links| !links.is_empty())
    }

    /// Creates the directories, on a BPF file system.
    pub fn create(&self, journal: &mut Journal) -> Result<(), DataPlaneError> {
        if let Some(mount_point) = self.missing_mount() {
            journal.record(Change::Mount { mount: mount_point.to_owned() })?;
            if !mount_point.is_dir() {
                fs::create_dir_all(mount_point).map_err(DataPlaneError::file("create", mount_point))?;
            }
            mount(Some("bpf"), mount_point, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
                .map_err(|errno| DataPlaneError::file("mount a BPF file system on", mount_point)(errno.into()))?;
        }
        let links = self.links_directory();
        fs::create_dir_all(&links).map_err(DataPlaneError::file("create", links))
    }

    /// Where a BPF file system has to be mounted first; `None` if there is one.
    fn missing_mount(&self) -> Option<&Path> {
        let bpffs_dir = self.directory.parent().unwrap_or(&self.directory);
        let existing = self.directory.ancestors().find(|path| path.is_dir())?;
        if statfs(existing).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC) {
            return None;
        }
        // Below /sys only the kernel's own mount point exists, and directories cannot be made.
        let standard = Path::new("/sys/fs/bpf");
        Some(if bpffs_dir.starts_with(standard) { standard } else { bpffs_dir })
    }

    /// Where a map is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a map waits whose content is being moved to a larger or smaller one.
    pub fn map_set_aside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}_old"))
    }

    /// Where a program's link to an interface is pinned. Names on a BPF file system have no dots.
    pub fn link(&self, program: &str, interface: &str) -> PathBuf {
        self.links_directory().join(format!("{program}-{}", interface.replace('.', "%")))
    }

    /// All pinned links: program, interface, path.
    pub fn links(&self) -> Result<Vec<PinnedProgram>, DataPlaneError> {
        let names = list(&self.links_directory())?;
        Ok(names
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?;
                let (program, interface) = name.split_once('-')?;
                Some(PinnedProgram {
                    program: program.to_owned(),
                    interface: interface.replace('%', "."),
                    path: path.clone(),
                })
            })
            .collect())
    }

    /// Removes all pins of every schema version below `bpffs_dir`, which detaches the programs.
    pub fn clear(bpffs_dir: &Path) -> Result<(), DataPlaneError> {
        for version in list(bpffs_dir)?.into_iter().filter(|path| path.is_dir()) {
            for directory in [version.join("links"), version] {
                for pin in list(&directory)?.into_iter().filter(|path| !path.is_dir()) {
                    absent_is_fine(fs::remove_file(&pin)).map_err(DataPlaneError::file("remove", pin))?;
                }
                absent_is_fine(fs::remove_dir(&directory)).map_err(DataPlaneError::file("remove", directory))?;
            }
        }
        Ok(())
    }

    /// Removes all pins, and the directory.
    pub fn remove_all(bpffs_dir: &Path) -> Result<(), DataPlaneError> {
        Self::clear(bpffs_dir)?;
        match fs::remove_dir(bpffs_dir) {
            // A mount point of its own; taken down with the journal.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
            result => absent_is_fine(result).map_err(DataPlaneError::file("remove", bpffs_dir)),
        }
    }

    fn links_directory(&self) -> PathBuf {
        self.directory.join("links")
    }
}

/// A program that is kept attached by a pin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PinnedProgram {
    pub program: String,
    pub interface: String,
    pub path: PathBuf,
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, DataPlaneError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(DataPlaneError::file("list", directory)(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(DataPlaneError::file("list", directory))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::Pins;
    use std::path::Path;

    #[test]
    fn link_names_have_no_dots() {
        let pins = Pins::new(Path::new("/sys/fs/bpf/mipd"));
        assert_eq!(pins.link("router_xdp", "eth0.100"), Path::new("/sys/fs/bpf/mipd/v4/links/router_xdp-eth0%100"));
    }
}
