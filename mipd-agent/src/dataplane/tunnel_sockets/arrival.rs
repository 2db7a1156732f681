//! A tunnel packet with all that tells its tunnel: outer addresses, UDP ports, form.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Refusal, sequence::Flow};
use crate::{
    dataplane::mode::{Encapsulation, GreKeys, TunnelMode, UdpEnds},
    wire::encapsulation::{self, Form, Unwrapped, header_length, whole_length},
};

/// Tunnelled data that came in a UDP datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpArrival<'a> {
    /// Who sent it, as seen from here.
    pub source: SocketAddrV4,
    /// Which of our addresses and ports it came to.
    pub destination: SocketAddrV4,
    /// TTL of the datagram.
    pub ttl: u8,
    /// The protocol of the tunnelled data.
    pub protocol: u8,
    /// The tunnelled data.
    pub payload: &'a [u8],
    /// For the packet inside, where its encapsulation leaves that to the outer header: different from packet to packet.
    pub identification: u16,
}

/// A tunnel packet, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival<'a> {
    /// Outer source.
    pub entry: Ipv4Addr,
    /// Outer destination.
    pub exit: Ipv4Addr,
    /// Our port and the sender's, if it came over UDP.
    pub udp: Option<UdpEnds>,
    /// What was inside.
    pub inner: Unwrapped<'a>,
}

impl<'a> Arrival<'a> {
    /// Takes an IPv4 packet apart, as a raw socket gives it.
    pub fn raw(packet: &'a [u8]) -> Result<Self, Refusal> {
        let length = whole_length(packet).ok_or(Refusal::Malformed)?;
        let (outer, payload) = packet[..length].split_at(header_length(packet).ok_or(Refusal::Malformed)?);
        let address = |at: usize| Ipv4Addr::new(outer[at], outer[at + 1], outer[at + 2], outer[at + 3]);
        let inner = encapsulation::unwrap(outer[9], outer, payload)?;
        Self { entry: address(12), exit: address(16), udp: None, inner }.unless_it_goes_round()
    }

    /// Takes tunnelled data apart.
    pub fn udp(arrival: &UdpArrival<'a>) -> Result<Self, Refusal> {
        let UdpArrival { source, destination, ttl, protocol, payload, identification } = *arrival;
        let outer = encapsulation::outer_header(*source.ip(), *destination.ip(), ttl, identification);
        let inner = encapsulation::unwrap(protocol, &outer, payload)?;
        let udp = Some(UdpEnds { port: destination.port(), peer: source });
        Self { entry: *source.ip(), exit: *destination.ip(), udp, inner }.unless_it_goes_round()
    }

    fn unless_it_goes_round(self) -> Result<Self, Refusal> {
        let goes_round = matches!(self.inner.form, Form::Gre { .. }) && self.inner.destination() == self.entry;
        if goes_round { Err(Refusal::Loop) } else { Ok(self) }
    }

    /// Whether it is wrapped as agreed: in the same form, with the key that we expect, or none, and over UDP between the same
    /// ports, or not. Where minimal encapsulation was agreed on, what that cannot carry comes IP in IP.
    pub fn is_in(&self, mode: &TunnelMode) -> bool {
        let form = match (mode.encapsulation, self.inner.form) {
            (Encapsulation::IpInIp | Encapsulation::Minimal, Form::IpInIp)
            | (Encapsulation::Minimal, Form::Minimal) => true,
            (Encapsulation::Gre(keys), Form::Gre { key, .. }) => keys.map(|keys| keys.receive) == key,
            _ => false,
        };
        form && self.udp == mode.udp
    }

    /// What can be told of its tunnel.
    pub fn mode(&self) -> TunnelMode {
        let encapsulation = match self.inner.form {
            Form::IpInIp => Encapsulation::IpInIp,
            Form::Gre { key, .. } => Encapsulation::Gre(key.map(|receive| GreKeys { send: 0, receive })),
            Form::Minimal => Encapsulation::Minimal,
        };
        TunnelMode { encapsulation, udp: self.udp }
    }

    /// Its sequence number, if it has one, and what it counts in.
    pub fn sequence(&self) -> Option<(Flow, u32)> {
        let Form::Gre { key, sequence } = self.inner.form else { return None };
        let flow = Flow { entry: self.entry, exit: self.exit, key, udp: self.udp.map(|udp| udp.peer) };
        sequence.map(|number| (flow, number))
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    const ENTRY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const EXIT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

    fn inner(destination: Ipv4Addr) -> Vec<u8> {
        let mut inner = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 9], destination.octets(), 64).udp(1, 2).write(&mut inner, &[7; 100]).unwrap();
        inner
    }

    fn tunnelled(form: Form, destination: Ipv4Addr) -> Vec<u8> {
        let (protocol, payload) = encapsulation::wrap(form, &inner(destination));
        let mut outer = Vec::new();
        let builder = PacketBuilder::ipv4(ENTRY.octets(), EXIT.octets(), 64);
        builder.write(&mut outer, protocol.into(), &payload).unwrap();
        outer
    }

    fn over_udp(payload: &[u8], port: u16) -> UdpArrival<'_> {
        let (source, destination) = (SocketAddrV4::new(ENTRY, port), SocketAddrV4::new(EXIT, 434));
        UdpArrival { source, destination, ttl: 64, protocol: 4, payload, identification: 1 }
    }

    fn gre(key: Option<u32>) -> Form {
        Form::Gre { key, sequence: None }
    }

    fn keyed(receive: u32) -> Encapsulation {
        Encapsulation::Gre(Some(GreKeys { send: 1, receive }))
    }

    #[test]
    fn a_packet_is_in_the_tunnel_whose_form_and_key_it_has_and_in_no_other() {
        let modes = [Encapsulation::IpInIp, Encapsulation::Gre(None), keyed(0), keyed(7), Encapsulation::Minimal];
        let cases = [
            (Form::IpInIp, vec![Encapsulation::IpInIp, Encapsulation::Minimal]),
            (gre(None), vec![Encapsulation::Gre(None)]),
            (gre(Some(0)), vec![keyed(0)]),
            (gre(Some(7)), vec![keyed(7)]),
            (gre(Some(1)), vec![]),
            (Form::Minimal, vec![Encapsulation::Minimal]),
        ];
        for (form, right) in cases {
            let packet = tunnelled(form, Ipv4Addr::new(10, 1, 0, 5));
            let arrival = Arrival::raw(&packet).unwrap();
            assert_eq!((arrival.entry, arrival.exit, arrival.udp), (ENTRY, EXIT, None));
            for encapsulation in modes {
                let mode = TunnelMode { encapsulation, udp: None };
                assert_eq!(arrival.is_in(&mode), right.contains(&encapsulation), "{form:?} {mode:?}");
                let udp = Some(UdpEnds { port: 434, peer: SocketAddrV4::new(ENTRY, 434) });
                assert!(!arrival.is_in(&TunnelMode { encapsulation, udp }), "not over UDP");
            }
        }
    }

    #[test]
    fn over_udp_address_and_both_ports_must_be_those_agreed_on() {
        let packet = inner(Ipv4Addr::new(10, 1, 0, 5));
        let mode = |port, peer: Ipv4Addr, peer_port| TunnelMode {
            encapsulation: Encapsulation::IpInIp,
            udp: Some(UdpEnds { port, peer: SocketAddrV4::new(peer, peer_port) }),
        };
        let datagram = over_udp(&packet, 40_000);
        let arrival = Arrival::udp(&datagram).unwrap();
        assert!(arrival.is_in(&mode(434, ENTRY, 40_000)));
        assert!(!arrival.is_in(&mode(434, ENTRY, 40_001)));
        assert!(!arrival.is_in(&mode(435, ENTRY, 40_000)));
        assert!(!arrival.is_in(&mode(434, EXIT, 40_000)));
        assert!(!arrival.is_in(&TunnelMode::default()));
    }

    #[test]
    fn gre_for_the_router_that_has_wrapped_it_goes_round() {
        for form in [gre(None), gre(Some(7))] {
            assert_eq!(Arrival::raw(&tunnelled(form, ENTRY)), Err(Refusal::Loop));
        }
        assert!(Arrival::raw(&tunnelled(Form::IpInIp, ENTRY)).is_ok());
    }

    #[test]
    fn link_layer_padding_is_no_part_of_the_packet() {
        let mut packet = tunnelled(Form::Minimal, Ipv4Addr::new(10, 1, 0, 5));
        let expected = Arrival::raw(&packet).unwrap().inner.packet.into_owned();
        packet.extend([0; 6]);
        assert_eq!(Arrival::raw(&packet).unwrap().inner.packet, expected);
    }

    proptest! {
        #[test]
        fn arbitrary_packets_do_not_panic(mut packet in prop::collection::vec(any::<u8>(), 0..100), likely: bool) {
            if likely && packet.len() > 20 {
                packet[0] = 0x45;
                let length = packet.len() as u16;
                packet[2..4].copy_from_slice(&length.to_be_bytes());
                packet[9] = [4, 47, 55][usize::from(packet[9]) % 3];
            }
            if let Ok(arrival) = Arrival::raw(&packet) {
                prop_assert!(arrival.inner.packet.len() <= packet.len());
            }
        }
    }
}
