//! What a source tells of stations: one type for all of them.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::mobility::link::InterfaceIndex;

/// Who tells something of a station.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// The kernel program on the radio: the station has sent something.
    FirstPacket,
    /// A DHCP server: it has given the station an address.
    Dhcp,
    /// The kernel's wireless subsystem.
    Nl80211,
    /// The access point daemon.
    Hostapd,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FirstPacket, Self::Dhcp, Self::Nl80211, Self::Hostapd];

    /// As `mipd show clients` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstPacket => "first-packet",
            Self::Dhcp => "dhcp",
            Self::Nl80211 => "nl80211",
            Self::Hostapd => "hostapd",
        }
    }

    /// Whether it knows who is associated, so that it can tell who is not. The greatest that can be reached is in charge of
    /// a radio.
    pub fn knows_associations(self) -> bool {
        matches!(self, Self::Nl80211 | Self::Hostapd)
    }
}

/// Something that a source tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Who tells it.
    pub source: Source,
    /// The radio.
    pub interface: InterfaceIndex,
    /// What it tells.
    pub news: News,
}

/// What has happened on a radio.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A station is associated and authorized, as of now.
    Associated(MacAddress),
    /// A station is associated no longer.
    Disassociated(MacAddress),
    /// These are all stations that are associated and authorized. From now on the source tells of every change.
    Stations(Vec<MacAddress>),
    /// The source cannot be reached: until its next list nothing can be concluded from its silence.
    Unreachable,
    /// A station used an address, in ARP or IPv4, or claimed it of a DHCP server.
    Used {
        /// The station.
        mac: MacAddress,
        /// Its address.
        address: Ipv4Addr,
    },
    /// A station spoke on the wired side: it is behind another access point.
    Moved(MacAddress),
}
