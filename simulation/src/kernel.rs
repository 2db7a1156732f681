//! What the kernel programs of an access point do, as far as the agent can tell.
//!
//! They report unknown stations, broken silence, and a visitor's MAC or an announcement on the uplink, and remember what they have
//! reported. Their maps outlive the agent, and so do events that no agent has read yet.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use ipnet::Ipv4Net;
use mipd_agent::mobility::{
    proxy::{Event, StationState},
    time::Instant,
};
use mipd_common::mac::MacAddress;

use crate::topology::RADIO;

/// A sighting is not reported again for so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Silence after which a visitor's next frame is reported.
pub const SILENCE: Duration = Duration::from_secs(1);
/// The ring of events holds so many.
const RING: usize = 4096;

/// A station that the agent has told the programs about.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// How its packets are treated.
    pub state: StationState,
    /// When it last sent a frame.
    pub last_seen: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Radio,
    Uplink,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    address: Ipv4Addr,
    side: Side,
    reported: Instant,
}

/// The programs' maps.
#[derive(Debug)]
pub struct Kernel {
    own_subnet: Ipv4Net,
    stations: BTreeMap<MacAddress, Station>,
    seen: HashMap<MacAddress, Seen>,
    events: VecDeque<Event>,
}

/// What became of a frame from a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It went on, by the uplink.
    Sent,
    /// The agent holds it.
    Held,
}

impl Kernel {
    /// With empty maps.
    pub fn new(own_subnet: Ipv4Net) -> Self {
        Self { own_subnet, stations: BTreeMap::new(), seen: HashMap::new(), events: VecDeque::new() }
    }

    /// A client sends a frame from its address.
    pub fn hear(&mut self, at: Instant, mac: MacAddress, address: Ipv4Addr) -> Fate {
        let is_local = self.own_subnet.contains(&address);
        let known = self.stations.get_mut(&mac).filter(|station| station.state != StationState::Awaited);
        let Some(station) = known else {
            let (event, again) = if is_local {
                (Event::Local { interface: RADIO, mac, address }, None)
            } else {
                (Event::Visitor { interface: RADIO, mac, address }, Some(AGAIN))
            };
            self.report(at, mac, address, Side::Radio, again, event);
            return if is_local { Fate::Sent } else { Fate::Held };
        };
        let silence = at.since(std::mem::replace(&mut station.last_seen, at));
        let state = station.state;
        if state != StationState::Local && silence >= SILENCE {
            self.push(Event::Returned { mac, interface: RADIO });
        }
        if matches!(state, StationState::Hold { .. }) { Fate::Held } else { Fate::Sent }
    }

    /// A client answers an ARP request of the agent's.
    pub fn hear_answer(&mut self, at: Instant, mac: MacAddress, address: Ipv4Addr) -> Fate {
        let fate = self.hear(at, mac, address);
        let is_at_home = |state| matches!(state, StationState::Local | StationState::Awaited);
        if self.stations.get(&mac).is_some_and(|station| !is_at_home(station.state)) {
            self.push(Event::Attached { mac });
        }
        fate
    }

    /// A client has talked all along, last at this time.
    pub fn heard_talking(&mut self, mac: MacAddress, last: Instant) {
        if let Some(station) = self.stations.get_mut(&mac) {
            station.last_seen = station.last_seen.max(last);
        }
    }

    /// A frame with a client's MAC comes by the uplink. Says whether the programs look no further.
    pub fn hear_on_uplink(&mut self, at: Instant, mac: MacAddress) -> bool {
        let address = match self.stations.get(&mac).map(|station| station.state) {
            Some(StationState::Hold { home_address } | StationState::Forward { home_address, .. }) => home_address.0,
            Some(StationState::Local | StationState::Awaited) => Ipv4Addr::UNSPECIFIED,
            None => return false,
        };
        self.report(at, mac, address, Side::Uplink, Some(AGAIN), Event::Moved { mac });
        true
    }

    /// A gratuitous ARP comes by the uplink.
    pub fn hear_announcement(&mut self, at: Instant, mac: MacAddress, address: Ipv4Addr) {
        self.report(at, mac, address, Side::Uplink, Some(AGAIN), Event::Announced { mac, address });
    }

    /// The agent says how a station is to be treated.
    pub fn set_station(&mut self, at: Instant, mac: MacAddress, state: StationState) {
        let last_seen = self.stations.get(&mac).map_or(at, |station| station.last_seen);
        self.stations.insert(mac, Station { state, last_seen });
    }

    /// The agent forgets a station. Says whether it was there.
    pub fn remove_station(&mut self, mac: MacAddress) -> bool {
        self.stations.remove(&mac).is_some()
    }

    /// The agent wants the station reported again.
    pub fn forget_seen(&mut self, mac: MacAddress) {
        self.seen.remove(&mac);
    }

    /// A station.
    pub fn station(&self, mac: MacAddress) -> Option<&Station> {
        self.stations.get(&mac)
    }

    /// All stations.
    pub fn stations(&self) -> impl Iterator<Item = (MacAddress, &Station)> {
        self.stations.iter().map(|(mac, station)| (*mac, station))
    }

    /// The next event for the agent.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The box is switched off: all maps are lost.
    pub fn power_off(&mut self) {
        *self = Self::new(self.own_subnet);
    }

    fn report(
        &mut self,
        at: Instant,
        mac: MacAddress,
        address: Ipv4Addr,
        side: Side,
        again: Option<Duration>,
        event: Event,
    ) {
        if let Some(seen) = self.seen.get(&mac)
            && seen.address == address
            && seen.side == side
            && again.is_none_or(|again| at.since(seen.reported) < again)
        {
            return;
        }
        self.seen.insert(mac, Seen { address, side, reported: at });
        self.push(event);
    }

    fn push(&mut self, event: Event) {
        if self.events.len() < RING {
            self.events.push_back(event);
        }
    }
}
