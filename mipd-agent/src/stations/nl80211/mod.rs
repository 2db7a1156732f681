//! What the kernel's wireless subsystem tells of stations, without the socket: one watch over one radio.
//!
//! The kernel tells that a station is new when it has only just begun to associate, and says nothing when it is authorized at
//! last. So the radio's stations are listed until every new one is authorized or has been given up; then now and then, in case
//! news were lost. News and lists come by one socket, in the order in which they happened.
//!
//! * [`message`]: the few attributes that matter of the kernel's messages.

pub mod message;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mipd_common::mac::MacAddress;

use self::message::{Command, StationMessage};
use super::notice::News;
use crate::mobility::{counters::counters, time::Instant};

/// How long a list may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon the stations are listed again while one is not authorized: at first, and from when on.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_secs(1);
const OFTEN_FOR: Duration = Duration::from_secs(1);
/// When a station that is still not authorized is given up: a handshake with a server takes seconds, not minutes.
const UNAUTHORIZED: Duration = Duration::from_secs(30);
/// How often the stations are compared otherwise.
const COMPARE: Duration = Duration::from_secs(30);
/// More stations than any radio has.
const MAXIMUM_STATIONS: usize = 8192;

counters! {
    /// What was heard of the kernel's wireless subsystem. The counters never decrease.
    pub struct Counters {
        nl80211_events: "events of the kernel about stations of a radio";
        nl80211_lists: "lists of a radio's stations taken from the kernel";
        nl80211_unauthorized: "stations that did not become authorized";
        nl80211_malformed: "messages of the kernel's wireless subsystem that make no sense, ignored";
        nl80211_lost: "times that the kernel had more to tell than there was room for";
    }
}

/// Something that came by the socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A station came or went.
    Event(StationMessage),
    /// One of the stations asked for.
    Listed(StationMessage),
    /// That was the last one. The list may be wrong if something changed while it was made.
    ListEnd {
        /// Whether it is.
        interrupted: bool,
    },
    /// The stations of this interface cannot be listed.
    Refused(String),
    /// Something was lost.
    Lost,
    /// A message that makes no sense.
    Malformed,
}

/// What a watch wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Ask for the stations of the radio.
    List,
    /// This has happened.
    Tell(News),
    /// The watch is over: begin another one.
    End(String),
}

/// Watches one radio.
#[derive(Debug)]
pub struct Watch {
    interface: u32,
    /// Who is authorized, as far as was told.
    authorized: BTreeSet<MacAddress>,
    /// Who is new, and since when.
    waiting: BTreeMap<MacAddress, Instant>,
    /// The list that is under way.
    list: Option<BTreeSet<MacAddress>>,
    /// When the list is overdue, or the next one due.
    deadline: Instant,
    /// Whether the first list was told.
    begun: bool,
    counters: Counters,
}

impl Watch {
    /// Begins one; what is counted adds to what was counted before.
    pub fn begin(now: Instant, interface: u32, counters: Counters) -> (Self, Output) {
        let mut watch = Self {
            interface,
            authorized: BTreeSet::new(),
            waiting: BTreeMap::new(),
            list: None,
            deadline: now,
            begun: false,
            counters,
        };
        let list = watch.begin_list(now);
        (watch, list)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// What was heard.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lists again, or gives up.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        if now < self.deadline {
            return;
        }
        if self.list.is_some() {
            self.deadline = now + PATIENCE;
            out.push(Output::End("the kernel does not list the stations".to_owned()));
        } else {
            out.push(self.begin_list(now));
        }
    }

    /// Takes what has come by the socket.
    pub fn hear(&mut self, now: Instant, heard: &Heard, out: &mut Vec<Output>) {
        match heard {
            Heard::Event(message) => self.take_event(now, message, out),
            Heard::Listed(message) => self.take_listed(message),
            Heard::ListEnd { interrupted } => self.end_list(now, *interrupted, out),
            Heard::Refused(reason) => out.push(Output::End(reason.clone())),
            Heard::Lost => {
                self.counters.nl80211_lost += 1;
                if self.list.is_none() {
                    self.deadline = now;
                }
            }
            Heard::Malformed => self.counters.nl80211_malformed += 1,
        }
    }

    fn begin_list(&mut self, now: Instant) -> Output {
        self.list = Some(BTreeSet::new());
        self.deadline = now + PATIENCE;
        Output::List
    }

    /// The station of a message about this radio.
    fn station(&mut self, message: &StationMessage) -> Option<MacAddress> {
        if message.interface != Some(self.interface) {
            return None;
        }
        let mac = message.mac.filter(|mac| !mac.is_multicast());
        self.counters.nl80211_malformed += u64::from(mac.is_none());
        mac
    }

    fn take_event(&mut self, now: Instant, message: &StationMessage, out: &mut Vec<Output>) {
        if !matches!(message.command, Command::NewStation | Command::DelStation) {
            return;
        }
        let Some(mac) = self.station(message) else { return };
        self.counters.nl80211_events += 1;
        let was_authorized = self.authorized.remove(&mac);
        if let Some(list) = &mut self.list {
            list.remove(&mac);
        }
        match message.command {
            Command::NewStation if message.authorized == Some(true) => {
                self.authorize(mac, out);
                if let Some(list) = &mut self.list {
                    list.insert(mac);
                }
            }
            Command::NewStation => {
                if self.waiting.len() < MAXIMUM_STATIONS {
                    self.waiting.insert(mac, now);
                }
                if self.list.is_none() {
                    self.deadline = self.deadline.min(now + OFTEN);
                }
            }
            _ => {
                self.waiting.remove(&mac);
                if was_authorized {
                    out.push(Output::Tell(News::Disassociated(mac)));
                }
            }
        }
    }

    fn authorize(&mut self, mac: MacAddress, out: &mut Vec<Output>) {
        self.waiting.remove(&mac);
        self.authorized.insert(mac);
        if self.begun {
            out.push(Output::Tell(News::Associated(mac)));
        }
    }

    fn take_listed(&mut self, message: &StationMessage) {
        let Some(mac) = self.station(message) else { return };
        if let Some(list) = &mut self.list
            && message.authorized == Some(true)
            && list.len() < MAXIMUM_STATIONS
        {
            list.insert(mac);
        }
    }

    fn end_list(&mut self, now: Instant, interrupted: bool, out: &mut Vec<Output>) {
        let Some(list) = self.list.take() else { return };
        if interrupted {
            self.deadline = now + OFTEN;
            return;
        }
        self.counters.nl80211_lists += 1;
        if self.begun {
            let gone: Vec<_> = self.authorized.difference(&list).copied().collect();
            let new: Vec<_> = list.difference(&self.authorized).copied().collect();
            for mac in gone {
                self.authorized.remove(&mac);
                out.push(Output::Tell(News::Disassociated(mac)));
            }
            for mac in new {
                self.authorize(mac, out);
            }
        } else {
            self.begun = true;
            self.waiting.retain(|mac, _| !list.contains(mac));
            out.push(Output::Tell(News::Stations(list.iter().copied().collect())));
            self.authorized = list;
        }
        let waiting = self.waiting.len();
        self.waiting.retain(|_, since| now.since(*since) < UNAUTHORIZED);
        self.counters.nl80211_unauthorized += (waiting - self.waiting.len()) as u64;
        self.deadline = now
            + match self.waiting.values().max() {
                Some(newest) if now.since(*newest) < OFTEN_FOR => OFTEN,
                Some(_) => SELDOM,
                None => COMPARE,
            };
    }
}
