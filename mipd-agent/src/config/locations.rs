//! Where the agent of a configuration keeps its things.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::{ConfigError, Source};

/// The paths of the `[agent]` section.
///
/// They are read on their own by commands that need nothing else: a mistake elsewhere in the file must not keep anybody
/// from looking at the running agent, or from removing what it left.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Locations {
    /// What must survive a restart, and the journal of changes to the system.
    pub state_dir: PathBuf,
    /// Where the agent listens.
    pub control_socket: PathBuf,
    /// Where maps and links are pinned.
    pub bpffs_dir: PathBuf,
}

impl Default for Locations {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/mipd"),
            control_socket: PathBuf::from("/run/mipd/mipd.sock"),
            bpffs_dir: PathBuf::from("/sys/fs/bpf/mipd"),
        }
    }
}

impl Locations {
    /// Reads the paths from a configuration file and nothing else.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            agent: Locations,
        }
        let text = fs::read_to_string(file)
            .map(Zeroizing::new)
            .map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
        let source = Source { file, text: &text, mode: 0 };
        toml::from_str(&text).map(|Document { agent }| agent).map_err(|error| source.toml(&error))
    }
}
