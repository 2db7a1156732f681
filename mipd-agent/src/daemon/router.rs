//! Home agent and foreign agent: messages in, actions out.

use std::{collections::HashMap, sync::Arc};

use mipd_common::mac::MacAddress;

use super::{Context, DaemonError, broadcasts::BroadcastForwarder};
use crate::{
    config::associations::algorithm_name,
    dataplane::{BindingRoute, TunnelExit, VisitorRoute},
    io::{
        datagram::Datagram,
        frames::{Frame, FrameSocket},
        udp::RegistrationSocket,
        undeliverable::{self, Undeliverable},
    },
    mobility::{
        discovery::advertiser::{self, Advertiser},
        foreign_agent::{self, ForeignAgent, VisitorRecord},
        home_agent::{self, HomeAgent},
        link::{InterfaceIndex, Path, Received, Transmit},
        security::radius::Outcome,
        time::{Instant, Now},
    },
    state::{Remembered, Table},
    wire::{
        advertisement,
        arp::ArpPacket,
        frame::{self, IcmpPacket, Link},
        ip,
        registration::{MessageType, message_type},
        revocation::Revocation,
        types::{HomeAddress, HomeAgentAddress, Identification},
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
            home_agent.restore(remembered.now(now), remembered.records(Table::Bindings)?, &mut actions);
            self.apply_home(now, actions, context);
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
            Some(MessageType::TunnelData) => self.handle_tunnel_data(now, &received),
            None => self.counters.unexpected += 1,
        }
    }

    fn handle_tunnel_data(&mut self, now: Now, received: &Received<'_>) {
        match &mut self.foreign_agent {
            Some(foreign_agent) if foreign_agent.relays_from(received.destination) => {
                foreign_agent.handle_tunnel_data(now, received);
            }
            _ => self.counters.unexpected += 1,
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

    fn apply_home(&mut self, now: Now, actions: Vec<home_agent::Action>, context: &mut Context<'_>) {
        use home_agent::Action;
        // Before anything is answered: what is answered must not be forgotten.
        for action in &actions {
            let (Action::BindingChanged { home_address }, Some(agent)) = (action, &self.home_agent) else { continue };
            context.state.record(now, Table::Bindings, &home_address.0.octets(), |recording| {
                let record = agent.record(recording, *home_address)?;
                context.state.accepted(now, Identification(record.identification));
                Some(record)
            });
        }
        let mut failed = None;
        for action in actions {
            match action {
                // A binding that cannot be carried is not confirmed: the client's proxy tries again.
                Action::Send(_) if failed.is_some() => {}
                Action::Send(transmit) => self.send(transmit),
                Action::InstallBinding { home_address, exits } => {
                    let tunnels = exits.iter().map(|exit| TunnelExit {
                        home_agent: exit.home_agent.0,
                        care_of_address: exit.care_of_address.0,
                    });
                    let route = BindingRoute { home_address: home_address.0, exits: tunnels.collect() };
                    let care_of_addresses: Vec<_> = exits.iter().map(|exit| exit.care_of_address).collect();
                    if let Err(error) = context.dataplane.install_binding(&route) {
                        tracing::error!(%home_address, ?care_of_addresses, %error, "cannot carry the binding");
                        failed = Some(home_address);
                    } else {
                        tracing::info!(%home_address, ?care_of_addresses, "binding");
                    }
                    if let Some(broadcasts) = &mut self.broadcasts {
                        broadcasts.set_exits(home_address, &exits);
                    }
                }
                Action::RemoveBinding { home_address } => {
                    if let Some(broadcasts) = &mut self.broadcasts {
                        broadcasts.set_exits(home_address, &[]);
                    }
                    if let Err(error) = context.dataplane.remove_binding(home_address.0) {
                        tracing::error!(%home_address, %error, "cannot remove the binding from the data path");
                    } else {
                        tracing::info!(%home_address, "binding ended");
                    }
                }
                Action::GratuitousArp { interface, address, mac } => self.announce(interface, address, mac),
                Action::ClientMac { home_address, mac } => {
                    if let Err(error) = context.dataplane.set_client_mac(home_address.0, mac) {
                        tracing::warn!(%home_address, %error, "cannot remember the client's MAC");
                    }
                }
                Action::AlgorithmMatched { home_address, algorithm } => {
                    tracing::info!(%home_address, algorithm = algorithm_name(algorithm), "authenticated, as by one of any");
                }
                Action::AssociationsNeeded { home_address } => self.wanted_associations.push(home_address),
                Action::BindingChanged { .. } => {}
            }
        }
        if let Some(home_address) = failed
            && let Some(home_agent) = &mut self.home_agent
        {
            let mut actions = Vec::new();
            home_agent.deregister(now, home_address, &mut actions);
            self.apply_home(now, actions, context);
        }
    }

    fn apply_visit(&mut self, now: Now, actions: Vec<foreign_agent::Action>, context: &mut Context<'_>) {
        use foreign_agent::Action;
        let mut failed = Vec::new();
        for action in actions {
            match action {
                // A visitor whose packets cannot be carried is not confirmed: its proxy tries again.
                Action::Send(_) if !failed.is_empty() => {}
                Action::Send(transmit) => self.send(transmit),
                Action::InstallVisitor { home_address, home_agent, care_of_address, mac, interface, tunnel } => {
                    let route = VisitorRoute {
                        home_address: home_address.0,
                        home_agent: home_agent.0,
                        care_of_address: care_of_address.0,
                        mac,
                        interface: interface.0,
                        reverse_tunnel: tunnel.is_reverse(),
                    };
                    match context.dataplane.install_visitor(route) {
                        Ok(()) => tracing::info!(%home_address, %home_agent, %mac, "visitor"),
                        Err(error) => {
                            tracing::error!(%home_address, %mac, %error, "cannot carry the visitor's packets");
                            failed.push((home_agent, home_address));
                        }
                    }
                }
                Action::Inform { interface, mac, home_address, elsewhere } => {
                    let mut actions = Vec::new();
                    if let Some(port) = self.ports.get_mut(&interface) {
                        port.advertiser.inform(home_address.0, mac, elsewhere, &mut actions);
                    }
                    self.apply_advertisements(actions);
                }
                Action::RemoveVisitor { home_address, home_agent } => {
                    match context.dataplane.remove_visitor(home_agent.0, home_address.0) {
                        Ok(()) => tracing::info!(%home_address, %home_agent, "visitor gone"),
                        Err(error) => {
                            tracing::error!(%home_address, %error, "cannot remove the visitor from the data path");
                        }
                    }
                }
                Action::VisitorChanged { home_agent, home_address } => {
                    let Some(agent) = &self.foreign_agent else { continue };
                    context.state.record(now, Table::Visitors, &visitor_key(home_agent, home_address), |now| {
                        let mut record = agent.record(now, home_agent, home_address)?;
                        if let Some(port) = self.ports.get(&InterfaceIndex(record.interface)) {
                            record.interface_name.clone_from(&port.name);
                        }
                        Some(record)
                    });
                }
            }
        }
        for (home_agent, home_address) in failed {
            let mut actions = Vec::new();
            if let Some(foreign_agent) = &mut self.foreign_agent {
                foreign_agent.remove_visitor(now, home_agent, home_address, &mut actions);
            }
            self.apply_visit(now, actions, context);
        }
        self.tell_whether_busy(now);
    }

    /// Has the links told as soon as the foreign agent takes no more visitors, or takes them again.
    fn tell_whether_busy(&mut self, now: Now) {
        let Some(foreign_agent) = &self.foreign_agent else { return };
        let busy = foreign_agent.is_busy();
        for port in self.ports.values_mut() {
            port.advertiser.set_busy(now.instant, busy);
        }
    }

    fn apply_advertisements(&mut self, actions: Vec<advertiser::Action>) {
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

    fn announce(&mut self, interface: InterfaceIndex, address: HomeAddress, mac: Option<MacAddress>) {
        let Some(port) = self.ports.get(&interface) else { return };
        let packet = ArpPacket::gratuitous_reply(mac.unwrap_or(port.mac), address.0);
        // The frame itself comes from us: with the client's MAC as source it would move the client in the switches.
        let bytes = packet.emit(Link { destination: MacAddress::BROADCAST, source: port.mac });
        if let Err(error) = port.socket.send(&bytes) {
            tracing::debug!(interface = interface.0, %error, "cannot send gratuitous ARP");
            self.counters.send_errors += 1;
        }
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

    fn send(&mut self, transmit: Transmit) {
        match transmit.path {
            Path::Routed => self.outgoing.push(transmit),
            Path::Frame { interface, destination, source } => {
                let Some(port) = self.ports.get(&interface) else { return };
                let link = Link { destination, source: source.unwrap_or(port.mac) };
                if let Err(error) = port.socket.send(&frame::emit_udp(link, &datagram(&transmit))) {
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

/// A message in the form that becomes a frame.
pub fn datagram(transmit: &Transmit) -> ip::Datagram<'_> {
    ip::Datagram {
        source: transmit.source,
        source_port: transmit.source_port,
        destination: transmit.destination,
        destination_port: transmit.destination_port,
        ttl: transmit.ttl,
        payload: &transmit.payload,
    }
}

/// The key of a visitor's record.
fn visitor_key(home_agent: HomeAgentAddress, home_address: HomeAddress) -> Vec<u8> {
    [home_agent.0.octets(), home_address.0.octets()].concat()
}
