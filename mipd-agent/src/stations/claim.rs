//! What a station's DHCP message says of its address.

use std::net::Ipv4Addr;

use crate::wire::{dhcp::ClientMessage, ip::Datagram};

const SERVER_PORT: u16 = 67;

/// A DHCP client's message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dhcp {
    /// The client has an address and wants to keep it (INIT-REBOOT, RENEWING, REBINDING, INFORM).
    Claims(Ipv4Addr),
    /// It wants any address, or accepts an offer, or cannot be read: the servers' business.
    Other,
}

/// `None` if the datagram is not for a DHCP server.
pub fn dhcp(datagram: &Datagram<'_>) -> Option<Dhcp> {
    if datagram.destination_port != SERVER_PORT {
        return None;
    }
    let claimed = ClientMessage::parse(datagram.payload).ok().and_then(|message| message.claimed_address());
    Some(claimed.map_or(Dhcp::Other, Dhcp::Claims))
}
