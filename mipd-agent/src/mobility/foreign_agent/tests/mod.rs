//! Tests of the foreign agent on a simulated clock; here is what they share.

mod challenge;
mod hostile;
mod replies;
mod requests;
mod revocation;
mod tunnels;
mod uncarried;
mod visitors;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_common::mac::MacAddress;
use proptest::prelude::*;

use super::{AccessInterface, Action, Config, Discard, ForeignAgent, Unreachable, VisitorRecord};
use crate::{
    mobility::{
        fixtures::*,
        link::{InterfaceIndex, Path, Received, Transmit},
        reverse_tunnel::ReverseTunnel,
        security::{Peer, PeerAssociations, SecurityAssociation, ViolationReason},
        time::Now,
        tunnel::{Delivery, TunnelMode},
    },
    wire::{
        extension::kind,
        foreign_agent_error,
        registration::{RegistrationReply, RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const OTHER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 9, 9]);

fn config() -> Config {
    Config {
        own_addresses: vec![CARE_OF, Ipv4Addr::new(10, 0, 2, 2)],
        maximum_pending: 20,
        maximum_visitors: 100,
        ..Config::new(CareOfAddress(CARE_OF), vec![AccessInterface { interface: ACCESS_LINK, address: CARE_OF }])
    }
}

fn sharing(peer: Ipv4Addr, association: SecurityAssociation) -> Arc<PeerAssociations> {
    Arc::new(PeerAssociations::new([(Peer::Address(peer), association)]).unwrap())
}

fn with_home_association() -> Config {
    Config { foreign_home: sharing(HOME_AGENT, agents_key()), ..config() }
}

/// The key that the client shares with the foreign agent.
fn visitor_key() -> SecurityAssociation {
    association(2000, 20)
}

fn with_mobile_association() -> Config {
    Config { mobile_foreign: sharing(HOME, visitor_key()), ..config() }
}

/// A foreign agent on a simulated clock.
struct Bench {
    agent: ForeignAgent,
    clock: Clock,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { agent: ForeignAgent::new(config, 1), clock: Clock::new() }
    }

    fn now(&self) -> Now {
        self.clock.0
    }

    fn fresh(&mut self) -> RegistrationRequest {
        self.clock.advance(Duration::from_millis(1));
        request(self.now())
    }

    fn receive(&mut self, received: &Received<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_request(self.clock.0, received, &mut actions);
        actions
    }

    /// The client asks; the foreign agent must relay.
    fn ask(&mut self, change: impl FnOnce(&mut RegistrationRequest)) -> RegistrationRequest {
        let mut request = self.fresh();
        change(&mut request);
        let actions = self.receive(&from_client(&signed(&request, &client_key())));
        assert_eq!(sent(&actions).path, Path::Routed);
        request
    }

    fn answer(&mut self, payload: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_reply(self.clock.0, &from_home_agent(payload), &mut actions);
        actions
    }

    /// The home agent accepts for as long as was asked.
    fn accept(&mut self, request: &RegistrationRequest) -> Vec<Action> {
        self.answer(&signed_reply(&reply_to(request)))
    }

    fn register(&mut self) -> RegistrationRequest {
        let request = self.ask(|_| {});
        self.accept(&request);
        assert!(self.visitor().is_some());
        request
    }

    fn run(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.clock.0.instant + duration;
        let mut actions = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.clock.advance_to(at);
            self.agent.handle_timeout(self.clock.0, &mut actions);
        }
        self.clock.advance_to(end);
        actions
    }

    fn visitor(&self) -> Option<&super::VisitorEntry> {
        self.agent.visitor(HomeAgentAddress(HOME_AGENT), HomeAddress(HOME))
    }
}

fn from_home_agent(payload: &[u8]) -> Received<'_> {
    Received { source: HOME_AGENT, destination: CARE_OF, ..through_foreign_agent(payload) }
}

fn reply_to(request: &RegistrationRequest) -> RegistrationReply {
    RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: request.lifetime,
        home_address: request.home_address,
        home_agent: request.home_agent,
        identification: request.identification,
    }
}

fn signed_reply(reply: &RegistrationReply) -> Vec<u8> {
    let mut message = Vec::new();
    reply.emit(&mut message);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
}

fn sent(actions: &[Action]) -> &Transmit {
    let mut sent = actions.iter().filter_map(|action| match action {
        Action::Send(transmit) => Some(transmit),
        _ => None,
    });
    let transmit = sent.next().expect("a datagram is sent");
    assert!(sent.next().is_none(), "only one datagram is sent");
    transmit
}

fn to_client() -> Path {
    Path::Frame { interface: ACCESS_LINK, destination: CLIENT_MAC, source: None }
}

/// The code of the only action, a reply to the client.
fn told(actions: &[Action]) -> ReplyCode {
    assert!(matches!(actions, [Action::Send(_)]), "only a reply: {actions:?}");
    let transmit = sent(actions);
    assert_eq!(transmit.path, to_client());
    assert_eq!((transmit.source, transmit.source_port), (CARE_OF, 434));
    assert_eq!(transmit.destination_port, CLIENT_PORT);
    read_reply(transmit).code
}

/// The home agent's code, and ours in extension 45 behind what the client authenticates (RFC 4636 §3).
fn refused(actions: &[Action]) -> (ReplyCode, ReplyCode) {
    let code = told(actions);
    let (_, extensions) = RegistrationReply::parse(&sent(actions).payload).unwrap();
    let authenticator = extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).next().expect("the home agent's own");
    let error = foreign_agent_error::find(&extensions.since(authenticator.end())).expect("our code beside it");
    assert!(is_signed(sent(actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    (code, error)
}

fn install(mac: MacAddress, interface: InterfaceIndex, reverse_tunnel: bool) -> Action {
    Action::InstallVisitor {
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(CARE_OF),
        mac,
        interface,
        tunnel: TunnelMode { reverse: reverse_tunnel.then(Delivery::default), ..TunnelMode::default() },
    }
}

const REMOVED: Action =
    Action::RemoveVisitor { home_address: HomeAddress(HOME), home_agent: HomeAgentAddress(HOME_AGENT) };
const CHANGED: Action =
    Action::VisitorChanged { home_agent: HomeAgentAddress(HOME_AGENT), home_address: HomeAddress(HOME) };

/// The denial that a request gets from a fresh foreign agent.
fn denial(config: Config, received: impl FnOnce(&mut RegistrationRequest, &mut Received<'_>)) -> ReplyCode {
    let mut bench = Bench::new(config);
    let mut request = bench.fresh();
    let mut template = from_client(&[]);
    received(&mut request, &mut template);
    let message = signed(&request, &client_key());
    let actions = bench.receive(&Received { payload: &message, ..template });
    let code = told(&actions);
    let reply = read_reply(sent(&actions));
    assert_eq!(
        (reply.home_address, reply.home_agent, reply.identification),
        (request.home_address, request.home_agent, request.identification)
    );
    assert_eq!(bench.agent.counters().denied.get(code), 1);
    assert_eq!(bench.agent.pending().count(), 0);
    code
}

fn denial_of(config: Config, change: impl FnOnce(&mut RegistrationRequest)) -> ReplyCode {
    denial(config, |request, _| change(request))
}

fn denial_of_bytes(config: Config, message: impl FnOnce(&RegistrationRequest) -> Vec<u8>) -> ReplyCode {
    let mut bench = Bench::new(config);
    let message = message(&bench.fresh());
    let code = told(&bench.receive(&from_client(&message)));
    assert_eq!(bench.agent.pending().count(), 0);
    code
}

/// What a datagram is dropped for.
fn silence(received: impl FnOnce(&mut Received<'_>), message: impl FnOnce(&RegistrationRequest) -> Vec<u8>) -> Discard {
    let mut bench = Bench::new(config());
    let message = message(&bench.fresh());
    let mut template = from_client(&[]);
    received(&mut template);
    assert_eq!(bench.receive(&Received { payload: &message, ..template }), []);
    let reasons: Vec<_> = bench.agent.counters().discarded.iter().collect();
    let [(reason, 1)] = reasons[..] else { panic!("one datagram, one reason: {reasons:?}") };
    reason
}
