//! A session with one other access point.
//!
//! Each end chooses a random nonce for the session and puts the other's into everything it sends, so that nothing of an
//! earlier session, or of another pair, is ever taken for part of it. One end asks with a hello, the other grants with a
//! welcome; the session begins for the second one when the first uses it, since only then it is sure that the hello was no
//! replay. Within the session each direction has one numbered message under way at a time, which is repeated until it is
//! acknowledged.

use std::{cmp::Ordering, collections::BTreeSet, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use rand::{RngExt, rngs::StdRng};

use crate::{
    mobility::time::Instant,
    wire::subnet_map::{Body, Header, Nonce},
};

/// The pause before the first repetition; each further one is longer by as much.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How often a message is sent before its recipient counts as unreachable: a second in all.
pub(super) const ATTEMPTS: u32 = 6;

/// What one end knows of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Session {
    ours: Nonce,
    theirs: Nonce,
    /// Number of our last message.
    sent: u32,
    /// Number of their last message.
    received: u32,
}

/// Something that is repeated until it is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub header: Header,
    pub body: Body,
    attempts: u32,
    /// After so many it fails.
    limit: u32,
    again: Instant,
}

/// How a message fits into what we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// The next one; `opened` if it is the first one of a session that we granted.
    Next { opened: bool },
    /// The last one once more: its acknowledgement was lost.
    Again,
    /// An earlier one.
    Old,
    /// Of no session of ours.
    Stranger,
}

/// What has become due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Send it again.
    Repeat(Header, Body),
    /// The other end does not answer: the session, and what was to be said, are forgotten.
    Failed {
        /// There was a session; otherwise a hello was not answered.
        session: bool,
    },
}

/// Our end of a session, and what is to be said in it.
#[derive(Debug, Default)]
pub(super) struct Link {
    session: Option<Session>,
    /// Granted, and not used by the other end yet.
    offered: Option<Session>,
    pending: Option<Pending>,
    /// Subnets that the other end is to be told of.
    pub backlog: BTreeSet<Ipv4Net>,
    /// The backlog begins a whole table, which has not begun to be sent.
    pub begins_table: bool,
    /// The end of a whole table is still to be told.
    pub ends_table: bool,
    /// A report, comparison or the like that waits for its turn.
    pub next: Option<Body>,
}

impl Link {
    /// Whether there is a session.
    pub fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Whether a comparison is under way.
    pub fn is_comparing(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| matches!(pending.body, Body::Comparison { .. }))
    }

    /// Whether something waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Asks for a session, so often at most. One that exists stays until the new one is granted.
    pub fn greet(&mut self, now: Instant, sender: Ipv4Addr, limit: u32, random: &mut StdRng) -> (Header, Body) {
        let header = Header { sender, to: Nonce(0), from: Nonce(random.random()), sequence: 0, acknowledged: 0 };
        self.pending = Some(Pending { header, body: Body::Hello, attempts: 1, limit, again: now + PATIENCE });
        (header, Body::Hello)
    }

    /// Grants a session to whoever sent this hello; the same one if it is the same hello.
    pub fn welcome(&mut self, hello: &Header, sender: Ipv4Addr, random: &mut StdRng) -> (Header, Body) {
        let session = match self.offered.filter(|offered| offered.theirs == hello.from) {
            Some(offered) => offered,
            None => Session { ours: Nonce(random.random()), theirs: hello.from, sent: 0, received: 0 },
        };
        self.offered = Some(session);
        let header = Header { sender, to: session.theirs, from: session.ours, sequence: 0, acknowledged: 0 };
        (header, Body::Welcome)
    }

    /// Whether this welcome answers our hello; if so, the session has begun.
    pub fn is_welcomed(&mut self, welcome: &Header) -> bool {
        let asked = self.pending.as_ref().filter(|pending| pending.body == Body::Hello).map(|pending| pending.header);
        let Some(hello) = asked.filter(|hello| hello.from == welcome.to) else { return false };
        self.begin(Session { ours: hello.from, theirs: welcome.from, sent: 0, received: 0 });
        true
    }

    fn begin(&mut self, session: Session) {
        self.session = Some(session);
        self.offered = None;
        self.pending = None;
    }

    /// Places a message, and takes note of it.
    pub fn fit(&mut self, header: &Header) -> Fit {
        let is_of = |session: &Session| header.to == session.ours && header.from == session.theirs;
        let opened = match (&self.session, self.offered) {
            (Some(session), _) if is_of(session) => false,
            (_, Some(offered)) if is_of(&offered) => {
                self.begin(offered);
                true
            }
            _ => return Fit::Stranger,
        };
        let Some(session) = &mut self.session else { return Fit::Stranger };
        match header.sequence.cmp(&session.received) {
            Ordering::Greater => {
                session.received = header.sequence;
                Fit::Next { opened }
            }
            Ordering::Equal => Fit::Again,
            Ordering::Less => Fit::Old,
        }
    }

    /// Whether this acknowledges what is under way; if so, the next message may follow.
    pub fn is_acknowledged(&mut self, header: &Header) -> bool {
        let of_session = self.session.is_some_and(|session| header.to == session.ours && header.from == session.theirs);
        let expected = self.pending.as_ref().map(|pending| pending.header.sequence).filter(|sequence| *sequence != 0);
        let matches = of_session && expected == Some(header.acknowledged);
        if matches {
            self.pending = None;
        }
        matches
    }

    /// Sends a message in the session, if there is one and nothing is under way.
    pub fn send(&mut self, now: Instant, sender: Ipv4Addr, body: Body) -> Option<(Header, Body)> {
        let session = self.session.as_mut().filter(|_| self.pending.is_none())?;
        session.sent = session.sent.checked_add(1)?;
        let header = Header { sender, to: session.theirs, from: session.ours, sequence: session.sent, acknowledged: 0 };
        let pending = Pending { header, body, attempts: 1, limit: ATTEMPTS, again: now + PATIENCE };
        let message = (header, pending.body.clone());
        self.pending = Some(pending);
        Some(message)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.again)
    }

    /// Repeats what is under way, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let pending = self.pending.as_mut().filter(|pending| pending.again <= now)?;
        if pending.attempts >= pending.limit {
            let session = pending.body != Body::Hello;
            self.pending = None;
            if session {
                *self = Self::default();
            }
            return Some(Due::Failed { session });
        }
        pending.attempts += 1;
        pending.again = now + PATIENCE * pending.attempts;
        Some(Due::Repeat(pending.header, pending.body.clone()))
    }

    /// Has the other end told the whole table.
    pub fn tell_all(&mut self, subnets: impl IntoIterator<Item = Ipv4Net>) {
        self.backlog = subnets.into_iter().collect();
        self.begins_table = true;
        self.ends_table = true;
    }
}
