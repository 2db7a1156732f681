//! One client's question: asked, asked again, passed from server to server, answered or given up.

use std::{sync::Arc, time::Duration};

use rand::Rng;

use super::{
    Action, Downloaded, RadiusClient, ServerIndex, UNREACHABLE_LIFETIME, Unresolved, accepted, servers::Tried,
};
use crate::{
    mobility::time::Instant,
    wire::{
        radius::{AccessRequest, RequestAuthenticator, Response, ResponseCode, Unverified, VerifiedResponse},
        types::HomeAddress,
    },
};

/// How long a look-up waits for its turn. Longer, and the client has given up or asked again.
const TURN_PATIENCE: Duration = Duration::from_secs(5);
/// No wait for an answer is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Whatever a server says, associations are kept at least and at most so long.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

/// A client about whom there is no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pending {
    /// It waits for its turn.
    Waiting,
    /// A server was asked.
    Asked(Exchange),
}

/// A request to one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    server: ServerIndex,
    identifier: u8,
    authenticator: RequestAuthenticator,
    /// When it was sent first.
    since: Instant,
    /// How often it may be sent again.
    retries: u32,
    /// The wait that is on.
    wait: Duration,
    tried: Tried,
}

impl RadiusClient {
    /// Whether another request may be without an answer.
    pub(super) fn has_slot(&self) -> bool {
        self.servers.outstanding() < self.config.maximum_outstanding
    }

    /// Whether a client may be asked about now.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.has_slot() && self.pace.earliest() <= now
    }

    pub(super) fn enqueue(&mut self, now: Instant, home_address: HomeAddress) {
        self.pending.insert(home_address, Pending::Waiting);
        self.waiting.push_back(home_address);
        self.deadlines.set(home_address, now + TURN_PATIENCE);
    }

    /// Asks about clients whose turn has come.
    pub(super) fn ask_waiting(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while !self.waiting.is_empty() && self.may_ask(now) {
            if let Some(home_address) = self.waiting.pop_front() {
                self.ask(now, home_address, actions);
            }
        }
    }

    /// Asks the first usable server about the client.
    pub(super) fn ask(&mut self, now: Instant, home_address: HomeAddress, actions: &mut Vec<Action>) {
        self.pace.take(now);
        self.ask_next(now, home_address, Tried::default(), actions);
    }

    fn ask_next(&mut self, now: Instant, home_address: HomeAddress, mut tried: Tried, actions: &mut Vec<Action>) {
        let chosen = self.servers.choose(now, &mut tried);
        let identified = chosen.and_then(|server| Some((server, self.servers.take_identifier(server, home_address)?)));
        let Some((server, identifier)) = identified else {
            self.counters.unanswered += 1;
            return self.refuse(now, home_address, Unresolved::Unanswered, actions);
        };
        let mut authenticator = RequestAuthenticator([0; 16]);
        self.random.fill_bytes(&mut authenticator.0);
        let exchange = Exchange {
            server,
            identifier,
            authenticator,
            since: now,
            retries: self.config.retries,
            wait: self.config.timeout,
            tried,
        };
        self.counters.access_requests += 1;
        self.send(now, home_address, exchange, actions);
    }

    /// Sends the request, which stays the same when it is sent again (RFC 2865 §2.5).
    fn send(&mut self, now: Instant, home_address: HomeAddress, exchange: Exchange, actions: &mut Vec<Action>) {
        let request = AccessRequest {
            identifier: exchange.identifier,
            authenticator: exchange.authenticator,
            home_address: home_address.0,
            user_password: &self.config.user_password,
            nas_identifier: &self.config.nas_identifier,
        };
        let packet = request.emit(&self.config.servers[exchange.server.0].secret);
        actions.push(Action::Send { server: exchange.server, packet });
        self.pending.insert(home_address, Pending::Asked(exchange));
        self.deadlines.set(home_address, now + exchange.wait);
    }

    /// The client's wait is over.
    pub(super) fn lose_patience(&mut self, now: Instant, home_address: HomeAddress, actions: &mut Vec<Action>) {
        match self.pending.get(&home_address).copied() {
            Some(Pending::Asked(exchange)) if exchange.retries > 0 => {
                let wait = (exchange.wait * 2).min(LONGEST_WAIT);
                self.counters.access_retransmissions += 1;
                self.send(now, home_address, Exchange { retries: exchange.retries - 1, wait, ..exchange }, actions);
            }
            Some(Pending::Asked(Exchange { server, identifier, since, tried, .. })) => {
                self.counters.timeouts += 1;
                self.servers.release_identifier(server, identifier);
                let until = now + self.config.dead_time;
                self.servers.give_up(since, until, server, &mut self.counters, actions);
                let requests = self.counters.access_requests;
                self.ask_next(now, home_address, tried, actions);
                self.counters.failovers += self.counters.access_requests - requests;
            }
            Some(Pending::Waiting) => {
                self.waiting.retain(|waiting| *waiting != home_address);
                self.counters.look_ups_refused += 1;
                self.refuse(now, home_address, Unresolved::Overloaded, actions);
            }
            None => {}
        }
    }

    /// A datagram from the address of a server.
    pub fn handle_datagram(&mut self, now: Instant, server: ServerIndex, datagram: &[u8], actions: &mut Vec<Action>) {
        let Ok(response) = Response::parse(datagram) else {
            self.counters.malformed_access_responses += 1;
            return;
        };
        let asked_about = self.servers.asked_about(server, response.identifier);
        let pending = asked_about.and_then(|home_address| Some((home_address, self.pending.get(&home_address)?)));
        let Some((home_address, Pending::Asked(exchange))) = pending else {
            self.counters.unexpected_responses += 1;
            return;
        };
        let secret = &self.config.servers[server.0].secret;
        match response.verify(secret, exchange.authenticator, self.config.require_message_authenticator) {
            Ok(verified) => {
                self.pending.remove(&home_address);
                self.deadlines.clear(home_address);
                self.servers.release_identifier(server, response.identifier);
                self.servers.hear(now, server, &mut self.counters, actions);
                self.take_answer(now, home_address, server, &verified, actions);
                self.ask_waiting(now, actions);
            }
            Err(Unverified::MissingMessageAuthenticator) => self.counters.missing_message_authenticators += 1,
            Err(_) => self.counters.bad_authenticators += 1,
        }
    }

    fn take_answer(
        &mut self,
        now: Instant,
        home_address: HomeAddress,
        server: ServerIndex,
        response: &VerifiedResponse<'_>,
        actions: &mut Vec<Action>,
    ) {
        match response.code {
            ResponseCode::Accept => self.counters.access_accepts += 1,
            ResponseCode::Reject => self.counters.access_rejects += 1,
            ResponseCode::Challenge => self.counters.access_challenges += 1,
        }
        if response.code != ResponseCode::Accept {
            return self.refuse(now, home_address, Unresolved::Rejected, actions);
        }
        let associations = accepted::associations(&self.config, response, &mut self.counters);
        if associations.is_empty() {
            self.counters.accepts_without_association += 1;
            return self.refuse(now, home_address, Unresolved::WithoutAssociation, actions);
        }
        let told = response.session_timeout().map(|seconds| Duration::from_secs(seconds.into()));
        let lifetime = told.unwrap_or(self.config.cache_lifetime).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME);
        let associations: Arc<[_]> = associations.into();
        let downloaded = Downloaded {
            associations: Arc::clone(&associations),
            server,
            expires: now + lifetime,
            refresh_at: now + lifetime * 3 / 4,
        };
        if let Some(evicted) = self.associations.insert(home_address, downloaded, now + lifetime) {
            self.counters.associations_evicted += 1;
            actions.push(Action::Withdrawn { home_address: evicted });
        }
        actions.push(Action::Resolved { home_address, outcome: Ok(associations) });
    }

    /// There is no association for the client, now or at all. A server that does not answer takes away nothing that was
    /// downloaded before.
    fn refuse(&mut self, now: Instant, home_address: HomeAddress, why: Unresolved, actions: &mut Vec<Action>) {
        self.pending.remove(&home_address);
        if why.is_decided() {
            self.associations.remove(home_address);
        } else if let Some(downloaded) = self.associations.touch(home_address) {
            downloaded.refresh_at = now + UNREACHABLE_LIFETIME;
            return;
        }
        let lifetime = match why {
            Unresolved::Rejected | Unresolved::WithoutAssociation => Some(self.config.negative_cache_lifetime),
            Unresolved::Unanswered => Some(UNREACHABLE_LIFETIME),
            Unresolved::Overloaded => None,
        };
        if let Some(lifetime) = lifetime
            && self.refusals.insert(home_address, why, now + lifetime).is_some()
        {
            self.counters.refusals_evicted += 1;
        }
        actions.push(Action::Resolved { home_address, outcome: Err(why) });
    }
}
