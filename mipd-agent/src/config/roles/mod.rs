//! The role sections, one file each: `[access-point]`, `[foreign-agent]`, `[home-agent]`, and `[advertisement]` of the two
//! agents. `encapsulation`: what both say of tunnels.

mod access_point;
mod advertisement;
mod encapsulation;
mod foreign_agent;
mod home_agent;

use std::{ops::RangeInclusive, time::Duration};

use toml::Spanned;

pub(super) use self::{
    access_point::validate as access_point, advertisement::validate as advertisement,
    foreign_agent::validate as foreign_agent, home_agent::validate as home_agent,
};
pub use self::{
    access_point::{AccessPoint, Radio, StaticClient, SubnetMapEntry, SubnetMapExchange, VisitorIpv6},
    advertisement::Advertisement,
    encapsulation::UdpTunnelPolicy,
    foreign_agent::ForeignAgent,
    home_agent::{HomeAgent, HomeRoutes, HomeSubnet},
};
use super::{
    document::Document,
    error::{ConfigError, Source},
    values::DurationText,
};

/// At least one role, an access point alone, and no associations that it would not use.
pub(super) fn exclude_unsupported_combinations(source: &Source<'_>, document: &Document) -> Result<(), ConfigError> {
    if let (Some(radius), None, None, Some(_)) =
        (&document.radius, &document.home_agent, &document.access_point, &document.foreign_agent)
    {
        let message = "[radius] is of no use to a foreign agent: remove it here (home agents and access points use it)";
        return Err(source.error(&radius.span(), message));
    }
    let home_agent = document.home_agent.as_ref().map(|_| "home-agent");
    let foreign_agent = document.foreign_agent.as_ref().map(|_| "foreign-agent");
    match (&document.access_point, home_agent.or(foreign_agent)) {
        (None, None) => Err(source
            .error(&(0..0), "no role is configured: add a section [home-agent], [foreign-agent] or [access-point]")),
        (Some(access_point), Some(agent)) => {
            let message = format!(
                "[access-point] together with [{agent}] on one box is not supported yet: run them on two boxes",
            );
            Err(source.error(&access_point.span(), message))
        }
        (Some(_), None) if document.advertisement.is_some() => {
            let at = document.advertisement.as_ref().map_or(0..0, Spanned::span);
            Err(source.error(&at, "an access point does not advertise itself: remove [advertisement]"))
        }
        (Some(_), None) => match document.peer_association.iter().find(|peer| !peer.get_ref().kind.is_of_mobile()) {
            Some(peer) => Err(source.error(
                &peer.span(),
                "an access point is neither home agent nor foreign agent: write kind = \"mobile-foreign\", or remove it",
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

const ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(3);

/// RFC 1256 as amended by RFC 5944 §2.3: at most 1800 s, and never more often than once per second.
fn advertisement_interval(source: &Source<'_>, given: Option<&Spanned<DurationText>>) -> Result<Duration, ConfigError> {
    let bounds = Duration::from_secs(1)..=Duration::from_mins(30);
    duration(source, "advertisement-interval", given, bounds, ADVERTISEMENT_INTERVAL)
}

pub(super) fn duration(
    source: &Source<'_>,
    key: &str,
    given: Option<&Spanned<DurationText>>,
    bounds: RangeInclusive<Duration>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    let DurationText(duration) = *given.get_ref();
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    let message = format!(
        "{key} {} is out of bounds: write {} to {}",
        humantime::format_duration(duration),
        humantime::format_duration(*bounds.start()),
        humantime::format_duration(*bounds.end()),
    );
    Err(source.error(&given.span(), message))
}

pub(super) fn count(
    source: &Source<'_>,
    key: &str,
    given: Option<&Spanned<u32>>,
    maximum: u32,
    default: u32,
) -> Result<u32, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    if (1..=maximum).contains(given.get_ref()) {
        return Ok(*given.get_ref());
    }
    Err(source.error(&given.span(), format!("{key} {} is out of bounds: write 1 to {maximum}", given.get_ref())))
}
