//! What the access point does: what the proxy wants done, and what goes out on the wire and by radio.

use mipd_common::mac::MacAddress;

use super::{AccessPoint, Context};
use crate::{
    dataplane::StationEntry,
    mobility::{
        link::{InterfaceIndex, Path, Transmit},
        proxy::{Action, StationState},
        time::Now,
    },
    state::Table,
    wire::{
        arp::ArpPacket,
        frame::{self, Link},
    },
};

impl AccessPoint {
    pub(super) fn send_on_uplink(&mut self, bytes: &[u8]) {
        if let Err(error) = self.uplink.socket.send(bytes) {
            tracing::debug!(%error, "cannot send on the uplink");
            self.counters.send_errors += 1;
        }
    }

    pub(in crate::daemon) fn send_on_radio(&mut self, interface: InterfaceIndex, bytes: &[u8]) {
        let Some(radio) = self.radios.get(&interface) else { return };
        if let Err(error) = radio.socket.send(bytes) {
            tracing::debug!(interface = interface.0, %error, "cannot send on the radio");
            self.counters.send_errors += 1;
        }
    }

    fn send(&mut self, transmit: &Transmit) {
        match transmit.path {
            Path::Frame { destination, source, .. } => {
                let link = Link { destination, source: source.unwrap_or(self.uplink.mac) };
                self.send_on_uplink(&frame::emit_udp(link, &transmit.datagram()));
            }
            Path::Routed => {
                // A proxy speaks as its client, whose address is not ours: there is no route to send by.
                tracing::error!(destination = %transmit.destination, "a proxy's message without a link-layer path");
                self.counters.send_errors += 1;
            }
        }
    }

    /// Does what the proxy wants done.
    pub fn apply(&mut self, now: Now, actions: Vec<Action>, context: &mut Context<'_>) {
        for action in actions {
            match action {
                Action::Send(transmit) => self.send(&transmit),
                Action::SetStation { mac, station, interface } => {
                    self.stations.serve(mac);
                    self.set_station(mac, station, interface, context);
                }
                Action::RemoveStation { mac } => {
                    self.stations.release(now.instant, mac);
                    tracing::info!(client = %mac, "station forgotten");
                    if let Err(error) = context.dataplane.remove_station(mac) {
                        tracing::error!(client = %mac, %error, "cannot remove the station from the data path");
                    }
                }
                Action::ReleaseHeld { mac } => {
                    let held = self.hold.release(mac);
                    self.proxy.held_released(now, mac, held.len());
                    for bytes in held {
                        self.give_back(&bytes, context);
                    }
                }
                Action::AssociationsNeeded { home_address } => self.wanted_associations.push(home_address),
                Action::DropHeld { mac } => {
                    let dropped = self.hold.discard(mac);
                    self.proxy.held_dropped(now, mac, dropped);
                }
                Action::ProbeAttachment { mac, interface, address, sender_address } => {
                    let request = ArpPacket::request(MacAddress::VIRTUAL_GATEWAY, sender_address, address.0);
                    let link = Link { destination: mac, source: MacAddress::VIRTUAL_GATEWAY };
                    self.send_on_radio(interface, &request.emit(link));
                }
                Action::AnnounceOnUplink { mac, address } => {
                    let packet = ArpPacket::gratuitous_reply(mac, address.0);
                    self.send_on_uplink(&packet.emit(Link { destination: MacAddress::BROADCAST, source: mac }));
                }
                Action::TellClientGateway { mac, interface, client_address, gateway_address, gateway_mac } => {
                    let request = ArpPacket::request(gateway_mac, gateway_address.0, client_address.0);
                    self.send_on_radio(interface, &request.emit(Link { destination: mac, source: gateway_mac }));
                }
                Action::AddressInUse { mac, holder, address } => {
                    tracing::warn!(client = %mac, %holder, address = %address.0, "not served: another client has its address");
                }
                Action::UpdateSwitches { mac } => self.send_on_uplink(&frame::layer_2_update(mac)),
                Action::Solicit => self.listener.solicit(now.instant),
                Action::ForgetSeen { mac } => forget_seen(mac, context),
                Action::ClientChanged { mac } => {
                    context.state.record(now, Table::Clients, &mac.0, |now| self.record(now, mac));
                }
            }
        }
    }

    fn set_station(
        &mut self,
        mac: MacAddress,
        station: StationState,
        interface: InterfaceIndex,
        context: &mut Context<'_>,
    ) {
        let radio = interface.0;
        let entry = match station {
            StationState::Local => StationEntry::Local { radio, awaited: false },
            StationState::Awaited => StationEntry::Local { radio, awaited: true },
            StationState::Hold { home_address } => StationEntry::Hold { home_address: home_address.0, radio },
            StationState::Forward { home_address, agent_mac, wrapped_for, home_agent } => StationEntry::Forward {
                home_address: home_address.0,
                agent_mac,
                wrapped_for,
                broadcasts_from: self.broadcast.then_some(home_agent.0),
                radio,
            },
        };
        tracing::info!(client = %mac, ?station, "station");
        if let Err(error) = context.dataplane.set_station(mac, entry) {
            tracing::error!(client = %mac, %error, "cannot carry the station's packets");
            self.counters.stations_refused += 1;
            return;
        }
        // The program answers ARP from now on: what waited for that goes through it again.
        for bytes in self.hold.release_arp(mac) {
            self.give_back(&bytes, context);
        }
    }
}

pub(super) fn forget_seen(mac: MacAddress, context: &mut Context<'_>) {
    if let Err(error) = context.dataplane.forget_seen(mac) {
        tracing::warn!(client = %mac, %error, "cannot have the station reported again");
    }
}
