//! `[foreign-agent]`: the router of one or more visited subnets.

use std::time::Duration;

use toml::Spanned;

use super::{advertisement_interval, count, duration};
use crate::mobility::reverse_tunnel::ReverseTunnel;
use crate::{
    config::{
        document::ForeignAgentSection,
        error::{ConfigError, Source},
        settings,
        values::{HostAddressText, InterfaceName, LifetimeText},
    },
    wire::types::{CareOfAddress, Lifetime},
};

/// RFC 5944 §3.7.1: a request unanswered for this long is answered with code 78.
const PENDING_TIMEOUT: Duration = Duration::from_secs(7);
const REGISTRATION_LIFETIME: Lifetime = Lifetime(36_000);
const MAXIMUM_VISITORS: u32 = 4096;
const MAXIMUM_TUNNELS: u32 = 4096;

/// The foreign agent role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignAgent {
    /// Interfaces towards the access points; at least one.
    pub interfaces: Vec<InterfaceName>,
    /// The end of the tunnels: an address of this box that the home agents reach.
    pub care_of_address: CareOfAddress,
    /// The longest lifetime that it advertises and relays.
    pub registration_lifetime: Lifetime,
    /// What it does about reverse tunnelling.
    pub reverse_tunnel: ReverseTunnel,
    /// Whether requests must answer a challenge.
    pub challenge: bool,
    /// Whether registrations can be revoked, by the home agents that share an association.
    pub revocation: bool,
    /// Whether requests with reserved flags are refused.
    pub strict_flags: bool,
    /// Longest time between two advertisements.
    pub advertisement_interval: Duration,
    /// Registrations beyond this number are denied.
    pub maximum_visitors: u32,
    /// Reverse tunnels beyond this number are denied.
    pub maximum_tunnels: u32,
    /// How long it waits for the home agent.
    pub pending_timeout: Duration,
}

pub(in crate::config) fn validate(
    source: &Source<'_>,
    section: Spanned<ForeignAgentSection>,
) -> Result<ForeignAgent, ConfigError> {
    let section = section.into_inner();
    if section.interfaces.get_ref().is_empty() {
        let message = "interfaces is empty: name at least one interface on which visitors are";
        return Err(source.error(&section.interfaces.span(), message));
    }
    if let Some(other) = section.encapsulation.iter().find(|name| name.get_ref() != "ipip") {
        let message = format!("encapsulation `{}` is not available yet: write [\"ipip\"]", other.get_ref());
        return Err(source.error(&other.span(), message));
    }
    not_yet(source, "gre-key", section.gre_key.as_ref(), "never")?;
    not_yet(source, "udp-tunnel", section.udp_tunnel.as_ref(), "off")?;
    not_yet(source, "delivery", section.delivery.as_ref(), "direct")?;
    let HostAddressText(care_of_address) = section.care_of_address;
    let bounds = Duration::from_secs(1)..=Duration::from_mins(1);
    Ok(ForeignAgent {
        interfaces: settings::distinct(source, "interfaces", section.interfaces.into_inner())?,
        care_of_address: CareOfAddress(care_of_address),
        registration_lifetime: section
            .registration_lifetime
            .map_or(REGISTRATION_LIFETIME, |LifetimeText(lifetime)| lifetime),
        reverse_tunnel: section.reverse_tunnel,
        challenge: section.challenge,
        revocation: section.revocation,
        strict_flags: section.strict_flags,
        advertisement_interval: advertisement_interval(source, section.advertisement_interval.as_ref())?,
        maximum_visitors: count(
            source,
            "maximum-visitors",
            section.maximum_visitors.as_ref(),
            1 << 20,
            MAXIMUM_VISITORS,
        )?,
        maximum_tunnels: count(source, "maximum-tunnels", section.maximum_tunnels.as_ref(), 1 << 20, MAXIMUM_TUNNELS)?,
        pending_timeout: duration(
            source,
            "pending-timeout",
            section.pending_timeout.as_ref(),
            bounds,
            PENDING_TIMEOUT,
        )?,
    })
}

/// What the agents would agree on but the data path does not carry.
fn not_yet(source: &Source<'_>, key: &str, value: Option<&Spanned<String>>, only: &str) -> Result<(), ConfigError> {
    match value.filter(|value| value.get_ref() != only) {
        Some(other) => {
            let message =
                format!("{key} `{}` is not available yet: write \"{only}\", or leave it out", other.get_ref());
            Err(source.error(&other.span(), message))
        }
        None => Ok(()),
    }
}
