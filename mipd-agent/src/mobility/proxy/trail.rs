//! What happened to each client, step by step, for whoever asks afterwards why its connection broke: bounded, and kept for a
//! day after the last step, whether or not the client is still here.

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use mipd_common::mac::MacAddress;

use super::client::Missing;
use crate::{
    mobility::{
        deadlines::Deadlines,
        link::InterfaceIndex,
        time::{Instant, Now},
    },
    wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
};

/// Steps kept of each client, the newest.
pub const STEPS_PER_CLIENT: usize = 30;
/// How long a trail is kept after its last step.
const RETENTION: Duration = Duration::from_hours(24);

/// How a station was noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticedBy {
    /// By a packet, an ARP message, or the address that it asks a DHCP server for.
    Use,
    /// It associated, and is remembered by its address.
    Association,
    /// It was found to be associated, and is remembered by its address.
    List,
    /// It was here when the agent stopped.
    Restart,
}

/// Why a client is served here no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departure {
    /// It was asked several times, and did not answer.
    Silent,
    /// Its MAC was seen on the uplink.
    Moved,
    /// It disassociated.
    Disassociated,
    /// It uses another address now.
    Readdressed,
    /// A visitor that has a local address now.
    TurnedLocal,
    /// It gave its address back, or its DHCP server refused it.
    Surrendered,
    /// It went to a radio of another home network.
    AnotherRadio,
    /// The radio that it was behind is gone.
    RadioGone,
    /// At home: its address was announced by another MAC, so that it has registered elsewhere.
    RegisteredElsewhere,
    /// At home: the uplink was interrupted, so that nobody knows what was announced meanwhile.
    LinkInterrupted,
    /// The operator has paused the service.
    Paused,
}

/// One thing that happened to a client, or was done for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It was seen with this address on this radio.
    Noticed {
        /// By what.
        by: NoticedBy,
        /// The radio.
        interface: InterfaceIndex,
        /// The address that it uses.
        address: HomeAddress,
        /// Whether that address belongs here.
        is_local: bool,
    },
    /// It spoke after a silence in which it may have been elsewhere.
    Returned,
    /// A RADIUS server is asked for its security association.
    AssociationAsked,
    /// The server told the security association.
    AssociationTold,
    /// The subnet map has its home agent.
    HomeAgentFound {
        /// Which.
        home_agent: HomeAgentAddress,
    },
    /// It cannot be served.
    Unserved {
        /// What is missing, in words.
        reason: &'static str,
    },
    /// No foreign agent is known yet: advertisements are asked for.
    AgentAwaited,
    /// Another foreign agent, or another care-of address of it, is to be taken; or the agent has forgotten the client.
    AgentChanged {
        /// Which one is taken now.
        agent: Ipv4Addr,
    },
    /// A foreign agent says that the registration is gone.
    Dismissed {
        /// Which.
        agent: Ipv4Addr,
    },
    /// A request went out; at home a deregistration.
    Requested {
        /// Its Identification.
        identification: Identification,
        /// To which agent on the link.
        agent: Ipv4Addr,
        /// For which home agent.
        home_agent: HomeAgentAddress,
        /// With which care-of address.
        care_of_address: CareOfAddress,
        /// Lifetime asked for.
        lifetime: Lifetime,
        /// The one before it was not answered.
        is_repeated: bool,
    },
    /// A valid reply came.
    Answered {
        /// Its code.
        code: ReplyCode,
        /// Since the request.
        round_trip: Duration,
    },
    /// Its packets go to the foreign agent from now on.
    Forwarded {
        /// Which.
        agent: Ipv4Addr,
        /// Since it was noticed.
        after: Duration,
    },
    /// Its registration was renewed at the first attempt, for the how manyth time in a row.
    Renewed {
        /// How often.
        times: u32,
        /// Of the last one.
        round_trip: Duration,
    },
    /// Packets that were held went out.
    HeldReleased {
        /// How many.
        frames: u32,
    },
    /// Packets that were held were given up.
    HeldDropped {
        /// How many.
        frames: u32,
    },
    /// Its registration ran out.
    Expired,
    /// It was silent and is asked whether it is there, so many times so far. Gone from the trail once it answers.
    Asked {
        /// How often.
        times: u8,
    },
    /// At home: its address and MAC were announced on the uplink.
    Announced,
    /// At home: the home agent has ended its binding.
    AtHome {
        /// Since it was noticed.
        after: Duration,
    },
    /// It is served here no longer.
    Gone {
        /// Why.
        why: Departure,
    },
}

/// A step and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// By the wall clock.
    pub wall: Identification,
    /// What happened.
    pub step: Step,
}

/// The steps of one client.
#[derive(Debug)]
pub struct Trail {
    /// The address that it used last.
    pub address: HomeAddress,
    entries: VecDeque<Entry>,
    /// Whether a home agent has ever accepted it.
    is_served: bool,
}

impl Trail {
    /// Oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == STEPS_PER_CLIENT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Adds a step, or puts it in the place of the last one if it says the same anew. What is routine thus leaves room for
    /// what is not.
    fn note(&mut self, entry: Entry) {
        let last = self.entries.back().map(|last| last.step);
        match (last, entry.step) {
            (Some(Step::Asked { .. }), Step::Asked { times }) => {
                // The time stays that of the first question.
                if let Some(last) = self.entries.back_mut() {
                    last.step = Step::Asked { times };
                }
            }
            (Some(Step::HeldDropped { frames: before }), Step::HeldDropped { frames }) => {
                self.entries.pop_back();
                self.push(Entry { step: Step::HeldDropped { frames: before.saturating_add(frames) }, ..entry });
            }
            (Some(Step::Answered { .. }), Step::Renewed { round_trip, .. }) => {
                self.entries.pop_back();
                if matches!(self.entries.back(), Some(Entry { step: Step::Requested { is_repeated: false, .. }, .. })) {
                    self.entries.pop_back();
                }
                let before = match self.entries.back() {
                    Some(Entry { step: Step::Renewed { times, .. }, .. }) => *times,
                    _ => 0,
                };
                if before > 0 {
                    self.entries.pop_back();
                }
                self.push(Entry { step: Step::Renewed { times: before.saturating_add(1), round_trip }, ..entry });
            }
            _ => self.push(entry),
        }
    }
}

/// All trails.
#[derive(Debug)]
pub struct Trails {
    maximum: usize,
    by_mac: HashMap<MacAddress, Trail>,
    /// When each is forgotten: those of clients that no home agent has ever accepted, which go first for want of room.
    unserved: Deadlines<MacAddress>,
    served: Deadlines<MacAddress>,
}

impl Trails {
    /// Of at most so many clients.
    pub fn new(maximum: usize) -> Self {
        Self { maximum, by_mac: HashMap::new(), unserved: Deadlines::default(), served: Deadlines::default() }
    }

    /// A client was noticed. `address` is what it uses.
    pub(super) fn begin(&mut self, now: Now, mac: MacAddress, address: HomeAddress, step: Step) {
        while let Some(old) = self.unserved.pop_due(now.instant).or_else(|| self.served.pop_due(now.instant)) {
            self.by_mac.remove(&old);
        }
        if !self.by_mac.contains_key(&mac) && self.by_mac.len() >= self.maximum {
            let end = Instant(Duration::MAX);
            let Some(oldest) = self.unserved.pop_due(end).or_else(|| self.served.pop_due(end)) else { return };
            self.by_mac.remove(&oldest);
        }
        let trail = self.by_mac.entry(mac).or_insert(Trail { address, entries: VecDeque::new(), is_served: false });
        trail.address = address;
        self.note(now, mac, step);
    }

    /// Something happened to a client that was noticed before.
    pub(super) fn note(&mut self, now: Now, mac: MacAddress, step: Step) {
        let Some(trail) = self.by_mac.get_mut(&mac) else { return };
        if matches!(step, Step::Forwarded { .. } | Step::AtHome { .. }) {
            trail.is_served = true;
            self.unserved.clear(mac);
        }
        trail.note(Entry { wall: now.wall, step });
        let forgotten = now.instant + RETENTION;
        if trail.is_served { self.served.set(mac, forgotten) } else { self.unserved.set(mac, forgotten) }
    }

    /// The client has answered what it was asked last.
    pub(super) fn answered(&mut self, mac: MacAddress) {
        let Some(trail) = self.by_mac.get_mut(&mac) else { return };
        if matches!(trail.entries.back(), Some(Entry { step: Step::Asked { .. }, .. })) {
            trail.entries.pop_back();
        }
    }

    /// The trail of a station.
    pub fn of(&self, mac: MacAddress) -> Option<&Trail> {
        self.by_mac.get(&mac)
    }

    /// The stations whose last address was this one.
    pub fn with_address(&self, address: HomeAddress) -> impl Iterator<Item = (MacAddress, &Trail)> {
        self.by_mac.iter().filter(move |(_, trail)| trail.address == address).map(|(mac, trail)| (*mac, trail))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_mac.len()
    }

    /// Whether nobody was noticed lately.
    pub fn is_empty(&self) -> bool {
        self.by_mac.is_empty()
    }
}

impl From<Missing> for Step {
    fn from(missing: Missing) -> Self {
        Self::Unserved { reason: missing.reason() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const ADDRESS: HomeAddress = HomeAddress(Ipv4Addr::new(10, 1, 0, 5));

    fn at(second: u64) -> Now {
        Now { instant: Instant(Duration::from_secs(second)), wall: Identification(second << 32) }
    }

    fn noticed() -> Step {
        Step::Noticed { by: NoticedBy::Use, interface: InterfaceIndex(3), address: ADDRESS, is_local: false }
    }

    fn steps(trails: &Trails) -> Vec<(u32, Step)> {
        trails.of(MAC).unwrap().entries().map(|entry| (entry.wall.seconds(), entry.step)).collect()
    }

    fn request(is_repeated: bool) -> Step {
        Step::Requested {
            identification: Identification(1),
            agent: Ipv4Addr::new(10, 2, 0, 1),
            home_agent: HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 1)),
            care_of_address: CareOfAddress(Ipv4Addr::new(10, 2, 0, 1)),
            lifetime: Lifetime(600),
            is_repeated,
        }
    }

    fn renew(trails: &mut Trails, second: u64, is_repeated: bool) {
        let round_trip = Duration::from_millis(second);
        trails.note(at(second), MAC, request(is_repeated));
        trails.note(at(second), MAC, Step::Answered { code: ReplyCode::ACCEPTED, round_trip });
        trails.note(at(second), MAC, Step::Renewed { times: 1, round_trip });
    }

    #[test]
    fn memory_for_all_trails_is_bounded() {
        assert!(size_of::<Entry>() <= 48, "{} bytes times 30 times the number of clients", size_of::<Entry>());
        let mut trails = Trails::new(2);
        for last in 0..100 {
            let mac = MacAddress([2, 0, 0, 0, 0, last]);
            for _ in 0..100 {
                trails.begin(at(last.into()), mac, ADDRESS, noticed());
            }
            assert_eq!(trails.of(mac).unwrap().entries().count(), STEPS_PER_CLIENT);
        }
        assert_eq!(trails.len(), 2);
        assert_eq!(trails.unserved.len() + trails.served.len(), 2);
    }

    #[test]
    fn clients_that_were_never_served_make_room_first() {
        let mut trails = Trails::new(2);
        trails.begin(at(1), MAC, ADDRESS, noticed());
        trails.note(at(1), MAC, Step::Forwarded { agent: Ipv4Addr::new(10, 2, 0, 1), after: Duration::ZERO });
        for last in 2..100 {
            trails.begin(at(last.into()), MacAddress([2, 0, 0, 0, 0, last]), ADDRESS, noticed());
        }
        assert!(trails.of(MAC).is_some());
        assert_eq!(trails.with_address(ADDRESS).count(), 2);
    }

    #[test]
    fn a_trail_is_forgotten_a_day_after_its_last_step() {
        let mut trails = Trails::new(2);
        trails.begin(at(0), MAC, ADDRESS, noticed());
        trails.note(at(10), MAC, Step::Gone { why: Departure::Moved });
        let other = MacAddress([2, 0, 0, 0, 0, 9]);
        trails.begin(at(24 * 3600 + 9), other, ADDRESS, noticed());
        assert!(trails.of(MAC).is_some());
        trails.begin(at(24 * 3600 + 10), other, ADDRESS, noticed());
        assert!(trails.of(MAC).is_none());
    }

    #[test]
    fn renewals_in_a_row_are_one_step_and_repetitions_stay_visible() {
        let mut trails = Trails::new(2);
        trails.begin(at(0), MAC, ADDRESS, noticed());
        for second in 1..=50 {
            renew(&mut trails, second, false);
        }
        let round_trip = Duration::from_millis(50);
        assert_eq!(steps(&trails), [(0, noticed()), (50, Step::Renewed { times: 50, round_trip })]);
        renew(&mut trails, 51, true);
        assert_eq!(steps(&trails).len(), 4, "{:?}", steps(&trails));
    }

    #[test]
    fn packets_dropped_one_by_one_are_one_step() {
        let mut trails = Trails::new(2);
        trails.begin(at(0), MAC, ADDRESS, noticed());
        for second in 1..=3 {
            trails.note(at(second), MAC, Step::HeldDropped { frames: 2 });
        }
        assert_eq!(steps(&trails)[1..], [(3, Step::HeldDropped { frames: 6 })]);
    }

    #[test]
    fn questions_are_one_step_that_an_answer_takes_away() {
        let mut trails = Trails::new(2);
        trails.begin(at(0), MAC, ADDRESS, noticed());
        trails.note(at(1), MAC, Step::Asked { times: 1 });
        trails.note(at(2), MAC, Step::Asked { times: 2 });
        assert_eq!(steps(&trails)[1..], [(1, Step::Asked { times: 2 })]);
        trails.answered(MAC);
        trails.answered(MAC);
        assert_eq!(steps(&trails), [(0, noticed())]);
    }
}
