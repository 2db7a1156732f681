//! What `mipd trace` tells of one client. Its JSON is a stable interface, as the tables' is.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

/// Whose story.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A station.
    Mac(MacAddress),
    /// Whoever uses this address, or used it last.
    Address(Ipv4Addr),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = || text.parse().map(Self::Address).ok();
        let subject = text.parse().map(Self::Mac).ok().or_else(address);
        subject
            .ok_or_else(|| format!("{text:?} is neither an Ethernet address (02:00:00:00:00:05) nor an IPv4 address"))
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// One step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TraceStep {
    /// When: RFC 3339, UTC, microseconds.
    pub time: String,
    /// The role that knows it: `access_point`, `foreign_agent` or `home_agent`.
    pub role: String,
    /// The station's Ethernet address, if the role knows it.
    pub mac: Option<String>,
    /// The client's address.
    pub home_address: Option<Ipv4Addr>,
    /// What happened, in one word of `snake_case`.
    pub step: String,
    /// The same for people.
    pub text: String,
    /// Its home agent, where the step names it.
    pub home_agent: Option<Ipv4Addr>,
    /// The agent on the link that a request went to, or that forwards.
    pub agent: Option<Ipv4Addr>,
    /// The care-of address, where the step names it.
    pub care_of_address: Option<Ipv4Addr>,
    /// Identification of a request: 16 hexadecimal digits.
    pub identification: Option<String>,
    /// The code of a reply.
    pub code: Option<u8>,
    /// A round trip, or the time since the client was noticed, milliseconds.
    pub duration_ms: Option<f64>,
    /// How many packets or repetitions.
    pub count: Option<u32>,
}
