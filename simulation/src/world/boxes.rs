//! Driving access points and routers, and doing what they want done.

use std::{net::Ipv4Addr, rc::Rc, time::Duration};

use mipd_agent::{
    mobility::{
        link::{Path, Transmit},
        proxy::StationState,
        time::Instant,
    },
    wire::{
        advertisement,
        frame::IcmpPacket,
        registration::{RegistrationReply, RegistrationRequest},
        revocation::{Revocation, RevocationAcknowledgement},
        types::HomeAddress,
    },
};
use mipd_common::mac::MacAddress;

use super::{Event, World};
use crate::{
    access_point::{self, AccessPoint},
    client::Talk,
    network::{Leg, Parcel},
    router::{self, Router},
    topology,
    trace::{Node, Note},
};

impl World {
    pub(super) fn start_access_point(&mut self, index: usize) {
        let mut out = Vec::new();
        self.access_points[index].start(self.at, self.scenario.seed, &self.topology, &mut out);
        self.obey_access_point(index, out);
        self.plan_wake(Node::AccessPoint(index));
    }

    pub(super) fn start_router(&mut self, index: usize) {
        let mut out = Vec::new();
        let roles = (self.scenario.is_home_agent(index), self.scenario.is_foreign_agent(index));
        self.routers[index].start(self.at, self.scenario.seed, &self.topology, roles, &mut out);
        self.obey_router(index, out, None);
        self.plan_wake(Node::Router(index));
    }

    pub(super) fn drive_access_point(
        &mut self,
        index: usize,
        run: impl FnOnce(&mut AccessPoint, Instant, &mut Vec<access_point::Output>),
    ) {
        let mut out = Vec::new();
        run(&mut self.access_points[index], self.at, &mut out);
        self.obey_access_point(index, out);
        self.plan_wake(Node::AccessPoint(index));
    }

    /// `request`: what the router is given, if that is a request.
    pub(super) fn drive_router(
        &mut self,
        index: usize,
        request: Option<&RegistrationRequest>,
        run: impl FnOnce(&mut Router, Instant, &mut Vec<router::Output>),
    ) {
        let mut out = Vec::new();
        run(&mut self.routers[index], self.at, &mut out);
        self.obey_router(index, out, request);
        self.plan_wake(Node::Router(index));
    }

    /// Plans the next timer of a box, if it is earlier than the one planned.
    fn plan_wake(&mut self, node: Node) {
        let (clock, timeout, wake) = match node {
            Node::Router(index) => {
                let router = &mut self.routers[index];
                (router.clock, router.poll_timeout(), &mut router.wake)
            }
            Node::AccessPoint(index) => {
                let access_point = &mut self.access_points[index];
                (access_point.clock, access_point.poll_timeout(), &mut access_point.wake)
            }
        };
        let Some(timeout) = timeout else { return };
        let moment = clock.moment(timeout).max(self.at);
        if wake.is_none_or(|wake| moment < wake) {
            *wake = Some(moment);
            self.queue.plan(moment, Event::Wake(node));
        }
    }

    pub(super) fn wake(&mut self, node: Node) {
        match node {
            Node::Router(index) => {
                if self.routers[index].wake != Some(self.at) {
                    return;
                }
                self.routers[index].wake = None;
                self.drive_router(index, None, Router::handle_timeout);
            }
            Node::AccessPoint(index) => {
                if self.access_points[index].wake != Some(self.at) {
                    return;
                }
                self.access_points[index].wake = None;
                if self.access_points[index].reads_activity(self.at) {
                    self.note_talkers(index);
                }
                self.drive_access_point(index, AccessPoint::handle_timeout);
            }
        }
        self.check_sizes(node);
    }

    /// Writes the time stamps of those that talk constantly.
    fn note_talkers(&mut self, index: usize) {
        let at = self.at;
        let kernel = &mut self.access_points[index].kernel;
        let macs: Vec<_> = kernel.stations().map(|(mac, _)| mac).collect();
        for mac in macs {
            let client = topology::client_with_mac(mac).and_then(|client| self.clients.get(client));
            if let Some(last) =
                client.filter(|client| client.at == Some(index)).and_then(|client| client.last_frame(at))
            {
                kernel.heard_talking(mac, last);
            }
        }
    }

    fn obey_access_point(&mut self, index: usize, out: Vec<access_point::Output>) {
        use access_point::Output;
        let subnet = self.access_points[index].subnet;
        for output in out {
            match output {
                Output::Send(transmit) => self.send_request(index, transmit),
                Output::Broadcast { mac, announces } => {
                    let Some(client) = topology::client_with_mac(mac) else { continue };
                    if !self.access_points[index].plugged {
                        continue;
                    }
                    self.learn(client, index);
                    for other in self.subnets[subnet].clone() {
                        if other != index {
                            let parcel =
                                Parcel::Broadcast { access_point: other, client, announces: announces.is_some() };
                            self.ship(Some(client), subnet, Leg::Link, parcel);
                        }
                    }
                }
                Output::Solicit(_) => {
                    if self.access_points[index].plugged {
                        let parcel = Parcel::Solicitation { router: subnet, access_point: index };
                        self.ship(None, subnet, Leg::Link, parcel);
                    }
                }
                Output::Ask(mac) => {
                    let Some(client) = topology::client_with_mac(mac) else { continue };
                    self.note(Some(client), Note::Asked(index));
                    self.clients[client].asked = Some((index, self.at));
                    self.ship(Some(client), subnet, Leg::Radio, Parcel::Question { access_point: index, client });
                }
                Output::Station(mac, state) => self.treat(index, mac, state),
            }
        }
    }

    fn send_request(&mut self, index: usize, transmit: Transmit) {
        let Some(client) = self.subject(&transmit) else { return };
        let Ok(request) = RegistrationRequest::parse_fixed(&transmit.payload) else {
            return self.violate(Some(client), format!("access point {index} sent what is no request"));
        };
        self.summary.requests += 1;
        let care_of = request.care_of_address.0;
        self.note(Some(client), Note::Requests(index, request.identification, request.lifetime, care_of));
        self.properties.sign(client, request);
        let subnet = self.access_points[index].subnet;
        let Path::Frame { destination, source, .. } = transmit.path else {
            return self.violate(Some(client), format!("access point {index} sent a request without a frame"));
        };
        let source = source.unwrap_or(topology::access_point_mac(index));
        if self.access_points[index].plugged && destination == self.routers[subnet].mac {
            self.learn(client, index);
            // At home, an access point may repeat a deregistration for 3 s after the client has left, unseen: the switch sends
            // the client's packets there until it speaks.
            let state = &mut self.clients[client];
            if state.at != Some(index) && subnet == state.home {
                state.noticed = None;
            }
            let parcel = Parcel::Frame { router: subnet, source, transmit: Rc::new(transmit) };
            self.ship(Some(client), subnet, Leg::Link, parcel);
        }
    }

    /// An access point treats a station otherwise than before.
    fn treat(&mut self, index: usize, mac: MacAddress, state: Option<StationState>) {
        let Some(client) = topology::client_with_mac(mac).filter(|client| *client < self.clients.len()) else { return };
        let name = match state {
            None => "forgotten",
            Some(StationState::Local | StationState::Awaited) => "local",
            Some(StationState::Hold { .. }) => "held",
            Some(StationState::Forward { .. }) => "forwarded",
        };
        self.note(Some(client), Note::Station(index, name));
        if state.is_some() || self.clients[client].at != Some(index) {
            return;
        }
        let excused = self.may_be_forgotten(client);
        let at = self.at;
        let client_state = &mut self.clients[client];
        if excused {
            client_state.noticed = None;
        }
        if let (Some(last), Talk::Constantly(period)) = (client_state.last_frame(at), client_state.talk) {
            client_state.talking = None;
            let number = client_state.stay;
            self.queue.plan(last + period, Event::Speak(client, number));
        }
    }

    /// What an agent does at its very end.
    pub(super) fn obey_stopped_router(&mut self, index: usize, out: Vec<router::Output>) {
        self.obey_router(index, out, None);
    }

    fn obey_router(&mut self, index: usize, out: Vec<router::Output>, request: Option<&RegistrationRequest>) {
        use router::Output;
        for output in out {
            match output {
                Output::Send(transmit) => self.send_message(index, transmit, request),
                Output::Announce(address, mac) => {
                    let Some(client) = self.topology.client_with(address.0) else { continue };
                    let mac = mac.unwrap_or(self.routers[index].mac);
                    for access_point in self.subnets[index].clone() {
                        self.ship(Some(client), index, Leg::Link, Parcel::Announcement { access_point, client, mac });
                    }
                }
                Output::Advertise(icmp, destination, to) => {
                    let icmp = Rc::new(icmp);
                    // One to a client takes the way that the switch knows.
                    let client = to.and_then(topology::client_with_mac);
                    let known = client.and_then(|client| self.switches[index].get(&client)).map(|(place, _)| *place);
                    for access_point in self.subnets[index].clone() {
                        let is_meant = match to {
                            Some(_) if client.is_some() => known.is_none_or(|known| known == access_point),
                            Some(to) => to == topology::access_point_mac(access_point),
                            None => true,
                        };
                        if is_meant {
                            let icmp = Rc::clone(&icmp);
                            let parcel = Parcel::Advertisement { access_point, router: index, destination, icmp };
                            self.ship(client, index, Leg::Link, parcel);
                        }
                    }
                }
                Output::Binding(HomeAddress(address)) => {
                    if let Some(client) = self.topology.client_with(address) {
                        self.check_binding(client, request);
                    }
                }
                Output::Visitor(_, HomeAddress(address)) => {
                    if let Some(client) = self.topology.client_with(address) {
                        self.check_visitor(client, index);
                    }
                }
            }
        }
    }

    fn send_message(&mut self, index: usize, transmit: Transmit, request: Option<&RegistrationRequest>) {
        let client = self.subject(&transmit);
        if let Ok(reply) = RegistrationReply::parse_fixed(&transmit.payload) {
            self.note(client, Note::Replies(Node::Router(index), reply.code, reply.identification));
            // The foreign agent's own denials may be of a forged copy: what it relayed still waits.
            if let (Some(client), Path::Frame { .. }, true) = (client, transmit.path, reply.code.is_from_home_agent()) {
                self.properties.answer(client, index, reply.identification);
            }
            let is_home_agent = reply.home_agent.0 == self.routers[index].address;
            if let (Some(client), Some(request), true) = (client, request, is_home_agent && reply.code.is_accepted()) {
                self.check_accepted(client, request);
            }
        }
        self.note_revocation(index, client, &transmit);
        match transmit.path {
            Path::Routed => {
                let Some((other, transmit)) = self.translate(index, transmit) else { return };
                let leg = if other == index { Leg::Loop } else { Leg::Core };
                if leg == Leg::Core && !(self.routers[index].connected && self.routers[other].connected) {
                    return;
                }
                self.ship(client, index, leg, Parcel::Routed { router: other, transmit: Rc::new(transmit) });
            }
            Path::Frame { destination, .. } => {
                let transmit = Rc::new(transmit);
                let known = topology::client_with_mac(destination).and_then(|client| self.switches[index].get(&client));
                let access_points = match known {
                    Some((access_point, _)) => vec![*access_point],
                    None => self.subnets[index].clone(),
                };
                for access_point in access_points {
                    let transmit = Rc::clone(&transmit);
                    let parcel = Parcel::Uplink { access_point, router: index, mac: destination, transmit };
                    self.ship(client, index, Leg::Link, parcel);
                }
            }
        }
    }

    /// Where a message goes, and what the NATs on its way make of it.
    fn translate(&mut self, index: usize, mut transmit: Transmit) -> Option<(usize, Transmit)> {
        let other = if let Some(inside) = self.topology.router_behind(transmit.destination) {
            let is_known = transmit.destination_port == topology::TRANSLATED_PORT && self.is_translated(inside, index);
            if !is_known {
                return None;
            }
            transmit.destination = topology::router_address(inside);
            transmit.destination_port = REGISTRATION_PORT;
            inside
        } else {
            self.topology.router_with(transmit.destination)?
        };
        if let Some(outside) = self.topology.translation(index).filter(|_| other != index) {
            transmit.source = outside;
            transmit.source_port = topology::TRANSLATED_PORT;
            self.translated.insert((index, other), self.at);
        }
        Some((other, transmit))
    }

    /// Whether the NAT before a router lets in what another one sends.
    pub(super) fn is_translated(&self, inside: usize, outside: usize) -> bool {
        let last = self.translated.get(&(inside, outside));
        last.is_some_and(|last| self.at.since(*last) < topology::KEEPALIVE * 2)
    }

    fn note_revocation(&mut self, index: usize, client: Option<usize>, transmit: &Transmit) {
        let node = Node::Router(index);
        if RevocationAcknowledgement::parse(&transmit.payload).is_ok() {
            self.note(client, Note::Sends(node, "an acknowledgement"));
        } else if let Ok((revocation, _)) = Revocation::parse(&transmit.payload) {
            self.note(client, Note::Sends(node, "a revocation"));
            let foreign_agent = self.topology.router_with(revocation.foreign_agent);
            if let (Some(client), Some(foreign_agent), true) = (client, foreign_agent, revocation.from_home_agent) {
                self.told.insert((client, foreign_agent), self.at);
            }
        }
    }

    /// A foreign agent has relayed what a client's access point sent: a challenge that it echoes has been accepted.
    fn check_challenge(&mut self, router: usize, client: usize, transmit: &Transmit) {
        let Ok((request, extensions)) = RegistrationRequest::parse(&transmit.payload) else { return };
        let challenge = mipd_agent::wire::challenge::find(&extensions).map(|challenge| challenge.data);
        if let Err(what) = self.properties.echo(self.at, client, router, challenge, request.identification) {
            self.violate(Some(client), what);
        }
    }

    /// Something arrives; hostile nodes may have been listening.
    pub(super) fn arrive(&mut self, parcel: Parcel, genuine: bool) {
        if genuine {
            self.overhear(&parcel);
        }
        match parcel {
            Parcel::Frame { router, source, transmit } => {
                let request = self.note_arrival(Node::Router(router), &transmit);
                let mut relayed = false;
                self.drive_router(router, request.as_ref(), |router, at, out| {
                    router.receive_frame(at, source, &transmit, out);
                    let is_request = |output: &router::Output| match output {
                        router::Output::Send(sent) => RegistrationRequest::parse_fixed(&sent.payload).is_ok(),
                        _ => false,
                    };
                    relayed = out.iter().any(is_request);
                });
                if let Some(client) = self.subject(&transmit).filter(|_| relayed && self.conditions.challenges) {
                    self.check_challenge(router, client, &transmit);
                }
                self.check_sizes(Node::Router(router));
            }
            Parcel::Routed { router, transmit } => {
                if transmit.source != self.routers[router].address && !self.routers[router].connected {
                    return;
                }
                let request = self.note_arrival(Node::Router(router), &transmit);
                self.drive_router(router, request.as_ref(), |router, at, out| {
                    router.receive_routed(at, &transmit, out);
                });
                self.check_sizes(Node::Router(router));
            }
            Parcel::Uplink { access_point, router, mac, transmit } => {
                if self.is_on_link(access_point) {
                    self.note_arrival(Node::AccessPoint(access_point), &transmit);
                    let source = self.routers[router].mac;
                    self.drive_access_point(access_point, |access_point, at, out| {
                        access_point.receive(at, mac, source, &transmit, out);
                    });
                    self.check_sizes(Node::AccessPoint(access_point));
                }
            }
            Parcel::Advertisement { access_point, router, destination, icmp } => {
                // Of what is for one client only, the programs hand over what is for a station.
                let addressee = self.topology.client_with(destination).map(topology::client_mac);
                let kernel = &self.access_points[access_point].kernel;
                let is_wanted = addressee.is_none_or(|mac| kernel.station(mac).is_some());
                if self.is_on_link(access_point) && is_wanted {
                    let (source, mac) = (self.routers[router].address, self.routers[router].mac);
                    let packet = IcmpPacket { source, destination, ttl: advertisement::TTL, message: &icmp };
                    self.drive_access_point(access_point, |access_point, at, out| {
                        access_point.hear_advertisement(at, mac, &packet, out);
                    });
                }
            }
            Parcel::Solicitation { router, access_point } => {
                let address: Ipv4Addr = topology::access_point_address(router, access_point);
                let mac = topology::access_point_mac(access_point);
                self.drive_router(router, None, |router, at, out| router.receive_solicitation(at, address, mac, out));
            }
            Parcel::Broadcast { access_point, client, announces } => {
                if self.is_on_link(access_point) {
                    let (mac, address) = (self.clients[client].mac, self.clients[client].address);
                    let at = self.at;
                    let kernel = &mut self.access_points[access_point].kernel;
                    if !kernel.hear_on_uplink(at, mac) && announces {
                        kernel.hear_announcement(at, mac, address);
                    }
                    self.drive_access_point(access_point, AccessPoint::take_events);
                }
            }
            Parcel::Announcement { access_point, client, mac } => {
                if self.is_on_link(access_point) {
                    let (at, address) = (self.at, self.clients[client].address);
                    self.access_points[access_point].kernel.hear_announcement(at, mac, address);
                    self.drive_access_point(access_point, AccessPoint::take_events);
                }
            }
            Parcel::Question { access_point, client } => {
                if self.clients[client].at == Some(access_point) {
                    let subnet = self.access_points[access_point].subnet;
                    self.note(Some(client), Note::Answers(access_point));
                    self.ship(Some(client), subnet, Leg::Radio, Parcel::Answer { access_point, client });
                }
            }
            Parcel::Answer { access_point, client } => {
                if self.clients[client].at == Some(access_point) {
                    self.clients[client].lost_questions = 0;
                    self.excuse_unnoticed_absence(client, access_point);
                    self.begin_check(client);
                    self.hear(client, access_point, true);
                }
            }
        }
    }

    /// Whether frames on its subnet reach the access point.
    pub(super) fn is_on_link(&self, access_point: usize) -> bool {
        let access_point = &self.access_points[access_point];
        access_point.powered && access_point.plugged
    }

    fn note_arrival(&mut self, node: Node, transmit: &Transmit) -> Option<RegistrationRequest> {
        let client = self.subject(transmit);
        if let (Node::Router(router), Ok(request)) = (node, RegistrationRequest::parse_fixed(&transmit.payload)) {
            self.note(client, Note::Request(router, request.identification));
            return Some(request);
        }
        if let Ok(reply) = RegistrationReply::parse_fixed(&transmit.payload) {
            self.note(client, Note::Reply(node, reply.code, reply.identification));
        }
        None
    }
}

/// Where agents listen.
const REGISTRATION_PORT: u16 = 434;

/// How long boxes take to start again.
pub(super) const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
