//! An access point: the proxy and the listener, driven as the daemon drives them, on top of the kernel's maps.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_agent::{
    mobility::{
        discovery::{self, Listener, ListenerAction},
        link::Transmit,
        proxy::{Action, ClientRecord, Event, ForeignAgentInfo, HomeAgentOnLink, Proxy, StationState},
        security::MobileHomeAssociations,
        time::{Instant, Now},
    },
    wire::{
        extension::kind,
        frame::IcmpPacket,
        registration::RegistrationRequest,
        types::{HomeAgentAddress, Lifetime},
    },
};
use mipd_common::mac::MacAddress;

use crate::{
    clock::NodeClock,
    disk::Disk,
    kernel::Kernel,
    random::{Purpose, Stream},
    stability::Stability,
    topology::{self, RADIO, Topology, UPLINK},
};

/// How often the daemon reads the programs' record of each station's last frame.
const ACTIVITY_INTERVAL: Duration = Duration::from_millis(500);

/// How long that may take, microseconds.
const READING: usize = 200;

/// The S flag.
const SIMULTANEOUS: u8 = 0x80;

/// What an access point does to the world.
#[derive(Debug)]
pub enum Output {
    /// A registration message leaves by the uplink.
    Send(Transmit),
    /// A frame with the client's MAC is broadcast on the uplink; a gratuitous ARP if `announces`.
    Broadcast {
        /// The client's MAC.
        mac: MacAddress,
        /// What is announced.
        announces: Option<Ipv4Addr>,
    },
    /// Who is an agent here?
    Solicit(Vec<u8>),
    /// A unicast ARP request to a client.
    Ask(MacAddress),
    /// A station is treated so from now on; `None` = it is forgotten.
    Station(MacAddress, Option<StationState>),
}

/// The agent on the box.
#[derive(Debug)]
pub struct Agent {
    /// The state machine.
    pub proxy: Proxy,
    /// Which agents there are.
    pub listener: Listener,
    preferred: Option<Ipv4Addr>,
    next_activity: Instant,
}

impl Agent {
    /// Tells the proxy which agents there are, the preferred foreign agent first.
    fn tell_proxy(&mut self, now: Now, actions: &mut Vec<Action>) {
        let is_preferred = |agent: &&discovery::Agent| Some(agent.address) == self.preferred;
        let (preferred, others): (Vec<_>, Vec<_>) = self.listener.agents().iter().partition(is_preferred);
        let others = others.into_iter().filter(|agent| !self.listener.is_overdue(agent, now.instant));
        let foreign_agents = preferred.into_iter().chain(others).map(ForeignAgentInfo::from);
        let foreign_agents = foreign_agents.filter(ForeignAgentInfo::is_usable).collect();
        let home_agents = self.listener.agents().iter().filter(|agent| agent.advertisement.flags.home_agent);
        let home_agents = home_agents
            .map(|agent| HomeAgentOnLink { address: HomeAgentAddress(agent.address), mac: agent.mac })
            .collect();
        self.proxy.agents_changed(now, foreign_agents, home_agents, actions);
    }
}

/// An access point.
#[derive(Debug)]
pub struct AccessPoint {
    /// Its number.
    pub index: usize,
    /// The subnet that it is in.
    pub subnet: usize,
    /// The agent; `None` while it does not run.
    pub agent: Option<Agent>,
    /// Whether it has current.
    pub powered: bool,
    /// Whether its uplink works.
    pub plugged: bool,
    /// Its maps.
    pub kernel: Kernel,
    /// Its clocks.
    pub clock: NodeClock,
    /// Its state store.
    pub disk: Disk<MacAddress, ClientRecord>,
    /// Whether it does its work.
    pub stability: Stability,
    /// When it is planned to be woken.
    pub wake: Option<Instant>,
    /// What signs requests that are to keep former bindings.
    keeper: Option<Arc<MobileHomeAssociations>>,
    starts: u64,
    jitter: Stream,
}

impl AccessPoint {
    /// An access point whose agent is to be started.
    pub fn new(index: usize, topology: &Topology, clock: NodeClock) -> Self {
        let subnet = topology.subnet_of(index);
        Self {
            index,
            subnet,
            agent: None,
            powered: true,
            plugged: true,
            kernel: Kernel::new(topology::subnet_prefix(subnet)),
            clock,
            disk: Disk::default(),
            stability: Stability::at_the_beginning(),
            wake: None,
            keeper: topology.keeper(),
            starts: 0,
            jitter: Stream::new(0, Purpose::Role, index),
        }
    }

    /// Starts the agent: it takes up the clients of its records, and lets go what the kernel has beyond them.
    pub fn start(&mut self, at: Instant, seed: u64, topology: &Topology, out: &mut Vec<Output>) {
        self.starts += 1;
        self.clock.restart(at);
        let mut random = Stream::new(seed ^ (self.starts << 40), Purpose::Role, self.index);
        let (proxy, listener) = (random.number(), random.number());
        self.agent = Some(Agent {
            proxy: Proxy::new(topology.proxy(self.subnet), proxy),
            listener: Listener::new(topology::access_point_address(self.subnet, self.index), listener),
            preferred: None,
            next_activity: Instant::default(),
        });
        let adopted: Vec<_> = self.kernel.stations().map(|(mac, _)| mac).collect();
        let records: Vec<_> = self.disk.records().map(|(_, record)| record.clone()).collect();
        let claimed: Vec<_> = records.iter().map(|record| MacAddress(record.mac)).collect();
        let stored = self.clock.stored(at);
        self.drive(at, out, |agent, _, actions| agent.proxy.restore(stored, records, actions));
        for mac in adopted {
            if !claimed.contains(&mac) {
                self.kernel.remove_station(mac);
                self.kernel.forget_seen(mac);
                out.push(Output::Station(mac, None));
            }
        }
        self.take_events(at, out);
    }

    /// The agent stops. In good order everything is on disk; else what was written a moment ago is lost. Returns the MACs
    /// of lost records.
    pub fn stop(&mut self, at: Instant, in_order: bool) -> Vec<MacAddress> {
        self.agent = None;
        if in_order {
            self.disk.close();
        }
        self.disk.crash(at)
    }

    /// Hands over what the programs have reported.
    pub fn take_events(&mut self, at: Instant, out: &mut Vec<Output>) {
        while self.agent.is_some()
            && let Some(event) = self.kernel.take_event()
        {
            self.drive(at, out, |agent, now, actions| {
                agent.proxy.handle_event(now, event, actions);
                if matches!(event, Event::Visitor { .. }) && agent.listener.foreign_agent().is_none() {
                    agent.listener.solicit(now.instant);
                }
            });
        }
    }

    /// A station associates, whose address is remembered. Says whether there is an agent to hear of it.
    pub fn associate(&mut self, at: Instant, mac: MacAddress, address: Ipv4Addr, out: &mut Vec<Output>) -> bool {
        let event = Event::Associated { interface: RADIO, mac, address, just_now: true };
        self.drive(at, out, |agent, now, actions| agent.proxy.handle_event(now, event, actions));
        self.agent.is_some()
    }

    /// The cable of the uplink is out, or in again: the kernel tells.
    pub fn change_uplink(&mut self, at: Instant, out: &mut Vec<Output>) {
        self.drive(at, out, |agent, now, actions| {
            agent.listener.link_changed(now.instant);
            agent.proxy.link_changed(now, actions);
        });
    }

    /// A datagram of the registration port comes by the uplink, in a frame to `mac`. The programs hand it to the agent if
    /// they know the station.
    pub fn receive(
        &mut self,
        at: Instant,
        mac: MacAddress,
        source_mac: MacAddress,
        transmit: &Transmit,
        out: &mut Vec<Output>,
    ) {
        if self.kernel.station(mac).is_none() {
            return;
        }
        let received = transmit.arrival(UPLINK, Some(source_mac));
        self.drive(at, out, |agent, now, actions| agent.proxy.handle_reply(now, &received, actions));
    }

    /// An advertisement comes by the uplink.
    pub fn hear_advertisement(
        &mut self,
        at: Instant,
        source_mac: MacAddress,
        packet: &IcmpPacket<'_>,
        out: &mut Vec<Output>,
    ) {
        let now = self.clock.now(at);
        let Some(agent) = &mut self.agent else { return };
        let mut actions = Vec::new();
        agent.listener.handle_advertisement(now.instant, source_mac, packet, &mut actions);
        self.apply_discovery(at, actions, out);
        self.drive(at, out, |agent, now, actions| {
            let heard = agent.listener.agent(packet.source);
            if let Some(challenge) = heard.and_then(|agent| agent.advertisement.challenge.as_deref()) {
                agent.proxy.challenge_heard(now, packet.source, challenge, actions);
            }
        });
    }

    /// When the agent wants to be woken, by its own clock.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let agent = self.agent.as_ref()?;
        let activity = (!agent.proxy.is_idle()).then_some(agent.next_activity);
        [agent.proxy.poll_timeout(), agent.listener.poll_timeout(), activity].into_iter().flatten().min()
    }

    /// Whether the time stamps of the programs are about to be read.
    pub fn reads_activity(&self, at: Instant) -> bool {
        let now = self.clock.instant(at);
        self.agent.as_ref().is_some_and(|agent| agent.next_activity <= now && !agent.proxy.is_idle())
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, at: Instant, out: &mut Vec<Output>) {
        if self.reads_activity(at) {
            let now = self.clock.now(at);
            let mut actions = Vec::new();
            if let Some(agent) = &mut self.agent {
                agent.next_activity = now.instant + ACTIVITY_INTERVAL;
                for (mac, station) in self.kernel.stations() {
                    // The daemon reads its clock a little before it reads the time stamps.
                    let late = Duration::from_micros(self.jitter.below(READING) as u64);
                    let silence = self.clock.elapsed(station.last_seen, at) + late;
                    let Some(seen) = now.instant.0.checked_sub(silence).map(Instant) else { continue };
                    agent.proxy.last_active(now, mac, seen, &mut actions);
                }
            }
            self.apply(at, actions, out);
        }
        let now = self.clock.now(at);
        let Some(agent) = &mut self.agent else { return };
        let mut actions = Vec::new();
        agent.listener.handle_timeout(now.instant, &mut actions);
        self.apply_discovery(at, actions, out);
        self.drive(at, out, |agent, now, actions| agent.proxy.handle_timeout(now, actions));
    }

    fn drive(&mut self, at: Instant, out: &mut Vec<Output>, run: impl FnOnce(&mut Agent, Now, &mut Vec<Action>)) {
        let now = self.clock.now(at);
        let Some(agent) = &mut self.agent else { return };
        let mut actions = Vec::new();
        run(agent, now, &mut actions);
        self.apply(at, actions, out);
    }

    fn apply_discovery(&mut self, at: Instant, actions: Vec<ListenerAction>, out: &mut Vec<Output>) {
        let mut changed = false;
        for action in actions {
            match action {
                ListenerAction::Solicit { icmp, .. } => out.push(Output::Solicit(icmp)),
                ListenerAction::RegistrationRevoked { agent, home_address: address, busy } => {
                    let event = Event::Dismissed { address, agent, busy };
                    self.drive(at, out, |agent, now, actions| agent.proxy.handle_event(now, event, actions));
                }
                ListenerAction::AgentFound(_)
                | ListenerAction::AgentLost(_)
                | ListenerAction::AgentChanged(_)
                | ListenerAction::AgentRebooted(_) => changed = true,
            }
        }
        self.drive(at, out, |agent, now, actions| {
            let preferred = agent.listener.foreign_agent().map(|agent| agent.address);
            if changed || preferred != agent.preferred {
                agent.preferred = preferred;
                agent.tell_proxy(now, actions);
            }
        });
    }

    fn apply(&mut self, at: Instant, actions: Vec<Action>, out: &mut Vec<Output>) {
        for action in actions {
            match action {
                Action::Send(mut transmit) => {
                    if let Some(keeper) = &self.keeper {
                        keep_bindings(&mut transmit.payload, keeper);
                    }
                    out.push(Output::Send(transmit));
                }
                Action::SetStation { mac, station, .. } => {
                    self.kernel.set_station(at, mac, station);
                    out.push(Output::Station(mac, Some(station)));
                }
                Action::RemoveStation { mac } => {
                    self.kernel.remove_station(mac);
                    out.push(Output::Station(mac, None));
                }
                Action::ProbeAttachment { mac, .. } | Action::TellClientGateway { mac, .. } => {
                    out.push(Output::Ask(mac));
                }
                Action::AnnounceOnUplink { mac, address } => {
                    out.push(Output::Broadcast { mac, announces: Some(address.0) });
                }
                Action::UpdateSwitches { mac } => out.push(Output::Broadcast { mac, announces: None }),
                // Who could not be served has no station, and is noticed anew when it speaks next.
                Action::ForgetSeen { mac } => {
                    self.kernel.forget_seen(mac);
                    if !matches!(out.last(), Some(Output::Station(known, None)) if *known == mac) {
                        out.push(Output::Station(mac, None));
                    }
                }
                Action::ClientChanged { mac } => {
                    let stored = self.clock.stored(at);
                    let record = self.agent.as_ref().and_then(|agent| agent.proxy.record(stored, mac));
                    self.disk.write(at, mac, record);
                }
                // Packets are not simulated, only whether they would arrive.
                _ => {}
            }
        }
    }
}

/// Sets S in a registration request, as a mobile node may that hears several foreign agents, and signs it anew.
fn keep_bindings(payload: &mut Vec<u8>, associations: &MobileHomeAssociations) {
    let Ok((request, extensions)) = RegistrationRequest::parse(payload) else { return };
    let signature = extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).next().map(|signature| signature.offset);
    if let (Some(end), Some(association)) = (signature, associations.primary(request.home_address))
        && request.lifetime != Lifetime::DEREGISTER
    {
        payload.truncate(end);
        payload[1] |= SIMULTANEOUS;
        association.sign(payload, kind::MOBILE_HOME_AUTHENTICATION);
    }
}
