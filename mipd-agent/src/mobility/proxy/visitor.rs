//! A visitor's stay: noticed, held, forwarded, watched, gone.

use std::time::Duration;

use super::{
    Action, ReverseTunnelPolicy, StationState,
    attachment::{Due, Presence},
    client::{Agent, Amendments, Client, FIRST_WAIT, Missing, NextRequest, Registration, State},
    home::doubt_presence_at_home,
    registration::Registrar,
};
use crate::mobility::time::{Instant, Now};

/// How long a visitor is held for want of a foreign agent.
const AGENT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a visitor that cannot be served is left alone.
const UNSERVED_PATIENCE: Duration = Duration::from_secs(30);
/// A visitor that was heard so recently is served without waiting for its next frame.
const LATELY: Duration = Duration::from_secs(3);
/// A client that may have been elsewhere is registered again, but not sooner after its last registration.
const RETURN_PACE: Duration = Duration::from_secs(5);
/// Distance between the requests of different clients when all of them must register again.
const CROWD_SPACING: Duration = Duration::from_millis(5);

/// Whether the proxy goes on with a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(super) enum Fate {
    Keep,
    Forget,
}

/// What is new of the agents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AgentNews {
    /// What they advertise.
    Advertised,
    /// The foreign agent has restarted and knows no visitors.
    Rebooted,
}

impl Registrar {
    /// Serves a new visitor, or says why not.
    pub fn begin_visit(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.home_agent = self.config.subnet_map.home_agent(client.home_address);
        if client.home_agent.is_none() {
            return self.leave_unserved(now, client, Missing::HomeAgent, actions);
        }
        if !self.config.associations.covers(client.home_address) {
            return self.leave_unserved(now, client, Missing::Association, actions);
        }
        let requires_reverse_tunnel = self.config.reverse_tunnel == ReverseTunnelPolicy::Require;
        let agent_offers = self.usable_agent().map(|agent| agent.reverse_tunnel);
        if requires_reverse_tunnel && agent_offers == Some(false) {
            return self.leave_unserved(now, client, Missing::ReverseTunnel, actions);
        }
        client.set_station(StationState::Hold { home_address: client.home_address }, actions);
        actions.push(Action::UpdateSwitches { mac: client.mac });
        if agent_offers.is_some() {
            client.state = State::Registering;
            client.patience = None;
            self.request_afresh(now, client, actions);
        } else {
            client.state = State::AwaitingAgent;
            client.patience = Some(now.instant + AGENT_PATIENCE);
        }
    }

    fn leave_unserved(&mut self, now: Now, client: &mut Client, missing: Missing, actions: &mut Vec<Action>) {
        *match missing {
            Missing::HomeAgent => &mut self.counters.no_home_agent,
            Missing::Association => &mut self.counters.no_association,
            Missing::ForeignAgent => &mut self.counters.no_foreign_agent,
            Missing::ReverseTunnel => &mut self.counters.no_reverse_tunnel,
        } += 1;
        if client.station.take().is_some() {
            actions.push(Action::RemoveStation { mac: client.mac });
        }
        actions.push(Action::DropHeld { mac: client.mac });
        client.state = State::Unserved(missing);
        client.next = NextRequest::Never;
        client.patience = Some(now.instant + UNSERVED_PATIENCE);
    }

    /// Tries again to serve a visitor, or has it reported again when it speaks next.
    pub fn reconsider(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        if client.watch.was_heard(now.instant, LATELY) {
            self.begin_visit(now, client, actions);
            return Fate::Keep;
        }
        client.dismiss(actions);
        Fate::Forget
    }

    /// A timer of the client has run out.
    pub fn tick(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        if client.patience.is_some_and(|until| until <= now.instant) {
            client.patience = None;
            let fate = self.lose_patience(now, client, actions);
            if fate == Fate::Forget {
                return fate;
            }
        }
        if client.registration().and_then(|registration| registration.expires).is_some_and(|at| at <= now.instant) {
            self.expire(now, client, actions);
        }
        if matches!(client.next, NextRequest::At(at) if at <= now.instant) {
            self.request(now, client, actions);
        }
        if client.is_watched() { self.watch(now, client, actions) } else { Fate::Keep }
    }

    fn lose_patience(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        match client.state {
            State::AwaitingAgent => {
                self.leave_unserved(now, client, Missing::ForeignAgent, actions);
                Fate::Keep
            }
            State::Unserved(_) => self.reconsider(now, client, actions),
            State::AtHome => doubt_presence_at_home(now, client, actions),
            State::Away => Fate::Forget,
            State::Registering | State::Registered(_) | State::ComingHome => Fate::Keep,
        }
    }

    fn expire(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        self.counters.expired += 1;
        actions.push(Action::ClientChanged { mac: client.mac });
        client.state = State::Registering;
        client.set_station(StationState::Hold { home_address: client.home_address }, actions);
        if client.next == NextRequest::Never {
            client.request_by(now.instant);
        }
    }

    fn watch(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) -> Fate {
        match client.watch.due(now.instant) {
            Due::Nothing => Fate::Keep,
            Due::Question => {
                self.counters.probes_sent += 1;
                self.ask(client, actions);
                Fate::Keep
            }
            Due::Missed => {
                self.present(now, client, Presence::Interrupted, actions);
                // A registration wants fresh proof, so there may be a question to ask.
                self.watch(now, client, actions)
            }
            Due::Departed => {
                self.counters.departed += 1;
                client.part(actions);
                Fate::Forget
            }
        }
    }

    fn ask(&self, client: &Client, actions: &mut Vec<Action>) {
        let Some(home_agent) = client.home_agent else { return };
        if client.is_visitor() {
            actions.push(Action::ProbeAttachment {
                mac: client.mac,
                interface: client.interface,
                address: client.home_address,
                sender_address: home_agent.0,
            });
        } else {
            self.tell_gateway(client, home_agent, actions);
        }
    }

    /// The client sent a frame at `at`.
    pub fn hear(&mut self, now: Now, client: &mut Client, at: Instant, actions: &mut Vec<Action>) {
        let presence = client.watch.hear(at);
        self.present(now, client, presence, actions);
    }

    /// The client answered a question.
    pub fn take_answer(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        let presence = client.watch.answer(now.instant);
        self.present(now, client, presence, actions);
    }

    fn present(&mut self, now: Now, client: &mut Client, presence: Presence, actions: &mut Vec<Action>) {
        if presence == Presence::Interrupted && client.is_visitor() {
            client.may_have_been_away = true;
            if client.registration().is_some() {
                self.counters.returns_checked += 1;
                client.request_by(return_time(now, client));
            }
        }
        let due = match client.next {
            NextRequest::WhenHeard => client.is_confirmed(now.instant),
            NextRequest::At(at) => at <= now.instant,
            NextRequest::Never | NextRequest::WhenAgentKnown => false,
        };
        if due {
            self.request(now, client, actions);
        } else if client.next == NextRequest::WhenHeard {
            // An old frame, read from the kernel's time stamps: no proof.
            client.watch.ask_at_once(now.instant);
        }
    }

    /// The foreign agent, or the home agents on this link, have changed. `place` is the client's among those that must
    /// register again at the same time.
    pub fn meet_agent(
        &mut self,
        now: Now,
        client: &mut Client,
        news: AgentNews,
        place: &mut u32,
        actions: &mut Vec<Action>,
    ) -> Fate {
        match client.state {
            State::AwaitingAgent if self.usable_agent().is_some() => self.begin_visit(now, client, actions),
            State::Unserved(Missing::ForeignAgent | Missing::ReverseTunnel) if self.usable_agent().is_some() => {
                return self.reconsider(now, client, actions);
            }
            State::Registering | State::Registered(_) => self.follow_agent(now, client, news, place),
            State::ComingHome if client.next == NextRequest::WhenAgentKnown => self.return_home(now, client, actions),
            _ => {}
        }
        Fate::Keep
    }

    fn follow_agent(&mut self, now: Now, client: &mut Client, news: AgentNews, place: &mut u32) {
        let Some(agent) = self.usable_agent() else { return };
        let reached = Agent { address: agent.address, mac: agent.mac };
        let in_use = match (&client.state, &client.exchange) {
            (State::Registered(Registration { agent, care_of_address, .. }), _) => Some((*agent, *care_of_address)),
            (_, Some(exchange)) => Some((exchange.plan.agent, exchange.plan.care_of_address)),
            _ => None,
        };
        let fits = in_use.is_some_and(|(used, care_of)| used == reached && agent.care_of_addresses.contains(&care_of));
        if fits && news != AgentNews::Rebooted {
            if client.next == NextRequest::WhenAgentKnown {
                client.request_by(now.instant);
            }
            return;
        }
        self.counters.switches_of_agent += u64::from(!fits);
        client.amendments = Amendments::default();
        client.wait = FIRST_WAIT;
        client.request_by(now.instant + CROWD_SPACING * *place);
        *place += 1;
    }
}

/// When a client that may have been elsewhere is to be registered again.
pub(super) fn return_time(now: Now, client: &Client) -> Instant {
    client.exchange.map_or(now.instant, |exchange| now.instant.max(exchange.sent + RETURN_PACE))
}
