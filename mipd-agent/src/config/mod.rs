//! The configuration file: TOML in, a validated [`Config`] out.
//!
//! Whatever is wrong is reported as one line, `FILE:LINE: what and what to do`. Once a [`Config`] exists, its parts are
//! consistent with each other; whether they suit this box (interfaces exist, sysctls allow it) is checked elsewhere.
//!
//! * `document`: the file as written, one struct per section;
//! * [`values`]: the text forms of durations, lifetimes, prefixes, masks, interface names;
//! * [`range`]: ranges of client addresses;
//! * `secret`: keys, in the file or in files of their own;
//! * [`associations`], [`roles`], [`settings`]: the validated sections;
//! * [`error`]: what is wrong, and where.

pub mod associations;
mod document;
pub mod error;
pub mod range;
pub mod roles;
mod secret;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod values;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

pub use self::{
    associations::{ClientAssociation, Peer, PeerAssociation, PeerKind},
    error::ConfigError,
    range::ClientRange,
    roles::{
        AccessPoint, AccessPointReverseTunnel, ForeignAgent, HomeAgent, HomeRoutes, HomeSubnet, Radio, ReverseTunnel,
        SubnetMapEntry, VisitorIpv6,
    },
    settings::{AgentSettings, InterfaceSettings},
    values::{FastPath, InterfaceName},
};
use self::{document::Document, error::Source};

/// Where the configuration is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/mipd/mipd.toml";

/// A validated configuration. At least one role is present.
#[derive(Clone, Debug)]
pub struct Config {
    /// Paths, log level, defaults for interfaces.
    pub agent: AgentSettings,
    /// Interfaces with settings of their own.
    pub interfaces: Vec<InterfaceSettings>,
    /// Mobile–home security associations. Ranges are equal (with different SPIs) or disjoint.
    pub security_associations: Vec<ClientAssociation>,
    /// Foreign–home and mobile–foreign security associations.
    pub peer_associations: Vec<PeerAssociation>,
    /// The access point role; never together with another one.
    pub access_point: Option<AccessPoint>,
    /// The foreign agent role.
    pub foreign_agent: Option<ForeignAgent>,
    /// The home agent role.
    pub home_agent: Option<HomeAgent>,
}

impl Config {
    /// Reads and validates a file. Relative `key-file` paths are taken from the file's directory.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
        let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
        let text = Zeroizing::new(fs::read_to_string(file).map_err(unreadable)?);
        Self::parse(&text, file, mode)
    }

    /// Validates `text`, the contents of `file`, whose permission bits are `mode`.
    pub fn parse(text: &str, file: &Path, mode: u32) -> Result<Self, ConfigError> {
        let source = Source { file, text, mode };
        let document: Document = toml::from_str(text).map_err(|error| source.toml(&error))?;
        roles::exclude_unsupported_combinations(&source, &document)?;
        let interfaces = settings::interfaces(&source, document.interface)?;
        let agent = settings::agent(&source, document.agent)?;
        let security_associations = associations::clients(&source, document.security_association)?;
        let peer_associations = associations::peers(&source, document.peer_association)?;
        Ok(Self {
            agent,
            interfaces,
            security_associations,
            peer_associations,
            access_point: document.access_point.map(|section| roles::access_point(&source, section)).transpose()?,
            foreign_agent: document.foreign_agent.map(|section| roles::foreign_agent(&source, section)).transpose()?,
            home_agent: document.home_agent.map(|section| roles::home_agent(&source, section)).transpose()?,
        })
    }

    /// How the fast path is wanted on an interface: its own setting, else the default.
    pub fn fast_path(&self, interface: &str) -> FastPath {
        let own = self.interfaces.iter().find(|settings| settings.name.as_str() == interface);
        own.map_or(self.agent.fast_path, |settings| settings.fast_path)
    }
}
