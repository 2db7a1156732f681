//! The role of an access point in the exchange of the subnet map.
//!
//! Up to three access points are authoritative, in an order that all others share. Each other one reports to the first of
//! them that answers, gets the whole table, and from then on every change of it. It keeps what it has when none answers.
//! The authoritative ones tell each other every change, and compare their tables now and then.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    counters::Counters,
    link::{ATTEMPTS, Due, Link},
    map::SubnetMap,
    probe::Probe,
    table::{Merged, Table},
};
use crate::{
    mobility::{
        deadlines::Deadlines,
        link::{Path, TTL, Transmit},
        time::{Instant, Now},
    },
    wire::{
        authentication::Key,
        subnet_map::{self, Body, Digest, Entry, Header, MAXIMUM_ENTRIES, PORT},
    },
};

/// How often an access point reports, the authoritative ones compare, and unserved subnets are looked for.
pub const PERIOD: Duration = Duration::from_secs(10);
/// An access point that has not reported for so long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(35);
/// The longest pause before all authoritative access points are tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the exchange is told by the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our own address: source of everything we send.
    pub address: Ipv4Addr,
    /// The authoritative access points, in order. We are one of them if our own address is among them.
    pub authoritative: Vec<Ipv4Addr>,
    /// What all access points share.
    pub key: Key,
    /// How many access points an authoritative one serves.
    pub maximum_members: usize,
}

impl Config {
    /// [`Config::maximum_members`] unless told otherwise.
    pub const MAXIMUM_MEMBERS: usize = 4_096;
}

/// What the exchange wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram from UDP port 6500.
    Send(Transmit),
    /// The table is another one now.
    MapChanged,
    /// Reports go to this authoritative access point from now on; `None`: none answers.
    AuthorityChanged(Option<Ipv4Addr>),
}

/// What is due at some time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// Something under way to this access point is to be repeated.
    Link(Ipv4Addr),
    /// An access point that has not been heard for long.
    Member(Ipv4Addr),
    /// The next answer of a home agent is overdue, or it is to be asked again.
    Probe(Ipv4Net),
    /// Time to report, or to compare and look after unserved subnets.
    Period,
    /// Time to try the authoritative access points again.
    Round,
}

/// Another access point.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub link: Link,
    /// It has reported to us.
    pub member: bool,
    /// The home agent that it has reported, and the subnet.
    pub reported: Option<(Ipv4Addr, Ipv4Net)>,
}

impl Peer {
    /// The subnet whose home agent it has reported.
    pub fn serves(&self) -> Option<Ipv4Net> {
        self.reported.map(|(_, subnet)| subnet)
    }
}

/// The state of the exchange.
#[derive(Debug)]
pub struct Exchange {
    pub(super) config: Config,
    pub(super) table: Table,
    pub(super) peers: BTreeMap<Ipv4Addr, Peer>,
    /// The home agent of our own subnet, and its prefix.
    pub(super) own: Option<(Ipv4Addr, Ipv4Net)>,
    /// The authoritative access point that we report to.
    pub(super) authority: Option<Ipv4Addr>,
    /// The one that is being asked for a session.
    pub(super) candidate: Option<usize>,
    /// The pause after all of them have failed.
    pub(super) pause: Duration,
    /// The whole table, as far as it has come.
    pub(super) arriving: Option<Vec<Entry>>,
    pub(super) probes: BTreeMap<Ipv4Net, Probe>,
    pub(super) deadlines: Deadlines<Timer>,
    pub(super) random: StdRng,
    pub(super) counters: Counters,
}

/// How the exchange is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Whether we are authoritative.
    pub authoritative: bool,
    /// Whom we report to.
    pub authority: Option<Ipv4Addr>,
    /// The access points that we have a session with, the authoritative ones included.
    pub members: Vec<MemberReport>,
}

/// Another access point, as `mipd show` tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberReport {
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it is authoritative.
    pub authoritative: bool,
    /// The subnet whose home agent it reports.
    pub serves: Option<Ipv4Net>,
}

impl Exchange {
    /// Knows nothing yet, and begins at once. `seed` makes nonces unpredictable to others, repeatable in tests.
    pub fn new(config: Config, now: Now, seed: u64) -> Self {
        let mut deadlines = Deadlines::default();
        deadlines.set(Timer::Round, now.instant);
        deadlines.set(Timer::Period, now.instant + PERIOD);
        Self {
            config,
            table: Table::default(),
            peers: BTreeMap::new(),
            own: None,
            authority: None,
            candidate: None,
            pause: Duration::ZERO,
            arriving: None,
            probes: BTreeMap::new(),
            deadlines,
            random: StdRng::seed_from_u64(seed),
            counters: Counters::default(),
        }
    }

    /// Whether we are one of the authoritative access points.
    pub fn is_authoritative(&self) -> bool {
        self.is_authority(self.config.address)
    }

    pub(super) fn is_authority(&self, address: Ipv4Addr) -> bool {
        self.config.authoritative.contains(&address)
    }

    /// The table as it is now.
    pub fn map(&self) -> SubnetMap {
        self.table.map()
    }

    /// The entries of the table, by subnet.
    pub fn entries(&self) -> impl Iterator<Item = (Ipv4Net, Entry)> {
        self.table.iter()
    }

    /// The sum over the table: equal ones are equal tables.
    pub fn digest(&self) -> Digest {
        self.table.digest()
    }

    /// How the exchange is doing.
    pub fn status(&self) -> Status {
        let open = self.peers.iter().filter(|(_, peer)| peer.link.is_open());
        let members = open.map(|(address, peer)| MemberReport {
            address: *address,
            authoritative: self.is_authority(*address),
            serves: peer.serves(),
        });
        Status { authoritative: self.is_authoritative(), authority: self.authority, members: members.collect() }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The home agent of our own subnet is this one now, or none.
    pub fn own_home_agent(&mut self, now: Now, own: Option<(Ipv4Addr, Ipv4Net)>, actions: &mut Vec<Action>) {
        if self.own == own {
            return;
        }
        self.own = own;
        if self.is_authoritative() {
            if let Some((home_agent, subnet)) = own {
                self.learn(now, subnet, home_agent, true, actions);
            }
        } else {
            self.report(now.instant, actions);
        }
    }

    /// The authoritative access points have other addresses now (they may be given by name).
    pub fn authorities_changed(&mut self, now: Now, authoritative: Vec<Ipv4Addr>, actions: &mut Vec<Action>) {
        if self.config.authoritative == authoritative {
            return;
        }
        self.config.authoritative = authoritative;
        // Everybody is found again within a second.
        self.peers.clear();
        self.candidate = None;
        if self.authority.take().is_some() {
            actions.push(Action::AuthorityChanged(None));
        }
        self.deadlines.set(Timer::Round, now.instant);
    }

    /// Forgets the table. It comes back from those that still have it.
    pub fn clear(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.table.clear();
        self.probes.clear();
        self.arriving = None;
        actions.push(Action::MapChanged);
        if self.is_authoritative() {
            if let Some((home_agent, subnet)) = self.own {
                self.learn(now, subnet, home_agent, true, actions);
            }
        } else {
            self.report(now.instant, actions);
        }
    }

    /// Takes an entry into the table and counts what became of it. Says whether it is new.
    pub(super) fn merge(&mut self, now: Instant, entry: &Entry) -> bool {
        let merged = self.table.merge(now, *entry);
        match merged {
            Merged::New => self.counters.entries_new += 1,
            Merged::Known => {}
            Merged::Impossible => self.counters.entries_impossible += 1,
            Merged::Full => self.counters.entries_refused_full += 1,
        }
        merged == Merged::New
    }

    /// Sends what another access point is to be told, if nothing is under way to it.
    pub(super) fn flush(&mut self, now: Instant, to: Ipv4Addr, actions: &mut Vec<Action>) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let link = &mut peer.link;
        if !link.is_open() || link.is_waiting() {
            return;
        }
        let body = if let Some(body) = link.next.take() {
            body
        } else if !link.backlog.is_empty() || link.ends_table {
            let mut entries = Vec::new();
            while entries.len() < MAXIMUM_ENTRIES
                && let Some(subnet) = link.backlog.pop_first()
            {
                entries.extend(self.table.get(subnet));
            }
            let first = std::mem::take(&mut link.begins_table);
            let last = link.backlog.is_empty() && std::mem::take(&mut link.ends_table);
            self.counters.entries_sent += entries.len() as u64;
            Body::Entries { first, last, entries }
        } else {
            return;
        };
        if let Some((header, body)) = link.send(now, self.config.address, body) {
            self.schedule(to);
            self.transmit(to, &header, &body, actions);
        }
    }

    /// Asks another access point for a session.
    pub(super) fn greet(&mut self, now: Instant, to: Ipv4Addr, attempts: u32, actions: &mut Vec<Action>) {
        let peer = self.peers.entry(to).or_default();
        if peer.link.is_waiting() {
            return;
        }
        let (header, body) = peer.link.greet(now, self.config.address, attempts, &mut self.random);
        self.schedule(to);
        self.transmit(to, &header, &body, actions);
    }

    fn schedule(&mut self, to: Ipv4Addr) {
        if let Some(at) = self.peers.get(&to).and_then(|peer| peer.link.poll_timeout()) {
            self.deadlines.set(Timer::Link(to), at);
        }
    }

    pub(super) fn transmit(&self, to: Ipv4Addr, header: &Header, body: &Body, actions: &mut Vec<Action>) {
        let payload = subnet_map::emit(header, body, &self.config.key);
        actions.push(Action::Send(self.datagram(payload, to, PORT)));
    }

    pub(super) fn datagram(&self, payload: Vec<u8>, destination: Ipv4Addr, destination_port: u16) -> Transmit {
        Transmit {
            payload,
            source: self.config.address,
            source_port: PORT,
            destination,
            destination_port,
            ttl: TTL,
            path: Path::Routed,
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(timer) = self.deadlines.pop_due(now.instant) {
            match timer {
                Timer::Link(address) => self.link_due(now.instant, address, actions),
                Timer::Member(address) => self.expire(address),
                Timer::Probe(subnet) => self.probe_due(now, subnet, actions),
                Timer::Period => {
                    // Not all of a campus at once.
                    let pause = self.random.random_range(PERIOD.mul_f64(0.9)..=PERIOD);
                    self.deadlines.set(Timer::Period, now.instant + pause);
                    self.table.forget_removed(now.instant);
                    if self.is_authoritative() {
                        self.compare(now.instant, actions);
                        self.survey(now, actions);
                    } else {
                        self.report(now.instant, actions);
                        self.look_for_better(now.instant, actions);
                    }
                }
                Timer::Round => self.begin(now.instant, actions),
            }
        }
    }

    /// Begins to talk to the authoritative access points.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.is_authoritative() {
            self.compare(now, actions);
        } else if self.authority.is_none() {
            self.try_candidate(now, 0, actions);
        }
    }

    fn link_due(&mut self, now: Instant, address: Ipv4Addr, actions: &mut Vec<Action>) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        match peer.link.handle_timeout(now) {
            Some(Due::Repeat(header, body)) => {
                self.counters.repetitions += 1;
                self.schedule(address);
                self.transmit(address, &header, &body, actions);
            }
            Some(Due::Failed { session }) => {
                self.counters.sessions_failed += 1;
                if !self.is_authoritative() {
                    self.authority_failed(now, address, actions);
                } else if session && self.is_authority(address) && address > self.config.address {
                    // It may only have been restarted.
                    self.greet(now, address, ATTEMPTS, actions);
                }
            }
            None => self.schedule(address),
        }
    }

    /// The pause before all authoritative access points are tried again: each one longer.
    pub(super) fn lengthen_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        self.pause
    }
}
