//! An ICMP echo request through a UDP tunnel, and its answer: what keeps a NAT from forgetting the tunnel (RFC 3519 §4.9).

use std::net::Ipv4Addr;

use super::{
    checksum,
    ip::{Ipv4, PROTOCOL_ICMP},
    udp_tunnel::TunnelData,
};

/// IP protocol numbers of what may be inside the tunnel (RFC 3519 §3.3).
const IP_IN_IP: u8 = 4;
const GRE: u8 = 47;
const MINIMAL: u8 = 55;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const TTL: u8 = 64;

/// GRE: the key is present (RFC 2890 §2).
const GRE_KEY: u16 = 0x2000;
const GRE_IPV4: [u8; 2] = [0x08, 0x00];

/// Minimal encapsulation: the original source is present (RFC 2004 §3.1).
const ORIGINAL_SOURCE: u8 = 0x80;

/// The tunnel that an echo goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Through {
    /// What is inside: 4, 47 or 55.
    pub next_header: u8,
    /// The key of the receiver, if GRE keys were agreed on.
    pub gre_key: Option<u32>,
}

/// The UDP payload that asks the other end for an echo.
pub fn request(through: Through, source: Ipv4Addr, destination: Ipv4Addr, sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut icmp = [ECHO_REQUEST, 0, 0, 0, 0, 0, high, low];
    let sum = checksum::internet(&[&icmp]).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    let mut payload = Vec::with_capacity(64);
    TunnelData { next_header: through.next_header }.append(&mut payload);
    match through.next_header {
        MINIMAL => {
            let mut header = [0; 12];
            header[..2].copy_from_slice(&[PROTOCOL_ICMP, ORIGINAL_SOURCE]);
            header[4..8].copy_from_slice(&destination.octets());
            header[8..].copy_from_slice(&source.octets());
            let sum = checksum::internet(&[&header]).to_be_bytes();
            header[2..4].copy_from_slice(&sum);
            payload.extend(header);
            payload.extend(icmp);
            return payload;
        }
        GRE => {
            payload.extend(if through.gre_key.is_some() { GRE_KEY } else { 0 }.to_be_bytes());
            payload.extend(GRE_IPV4);
            payload.extend(through.gre_key.iter().flat_map(|key| key.to_be_bytes()));
        }
        _ => {}
    }
    Ipv4 { source, destination, ttl: TTL, protocol: PROTOCOL_ICMP, payload: &icmp }.emit(&mut payload);
    payload
}

/// The sequence number of an echo reply that came through the tunnel, from and to these addresses. `None` for anything else.
pub fn reply(payload: &[u8], through: Through, source: Ipv4Addr, destination: Ipv4Addr) -> Option<u16> {
    let (data, packet) = TunnelData::parse(payload)?;
    if data.next_header != through.next_header {
        return None;
    }
    let icmp = match data.next_header {
        IP_IN_IP => inner(packet, source, destination)?,
        GRE => inner(without_gre(packet, through.gre_key)?, source, destination)?,
        MINIMAL => {
            let (header, icmp) = packet.split_first_chunk::<12>()?;
            let addresses = [destination.octets(), source.octets()].concat();
            let expected = header[..2] == [PROTOCOL_ICMP, ORIGINAL_SOURCE] && header[4..] == addresses[..];
            if !expected || checksum::internet(&[header]) != 0 {
                return None;
            }
            icmp
        }
        _ => return None,
    };
    match icmp {
        [ECHO_REPLY, 0, _, _, _, _, high, low, ..] if checksum::internet(&[icmp]) == 0 => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

fn inner(packet: &[u8], source: Ipv4Addr, destination: Ipv4Addr) -> Option<&[u8]> {
    let ip = Ipv4::parse(packet).ok()?;
    let expected = (ip.source, ip.destination, ip.protocol) == (source, destination, PROTOCOL_ICMP);
    expected.then_some(ip.payload)
}

fn without_gre(packet: &[u8], key: Option<u32>) -> Option<&[u8]> {
    let (&[high, low, a, b], rest) = packet.split_first_chunk::<4>()?;
    if [a, b] != GRE_IPV4 || u16::from_be_bytes([high, low]) != if key.is_some() { GRE_KEY } else { 0 } {
        return None;
    }
    match key {
        Some(key) => rest.strip_prefix(&key.to_be_bytes()),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const ALL: [Through; 4] = [
        Through { next_header: IP_IN_IP, gre_key: None },
        Through { next_header: GRE, gre_key: None },
        Through { next_header: GRE, gre_key: Some(0x0102_0304) },
        Through { next_header: MINIMAL, gre_key: None },
    ];

    /// What a peer makes of the request: addresses exchanged, a reply instead of a request.
    fn answered(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        let icmp = answer.len() - 8;
        let (first, second) = (icmp - 8, icmp - 4);
        let (a, b) = (answer[first..second].to_vec(), answer[second..icmp].to_vec());
        answer[first..second].copy_from_slice(&b);
        answer[second..icmp].copy_from_slice(&a);
        answer[icmp] = ECHO_REPLY;
        answer[icmp + 2..icmp + 4].copy_from_slice(&[0, 0]);
        let sum = checksum::internet(&[&answer[icmp..]]).to_be_bytes();
        answer[icmp + 2..icmp + 4].copy_from_slice(&sum);
        answer
    }

    #[test]
    fn an_answer_is_recognised_through_every_tunnel_and_no_other() {
        for through in ALL {
            let answer = answered(&request(through, OWN, PEER, 7));
            for other in ALL {
                assert_eq!(reply(&answer, other, PEER, OWN), (other == through).then_some(7), "{through:?} {other:?}");
            }
            assert_eq!(reply(&answer, through, OWN, PEER), None, "the wrong way round");
        }
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
            }
        }
    }
}
