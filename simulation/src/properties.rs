//! What must be true at all times.
//!
//! 1. A home agent accepts, and is bound by, only what an access point has signed.
//! 2. It never accepts a request twice, nor, with timestamps, one that is older than what it has accepted from the client.
//! 3. Foreign agent and home agent disagree about a client for one lifetime at most.
//! 4. A client that was noticed is registered where it is, and its packets would reach it, within
//!    [`Properties::bound`] of the last trouble on its way.
//! 5. A captured message that is delivered again changes nothing.
//! 6. A foreign agent that a client has left is told within a second, if both agents revoke registrations.
//! 7. No foreign agent accepts a challenge twice from the same client.
//! 8. All state is bounded by configuration.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use mipd_agent::{
    mobility::{home_agent::MobilityBinding, security::ReplayProtection, time::Instant},
    wire::{registration::RegistrationRequest, types::Identification},
};

use crate::{
    router::ADVERTISEMENT_INTERVAL,
    scenario::{Conditions, Scenario},
};

/// How many signed requests are remembered of each client. One a second at most is sent, and none is under way for longer
/// than [`Properties::grace`].
const LEDGER: usize = 256;

/// How many Identifications that were accepted are remembered of each client.
const ACCEPTED: usize = 64;

/// How many challenges are remembered of each client.
const ECHOES: usize = 64;

/// How long a foreign agent waits for an answer, by a clock that drifts.
const PATIENCE: Duration = Duration::from_millis(7010);

/// A challenge that a client has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Echo {
    router: usize,
    challenge: Vec<u8>,
    /// The requests, by the low halves of their Identifications, that wait for an answer, and since when.
    waiting: Vec<(u32, Instant)>,
}

/// A property that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was noticed.
    pub at: Instant,
    /// Of which client.
    pub client: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// What is remembered to check the properties.
#[derive(Debug)]
pub struct Properties {
    scenario: Scenario,
    conditions: Conditions,
    ledger: Vec<VecDeque<RegistrationRequest>>,
    /// By client: what its home agent accepted lately, the last of it at the end.
    accepted: Vec<VecDeque<Identification>>,
    echoes: Vec<VecDeque<Echo>>,
    /// By client and foreign agent: since when it disagrees with the client's home agent, and the number of the check.
    disagreements: HashMap<(usize, usize), u64>,
    checks: u64,
}

impl Properties {
    /// Nothing has happened yet.
    pub fn new(scenario: Scenario, conditions: Conditions) -> Self {
        Self {
            scenario,
            conditions,
            ledger: vec![VecDeque::new(); scenario.clients],
            accepted: vec![VecDeque::new(); scenario.clients],
            echoes: vec![VecDeque::new(); scenario.clients],
            disagreements: HashMap::new(),
            checks: 0,
        }
    }

    /// How long it may take from the last trouble on a client's way, or from its first frame, until its packets reach it.
    ///
    /// A request may get lost, and is repeated after 1, 2, 4, … s. With one message in a hundred lost, and four messages
    /// to an attempt, seven attempts in a row fail less than once in 10^9; so all of them may be needed but no more: 63 s.
    /// Where nothing is lost, a retry may still be due to a wrong clock. An access point that has just been started, or has
    /// lost its agent, must hear three advertisements at worst before that.
    pub fn bound(&self) -> Duration {
        let waits = if self.scenario.calm { 1 } else { 6 };
        Duration::from_secs((1 << waits) - 1) + ADVERTISEMENT_INTERVAL * 3 + Duration::from_secs(2)
    }

    /// How long a registration lasts.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.conditions.lifetime.0.into())
    }

    /// How much longer than a lifetime a disagreement may last: replies are under way, lifetimes count from when they are
    /// sent, and clocks drift.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// An access point signed a request.
    pub fn sign(&mut self, client: usize, request: RegistrationRequest) {
        let ledger = &mut self.ledger[client];
        if ledger.len() == LEDGER {
            ledger.pop_front();
        }
        ledger.push_back(request);
    }

    /// The home agent of a client accepted a request.
    pub fn accept(&mut self, client: usize, request: &RegistrationRequest) -> Result<(), String> {
        if !self.ledger[client].contains(request) {
            return Err(format!("the home agent accepted what no access point signed: {request:?}"));
        }
        let nonces = self.conditions.replay == ReplayProtection::Nonces;
        let accepted = &mut self.accepted[client];
        let last = accepted.back().copied();
        // With nonces, a repeated request is answered again.
        if nonces && last == Some(request.identification) {
            return Ok(());
        }
        let is_replay = match last {
            Some(_) if nonces => accepted.contains(&request.identification),
            Some(last) => request.identification.since(last) <= 0,
            None => false,
        };
        if accepted.len() == ACCEPTED {
            accepted.pop_front();
        }
        accepted.push_back(request.identification);
        if is_replay {
            return Err(format!("the home agent accepted {:x?} after {last:x?}: a replay", request.identification));
        }
        Ok(())
    }

    /// A foreign agent relayed a request that echoes a challenge. While it waits for the answer, the client may repeat itself.
    pub fn echo(
        &mut self,
        at: Instant,
        client: usize,
        router: usize,
        challenge: Option<&[u8]>,
        identification: Identification,
    ) -> Result<(), String> {
        let Some(challenge) = challenge else { return Err(format!("router {router} accepted no challenge at all")) };
        let echoes = &mut self.echoes[client];
        let known = echoes.iter_mut().find(|echo| echo.router == router && echo.challenge == challenge);
        let Some(echo) = known else {
            if echoes.len() == ECHOES {
                echoes.pop_front();
            }
            let waiting = vec![(identification.low(), at)];
            echoes.push_back(Echo { router, challenge: challenge.to_vec(), waiting });
            return Ok(());
        };
        echo.waiting.retain(|(_, relayed)| at.since(*relayed) < PATIENCE);
        if echo.waiting.is_empty() {
            return Err(format!("router {router} accepted a challenge twice"));
        }
        echo.waiting.push((identification.low(), at));
        Ok(())
    }

    /// A foreign agent answered a client's request. Answers keep its low half.
    pub fn answer(&mut self, client: usize, router: usize, identification: Identification) {
        for echo in self.echoes[client].iter_mut().filter(|echo| echo.router == router) {
            echo.waiting.retain(|(low, _)| *low != identification.low());
        }
    }

    /// Whether a request would be a replay if it was accepted now.
    pub fn is_spent(&self, client: usize, identification: Identification) -> bool {
        let accepted = &self.accepted[client];
        match self.conditions.replay {
            ReplayProtection::Nonces => accepted.contains(&identification),
            ReplayProtection::Timestamps => accepted.back().is_some_and(|last| identification.since(*last) <= 0),
        }
    }

    /// The home agent of a client lost all that it knew of it.
    pub fn forget(&mut self, client: usize) {
        self.accepted[client].clear();
    }

    /// The home agent of a client has this binding.
    pub fn bind(&self, client: usize, binding: &MobilityBinding) -> Result<(), String> {
        let is_asked_for = |request: &&RegistrationRequest| {
            request.identification == binding.identification
                && request.care_of_address == binding.care_of_address
                && request.home_agent == binding.home_agent
                && request.lifetime == binding.lifetime_requested
                && request.lifetime >= binding.lifetime_granted
        };
        match self.ledger[client].iter().find(is_asked_for) {
            Some(_) => Ok(()),
            None => Err(format!("a binding that no access point asked for: {binding:?}")),
        }
    }

    /// Whether a foreign agent and the home agent of a client agree about it. Returns the number of the check that is due
    /// after [`Self::lifetime`] and [`Self::grace`], if they begin to disagree.
    pub fn compare(&mut self, client: usize, foreign_agent: usize, agree: bool) -> Option<u64> {
        let key = (client, foreign_agent);
        if agree {
            self.disagreements.remove(&key);
            return None;
        }
        if self.disagreements.contains_key(&key) {
            return None;
        }
        self.checks += 1;
        self.disagreements.insert(key, self.checks);
        Some(self.checks)
    }

    /// Whether they have disagreed since that check was planned.
    pub fn still_disagree(&self, client: usize, foreign_agent: usize, check: u64) -> bool {
        self.disagreements.get(&(client, foreign_agent)) == Some(&check)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mipd_agent::wire::{
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime},
    };

    use super::*;

    fn properties() -> Properties {
        let scenario = Scenario::small(1);
        let conditions = Conditions { replay: ReplayProtection::Timestamps, ..Conditions::of(&scenario) };
        Properties::new(scenario, conditions)
    }

    fn request(identification: u64) -> RegistrationRequest {
        RegistrationRequest {
            flags: RequestFlags::default(),
            lifetime: Lifetime(300),
            home_address: HomeAddress(Ipv4Addr::new(10, 0, 4, 0)),
            home_agent: HomeAgentAddress(Ipv4Addr::new(10, 0, 0, 1)),
            care_of_address: CareOfAddress(Ipv4Addr::new(10, 0, 16, 1)),
            identification: Identification(identification),
        }
    }

    #[test]
    fn what_no_access_point_signed_is_not_to_be_accepted() {
        let mut properties = properties();
        properties.sign(0, request(5));
        assert_eq!(properties.accept(0, &request(5)), Ok(()));
        assert!(properties.accept(0, &request(6)).is_err());
        assert!(properties.accept(1, &request(5)).is_err());
    }

    #[test]
    fn a_replay_is_noticed_unless_the_home_agent_has_lost_its_memory() {
        let mut properties = properties();
        for identification in [5, 6] {
            properties.sign(0, request(identification));
            assert_eq!(properties.accept(0, &request(identification)), Ok(()));
        }
        assert!(properties.accept(0, &request(6)).is_err());
        assert!(properties.accept(0, &request(5)).is_err());
        properties.forget(0);
        assert_eq!(properties.accept(0, &request(5)), Ok(()));
    }

    #[test]
    fn with_nonces_only_the_last_request_may_be_accepted_again() {
        let scenario = Scenario::small(1);
        let conditions = Conditions { replay: ReplayProtection::Nonces, ..Conditions::of(&scenario) };
        let mut properties = Properties::new(scenario, conditions);
        for identification in [6, 5] {
            properties.sign(0, request(identification));
            assert!(!properties.is_spent(0, Identification(identification)));
            assert_eq!(properties.accept(0, &request(identification)), Ok(()));
            assert!(properties.is_spent(0, Identification(identification)));
        }
        assert_eq!(properties.accept(0, &request(5)), Ok(()));
        assert!(properties.accept(0, &request(6)).is_err());
    }

    #[test]
    fn a_challenge_is_accepted_once_but_for_repetitions_of_an_unanswered_request() {
        let at = |seconds| Instant(Duration::from_secs(seconds));
        let mut properties = properties();
        let echo = |properties: &mut Properties, second, router, low| {
            properties.echo(at(second), 0, router, Some(&[1; 8]), Identification(low))
        };
        assert_eq!(echo(&mut properties, 1, 3, 50), Ok(()));
        assert_eq!(echo(&mut properties, 2, 3, 51), Ok(()));
        assert_eq!(echo(&mut properties, 2, 4, 51), Ok(()), "another agent's");
        properties.answer(0, 3, Identification(50));
        assert_eq!(echo(&mut properties, 3, 3, 52), Ok(()));
        properties.answer(0, 3, Identification(51));
        properties.answer(0, 3, Identification(0x7_0000_0034));
        assert!(echo(&mut properties, 4, 3, 53).is_err());
        assert!(echo(&mut properties, 20, 4, 53).is_err(), "it waits no longer");
        assert!(properties.echo(at(5), 0, 3, None, Identification(54)).is_err());
    }

    #[test]
    fn a_disagreement_is_checked_once_and_only_while_it_lasts() {
        let mut properties = properties();
        let check = properties.compare(3, 1, false).expect("the first time");
        assert_eq!(properties.compare(3, 1, false), None);
        assert!(properties.still_disagree(3, 1, check));
        assert_eq!(properties.compare(3, 1, true), None);
        assert!(!properties.still_disagree(3, 1, check));
        let again = properties.compare(3, 1, false).expect("a new one");
        assert!(!properties.still_disagree(3, 1, check) && properties.still_disagree(3, 1, again));
    }
}
