//! What comes out of tunnels over UDP, and no kernel program takes: keepalives, and clients' packets in fragments.

use std::net::SocketAddrV4;

use super::{Context, Router};
use crate::{
    dataplane::{FromUdp, Refusal, TunnelMode, UdpArrival},
    mobility::{
        home_agent::Keepalive,
        link::{Path, Received, TTL, Transmit},
        time::Now,
    },
    wire::{
        echo::{self, Through},
        encapsulation,
        types::{HomeAddress, HomeAgentAddress},
        udp_tunnel::TunnelData,
    },
};

impl Router {
    pub(super) fn handle_tunnel_data(&mut self, now: Now, received: &Received<'_>, context: &mut Context<'_>) {
        if let Some(foreign_agent) = &mut self.foreign_agent
            && foreign_agent.awaits_echo(received)
        {
            foreign_agent.handle_tunnel_data(now, received);
            return;
        }
        let Some((TunnelData { next_header }, payload)) = TunnelData::parse(received.payload) else {
            context.dataplane.refuse(Refusal::Malformed);
            return;
        };
        let arrival = UdpArrival {
            source: SocketAddrV4::new(received.source, received.source_port),
            destination: SocketAddrV4::new(received.destination, received.destination_port),
            ttl: received.ttl,
            protocol: next_header,
            payload,
            identification: rand::random(),
        };
        let mut taken = context.dataplane.take_from_udp(&arrival);
        // It may be what opens its tunnel.
        if taken == Err(Refusal::Stranger) && self.handle_keepalive(now, &arrival, context) {
            taken = context.dataplane.take_from_udp(&arrival);
        }
        match taken {
            Ok(FromUdp::Client) => {}
            Ok(FromUdp::Ourselves { mode, packet }) => self.answer_keepalive(&arrival, &mode, &packet),
            Err(refusal) => context.dataplane.refuse(refusal),
        }
    }

    /// The first keepalive of a client whose tunnel waits for it (RFC 3519 §4.6.1, R). Says whether it opened the tunnel.
    fn handle_keepalive(&mut self, now: Now, arrival: &UdpArrival<'_>, context: &mut Context<'_>) -> bool {
        let Some(home_agent) = &mut self.home_agent else { return false };
        let outer = encapsulation::outer_header(*arrival.source.ip(), *arrival.destination.ip(), arrival.ttl, 0);
        let Ok(inner) = encapsulation::unwrap(arrival.protocol, &outer, arrival.payload) else { return false };
        if inner.destination() != *arrival.destination.ip() || !echo::asks(&inner.packet) {
            return false;
        }
        let keepalive = Keepalive {
            source: arrival.source,
            home_agent: HomeAgentAddress(inner.destination()),
            home_address: HomeAddress(inner.source()),
        };
        let mut actions = Vec::new();
        home_agent.handle_keepalive(keepalive, &mut actions);
        let opened = !actions.is_empty();
        self.apply_home(now, actions, context);
        opened
    }

    /// Sends the echo back by the way that it came (RFC 3519 §4.9).
    fn answer_keepalive(&mut self, arrival: &UdpArrival<'_>, mode: &TunnelMode, packet: &[u8]) {
        let encapsulation = mode.encapsulation;
        let through =
            Through { next_header: encapsulation.protocol(), gre_key: encapsulation.keys().map(|keys| keys.send) };
        let Some(payload) = echo::answer(through, packet) else {
            self.counters.unexpected += 1;
            return;
        };
        self.counters.keepalives_answered += 1;
        self.send(Transmit {
            payload,
            source: *arrival.destination.ip(),
            source_port: arrival.destination.port(),
            destination: *arrival.source.ip(),
            destination_port: arrival.source.port(),
            ttl: TTL,
            path: Path::Routed,
        });
    }
}
