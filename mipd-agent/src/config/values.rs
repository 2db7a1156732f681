//! The text forms of single values. Each type refuses what is not valid by itself.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use serde::Deserialize;

use crate::wire::types::{Lifetime, Spi};

/// How packets of an interface are to be handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastPath {
    /// XDP where the driver has it natively, TC everywhere.
    #[default]
    Auto,
    /// XDP is expected: where the driver refuses it, TC does the work and `mipd show interfaces` says why.
    Xdp,
    /// TC only.
    Tc,
    /// The kernel and the agent do everything; TC only hands packets to them.
    Off,
}

impl fmt::Display for FastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Off => "off",
        })
    }
}

/// A name that the kernel would accept for a network interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let valid = (1..16).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
            && name != "."
            && name != "..";
        if valid {
            Ok(Self(name))
        } else {
            Err(format!("`{name}` is not an interface name: write 1 to 15 characters without space, slash or colon"))
        }
    }
}

/// A duration such as `7s`, `500ms`, `10min`, `1h 30min`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DurationText(pub Duration);

impl TryFrom<String> for DurationText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| format!("`{text}` is not a duration: write a number and its unit, such as 7s, 10min or 10h"))
    }
}

/// The Ethernet address of a station.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MacText(pub MacAddress);

impl TryFrom<String> for MacText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mac: MacAddress = text.parse().map_err(|error| format!("`{text}` is {error}"))?;
        if mac.is_multicast() || mac == MacAddress::default() {
            return Err(format!("`{text}` is no station's address: write that of one device"));
        }
        Ok(Self(mac))
    }
}

/// A registration lifetime: a duration of whole seconds that fits the message field, or `infinite`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LifetimeText(pub Lifetime);

impl TryFrom<String> for LifetimeText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "infinite" {
            return Ok(Self(Lifetime::INFINITE));
        }
        let DurationText(duration) = DurationText::try_from(text.clone())?;
        if duration.subsec_nanos() != 0 {
            return Err(format!("lifetime `{text}` is not a whole number of seconds: round it"));
        }
        match u16::try_from(duration.as_secs()) {
            Ok(0) => Err("a lifetime of 0 would end every registration: write at least 1s".to_owned()),
            Ok(seconds) if seconds != Lifetime::INFINITE.0 => Ok(Self(Lifetime(seconds))),
            _ => Err(format!(
                "lifetime `{text}` does not fit a registration: write at most 65534s (18h 12min 14s) or infinite"
            )),
        }
    }
}

/// A prefix without host bits.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PrefixText(pub Ipv4Net);

impl TryFrom<String> for PrefixText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let prefix: Ipv4Net =
            text.parse().map_err(|_| format!("`{text}` is not an IPv4 prefix: write it like 10.1.0.0/24"))?;
        if prefix.trunc() == prefix {
            Ok(Self(prefix))
        } else {
            Err(format!("prefix `{text}` has host bits set: write {}", prefix.trunc()))
        }
    }
}

/// A network mask in dotted form, as a prefix length.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MaskText(pub u8);

impl TryFrom<String> for MaskText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.parse::<Ipv4Addr>().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok());
        match length {
            Some(length @ 1..=31) => Ok(Self(length)),
            _ => Err(format!("`{text}` is not a subnet's mask: write it like 255.255.255.0")),
        }
    }
}

/// An address that a host can have.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HostAddressText(pub Ipv4Addr);

impl TryFrom<String> for HostAddressText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address: Ipv4Addr =
            text.parse().map_err(|_| format!("`{text}` is not an IPv4 address: write it like 10.1.0.1"))?;
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.octets()[0] >= 240 {
            return Err(format!("`{text}` cannot be the address of a host: write a unicast address"));
        }
        Ok(Self(address))
    }
}

/// Where a RADIUS server listens.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ServerAddressText(pub SocketAddrV4);

/// RFC 2865 §3.
const RADIUS_PORT: u16 = 1812;

impl TryFrom<String> for ServerAddressText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse().or_else(|_| text.parse().map(|address| SocketAddrV4::new(address, RADIUS_PORT)));
        let address = address.map_err(|_| {
            format!("`{text}` is not the address of a server: write it like 10.0.0.5 or 10.0.0.5:{RADIUS_PORT}")
        })?;
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_multicast() || ip.octets()[0] >= 240 || address.port() == 0 {
            return Err(format!(
                "`{text}` cannot be the address of a server: write a unicast address and its UDP port"
            ));
        }
        Ok(Self(address))
    }
}

/// A security parameter index that may be used for an association.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct SpiNumber(pub Spi);

impl TryFrom<i64> for SpiNumber {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        u32::try_from(number).ok().and_then(Spi::new).map(Self).ok_or_else(|| {
            format!("spi {number} cannot be used: write a number from 256 to 4294967295 (0 to 255 are reserved)")
        })
    }
}
