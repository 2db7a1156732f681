//! What a home agent's data path answers to keepalives of tunnels over UDP (RFC 3519 §4.9).

use mipd_agent::{
    mobility::link::{Path, Transmit},
    wire::echo::{self, Through},
};

/// An ICMP header without data, at the end of a keepalive.
const HEADER: usize = 8;
const ECHO_REQUEST: u8 = 8;

/// The answer to an echo request that came through the tunnel. `None` for anything else.
pub fn answer(request: &Transmit) -> Option<Transmit> {
    let next_header = *request.payload.get(1)?;
    let start = request.payload.len().checked_sub(HEADER)?;
    let [ECHO_REQUEST, _, _, _, _, _, high, low] = request.payload[start..] else { return None };
    let (before, last) = request.payload[..start].split_last_chunk::<4>()?;
    let first = before.last_chunk::<4>()?;
    // Minimal encapsulation names the destination first.
    let (source, destination) = if next_header == MINIMAL { (last, first) } else { (first, last) };
    let sequence = u16::from_be_bytes([high, low]);
    let through = Through { next_header, gre_key: None };
    let mut payload = echo::request(through, (*destination).into(), (*source).into(), sequence);
    let [sum, more] = (!sequence).to_be_bytes();
    let end = payload.len() - HEADER;
    payload[end..].copy_from_slice(&[0, 0, sum, more, 0, 0, high, low]);
    Some(Transmit {
        payload,
        source: request.destination,
        source_port: request.destination_port,
        destination: request.source,
        destination_port: request.source_port,
        ttl: request.ttl,
        path: Path::Routed,
    })
}

/// IP protocol number.
const MINIMAL: u8 = 55;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_echo_comes_back_in_every_encapsulation_and_an_answer_is_not_answered() {
        let (inside, agent) = (Ipv4Addr::new(10, 0, 48, 1), Ipv4Addr::new(10, 0, 0, 1));
        for next_header in [4, 47, MINIMAL] {
            let through = Through { next_header, gre_key: None };
            let request = Transmit {
                payload: echo::request(through, inside, agent, 0x1234),
                source: Ipv4Addr::new(172, 16, 0, 3),
                source_port: 23_434,
                destination: agent,
                destination_port: 434,
                ttl: 64,
                path: Path::Routed,
            };
            let answered = answer(&request).expect("an answer");
            assert_eq!(echo::reply(&answered.payload, through, agent, inside), Some(0x1234), "{next_header}");
            assert_eq!((answered.destination, answered.destination_port), (request.source, 23_434));
            assert_eq!(answer(&answered), None);
        }
    }
}
