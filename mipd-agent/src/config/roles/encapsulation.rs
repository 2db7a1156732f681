//! How tunnels may wrap packets, at either agent.

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::error::{ConfigError, Source},
    mobility::tunnel::{Encapsulation, Encapsulations},
};

/// What an agent thinks of tunnels over UDP (RFC 3519).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UdpTunnelPolicy {
    /// There are none.
    #[default]
    Off,
    /// Where the home agent notices a NAT.
    On,
    /// Also where none is noticed: a foreign agent demands it, a home agent gives in.
    Forced,
}

/// The encapsulations that an agent carries; IP in IP is what everybody must have (RFC 5944 §3.6.1.3).
pub(super) fn carried(source: &Source<'_>, given: &[Spanned<Encapsulation>]) -> Result<Encapsulations, ConfigError> {
    let Some(first) = given.first() else { return Ok(Encapsulations::IP_IN_IP) };
    let encapsulations: Encapsulations = distinct(source, given)?.into_iter().collect();
    if encapsulations.contains(Encapsulation::IpInIp) {
        Ok(encapsulations)
    } else {
        Err(source.error(&first.span(), "encapsulation lacks `ipip`, which every agent must support: add it"))
    }
}

/// The encapsulations in the order given, each once.
pub(super) fn distinct(
    source: &Source<'_>,
    given: &[Spanned<Encapsulation>],
) -> Result<Vec<Encapsulation>, ConfigError> {
    let mut encapsulations = Vec::new();
    for entry in given {
        if encapsulations.contains(entry.get_ref()) {
            let message = format!("encapsulation `{}` is named twice: name each once", entry.get_ref());
            return Err(source.error(&entry.span(), message));
        }
        encapsulations.push(*entry.get_ref());
    }
    Ok(encapsulations)
}
