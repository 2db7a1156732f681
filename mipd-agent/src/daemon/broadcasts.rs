//! Broadcasts of the home network follow the clients that asked for them (RFC 5944 §4.3).
//!
//! They are few, so the agent itself carries them: it wraps each one for the client's home address, and the kernel's route
//! leads it into the client's tunnel like any other packet, whatever its encapsulation. A client that is the end of the tunnel
//! itself gets them as they are, in the encapsulation that it asked for.

use std::{collections::BTreeMap, net::SocketAddrV4, sync::Arc};

use ipnet::Ipv4Net;

use crate::{
    io::{encapsulated::EncapsulatingSocket, frames::Frame, udp::RegistrationSocket},
    mobility::{
        home_agent::{Broadcasts, Exit},
        link::{InterfaceIndex, Path, REGISTRATION_PORT, TTL, Transmit},
        pace::Pace,
        time::Instant,
        tunnel::Encapsulation,
    },
    wire::{
        encapsulation::{self, Form, IP_IN_IP},
        frame, ip,
        types::HomeAddress,
        udp_tunnel::TunnelData,
    },
};

/// Copies per second on average, and at once: a storm at home shall not drown the tunnels.
const RATE: u32 = 1_000;

/// Forwards broadcasts.
#[derive(Debug)]
pub struct BroadcastForwarder {
    socket: EncapsulatingSocket,
    udp: Arc<RegistrationSocket>,
    subnets: Vec<(Ipv4Net, InterfaceIndex)>,
    clients: BTreeMap<HomeAddress, Vec<Way>>,
    pace: Pace,
    /// What it counts.
    pub counters: Counters,
}

/// How broadcasts reach a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Wrapped for the home address: the kernel's route leads into each of the client's tunnels.
    Nested(Ends),
    /// Straight into a tunnel that ends at the client.
    Tunnel(Ends, Form),
    /// The same over UDP.
    Udp(Ends, SocketAddrV4, Form),
}

/// Outer source and destination.
type Ends = (std::net::Ipv4Addr, std::net::Ipv4Addr);

impl Way {
    fn of(home_address: HomeAddress, exit: &Exit) -> Option<Self> {
        let form = match exit.tunnel.encapsulation {
            Encapsulation::IpInIp => Form::IpInIp,
            Encapsulation::Gre => Form::Gre { key: exit.tunnel.gre_keys.map(|keys| keys.send), sequence: None },
            Encapsulation::Minimal => Form::Minimal,
        };
        let ends = (exit.home_agent.0, exit.remote());
        Some(match (exit.broadcasts?, exit.tunnel.udp) {
            (Broadcasts::Nested, _) => Self::Nested((exit.home_agent.0, home_address.0)),
            (Broadcasts::Plain, None) => Self::Tunnel(ends, form),
            (Broadcasts::Plain, Some(udp)) => Self::Udp(ends, udp.peer, form),
        })
    }
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
    pub fn new(
        socket: EncapsulatingSocket,
        udp: Arc<RegistrationSocket>,
        subnets: Vec<(Ipv4Net, InterfaceIndex)>,
    ) -> Self {
        Self {
            socket,
            udp,
            subnets,
            clients: BTreeMap::new(),
            pace: Pace::per_second(RATE),
            counters: Counters::default(),
        }
    }

    /// A client's tunnels are these from now on; none: it is at home.
    pub fn set_exits(&mut self, home_address: HomeAddress, exits: &[Exit]) {
        let mut ways: Vec<_> = exits.iter().filter_map(|exit| Way::of(home_address, exit)).collect();
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
            for way in self.clients.range(first..=last).flat_map(|(_, ways)| ways) {
                if !self.pace.admit(now) {
                    self.counters.limited += 1;
                } else if send(&mut self.socket, &self.udp, *way, packet) {
                    self.counters.forwarded += 1;
                } else {
                    self.counters.failed += 1;
                }
            }
        }
    }
}

/// Whether it could be sent.
fn send(socket: &mut EncapsulatingSocket, udp: &RegistrationSocket, way: Way, packet: &[u8]) -> bool {
    match way {
        Way::Nested(ends) => socket.send(ends, IP_IN_IP, packet).is_ok(),
        Way::Tunnel(ends, form) => {
            let (protocol, payload) = encapsulation::wrap(form, packet);
            socket.send(ends, protocol, &payload).is_ok()
        }
        Way::Udp((source, _), peer, form) => {
            let (next_header, wrapped) = encapsulation::wrap(form, packet);
            let mut payload = Vec::with_capacity(TunnelData::LENGTH + wrapped.len());
            TunnelData { next_header }.append(&mut payload);
            payload.extend(wrapped);
            let transmit = Transmit {
                payload,
                source,
                source_port: REGISTRATION_PORT,
                destination: *peer.ip(),
                destination_port: peer.port(),
                ttl: TTL,
                path: Path::Routed,
            };
            let mut sent = true;
            udp.send(&[transmit], |_, _| sent = false);
            sent
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
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::{Form, Way, packet};
    use crate::{
        mobility::{
            home_agent::{Broadcasts, Exit},
            tunnel::{Encapsulation, GreKeys, TunnelMode, UdpTunnel},
        },
        wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress},
    };

    #[test]
    fn a_client_behind_a_foreign_agent_gets_them_wrapped_and_one_that_is_its_own_gets_them_as_agreed() {
        let [home, agent, care_of, outside] = [5, 1, 9, 77].map(|last| Ipv4Addr::new(10, 1, 0, last));
        let peer = SocketAddrV4::new(outside, 40_000);
        let exit = |encapsulation, over_udp: bool, broadcasts| Exit {
            home_agent: HomeAgentAddress(agent),
            care_of_address: CareOfAddress(care_of),
            tunnel: TunnelMode {
                encapsulation,
                gre_keys: (encapsulation == Encapsulation::Gre).then_some(GreKeys { send: 7, receive: 8 }),
                udp: over_udp.then_some(UdpTunnel { peer, keepalive: UdpTunnel::KEEPALIVE }),
                reverse: None,
            },
            broadcasts,
        };
        let keyed = Form::Gre { key: Some(7), sequence: None };
        let (nested, plain) = (Some(Broadcasts::Nested), Some(Broadcasts::Plain));
        let wrapped = Some(Way::Nested((agent, home)));
        for (encapsulation, over_udp, broadcasts, expected) in [
            (Encapsulation::IpInIp, false, None, None),
            (Encapsulation::Gre, false, nested, wrapped),
            (Encapsulation::Minimal, true, nested, wrapped),
            (Encapsulation::IpInIp, false, plain, Some(Way::Tunnel((agent, care_of), Form::IpInIp))),
            (Encapsulation::Minimal, false, plain, Some(Way::Tunnel((agent, care_of), Form::Minimal))),
            (Encapsulation::Gre, false, plain, Some(Way::Tunnel((agent, care_of), keyed))),
            (Encapsulation::Gre, true, plain, Some(Way::Udp((agent, outside), peer, keyed))),
        ] {
            let way = Way::of(HomeAddress(home), &exit(encapsulation, over_udp, broadcasts));
            assert_eq!(way, expected, "{encapsulation} {over_udp}");
        }
    }

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
