//! The journal of changes to the system that have to be undone, also after `kill -9`.
//!
//! One JSON object per line, on disk before the change is made. Routes, rules and neighbours need no line: the kernel
//! itself records that they are ours (see [`PROTOCOL`](super::netlink::PROTOCOL)).
//!
//! All of this state ends with the boot and the network namespace that it was made in, so the first line names both
//! and a journal of another boot or namespace is discarded, never replayed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::error::DataPlaneError;

/// A change that has to be undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub(super) enum Change {
    /// A file below `/proc/sys` had another value.
    Sysctl {
        /// Path below `/proc/sys`.
        sysctl: String,
        /// Value before.
        was: String,
        /// Value that we wrote.
        set: String,
    },
    /// A TUN or TAP device that we created.
    Device {
        /// Its name.
        device: String,
    },
    /// A `clsact` qdisc that we added.
    Clsact {
        /// Interface name.
        clsact: String,
    },
    /// TC filters of ours, on kernels without tcx.
    Filter {
        /// Interface name.
        filter: String,
        /// Program name.
        program: String,
        /// At egress rather than ingress.
        egress: bool,
    },
    /// A bridge port where we put forwarding entries.
    Radio {
        /// Interface name.
        radio: String,
    },
    /// A BPF file system that we mounted.
    Mount {
        /// Where.
        mount: PathBuf,
    },
}

/// Where the changes were made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Origin {
    boot: String,
    network_namespace: u64,
}

impl Origin {
    fn current() -> Result<Self, DataPlaneError> {
        let boot_id = "/proc/sys/kernel/random/boot_id";
        let namespace = "/proc/thread-self/ns/net";
        Ok(Self {
            boot: fs::read_to_string(boot_id).map_err(DataPlaneError::file("read", boot_id))?.trim().to_owned(),
            network_namespace: fs::metadata(namespace).map_err(DataPlaneError::file("read", namespace))?.ino(),
        })
    }
}

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    changes: Vec<Change>,
    begun: bool,
}

impl Journal {
    /// Opens the journal in `directory`, or begins one.
    pub fn open(directory: &Path) -> Result<Self, DataPlaneError> {
        fs::create_dir_all(directory).map_err(DataPlaneError::file("create", directory))?;
        let path = Self::path(directory);
        let origin = Origin::current()?;
        let changes = Self::read(&path, &origin)?;
        let begin = changes.is_none();
        let file = OpenOptions::new()
            .create(true)
            .append(!begin)
            .write(true)
            .truncate(begin)
            .open(&path)
            .map_err(DataPlaneError::file("open", &path))?;
        let mut journal = Self { path, file, changes: changes.unwrap_or_default(), begun: begin };
        if begin {
            journal.write(&origin)?;
        } else {
            journal.cut_torn_line()?;
        }
        Ok(journal)
    }

    /// Opens the journal in `directory` if it tells of this boot. One of another network namespace is an error: what it
    /// tells of cannot be undone from here.
    pub fn existing(directory: &Path) -> Result<Option<Self>, DataPlaneError> {
        let path = Self::path(directory);
        let here = Origin::current()?;
        match Self::origin(&path)? {
            Some(origin) if origin == here => Self::open(directory).map(Some),
            Some(origin) if origin.boot == here.boot => Err(DataPlaneError::OtherNamespace { path }),
            _ => Ok(None),
        }
    }

    fn origin(path: &Path) -> Result<Option<Origin>, DataPlaneError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().and_then(|line| serde_json::from_str(line).ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataPlaneError::file("read", path)(error)),
        }
    }

    /// Removes what follows the last line end, so that the next line does not become part of it.
    fn cut_torn_line(&self) -> Result<(), DataPlaneError> {
        let text = fs::read(&self.path).map_err(DataPlaneError::file("read", &self.path))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole == text.len() {
            return Ok(());
        }
        self.file.set_len(whole as u64).map_err(DataPlaneError::file("truncate", &self.path))
    }

    /// Where the journal is kept.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join("data-plane.journal")
    }

    /// `None` if there is no journal of this boot and namespace. A torn last line (power loss) is not an error: its
    /// change was never made.
    fn read(path: &Path, origin: &Origin) -> Result<Option<Vec<Change>>, DataPlaneError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataPlaneError::file("read", path)(error)),
        };
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).enumerate();
        let Some((_, first)) = lines.next() else { return Ok(None) };
        let malformed = |line: usize, error: serde_json::Error| DataPlaneError::Journal {
            path: path.to_owned(),
            line: line + 1,
            reason: error.to_string(),
        };
        if serde_json::from_str::<Origin>(first).map_err(|error| malformed(0, error))? != *origin {
            return Ok(None);
        }
        lines
            .map(|(number, line)| serde_json::from_str(line).map_err(|error| malformed(number, error)))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Whether there was no journal of this boot and namespace: whatever else is found is not alive.
    pub fn is_new(&self) -> bool {
        self.begun
    }

    /// The changes made so far, oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Records a change that is about to be made. A change already recorded is not recorded twice, so the oldest
    /// former value is the one that is kept.
    pub fn record(&mut self, change: Change) -> Result<(), DataPlaneError> {
        if !self.changes.contains(&change) {
            self.write(&change)?;
            self.changes.push(change);
        }
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), DataPlaneError> {
        let mut text =
            serde_json::to_vec(line).map_err(|error| DataPlaneError::file("write", &self.path)(error.into()))?;
        text.push(b'\n');
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(DataPlaneError::file("write", &self.path))
    }

    /// Ends the journal: everything was undone.
    pub fn remove(self) -> Result<(), DataPlaneError> {
        fs::remove_file(&self.path).map_err(DataPlaneError::file("remove", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Journal};
    use std::{fs, io::Write as _};

    fn device(name: &str) -> Change {
        Change::Device { device: name.to_owned() }
    }

    #[test]
    fn what_was_recorded_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let changes = [
            device("mip-home"),
            Change::Sysctl { sysctl: "net/ipv4/conf/a.b/rp_filter".into(), was: "1".into(), set: "2".into() },
            Change::Clsact { clsact: "eth0".into() },
            Change::Filter { filter: "eth0".into(), program: "router_egress".into(), egress: true },
            Change::Radio { radio: "wlan0".into() },
            Change::Mount { mount: "/sys/fs/bpf".into() },
        ];
        let mut journal = Journal::open(directory.path()).unwrap();
        for change in &changes {
            journal.record(change.clone()).unwrap();
            journal.record(change.clone()).unwrap();
        }
        drop(journal);
        assert_eq!(Journal::open(directory.path()).unwrap().changes(), changes);
    }

    #[test]
    fn a_torn_last_line_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        Journal::open(directory.path()).unwrap().record(device("mip-home")).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(Journal::path(directory.path())).unwrap();
        file.write_all(b"{\"device\":\"mip-").unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.changes(), [device("mip-home")]);
        journal.record(device("mip-visit")).unwrap();
        assert_eq!(Journal::open(directory.path()).unwrap().changes(), [device("mip-home"), device("mip-visit")]);
    }

    #[test]
    fn a_journal_of_another_boot_is_discarded() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            Journal::path(directory.path()),
            "{\"boot\":\"other\",\"network_namespace\":1}\n{\"device\":\"mip-home\"}\n",
        )
        .unwrap();
        assert_eq!(Journal::open(directory.path()).unwrap().changes(), []);
    }

    #[test]
    fn a_line_that_is_not_ours_is_named() {
        let directory = tempfile::tempdir().unwrap();
        drop(Journal::open(directory.path()).unwrap());
        let mut file = fs::OpenOptions::new().append(true).open(Journal::path(directory.path())).unwrap();
        file.write_all(b"{\"device\":\"mip-home\"}\nrubbish\n").unwrap();
        let message = Journal::open(directory.path()).unwrap_err().to_string();
        assert!(message.contains("data-plane.journal:3: not a journal entry"), "{message}");
    }
}
