//! The campus: all boxes and clients, what is under way between them, and the loop that lets time pass.
//!
//! * `boxes`: driving access points and routers, and doing what they want done;
//! * `ways`: where clients go and when they speak;
//! * `faults`, `attacks`, `orders`: what goes wrong by itself, and on purpose, and what operators do;
//! * `checks`: the properties, applied.

mod attacks;
mod boxes;
mod checks;
mod faults;
mod orders;
mod ways;

use std::{collections::HashMap, fmt, iter::Sum, rc::Rc, time::Duration};

use mipd_agent::{
    mobility::{foreign_agent, home_agent::MobilityBinding, link::Transmit, time::Instant},
    wire::types::Identification,
};

use self::attacks::Captured;
use crate::{
    access_point::AccessPoint,
    client::Client,
    clock::{NodeClock, Queue},
    network::{Leg, Parcel, arrivals},
    properties::{Properties, Violation},
    random::{Purpose, Stream},
    router::Router,
    scenario::{Conditions, Scenario},
    topology::{self, Topology},
    trace::{Node, Note, Trace},
};

/// Seconds of the NTP era at the beginning.
const BEGINNING: u32 = 0xe5a1_b2c3;

/// What happens next.
#[derive(Debug)]
enum Event {
    /// A box's timer runs out.
    Wake(Node),
    /// Something arrives.
    Arrival(Parcel),
    /// A client leaves, in this stay of its.
    Roam(usize, u32),
    /// A client speaks, in this stay of its.
    Speak(usize, u32),
    /// Something fails.
    Fault,
    /// Something works again.
    Mend(faults::Mend),
    /// Somebody does harm.
    Attack,
    /// Whether a client is served, in this stay of its.
    Check(usize, u32),
    /// The operator ends a registration.
    Order,
    /// Whether a foreign agent was told that a client has left it, since that time.
    Told(usize, usize, Instant),
    /// Whether a foreign agent and a client's home agent still disagree, since the check with this number was planned.
    Disagreement(usize, usize, u64),
}

/// What a run amounted to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Events processed.
    pub events: u64,
    /// Requests that access points sent.
    pub requests: u64,
    /// Of those, the ones that home agents accepted.
    pub accepted: u64,
    /// Times that a client went somewhere.
    pub moves: u64,
    /// Boxes that failed.
    pub faults: u64,
    /// Hostile messages.
    pub attacks: u64,
    /// Checks that a client is served.
    pub checks: u64,
    /// Registrations that operators ended.
    pub orders: u64,
    /// Checks that a foreign agent was told that a client has left it.
    pub told: u64,
    /// Hash of everything that happened.
    pub trace: u64,
}

/// What several campuses were up to: `trace` tells whether each of them went the same way again.
impl Sum for Summary {
    fn sum<I: Iterator<Item = Self>>(summaries: I) -> Self {
        summaries.fold(Self::default(), |sum, one| Self {
            events: sum.events + one.events,
            requests: sum.requests + one.requests,
            accepted: sum.accepted + one.accepted,
            moves: sum.moves + one.moves,
            faults: sum.faults + one.faults,
            attacks: sum.attacks + one.attacks,
            checks: sum.checks + one.checks,
            orders: sum.orders + one.orders,
            told: sum.told + one.told,
            trace: sum.trace.rotate_left(1) ^ one.trace,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, requests, accepted, moves, faults, attacks, checks, orders, told, trace } = self;
        write!(f, "{events} events, {moves} moves, {requests} requests, {accepted} accepted, {faults} faults, ")?;
        write!(
            f,
            "{attacks} hostile messages, {orders} orders, {checks} times served and {told} times told as promised; trace {trace:016x}"
        )
    }
}

/// A campus in memory.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    conditions: Conditions,
    topology: Topology,
    /// Those of any foreign agent, for their limits.
    visit_settings: foreign_agent::Config,
    at: Instant,
    queue: Queue<Event>,
    routers: Vec<Router>,
    access_points: Vec<AccessPoint>,
    /// The access points of each subnet.
    subnets: Vec<Vec<usize>>,
    clients: Vec<Client>,
    /// By subnet and client: the access point behind which the switch last saw its MAC.
    switches: Vec<HashMap<usize, (usize, Instant)>>,
    /// The router that each client is bound to.
    bound_to: Vec<Vec<MobilityBinding>>,
    /// By client and router: when its home agent last told that router that the client has left it.
    told: HashMap<(usize, usize), Instant>,
    /// By a router behind a NAT and another: when it last sent something there.
    translated: HashMap<(usize, usize), Instant>,
    messages: Vec<Stream>,
    faults: Stream,
    attacks: Stream,
    captured: Vec<Captured>,
    properties: Properties,
    trace: Trace,
    summary: Summary,
    violation: Option<Violation>,
}

impl World {
    /// A campus that has just been switched on.
    pub fn new(scenario: Scenario) -> Self {
        let conditions = Conditions::of(&scenario);
        let topology = Topology::new(scenario, conditions);
        let beginning = if conditions.wraps { u32::MAX - (scenario.minutes * 30) as u32 } else { BEGINNING };
        let origin = Identification(u64::from(beginning) << 32);
        let clock =
            |index| NodeClock::new(origin, conditions.skew, &mut Stream::new(scenario.seed, Purpose::Campus, index));
        let subnets = scenario.subnets();
        let routers = (0..subnets).map(|subnet| Router::new(subnet, clock(1 + subnet)));
        let access_points =
            (0..scenario.access_points).map(|index| AccessPoint::new(index, &topology, clock(1_000_000 + index)));
        let access_points: Vec<_> = access_points.collect();
        let mut of_subnet = vec![Vec::new(); subnets];
        for access_point in &access_points {
            of_subnet[access_point.subnet].push(access_point.index);
        }
        let clients = (0..scenario.clients).map(|client| {
            let mac = topology::client_mac(client);
            Client::new(scenario.seed, client, mac, topology.client_address(client), topology.home_of(client))
        });
        let messages = (0..subnets).map(|subnet| Stream::new(scenario.seed, Purpose::SubnetMessages, subnet));
        let mut world = Self {
            scenario,
            conditions,
            visit_settings: topology.foreign_agent(0),
            at: Instant::default(),
            queue: Queue::default(),
            routers: routers.collect(),
            clients: clients.collect(),
            switches: vec![HashMap::new(); subnets],
            bound_to: vec![Vec::new(); scenario.clients],
            told: HashMap::new(),
            translated: HashMap::new(),
            messages: messages.collect(),
            faults: Stream::new(scenario.seed, Purpose::Faults, 0),
            attacks: Stream::new(scenario.seed, Purpose::Attacks, 0),
            captured: Vec::new(),
            properties: Properties::new(scenario, conditions),
            trace: Trace::new(scenario.clients, scenario.only_client),
            summary: Summary::default(),
            violation: None,
            topology,
            access_points,
            subnets: of_subnet,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for router in 0..self.routers.len() {
            self.start_router(router);
        }
        for access_point in 0..self.access_points.len() {
            self.start_access_point(access_point);
        }
        for client in 0..self.clients.len() {
            if self.scenario.only_client.is_none_or(|only| only == client) {
                self.clients[client].stay = 1;
                let first = self.clients[client].random.between(Duration::ZERO, Duration::from_secs(30));
                self.plan(first, Event::Roam(client, 1));
            }
        }
        self.plan_fault();
        self.plan_attack();
        self.plan_order();
    }

    /// Lets all the time pass.
    pub fn run(mut self) -> Result<Summary, Box<Failure>> {
        let end = Instant(Duration::from_secs(self.scenario.minutes * 60));
        while let Some((at, event)) = self.queue.take(end) {
            self.at = at;
            self.summary.events += 1;
            self.happen(event);
            if let Some(violation) = self.violation.take() {
                let history = self.trace.history(violation.client);
                let Self { scenario, conditions, .. } = self;
                return Err(Box::new(Failure { scenario, conditions, violation, history }));
            }
        }
        self.summary.trace = self.trace.hash();
        Ok(self.summary)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(node) => self.wake(node),
            Event::Arrival(parcel) => self.arrive(parcel, true),
            Event::Roam(client, stay) if self.clients[client].stay == stay => self.roam(client),
            Event::Speak(client, stay) if self.clients[client].stay == stay => self.speak(client),
            Event::Check(client, stay) if self.clients[client].stay == stay => self.check_service(client),
            Event::Roam(..) | Event::Speak(..) | Event::Check(..) => {}
            Event::Fault => self.fail(),
            Event::Mend(mend) => self.mend(mend),
            Event::Attack => self.attack(),
            Event::Order => self.order(),
            Event::Told(client, router, since) => self.check_told(client, router, since),
            Event::Disagreement(client, router, number) => self.check_disagreement(client, router, number),
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.queue.plan(self.at + after, event);
    }

    fn note(&mut self, client: Option<usize>, note: Note) {
        self.trace.note(self.at, client, note);
    }

    /// The first violation is the one that counts.
    fn violate(&mut self, client: Option<usize>, what: impl Into<String>) {
        self.violation.get_or_insert(Violation { at: self.at, client, what: what.into() });
    }

    /// Sends something on its way; it may get lost.
    fn ship(&mut self, client: Option<usize>, subnet: usize, leg: Leg, parcel: Parcel) {
        let stream = match client {
            Some(client) => &mut self.clients[client].messages,
            None => &mut self.messages[subnet],
        };
        let [first, second] = arrivals(&self.conditions, stream, leg);
        let Some(first) = first else {
            if client.is_some() {
                self.note(client, Note::Lost(parcel.name()));
            }
            if let (Parcel::Question { .. } | Parcel::Answer { .. }, Some(client)) = (&parcel, client) {
                self.clients[client].lost_questions += 1;
            }
            return;
        };
        if let Some(second) = second {
            self.plan(second, Event::Arrival(parcel.clone()));
        }
        self.plan(first, Event::Arrival(parcel));
    }

    /// The client that a registration message is about.
    fn subject(&self, transmit: &Transmit) -> Option<usize> {
        let address: [u8; 4] = transmit.payload.get(4..8)?.try_into().ok()?;
        self.topology.client_with(address.into())
    }
}

impl Parcel {
    fn name(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "request to a router",
            Self::Routed { .. } => "message between routers",
            Self::Uplink { .. } => "reply to an access point",
            Self::Advertisement { .. } => "advertisement",
            Self::Solicitation { .. } => "solicitation",
            Self::Broadcast { .. } => "broadcast of an access point",
            Self::Announcement { .. } => "announcement of a home agent",
            Self::Question { .. } => "question to the client",
            Self::Answer { .. } => "answer of the client",
        }
    }

    /// A registration message in it.
    fn transmit(&self) -> Option<&Rc<Transmit>> {
        match self {
            Self::Frame { transmit, .. } | Self::Routed { transmit, .. } | Self::Uplink { transmit, .. } => {
                Some(transmit)
            }
            _ => None,
        }
    }
}

/// A run that found something wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was run.
    pub scenario: Scenario,
    /// Under which conditions.
    pub conditions: Conditions,
    /// What is wrong.
    pub violation: Violation,
    /// The last notes on the client in question and on all boxes.
    pub history: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, conditions, violation, history } = self;
        writeln!(f, "{history}")?;
        writeln!(f, "conditions: {conditions:?}")?;
        write!(f, "after {:.4} s: ", violation.at.0.as_secs_f64())?;
        if let Some(client) = violation.client {
            write!(f, "client {client}: ")?;
        }
        writeln!(f, "{}", violation.what)?;
        write!(f, "replay: {scenario}")?;
        match violation.client {
            Some(client) if scenario.only_client.is_none() => write!(f, "\nperhaps also with --only-client {client}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_client_its_last_notes_and_the_command_that_repeats_it() {
        let mut world = World::new(Scenario::small(9));
        world.note(Some(4), Note::Speaks(2));
        world.violate(Some(4), "is lost");
        world.violate(None, "a consequence");
        let failure = world.run().expect_err("it was violated").to_string();
        assert!(failure.contains("speaks at access point 2"), "{failure}");
        assert!(failure.contains("client 4: is lost") && !failure.contains("consequence"), "{failure}");
        let command = "cargo xtask simulate --seed 9 --aps 10 --fas 4 --has 3 --clients 30 --minutes 30";
        assert!(failure.contains(command) && failure.contains("--only-client 4"), "{failure}");
    }
}
