//! The scene that all cases play in: a clock, interfaces, keys, and what was said so far.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail};
use mipd_agent::{
    mobility::{
        link::{InterfaceIndex, Received},
        security::SecurityAssociation,
        time::{Instant, Now},
    },
    wire::{
        authentication::{Algorithm, Key},
        registration::{RegistrationReply, RegistrationRequest},
        revocation::Revocation,
        types::{Identification, Spi},
    },
};
use mipd_common::mac::MacAddress;
use serde::Deserialize;

pub const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
pub const CLIENT_PORT: u16 = 40_434;
pub const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 1, 0x64]);
pub const FOREIGN_AGENT: MacAddress = MacAddress([2, 0, 0, 0, 2, 1]);
pub const REGISTRATION_PORT: u16 = 434;

/// The interfaces that cases speak of.
pub const INTERFACES: [(&str, InterfaceIndex); 6] = [
    ("uplink", InterfaceIndex(2)),
    ("home", InterfaceIndex(3)),
    ("radio", InterfaceIndex(4)),
    ("access", InterfaceIndex(5)),
    ("other-radio", InterfaceIndex(6)),
    ("core", InterfaceIndex(7)),
];

pub fn interface(name: &str) -> Result<InterfaceIndex> {
    let known = INTERFACES.iter().find(|known| known.0 == name);
    known.map(|known| known.1).with_context(|| format!("no interface is called `{name}`"))
}

pub fn interface_name(index: InterfaceIndex) -> &'static str {
    INTERFACES.iter().find(|known| known.1 == index).map_or("?", |known| known.0)
}

/// The keys that cases speak of: name, SPI, algorithm, and the byte that the key repeats.
const KEYS: [(&str, u32, Algorithm, u8); 9] = [
    ("client", 256, Algorithm::HmacMd5, 1),
    ("client-md5", 300, Algorithm::Md5PrefixSuffix, 2),
    ("client-rfc2002", 301, Algorithm::Md5PrefixSuffixWithoutSpi, 3),
    ("client-sha1", 302, Algorithm::HmacSha1, 4),
    ("client-sha256", 303, Algorithm::HmacSha256, 5),
    ("client-foreign", 500, Algorithm::HmacMd5, 6),
    ("aaa", 700, Algorithm::HmacMd5, 7),
    ("agents", 1000, Algorithm::HmacMd5, 8),
    ("stranger", 9999, Algorithm::HmacMd5, 9),
];

pub fn key(name: &str) -> Result<SecurityAssociation> {
    let Some((_, spi, algorithm, byte)) = KEYS.iter().find(|known| known.0 == name) else {
        bail!("no key is called `{name}`");
    };
    let spi = Spi::new(*spi).context("a reserved SPI")?;
    Ok(SecurityAssociation::new(spi, *algorithm, Key::from_bytes(vec![*byte; 16])?))
}

pub fn keys() -> impl Iterator<Item = (&'static str, SecurityAssociation)> {
    KEYS.iter().map(|known| (known.0, key(known.0).expect("it is listed")))
}

/// The clock, and the latest messages, which later ones refer to.
pub struct Scene {
    pub now: Now,
    start: Instant,
    /// The latest request, in whichever direction.
    pub request: Option<RegistrationRequest>,
    /// The latest reply, in whichever direction.
    pub reply: Option<RegistrationReply>,
    /// The latest revocation, in whichever direction.
    pub revocation: Option<Revocation>,
    /// All challenges heard of, the newest last.
    pub challenges: Vec<Vec<u8>>,
}

impl Scene {
    pub fn new() -> Self {
        let start = Instant(Duration::from_secs(1000));
        let now = Now { instant: start, wall: Identification(0xe5a1_b2c3_1234_5678) };
        Self { now, start, request: None, reply: None, revocation: None, challenges: Vec::new() }
    }

    /// Moves both clocks.
    pub fn set(&mut self, instant: Instant) {
        self.now = Now { wall: self.now.wall_at(instant), instant };
    }

    /// A point in time as cases tell it: seconds since the start.
    pub fn at(&self, instant: Instant) -> String {
        format!("t+{}s", instant.since(self.start).as_secs_f64())
    }

    pub fn until(&self, expires: Option<Instant>) -> String {
        expires.map_or("never".to_owned(), |at| self.at(at))
    }
}

/// What a step brought about, one line per thing.
#[derive(Default)]
pub struct Transcript {
    lines: Vec<String>,
    at: Option<Duration>,
}

impl Transcript {
    /// The lines to come are about this point of the wait before the step's input.
    pub fn at(&mut self, after: Duration) {
        self.at = Some(after);
    }

    /// The lines to come are about the step's input.
    pub fn now(&mut self) {
        self.at = None;
    }

    pub fn push(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.lines.push(match self.at {
            Some(after) => format!("[{:.1}s] {line}", after.as_secs_f64()),
            None => line,
        });
    }

    /// A line that belongs to the one before.
    pub fn detail(&mut self, line: impl Into<String>) {
        self.lines.push(format!("    {}", line.into()));
    }

    pub fn finish(self) -> String {
        let lines = if self.lines.is_empty() { vec!["nothing".to_owned()] } else { self.lines };
        lines.into_iter().map(|line| line + "\n").collect()
    }
}

/// How a datagram arrives, where it differs from the usual.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Datagram {
    source: Option<Ipv4Addr>,
    source_port: Option<u16>,
    destination: Option<Ipv4Addr>,
    destination_port: Option<u16>,
    ttl: Option<u8>,
    interface: Option<String>,
    /// `none` for a datagram of which it is not known.
    mac: Option<String>,
}

impl Datagram {
    pub fn carrying<'a>(&self, payload: &'a [u8], usual: &Received<'_>) -> Result<Received<'a>> {
        Ok(Received {
            payload,
            source: self.source.unwrap_or(usual.source),
            source_port: self.source_port.unwrap_or(usual.source_port),
            destination: self.destination.unwrap_or(usual.destination),
            destination_port: self.destination_port.unwrap_or(usual.destination_port),
            ttl: self.ttl.unwrap_or(usual.ttl),
            interface: self.interface.as_deref().map_or(Ok(usual.interface), interface)?,
            source_mac: match self.mac.as_deref() {
                None => usual.source_mac,
                Some("none") => None,
                Some(text) => Some(text.parse()?),
            },
        })
    }
}

pub fn hexadecimal(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<_> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let pair = |pair: &[char]| {
        let text: String = pair.iter().collect();
        u8::from_str_radix(&text, 16).with_context(|| format!("`{text}` is not a byte in hexadecimal"))
    };
    digits.chunks(2).map(pair).collect()
}

pub fn to_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
