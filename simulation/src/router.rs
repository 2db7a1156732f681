//! A router: home agent, foreign agent or both, driven as the daemon drives them.

use std::{net::Ipv4Addr, time::Duration};

use mipd_agent::{
    mobility::{
        discovery::{Advertiser, advertiser},
        foreign_agent::{self, ForeignAgent, VisitorRecord},
        home_agent::{self, BindingRecord, HomeAgent},
        link::{Received, Transmit},
        time::{Instant, Now},
    },
    wire::{
        registration::{MessageType, message_type},
        revocation::Revocation,
        types::{HomeAddress, HomeAgentAddress, Identification},
    },
};
use mipd_common::mac::MacAddress;

use crate::{
    clock::NodeClock,
    disk::{Disk, Mark},
    keepalive,
    random::{Purpose, Stream},
    stability::Stability,
    topology::{self, ACCESS, CORE, Topology},
};

/// What a router does to the world.
#[derive(Debug)]
pub enum Output {
    /// A registration message leaves.
    Send(Transmit),
    /// A gratuitous ARP is broadcast on the subnet; `None` = with the router's MAC.
    Announce(HomeAddress, Option<MacAddress>),
    /// An advertisement leaves for an IP destination, to all access points of the subnet or to one.
    Advertise(Vec<u8>, Ipv4Addr, Option<MacAddress>),
    /// The home agent has changed what it knows of a client.
    Binding(HomeAddress),
    /// The foreign agent has changed what it knows of a client.
    Visitor(HomeAgentAddress, HomeAddress),
}

/// The agent on the box.
#[derive(Debug)]
pub struct Agent {
    /// The home agent role.
    pub home: Option<HomeAgent>,
    /// The foreign agent role.
    pub visit: Option<ForeignAgent>,
    advertiser: Advertiser,
}

/// A router.
#[derive(Debug)]
pub struct Router {
    /// Its subnet, and its number.
    pub index: usize,
    /// Its address in every role.
    pub address: Ipv4Addr,
    /// Its MAC on its subnet.
    pub mac: MacAddress,
    /// The agent; `None` while it does not run.
    pub agent: Option<Agent>,
    /// Whether it reaches the other routers.
    pub connected: bool,
    /// Its clocks.
    pub clock: NodeClock,
    /// The home agent's part of its state store.
    pub bindings: Disk<HomeAddress, BindingRecord>,
    /// What its home agent's accepted Identifications are below.
    pub mark: Mark,
    /// The foreign agent's part of its state store.
    pub visitors: Disk<(HomeAgentAddress, HomeAddress), VisitorRecord>,
    /// Whether it serves visitors.
    pub visit_stability: Stability,
    /// Whether it serves its own clients.
    pub home_stability: Stability,
    /// When it is planned to be woken.
    pub wake: Option<Instant>,
    starts: u64,
    ended_in_order: bool,
}

impl Router {
    /// A router whose agent is to be started.
    pub fn new(index: usize, clock: NodeClock) -> Self {
        Self {
            index,
            address: topology::router_address(index),
            mac: topology::router_mac(index),
            agent: None,
            connected: true,
            clock,
            bindings: Disk::default(),
            mark: Mark::default(),
            visitors: Disk::default(),
            visit_stability: Stability::at_the_beginning(),
            home_stability: Stability::at_the_beginning(),
            wake: None,
            starts: 0,
            ended_in_order: true,
        }
    }

    /// Starts the agent: it takes up what is on disk.
    pub fn start(&mut self, at: Instant, seed: u64, topology: &Topology, roles: (bool, bool), out: &mut Vec<Output>) {
        self.starts += 1;
        self.clock.restart(at);
        let mut random = Stream::new(seed ^ (self.starts << 40), Purpose::Role, 1_000_000 + self.index);
        let (is_home, is_visit) = roles;
        self.agent = Some(Agent {
            home: is_home.then(|| HomeAgent::new(topology.home_agent(self.index, random.number()))),
            visit: is_visit.then(|| ForeignAgent::new(topology.foreign_agent(self.index), random.number())),
            advertiser: Advertiser::new(topology.advertiser(self.index), random.number()),
        });
        let visitors: Vec<_> = self.visitors.records().map(|(_, record)| record.clone()).collect();
        let stored = self.clock.stored(at);
        self.visit(at, out, |agent, _, actions| agent.restore(stored, visitors, actions));
        let floor = self.mark.get().filter(|_| !self.ended_in_order);
        let bindings: Vec<_> = self.bindings.records().map(|(_, record)| record.clone()).collect();
        self.home(at, out, |agent, _, actions| {
            agent.refuse_up_to(floor);
            agent.restore(stored, bindings, actions);
        });
    }

    /// The agent stops. In good order it says good-bye and everything is on disk; else what was written a moment ago is
    /// lost. Returns the clients whose bindings are lost.
    pub fn stop(&mut self, at: Instant, in_order: bool, out: &mut Vec<Output>) -> Vec<HomeAddress> {
        let agent = self.agent.take();
        self.ended_in_order = in_order;
        if in_order {
            self.bindings.close();
            self.visitors.close();
            let mut actions = Vec::new();
            if let Some(mut agent) = agent {
                agent.advertiser.shutdown(&mut actions);
            }
            advertise(actions, out);
        }
        self.visitors.crash(at);
        self.bindings.crash(at)
    }

    /// A datagram in a frame to the router, on its subnet.
    pub fn receive_frame(&mut self, at: Instant, source_mac: MacAddress, transmit: &Transmit, out: &mut Vec<Output>) {
        let received = Received { source_mac: Some(source_mac), ..transmit.arrival(ACCESS, None) };
        let Some(agent) = &self.agent else { return };
        let goes_to_visit = agent.visit.as_ref().is_some_and(|visit| agent.home.is_none() || visit.takes(&received));
        match message_type(received.payload) {
            Some(MessageType::RegistrationRequest) if goes_to_visit => {
                self.visit(at, out, |agent, now, actions| agent.handle_request(now, &received, actions));
            }
            Some(MessageType::RegistrationRequest) => {
                self.home(at, out, |agent, now, actions| agent.handle_datagram(now, &received, actions));
            }
            _ => {}
        }
    }

    /// A datagram that was routed to the router, perhaps by itself.
    pub fn receive_routed(&mut self, at: Instant, transmit: &Transmit, out: &mut Vec<Output>) {
        let is_own = transmit.source == self.address;
        let received = transmit.arrival(if is_own { ACCESS } else { CORE }, None);
        let Some(agent) = &self.agent else { return };
        let relayed_by_us = agent.visit.as_ref().is_some_and(|visit| visit.relays_from(received.source));
        match message_type(received.payload) {
            Some(MessageType::RegistrationReply) => {
                self.visit(at, out, |agent, now, actions| agent.handle_reply(now, &received, actions));
            }
            Some(MessageType::RegistrationRequest) if received.interface == CORE || relayed_by_us => {
                self.home(at, out, |agent, now, actions| agent.handle_datagram(now, &received, actions));
            }
            Some(MessageType::TunnelData) => {
                let answer = if agent.home.is_some() { keepalive::answer(transmit) } else { None };
                match answer {
                    Some(answer) => out.push(Output::Send(answer)),
                    None => self.visit(at, out, |agent, now, _| agent.handle_tunnel_data(now, &received)),
                }
            }
            Some(MessageType::Revocation | MessageType::RevocationAcknowledgement) => {
                self.receive_revocation(at, &received, out);
            }
            _ => {}
        }
    }

    /// A revocation says which agent it is from; of acknowledgements, each role takes those that it waits for.
    fn receive_revocation(&mut self, at: Instant, received: &Received<'_>, out: &mut Vec<Output>) {
        let Some(agent) = &self.agent else { return };
        let is_for_home_agent = match Revocation::parse(received.payload) {
            Ok((revocation, _)) => !revocation.from_home_agent,
            Err(_) => agent.home.as_ref().is_some_and(|home| home.awaits_acknowledgement(received)),
        };
        if is_for_home_agent {
            self.home(at, out, |agent, now, actions| agent.handle_datagram(now, received, actions));
        } else {
            self.visit(at, out, |agent, now, actions| agent.handle_revocation(now, received, actions));
        }
    }

    /// The operator ends the registration of a client, as far as this router has to do with it.
    pub fn deregister(
        &mut self,
        at: Instant,
        home_agent: HomeAgentAddress,
        client: HomeAddress,
        out: &mut Vec<Output>,
    ) {
        self.home(at, out, |agent, now, actions| {
            agent.deregister(now, client, actions);
        });
        self.visit(at, out, |agent, now, actions| {
            agent.remove_visitor(now, home_agent, client, actions);
        });
    }

    /// Somebody on the subnet asks for agents.
    pub fn receive_solicitation(
        &mut self,
        at: Instant,
        source: Ipv4Addr,
        source_mac: MacAddress,
        out: &mut Vec<Output>,
    ) {
        let now = self.clock.instant(at);
        let mut actions = Vec::new();
        if let Some(agent) = &mut self.agent {
            agent.advertiser.handle_solicitation(now, source, source_mac, &mut actions);
        }
        advertise(actions, out);
    }

    /// When the agent wants to be woken, by its own clock.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let agent = self.agent.as_ref()?;
        let home = agent.home.as_ref().and_then(HomeAgent::poll_timeout);
        let visit = agent.visit.as_ref().and_then(ForeignAgent::poll_timeout);
        [home, visit, agent.advertiser.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, at: Instant, out: &mut Vec<Output>) {
        let now = self.clock.instant(at);
        let mut actions = Vec::new();
        if let Some(agent) = &mut self.agent {
            if let Some(visit) = &mut agent.visit {
                let is_unsolicited = agent.advertiser.is_unsolicited_due(now);
                let challenge = if is_unsolicited { visit.renew_challenge(ACCESS) } else { visit.challenge(ACCESS) };
                agent.advertiser.set_challenge(challenge.map(|challenge| challenge.to_vec()));
            }
            agent.advertiser.handle_timeout(now, &mut actions);
        }
        advertise(actions, out);
        self.home(at, out, HomeAgent::handle_timeout);
        self.visit(at, out, ForeignAgent::handle_timeout);
    }

    fn home(
        &mut self,
        at: Instant,
        out: &mut Vec<Output>,
        run: impl FnOnce(&mut HomeAgent, Now, &mut Vec<home_agent::Action>),
    ) {
        use home_agent::Action;
        let (now, stored) = (self.clock.now(at), self.clock.stored(at));
        let Some(agent) = self.agent.as_mut().and_then(|agent| agent.home.as_mut()) else { return };
        let mut actions = Vec::new();
        run(agent, now, &mut actions);
        for action in actions {
            match action {
                Action::Send(transmit) => out.push(Output::Send(transmit)),
                Action::GratuitousArp { address, mac, .. } => out.push(Output::Announce(address, mac)),
                Action::BindingChanged { home_address } => {
                    let record = agent.record(stored, home_address);
                    // With nonces there is no timestamp.
                    if let Some(record) = record.as_ref().filter(|record| record.identification != 0) {
                        self.mark.cover(Identification(record.identification));
                    }
                    self.bindings.write(at, home_address, record);
                    out.push(Output::Binding(home_address));
                }
                // The data path is not simulated: the bindings themselves tell where packets go.
                _ => {}
            }
        }
    }

    fn visit(
        &mut self,
        at: Instant,
        out: &mut Vec<Output>,
        run: impl FnOnce(&mut ForeignAgent, Now, &mut Vec<foreign_agent::Action>),
    ) {
        use foreign_agent::Action;
        let (now, stored) = (self.clock.now(at), self.clock.stored(at));
        let Some(Agent { visit: Some(agent), advertiser, .. }) = &mut self.agent else { return };
        let mut actions = Vec::new();
        run(agent, now, &mut actions);
        for action in actions {
            match action {
                Action::Send(transmit) => out.push(Output::Send(transmit)),
                Action::VisitorChanged { home_agent, home_address } => {
                    let record = agent.record(stored, home_agent, home_address);
                    self.visitors.write(at, (home_agent, home_address), record);
                    out.push(Output::Visitor(home_agent, home_address));
                }
                Action::Inform { mac, home_address, elsewhere, .. } => {
                    let mut actions = Vec::new();
                    advertiser.inform(home_address.0, mac, elsewhere, &mut actions);
                    advertise(actions, out);
                }
                _ => {}
            }
        }
    }
}

fn advertise(actions: Vec<advertiser::Action>, out: &mut Vec<Output>) {
    out.extend(actions.into_iter().map(|advertiser::Action::Send { icmp, destination, destination_mac, .. }| {
        Output::Advertise(icmp, destination, destination_mac)
    }));
}

/// The longest time between two advertisements, and thrice that the time after which a silent agent is given up.
pub const ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(3);
