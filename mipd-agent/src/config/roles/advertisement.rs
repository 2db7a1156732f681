//! `[advertisement]`: how the agents of this box make themselves known.

use std::time::Duration;

use toml::Spanned;

use super::{ADVERTISEMENT_INTERVAL, duration};
use crate::config::{
    document::AdvertisementSection,
    error::{ConfigError, Source},
};

/// RFC 1256 §6.2.1: the longest lifetime of an advertisement.
const MAXIMUM_LIFETIME: Duration = Duration::from_mins(150);

/// What is said of all agents of this box, besides what they do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Advertisement {
    /// Code 0 instead of 16: a router for everybody, not only for registered clients.
    pub routes_common_traffic: bool,
    /// How much to be preferred as a default router.
    pub preference: i32,
    /// The R flag.
    pub registration_required: bool,
    /// Nothing is sent unless somebody asks.
    pub only_when_solicited: bool,
    /// To 255.255.255.255 instead of 224.0.0.1.
    pub limited_broadcast: bool,
    /// The shortest time between two advertisements; `None`: three quarters of the longest.
    pub shortest_interval: Option<Duration>,
    /// How long an advertisement is valid; `None`: three times the longest interval.
    pub lifetime: Option<Duration>,
}

/// `intervals`: the longest ones of the agents.
pub(in crate::config) fn validate(
    source: &Source<'_>,
    section: Spanned<AdvertisementSection>,
    intervals: impl Iterator<Item = Duration> + Clone,
) -> Result<Advertisement, ConfigError> {
    let section = section.into_inner();
    let shortest = intervals.clone().min().unwrap_or(ADVERTISEMENT_INTERVAL);
    let longest = intervals.max().unwrap_or(ADVERTISEMENT_INTERVAL);
    let optional = |key, given: &Option<_>, bounds| {
        given.as_ref().map(|given| duration(source, key, Some(given), bounds, Duration::ZERO)).transpose()
    };
    Ok(Advertisement {
        routes_common_traffic: section.routes_common_traffic,
        preference: section.preference,
        registration_required: section.registration_required,
        only_when_solicited: section.only_when_solicited,
        limited_broadcast: section.limited_broadcast,
        shortest_interval: optional(
            "shortest-interval",
            &section.shortest_interval,
            Duration::from_millis(500).min(shortest)..=shortest,
        )?,
        // RFC 5944 §2.3: an agent is given up after three missed advertisements, not earlier.
        lifetime: optional("lifetime", &section.lifetime, longest * 3..=MAXIMUM_LIFETIME)?,
    })
}
