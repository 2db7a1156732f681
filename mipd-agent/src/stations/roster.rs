//! Which stations there are, from what all sources tell.
//!
//! Any source is enough; several agree as follows:
//!
//! * What a source tells a second time, or a second source after the first, changes nothing. Only a source that has told of an
//!   association and tells of one again means a new one: the station may have been elsewhere in between.
//! * Of a radio's sources that know who is associated, one is in charge: hostapd, or nl80211 as long as hostapd cannot be
//!   reached. Nobody else's associations and disassociations count, so late news of one does not undo newer news of the other.
//! * A station is behind the radio that told of it last. What another radio tells of its leaving is old.
//! * After a disassociation, frames that were still on their way prove nothing, while somebody is in charge who would tell of
//!   a new association.
//! * A source that cannot be reached changes nothing. Its next list does: who was associated and is not on it has left.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;

use super::{
    memory::Memory,
    notice::{News, Notice, Source},
};
use crate::mobility::{
    counters::counters,
    deadlines::Deadlines,
    link::InterfaceIndex,
    proxy::{Event, is_host_address},
    time::Instant,
};

/// For so long after a disassociation, or after an address was given up, a frame may be a late one.
const LATE: Duration = Duration::from_secs(3);

counters! {
    /// What was told about stations. The counters never decrease.
    pub struct Counters {
        associations: "associations told by the source in charge of the radio";
        disassociations: "disassociations told by the source in charge of the radio";
        not_in_charge: "associations and disassociations told by another source than the one in charge, ignored";
        outdated: "disassociations from a radio that the station is not behind any more, ignored";
        absent: "stations that were not on the list of a source that can be reached again";
        late_frames: "stations that were noticed by a frame right after their disassociation, or by the address that they had just given up, ignored";
        leases: "addresses learned from a DHCP server's acknowledgement";
        forgotten: "stations dropped from the list of those noticed, to make room";
        senseless: "notices with a group address as station, or of an address that no station can have, ignored";
    }
}

/// What comes of a notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The proxy should know this.
    Tell(Event),
    /// The station's next frame is to be reported again.
    ReportAgain(MacAddress),
    /// Unless the proxy knows the station by another address: [`learn`](Roster::learn) this one.
    Learn(MacAddress, Ipv4Addr),
    /// The memory of this station has changed: persist or delete its record.
    MemoryChanged(MacAddress),
}

/// What is known of a station that is here, or has just left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// The radio.
    pub interface: InterfaceIndex,
    /// Who noticed it first, this time.
    pub noticed_by: Source,
    /// When.
    pub since: Instant,
    /// Who else did, as bits by the order of the sources.
    told: u8,
    /// Who told that it is associated.
    associated_by: Option<Source>,
    /// The address that it was last seen to use, this time.
    address: Option<Ipv4Addr>,
    /// The address that it has given up, and when.
    surrendered: Option<(Ipv4Addr, Instant)>,
    left: Option<Instant>,
}

impl Station {
    fn new(now: Instant, interface: InterfaceIndex, source: Source) -> Self {
        let told = 1 << source as u8;
        Self {
            interface,
            noticed_by: source,
            since: now,
            told,
            associated_by: None,
            address: None,
            surrendered: None,
            left: None,
        }
    }

    /// All sources that have told of it, the first one first.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        let others = Source::ALL.into_iter().filter(|source| *source != self.noticed_by);
        let (first, told) = (self.noticed_by, self.told);
        std::iter::once(first).chain(others.filter(move |source| told & (1 << *source as u8) != 0))
    }

    /// Who tells that it is associated, if anybody does.
    pub fn associated_by(&self) -> Option<Source> {
        self.associated_by
    }
}

/// All stations, and what is remembered of them.
#[derive(Debug)]
pub struct Roster {
    own_subnets: Vec<Ipv4Net>,
    memory: Memory,
    maximum: usize,
    stations: HashMap<MacAddress, Station>,
    /// Who may be forgotten to make room, the longest unheard first: those that are not served.
    recency: Deadlines<MacAddress>,
    served: HashSet<MacAddress>,
    /// The sources of each radio that know its associations and can be reached.
    reachable: HashMap<InterfaceIndex, BTreeSet<Source>>,
    counters: Counters,
}

impl Roster {
    /// A roster of at most so many stations. An address in one of the subnets belongs here.
    pub fn new(own_subnets: Vec<Ipv4Net>, maximum: usize, memory: Memory) -> Self {
        Self {
            own_subnets,
            memory,
            maximum: maximum.max(1),
            stations: HashMap::new(),
            recency: Deadlines::default(),
            served: HashSet::new(),
            reachable: HashMap::new(),
            counters: Counters::default(),
        }
    }

    /// Takes note of what a source tells.
    pub fn take(&mut self, now: Instant, notice: &Notice, out: &mut Vec<Outcome>) {
        let Notice { source, interface, ref news } = *notice;
        match *news {
            News::Associated(mac) => self.associate(now, source, interface, mac, out),
            News::Disassociated(mac) => self.disassociate(now, source, interface, mac, out),
            News::Stations(ref stations) => self.compare(now, source, interface, stations, out),
            News::Unreachable => {
                if let Some(sources) = self.reachable.get_mut(&interface) {
                    sources.remove(&source);
                }
            }
            News::Used { mac, address } => self.use_address(now, interface, source, mac, address, out),
            News::Moved(mac) => {
                self.drop_station(mac);
                out.push(Outcome::Tell(Event::Moved { mac }));
            }
        }
    }

    /// A DHCP server has given a station an address. Anybody on the wired side can say so: only a station of which nothing else
    /// is known is taken to have it.
    pub fn take_lease(&mut self, now: Instant, mac: MacAddress, address: Ipv4Addr, out: &mut Vec<Outcome>) {
        let Some(station) = self.stations.get(&mac).copied().filter(|station| station.left.is_none()) else { return };
        if !is_host_address(address) {
            self.counters.senseless += 1;
            return;
        }
        self.counters.leases += 1;
        if station.address.is_some() {
            return;
        }
        self.use_address(now, station.interface, Source::Dhcp, mac, address, out);
    }

    /// A station has given up its address, and is not expected to come back with it. For a moment it may still speak by it, if
    /// only to say that nobody there listens.
    pub fn surrender(&mut self, now: Instant, mac: MacAddress, address: Ipv4Addr, out: &mut Vec<Outcome>) {
        if let Some(station) = self.stations.get_mut(&mac) {
            station.address = None;
            station.surrendered = Some((address, now));
        }
        if self.memory.forget(mac) {
            out.push(Outcome::MemoryChanged(mac));
        }
    }

    /// A station is served: neither it nor its address is forgotten for the sake of any number of others.
    pub fn serve(&mut self, mac: MacAddress) {
        self.served.insert(mac);
        self.recency.clear(mac);
        self.memory.hold(mac);
    }

    /// A station is served no longer.
    pub fn release(&mut self, now: Instant, mac: MacAddress) {
        if self.served.remove(&mac) && self.stations.contains_key(&mac) {
            self.recency.set(mac, now);
        }
        self.memory.release(now, mac);
    }

    /// The address of a station is to be remembered.
    pub fn learn(&mut self, now: Instant, mac: MacAddress, address: Ipv4Addr, out: &mut Vec<Outcome>) {
        out.extend(self.memory.learn(now, mac, address).into_iter().map(Outcome::MemoryChanged));
    }

    /// Who is in charge of a radio: the best source that knows its associations and can be reached.
    pub fn in_charge(&self, interface: InterfaceIndex) -> Option<Source> {
        self.reachable.get(&interface)?.last().copied()
    }

    /// A station that is here.
    pub fn station(&self, mac: MacAddress) -> Option<&Station> {
        self.stations.get(&mac).filter(|station| station.left.is_none())
    }

    /// A radio is gone: nobody is behind it any more.
    pub fn forget_radio(&mut self, interface: InterfaceIndex) {
        self.reachable.remove(&interface);
        let gone: Vec<_> = self.behind(interface).map(|(mac, _)| mac).collect();
        for mac in gone {
            self.drop_station(mac);
        }
    }

    /// What is remembered beyond a stay.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The same, to be filled from the state store.
    pub fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// How many stations are listed, and how many addresses remembered.
    pub fn sizes(&self) -> (usize, usize) {
        (self.stations.len(), self.memory.len())
    }

    /// What was told so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn behind(&self, interface: InterfaceIndex) -> impl Iterator<Item = (MacAddress, &Station)> {
        let here = self.stations.iter().filter(move |(_, station)| station.interface == interface);
        here.map(|(mac, station)| (*mac, station))
    }

    /// Whether somebody better knows what is associated on a radio.
    fn is_overruled(&mut self, source: Source, interface: InterfaceIndex) -> bool {
        let overruled = self.in_charge(interface).is_some_and(|best| best > source);
        self.counters.not_in_charge += u64::from(overruled);
        overruled
    }

    fn associate(
        &mut self,
        now: Instant,
        source: Source,
        interface: InterfaceIndex,
        mac: MacAddress,
        out: &mut Vec<Outcome>,
    ) {
        if mac.is_multicast() {
            self.counters.senseless += 1;
            return;
        }
        if self.is_overruled(source, interface) {
            self.note(mac, interface, source);
            return;
        }
        let here = self.station(mac).filter(|station| station.interface == interface);
        if here.is_some_and(|station| station.associated_by.is_some_and(|teller| teller != source)) {
            // The one that was in charge before has told already.
            self.note(mac, interface, source);
            self.set_associated(mac, source);
            return;
        }
        self.counters.associations += 1;
        self.arrive(now, interface, source, mac);
        self.set_associated(mac, source);
        self.tell_association(now, interface, mac, true, out);
    }

    /// Has the proxy begin with the address that the station probably has.
    fn tell_association(
        &self,
        now: Instant,
        interface: InterfaceIndex,
        mac: MacAddress,
        just_now: bool,
        out: &mut Vec<Outcome>,
    ) {
        if let Some(address) = self.memory.address(now, mac) {
            out.push(Outcome::Tell(Event::Associated { interface, mac, address, just_now }));
        }
    }

    fn disassociate(
        &mut self,
        now: Instant,
        source: Source,
        interface: InterfaceIndex,
        mac: MacAddress,
        out: &mut Vec<Outcome>,
    ) {
        if self.is_overruled(source, interface) {
            return;
        }
        if self.stations.get(&mac).is_some_and(|station| station.interface != interface || station.left.is_some()) {
            self.counters.outdated += 1;
            return;
        }
        self.counters.disassociations += 1;
        self.leave(now, mac, out);
    }

    fn leave(&mut self, now: Instant, mac: MacAddress, out: &mut Vec<Outcome>) {
        if let Some(station) = self.stations.get_mut(&mac) {
            station.left = Some(now);
            station.associated_by = None;
        }
        out.push(Outcome::Tell(Event::Left { mac }));
    }

    /// A source has been reached, and lists who is there.
    fn compare(
        &mut self,
        now: Instant,
        source: Source,
        interface: InterfaceIndex,
        listed: &[MacAddress],
        out: &mut Vec<Outcome>,
    ) {
        if !source.knows_associations() {
            return;
        }
        self.reachable.entry(interface).or_default().insert(source);
        if self.is_overruled(source, interface) {
            return;
        }
        let listed_macs: HashSet<_> = listed.iter().copied().collect();
        let is_absent = |(mac, station): &(MacAddress, &Station)| {
            station.left.is_none() && station.associated_by.is_some() && !listed_macs.contains(mac)
        };
        let mut absent: Vec<_> = self.behind(interface).filter(is_absent).map(|(mac, _)| mac).collect();
        absent.sort_unstable();
        self.counters.absent += absent.len() as u64;
        for mac in absent {
            self.leave(now, mac, out);
        }
        for &mac in listed.iter().filter(|mac| !mac.is_multicast()) {
            let is_known = self.station(mac).is_some_and(|station| station.interface == interface);
            if is_known {
                self.note(mac, interface, source);
            } else {
                self.arrive(now, interface, source, mac);
                self.tell_association(now, interface, mac, false, out);
            }
            self.set_associated(mac, source);
        }
    }

    fn use_address(
        &mut self,
        now: Instant,
        interface: InterfaceIndex,
        source: Source,
        mac: MacAddress,
        address: Ipv4Addr,
        out: &mut Vec<Outcome>,
    ) {
        if mac.is_multicast() || !is_host_address(address) {
            self.counters.senseless += 1;
        } else {
            let known = self.stations.get(&mac).copied().filter(|station| station.interface == interface);
            let left = known.and_then(|station| station.left);
            if left.is_some_and(|left| now.since(left) < LATE) && self.in_charge(interface).is_some() {
                self.counters.late_frames += 1;
                self.learn(now, mac, address, out);
                out.push(Outcome::ReportAgain(mac));
                return;
            }
            // A claim is meant.
            let surrendered = known.and_then(|station| station.surrendered).filter(|_| source != Source::Dhcp);
            if surrendered.is_some_and(|(former, since)| former == address && now.since(since) < LATE) {
                self.counters.late_frames += 1;
                out.push(Outcome::ReportAgain(mac));
                return;
            }
            self.arrive(now, interface, source, mac);
            if let Some(station) = self.stations.get_mut(&mac) {
                station.address = Some(address);
                station.surrendered = None;
            }
        }
        let is_local = self.own_subnets.iter().any(|subnet| subnet.contains(&address));
        out.push(Outcome::Tell(match source {
            _ if is_local => Event::Local { interface, mac, address },
            Source::Dhcp => Event::Claimed { interface, mac, address },
            _ => Event::Visitor { interface, mac, address },
        }));
        if !mac.is_multicast() && is_host_address(address) {
            out.push(Outcome::Learn(mac, address));
        }
    }

    /// The station is behind this radio now.
    fn arrive(&mut self, now: Instant, interface: InterfaceIndex, source: Source, mac: MacAddress) {
        if let Some(station) = self.stations.get_mut(&mac).filter(|station| station.left.is_none()) {
            if station.interface != interface {
                station.interface = interface;
                station.associated_by = None;
            }
            station.told |= 1 << source as u8;
        } else {
            if !self.stations.contains_key(&mac) {
                self.make_room();
            }
            self.stations.insert(mac, Station::new(now, interface, source));
        }
        if !self.served.contains(&mac) {
            self.recency.set(mac, now);
        }
    }

    /// The source knows of the station, too.
    fn note(&mut self, mac: MacAddress, interface: InterfaceIndex, source: Source) {
        if let Some(station) = self.stations.get_mut(&mac)
            && station.interface == interface
            && station.left.is_none()
        {
            station.told |= 1 << source as u8;
        }
    }

    fn set_associated(&mut self, mac: MacAddress, source: Source) {
        if let Some(station) = self.stations.get_mut(&mac) {
            station.associated_by = Some(source);
        }
    }

    fn make_room(&mut self) {
        while self.stations.len() >= self.maximum
            && let Some(oldest) = self.recency.pop_due(Instant(Duration::MAX))
        {
            self.stations.remove(&oldest);
            self.counters.forgotten += 1;
        }
    }

    fn drop_station(&mut self, mac: MacAddress) {
        self.stations.remove(&mac);
        self.recency.clear(mac);
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
