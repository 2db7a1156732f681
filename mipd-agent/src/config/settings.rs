//! The `[agent]` and `[[interface]]` sections.

use std::path::PathBuf;

use toml::Spanned;
use tracing_subscriber::EnvFilter;

use super::{
    document::{AgentSection, InterfaceSection},
    error::{ConfigError, Source},
    locations::Locations,
    values::{FastPath, InterfaceName},
};

/// Settings of the agent as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentSettings {
    /// What must survive a restart, and the journal of changes to the system.
    pub state_dir: PathBuf,
    /// Where `mipd show` and others reach the agent.
    pub control_socket: PathBuf,
    /// Where maps and links are pinned.
    pub bpffs_dir: PathBuf,
    /// What is logged: a level, or a filter as `tracing-subscriber` understands it.
    pub log: String,
    /// The fast path of interfaces without a setting of their own.
    pub fast_path: FastPath,
    /// Interfaces towards the other agents; `None`: every interface that carries a route with a gateway.
    pub core_interfaces: Option<Vec<InterfaceName>>,
}

/// An interface with settings of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceSettings {
    /// Its name.
    pub name: InterfaceName,
    /// Its fast path.
    pub fast_path: FastPath,
    /// Where it is in the file.
    pub line: usize,
}

pub(super) fn agent(source: &Source<'_>, section: AgentSection) -> Result<AgentSettings, ConfigError> {
    let defaults = Locations::default();
    let path = |key: &str, given: Option<Spanned<PathBuf>>, default: PathBuf| match given {
        Some(path) if !path.get_ref().is_absolute() => {
            let message = format!("{key} `{}` is relative: write the whole path", path.get_ref().display());
            Err(source.error(&path.span(), message))
        }
        Some(path) => Ok(path.into_inner()),
        None => Ok(default),
    };
    if let Some(log) = &section.log
        && EnvFilter::try_new(log.get_ref()).is_err()
    {
        let message = format!("log `{}` is not a level: write error, warn, info, debug or trace", log.get_ref());
        return Err(source.error(&log.span(), message));
    }
    let core_interfaces =
        section.core_interfaces.map(|names| distinct(source, "core-interfaces", names)).transpose()?;
    Ok(AgentSettings {
        state_dir: path("state-dir", section.state_dir, defaults.state_dir)?,
        control_socket: path("control-socket", section.control_socket, defaults.control_socket)?,
        bpffs_dir: path("bpffs-dir", section.bpffs_dir, defaults.bpffs_dir)?,
        log: section.log.map_or_else(|| "info".to_owned(), Spanned::into_inner),
        fast_path: section.fast_path,
        core_interfaces,
    })
}

pub(super) fn interfaces(
    source: &Source<'_>,
    sections: Vec<InterfaceSection>,
) -> Result<Vec<InterfaceSettings>, ConfigError> {
    let mut settings: Vec<InterfaceSettings> = Vec::with_capacity(sections.len());
    for InterfaceSection { name, fast_path } in sections {
        if let Some(other) = settings.iter().find(|other| other.name == *name.get_ref()) {
            let message = format!("[[interface]] {} is already in line {}: merge the two", name.get_ref(), other.line);
            return Err(source.error(&name.span(), message));
        }
        settings.push(InterfaceSettings { line: source.line(&name.span()), name: name.into_inner(), fast_path });
    }
    Ok(settings)
}

/// A list of interfaces in which none is named twice.
pub(super) fn distinct(
    source: &Source<'_>,
    key: &str,
    names: Vec<Spanned<InterfaceName>>,
) -> Result<Vec<InterfaceName>, ConfigError> {
    let mut seen: Vec<InterfaceName> = Vec::with_capacity(names.len());
    for name in names {
        if seen.contains(name.get_ref()) {
            let message = format!("interface {} is named twice in {key}: remove one", name.get_ref());
            return Err(source.error(&name.span(), message));
        }
        seen.push(name.into_inner());
    }
    Ok(seen)
}
