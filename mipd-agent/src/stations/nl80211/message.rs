//! Messages of the family `nl80211` about stations (`linux/nl80211.h`): only the attributes that matter here, so that no
//! attribute that a driver or a newer kernel adds can spoil a message.

use mipd_common::mac::MacAddress;
use netlink_packet_core::{DecodeError, Emitable, NlaBuffer, NlasIterator, ParseableParametrized};
use netlink_packet_generic::{GenlFamily, GenlHeader};

/// The name that the kernel has the family by.
pub const FAMILY: &str = "nl80211";
/// The multicast group of news about stations.
pub const GROUP: &str = "mlme";

const GET_STATION: u8 = 17;
const NEW_STATION: u8 = 19;
const DEL_STATION: u8 = 20;

/// The attribute that names an interface, by its index.
pub const ATTRIBUTE_IFINDEX: u16 = 3;
const ATTRIBUTE_MAC: u16 = 6;
const ATTRIBUTE_STA_INFO: u16 = 21;
const STA_INFO_STA_FLAGS: u16 = 17;
/// `NL80211_STA_FLAG_AUTHORIZED` as a bit.
const AUTHORIZED: u32 = 1 << 1;

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// List the stations.
    GetStation,
    /// A station is new, or one of a list.
    NewStation,
    /// A station is gone.
    DelStation,
    /// Something else.
    Other(u8),
}

/// A message about a station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StationMessage {
    /// What it is.
    pub command: Command,
    /// The radio's interface index.
    pub interface: Option<u32>,
    /// The station.
    pub mac: Option<MacAddress>,
    /// Whether the station may send and receive data; `None`: not said.
    pub authorized: Option<bool>,
}

impl StationMessage {
    /// Asks for the stations of a radio.
    pub fn list(interface: u32) -> Self {
        Self { command: Command::GetStation, interface: Some(interface), mac: None, authorized: None }
    }
}

impl GenlFamily for StationMessage {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        match self.command {
            Command::GetStation => GET_STATION,
            Command::NewStation => NEW_STATION,
            Command::DelStation => DEL_STATION,
            Command::Other(command) => command,
        }
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for StationMessage {
    fn buffer_len(&self) -> usize {
        if self.interface.is_some() { 8 } else { 0 }
    }

    fn emit(&self, buffer: &mut [u8]) {
        if let Some(interface) = self.interface {
            let attribute = [8u16.to_ne_bytes(), ATTRIBUTE_IFINDEX.to_ne_bytes()].concat();
            buffer[..4].copy_from_slice(&attribute);
            buffer[4..8].copy_from_slice(&interface.to_ne_bytes());
        }
    }
}

impl ParseableParametrized<[u8], GenlHeader> for StationMessage {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let command = match header.cmd {
            GET_STATION => Command::GetStation,
            NEW_STATION => Command::NewStation,
            DEL_STATION => Command::DelStation,
            other => Command::Other(other),
        };
        let mut message = Self { command, interface: None, mac: None, authorized: None };
        for attribute in NlasIterator::new(bytes) {
            let attribute: NlaBuffer<&[u8]> = attribute?;
            let value = attribute.value();
            match attribute.kind() {
                ATTRIBUTE_IFINDEX => message.interface = value.try_into().ok().map(u32::from_ne_bytes),
                ATTRIBUTE_MAC => message.mac = value.try_into().ok().map(MacAddress),
                ATTRIBUTE_STA_INFO => message.authorized = authorized(value)?,
                _ => {}
            }
        }
        Ok(message)
    }
}

/// Of `struct nl80211_sta_flag_update`: which flags are known, and which are set.
fn authorized(info: &[u8]) -> Result<Option<bool>, DecodeError> {
    let mut authorized = None;
    for attribute in NlasIterator::new(info) {
        let attribute: NlaBuffer<&[u8]> = attribute?;
        if attribute.kind() == STA_INFO_STA_FLAGS
            && let Some((mask, rest)) = attribute.value().split_first_chunk()
            && let Some(set) = rest.first_chunk()
        {
            let known = u32::from_ne_bytes(*mask) & AUTHORIZED != 0;
            authorized = known.then_some(u32::from_ne_bytes(*set) & AUTHORIZED != 0);
        }
    }
    Ok(authorized)
}
