//! The access point's proxy: registers clients that know nothing of Mobile IP (RFC 5944 §3 in their stead).
//!
//! A visitor is noticed by its first frame ([`Event::Visitor`]), or as it associates if its address is remembered
//! ([`Event::Associated`]), held while it is registered through the foreign agent,
//! then forwarded. Its registration is renewed only as long as the client is known to be attached; when it leaves,
//! the proxy falls silent, because a deregistration would end what another access point registers meanwhile. A client
//! that comes home is deregistered straight with its home agent.
//!
//! * [`event`](Event), [`action`](Action): what goes in and comes out;
//! * [`config`](Config), [`identity`](ClientNames): settings;
//! * `notice`: who is taken on; `client`, `roster`: what is known of each client, and all of them;
//! * `agents`: what is known of the agents, and which one to take;
//! * `visitor`, `home`: the two kinds of stay;
//! * `registration`, `message`, `reply`, `authenticity`, `denial`: one exchange with the agents;
//! * `identification`, `timestamp`, `clock`: Identifications; `challenge`: the foreign agents' challenges;
//! * `downloads`: security associations that a server must be asked for;
//! * `attachment`, `pace`: presence and rates;
//! * `status`: what is shown and what is persisted; [`counters`](Counters);
//! * [`trail`](Trails): what happened to each client, step by step.

mod action;
mod agents;
mod attachment;
mod authenticity;
mod challenge;
mod client;
mod clock;
mod config;
mod counters;
mod denial;
mod downloads;
mod event;
mod home;
mod identification;
mod identity;
mod message;
mod notice;
mod pace;
mod registration;
mod reply;
mod roster;
mod status;
#[cfg(test)]
mod tests;
mod timestamp;
mod trail;
mod visitor;

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use rand::{SeedableRng, rngs::StdRng};

pub use self::{
    action::{Action, StationState},
    config::{Config, ReverseTunnelPolicy},
    counters::Counters,
    event::{Event, ForeignAgentInfo, HomeAgentOnLink},
    identity::{ClientNames, InvalidNai, NaiTemplate},
    status::{ClientRecord, ClientStatus, RegistrationRecord, Stay},
    trail::{Departure, Entry as TrailEntry, NoticedBy, STEPS_PER_CLIENT, Step, Trail, Trails},
};
use self::{
    agents::Agents,
    challenge::Challenges,
    client::{Client, State},
    clock::Clocks,
    notice::Evidence,
    registration::Registrar,
    roster::Roster,
    visitor::Fate,
};
use crate::{
    mobility::{
        link::{InterfaceIndex, Received},
        security::ViolationLog,
        subnet_map::SubnetMap,
        time::{Instant, Now},
    },
    wire::{extension::ParseError, registration::RegistrationReply, types::HomeAddress},
};

/// The proxy role of one access point.
///
/// Several times per second, and before [`handle_timeout`](Self::handle_timeout), the daemon reads the kernel's time stamps
/// and calls [`last_active`](Self::last_active), so that no client that talks is suspected of having been elsewhere.
#[derive(Debug)]
pub struct Proxy {
    registrar: Registrar,
    roster: Roster,
    paused: bool,
}

impl Proxy {
    /// A proxy without clients. `seed` makes its Identifications unpredictable to others, repeatable in tests.
    pub fn new(config: Config, seed: u64) -> Self {
        let roster = Roster::new(config.maximum_clients);
        let trails = Trails::new(config.maximum_clients);
        let registrar = Registrar {
            config,
            agents: Agents::default(),
            challenges: Challenges::default(),
            clocks: Clocks::default(),
            counters: Counters::default(),
            violations: ViolationLog::default(),
            random: StdRng::seed_from_u64(seed),
            trails,
        };
        Self { registrar, roster, paused: false }
    }

    /// Takes note of something that happened to a station.
    pub fn handle_event(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Visitor { interface, mac, address } | Event::Local { interface, mac, address } => {
                self.notice(now, interface, mac, address, Evidence::Use, actions);
            }
            Event::Claimed { interface, mac, address } => {
                self.notice(now, interface, mac, address, Evidence::Claim, actions);
            }
            Event::Associated { interface, mac, address, just_now } => {
                // What a client was last seen to use here is better known than what it is remembered by.
                let known = self.roster.get(mac).filter(|known| known.state != State::Away);
                let address = known.map_or(address, |known| known.home_address.0);
                let evidence = if just_now { Evidence::Association } else { Evidence::List };
                // Nobody is announced at home who may have left long ago.
                if just_now || (known.is_none() && !self.is_local(address)) {
                    self.notice(now, interface, mac, address, evidence, actions);
                }
            }
            Event::Returned { mac, interface } => self.with(mac, actions, |registrar, client, actions| {
                let fate = registrar.change_radio(now, client, interface, actions);
                if fate == Fate::Keep {
                    registrar.hear(now, client, now.instant, actions);
                }
                fate
            }),
            Event::Attached { mac } => self.with(mac, actions, |registrar, client, actions| {
                registrar.take_answer(now, client, actions);
                Fate::Keep
            }),
            Event::Moved { mac } => self.with(mac, actions, |registrar, client, actions| {
                registrar.counters.moved += 1;
                registrar.part(now, client, Departure::Moved, actions)
            }),
            Event::Left { mac } => self.with(mac, actions, |registrar, client, actions| {
                registrar.counters.left += 1;
                registrar.part(now, client, Departure::Disassociated, actions)
            }),
            Event::Surrendered { mac } => self.with(mac, actions, |registrar, client, actions| {
                if !client.is_visitor() {
                    return Fate::Keep;
                }
                registrar.counters.surrendered += 1;
                registrar.retire(now, client, actions);
                registrar.part(now, client, Departure::Surrendered, actions)
            }),
            Event::Dismissed { address, agent, busy } => {
                for client in self.roster.with_address(HomeAddress(address)) {
                    self.with(client, actions, |registrar, client, _| {
                        registrar.take_dismissal(now, client, agent, busy);
                        Fate::Keep
                    });
                }
            }
            Event::Announced { mac, address } => {
                for client in self.roster.with_address(HomeAddress(address)) {
                    self.with(client, actions, |registrar, client, actions| {
                        registrar.note_announcement(now, client, mac, actions);
                        Fate::Keep
                    });
                }
            }
        }
    }

    /// The kernel saw a frame of the station at `at`.
    pub fn last_active(&mut self, now: Now, mac: MacAddress, at: Instant, actions: &mut Vec<Action>) {
        self.with(mac, actions, |registrar, client, actions| {
            registrar.hear(now, client, at, actions);
            Fate::Keep
        });
    }

    /// A datagram for the registration port that the uplink brought.
    pub fn handle_reply(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let counters = &mut self.registrar.counters;
        counters.replies_received += 1;
        let (reply, extensions) = match RegistrationReply::parse(received.payload) {
            Ok(parsed) => parsed,
            Err(ParseError::UnknownNonSkippable(_)) => {
                counters.discarded_unknown_extension += 1;
                return;
            }
            Err(_) => {
                counters.discarded_malformed += 1;
                return;
            }
        };
        let candidates = self.roster.with_address(reply.home_address);
        let asked_for_this = |mac: &&MacAddress| {
            let exchange = self.roster.get(**mac).and_then(|client| client.exchange);
            exchange.is_some_and(|exchange| exchange.identification.low() == reply.identification.low())
        };
        let Some(mac) = candidates.iter().find(asked_for_this).or(candidates.first()) else {
            counters.discarded_unsolicited += 1;
            return;
        };
        self.with(*mac, actions, |registrar, client, actions| {
            registrar.take_reply(now, client, received.source, &reply, &extensions, actions);
            Fate::Keep
        });
    }

    /// All agents on this link, whenever something about them changed. Of several foreign agents the first one is preferred.
    pub fn agents_changed(
        &mut self,
        now: Now,
        foreign_agents: Vec<ForeignAgentInfo>,
        home_agents: Vec<HomeAgentOnLink>,
        actions: &mut Vec<Action>,
    ) {
        self.registrar.counters.agent_reboots += self.registrar.agents.reboots(&foreign_agents);
        for agent in &foreign_agents {
            if let Some(challenge) = &agent.challenge {
                self.registrar.challenges.hear(agent.address, challenge);
            }
        }
        let forgetful = self.registrar.agents.replace(foreign_agents, home_agents);
        let mut place = 0;
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, actions| {
                registrar.meet_agents(now, client, &forgetful, &mut place, actions)
            });
        }
    }

    /// The uplink was interrupted, or is another link now.
    pub fn link_changed(&mut self, now: Now, actions: &mut Vec<Action>) {
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, actions| {
                registrar.doubt_presence(now, client, actions);
                Fate::Keep
            });
        }
    }

    /// The uplink has this index from now on.
    pub fn uplink_replaced(&mut self, uplink: InterfaceIndex) {
        self.registrar.config.uplink = uplink;
    }

    /// A radio is there, with a subnet map of its own for its clients or none.
    pub fn radio_appeared(&mut self, radio: InterfaceIndex, subnet_map: Option<SubnetMap>) {
        if let Some(map) = subnet_map {
            self.registrar.config.radio_subnet_maps.insert(radio, map);
        }
    }

    /// A radio is gone, and with it, in silence, everybody behind it.
    pub fn radio_gone(&mut self, now: Now, radio: InterfaceIndex, actions: &mut Vec<Action>) {
        self.registrar.config.radio_subnet_maps.remove(&radio);
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, actions| {
                if client.interface == radio {
                    registrar.counters.radios_gone += 1;
                    registrar.part(now, client, Departure::RadioGone, actions)
                } else {
                    Fate::Keep
                }
            });
        }
    }

    /// A foreign agent has advertised a challenge (RFC 4721 §2). Agents change theirs with every advertisement, so this is
    /// not among what [`agents_changed`](Self::agents_changed) is called for.
    pub fn challenge_heard(&mut self, now: Now, agent: Ipv4Addr, challenge: &[u8], actions: &mut Vec<Action>) {
        let challenges = &mut self.registrar.challenges;
        if !challenges.hear(agent, challenge) || !std::mem::take(&mut challenges.are_awaited) {
            return;
        }
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, _| {
                registrar.take_challenge(now, client, agent);
                Fate::Keep
            });
        }
    }

    /// Replaces the subnet map. Visitors that had no home agent are tried again; others keep theirs.
    /// Which home agents it knows.
    pub fn subnet_map(&self) -> &SubnetMap {
        &self.registrar.config.subnet_map
    }

    /// Which home agents there are has changed.
    pub fn subnet_map_changed(&mut self, now: Now, subnet_map: SubnetMap, actions: &mut Vec<Action>) {
        self.registrar.config.subnet_map = subnet_map;
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, actions| match client.state {
                State::Unserved(client::Missing::HomeAgent) => registrar.reconsider(now, client, actions),
                _ => Fate::Keep,
            });
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.roster.next_deadline()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        for mac in self.roster.take_due(now.instant) {
            self.with(mac, actions, |registrar, client, actions| registrar.tick(now, client, actions));
        }
    }

    /// Takes up the visitors of an earlier run. Nothing is sent for them before they are heard. The other records' stations
    /// are removed: whoever is still here is noticed anew.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = ClientRecord>, actions: &mut Vec<Action>) {
        for record in records {
            let restored = Client::restore(now, &record).filter(|_| !self.roster.is_full());
            let Some(mut client) = restored else {
                let mac = MacAddress(record.mac);
                actions.extend([
                    Action::RemoveStation { mac },
                    Action::ForgetSeen { mac },
                    Action::ClientChanged { mac },
                ]);
                continue;
            };
            let Client { mac, interface, home_address: address, .. } = client;
            let noticed = Step::Noticed { by: NoticedBy::Restart, interface, address, is_local: false };
            self.registrar.trails.begin(now, mac, address, noticed);
            client.forward(actions);
            self.roster.insert(client);
        }
    }

    /// What to persist of a client; `None`: nothing, delete it.
    pub fn record(&self, now: Now, mac: MacAddress) -> Option<ClientRecord> {
        self.roster.get(mac)?.record(now)
    }

    /// Stops serving, without a word to any agent, until [`resume`](Self::resume).
    pub fn pause(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.paused = true;
        for mac in self.roster.macs() {
            self.with(mac, actions, |registrar, client, actions| {
                registrar.part(now, client, Departure::Paused, actions)
            });
        }
    }

    /// Serves again whoever speaks.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// All clients by home address, for `mipd show clients`.
    pub fn clients(&self) -> impl Iterator<Item = ClientStatus> {
        self.roster.iter().map(Client::status)
    }

    /// How the data path was last told to treat a station; `None` = not at all.
    pub fn station(&self, mac: MacAddress) -> Option<StationState> {
        self.roster.get(mac)?.station.map(|(_, state)| state)
    }

    /// Whether a visitor takes this address to be on its own link: it is on its home link.
    pub fn is_on_home_link(&self, mac: MacAddress, address: Ipv4Addr) -> bool {
        let visitor = self.roster.get(mac).filter(|client| client.is_visitor());
        let subnet = visitor.and_then(|it| self.registrar.config.home_subnet(it.interface, it.home_address));
        subnet.is_some_and(|subnet| subnet.contains(&address))
    }

    /// The address of a client.
    pub fn home_address(&self, mac: MacAddress) -> Option<HomeAddress> {
        self.roster.get(mac).map(|client| client.home_address)
    }

    /// Where a visitor with this address stands; `None`: there is none.
    pub fn stay(&self, mac: MacAddress, home_address: HomeAddress) -> Option<Stay> {
        let client = self.roster.get(mac).filter(|client| client.home_address == home_address)?;
        match client.state {
            State::AwaitingAgent | State::AwaitingAssociation => Some(Stay::Waiting),
            State::Registering | State::Registered(_) => client.home_agent.map(Stay::Served),
            State::Unserved(_) => Some(Stay::Unserved),
            _ => None,
        }
    }

    /// Whether nobody is known.
    pub fn is_idle(&self) -> bool {
        self.roster.is_empty()
    }

    /// How many clients and timers there are.
    pub fn sizes(&self) -> (usize, usize) {
        self.roster.sizes()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.registrar.counters
    }

    /// What happened to each client.
    pub fn trails(&self) -> &Trails {
        &self.registrar.trails
    }

    /// The client's held packets went out: so many.
    pub fn held_released(&mut self, now: Now, mac: MacAddress, frames: usize) {
        if frames > 0 {
            self.registrar.trails.note(now, mac, Step::HeldReleased { frames: frames as u32 });
        }
    }

    /// So many of the client's held packets were given up.
    pub fn held_dropped(&mut self, now: Now, mac: MacAddress, frames: usize) {
        if frames > 0 {
            self.registrar.trails.note(now, mac, Step::HeldDropped { frames: frames as u32 });
        }
    }

    /// The last replies that failed authentication.
    pub fn violations(&self) -> &ViolationLog {
        &self.registrar.violations
    }

    /// Changes one client.
    fn with(
        &mut self,
        mac: MacAddress,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut Registrar, &mut Client, &mut Vec<Action>) -> Fate,
    ) {
        let Some(client) = self.roster.get_mut(mac) else { return };
        match change(&mut self.registrar, client, actions) {
            Fate::Keep => self.roster.refile(mac),
            Fate::Forget => drop(self.roster.remove(mac)),
        }
    }
}

/// Whether a client can have this address.
pub(crate) fn is_host_address(address: Ipv4Addr) -> bool {
    let reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !(reserved || address.is_loopback() || address.is_multicast() || address.is_link_local())
}
