//! What arrives: which session it belongs to, and whose business it is.

use std::net::Ipv4Addr;

use super::{
    counters::Discard,
    exchange::{Action, Exchange, SILENCE, Timer},
    link::Fit,
};
use crate::{
    mobility::{
        link::{REGISTRATION_PORT, Received},
        time::{Instant, Now},
    },
    wire::subnet_map::{self, Body, Digest, Header},
};

impl Exchange {
    /// Takes a datagram to UDP port 6500.
    pub fn handle_datagram(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        if received.source_port == REGISTRATION_PORT {
            return self.probe_answered(now, received.payload);
        }
        if let Err(reason) = self.take(now, received, actions) {
            self.counters.discarded.add(reason);
        }
    }

    fn take(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) -> Result<(), Discard> {
        let (header, body) = subnet_map::parse(received.payload, &self.config.key)?;
        let from = header.sender;
        if from != received.source || from == self.config.address {
            return Err(Discard::Sender);
        }
        match body {
            Body::Hello => self.greeted(now.instant, &header, actions),
            Body::Welcome => self.welcomed(now, &header, actions),
            Body::Acknowledgement { digest } => self.acknowledged(now.instant, &header, digest, actions),
            body => {
                let peer = self.peers.get_mut(&from).ok_or(Discard::Session)?;
                match peer.link.fit(&header) {
                    Fit::Stranger => return Err(Discard::Session),
                    Fit::Old => return Err(Discard::Replayed),
                    Fit::Again => self.counters.repetitions_received += 1,
                    Fit::Next { opened } => {
                        self.counters.sessions_opened += u64::from(opened);
                        self.hear(now, from, opened, body, actions)?;
                    }
                }
                self.acknowledge(&header, actions);
                self.flush(now.instant, from, actions);
                Ok(())
            }
        }
    }

    /// Somebody wants a session. Only authoritative access points grant any.
    fn greeted(&mut self, now: Instant, hello: &Header, actions: &mut Vec<Action>) -> Result<(), Discard> {
        if !self.is_authoritative() {
            return Err(Discard::Unexpected);
        }
        if !self.peers.contains_key(&hello.sender) {
            if self.peers.len() >= self.config.maximum_members {
                return Err(Discard::TooManyMembers);
            }
            // A hello may be a replay: what follows it decides whether it is remembered.
            self.deadlines.set(Timer::Member(hello.sender), now + SILENCE);
        }
        let peer = self.peers.entry(hello.sender).or_default();
        let (header, body) = peer.link.welcome(hello, self.config.address, &mut self.random);
        self.transmit(hello.sender, &header, &body, actions);
        Ok(())
    }

    fn welcomed(&mut self, now: Now, welcome: &Header, actions: &mut Vec<Action>) -> Result<(), Discard> {
        let from = welcome.sender;
        let peer = self.peers.get_mut(&from).ok_or(Discard::Session)?;
        if !peer.link.is_welcomed(welcome) {
            return Err(Discard::Session);
        }
        self.counters.sessions_opened += 1;
        self.deadlines.clear(Timer::Link(from));
        if self.is_authoritative() {
            self.compare_with(now.instant, from, actions);
        } else {
            self.join(now.instant, from, actions);
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        now: Instant,
        header: &Header,
        digest: Digest,
        actions: &mut Vec<Action>,
    ) -> Result<(), Discard> {
        let from = header.sender;
        let peer = self.peers.get_mut(&from).ok_or(Discard::Session)?;
        let compared = peer.link.is_comparing();
        if !peer.link.is_acknowledged(header) {
            return Err(Discard::Session);
        }
        if compared && digest != self.table.digest() {
            self.tell_all(from);
        }
        self.deadlines.clear(Timer::Link(from));
        self.flush(now, from, actions);
        Ok(())
    }

    /// A message of a session, for the first time.
    fn hear(
        &mut self,
        now: Now,
        from: Ipv4Addr,
        opened: bool,
        body: Body,
        actions: &mut Vec<Action>,
    ) -> Result<(), Discard> {
        match body {
            Body::Report { home_agent, leaving, digest } if self.is_authoritative() => {
                self.reported(now, from, (home_agent, leaving, digest), opened, actions);
            }
            Body::Comparison { digest } if self.is_authoritative() && self.is_authority(from) => {
                self.compared(now.instant, from, digest);
            }
            Body::Entries { entries, .. } if self.is_authoritative() && self.is_authority(from) => {
                self.take_over(now, from, &entries, actions);
            }
            Body::Entries { first, last, entries } if self.authority == Some(from) && !self.is_authoritative() => {
                self.copy(now.instant, (first, last), entries, actions);
            }
            _ => return Err(Discard::Unexpected),
        }
        Ok(())
    }

    fn acknowledge(&mut self, header: &Header, actions: &mut Vec<Action>) {
        let acknowledgement = Header {
            sender: self.config.address,
            to: header.from,
            from: header.to,
            sequence: 0,
            acknowledged: header.sequence,
        };
        let body = Body::Acknowledgement { digest: self.table.digest() };
        self.transmit(header.sender, &acknowledgement, &body, actions);
    }
}
