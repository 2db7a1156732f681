//! Security associations downloaded by RADIUS (RFC 2865), for the proxy and for the home agent.
//!
//! The client gets look-ups ([`RadiusClient::look_up`]), datagrams of its servers and the time, and answers each look-up
//! with exactly one [`Action::Resolved`], at once from its cache or later. A look-up never waits for another client's.
//!
//! * [`config`]: its settings; [`counters`];
//! * `servers`: who is asked, who is dead, identifiers;
//! * `exchange`: one client's question, from server to server;
//! * `accepted`: what an Access-Accept grants;
//! * `cache`: what bounds memory.

mod accepted;
mod cache;
pub mod config;
pub mod counters;
mod exchange;
mod servers;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};

use self::{cache::Cache, exchange::Pending, servers::Servers};
pub use self::{
    config::{Config, Server},
    counters::Counters,
    servers::ServerIndex,
};
use super::SecurityAssociation;
use crate::{
    mobility::{deadlines::Deadlines, pace::Pace, time::Instant},
    wire::types::HomeAddress,
};

/// How long nobody is asked again about a client about whom no server answered.
const UNREACHABLE_LIFETIME: Duration = Duration::from_secs(10);

/// What the daemon must do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram to a server.
    Send {
        /// Which.
        server: ServerIndex,
        /// UDP payload.
        packet: Vec<u8>,
    },
    /// What the roles shall know of a client from now on, in place of what they knew.
    Resolved {
        /// The client.
        home_address: HomeAddress,
        /// Its associations, or why there are none.
        outcome: Outcome,
    },
    /// The client's associations have expired: the roles shall look it up when they need it again.
    Withdrawn {
        /// The client.
        home_address: HomeAddress,
    },
    /// For the log: a server does not answer.
    ServerFailed {
        /// Which.
        server: ServerIndex,
    },
    /// For the log: it answers again.
    ServerReturned {
        /// Which.
        server: ServerIndex,
    },
}

/// The associations of one client, at least one, the one to send with first; or why there are none.
pub type Outcome = Result<Arc<[SecurityAssociation]>, Unresolved>;

/// Why a client has no downloaded association.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unresolved {
    /// A server rejected it.
    Rejected,
    /// A server accepted it and told no usable association.
    WithoutAssociation,
    /// No server answered.
    Unanswered,
    /// Too many look-ups at a time.
    Overloaded,
}

impl Unresolved {
    /// Whether a server has decided it, as opposed to a disturbance that may be over soon.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Rejected | Self::WithoutAssociation)
    }
}

/// The associations of one client in the cache.
#[derive(Clone, Debug)]
struct Downloaded {
    associations: Arc<[SecurityAssociation]>,
    server: ServerIndex,
    expires: Instant,
    /// A use after that has it downloaded anew.
    refresh_at: Instant,
}

/// One row of `mipd show associations`.
#[derive(Clone, Copy, Debug)]
pub struct DownloadedAssociations<'a> {
    /// The client.
    pub home_address: HomeAddress,
    /// What was downloaded.
    pub associations: &'a [SecurityAssociation],
    /// From whom.
    pub server: ServerIndex,
    /// Until when it is kept.
    pub expires: Instant,
}

/// A RADIUS client.
#[derive(Debug)]
pub struct RadiusClient {
    config: Config,
    servers: Servers,
    pending: BTreeMap<HomeAddress, Pending>,
    /// Those that are [`Pending::Waiting`], in order.
    waiting: VecDeque<HomeAddress>,
    /// When those pending must be thought of again.
    deadlines: Deadlines<HomeAddress>,
    associations: Cache<Downloaded>,
    refusals: Cache<Unresolved>,
    pace: Pace,
    random: StdRng,
    counters: Counters,
}

impl RadiusClient {
    /// A client that knows nothing yet. `seed` makes Request Authenticators unpredictable to others, repeatable in tests.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            servers: Servers::new(config.servers.len()),
            pending: BTreeMap::new(),
            waiting: VecDeque::new(),
            deadlines: Deadlines::default(),
            associations: Cache::new(config.maximum_cached),
            refusals: Cache::new(config.maximum_cached),
            pace: Pace::per_second(config.requests_per_second),
            random: StdRng::from_seed(seed),
            counters: Counters::default(),
            config,
        }
    }

    /// A role needs the client's associations, or uses those it has. Leads to one [`Action::Resolved`]; associations that are
    /// about to expire are downloaded anew in the background.
    pub fn look_up(&mut self, now: Instant, home_address: HomeAddress, actions: &mut Vec<Action>) {
        if let Some(downloaded) = self.associations.touch(home_address) {
            self.counters.cache_hits += 1;
            let outcome = Ok(Arc::clone(&downloaded.associations));
            let stale = downloaded.refresh_at <= now;
            actions.push(Action::Resolved { home_address, outcome });
            if stale && !self.pending.contains_key(&home_address) && self.waiting.is_empty() && self.may_ask(now) {
                self.counters.refreshes += 1;
                self.ask(now, home_address, actions);
            }
        } else if let Some(why) = self.refusals.touch(home_address).copied() {
            self.counters.negative_cache_hits += 1;
            actions.push(Action::Resolved { home_address, outcome: Err(why) });
        } else if self.pending.contains_key(&home_address) {
            self.counters.look_ups_merged += 1;
        } else if self.waiting.is_empty() && self.may_ask(now) {
            self.ask(now, home_address, actions);
        } else if self.waiting.len() < self.config.maximum_waiting {
            self.counters.look_ups_queued += 1;
            self.enqueue(now, home_address);
        } else {
            self.counters.look_ups_refused += 1;
            actions.push(Action::Resolved { home_address, outcome: Err(Unresolved::Overloaded) });
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let turn = (!self.waiting.is_empty() && self.has_slot()).then(|| self.pace.earliest());
        [self.deadlines.next(), self.associations.next_expiry(), self.refusals.next_expiry(), turn]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does everything that has become due.
    pub fn handle_timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(home_address) = self.deadlines.pop_due(now) {
            self.lose_patience(now, home_address, actions);
        }
        while let Some(home_address) = self.associations.pop_expired(now) {
            self.counters.associations_expired += 1;
            actions.push(Action::Withdrawn { home_address });
        }
        while self.refusals.pop_expired(now).is_some() {}
        self.ask_waiting(now, actions);
    }

    /// Everything in the cache, by home address.
    pub fn downloaded(&self) -> impl Iterator<Item = DownloadedAssociations<'_>> {
        self.associations.iter().map(|(home_address, downloaded)| DownloadedAssociations {
            home_address,
            associations: &downloaded.associations,
            server: downloaded.server,
            expires: downloaded.expires,
        })
    }

    /// Everything counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
