//! An access point that is not authoritative: whom it reports to, and how it gets the table.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    exchange::{Action, Exchange, Timer},
    link::ATTEMPTS,
};
use crate::{
    mobility::time::Instant,
    wire::subnet_map::{Body, Entry},
};

impl Exchange {
    /// Asks the authoritative access point at this place of the list for a session; after the last one all are tried again,
    /// a while later.
    pub(super) fn try_candidate(&mut self, now: Instant, index: usize, actions: &mut Vec<Action>) {
        if let Some(address) = self.config.authoritative.get(index).copied() {
            self.candidate = Some(index);
            self.greet(now, address, ATTEMPTS, actions);
        } else {
            self.candidate = None;
            let pause = self.lengthen_pause();
            self.deadlines.set(Timer::Round, now + pause);
        }
    }

    /// The session with this one exists. It is the one to report to, unless a better one is.
    pub(super) fn join(&mut self, now: Instant, address: Ipv4Addr, actions: &mut Vec<Action>) {
        let place = |of: Ipv4Addr| self.config.authoritative.iter().position(|address| *address == of);
        let former = self.authority.filter(|authority| *authority != address);
        if former.is_some_and(|former| place(former) < place(address)) {
            return;
        }
        if let Some(former) = former {
            self.counters.failovers += 1;
            self.say(
                now,
                former,
                Body::Report { home_agent: None, leaving: true, digest: self.table.digest() },
                actions,
            );
        }
        self.authority = Some(address);
        self.candidate = None;
        self.pause = Duration::ZERO;
        self.arriving = None;
        actions.push(Action::AuthorityChanged(self.authority));
        self.report(now, actions);
    }

    /// Tells the authoritative access point that we are here.
    pub(super) fn report(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(authority) = self.authority else { return };
        let home_agent = self.own.map(|(home_agent, subnet)| (home_agent, subnet.prefix_len()));
        self.say(now, authority, Body::Report { home_agent, leaving: false, digest: self.table.digest() }, actions);
    }

    fn say(&mut self, now: Instant, to: Ipv4Addr, body: Body, actions: &mut Vec<Action>) {
        if let Some(peer) = self.peers.get_mut(&to) {
            self.counters.reports_sent += 1;
            peer.link.next = Some(body);
            self.flush(now, to, actions);
        }
    }

    /// Asks those before the one that we report to whether they are back.
    pub(super) fn look_for_better(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let better = self.config.authoritative.iter().copied().take_while(|address| self.authority != Some(*address));
        if self.authority.is_some() {
            for address in better.collect::<Vec<_>>() {
                self.greet(now, address, 1, actions);
            }
        }
    }

    /// An authoritative access point does not answer.
    pub(super) fn authority_failed(&mut self, now: Instant, address: Ipv4Addr, actions: &mut Vec<Action>) {
        let place = self.config.authoritative.iter().position(|authoritative| *authoritative == address);
        if self.authority == Some(address) {
            self.authority = None;
            self.arriving = None;
            actions.push(Action::AuthorityChanged(None));
            // It may only have been restarted: it is asked first.
            self.try_candidate(now, 0, actions);
        } else if self.candidate.is_some() && self.candidate == place {
            self.try_candidate(now, place.map_or(0, |place| place + 1), actions);
        }
    }

    /// Takes entries of the one that we report to. A whole table replaces ours when it is complete.
    pub(super) fn copy(
        &mut self,
        now: Instant,
        (first, last): (bool, bool),
        entries: Vec<Entry>,
        actions: &mut Vec<Action>,
    ) {
        self.counters.entries_received += entries.len() as u64;
        if first {
            self.arriving = Some(Vec::new());
        }
        let before = self.table.digest();
        match &mut self.arriving {
            Some(arriving) => {
                arriving.extend(entries);
                if last {
                    self.counters.tables_received += 1;
                    self.table.replace(now, std::mem::take(arriving));
                    self.arriving = None;
                }
            }
            None => {
                for entry in entries {
                    self.merge(now, &entry);
                }
            }
        }
        if self.table.digest() != before {
            actions.push(Action::MapChanged);
        }
    }
}
