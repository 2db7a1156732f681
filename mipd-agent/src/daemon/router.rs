//! Home agent and foreign agent: messages in, actions out.
//!
//! * `apply`: what the roles want done to data path and state; `send`: what they want said;
//! * `tunnel_data`: what comes out of tunnels over UDP.

mod apply;
mod send;
mod tunnel_data;

use std::{collections::HashMap, sync::Arc};

use mipd_common::mac::MacAddress;

use super::{Context, DaemonError, broadcasts::BroadcastForwarder};
use crate::{
    io::{
        datagram::Datagram,
        frames::{Frame, FrameSocket},
        udp::RegistrationSocket,
        undeliverable::Undeliverable,
    },
    mobility::{
        discovery::advertiser::Advertiser,
        foreign_agent::{ForeignAgent, VisitorRecord},
        home_agent::{BindingRecord, HomeAgent},
        link::{InterfaceIndex, Received, Transmit},
        security::radius::Outcome,
        time::{Instant, Now},
    },
    state::{Remembered, Table},
    wire::{
        advertisement,
        frame::{self, IcmpPacket, Link},
        registration::{MessageType, message_type},
        revocation::Revocation,
        types::HomeAddress,
    },
};

/// An interface on which frames are sent and received.
#[derive(Debug)]
pub struct Port {
    /// The packet socket.
    pub socket: Arc<FrameSocket>,
    /// The interface's name.
    pub name: String,
    /// The interface's own address on the link.
    pub mac: MacAddress,
    /// Whether visitors of the foreign agent are behind it.
    pub access: bool,
    /// Who we say we are there.
    pub advertiser: Advertiser,
}

/// Messages that no role took, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames or datagrams whose headers or checksums are wrong.
    pub malformed: u64,
    /// Message types that are not for an agent.
    pub unexpected: u64,
    /// Sending failed.
    pub send_errors: u64,
    /// Messages that could not be sent for want of a way, or came back with an ICMP error.
    pub undeliverable: u64,
    /// Keepalives of tunnels over UDP whose other end is a foreign agent, or a client that is its own.
    pub keepalives_answered: u64,
}

/// The agent roles of a router.
#[derive(Debug)]
pub struct Router {
    /// The home agent role.
    pub home_agent: Option<HomeAgent>,
    /// The foreign agent role.
    pub foreign_agent: Option<ForeignAgent>,
    /// Where we advertise and hear clients.
    pub ports: HashMap<InterfaceIndex, Port>,
    /// The UDP 434 socket.
    pub socket: Arc<RegistrationSocket>,
    /// What carries broadcasts of the home links to clients that asked for them, if it is switched on.
    pub broadcasts: Option<BroadcastForwarder>,
    /// What no role took.
    pub counters: Counters,
    /// Clients whose associations the home agent needs from a server.
    pub wanted_associations: Vec<HomeAddress>,
    /// Routed messages that wait for [`Self::flush`].
    pub outgoing: Vec<Transmit>,
}

impl Router {
    /// Takes up the registrations of the agent that ran before.
    pub fn restore(&mut self, now: Now, remembered: &Remembered, context: &mut Context<'_>) -> Result<(), DaemonError> {
        if let Some(foreign_agent) = &mut self.foreign_agent {
            let mut actions = Vec::new();
            let mut records: Vec<VisitorRecord> = remembered.records(Table::Visitors)?;
            // Indices change when the machine is booted; names do not.
            let index = |name: &str| self.ports.iter().find(|(_, port)| port.name == name).map(|(index, _)| *index);
            for record in &mut records {
                record.find_interface(index);
            }
            foreign_agent.restore(remembered.now(now), records, &mut actions);
            self.apply_visit(now, actions, context);
        }
        if let Some(home_agent) = &mut self.home_agent {
            let mut actions = Vec::new();
            home_agent.refuse_up_to(remembered.identification_floor());
            let mut records: Vec<BindingRecord> = remembered.records(Table::Bindings)?;
            if !remembered.ended_in_order() {
                records.iter_mut().for_each(BindingRecord::forget_nonces);
            }
            home_agent.restore(remembered.now(now), records, &mut actions);
            self.apply_restored(now, actions, context);
        }
        Ok(())
    }

    /// A datagram that the kernel delivered. Requests on links with a packet socket come by that, with their MAC.
    pub fn handle_datagram(&mut self, now: Now, datagram: &Datagram, context: &mut Context<'_>) {
        let received = datagram.received();
        match message_type(received.payload) {
            Some(MessageType::RegistrationReply) => self.handle_reply(now, &received, context),
            // What we relay to ourselves is on no wire, though the kernel names the interface of its address.
            Some(MessageType::RegistrationRequest)
                if !self.ports.contains_key(&received.interface) || self.is_from_our_foreign_agent(&received) =>
            {
                self.handle_home_request(now, &received, context);
            }
            Some(MessageType::RegistrationRequest) => {}
            Some(MessageType::Revocation | MessageType::RevocationAcknowledgement) => {
                self.handle_revocation(now, &received, context);
            }
            Some(MessageType::TunnelData) => self.handle_tunnel_data(now, &received, context),
            None => self.counters.unexpected += 1,
        }
    }

    /// A frame on an access or home link: a registration message or a solicitation.
    pub fn handle_frame(&mut self, now: Now, frame: &Frame, context: &mut Context<'_>) {
        if let Ok((link, icmp)) = frame::parse_icmp(&frame.bytes) {
            if self.is_for_us(frame.interface, link) {
                self.handle_solicitation(now, frame.interface, link, &icmp);
            }
            return;
        }
        let Ok((link, datagram)) = frame::parse_udp(&frame.bytes, frame.checksum_verified) else {
            self.counters.malformed += 1;
            return;
        };
        if !self.is_for_us(frame.interface, link) {
            return;
        }
        let received = Received {
            payload: datagram.payload,
            source: datagram.source,
            source_port: datagram.source_port,
            destination: datagram.destination,
            destination_port: datagram.destination_port,
            ttl: datagram.ttl,
            interface: frame.interface,
            source_mac: Some(link.source),
        };
        match message_type(received.payload) {
            Some(MessageType::RegistrationRequest) if self.is_for_foreign_agent(&received) => {
                self.handle_visitor_request(now, &received, context);
            }
            Some(MessageType::RegistrationRequest) => self.handle_home_request(now, &received, context),
            // The kernel delivers these as well.
            Some(_) => {}
            None => self.counters.unexpected += 1,
        }
    }

    /// Frames for others come by when the interface is promiscuous.
    fn is_for_us(&self, interface: InterfaceIndex, link: Link) -> bool {
        let port = self.ports.get(&interface);
        port.is_some_and(|port| link.destination == port.mac || link.destination.is_multicast())
    }

    /// On an access link the foreign agent goes first; what it does not take was sent straight to the home agent. A search
    /// for home agents by broadcast is for those.
    fn is_for_foreign_agent(&self, received: &Received<'_>) -> bool {
        if self.home_agent.as_ref().is_some_and(|agent| agent.is_sought_at(received.destination)) {
            return false;
        }
        self.ports.get(&received.interface).is_some_and(|port| port.access)
            && self.foreign_agent.as_ref().is_some_and(|agent| self.home_agent.is_none() || agent.takes(received))
    }

    fn is_from_our_foreign_agent(&self, received: &Received<'_>) -> bool {
        self.foreign_agent.as_ref().is_some_and(|agent| agent.relays_from(received.source))
    }

    /// A broadcast on a home link.
    pub fn handle_broadcast(&mut self, now: Now, frame: &Frame) {
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.forward(now.instant, frame);
        }
    }

    fn handle_home_request(&mut self, now: Now, received: &Received<'_>, context: &mut Context<'_>) {
        let Some(home_agent) = &mut self.home_agent else {
            self.counters.unexpected += 1;
            return;
        };
        let mut actions = Vec::new();
        home_agent.handle_datagram(now, received, &mut actions);
        self.apply_home(now, actions, context);
    }

    /// A revocation says which agent it is from; of acknowledgements, each role takes those that it waits for.
    fn handle_revocation(&mut self, now: Now, received: &Received<'_>, context: &mut Context<'_>) {
        let (home_agent, foreign_agent) = (self.home_agent.as_ref(), self.foreign_agent.as_ref());
        let (is_for_home_agent, is_for_foreign_agent) = match Revocation::parse(received.payload) {
            Ok((revocation, _)) => (!revocation.from_home_agent, revocation.from_home_agent),
            Err(_) => (
                home_agent.is_some_and(|agent| agent.awaits_acknowledgement(received)),
                foreign_agent.is_some_and(|agent| agent.awaits_acknowledgement(received)),
            ),
        };
        if is_for_home_agent {
            self.handle_home_request(now, received, context);
        } else if is_for_foreign_agent && let Some(foreign_agent) = &mut self.foreign_agent {
            let mut actions = Vec::new();
            foreign_agent.handle_revocation(now, received, &mut actions);
            self.apply_visit(now, actions, context);
        } else {
            self.counters.unexpected += 1;
        }
    }

    fn handle_visitor_request(&mut self, now: Now, received: &Received<'_>, context: &mut Context<'_>) {
        let Some(foreign_agent) = &mut self.foreign_agent else { return };
        let mut actions = Vec::new();
        foreign_agent.handle_request(now, received, &mut actions);
        self.apply_visit(now, actions, context);
    }

    fn handle_reply(&mut self, now: Now, received: &Received<'_>, context: &mut Context<'_>) {
        let Some(foreign_agent) = &mut self.foreign_agent else {
            self.counters.unexpected += 1;
            return;
        };
        let mut actions = Vec::new();
        foreign_agent.handle_reply(now, received, &mut actions);
        self.apply_visit(now, actions, context);
    }

    fn handle_solicitation(&mut self, now: Now, interface: InterfaceIndex, link: Link, icmp: &IcmpPacket<'_>) {
        let Some(port) = self.ports.get_mut(&interface) else { return };
        if advertisement::AgentSolicitation::parse(icmp.message).is_err() {
            self.counters.malformed += 1;
            return;
        }
        let mut actions = Vec::new();
        port.advertiser.handle_solicitation(now.instant, icmp.source, link.source, &mut actions);
        self.apply_advertisements(actions);
    }

    /// What a server says of a client.
    pub fn take_associations(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        outcome: Option<&Outcome>,
        context: &mut Context<'_>,
    ) {
        let Some(home_agent) = &mut self.home_agent else { return };
        let mut actions = Vec::new();
        home_agent.take_associations(now, home_address, outcome, &mut actions);
        self.apply_home(now, actions, context);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let home = self.home_agent.as_ref().and_then(HomeAgent::poll_timeout);
        let visit = self.foreign_agent.as_ref().and_then(ForeignAgent::poll_timeout);
        let advertisers = self.ports.values().filter_map(|port| port.advertiser.poll_timeout());
        home.into_iter().chain(visit).chain(advertisers).min()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, context: &mut Context<'_>) {
        let mut actions = Vec::new();
        for (interface, port) in &mut self.ports {
            if let Some(foreign_agent) = self.foreign_agent.as_mut().filter(|_| port.access) {
                // Only what nobody asked for may push an older challenge out (RFC 4721 §3.1).
                let challenge = if port.advertiser.is_unsolicited_due(now.instant) {
                    foreign_agent.renew_challenge(*interface)
                } else {
                    foreign_agent.challenge(*interface)
                };
                port.advertiser.set_challenge(challenge.map(|challenge| challenge.to_vec()));
            }
            port.advertiser.handle_timeout(now.instant, &mut actions);
        }
        self.apply_advertisements(actions);
        if let Some(home_agent) = &mut self.home_agent {
            let mut actions = Vec::new();
            home_agent.handle_timeout(now, &mut actions);
            self.apply_home(now, actions, context);
        }
        if let Some(foreign_agent) = &mut self.foreign_agent {
            let mut actions = Vec::new();
            foreign_agent.handle_timeout(now, &mut actions);
            self.apply_visit(now, actions, context);
        }
    }

    /// Ends a binding and a visitor's entry on the operator's order. `false` if there is neither.
    pub fn deregister(&mut self, now: Now, home_address: HomeAddress, context: &mut Context<'_>) -> bool {
        let mut found = false;
        if let Some(home_agent) = &mut self.home_agent {
            let mut actions = Vec::new();
            found |= home_agent.deregister(now, home_address, &mut actions);
            self.apply_home(now, actions, context);
        }
        if let Some(foreign_agent) = &mut self.foreign_agent {
            let mut actions = Vec::new();
            let home_agents: Vec<_> = foreign_agent
                .visitors()
                .filter(|visitor| visitor.home_address == home_address)
                .map(|visitor| visitor.home_agent)
                .collect();
            for home_agent in home_agents {
                found |= foreign_agent.remove_visitor(now, home_agent, home_address, &mut actions);
            }
            self.apply_visit(now, actions, context);
        }
        found
    }

    /// Tells the links that we are going: nobody shall register here until we are back (RFC 1256 §4.3).
    pub fn shut_down(&mut self) {
        let mut actions = Vec::new();
        for port in self.ports.values_mut() {
            port.advertiser.shutdown(&mut actions);
        }
        self.apply_advertisements(actions);
    }

    /// A datagram of ours did not arrive: whoever waits for an answer to a relayed request is told (RFC 5944 §3.7.2.3).
    pub fn handle_undeliverable(&mut self, now: Now, returned: &Undeliverable, context: &mut Context<'_>) {
        self.counters.undeliverable += 1;
        if let Some(foreign_agent) = &mut self.foreign_agent {
            let mut actions = Vec::new();
            let quoted = &returned.payload;
            foreign_agent.handle_unreachable(now, returned.destination, returned.what, quoted, &mut actions);
            self.apply_visit(now, actions, context);
        }
    }
}
