//! What a station's DHCP message says of its address.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::wire::{
    dhcp::{ClientMessage, SERVER_PORT},
    ip::Datagram,
};

/// A DHCP client's message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dhcp {
    /// The client has an address and wants to keep it (INIT-REBOOT, RENEWING, REBINDING, INFORM).
    Claims(Ipv4Addr, ClientMessage),
    /// The client has an address and does not want it (DHCPRELEASE, DHCPDECLINE).
    Surrenders(Ipv4Addr, ClientMessage),
    /// It wants any address, or accepts an offer, or cannot be read: the servers' business.
    Other,
}

/// `None` if the datagram is not for a DHCP server. What a station says of another one cannot be believed.
pub fn dhcp(sender: MacAddress, datagram: &Datagram<'_>) -> Option<Dhcp> {
    if datagram.destination_port != SERVER_PORT {
        return None;
    }
    let message = ClientMessage::parse(datagram.payload).ok().filter(|message| message.client_mac == sender);
    let Some(message) = message else { return Some(Dhcp::Other) };
    Some(match (message.claimed_address(), message.surrendered_address()) {
        (Some(address), _) => Dhcp::Claims(address, message),
        (None, Some(address)) => Dhcp::Surrenders(address, message),
        (None, None) => Dhcp::Other,
    })
}
