//! A campus in memory: one client roams among four access points, two foreign agents and its home agent.
//!
//! The kernel programs are played by a few lines: they report unknown stations, silence broken, and frames on the uplink.

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use mipd_common::mac::MacAddress;
use proptest::prelude::*;

use super::{
    fixtures::*,
    foreign_agent::{self, ForeignAgent},
    home_agent::{self, HomeAgent},
    link::{InterfaceIndex, Path, Received, Transmit},
    proxy::{self, Event, ForeignAgentInfo, HomeAgentOnLink, Proxy, StationState},
    security::{MobileHomeAssociations, Peer, PeerAssociations, ReplayProtection, SecurityAssociation},
    subnet_map::SubnetMap,
    time::{Instant, Now},
};
use crate::wire::{
    advertisement::AgentFlags,
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime},
};

/// The link of each access point: 0 is home, the first visited network has two.
const LINKS: [usize; 4] = [0, 1, 1, 2];
const RADIO: InterfaceIndex = InterfaceIndex(11);
const UPLINK: InterfaceIndex = InterfaceIndex(12);

fn router(link: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1 + link as u8, 0, 1)
}

fn router_mac(link: usize) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, 0xf0 + link as u8])
}

/// An access point: the proxy, and what its kernel knows of the client.
struct AccessPoint {
    proxy: Proxy,
    link: usize,
    /// How far its wall clock is off, seconds.
    skew: i32,
    station: Option<(StationState, Instant)>,
    requests: Vec<Instant>,
}

/// A datagram under way, by where it goes.
enum Message {
    Router { link: usize, transmit: Transmit, from: MacAddress },
    HomeAgent(Transmit),
    ForeignAgent { link: usize, transmit: Transmit },
    Client { link: usize, transmit: Transmit },
}

struct Campus {
    clock: Clock,
    access_points: Vec<AccessPoint>,
    home_agent: HomeAgent,
    foreign_agents: HashMap<usize, ForeignAgent>,
    messages: VecDeque<Message>,
    /// Events for access points, in order.
    events: VecDeque<(usize, Event)>,
    /// Where the client is.
    client: usize,
}

impl Campus {
    fn new(skews: [i32; 4]) -> Self {
        Self::with(skews, client_key(), PeerAssociations::default())
    }

    /// With what the client shares with its home agent, and the access points with the foreign agents.
    fn with(skews: [i32; 4], client_key: SecurityAssociation, mobile_foreign: PeerAssociations) -> Self {
        let clients = Arc::new(MobileHomeAssociations::new([("10.1.0.0/24".parse().unwrap(), client_key)]).unwrap());
        let mobile_foreign = Arc::new(mobile_foreign);
        let subnet = home_agent::HomeSubnet { prefix: "10.1.0.0/24".parse().unwrap(), interface: HOME_LINK };
        let home_agent = HomeAgent::new(home_agent::Config {
            maximum_lifetime: Lifetime(3600),
            mobile_home: clients.clone(),
            ..home_agent::Config::new(HomeAgentAddress(HOME_AGENT), vec![subnet])
        });
        let foreign_agent = |link| {
            let access = foreign_agent::AccessInterface { interface: ACCESS_LINK, address: router(link) };
            let config = foreign_agent::Config {
                mobile_foreign: mobile_foreign.clone(),
                ..foreign_agent::Config::new(CareOfAddress(router(link)), vec![access])
            };
            ForeignAgent::new(config, 1)
        };
        let clock = Clock::new();
        let access_points = LINKS.iter().zip(skews).enumerate().map(|(index, (&link, skew))| {
            let mut proxy = Proxy::new(
                proxy::Config {
                    subnet_map: SubnetMap::from_entries([(
                        HomeAgentAddress(HOME_AGENT),
                        Ipv4Addr::new(255, 255, 255, 0),
                    )])
                    .unwrap(),
                    associations: clients.clone(),
                    mobile_foreign: mobile_foreign.clone(),
                    registration_port: CLIENT_PORT,
                    maximum_clients: 10,
                    ..proxy::Config::new(UPLINK, vec![format!("10.{}.0.0/24", 1 + link).parse().unwrap()])
                },
                index as u64,
            );
            let here = HomeAgentOnLink { address: HomeAgentAddress(HOME_AGENT), mac: router_mac(0) };
            let foreign_agent = (link > 0).then(|| ForeignAgentInfo {
                address: router(link),
                mac: router_mac(link),
                care_of_addresses: vec![CareOfAddress(router(link))],
                registration_lifetime: Lifetime(36_000),
                flags: AgentFlags { foreign_agent: true, reverse_tunnel: true, ..AgentFlags::default() },
                challenge: None,
                reboots: 0,
            });
            let home_agents = if link == 0 { vec![here] } else { vec![] };
            proxy.agents_changed(clock.0, foreign_agent.into_iter().collect(), home_agents, &mut vec![]);
            AccessPoint { proxy, link, skew, station: None, requests: vec![] }
        });
        Self {
            access_points: access_points.collect(),
            clock,
            home_agent,
            foreign_agents: HashMap::from([1, 2].map(|link| (link, foreign_agent(link)))),
            messages: VecDeque::new(),
            events: VecDeque::new(),
            client: 0,
        }
    }

    fn now_at(&self, access_point: usize) -> Now {
        let skew = i64::from(self.access_points[access_point].skew) << 32;
        Now { wall: Identification(self.clock.0.wall.0.wrapping_add_signed(skew)), ..self.clock.0 }
    }

    fn drive(&mut self, at: usize, run: impl FnOnce(&mut Proxy, Now, &mut Vec<proxy::Action>)) {
        let now = self.now_at(at);
        let mut actions = vec![];
        run(&mut self.access_points[at].proxy, now, &mut actions);
        for action in actions {
            self.apply(at, action);
        }
    }

    fn apply(&mut self, at: usize, action: proxy::Action) {
        let link = self.access_points[at].link;
        let now = self.clock.0.instant;
        match action {
            proxy::Action::Send(transmit) => {
                let Path::Frame { destination, source: Some(from), .. } = transmit.path else { panic!("{transmit:?}") };
                assert_eq!((destination, from), (router_mac(link), CLIENT_MAC));
                self.access_points[at].requests.push(now);
                self.messages.push_back(Message::Router { link, transmit, from });
                self.show_on_uplinks(at);
            }
            proxy::Action::SetStation { station, .. } => {
                let seen = self.access_points[at].station.map_or(now, |(_, seen)| seen);
                self.access_points[at].station = Some((station, seen));
            }
            proxy::Action::RemoveStation { .. } => self.access_points[at].station = None,
            proxy::Action::ProbeAttachment { .. } if self.client == at => {
                self.touch();
                self.events.push_back((at, Event::Attached { mac: CLIENT_MAC }));
            }
            proxy::Action::TellClientGateway { .. } if self.client == at => self.touch(),
            proxy::Action::UpdateSwitches { .. } | proxy::Action::AnnounceOnUplink { .. } => self.show_on_uplinks(at),
            _ => {}
        }
    }

    /// A frame with the client's MAC left the access point `from` by its uplink: the others on that link see it.
    fn show_on_uplinks(&mut self, from: usize) {
        let link = self.access_points[from].link;
        for (index, access_point) in self.access_points.iter().enumerate() {
            if index != from && access_point.link == link && access_point.station.is_some() {
                self.events.push_back((index, Event::Moved { mac: CLIENT_MAC }));
            }
        }
    }

    /// The client sends a frame.
    fn speak(&mut self) {
        self.touch();
        self.settle();
    }

    fn touch(&mut self) {
        let (at, now) = (self.client, self.clock.0.instant);
        let access_point = &mut self.access_points[at];
        let interface = RADIO;
        let Some((state, seen)) = &mut access_point.station else {
            let (mac, address) = (CLIENT_MAC, HOME);
            let event = match access_point.link {
                0 => Event::Local { interface, mac, address },
                _ => Event::Visitor { interface, mac, address },
            };
            self.events.push_back((at, event));
            return;
        };
        let silence = now.since(std::mem::replace(seen, now));
        if *state != StationState::Local && silence >= Duration::from_secs(1) {
            self.events.push_back((at, Event::Returned { mac: CLIENT_MAC, interface }));
        }
    }

    /// Delivers everything that is under way.
    fn settle(&mut self) {
        loop {
            if let Some((at, event)) = self.events.pop_front() {
                self.drive(at, |proxy, now, actions| proxy.handle_event(now, event, actions));
            } else if let Some(message) = self.messages.pop_front() {
                self.deliver(message);
            } else {
                return;
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        let now = self.clock.0;
        match message {
            Message::Router { link: 0, transmit, from } => {
                let received = Received { source_mac: Some(from), ..arriving(&transmit, HOME_LINK) };
                self.at_home_agent(&received);
            }
            Message::Router { link, transmit, from } => {
                let received = Received { source_mac: Some(from), ..arriving(&transmit, ACCESS_LINK) };
                let mut actions = vec![];
                self.foreign_agents.get_mut(&link).unwrap().handle_request(now, &received, &mut actions);
                self.obey_foreign_agent(link, actions);
            }
            Message::HomeAgent(transmit) => self.at_home_agent(&arriving(&transmit, CORE_LINK)),
            Message::ForeignAgent { link, transmit } => {
                let mut actions = vec![];
                let received = arriving(&transmit, CORE_LINK);
                self.foreign_agents.get_mut(&link).unwrap().handle_reply(now, &received, &mut actions);
                self.obey_foreign_agent(link, actions);
            }
            Message::Client { link, transmit } => {
                for at in (0..LINKS.len()).filter(|at| LINKS[*at] == link) {
                    if self.access_points[at].station.is_some() {
                        let received = arriving(&transmit, UPLINK);
                        self.drive(at, |proxy, now, actions| proxy.handle_reply(now, &received, actions));
                    }
                }
            }
        }
    }

    fn at_home_agent(&mut self, received: &Received<'_>) {
        let mut actions = vec![];
        self.home_agent.handle_datagram(self.clock.0, received, &mut actions);
        self.obey_home_agent(actions);
    }

    fn obey_home_agent(&mut self, actions: Vec<home_agent::Action>) {
        for action in actions {
            match action {
                home_agent::Action::Send(transmit) => {
                    let link = (1..=2).find(|link| router(*link) == transmit.destination);
                    self.messages.push_back(match link {
                        Some(link) => Message::ForeignAgent { link, transmit },
                        None => Message::Client { link: 0, transmit },
                    });
                }
                home_agent::Action::GratuitousArp { address, mac, .. } => {
                    let mac = mac.unwrap_or(router_mac(0));
                    self.events.push_back((0, Event::Announced { mac, address: address.0 }));
                }
                _ => {}
            }
        }
    }

    fn obey_foreign_agent(&mut self, link: usize, actions: Vec<foreign_agent::Action>) {
        for action in actions {
            if let foreign_agent::Action::Send(transmit) = action {
                self.messages.push_back(match transmit.path {
                    Path::Routed => Message::HomeAgent(transmit),
                    Path::Frame { .. } => Message::Client { link, transmit },
                });
            }
        }
    }

    /// Lets time pass in steps of 10 ms; the client talks every 250 ms, or only answers.
    fn run(&mut self, duration: Duration, talks: bool) {
        let end = self.clock.0.instant + duration;
        let mut step = 0;
        while self.clock.0.instant < end {
            self.clock.advance(Duration::from_millis(10).min(end.since(self.clock.0.instant)));
            let now = self.clock.0;
            if talks && step % 25 == 0 {
                self.speak();
            }
            for at in 0..LINKS.len() {
                if let Some((_, seen)) = self.access_points[at].station.filter(|_| step % 25 == 0) {
                    self.drive(at, |proxy, now, actions| proxy.last_active(now, CLIENT_MAC, seen, actions));
                }
                if self.access_points[at].proxy.poll_timeout().is_some_and(|due| due <= now.instant) {
                    self.drive(at, Proxy::handle_timeout);
                }
            }
            if self.home_agent.poll_timeout().is_some_and(|due| due <= now.instant) {
                let mut actions = vec![];
                self.home_agent.handle_timeout(now, &mut actions);
                self.obey_home_agent(actions);
            }
            for link in 1..=2 {
                let mut actions = vec![];
                self.foreign_agents.get_mut(&link).unwrap().handle_timeout(now, &mut actions);
                self.obey_foreign_agent(link, actions);
            }
            self.settle();
            step += 1;
        }
    }

    /// The client moves and speaks at once.
    fn roam(&mut self, to: usize) {
        self.client = to;
        self.speak();
    }

    /// Whether a packet for the client reaches it, and one from it leaves.
    fn reaches_client(&self) -> Result<(), String> {
        let link = LINKS[self.client];
        let binding = self.home_agent.binding(HomeAddress(HOME)).map(|binding| binding.care_of_address.0);
        let wanted = (link > 0).then(|| router(link));
        if binding != wanted {
            return Err(format!("the client is at access point {}, its binding: {binding:?}", self.client));
        }
        if link == 0 {
            return Ok(());
        }
        let visitor = self.foreign_agents[&link].visitor(HomeAgentAddress(HOME_AGENT), HomeAddress(HOME));
        if visitor.is_none_or(|visitor| visitor.requester.mac != CLIENT_MAC) {
            return Err(format!("the foreign agent of link {link} does not know the client"));
        }
        match self.access_points[self.client].station {
            Some((StationState::Forward { agent_mac, .. }, _)) if agent_mac == router_mac(link) => Ok(()),
            other => Err(format!("access point {} treats the client as {other:?}", self.client)),
        }
    }

    fn requests(&self) -> usize {
        self.access_points.iter().map(|access_point| access_point.requests.len()).sum()
    }
}

#[test]
fn the_demo_round_is_registered_within_the_same_instant_at_every_stop() {
    let mut campus = Campus::new([0; 4]);
    for to in [0, 1, 2, 3, 0, 1] {
        campus.roam(to);
        assert_eq!(campus.reaches_client(), Ok(()), "at once at access point {to}");
        campus.run(Duration::from_secs(8), true);
        assert_eq!(campus.reaches_client(), Ok(()), "and still after a while at access point {to}");
    }
    assert_eq!(campus.requests(), 6, "one request per stop");
}

#[test]
fn a_registration_lives_on_over_many_renewals_of_a_silent_client() {
    let mut campus = Campus::new([0; 4]);
    campus.roam(3);
    for _ in 0..10 {
        campus.run(Duration::from_mins(5), false);
        assert_eq!(campus.reaches_client(), Ok(()));
    }
    assert!((6..=8).contains(&campus.requests()), "{}", campus.requests());
}

#[test]
fn an_access_point_that_the_client_left_never_sends_for_it_again() {
    let mut campus = Campus::new([0; 4]);
    for to in [1, 3, 2, 3] {
        campus.roam(to);
        let moved = campus.clock.0.instant;
        campus.run(Duration::from_secs(1300), true);
        for (at, access_point) in campus.access_points.iter().enumerate().filter(|(at, _)| *at != to) {
            assert!(access_point.requests.iter().all(|sent| *sent < moved), "access point {at}");
            assert!(access_point.station.is_none() || at == 0, "access point {at}");
        }
        assert_eq!(campus.reaches_client(), Ok(()));
    }
}

#[test]
fn access_points_with_wrong_clocks_need_one_more_round_trip() {
    let mut campus = Campus::new([-40, 3000, -3000, 90]);
    for to in [1, 2, 3, 0] {
        let before = campus.requests();
        campus.roam(to);
        assert_eq!(campus.reaches_client(), Ok(()), "access point {to}");
        assert!(campus.requests() - before <= 2);
        campus.run(Duration::from_secs(8), true);
    }
}

#[test]
fn a_clock_a_little_ahead_at_the_last_access_point_delays_a_registration_by_little() {
    let mut campus = Campus::new([0, 6, 0, -1]);
    for to in [1, 3, 1, 2] {
        campus.roam(to);
        campus.run(Duration::from_secs(2), true);
        assert_eq!(campus.reaches_client(), Ok(()), "access point {to}");
    }
}

#[test]
fn with_nonces_a_roam_costs_one_more_round_trip_and_a_renewal_none() {
    let nonces = SecurityAssociation { replay: ReplayProtection::Nonces, ..client_key() };
    let mut campus = Campus::with([0, 900, -900, 5], nonces, PeerAssociations::default());
    for to in [1, 3, 1, 2, 0, 3] {
        let before = campus.requests();
        campus.roam(to);
        assert_eq!(campus.reaches_client(), Ok(()), "access point {to}");
        assert!(campus.requests() - before <= 2);
        campus.run(Duration::from_secs(8), true);
    }
    let before = campus.requests();
    campus.run(Duration::from_mins(10), true);
    assert_eq!(campus.requests() - before, 1);
    assert_eq!(campus.reaches_client(), Ok(()));
}

#[test]
fn foreign_agents_and_access_points_that_share_a_key_understand_each_other() {
    let mobile_foreign = PeerAssociations::new([(Peer::Any, agents_key())]).unwrap();
    let mut campus = Campus::with([0; 4], client_key(), mobile_foreign);
    for to in [1, 3, 0, 2] {
        campus.roam(to);
        assert_eq!(campus.reaches_client(), Ok(()), "access point {to}");
        campus.run(Duration::from_secs(8), true);
    }
}

#[test]
fn a_client_that_comes_back_unnoticed_is_reachable_again() {
    let mut campus = Campus::new([0; 4]);
    campus.roam(1);
    campus.run(Duration::from_secs(10), true);
    campus.roam(3);
    campus.run(Duration::from_millis(1200), true);
    campus.roam(1);
    campus.run(Duration::from_millis(400), true);
    assert_eq!(campus.reaches_client(), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn between_access_points_whose_clocks_differ_by_five_seconds_a_roam_costs_one_extra_round_trip(
        first in -5i32..=5,
        distance in -5i32..=5,
        stops in prop::collection::vec((0usize..4, 5000u64..9000), 1..6),
    ) {
        let mut campus = Campus::new([0, first, first, (first + distance).clamp(-5, 5)]);
        for (to, dwell) in stops {
            let before = campus.requests();
            campus.roam(to);
            prop_assert_eq!(campus.reaches_client(), Ok(()));
            prop_assert!(campus.requests() - before <= 2);
            campus.run(Duration::from_millis(dwell), true);
        }
    }

    #[test]
    fn wherever_a_client_has_been_it_is_reachable_where_it_is(
        skews in prop::array::uniform4(prop::sample::select(vec![0, 0, 0, 1, -2, 5, -6, 100, -100])),
        stops in prop::collection::vec((0usize..4, 1300u64..9000, any::<bool>()), 1..8),
    ) {
        let mut campus = Campus::new(skews);
        for (to, dwell, talks) in stops {
            campus.roam(to);
            campus.run(Duration::from_millis(dwell), talks);
        }
        campus.run(Duration::from_secs(15), true);
        prop_assert_eq!(campus.reaches_client(), Ok(()));
        let before = campus.requests();
        campus.run(Duration::from_mins(2), true);
        prop_assert_eq!(campus.requests(), before, "nothing moves, nothing is sent");
    }
}
