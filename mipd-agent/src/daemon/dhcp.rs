//! DHCP at the access point. Local stations' messages are bridged. A visitor's go to the server of its home network, through
//! us as relay agent, and never to the visited one, which would refuse the visitor its address.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{Context, access_point::AccessPoint};
use crate::{
    mobility::{
        link::InterfaceIndex,
        proxy::{Event, Stay},
        time::Now,
    },
    stations::{
        claim::{self, Dhcp},
        notice::{News, Notice, Source},
    },
    wire::{
        dhcp::{
            CLIENT_PORT, ClientMessage, SERVER_PORT,
            relay::{Answer, Relay, Verdict},
        },
        frame::{self, Link},
        ip::Datagram,
        types::{HomeAddress, HomeAgentAddress},
    },
};

const BOOT_REPLY: u8 = 2;
const TTL: u8 = 64;

impl AccessPoint {
    /// A datagram to the port of DHCP servers, or relay agents. `false`: it is none.
    pub(super) fn handle_dhcp(
        &mut self,
        now: Now,
        link: Link,
        udp: &Datagram<'_>,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> bool {
        if udp.destination_port == SERVER_PORT && udp.payload.first() == Some(&BOOT_REPLY) {
            self.hand_over_answer(now, udp.payload, context);
            return true;
        }
        let client = link.source;
        match claim::dhcp(client, udp) {
            Some(Dhcp::Claims(address, message)) if !self.is_local(address) => {
                if let Some(radio) = context.dataplane.radio_of(client) {
                    let (interface, news) = (InterfaceIndex(radio), News::Used { mac: client, address });
                    self.take_notice(now, &Notice { source: Source::Dhcp, interface, news }, context);
                }
                match self.proxy.stay(client, HomeAddress(address)) {
                    Some(Stay::Served(home_agent)) => {
                        self.ask_home(now, home_agent, &message, (udp, bytes), context);
                    }
                    // It asks again.
                    Some(Stay::Waiting) => self.counters.dhcp_withheld += 1,
                    // A late message of one that has just left.
                    None if self.stations.station(client).is_none() => self.counters.dhcp_withheld += 1,
                    // It had better have an address of this network.
                    Some(Stay::Unserved) | None => self.bridge_dhcp(bytes, context),
                }
            }
            Some(Dhcp::Surrenders(address, message)) if !self.is_local(address) => {
                match self.proxy.stay(client, HomeAddress(address)) {
                    Some(Stay::Served(home_agent)) => {
                        self.ask_home(now, home_agent, &message, (udp, bytes), context);
                        self.end_lease(now, client, context);
                    }
                    Some(Stay::Waiting) => self.counters.dhcp_withheld += 1,
                    Some(Stay::Unserved) | None => self.bridge_dhcp(bytes, context),
                }
            }
            Some(_) => self.bridge_dhcp(bytes, context),
            None => return false,
        }
        true
    }

    /// For the servers of this network. Of a visitor that speaks by its home address, the programs keep it off the bridge.
    fn bridge_dhcp(&mut self, bytes: &[u8], context: &Context<'_>) {
        self.counters.dhcp_bridged += 1;
        self.give_back(bytes, context);
    }

    /// Passes a visitor's message on to the server of its home network. What the visitor sends to another server is an
    /// ordinary packet.
    fn ask_home(
        &mut self,
        now: Now,
        home_agent: HomeAgentAddress,
        message: &ClientMessage,
        (udp, bytes): (&Datagram<'_>, &[u8]),
        context: &mut Context<'_>,
    ) {
        let server = self.dhcp_servers.get(&home_agent).copied().unwrap_or(home_agent.0);
        if udp.destination != server && !udp.destination.is_broadcast() {
            return self.hold_or_return(now, message.client_mac, bytes.to_vec(), context);
        }
        let relay = Relay { address: self.address, subnet: home_agent.0, server_identifier: server };
        let expects_answer = message.surrendered_address().is_none();
        let relayed = self.relay_agent.ask(now.instant, &relay, message, udp.payload, expects_answer);
        let Some(payload) = relayed else { return };
        let mut packet = Vec::with_capacity(payload.len() + 28);
        let (source, source_port) = (self.address, SERVER_PORT);
        let datagram = Datagram {
            source,
            source_port,
            destination: server,
            destination_port: SERVER_PORT,
            ttl: TTL,
            payload: &payload,
        };
        datagram.emit(&mut packet);
        if let Err(error) = self.relay_socket.send(server, &packet) {
            tracing::debug!(%server, %error, "cannot reach a visitor's DHCP server");
            self.counters.send_errors += 1;
        }
    }

    /// An answer of a visitor's server. It goes to the client alone, also if it asks for broadcasts: then only the packet is
    /// one, not the frame, as access points do it with all broadcasts for one station.
    fn hand_over_answer(&mut self, now: Now, payload: &[u8], context: &mut Context<'_>) {
        let Some((answer, server)) = self.relay_agent.take_answer(now.instant, self.address, payload) else { return };
        let client = answer.client_mac;
        let Some(radio) = context.dataplane.radio_of(client) else { return };
        let datagram = Datagram {
            source: server,
            source_port: SERVER_PORT,
            destination: answer.reachable_at.unwrap_or(Ipv4Addr::BROADCAST),
            destination_port: CLIENT_PORT,
            ttl: TTL,
            payload: &answer.message,
        };
        let link = Link { destination: client, source: MacAddress::VIRTUAL_GATEWAY };
        self.send_on_radio(InterfaceIndex(radio), &frame::emit_udp(link, &datagram));
        if answer.verdict == Verdict::Refusal {
            tracing::info!(%client, %server, "the home network's DHCP server refuses the client its address");
            self.end_lease(now, client, context);
        }
    }

    /// A server of this network answers a client, maybe one of ours.
    pub(super) fn overhear_lease(&mut self, now: Now, payload: &[u8], context: &mut Context<'_>) {
        let Ok(answer) = Answer::parse(payload) else { return };
        if let (Verdict::Acknowledgement, Some(address)) = (answer.verdict, answer.given) {
            let mut outcomes = Vec::new();
            self.stations.take_lease(now.instant, answer.client_mac, address, &mut outcomes);
            self.follow(now, outcomes, context);
        }
    }

    /// The visitor's address is not its own any more.
    fn end_lease(&mut self, now: Now, client: MacAddress, context: &mut Context<'_>) {
        let Some(address) = self.proxy.home_address(client) else { return };
        self.notice(now, Event::Surrendered { mac: client }, context);
        let mut outcomes = Vec::new();
        self.stations.surrender(now.instant, client, address.0, &mut outcomes);
        self.follow(now, outcomes, context);
    }
}
