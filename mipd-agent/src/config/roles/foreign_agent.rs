//! `[foreign-agent]`: the router of one or more visited subnets.

use std::time::Duration;

use toml::Spanned;

use super::{UdpTunnelPolicy, advertisement_interval, count, duration, encapsulation};
use crate::mobility::{
    foreign_agent::{GreKeyPolicy, UdpTunnelling},
    reverse_tunnel::ReverseTunnel,
    tunnel::{Delivery, Encapsulation, Encapsulations},
};
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
    /// How visitors hand over what goes into a reverse tunnel: `true`, they may wrap it (RFC 3024 §5.2).
    pub encapsulating_delivery: bool,
    /// Whether requests must answer a challenge.
    pub challenge: bool,
    /// Whether registrations can be revoked, by the home agents that share an association.
    pub revocation: bool,
    /// Whether requests with reserved flags are refused.
    pub strict_flags: bool,
    /// Whether TCP connections of visitors are told to use smaller segments, where packets must be.
    pub mss_clamp: bool,
    /// Longest time between two advertisements.
    pub advertisement_interval: Duration,
    /// Registrations beyond this number are denied.
    pub maximum_visitors: u32,
    /// Reverse tunnels beyond this number are denied.
    pub maximum_tunnels: u32,
    /// How long it waits for the home agent.
    pub pending_timeout: Duration,
    /// How tunnels may wrap packets.
    pub encapsulations: Encapsulations,
    /// When home agents are asked for GRE keys.
    pub gre_key: GreKeyPolicy,
    /// How tunnels over UDP are asked for; `None` = not at all.
    pub udp_tunnel: Option<UdpTunnelling>,
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
    let encapsulations = encapsulation::carried(source, &section.encapsulation)?;
    let gre_key = gre_key(source, &section, encapsulations)?;
    let udp_tunnel = udp_tunnel(source, &section)?;
    let HostAddressText(care_of_address) = section.care_of_address;
    let bounds = Duration::from_secs(1)..=Duration::from_mins(1);
    Ok(ForeignAgent {
        encapsulations,
        gre_key,
        udp_tunnel,
        interfaces: settings::distinct(source, "interfaces", section.interfaces.into_inner())?,
        care_of_address: CareOfAddress(care_of_address),
        registration_lifetime: section
            .registration_lifetime
            .map_or(REGISTRATION_LIFETIME, |LifetimeText(lifetime)| lifetime),
        reverse_tunnel: section.reverse_tunnel,
        encapsulating_delivery: section.delivery == Delivery::Encapsulating,
        challenge: section.challenge,
        revocation: section.revocation,
        strict_flags: section.strict_flags,
        mss_clamp: section.mss_clamp,
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

/// Keys go with GRE only.
fn gre_key(
    source: &Source<'_>,
    section: &ForeignAgentSection,
    encapsulations: Encapsulations,
) -> Result<GreKeyPolicy, ConfigError> {
    let Some(given) = &section.gre_key else { return Ok(GreKeyPolicy::Never) };
    if *given.get_ref() == GreKeyPolicy::Never || encapsulations.contains(Encapsulation::Gre) {
        return Ok(*given.get_ref());
    }
    Err(source.error(&given.span(), "gre-key needs GRE: add \"gre\" to encapsulation, or write \"never\""))
}

fn udp_tunnel(source: &Source<'_>, section: &ForeignAgentSection) -> Result<Option<UdpTunnelling>, ConfigError> {
    let translated = section.everything_translated.as_ref().filter(|given| *given.get_ref());
    let everything_translated = translated.is_some();
    match (section.udp_tunnel, translated) {
        (UdpTunnelPolicy::Off, Some(given)) => {
            let message = "everything-translated needs tunnels over UDP: write udp-tunnel = \"on\", or leave it out";
            Err(source.error(&given.span(), message))
        }
        (_, Some(given)) if section.reverse_tunnel == ReverseTunnel::Off => {
            let message = "everything-translated needs reverse tunnels: leave reverse-tunnel = \"off\" out";
            Err(source.error(&given.span(), message))
        }
        (UdpTunnelPolicy::Off, None) => Ok(None),
        (UdpTunnelPolicy::On, _) => Ok(Some(UdpTunnelling { forced: false, everything_translated })),
        (UdpTunnelPolicy::Forced, _) => Ok(Some(UdpTunnelling { forced: true, everything_translated })),
    }
}
