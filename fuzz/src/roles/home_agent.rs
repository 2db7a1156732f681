//! The home agent.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::{
        home_agent::{Action, BindingRecord, Config, HomeAgent, HomeSubnet, Keepalive, MobilityBinding, UdpTunnelling},
        link::{InterfaceIndex, Received},
        reverse_tunnel::ReverseTunnel,
        security::{MobileHomeAssociations, Peer, PeerAssociations},
        tunnel::Encapsulation,
    },
    wire::{
        nai::Nai,
        registration::{RegistrationReply, RegistrationRequest},
        revocation::Revocation,
        types::{HomeAddress, HomeAgentAddress, Identification},
    },
};

use super::{
    Clock, Counted, Pause,
    message::{
        CLIENTS, FOREIGN_AGENT, HOME_AGENT, Place, Request, Revoking, foreign_home, home_address, mac, mobile_home,
    },
    steps,
};

const MAXIMUM_BINDINGS: usize = 3;
const HOME_LINK: InterfaceIndex = InterfaceIndex(3);
const CORE_LINK: InterfaceIndex = InterfaceIndex(7);

#[derive(Arbitrary, Debug)]
enum Step {
    Request { request: Request, source: Place, destination: Place },
    Revoking { message: Revoking, source: Place },
    Bytes(Vec<u8>),
    Pass(Pause),
    Keepalive { client: u8, source: Place, port: u16 },
    Deregister(u8),
    Restart,
}

/// Any sequence of datagrams, pauses, orders of the operator and restarts.
pub fn check(data: &[u8]) {
    let mut world = World::new();
    for step in steps(data) {
        world.take(step);
    }
}

fn config() -> Config {
    let subnet = HomeSubnet { prefix: "10.1.0.0/24".parse().expect("a prefix"), interface: HOME_LINK };
    let clients = [("10.1.0.0/24".parse().expect("a range"), mobile_home())];
    Config {
        maximum_bindings: MAXIMUM_BINDINGS,
        simultaneous_bindings: 2,
        encapsulations: Encapsulation::ALL.into_iter().collect(),
        broadcast: true,
        revocation: true,
        udp_tunnel: Some(UdpTunnelling { forced: true, keepalive: Duration::from_secs(110) }),
        answers_probes: true,
        answers_unicast_probes: true,
        proxies: Some(vec!["10.2.0.0/24".parse().expect("a range")]),
        identities: [(Nai::new("user0@realm").expect("a name"), home_address(0))].into(),
        reverse_tunnel: ReverseTunnel::Offered,
        mobile_home: Arc::new(MobileHomeAssociations::new(clients).expect("one range")),
        foreign_home: Arc::new(
            PeerAssociations::new([(Peer::Address(FOREIGN_AGENT), foreign_home())]).expect("one peer"),
        ),
        ..Config::new(HomeAgentAddress(HOME_AGENT), vec![subnet])
    }
}

struct World {
    agent: HomeAgent,
    clock: Clock,
    counted: Counted,
    /// The last Identification sent, whoever sent it.
    last: Identification,
    /// The newest Identification accepted from each client.
    accepted: BTreeMap<HomeAddress, Identification>,
    /// The last revocation sent.
    revocation: Option<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            agent: HomeAgent::new(config()),
            clock: Clock::new(),
            counted: Counted::default(),
            last: Identification(0),
            accepted: BTreeMap::new(),
            revocation: None,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Request { request, source, destination } => self.request(&request, source, destination),
            Step::Revoking { message, source } => {
                let (payload, _) = message.build(self.revocation);
                let accepted = self.datagram(&payload, source.address(home_address(message.client)), HOME_AGENT);
                assert!(accepted.is_none(), "a revocation was answered as a registration");
            }
            Step::Bytes(bytes) => {
                let before = self.bindings();
                // Nobody guesses a key.
                let accepted = self.datagram(&bytes, FOREIGN_AGENT, HOME_AGENT);
                assert!(
                    accepted.is_none() && before == self.bindings(),
                    "bytes without a key were accepted: {bytes:02x?}"
                );
            }
            Step::Pass(pause) => {
                let handle = |agent: &mut HomeAgent, now| agent.handle_timeout(now, &mut Vec::new());
                self.clock.run(pause.duration(), &mut self.agent, HomeAgent::poll_timeout, handle);
            }
            Step::Keepalive { client, source, port } => {
                let home_address = home_address(client);
                let source = SocketAddrV4::new(source.address(home_address), port);
                let keepalive = Keepalive { source, home_agent: HomeAgentAddress(HOME_AGENT), home_address };
                let before = self.bindings().len();
                self.agent.handle_keepalive(keepalive, &mut Vec::new());
                assert_eq!(before, self.bindings().len(), "a keepalive made or ended a binding");
            }
            Step::Deregister(client) => {
                let home_address = home_address(client);
                let had = self.agent.binding(home_address).is_some();
                let removed = self.agent.deregister(self.clock.0, home_address, &mut Vec::new());
                assert_eq!((had, self.agent.binding(home_address).is_some()), (removed, false));
            }
            Step::Restart => self.restart(),
        }
        self.check();
    }

    fn request(&mut self, request: &Request, source: Place, destination: Place) {
        let (sent, message, authentic) = request.build(self.clock.0, self.last);
        self.last = sent.identification;
        let before = self.bindings();
        let (source, destination) = (source.address(sent.home_address), destination.address(sent.home_address));
        if let Some(home_address) = self.datagram(&message, source, destination) {
            // A proxy signs with the agents' key alone (RFC 5563).
            assert!(
                authentic.from_mobile_node || authentic.from_agent,
                "accepted without the client's key: {request:?}"
            );
            let newer = |last: &Identification| sent.identification.since(*last) > 0;
            let last = self.accepted.insert(home_address, sent.identification);
            assert!(last.as_ref().is_none_or(newer), "{sent:?} accepted after {last:?}");
        } else {
            assert_eq!(before, self.bindings(), "refused, yet something changed: {sent:?}");
        }
    }

    /// Whose registration was accepted.
    fn datagram(&mut self, payload: &[u8], source: Ipv4Addr, destination: Ipv4Addr) -> Option<HomeAddress> {
        let received = Received {
            payload,
            source,
            source_port: 40_434,
            destination,
            destination_port: 434,
            ttl: 64,
            interface: if source == FOREIGN_AGENT { CORE_LINK } else { HOME_LINK },
            source_mac: Some(mac(0)),
        };
        let mut actions = Vec::new();
        self.agent.handle_datagram(self.clock.0, &received, &mut actions);
        assert!(actions.len() <= 16, "{} actions for one datagram", actions.len());
        let mut accepted = None;
        for action in &actions {
            let Action::Send(transmit) = action else { continue };
            if let Ok((reply, _)) = RegistrationReply::parse(&transmit.payload) {
                let to = (transmit.destination, transmit.destination_port);
                assert_eq!(to, (source, 40_434), "the reply goes elsewhere than the request came from");
                let request = RegistrationRequest::parse_fixed(payload).expect("only a request is answered");
                assert_eq!(reply.identification.low(), request.identification.low());
                if reply.code.is_accepted() {
                    accepted = Some(reply.home_address);
                }
            } else if let Ok((revocation, _)) = Revocation::parse(&transmit.payload) {
                self.revocation = Some(revocation.identifier);
            }
        }
        accepted
    }

    fn bindings(&self) -> Vec<MobilityBinding> {
        self.agent.bindings().copied().collect()
    }

    fn restart(&mut self) {
        let now = self.clock.0;
        let clients = (0..CLIENTS).map(home_address);
        let records: Vec<BindingRecord> = clients
            .filter_map(|client| self.agent.record(now, client))
            .map(|record| {
                let text = serde_json::to_vec(&record).expect("a record can be written");
                serde_json::from_slice(&text).expect("and read")
            })
            .collect();
        let before: Vec<_> =
            self.bindings().iter().map(|binding| (binding.home_address, binding.care_of_address)).collect();
        self.agent = HomeAgent::new(config());
        self.agent.restore(now, records, &mut Vec::new());
        let after: Vec<_> =
            self.bindings().iter().map(|binding| (binding.home_address, binding.care_of_address)).collect();
        assert_eq!(before, after, "a restart changed the bindings");
        self.counted = Counted::default();
    }

    fn check(&mut self) {
        let now = self.clock.0.instant;
        let bindings = self.bindings();
        assert_eq!(bindings.len(), self.agent.binding_count());
        assert!(bindings.len() <= MAXIMUM_BINDINGS, "{} bindings", bindings.len());
        for binding in &bindings {
            assert!(binding.expires.is_none_or(|at| at >= now), "stale: {binding:?} at {now:?}");
        }
        self.counted.check(self.agent.counters().entries());
        let sum = |names: &[&str]| names.iter().map(|name| self.counted.get(name)).sum::<u64>();
        let denied = self.agent.counters().denied.total();
        let accepted = sum(&["registrations_accepted", "deregistrations_accepted"]);
        assert_eq!(sum(&["replies_sent"]), accepted + denied, "each reply accepts or denies");
    }
}

/// A registration, its renewal and its end, through the foreign agent.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![vec![0; 64], (0..=255).collect(), vec![1; 200]]
}
