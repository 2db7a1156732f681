//! What the roles want said: routed messages together, frames one by one.

use mipd_common::mac::MacAddress;

use super::{Context, Counters, Router};
use crate::{
    io::undeliverable::{self, Undeliverable},
    mobility::{
        discovery::advertiser,
        link::{InterfaceIndex, Path, Transmit},
        time::Now,
    },
    wire::{
        advertisement,
        arp::ArpPacket,
        frame::{self, IcmpPacket, Link},
        types::HomeAddress,
    },
};

impl Router {
    pub(super) fn apply_advertisements(&mut self, actions: Vec<advertiser::Action>) {
        for advertiser::Action::Send { interface, icmp, source, destination, destination_mac } in actions {
            let Some(port) = self.ports.get(&interface) else { continue };
            let Some(mac) = destination_mac.or_else(|| frame::group_mac(destination)) else { continue };
            let packet = IcmpPacket { source, destination, ttl: advertisement::TTL, message: &icmp };
            let bytes = frame::emit_icmp(Link { destination: mac, source: port.mac }, &packet);
            if let Err(error) = port.socket.send(&bytes) {
                tracing::debug!(interface = interface.0, %error, "cannot send an advertisement");
                self.counters.send_errors += 1;
            }
        }
    }

    pub(super) fn announce(&mut self, interface: InterfaceIndex, address: HomeAddress, mac: Option<MacAddress>) {
        let Some(port) = self.ports.get(&interface) else { return };
        let packet = ArpPacket::gratuitous_reply(mac.unwrap_or(port.mac), address.0);
        // The frame itself comes from us: with the client's MAC as source it would move the client in the switches.
        let bytes = packet.emit(Link { destination: MacAddress::BROADCAST, source: port.mac });
        if let Err(error) = port.socket.send(&bytes) {
            tracing::debug!(interface = interface.0, %error, "cannot send gratuitous ARP");
            self.counters.send_errors += 1;
        }
    }

    /// Sends what handling messages has left to be sent; to be called before the daemon sleeps.
    pub fn flush(&mut self, now: Now, context: &mut Context<'_>) {
        let counters = &mut self.counters;
        let mut unreachable = Vec::new();
        self.socket.send(&self.outgoing, |transmit, error| {
            report_failure(counters, transmit, &error);
            let (destination, port) = (transmit.destination, transmit.destination_port);
            let payload = transmit.payload.clone();
            unreachable.extend(undeliverable::unreachable_by(&error).map(|what| Undeliverable {
                destination,
                port,
                what,
                payload,
            }));
        });
        self.outgoing.clear();
        for returned in unreachable {
            self.handle_undeliverable(now, &returned, context);
        }
    }

    pub(super) fn send(&mut self, transmit: Transmit) {
        match transmit.path {
            Path::Routed => self.outgoing.push(transmit),
            Path::Frame { interface, destination, source } => {
                let Some(port) = self.ports.get(&interface) else { return };
                let link = Link { destination, source: source.unwrap_or(port.mac) };
                if let Err(error) = port.socket.send(&frame::emit_udp(link, &transmit.datagram())) {
                    report_failure(&mut self.counters, &transmit, &error);
                }
            }
        }
    }
}

fn report_failure(counters: &mut Counters, transmit: &Transmit, error: &std::io::Error) {
    tracing::debug!(destination = %transmit.destination, %error, "cannot send a registration message");
    counters.send_errors += 1;
}
