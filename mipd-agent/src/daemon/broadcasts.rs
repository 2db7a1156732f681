//! Broadcasts of the home network follow the clients that asked for them (RFC 5944 §4.3).
//!
//! They are few, so the agent itself carries them: it wraps each one for the client's home address, and the kernel's route
//! leads it into the client's tunnel like any other packet. A client that is the end of the tunnel itself gets them as they
//! are.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::{
    io::{encapsulated::EncapsulatingSocket, frames::Frame},
    mobility::{
        home_agent::{Broadcasts, Exit},
        link::InterfaceIndex,
        pace::Pace,
        time::Instant,
    },
    wire::{frame, ip, types::HomeAddress},
};

/// Copies per second on average, and at once: a storm at home shall not drown the tunnels.
const RATE: u32 = 1_000;

/// Forwards broadcasts.
#[derive(Debug)]
pub struct BroadcastForwarder {
    socket: EncapsulatingSocket,
    subnets: Vec<(Ipv4Net, InterfaceIndex)>,
    clients: BTreeMap<HomeAddress, Vec<(Ipv4Addr, Ipv4Addr)>>,
    pace: Pace,
    /// What it counts.
    pub counters: Counters,
}

/// What became of broadcasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Copies sent into tunnels.
    pub forwarded: u64,
    /// Copies not sent because there were too many.
    pub limited: u64,
    /// Copies that could not be sent.
    pub failed: u64,
}

impl BroadcastForwarder {
    /// For clients of these subnets, each with the interface that it is attached to.
    pub fn new(socket: EncapsulatingSocket, subnets: Vec<(Ipv4Net, InterfaceIndex)>) -> Self {
        Self { socket, subnets, clients: BTreeMap::new(), pace: Pace::per_second(RATE), counters: Counters::default() }
    }

    /// A client's tunnels are these from now on; none: it is at home.
    pub fn set_exits(&mut self, home_address: HomeAddress, exits: &[Exit]) {
        let mut ways: Vec<_> = exits
            .iter()
            .filter_map(|exit| match exit.broadcasts? {
                Broadcasts::Nested => Some((exit.home_agent.0, home_address.0)),
                Broadcasts::Plain => Some((exit.home_agent.0, exit.care_of_address.0)),
            })
            .collect();
        // Whatever is sent to the home address goes into each of the client's tunnels.
        ways.dedup();
        if ways.is_empty() {
            self.clients.remove(&home_address);
        } else {
            self.clients.insert(home_address, ways);
        }
    }

    /// A broadcast frame of a home link.
    pub fn forward(&mut self, now: Instant, frame: &Frame) {
        let Some(packet) = packet(&frame.bytes) else { return };
        for (prefix, _) in self.subnets.iter().filter(|(_, interface)| *interface == frame.interface) {
            let (first, last) = (HomeAddress(prefix.network()), HomeAddress(prefix.broadcast()));
            for (source, destination) in self.clients.range(first..=last).flat_map(|(_, ways)| ways) {
                if !self.pace.admit(now) {
                    self.counters.limited += 1;
                } else if self.socket.send(*source, *destination, packet).is_ok() {
                    self.counters.forwarded += 1;
                } else {
                    self.counters.failed += 1;
                }
            }
        }
    }
}

/// The IPv4 packet of a frame, without what pads it.
fn packet(bytes: &[u8]) -> Option<&[u8]> {
    let (_, kind, payload) = frame::Link::parse(bytes).ok()?;
    if kind != frame::ETHERTYPE_IPV4 || ip::Ipv4::parse(payload).is_err() {
        return None;
    }
    let length = u16::from_be_bytes([payload[2], payload[3]]);
    payload.get(..usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::packet;

    #[test]
    fn padding_is_no_part_of_the_packet_and_nonsense_is_none() {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 8, 0]);
        etherparse::PacketBuilder::ipv4([10, 1, 0, 9], [255; 4], 64).udp(1, 2).write(&mut frame, b"ab").unwrap();
        let length = frame.len();
        frame.resize(60, 0);
        assert_eq!(packet(&frame).unwrap(), &frame[14..length]);
        assert_eq!(packet(&frame[..20]), None);
        frame[16] = 0xff;
        assert_eq!(packet(&frame), None, "a total length beyond the frame");
    }
}
