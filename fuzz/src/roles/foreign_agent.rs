//! The foreign agent.

use std::{net::Ipv4Addr, sync::Arc};

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::{
        foreign_agent::{AccessInterface, Action, Config, ForeignAgent, VisitorEntry, VisitorRecord},
        link::{InterfaceIndex, Path, Received, Transmit},
        reverse_tunnel::ReverseTunnel,
        security::{Peer, PeerAssociations},
        tunnel::Encapsulation,
    },
    wire::{
        dynamic_home_agent::DynamicHomeAgent,
        extension::kind,
        registration::{RegistrationReply, RegistrationRequest},
        types::{CareOfAddress, HomeAgentAddress, Identification},
    },
};

use super::{
    Clock, Counted, Pause,
    message::{FOREIGN_AGENT, HOME_AGENT, Place, Reply, Request, Revoking, foreign_home, home_address, mac},
    steps,
};

const MAXIMUM_VISITORS: usize = 3;
const MAXIMUM_PENDING: usize = 6;
const MAXIMUM_PENDING_PER_CLIENT: usize = 3;
const ACCESS: InterfaceIndex = InterfaceIndex(5);
const CORE: InterfaceIndex = InterfaceIndex(7);
/// How many relayed requests are remembered, to be answered.
const REMEMBERED: usize = 8;

#[derive(Arbitrary, Debug)]
enum Step {
    Request { request: Request, from: u8, source: Place, destination: Place, ttl: u8 },
    Reply { to: u8, reply: Reply, source: Place },
    Revoking { message: Revoking, source: Place },
    Bytes { bytes: Vec<u8>, from_core: bool },
    Pass(Pause),
    Remove(u8),
    Restart,
}

/// Any sequence of requests, replies, pauses, orders of the operator and restarts.
pub fn check(data: &[u8]) {
    let mut world = World::new();
    for step in steps(data) {
        world.take(&step);
    }
}

fn config() -> Config {
    let access = AccessInterface { interface: ACCESS, address: FOREIGN_AGENT };
    Config {
        maximum_visitors: MAXIMUM_VISITORS,
        maximum_pending: MAXIMUM_PENDING,
        maximum_pending_per_client: MAXIMUM_PENDING_PER_CLIENT,
        reverse_tunnel: ReverseTunnel::Offered,
        encapsulations: Encapsulation::ALL.into_iter().collect(),
        encapsulating_delivery: true,
        foreign_home: Arc::new(PeerAssociations::new([(Peer::Address(HOME_AGENT), foreign_home())]).expect("one peer")),
        ..Config::new(CareOfAddress(FOREIGN_AGENT), vec![access])
    }
}

struct World {
    agent: ForeignAgent,
    clock: Clock,
    counted: Counted,
    last: Identification,
    relayed: Vec<RegistrationRequest>,
    revocation: Option<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            agent: ForeignAgent::new(config(), 1),
            clock: Clock::new(),
            counted: Counted::default(),
            last: Identification(0),
            relayed: Vec::new(),
            revocation: None,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Request { request, from, source, destination, ttl } => {
                let (sent, message, _) = request.build(self.clock.0, self.last);
                self.last = sent.identification;
                let (source, destination) = (source.address(sent.home_address), destination.address(sent.home_address));
                self.request(&message, *from, source, destination, *ttl);
            }
            Step::Reply { to, reply, source } => {
                let Some(request) = self.relayed.get(usize::from(*to) % REMEMBERED).copied() else { return };
                let (answer, message, authentic) = reply.build(&request);
                let before = self.visitors();
                self.arrive_from_core(&message, source.address(answer.home_address));
                let changed = before != self.visitors();
                let shared = request.home_agent.0 == HOME_AGENT;
                // Without a key between the agents nobody can tell a forged reply.
                let trusted = !shared || authentic.from_agent || request.lifetime.0 == 0;
                assert!(!changed || (answer.code.is_accepted() && trusted), "{answer:?} changed the visitors");
            }
            Step::Revoking { message, source } => {
                let (payload, authentic) = message.build(self.revocation);
                let before = self.visitors();
                self.arrive_from_core(&payload, source.address(home_address(message.client)));
                assert!(before == self.visitors() || authentic.from_agent, "revoked without the agents' key");
            }
            Step::Bytes { bytes, from_core: true } => {
                let before = self.visitors();
                self.arrive_from_core(bytes, HOME_AGENT);
                assert_eq!(before, self.visitors(), "bytes without a key changed the visitors: {bytes:02x?}");
            }
            Step::Bytes { bytes, .. } => self.request(bytes, 0, home_address(0).0, FOREIGN_AGENT, 255),
            Step::Pass(pause) => {
                let handle = |agent: &mut ForeignAgent, now| agent.handle_timeout(now, &mut Vec::new());
                self.clock.run(pause.duration(), &mut self.agent, ForeignAgent::poll_timeout, handle);
            }
            Step::Remove(client) => {
                let (home_agent, home_address) = (HomeAgentAddress(HOME_AGENT), home_address(*client));
                let had = self.agent.visitor(home_agent, home_address).is_some();
                let removed = self.agent.remove_visitor(self.clock.0, home_agent, home_address, &mut Vec::new());
                assert_eq!((had, self.agent.visitor(home_agent, home_address).is_some()), (removed, false));
            }
            Step::Restart => self.restart(),
        }
        self.check();
    }

    fn request(&mut self, payload: &[u8], from: u8, source: Ipv4Addr, destination: Ipv4Addr, ttl: u8) {
        let received = Received {
            payload,
            source,
            source_port: 40_434,
            destination,
            destination_port: 434,
            ttl: if ttl < 128 { 255 } else { ttl },
            interface: ACCESS,
            source_mac: Some(mac(from)),
        };
        let before = self.visitors();
        let mut actions = Vec::new();
        self.agent.handle_request(self.clock.0, &received, &mut actions);
        assert_eq!(before, self.visitors(), "a request changed the visitors");
        let sent = actions.iter().filter_map(|action| match action {
            Action::Send(transmit) => Some(transmit),
            _ => None,
        });
        let sent: Vec<&Transmit> = sent.collect();
        assert!(sent.len() <= 1, "{} messages for one request", sent.len());
        for transmit in sent {
            if let Ok(relayed) = RegistrationRequest::parse_fixed(&transmit.payload) {
                let to = (transmit.source, transmit.destination);
                assert_eq!(to, (FOREIGN_AGENT, destination_of(&relayed, payload)), "{relayed:?}");
                assert!(transmit.payload.starts_with(protected(payload)), "what the client signed was changed");
                self.relayed.insert(0, relayed);
                self.relayed.truncate(REMEMBERED);
            } else {
                assert_denial(transmit, received.source_mac.map(|mac| mac.0));
            }
        }
    }

    fn arrive_from_core(&mut self, payload: &[u8], source: Ipv4Addr) {
        let received = Received {
            payload,
            source,
            source_port: 434,
            destination: FOREIGN_AGENT,
            destination_port: 434,
            ttl: 60,
            interface: CORE,
            source_mac: None,
        };
        let mut actions = Vec::new();
        self.agent.handle_reply(self.clock.0, &received, &mut actions);
        assert!(actions.len() <= 16, "{} actions for one datagram", actions.len());
    }

    fn visitors(&self) -> Vec<VisitorEntry> {
        self.agent.visitors().copied().collect()
    }

    fn restart(&mut self) {
        let now = self.clock.0;
        let before = self.visitors();
        let records: Vec<VisitorRecord> = before
            .iter()
            .filter_map(|visitor| self.agent.record(now, visitor.home_agent, visitor.home_address))
            .map(|record| {
                let text = serde_json::to_vec(&record).expect("a record can be written");
                serde_json::from_slice(&text).expect("and read")
            })
            .collect();
        assert_eq!(records.len(), before.len(), "a visitor without a record");
        self.agent = ForeignAgent::new(config(), 1);
        self.agent.restore(now, records, &mut Vec::new());
        let name = |visitor: &VisitorEntry| (visitor.home_agent, visitor.home_address, visitor.care_of_address);
        let after = self.visitors();
        assert!(before.iter().map(name).eq(after.iter().map(name)), "a restart changed {before:?} to {after:?}");
        self.counted = Counted::default();
    }

    fn check(&mut self) {
        let now = self.clock.0.instant;
        let visitors = self.visitors();
        assert!(visitors.len() <= MAXIMUM_VISITORS, "{} visitors", visitors.len());
        for visitor in &visitors {
            assert!(visitor.expires.is_none_or(|at| at >= now), "stale: {visitor:?} at {now:?}");
        }
        let pending = self.agent.pending().count();
        assert!(pending <= MAXIMUM_PENDING, "{pending} pending registrations");
        for number in 0..=super::message::CLIENTS {
            let of_client = self.agent.pending().filter(|pending| pending.requester.mac == mac(number)).count();
            assert!(of_client <= MAXIMUM_PENDING_PER_CLIENT, "{of_client} pending registrations of one client");
        }
        assert!(pending == 0 || self.agent.poll_timeout().is_some(), "pending, and no timer");
        self.counted.check(self.agent.counters().entries());
    }
}

/// Where a request is relayed to: the home agent, or the one that it would like (RFC 4433 §4).
fn destination_of(request: &RegistrationRequest, payload: &[u8]) -> Ipv4Addr {
    let address = request.home_agent.0;
    if !address.is_unspecified() && !address.is_broadcast() {
        return address;
    }
    let (_, extensions) = RegistrationRequest::parse(payload).expect("what is relayed is well-formed");
    DynamicHomeAgent::find(&extensions).expect("nobody to relay it to").address
}

/// The message up to its Mobile-Home authentication extension, or its fixed part.
fn protected(message: &[u8]) -> &[u8] {
    let Ok((_, extensions)) = RegistrationRequest::parse(message) else {
        return &message[..RegistrationRequest::LENGTH.min(message.len())];
    };
    let signed = extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).last();
    &message[..signed.map_or(RegistrationRequest::LENGTH, |extension| extension.end())]
}

fn assert_denial(transmit: &Transmit, mac: Option<[u8; 6]>) {
    let (reply, extensions) = RegistrationReply::parse(&transmit.payload).expect("a well-formed denial");
    assert!(!reply.code.is_accepted() && !reply.code.is_from_home_agent(), "a denial with {}", reply.code);
    assert_eq!(extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).count(), 0);
    let Path::Frame { destination, .. } = transmit.path else { panic!("a denial that needs ARP") };
    assert_eq!(Some(destination.0), mac, "a denial for somebody else");
}

/// Something of each length.
pub fn seeds() -> Vec<Vec<u8>> {
    super::home_agent::seeds()
}
