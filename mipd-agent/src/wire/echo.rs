//! An ICMP echo request through a UDP tunnel, and its answer: what keeps a NAT from forgetting the tunnel (RFC 3519 §4.9).

use std::net::Ipv4Addr;

use super::{
    checksum,
    encapsulation::{self, Form, GRE, MINIMAL},
    ip::{Ipv4, PROTOCOL_ICMP},
    udp_tunnel::TunnelData,
};

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const TTL: u8 = 64;

/// The tunnel that an echo goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Through {
    /// What is inside: 4, 47 or 55.
    pub next_header: u8,
    /// The key of the receiver, if GRE keys were agreed on.
    pub gre_key: Option<u32>,
}

impl Through {
    fn form(self) -> Form {
        match self.next_header {
            GRE => Form::Gre { key: self.gre_key, sequence: None },
            MINIMAL => Form::Minimal,
            _ => Form::IpInIp,
        }
    }
}

/// The UDP payload that asks the other end for an echo.
pub fn request(through: Through, source: Ipv4Addr, destination: Ipv4Addr, sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let icmp = with_checksum(vec![ECHO_REQUEST, 0, 0, 0, 0, 0, high, low]);
    tunnelled(through, source, destination, &icmp)
}

/// The UDP payload that answers `packet`, what was in a tunnel for its end. `None` if that asks for no echo.
pub fn answer(through: Through, packet: &[u8]) -> Option<Vec<u8>> {
    let ip = Ipv4::parse(packet).ok().filter(is_request)?;
    let mut icmp = ip.payload.to_vec();
    icmp[0] = ECHO_REPLY;
    icmp[2..4].fill(0);
    Some(tunnelled(through, ip.destination, ip.source, &with_checksum(icmp)))
}

/// Whether a packet asks for an echo.
pub fn asks(packet: &[u8]) -> bool {
    Ipv4::parse(packet).as_ref().is_ok_and(is_request)
}

fn is_request(ip: &Ipv4<'_>) -> bool {
    ip.protocol == PROTOCOL_ICMP
        && matches!(ip.payload, [ECHO_REQUEST, 0, _, _, _, _, _, _, ..])
        && checksum::internet(&[ip.payload]) == 0
}

/// The sequence number of an echo reply that came through the tunnel, from and to these addresses. `None` for anything else.
pub fn reply(payload: &[u8], through: Through, source: Ipv4Addr, destination: Ipv4Addr) -> Option<u16> {
    let (data, packet) = TunnelData::parse(payload)?;
    // Of the header of the datagram, only addresses and TTL would matter.
    let outer = encapsulation::outer_header(source, destination, TTL, 0);
    let unwrapped = encapsulation::unwrap(data.next_header, &outer, packet).ok()?;
    if unwrapped.form != through.form() {
        return None;
    }
    let ip = Ipv4::parse(&unwrapped.packet).ok()?;
    let expected = (ip.source, ip.destination, ip.protocol) == (source, destination, PROTOCOL_ICMP);
    match ip.payload {
        [ECHO_REPLY, 0, _, _, _, _, high, low, ..] if expected && checksum::internet(&[ip.payload]) == 0 => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

fn with_checksum(mut icmp: Vec<u8>) -> Vec<u8> {
    let sum = checksum::internet(&[&icmp]).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    icmp
}

fn tunnelled(through: Through, source: Ipv4Addr, destination: Ipv4Addr, icmp: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(20 + icmp.len());
    Ipv4 { source, destination, ttl: TTL, protocol: PROTOCOL_ICMP, payload: icmp }.emit(&mut packet);
    let (next_header, wrapped) = encapsulation::wrap(through.form(), &packet);
    let mut payload = Vec::with_capacity(TunnelData::LENGTH + wrapped.len());
    TunnelData { next_header }.append(&mut payload);
    payload.extend(wrapped);
    payload
}

#[cfg(test)]
mod tests {
    use super::{super::encapsulation::IP_IN_IP, *};
    use proptest::prelude::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const ALL: [Through; 4] = [
        Through { next_header: IP_IN_IP, gre_key: None },
        Through { next_header: GRE, gre_key: None },
        Through { next_header: GRE, gre_key: Some(0x0102_0304) },
        Through { next_header: MINIMAL, gre_key: None },
    ];

    /// What the other end takes out of the tunnel.
    fn arrived(payload: &[u8]) -> Vec<u8> {
        let (data, packet) = TunnelData::parse(payload).unwrap();
        let outer = encapsulation::outer_header(OWN, PEER, TTL, 0);
        encapsulation::unwrap(data.next_header, &outer, packet).unwrap().packet.into_owned()
    }

    #[test]
    fn an_answer_is_recognised_through_every_tunnel_and_no_other() {
        for through in ALL {
            let packet = arrived(&request(through, OWN, PEER, 7));
            assert!(asks(&packet));
            let answer = answer(through, &packet).unwrap();
            for other in ALL {
                assert_eq!(reply(&answer, other, PEER, OWN), (other == through).then_some(7), "{through:?} {other:?}");
            }
            assert_eq!(reply(&answer, through, OWN, PEER), None, "the wrong way round");
            assert!(!asks(&arrived(&answer)), "an answer is not answered");
            assert_eq!(super::answer(through, &arrived(&answer)), None);
        }
    }

    #[test]
    fn data_of_the_request_comes_back_and_a_damaged_one_is_not_answered() {
        let icmp = with_checksum([&[ECHO_REQUEST, 0, 0, 0, 1, 2, 0, 9][..], b"some data"].concat());
        let packet = arrived(&tunnelled(ALL[0], OWN, PEER, &icmp));
        let back = arrived(&answer(ALL[0], &packet).unwrap());
        let ip = Ipv4::parse(&back).unwrap();
        assert_eq!((ip.source, ip.destination), (PEER, OWN));
        assert_eq!(ip.payload[4..], icmp[4..]);
        assert_eq!((ip.payload[0], checksum::internet(&[ip.payload])), (ECHO_REPLY, 0));
        let mut damaged = packet.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(answer(ALL[0], &damaged), None);
    }

    #[test]
    fn a_request_is_no_answer() {
        for through in ALL {
            assert_eq!(reply(&request(through, PEER, OWN, 7), through, PEER, OWN), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for through in ALL {
                let payload = [vec![4, through.next_header, 0, 0], bytes.clone()].concat();
                prop_assert_eq!(reply(&payload, through, PEER, OWN), None);
                prop_assert_eq!(answer(through, &bytes), None);
            }
        }
    }
}
