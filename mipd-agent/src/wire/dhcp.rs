//! What a DHCP client says about its address (RFC 2131 §2, RFC 2132), and [`relay`]: its messages as a relay agent passes
//! them on.

pub mod relay;

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use thiserror::Error;

/// UDP port of DHCP servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of DHCP clients.
pub const CLIENT_PORT: u16 = 68;

const OPTIONS_AT: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Ethernet, six bytes of address.
const ETHERNET: [u8; 2] = [1, 6];
const BOOT_REQUEST: u8 = 1;
const OPTION_PAD: u8 = 0;
const OPTION_REQUESTED_ADDRESS: u8 = 50;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_SERVER_IDENTIFIER: u8 = 54;
const OPTION_END: u8 = 255;

/// Why a payload is not the DHCP message of an Ethernet client or its server that it should be. All: leave it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DhcpError {
    /// Shorter than the fixed part, or an option runs past the end.
    #[error("DHCP message shorter than it claims; leave it alone")]
    Truncated,
    /// A server's message, another link layer, or plain BOOTP.
    #[error("not a DHCP message of an Ethernet client; leave it alone")]
    NotAClient,
    /// A client's message, another link layer, or plain BOOTP.
    #[error("not a DHCP message of a server; leave it alone")]
    NotAServer,
    /// It has been relayed already, or pretends to (RFC 3046 §2.1), or went through too many relay agents.
    #[error("relayed already; leave it alone")]
    Relayed,
}

/// DHCP message types of clients (RFC 2132 §9.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageType {
    /// Looks for servers.
    Discover,
    /// Accepts an offer, or claims an address it had before.
    Request,
    /// Found its address taken.
    Decline,
    /// Gives its address back.
    Release,
    /// Has an address, wants parameters only.
    Inform,
}

/// What a client's message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientMessage {
    /// What it wants.
    pub message_type: MessageType,
    /// Its link-layer address (`chaddr`).
    pub client_mac: MacAddress,
    /// The address it uses already (`ciaddr`); 0.0.0.0 if none.
    pub client_address: Ipv4Addr,
    /// The address it asks for (option 50).
    pub requested_address: Option<Ipv4Addr>,
    /// The server whose offer it accepts, or which it talks to (option 54).
    pub server_identifier: Option<Ipv4Addr>,
    /// What the client has chosen to tell this exchange from others (`xid`).
    pub transaction: u32,
}

impl ClientMessage {
    /// Reads the UDP payload of a message to a server's port.
    pub fn parse(payload: &[u8]) -> Result<Self, DhcpError> {
        let fixed = fixed_part(payload)?;
        if fixed[0] != BOOT_REQUEST {
            return Err(DhcpError::NotAClient);
        }
        let mut message_type = None;
        let mut requested_address = None;
        let mut server_identifier = None;
        for option in Options::of(payload) {
            match option? {
                Entry { code: OPTION_MESSAGE_TYPE, data: &[value], .. } => message_type = client_message_type(value),
                Entry { code: OPTION_REQUESTED_ADDRESS, data, .. } => requested_address = address(data),
                Entry { code: OPTION_SERVER_IDENTIFIER, data, .. } => server_identifier = address(data),
                _ => {}
            }
        }
        Ok(Self {
            message_type: message_type.ok_or(DhcpError::NotAClient)?,
            client_mac: client_mac(fixed),
            client_address: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            requested_address,
            server_identifier,
            transaction: transaction(fixed),
        })
    }

    /// The address that the client had before and wants to go on using: that of a DHCPREQUEST in the states INIT-REBOOT,
    /// RENEWING and REBINDING (RFC 2131 §4.3.2), or of an INFORM. A request that accepts an offer names a server's
    /// choice and claims nothing; neither does a wish in a DISCOVER.
    pub fn claimed_address(&self) -> Option<Ipv4Addr> {
        let in_use = Some(self.client_address).filter(|address| !address.is_unspecified());
        match self.message_type {
            MessageType::Request if self.server_identifier.is_none() => in_use.or(self.requested_address),
            MessageType::Inform => in_use,
            _ => None,
        }
    }

    /// The address that the client does not want any more: it gives it back, or has found somebody else to use it.
    pub fn surrendered_address(&self) -> Option<Ipv4Addr> {
        match self.message_type {
            MessageType::Release => Some(self.client_address).filter(|address| !address.is_unspecified()),
            MessageType::Decline => self.requested_address,
            _ => None,
        }
    }
}

/// The part before the options, of an Ethernet client's message or an answer to it.
fn fixed_part(payload: &[u8]) -> Result<&[u8; OPTIONS_AT], DhcpError> {
    let fixed: &[u8; OPTIONS_AT] = payload.first_chunk().ok_or(DhcpError::Truncated)?;
    let known = fixed[1..3] == ETHERNET && fixed[OPTIONS_AT - 4..] == COOKIE;
    if known { Ok(fixed) } else { Err(DhcpError::NotAClient) }
}

fn client_mac(fixed: &[u8; OPTIONS_AT]) -> MacAddress {
    MacAddress([fixed[28], fixed[29], fixed[30], fixed[31], fixed[32], fixed[33]])
}

fn transaction(fixed: &[u8; OPTIONS_AT]) -> u32 {
    u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])
}

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

/// One option, and where it stands in the message.
struct Entry<'a> {
    code: u8,
    data: &'a [u8],
    /// The option with its code and length.
    whole: &'a [u8],
}

/// The options of a message up to the end option (RFC 2132 §2), without padding. Ends after an error.
struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// Of a message with a whole fixed part.
    fn of(payload: &'a [u8]) -> Self {
        Self { rest: payload.get(OPTIONS_AT..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Entry<'a>, DhcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let padding = self.rest.iter().take_while(|byte| **byte == OPTION_PAD).count();
        let start = &self.rest[padding..];
        let (&[code], _) = start.split_first_chunk()?;
        self.rest = &[];
        if code == OPTION_END {
            return None;
        }
        let Some(length) = start.get(1) else { return Some(Err(DhcpError::Truncated)) };
        let Some((whole, rest)) = start.split_at_checked(2 + usize::from(*length)) else {
            return Some(Err(DhcpError::Truncated));
        };
        self.rest = rest;
        Some(Ok(Entry { code, data: &whole[2..], whole }))
    }
}

fn client_message_type(value: u8) -> Option<MessageType> {
    match value {
        1 => Some(MessageType::Discover),
        3 => Some(MessageType::Request),
        4 => Some(MessageType::Decline),
        7 => Some(MessageType::Release),
        8 => Some(MessageType::Inform),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);

    fn message(client_address: Ipv4Addr, options: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; OPTIONS_AT];
        payload[..3].copy_from_slice(&[1, 1, 6]);
        payload[12..16].copy_from_slice(&client_address.octets());
        payload[28..34].copy_from_slice(&CLIENT.0);
        payload[236..].copy_from_slice(&COOKIE);
        payload.extend(options);
        payload
    }

    fn claimed(client_address: Ipv4Addr, options: &[u8]) -> Option<Ipv4Addr> {
        ClientMessage::parse(&message(client_address, options)).unwrap().claimed_address()
    }

    #[test]
    fn a_rebooting_client_claims_the_address_it_had() {
        let payload = message(Ipv4Addr::UNSPECIFIED, &[0, 53, 1, 3, 12, 2, b'p', b'c', 50, 4, 10, 1, 0, 9, 255]);
        let parsed = ClientMessage::parse(&payload).unwrap();
        assert_eq!(parsed.message_type, MessageType::Request);
        assert_eq!(parsed.client_mac, CLIENT);
        assert_eq!(parsed.requested_address, Some(ADDRESS));
        assert_eq!(parsed.claimed_address(), Some(ADDRESS));
    }

    #[test]
    fn a_renewing_client_claims_the_address_it_uses() {
        assert_eq!(claimed(ADDRESS, &[53, 1, 3, 255]), Some(ADDRESS));
        assert_eq!(claimed(ADDRESS, &[53, 1, 8, 255]), Some(ADDRESS));
    }

    #[test]
    fn accepting_an_offer_or_wishing_claims_nothing() {
        let selecting = [53, 1, 3, 50, 4, 10, 1, 0, 9, 54, 4, 10, 2, 0, 1, 255];
        assert_eq!(claimed(Ipv4Addr::UNSPECIFIED, &selecting), None);
        assert_eq!(claimed(Ipv4Addr::UNSPECIFIED, &[53, 1, 1, 50, 4, 10, 1, 0, 9, 255]), None);
        assert_eq!(claimed(ADDRESS, &[53, 1, 7, 255]), None);
    }

    #[test]
    fn releasing_and_declining_surrender_an_address() {
        let surrendered = |client_address, options: &[u8]| {
            ClientMessage::parse(&message(client_address, options)).unwrap().surrendered_address()
        };
        let nobody = Ipv4Addr::UNSPECIFIED;
        assert_eq!(surrendered(ADDRESS, &[53, 1, 7, 54, 4, 10, 1, 0, 1, 255]), Some(ADDRESS));
        assert_eq!(surrendered(nobody, &[53, 1, 4, 50, 4, 10, 1, 0, 9, 255]), Some(ADDRESS));
        assert_eq!(surrendered(ADDRESS, &[53, 1, 3, 255]), None);
        assert_eq!(surrendered(nobody, &[53, 1, 7, 255]), None);
    }

    #[test]
    fn what_no_client_sends_is_refused() {
        let good = message(ADDRESS, &[53, 1, 3, 255]);
        for (at, value) in [(0, 2), (1, 6), (2, 8), (237, 0), (242, 5)] {
            let mut payload = good.clone();
            payload[at] = value;
            assert_eq!(ClientMessage::parse(&payload), Err(DhcpError::NotAClient), "byte {at}");
        }
        assert_eq!(ClientMessage::parse(&good[..239]), Err(DhcpError::Truncated));
        assert_eq!(ClientMessage::parse(&message(ADDRESS, &[53, 1, 3, 50, 4, 10])), Err(DhcpError::Truncated));
        assert_eq!(ClientMessage::parse(&message(ADDRESS, &[53, 1, 3, 50])), Err(DhcpError::Truncated));
        assert_eq!(ClientMessage::parse(&message(ADDRESS, &[50, 4, 10, 1, 0, 9])), Err(DhcpError::NotAClient));
    }

    #[test]
    fn nothing_is_read_after_the_end_option() {
        let payload = message(ADDRESS, &[53, 1, 3, 255, 50, 4, 10, 1, 0, 8, 9]);
        assert_eq!(ClientMessage::parse(&payload).unwrap().requested_address, None);
    }

    proptest! {
        #[test]
        fn arbitrary_options_never_panic(options in prop::collection::vec(any::<u8>(), 0..80), cut in 0usize..320) {
            let payload = message(ADDRESS, &options);
            let cut = cut.min(payload.len());
            let parsed = ClientMessage::parse(&payload[..cut]);
            prop_assert!(cut >= OPTIONS_AT || parsed.is_err());
        }
    }
}
