//! What is known of an interface of hostapd's beside its stations: whether frames between two of them come up to us.
//!
//! With `ap_isolate=0`, hostapd's default, mac80211 sends a frame from one station of a BSS to another back into the air by
//! itself, and neither the bridge nor any BPF program sees it. nl80211 can set this and does not tell it, and hostapd's
//! control socket does not tell it either. Two things do: a flag of mac80211's in debugfs, which is the truth where the kernel
//! is built with it (that of `OpenWrt` is, Debian's is not), and else the configuration file of the hostapd that runs.

pub mod generic_netlink;
mod hostapd_files;

use std::fs;

use netlink_packet_core::DefaultNla;

use generic_netlink::{Answer, Family};

use crate::stations::nl80211::message::{ATTRIBUTE_IFINDEX, FAMILY};

/// Of `linux/nl80211.h`.
const GET_WIPHY: u8 = 1;
const GET_INTERFACE: u8 = 5;
const WIPHY: u16 = 1;
const WIPHY_NAME: u16 = 2;
const IFTYPE: u16 = 5;
const FOUR_ADDRESS: u16 = 83;
const IFTYPE_STATION: u32 = 2;
const IFTYPE_AP: u32 = 3;
const IFTYPE_AP_VLAN: u32 = 4;
const IFTYPE_WDS: u32 = 5;
const IFTYPE_MESH_POINT: u32 = 7;

/// `IEEE80211_SDATA_DONT_BRIDGE_PACKETS` of `net/mac80211/ieee80211_i.h`, the same from Linux 5.10 on.
const DONT_BRIDGE_PACKETS: u64 = 1 << 3;
/// Where mac80211 shows its state.
const DEBUGFS: &str = "/sys/kernel/debug/ieee80211";

/// What an interface of the kernel's wireless subsystem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Stations associate with it.
    AccessPoint,
    /// Part of an access point's interface: the stations of one dynamic VLAN, or one station that bridges (4-address mode).
    AccessPointVlan,
    /// A station of somebody else's access point; `bridges`: in 4-address mode, as a repeater.
    Station {
        /// 4-address mode.
        bridges: bool,
    },
    /// A link to another access point.
    DistributionSystem,
    /// A point of a mesh.
    Mesh,
    /// Anything else.
    Other,
}

impl Mode {
    /// Looks at an interface of this network namespace. `None` if it is not wireless, as far as the kernel knows.
    pub fn of(ifindex: u32) -> Option<Self> {
        let (_, interface) = describe(ifindex)?;
        let kind = find_number(&interface, IFTYPE)?;
        let bridges = find(&interface, FOUR_ADDRESS).is_some_and(|value| value != [0]);
        Some(Self::from_type(kind, bridges))
    }

    fn from_type(kind: u32, bridges: bool) -> Self {
        match kind {
            IFTYPE_STATION => Self::Station { bridges },
            IFTYPE_AP => Self::AccessPoint,
            IFTYPE_AP_VLAN => Self::AccessPointVlan,
            IFTYPE_WDS => Self::DistributionSystem,
            IFTYPE_MESH_POINT => Self::Mesh,
            _ => Self::Other,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessPoint => "an access point",
            Self::AccessPointVlan => "a dynamic VLAN or 4-address station of an access point",
            Self::Station { bridges: false } => "a station",
            Self::Station { bridges: true } => "a repeater (4-address station)",
            Self::DistributionSystem => "a WDS link",
            Self::Mesh => "a mesh point",
            Self::Other => "no access point",
        }
    }
}

/// What happens to frames between two stations of one BSS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// They come up to the interface, and go no further by themselves.
    On,
    /// They go straight back into the air: nobody here sees them.
    Off,
    /// Nobody tells, and why.
    Unknown(String),
}

impl Isolation {
    /// The stable name, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Looks at an interface of this network namespace. `None` if that is no access point's radio, as far as the kernel knows.
    pub fn of(interface: &str, ifindex: u32) -> Option<Self> {
        let (nl80211, radio) = describe(ifindex)?;
        if find_number(&radio, IFTYPE) != Some(IFTYPE_AP) {
            return None;
        }
        let wiphy = find_number(&radio, WIPHY)?;
        let name = match nl80211.ask(GET_WIPHY, vec![number(WIPHY, wiphy)]) {
            Ok(answer) => find(&answer, WIPHY_NAME).map(text)?,
            Err(error) => return Some(Self::Unknown(format!("nl80211 does not describe the radio: {error}"))),
        };
        if let Ok(flags) = fs::read_to_string(format!("{DEBUGFS}/{name}/netdev:{interface}/flags")) {
            return Some(Self::from_flags(&flags));
        }
        Some(match hostapd_files::isolation(interface) {
            Some(true) => Self::On,
            Some(false) => Self::Off,
            None => Self::Unknown(
                "mac80211 shows nothing in debugfs, and no hostapd runs with a configuration file for it".to_owned(),
            ),
        })
    }

    /// From the flags of an interface in mac80211: one hexadecimal number.
    fn from_flags(text: &str) -> Self {
        match u64::from_str_radix(text.trim().trim_start_matches("0x"), 16) {
            Ok(flags) if flags & DONT_BRIDGE_PACKETS != 0 => Self::On,
            Ok(_) => Self::Off,
            Err(_) => Self::Unknown(format!("mac80211's flags are {:?}", text.trim())),
        }
    }
}

/// What nl80211 says of an interface of this network namespace.
fn describe(ifindex: u32) -> Option<(Family, Answer)> {
    let nl80211 = Family::find(FAMILY).ok()?;
    let interface = nl80211.ask(GET_INTERFACE, vec![number(ATTRIBUTE_IFINDEX, ifindex)]).ok()?;
    Some((nl80211, interface))
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

fn find(attributes: &[(u16, Vec<u8>)], kind: u16) -> Option<&[u8]> {
    attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.as_slice())
}

fn find_number(attributes: &[(u16, Vec<u8>)], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(find(attributes, kind)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_is_one_of_mac80211s_flags() {
        assert_eq!(Isolation::from_flags("0x28\n"), Isolation::On);
        assert_eq!(Isolation::from_flags("0x20\n"), Isolation::Off);
        assert_eq!(Isolation::from_flags("0\n"), Isolation::Off);
        assert!(matches!(Isolation::from_flags("on\n"), Isolation::Unknown(why) if why.contains("on")));
    }

    #[test]
    fn an_interface_that_is_no_radio_has_no_isolation() {
        assert_eq!(Isolation::of("lo", 1), None);
    }
}
