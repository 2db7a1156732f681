//! The configuration file: TOML in, a validated [`Config`] out.
//!
//! Whatever is wrong is reported as one line, `FILE:LINE: what and what to do`. Once a [`Config`] exists, its parts are
//! consistent with each other; whether they suit this box (interfaces exist, sysctls allow it) is checked elsewhere.
//!
//! * `document`: the file as written, one struct per section;
//! * [`values`]: the text forms of durations, lifetimes, prefixes, masks, interface names;
//! * `secret`: keys, in the file or in files of their own;
//! * [`associations`], [`radius`], [`roles`], [`settings`]: the validated sections;
//! * [`locations`]: the paths alone, for commands that must work with a broken file too;
//! * [`error`]: what is wrong, and where.

pub mod associations;
mod document;
pub mod error;
pub mod locations;
pub mod radius;
pub mod roles;
mod secret;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod values;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

pub use self::{
    associations::{ClientAssociation, Peer, PeerAssociation, PeerKind},
    error::ConfigError,
    locations::Locations,
    radius::Radius,
    roles::{
        AccessPoint, Advertisement, ForeignAgent, HomeAgent, HomeRoutes, HomeSubnet, Radio, SubnetMapEntry,
        SubnetMapExchange, UdpTunnelPolicy, VisitorIpv6,
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
    /// How the two agents make themselves known.
    pub advertisement: Advertisement,
    /// Where the associations of clients come from that have none here; only with a role that uses them.
    pub radius: Option<Radius>,
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
        let access_point = document.access_point.map(|section| roles::access_point(&source, section)).transpose()?;
        let foreign_agent = document.foreign_agent.map(|section| roles::foreign_agent(&source, section)).transpose()?;
        let home_agent = document.home_agent.map(|section| roles::home_agent(&source, section)).transpose()?;
        let intervals = home_agent.iter().map(|agent| agent.advertisement_interval);
        let intervals = intervals.chain(foreign_agent.iter().map(|agent| agent.advertisement_interval));
        let advertisement = document.advertisement;
        let advertisement =
            advertisement.map(|section| roles::advertisement(&source, section, intervals)).transpose()?;
        Ok(Self {
            agent,
            interfaces,
            security_associations,
            peer_associations,
            access_point,
            foreign_agent,
            home_agent,
            advertisement: advertisement.unwrap_or_default(),
            radius: document.radius.map(|section| radius::validate(&source, section)).transpose()?,
        })
    }

    /// The interfaces that the file names for a role, and their roles in the words of `mipd show interfaces`. Core
    /// interfaces that are found by their routes are not among them.
    pub fn interfaces_with_roles(&self) -> BTreeMap<&InterfaceName, Vec<&'static str>> {
        let mut interfaces: BTreeMap<&InterfaceName, Vec<&'static str>> = BTreeMap::new();
        let mut add = |name, role| {
            let roles = interfaces.entry(name).or_default();
            if !roles.contains(&role) {
                roles.push(role);
            }
        };
        for subnet in self.home_agent.iter().flat_map(|role| &role.subnets) {
            add(&subnet.interface, "home");
        }
        for name in self.foreign_agent.iter().flat_map(|role| &role.interfaces) {
            add(name, "access");
        }
        if self.home_agent.is_some() || self.foreign_agent.is_some() {
            for name in self.agent.core_interfaces.iter().flatten() {
                add(name, "core");
            }
        }
        if let Some(role) = &self.access_point {
            add(&role.uplink, "uplink");
            add(&role.bridge, "bridge");
            for radio in &role.radios {
                add(&radio.interface, "radio");
            }
        }
        interfaces
    }

    /// Whether there is a security association of this kind with anybody.
    pub fn shares(&self, kind: PeerKind) -> bool {
        self.peer_associations.iter().any(|entry| entry.kind == kind)
    }

    /// How the fast path is wanted on an interface: its own setting, else the default.
    pub fn fast_path(&self, interface: &str) -> FastPath {
        let own = self.interfaces.iter().find(|settings| settings.name.as_str() == interface);
        own.map_or(self.agent.fast_path, |settings| settings.fast_path)
    }
}
