//! The network of the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use ipnet::Ipv4Net;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    mobility::{
        link::{InterfaceIndex, REGISTRATION_PORT, Received, Transmit},
        subnet_map::{Action, Config, Exchange},
        time::{Instant, Now},
    },
    wire::{
        authentication::Key,
        registration::{RegistrationReply, RegistrationRequest},
        types::{Identification, Lifetime, ReplyCode},
    },
};

/// The key of the campus.
pub(super) fn key() -> Key {
    Key::from_bytes(vec![0x5a; 16]).unwrap()
}

/// The address of access point `number`, which stands in the subnet of that number.
pub(super) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, number, 0, 11)
}

/// The subnet of that number, and its home agent.
pub(super) fn home_agent(number: u8) -> (Ipv4Addr, Ipv4Net) {
    (Ipv4Addr::new(10, number, 0, 1), Ipv4Net::new(Ipv4Addr::new(10, number, 0, 0), 24).unwrap())
}

/// Access points, and what is under way between them.
pub(super) struct Network {
    pub now: Now,
    pub access_points: BTreeMap<Ipv4Addr, Exchange>,
    /// Home agents that answer.
    pub alive: BTreeSet<Ipv4Addr>,
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Access points that cannot reach each other: those on this side, and all others.
    pub cut_off: BTreeSet<Ipv4Addr>,
    /// Every datagram ever sent.
    pub sent: Vec<Transmit>,
    authoritative: Vec<Ipv4Addr>,
    under_way: BTreeMap<(Instant, u64), Transmit>,
    random: StdRng,
    number: u64,
}

impl Network {
    pub fn new(authoritative: &[u8]) -> Self {
        Self {
            now: Now { instant: Instant(Duration::from_secs(1000)), wall: Identification(5000 << 32) },
            access_points: BTreeMap::new(),
            alive: BTreeSet::new(),
            loss: 0.0,
            cut_off: BTreeSet::new(),
            sent: Vec::new(),
            authoritative: authoritative.iter().copied().map(address).collect(),
            under_way: BTreeMap::new(),
            random: StdRng::seed_from_u64(7),
            number: 0,
        }
    }

    /// Starts an access point, or starts it anew with nothing in its memory.
    pub fn start(&mut self, number: u8) {
        let config = Config {
            address: address(number),
            authoritative: self.authoritative.clone(),
            key: key(),
            maximum_members: Config::MAXIMUM_MEMBERS,
        };
        let mut exchange = Exchange::new(config, self.now, self.random.random());
        let mut actions = Vec::new();
        exchange.own_home_agent(self.now, Some(home_agent(number)), &mut actions);
        self.access_points.insert(address(number), exchange);
        self.send(actions);
    }

    pub fn stop(&mut self, number: u8) {
        self.access_points.remove(&address(number));
    }

    pub fn at(&self, number: u8) -> &Exchange {
        &self.access_points[&address(number)]
    }

    /// Lets an access point do something.
    pub fn drive(&mut self, number: u8, what: impl FnOnce(&mut Exchange, Now, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        let now = self.now;
        what(self.access_points.get_mut(&address(number)).unwrap(), now, &mut actions);
        self.send(actions);
    }

    /// Delivers a datagram, whoever sent it.
    pub fn deliver(&mut self, transmit: &Transmit) {
        let mut actions = Vec::new();
        let now = self.now;
        if let Some(exchange) = self.access_points.get_mut(&transmit.destination) {
            exchange.handle_datagram(now, &transmit.arrival(InterfaceIndex(1), None), &mut actions);
        }
        self.send(actions);
    }

    fn send(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::Send(transmit) = action else { continue };
            self.sent.push(transmit.clone());
            let side = |address: &Ipv4Addr| self.cut_off.contains(address);
            if side(&transmit.source) != side(&transmit.destination) || self.random.random_bool(self.loss) {
                continue;
            }
            // Some overtake others, and a few come twice.
            for _ in 0..if self.random.random_bool(0.02) { 2 } else { 1 } {
                let delay = Duration::from_micros(self.random.random_range(200..8_000));
                self.number += 1;
                self.under_way.insert((self.now.instant + delay, self.number), transmit.clone());
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        loop {
            let timer = self.access_points.values().filter_map(Exchange::poll_timeout).min();
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timer.into_iter().chain(arrival).min().filter(|next| *next <= end) else { break };
            self.pass_to(next.max(self.now.instant));
            if arrival == Some(next) {
                let (_, transmit) = self.under_way.pop_first().unwrap();
                if transmit.destination_port == REGISTRATION_PORT {
                    self.answer(&transmit);
                } else {
                    self.deliver(&transmit);
                }
                continue;
            }
            let now = self.now;
            let mut actions = Vec::new();
            for exchange in self.access_points.values_mut() {
                if exchange.poll_timeout().is_some_and(|at| at <= now.instant) {
                    exchange.handle_timeout(now, &mut actions);
                }
            }
            self.send(actions);
        }
        self.pass_to(end);
    }

    fn pass_to(&mut self, instant: Instant) {
        self.now = Now { instant, wall: self.now.wall_at(instant) };
    }

    /// A home agent that is alive denies what it cannot know.
    fn answer(&mut self, probe: &Transmit) {
        let request = RegistrationRequest::parse_fixed(&probe.payload).unwrap();
        let octets = probe.destination.octets();
        let home_agent = Ipv4Addr::new(octets[0], octets[1], octets[2], 1);
        if !self.alive.contains(&home_agent) {
            return;
        }
        let reply = RegistrationReply {
            code: ReplyCode(136),
            lifetime: Lifetime(0),
            home_address: request.home_address,
            home_agent: crate::wire::types::HomeAgentAddress(home_agent),
            identification: request.identification,
        };
        let mut payload = Vec::new();
        reply.emit(&mut payload);
        let received = Received {
            payload: &payload,
            source: home_agent,
            source_port: REGISTRATION_PORT,
            destination: probe.source,
            destination_port: probe.source_port,
            ttl: 64,
            interface: InterfaceIndex(1),
            source_mac: None,
        };
        let now = self.now;
        let mut actions = Vec::new();
        if let Some(exchange) = self.access_points.get_mut(&probe.source) {
            exchange.handle_datagram(now, &received, &mut actions);
        }
        self.send(actions);
    }

    /// Runs until all tables are equal and hold so many subnets; how long that took.
    pub fn settle(&mut self, subnets: usize, patience: Duration) -> Duration {
        let start = self.now.instant;
        while !self.is_settled(subnets) {
            assert!(
                self.now.instant.since(start) < patience,
                "tables of {:?} subnets after {patience:?}, not {subnets}",
                self.access_points.values().map(|exchange| exchange.map().len()).collect::<BTreeSet<_>>()
            );
            self.run(Duration::from_millis(10));
        }
        self.now.instant.since(start)
    }

    pub fn is_settled(&self, subnets: usize) -> bool {
        let mut all = self.access_points.values();
        let Some(first) = all.next() else { return subnets == 0 };
        first.map().len() == subnets && all.all(|exchange| exchange.digest() == first.digest())
    }
}
