//! The access point: frames and events in, the proxy's actions out.
//!
//! * `apply`: what the proxy wants done to the data path, and said;
//! * `discovery`: which agents there are.

mod apply;
mod discovery;

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    time::Duration,
};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;

use super::{
    Context, DaemonError,
    ports::{Port, RadioSettings},
    sources::SourceReport,
};
use crate::{
    control::report::StationSource,
    dataplane::{Sighting, SightingKind},
    io::raw_ip::RawSocket,
    mobility::{
        counters::Count,
        discovery::listener::Listener,
        link::{InterfaceIndex, Received},
        proxy::{ClientRecord, Event, Proxy, StationState},
        security::radius::Outcome,
        subnet_map::SubnetMap,
        time::{Instant, Now},
    },
    state::{Remembered, Table},
    stations::{
        hold::Hold,
        notice::{News, Notice, Source},
        relay::RelayAgent,
        roster::{Outcome as StationOutcome, Roster},
    },
    wire::{
        frame::{self, Link},
        types::{HomeAddress, HomeAgentAddress},
    },
};

/// How often the kernel's record of each visitor's last frame is read.
const ACTIVITY_INTERVAL: Duration = Duration::from_millis(500);

/// How far a packet to the home link may travel whose sender has allowed it one hop.
const HOPS_HOME: u8 = 64;

/// Frames that were not passed to the proxy, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Punted frames that make no sense.
    pub malformed: u64,
    /// DHCP messages of local stations, given back to the bridge.
    pub dhcp_bridged: u64,
    /// DHCP messages of visitors that nothing is known of yet, dropped: their clients repeat them.
    pub dhcp_withheld: u64,
    /// Echo requests with TTL 1 for the home link, sent there all the same.
    pub echoes_prolonged: u64,
    /// Stations for which the programs' table had no room, or whose radio is gone.
    pub stations_refused: u64,
    /// Sending failed.
    pub send_errors: u64,
}

/// The access point role.
#[derive(Debug)]
pub struct AccessPoint {
    /// The state machine.
    pub proxy: Proxy,
    /// Which agents there are.
    pub listener: Listener,
    /// The home agent of this subnet, and the subnet, as the other access points are told.
    pub own_home_agent: Option<(Ipv4Addr, Ipv4Net)>,
    /// The foreign agent that the proxy was told to prefer.
    pub preferred_agent: Option<Ipv4Addr>,
    /// Who is here, by all sources.
    pub stations: Roster,
    /// The sources of the radios, by what they said of themselves last.
    pub sources: BTreeMap<(InterfaceIndex, Source), SourceState>,
    /// First packets.
    pub hold: Hold,
    /// Visitors' exchange with the DHCP servers of their home networks.
    pub relay_agent: RelayAgent,
    /// By which it goes there.
    pub relay_socket: RawSocket,
    /// DHCP servers other than the home agent, by home agent.
    pub dhcp_servers: HashMap<HomeAgentAddress, Ipv4Addr>,
    /// What the proxy does not see.
    pub counters: Counters,
    /// The wired side.
    pub uplink: Port,
    /// Those that may be there.
    pub radio_settings: Vec<RadioSettings>,
    /// The wireless sides that are there.
    pub radios: HashMap<InterfaceIndex, Port>,
    /// What is local here.
    pub own_subnets: Vec<Ipv4Net>,
    /// Whether visitors' home agents may send them broadcasts of their home networks.
    pub broadcast: bool,
    /// Our address on the bridge: source of solicitations, and where DHCP servers answer.
    pub address: Ipv4Addr,
    /// UDP source port of requests.
    pub registration_port: u16,
    /// Addresses of clients whose associations the proxy needs from a server.
    pub wanted_associations: Vec<HomeAddress>,
    /// When [`ACTIVITY_INTERVAL`] is over.
    pub next_activity: Instant,
}

/// How a source of news about stations fares.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceState {
    /// Why it can tell nothing, unless it can.
    pub trouble: Option<String>,
    /// What it has counted.
    pub counts: Vec<Count>,
}

impl AccessPoint {
    /// Takes up the clients of the agent that ran before.
    pub fn restore(&mut self, now: Now, remembered: &Remembered, context: &mut Context<'_>) -> Result<(), DaemonError> {
        let addresses = remembered.records(Table::Addresses)?;
        for mac in self.stations.memory_mut().restore(remembered.now(now), addresses) {
            self.record_address(now, mac, context);
        }
        let records = remembered.records(Table::Clients)?;
        let radio = |name: &str| self.radios.values().find(|radio| radio.name == name).map(|radio| radio.interface);
        let records: Vec<_> = records.into_iter().map(|record: ClientRecord| record.relocated(radio)).collect();
        let mut actions = Vec::new();
        self.proxy.restore(remembered.now(now), records, &mut actions);
        self.apply(now, actions, context);
        Ok(())
    }

    /// What outlives us of a client.
    fn record(&self, now: Now, mac: MacAddress) -> Option<ClientRecord> {
        let record = self.proxy.record(now, mac)?;
        let radio = self.radios.get(&InterfaceIndex(record.interface));
        Some(ClientRecord { interface_name: radio.map(|radio| radio.name.clone()), ..record })
    }

    /// A kernel program noticed a station.
    pub fn handle_sighting(&mut self, now: Now, sighting: &Sighting, context: &mut Context<'_>) {
        let interface = InterfaceIndex(sighting.interface);
        let mac = sighting.mac;
        let event = match (sighting.kind, sighting.address) {
            (SightingKind::Visitor | SightingKind::Local, Some(address)) => {
                let news = News::Used { mac, address };
                return self.take_notice(now, &Notice { source: Source::FirstPacket, interface, news }, context);
            }
            (SightingKind::Moved, _) => {
                let news = News::Moved(mac);
                return self.take_notice(now, &Notice { source: Source::FirstPacket, interface, news }, context);
            }
            (SightingKind::Returned, _) => Event::Returned { mac, interface },
            (SightingKind::Announced, Some(address)) => Event::Announced { mac, address },
            (SightingKind::Attached, _) => Event::Attached { mac },
            // Nothing to register.
            (SightingKind::Visitor | SightingKind::Local | SightingKind::Announced, None) => return,
        };
        self.notice(now, event, context);
    }

    /// A source tells something of a station.
    pub fn take_notice(&mut self, now: Now, notice: &Notice, context: &mut Context<'_>) {
        let mut outcomes = Vec::new();
        self.stations.take(now.instant, notice, &mut outcomes);
        self.follow(now, outcomes, context);
    }

    /// A source of a radio has something to say.
    pub fn hear_source(&mut self, now: Now, report: &SourceReport, context: &mut Context<'_>) {
        let SourceReport { source, interface, ref news, ref trouble, ref counts } = *report;
        let Some(radio) = self.radios.get(&interface) else { return };
        let state = SourceState { trouble: trouble.clone(), counts: counts.clone() };
        let before = self.sources.insert((interface, source), state).map(|before| before.trouble);
        if before.as_ref() != Some(trouble) {
            let reason = trouble.as_deref().unwrap_or("in charge");
            tracing::info!(interface = radio.name, source = source.name(), reason, "source of news about stations");
        }
        if let Some(news) = news {
            self.take_notice(now, &Notice { source, interface, news: news.clone() }, context);
        }
    }

    /// Who tells of stations on a radio, the best first, and why the others do not.
    pub fn sources_of(&self, interface: InterfaceIndex) -> Vec<StationSource> {
        if !self.radios.contains_key(&interface) {
            return Vec::new();
        }
        let in_charge = self.stations.in_charge(interface);
        let row = |source: Source, state: &str, reason: Option<String>| StationSource {
            source: source.name().into(),
            state: state.into(),
            reason,
        };
        let asked = self.sources.iter().rev().filter(|((radio, _), _)| *radio == interface);
        let asked = asked.map(|((_, source), state)| match &state.trouble {
            Some(trouble) => row(*source, "unavailable", Some(trouble.clone())),
            None if in_charge == Some(*source) => row(*source, "in_charge", None),
            None => row(*source, "active", None),
        });
        asked.chain([row(Source::FirstPacket, "active", None)]).collect()
    }

    /// Does what comes of notices.
    pub(super) fn follow(&mut self, now: Now, outcomes: Vec<StationOutcome>, context: &mut Context<'_>) {
        for outcome in outcomes {
            match outcome {
                StationOutcome::Tell(event) => self.notice(now, event, context),
                StationOutcome::Learn(mac, address) => {
                    // A stray packet is no reason to expect the client with that address.
                    if self.proxy.home_address(mac).is_none_or(|known| known.0 == address) {
                        let mut learned = Vec::new();
                        self.stations.learn(now.instant, mac, address, &mut learned);
                        self.follow(now, learned, context);
                    }
                }
                StationOutcome::ReportAgain(mac) => apply::forget_seen(mac, context),
                StationOutcome::MemoryChanged(mac) => self.record_address(now, mac, context),
            }
        }
    }

    fn record_address(&self, now: Now, mac: MacAddress, context: &Context<'_>) {
        context.state.record(now, Table::Addresses, &mac.0, |now| self.stations.memory().record(now, mac));
    }

    /// The uplink was interrupted, or may be on another link now.
    pub fn handle_uplink_change(&mut self, now: Now, context: &mut Context<'_>) {
        self.listener.link_changed(now.instant);
        let mut actions = Vec::new();
        self.proxy.link_changed(now, &mut actions);
        self.apply(now, actions, context);
    }

    /// What a server says of a client.
    pub fn take_associations(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        outcome: Option<&Outcome>,
        context: &mut Context<'_>,
    ) {
        let mut actions = Vec::new();
        self.proxy.take_associations(now, home_address, outcome, &mut actions);
        self.apply(now, actions, context);
    }

    /// The home agents of the subnets are these now.
    pub fn set_subnet_map(&mut self, now: Now, map: SubnetMap, context: &mut Context<'_>) {
        let mut actions = Vec::new();
        self.proxy.subnet_map_changed(now, map, &mut actions);
        self.apply(now, actions, context);
    }

    /// Serves no further visitors, or does so again.
    pub fn pause(&mut self, now: Now, pause: bool, context: &mut Context<'_>) {
        if pause {
            let mut actions = Vec::new();
            self.proxy.pause(now, &mut actions);
            self.apply(now, actions, context);
        } else {
            self.proxy.resume();
        }
    }

    /// A frame that a kernel program handed over whole.
    pub fn handle_punted(&mut self, now: Now, mut bytes: Vec<u8>, context: &mut Context<'_>) {
        let Ok((link, kind, _)) = Link::parse(&bytes) else {
            self.counters.malformed += 1;
            return;
        };
        // Between the client and a host of its home link there is no router, as far as the client can tell.
        if frame::last_hop_echo(&bytes).is_some_and(|address| self.proxy.is_on_home_link(link.source, address)) {
            frame::set_ttl(&mut bytes, HOPS_HOME);
            self.counters.echoes_prolonged += 1;
        }
        if kind == frame::ETHERTYPE_ARP {
            self.hold_or_return(now, link.source, bytes, context);
            return;
        }
        // The programs punt frames before any checksum was computed or verified for a local sender.
        let Ok((_, udp)) = frame::parse_udp(&bytes, true) else {
            self.hold_or_return(now, link.source, bytes, context);
            return;
        };
        if udp.source_port == crate::io::datagram::REGISTRATION_PORT && udp.destination_port == self.registration_port {
            self.handle_reply(now, &bytes, context);
            return;
        }
        if !self.handle_dhcp(now, link, &udp, &bytes, context) {
            self.hold_or_return(now, link.source, bytes, context);
        }
    }

    fn handle_reply(&mut self, now: Now, bytes: &[u8], context: &mut Context<'_>) {
        let Ok((link, udp)) = frame::parse_udp(bytes, false) else {
            self.counters.malformed += 1;
            return;
        };
        let received = Received {
            payload: udp.payload,
            source: udp.source,
            source_port: udp.source_port,
            destination: udp.destination,
            destination_port: udp.destination_port,
            ttl: udp.ttl,
            interface: self.uplink.interface,
            source_mac: Some(link.source),
        };
        let mut actions = Vec::new();
        self.proxy.handle_reply(now, &received, &mut actions);
        self.apply(now, actions, context);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let activity = (!self.proxy.is_idle()).then_some(self.next_activity);
        [self.proxy.poll_timeout(), self.listener.poll_timeout(), self.hold.poll_timeout(), activity]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, context: &mut Context<'_>) {
        for (mac, frames) in self.hold.expire(now.instant) {
            self.proxy.held_dropped(now, mac, frames);
        }
        if self.next_activity <= now.instant && !self.proxy.is_idle() {
            self.next_activity = now.instant + ACTIVITY_INTERVAL;
            let mut actions = Vec::new();
            for (mac, silence) in context.dataplane.stations_last_seen() {
                // What was last heard before we started may have left since: it is not taken for heard at the start.
                let Some(seen) = now.instant.0.checked_sub(silence) else { continue };
                self.proxy.last_active(now, mac, Instant(seen), &mut actions);
            }
            self.apply(now, actions, context);
        }
        let mut actions = Vec::new();
        self.listener.handle_timeout(now.instant, &mut actions);
        self.apply_discovery(now, actions, context);
        let mut actions = Vec::new();
        self.proxy.handle_timeout(now, &mut actions);
        self.apply(now, actions, context);
    }

    pub(super) fn notice(&mut self, now: Now, event: Event, context: &mut Context<'_>) {
        let mut actions = Vec::new();
        self.proxy.handle_event(now, event, &mut actions);
        self.apply(now, actions, context);
    }

    pub(super) fn is_local(&self, address: Ipv4Addr) -> bool {
        self.own_subnets.iter().any(|subnet| subnet.contains(&address))
    }

    /// ARP is answered, and a registered visitor's packets go on, by the program; so they are given back as soon as it
    /// knows the station. Everything else waits for that.
    pub(super) fn hold_or_return(&mut self, now: Now, client: MacAddress, bytes: Vec<u8>, context: &mut Context<'_>) {
        let arp = bytes.get(12..14) == Some(&frame::ETHERTYPE_ARP.to_be_bytes());
        match self.proxy.station(client) {
            Some(StationState::Hold { .. }) if arp => self.give_back(&bytes, context),
            Some(StationState::Forward { .. } | StationState::Local) => self.give_back(&bytes, context),
            _ => {
                let lost = self.hold.push(now.instant, client, bytes);
                self.proxy.held_dropped(now, client, lost);
            }
        }
    }

    pub(super) fn give_back(&mut self, bytes: &[u8], context: &Context<'_>) {
        if let Err(error) = context.dataplane.inject(bytes) {
            tracing::debug!(%error, "cannot give a frame back");
            self.counters.send_errors += 1;
        }
    }
}
