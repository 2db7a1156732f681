//! What the commands need from the parts of the program that work on the kernel.

use std::path::Path;

use super::{Failure, Finding};
use crate::{
    config::{Config, Locations},
    control::{Report, What, report::Interface},
};

/// The parts of the program that work on the kernel, as the commands see them.
pub trait Backend {
    /// Runs the agent until it is told to stop. Logging is set up already.
    fn run(&self, config: Config) -> Result<(), Failure>;

    /// Loads and attaches what [`run`](Self::run) would, on all interfaces of the configuration or on these, and leaves it
    /// in place. Returns what was attached where.
    fn load(&self, config: &Config, interfaces: &[String]) -> Result<Vec<Interface>, Failure>;

    /// Removes everything that an agent, which is not running any more, left on this box.
    fn unload(&self, locations: &Locations) -> Result<(), Failure>;

    /// Reads a table from the maps pinned below `bpffs_dir`.
    fn inspect(&self, bpffs_dir: &Path, what: What) -> Result<Report, Failure>;

    /// What [`run`](Self::run) would change on this box, and what would keep it from starting. Changes nothing.
    fn check(&self, config: &Config) -> Vec<Finding>;
}
