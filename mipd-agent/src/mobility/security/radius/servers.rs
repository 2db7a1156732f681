//! The servers: who is asked, who is passed over, and which of its 256 identifiers is whose.

use std::collections::BTreeMap;

use super::{Action, Config, Counters};
use crate::{mobility::time::Instant, wire::types::HomeAddress};

/// A server by its place in [`Config::servers`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerIndex(pub usize);

/// Servers that were asked about one client already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried(u8);

impl Tried {
    fn contains(self, server: ServerIndex) -> bool {
        self.0 & (1 << server.0) != 0
    }

    fn insert(&mut self, server: ServerIndex) {
        self.0 |= 1 << server.0;
    }
}

/// All servers, in the order of preference.
#[derive(Clone, Debug)]
pub(super) struct Servers(Vec<ServerState>);

#[derive(Clone, Debug)]
struct ServerState {
    liveness: Liveness,
    /// When it last proved that it is there.
    heard: Option<Instant>,
    /// Whom the requests without an answer are about.
    identifiers: BTreeMap<u8, HomeAddress>,
    next_identifier: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Liveness {
    Alive,
    /// Passed over until then.
    Dead(Instant),
    /// One request finds out whether it is back; meanwhile it is passed over.
    Probed,
}

impl Servers {
    /// So many, all presumed alive; at most [`Config::MAXIMUM_SERVERS`].
    pub fn new(count: usize) -> Self {
        debug_assert!((1..=Config::MAXIMUM_SERVERS).contains(&count));
        let server =
            ServerState { liveness: Liveness::Alive, heard: None, identifiers: BTreeMap::new(), next_identifier: 0 };
        Self(vec![server; count])
    }

    /// The server to ask next: the first one that lives or deserves another chance, else whichever was found dead first.
    /// `None` if all were asked.
    pub fn choose(&mut self, now: Instant, tried: &mut Tried) -> Option<ServerIndex> {
        let all = || (0..self.0.len()).map(ServerIndex).filter(|server| !tried.contains(*server));
        let usable = |server: &ServerIndex| match self.0[server.0].liveness {
            Liveness::Alive => true,
            Liveness::Dead(until) => until <= now,
            Liveness::Probed => false,
        };
        let dead_until = |server: &ServerIndex| match self.0[server.0].liveness {
            Liveness::Dead(until) => until,
            Liveness::Alive | Liveness::Probed => now,
        };
        let chosen = all().find(usable).or_else(|| all().min_by_key(dead_until))?;
        let liveness = &mut self.0[chosen.0].liveness;
        if matches!(liveness, Liveness::Dead(until) if *until <= now) {
            *liveness = Liveness::Probed;
        }
        tried.insert(chosen);
        Some(chosen)
    }

    /// A free identifier of the server: not one that was used lately, so that late answers find nobody. `None` if all are
    /// in use.
    pub fn take_identifier(&mut self, server: ServerIndex, home_address: HomeAddress) -> Option<u8> {
        let server = &mut self.0[server.0];
        let first = server.next_identifier;
        let free =
            (0..=u8::MAX).map(|step| first.wrapping_add(step)).find(|id| !server.identifiers.contains_key(id))?;
        server.next_identifier = free.wrapping_add(1);
        server.identifiers.insert(free, home_address);
        Some(free)
    }

    /// The request with this identifier waits no longer.
    pub fn release_identifier(&mut self, server: ServerIndex, identifier: u8) {
        self.0[server.0].identifiers.remove(&identifier);
    }

    /// Whom the request with this identifier is about.
    pub fn asked_about(&self, server: ServerIndex, identifier: u8) -> Option<HomeAddress> {
        self.0.get(server.0)?.identifiers.get(&identifier).copied()
    }

    /// Requests without an answer.
    pub fn outstanding(&self) -> usize {
        self.0.iter().map(|server| server.identifiers.len()).sum()
    }

    /// The server gave an authentic answer.
    pub fn hear(&mut self, now: Instant, index: ServerIndex, counters: &mut Counters, actions: &mut Vec<Action>) {
        let server = &mut self.0[index.0];
        server.heard = Some(now);
        if server.liveness != Liveness::Alive {
            server.liveness = Liveness::Alive;
            counters.servers_returned += 1;
            actions.push(Action::ServerReturned { server: index });
        }
    }

    /// A request first sent at `since` was given up. The server is dead, unless it answered another one meanwhile.
    pub fn give_up(
        &mut self,
        since: Instant,
        until: Instant,
        index: ServerIndex,
        counters: &mut Counters,
        actions: &mut Vec<Action>,
    ) {
        let server = &mut self.0[index.0];
        if server.heard.is_some_and(|heard| heard >= since) {
            return;
        }
        if server.liveness == Liveness::Alive {
            counters.servers_failed += 1;
            actions.push(Action::ServerFailed { server: index });
        }
        server.liveness = Liveness::Dead(until);
    }
}
