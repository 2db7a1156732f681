//! The proxy on a simulated clock: a scene with one access point, and agents played by the test.

mod addresses;
mod agents;
mod association;
mod bounds;
mod challenge;
mod codes;
mod denials;
mod downloads;
mod encapsulation;
mod foreign_authentication;
mod home;
mod hostile;
mod identification;
mod message;
mod presence;
mod refusals;
mod replies;
mod restart;
mod trail;
mod visit;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_common::mac::MacAddress;

use super::*;
use crate::{
    mobility::{
        link::{Path, Transmit},
        security::{MobileHomeAssociations, Peer, PeerAssociations, SecurityAssociation},
    },
    wire::{
        advertisement::AgentFlags,
        authentication::{Algorithm, Key},
        extension::kind,
        registration::RegistrationRequest,
        types::{CareOfAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi},
    },
};

const UPLINK: InterfaceIndex = InterfaceIndex(2);
const RADIO: InterfaceIndex = InterfaceIndex(3);
const OTHER_RADIO: InterfaceIndex = InterfaceIndex(4);
const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x10]);
const FOREIGN_AGENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfa]);
const HOME_AGENT_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xaa]);
const HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const HOME_AGENT: HomeAgentAddress = HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 1));
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 77);
const LOCAL_AGENT: HomeAgentAddress = HomeAgentAddress(Ipv4Addr::new(10, 2, 0, 1));
const PORT: u16 = 40434;
const SPI: u32 = 256;

fn key() -> Key {
    Key::from_bytes((0..16).collect()).unwrap()
}

fn config() -> Config {
    let association = association(SPI);
    let ranges = ["10.1.0.0/24", "10.2.0.0/25", "10.7.0.0/24"];
    let associations = ranges.map(|range| (range.parse().unwrap(), association.clone()));
    let mask = Ipv4Addr::new(255, 255, 255, 0);
    Config {
        subnet_map: SubnetMap::from_entries([
            (HOME_AGENT, mask),
            (LOCAL_AGENT, mask),
            (HomeAgentAddress(Ipv4Addr::new(10, 8, 0, 1)), mask),
        ])
        .unwrap(),
        associations: Arc::new(MobileHomeAssociations::new(associations).unwrap()),
        registration_port: PORT,
        maximum_clients: 16,
        ..Config::new(UPLINK, vec!["10.2.0.0/24".parse().unwrap()])
    }
}

fn foreign_agent() -> ForeignAgentInfo {
    ForeignAgentInfo {
        address: LOCAL_AGENT.0,
        mac: FOREIGN_AGENT,
        care_of_addresses: vec![CareOfAddress(LOCAL_AGENT.0)],
        registration_lifetime: Lifetime(36000),
        flags: AgentFlags { foreign_agent: true, ..AgentFlags::default() },
        challenge: None,
        reboots: 0,
    }
}

/// The same, with reverse tunnels.
fn tunnelling_agent() -> ForeignAgentInfo {
    let flags = AgentFlags { reverse_tunnel: true, ..foreign_agent().flags };
    ForeignAgentInfo { flags, ..foreign_agent() }
}

fn home_agents() -> Vec<HomeAgentOnLink> {
    vec![HomeAgentOnLink { address: LOCAL_AGENT, mac: HOME_AGENT_MAC }]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

struct Scene {
    proxy: Proxy,
    now: Now,
    /// Everything asked for since it was last looked at.
    actions: Vec<Action>,
    /// Whether the client answers probes.
    attached: bool,
    /// All requests sent, in order, and when.
    requests: Vec<(Instant, RegistrationRequest)>,
}

impl Scene {
    fn with(config: Config) -> Self {
        let start = Now { instant: Instant(seconds(1000)), wall: Identification(0xe5a1_b2c3_0000_0000) };
        let mut proxy = Proxy::new(config, 7);
        let mut actions = vec![];
        proxy.agents_changed(start, vec![foreign_agent()], home_agents(), &mut actions);
        assert_eq!(actions, [], "nobody is here yet");
        Self { proxy, now: start, actions, attached: true, requests: vec![] }
    }

    fn new() -> Self {
        Self::with(config())
    }

    /// A scene whose client is registered for `lifetime`.
    fn registered() -> Self {
        let mut scene = Self::new();
        scene.visit();
        scene.accept();
        scene.take();
        scene
    }

    fn at(&self, later: Duration) -> Now {
        let units = (u64::from(later.subsec_nanos()) << 32) / 1_000_000_000;
        Now {
            instant: self.now.instant + later,
            wall: Identification(self.now.wall.0.wrapping_add((later.as_secs() << 32) + units)),
        }
    }

    fn event(&mut self, event: Event) {
        self.drive(|proxy, now, actions| proxy.handle_event(now, event, actions));
    }

    fn visit(&mut self) {
        self.event(Event::Visitor { interface: RADIO, mac: CLIENT, address: HOME });
    }

    fn come_home(&mut self) {
        self.event(Event::Local { interface: RADIO, mac: CLIENT, address: LOCAL });
    }

    /// The client sends something that the kernel's time stamps show.
    fn speak(&mut self) {
        let at = self.now.instant;
        self.drive(|proxy, now, actions| proxy.last_active(now, CLIENT, at, actions));
    }

    fn agent(&mut self, agents: impl IntoIterator<Item = ForeignAgentInfo>) {
        let agents = agents.into_iter().collect();
        self.drive(|proxy, now, actions| proxy.agents_changed(now, agents, home_agents(), actions));
    }

    /// Runs the proxy, records what it sends, answers its probes.
    fn drive(&mut self, run: impl FnOnce(&mut Proxy, Now, &mut Vec<Action>)) {
        let mut actions = vec![];
        run(&mut self.proxy, self.now, &mut actions);
        let mut probed = false;
        for action in &actions {
            match action {
                Action::Send(transmit) => self.requests.push((self.now.instant, request_in(transmit))),
                Action::ProbeAttachment { mac, .. } => probed |= *mac == CLIENT,
                _ => {}
            }
        }
        self.actions.extend(actions);
        if probed && self.attached {
            self.event(Event::Attached { mac: CLIENT });
        }
    }

    /// Lets time pass and timers run.
    fn advance(&mut self, duration: Duration) {
        let end = self.at(duration);
        while let Some(due) = self.proxy.poll_timeout().filter(|due| *due <= end.instant) {
            self.now = self.at(due.since(self.now.instant));
            self.drive(Proxy::handle_timeout);
            let next = self.proxy.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now.instant), "a timer did not move on");
        }
        self.now = self.at(end.instant.since(self.now.instant));
    }

    /// Like [`advance`](Self::advance), with the client talking all the time.
    fn talk(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        while self.now.instant < end {
            self.advance(milliseconds(500).min(end.since(self.now.instant)));
            self.speak();
        }
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn last_request(&self) -> RegistrationRequest {
        self.requests.last().expect("no request was sent").1
    }

    fn sent_at(&self) -> Vec<u64> {
        self.requests.iter().map(|(at, _)| at.since(Instant(seconds(1000))).as_millis() as u64).collect()
    }

    /// A reply to the last request, before it is signed.
    fn reply(&self, code: ReplyCode) -> RegistrationReply {
        let request = self.last_request();
        RegistrationReply {
            code,
            lifetime: request.lifetime,
            home_address: request.home_address,
            home_agent: request.home_agent,
            identification: request.identification,
        }
    }

    fn deliver(&mut self, payload: &[u8]) {
        let received = Received {
            payload,
            source: LOCAL_AGENT.0,
            source_port: 434,
            destination: HOME,
            destination_port: PORT,
            ttl: 64,
            interface: UPLINK,
            source_mac: Some(FOREIGN_AGENT),
        };
        self.drive(|proxy, now, actions| proxy.handle_reply(now, &received, actions));
    }

    fn accept(&mut self) {
        self.deliver(&signed(&self.reply(ReplyCode::ACCEPTED)));
    }

    fn deny(&mut self, code: ReplyCode) {
        let reply = self.reply(code);
        self.deliver(&if code.is_from_home_agent() { signed(&reply) } else { plain(&reply) });
    }

    fn status(&self) -> ClientStatus {
        self.proxy.clients().find(|client| client.mac == CLIENT).expect("the client is known")
    }

    fn state(&self) -> &'static str {
        self.proxy.clients().find(|client| client.mac == CLIENT).map_or("gone", |client| client.state)
    }

    fn counters(&self) -> &Counters {
        self.proxy.counters()
    }
}

fn association(spi: u32) -> SecurityAssociation {
    SecurityAssociation::new(Spi::new(spi).unwrap(), Algorithm::HmacMd5, key())
}

/// Shared with every foreign agent in the scenes that have one.
fn foreign_key() -> SecurityAssociation {
    association(400)
}

fn with_foreign_key(config: Config) -> Config {
    Config { mobile_foreign: Arc::new(PeerAssociations::new([(Peer::Any, foreign_key())]).unwrap()), ..config }
}

/// The last request, whole.
fn last_message(scene: &Scene) -> Vec<u8> {
    transmits(&scene.actions).last().expect("no request was sent").payload.clone()
}

/// The types of the extensions of a request.
fn extension_kinds(message: &[u8]) -> Vec<u8> {
    RegistrationRequest::parse(message).unwrap().1.iter().map(|extension| extension.kind).collect()
}

fn plain(reply: &RegistrationReply) -> Vec<u8> {
    let mut payload = vec![];
    reply.emit(&mut payload);
    payload
}

fn signed_with(reply: &RegistrationReply, spi: u32, key: Key) -> Vec<u8> {
    let mut payload = plain(reply);
    let association = SecurityAssociation::new(Spi::new(spi).unwrap(), Algorithm::HmacMd5, key);
    association.sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);
    payload
}

fn signed(reply: &RegistrationReply) -> Vec<u8> {
    signed_with(reply, SPI, key())
}

fn request_in(transmit: &Transmit) -> RegistrationRequest {
    RegistrationRequest::parse(&transmit.payload).unwrap().0
}

fn hold() -> Action {
    set(StationState::Hold { home_address: HomeAddress(HOME) })
}

fn forwarded_to(agent_mac: MacAddress) -> StationState {
    StationState::Forward { home_address: HomeAddress(HOME), agent_mac, wrapped_for: None, home_agent: HOME_AGENT }
}

fn forward() -> Action {
    set(forwarded_to(FOREIGN_AGENT))
}

fn set(station: StationState) -> Action {
    Action::SetStation { mac: CLIENT, station, interface: RADIO }
}

fn transmits(actions: &[Action]) -> Vec<&Transmit> {
    actions
        .iter()
        .filter_map(|action| if let Action::Send(transmit) = action { Some(transmit) } else { None })
        .collect()
}

/// The actions other than requests and questions.
fn effects(actions: Vec<Action>) -> Vec<Action> {
    let is_question = |action: &Action| matches!(action, Action::Solicit | Action::ProbeAttachment { .. });
    let is_effect = |action: &Action| !matches!(action, Action::Send(_)) && !is_question(action);
    actions.into_iter().filter(is_effect).collect()
}
