//! A client's DHCP messages as a relay agent passes them to a server, and the server's answers (RFC 1542 §4.1, RFC 2131 §4.1,
//! RFC 3046).
//!
//! The relay agent of a visitor is not on the subnet that the client's address belongs to. The link selection sub-option
//! (RFC 3527) tells the server which subnet is meant, and the server identifier override sub-option (RFC 5107) by which
//! address the server calls itself, so that the client's lease looks like the one that it has got at home.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{
    BOOT_REQUEST, DhcpError, Entry, OPTION_END, OPTION_MESSAGE_TYPE, OPTIONS_AT, Options, client_mac, fixed_part,
    transaction,
};

const BOOT_REPLY: u8 = 2;
/// A message that went through so many relay agents goes round in circles (RFC 1542 §4.1.1).
const MAXIMUM_HOPS: u8 = 16;
/// No DHCP message is shorter, in the eyes of old servers (RFC 1542 §2.1).
const MINIMUM_LENGTH: usize = 300;
const HOPS_AT: usize = 3;
const OFFERED_ADDRESS_AT: usize = 16;
const RELAY_AT: usize = 24;

const OPTION_RELAY_INFORMATION: u8 = 82;
const LINK_SELECTION: u8 = 5;
const SERVER_IDENTIFIER_OVERRIDE: u8 = 11;

/// Who relays, and for which subnet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relay {
    /// The relay agent: where answers are sent (`giaddr`).
    pub address: Ipv4Addr,
    /// An address in the subnet that the client's address is in.
    pub subnet: Ipv4Addr,
    /// What the server is to call itself.
    pub server_identifier: Ipv4Addr,
}

impl Relay {
    /// The message as it goes to the server. Fails if it is no client's message, or one that was relayed before: from a
    /// client's side nobody may say that (RFC 3046 §2.1).
    pub fn request(&self, payload: &[u8]) -> Result<Vec<u8>, DhcpError> {
        let fixed = fixed_part(payload)?;
        if fixed[0] != BOOT_REQUEST {
            return Err(DhcpError::NotAClient);
        }
        if relay_address(fixed) != Ipv4Addr::UNSPECIFIED || fixed[HOPS_AT] >= MAXIMUM_HOPS {
            return Err(DhcpError::Relayed);
        }
        let mut message = fixed.to_vec();
        message[HOPS_AT] += 1;
        message[RELAY_AT..RELAY_AT + 4].copy_from_slice(&self.address.octets());
        for option in Options::of(payload) {
            let Entry { code, whole, .. } = option?;
            if code == OPTION_RELAY_INFORMATION {
                return Err(DhcpError::Relayed);
            }
            message.extend(whole);
        }
        message.extend([OPTION_RELAY_INFORMATION, 12, LINK_SELECTION, 4]);
        message.extend(self.subnet.octets());
        message.extend([SERVER_IDENTIFIER_OVERRIDE, 4]);
        message.extend(self.server_identifier.octets());
        message.push(OPTION_END);
        message.resize(message.len().max(MINIMUM_LENGTH), 0);
        Ok(message)
    }
}

/// What a server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Acknowledgement,
    /// DHCPNAK: the client must not use the address that it has asked for.
    Refusal,
}

/// A server's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What it says.
    pub verdict: Verdict,
    /// The relay agent that it was sent to (`giaddr`).
    pub relay: Ipv4Addr,
    /// The client's link-layer address (`chaddr`).
    pub client_mac: MacAddress,
    /// Which of the client's exchanges it belongs to (`xid`).
    pub transaction: u32,
    /// The client can take packets to this address: the one that it uses (`ciaddr`), or is given (`yiaddr`) without having
    /// asked for a broadcast. `None`: only broadcasts (RFC 2131 §4.1).
    pub reachable_at: Option<Ipv4Addr>,
    /// The address that the client is given (`yiaddr`).
    pub given: Option<Ipv4Addr>,
    /// The message as it goes to the client: without what the relay agent had added (RFC 3046 §2.1).
    pub message: Vec<u8>,
}

impl Answer {
    /// Reads the UDP payload of a message to a relay agent.
    pub fn parse(payload: &[u8]) -> Result<Self, DhcpError> {
        let fixed = fixed_part(payload).map_err(|error| match error {
            DhcpError::NotAClient => DhcpError::NotAServer,
            other => other,
        })?;
        if fixed[0] != BOOT_REPLY {
            return Err(DhcpError::NotAServer);
        }
        let mut verdict = None;
        let mut message = fixed.to_vec();
        for option in Options::of(payload) {
            match option? {
                Entry { code: OPTION_RELAY_INFORMATION, .. } => {}
                Entry { code: OPTION_MESSAGE_TYPE, data: &[value], whole } => {
                    verdict = verdict_of(value);
                    message.extend(whole);
                }
                Entry { whole, .. } => message.extend(whole),
            }
        }
        message.push(OPTION_END);
        message.resize(message.len().max(MINIMUM_LENGTH), 0);
        let verdict = verdict.ok_or(DhcpError::NotAServer)?;
        let (in_use, given) = (address_at(fixed, 12), address_at(fixed, OFFERED_ADDRESS_AT));
        let wants_broadcast = fixed[10] & 0x80 != 0;
        let unicast = if in_use.is_some() { in_use } else { given.filter(|_| !wants_broadcast) };
        Ok(Self {
            verdict,
            relay: relay_address(fixed),
            client_mac: client_mac(fixed),
            transaction: transaction(fixed),
            given,
            reachable_at: unicast.filter(|_| verdict != Verdict::Refusal),
            message,
        })
    }
}

fn verdict_of(value: u8) -> Option<Verdict> {
    match value {
        2 => Some(Verdict::Offer),
        5 => Some(Verdict::Acknowledgement),
        6 => Some(Verdict::Refusal),
        _ => None,
    }
}

fn relay_address(fixed: &[u8; OPTIONS_AT]) -> Ipv4Addr {
    address_at(fixed, RELAY_AT).unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The address at an offset of the fixed part; `None`: 0.0.0.0.
fn address_at(fixed: &[u8; OPTIONS_AT], at: usize) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::super::{COOKIE, ClientMessage, MessageType};
    use super::*;
    use proptest::prelude::*;

    const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);
    const HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
    const RELAY: Relay = Relay {
        address: Ipv4Addr::new(10, 2, 0, 11),
        subnet: Ipv4Addr::new(10, 1, 0, 1),
        server_identifier: Ipv4Addr::new(10, 1, 0, 5),
    };

    fn message(operation: u8, options: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; OPTIONS_AT];
        payload[..3].copy_from_slice(&[operation, 1, 6]);
        payload[4..8].copy_from_slice(&[1, 2, 3, 4]);
        payload[28..34].copy_from_slice(&CLIENT.0);
        payload[236..].copy_from_slice(&COOKIE);
        payload.extend(options);
        payload
    }

    const INIT_REBOOT: [u8; 12] = [53, 1, 3, 0, 0, 50, 4, 10, 1, 0, 9, 255];

    #[test]
    fn a_request_names_the_relay_agent_the_subnet_and_the_server() {
        let relayed = RELAY.request(&message(1, &INIT_REBOOT)).unwrap();
        assert_eq!((relayed[3], &relayed[24..28], relayed.len()), (1, &[10, 2, 0, 11][..], 300));
        assert_eq!(
            relayed[240..265],
            [53, 1, 3, 50, 4, 10, 1, 0, 9, 82, 12, 5, 4, 10, 1, 0, 1, 11, 4, 10, 1, 0, 5, 255, 0]
        );
        let read = ClientMessage::parse(&relayed).unwrap();
        assert_eq!(
            (read.message_type, read.claimed_address(), read.transaction),
            (MessageType::Request, Some(HOME), 0x0102_0304)
        );
    }

    #[test]
    fn what_was_relayed_or_pretends_it_is_refused() {
        let mut by_address = message(1, &INIT_REBOOT);
        by_address[27] = 1;
        let mut circling = message(1, &INIT_REBOOT);
        circling[3] = 16;
        let by_option = message(1, &[53, 1, 3, 82, 2, 1, 0, 255]);
        for payload in [by_address, circling, by_option] {
            assert_eq!(RELAY.request(&payload), Err(DhcpError::Relayed));
        }
        assert_eq!(RELAY.request(&message(2, &INIT_REBOOT)), Err(DhcpError::NotAClient));
        assert_eq!(RELAY.request(&message(1, &[53, 1])), Err(DhcpError::Truncated));
    }

    #[test]
    fn an_answer_loses_what_the_relay_agent_had_added() {
        let mut payload = message(2, &[53, 1, 5, 82, 6, 5, 4, 10, 1, 0, 1, 51, 4, 0, 0, 1, 0, 255]);
        payload[16..20].copy_from_slice(&HOME.octets());
        payload[24..28].copy_from_slice(&RELAY.address.octets());
        let answer = Answer::parse(&payload).unwrap();
        assert_eq!(answer.message[240..250], [53, 1, 5, 51, 4, 0, 0, 1, 0, 255]);
        assert_eq!(
            (answer.verdict, answer.relay, answer.client_mac),
            (Verdict::Acknowledgement, RELAY.address, CLIENT)
        );
        assert_eq!((answer.transaction, answer.reachable_at), (0x0102_0304, Some(HOME)));
    }

    #[test]
    fn a_client_is_reached_by_broadcast_if_it_wants_to_or_must_not_use_the_address() {
        let mut payload = message(2, &[53, 1, 5, 255]);
        payload[16..20].copy_from_slice(&HOME.octets());
        payload[10] = 0x80;
        assert_eq!(Answer::parse(&payload).unwrap().reachable_at, None);
        payload[12..16].copy_from_slice(&HOME.octets());
        assert_eq!(Answer::parse(&payload).unwrap().reachable_at, Some(HOME));
        payload[242] = 6;
        let refusal = Answer::parse(&payload).unwrap();
        assert_eq!((refusal.verdict, refusal.reachable_at), (Verdict::Refusal, None));
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        let good = message(2, &[53, 1, 5, 255]);
        for (at, value) in [(0, 1), (1, 6), (2, 8), (237, 0), (242, 3)] {
            let mut payload = good.clone();
            payload[at] = value;
            assert_eq!(Answer::parse(&payload), Err(DhcpError::NotAServer), "byte {at}");
        }
        assert_eq!(Answer::parse(&good[..239]), Err(DhcpError::Truncated));
        assert_eq!(Answer::parse(&message(2, &[53, 2, 5])), Err(DhcpError::Truncated));
    }

    proptest! {
        #[test]
        fn whatever_is_relayed_reads_as_before(options in prop::collection::vec(any::<u8>(), 0..80)) {
            let payload = message(1, &options);
            if let (Ok(before), Ok(relayed)) = (ClientMessage::parse(&payload), RELAY.request(&payload)) {
                prop_assert_eq!(ClientMessage::parse(&relayed), Ok(before));
            }
            let _ = Answer::parse(&message(2, &options));
        }
    }
}
