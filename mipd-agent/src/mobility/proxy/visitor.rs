//! A visitor's stay: noticed, held, forwarded, watched, gone.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    Action, ReverseTunnelPolicy, StationState,
    attachment::{Due, Presence},
    client::{Agent, Client, Missing, NextRequest, Plan, Registration, Rival, State},
    registration::Registrar,
    trail::{Departure, Step},
};
use crate::{
    mobility::{
        link::InterfaceIndex,
        time::{Instant, Now},
    },
    wire::types::{HomeAddress, HomeAgentAddress, Lifetime},
};

/// How long a visitor is held for want of a foreign agent.
const AGENT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a visitor that cannot be served is left alone.
pub(super) const UNSERVED_PATIENCE: Duration = Duration::from_secs(30);
/// How long a visitor whose address another one has is left alone: long enough for that one to answer, or not.
const HOLDER_PATIENCE: Duration = Duration::from_secs(4);
/// How long a visitor has to answer for its own address after it has sent from another one.
const RIVAL_PATIENCE: Duration = Duration::from_millis(800);
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

impl Registrar {
    /// Serves a new visitor, or says why not.
    pub fn begin_visit(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.home_agent = self.config.home_agent(client.interface, client.home_address);
        let Some(home_agent) = client.home_agent else {
            return self.leave_unserved(now, client, Missing::HomeAgent, actions);
        };
        self.trails.note(now, client.mac, Step::HomeAgentFound { home_agent });
        if !self.config.associations.covers(client.home_address) {
            if self.config.associations.must_ask(client.home_address) {
                return self.await_association(now, client, State::AwaitingAssociation, actions);
            }
            return self.leave_unserved(now, client, Missing::Association, actions);
        }
        let has_agent = self.foreign_agent(client).is_some();
        let requires_reverse_tunnel = self.config.reverse_tunnel == ReverseTunnelPolicy::Require;
        if requires_reverse_tunnel && !has_agent && self.agents.open() > 0 {
            return self.leave_unserved(now, client, Missing::ReverseTunnel, actions);
        }
        client.nai = self.config.names.of(client.home_address, client.mac);
        client.set_station(StationState::Hold { home_address: client.home_address }, actions);
        actions.push(Action::UpdateSwitches { mac: client.mac });
        if has_agent {
            client.state = State::Registering;
            client.patience = None;
            self.request_afresh(now, client, actions);
        } else {
            client.state = State::AwaitingAgent;
            client.patience = Some(now.instant + AGENT_PATIENCE);
            self.trails.note(now, client.mac, Step::AgentAwaited);
            actions.push(Action::Solicit);
        }
    }

    pub(super) fn leave_unserved(
        &mut self,
        now: Now,
        client: &mut Client,
        missing: Missing,
        actions: &mut Vec<Action>,
    ) {
        *match missing {
            Missing::HomeAgent => &mut self.counters.no_home_agent,
            Missing::Association => &mut self.counters.no_association,
            Missing::AssociationServer => &mut self.counters.no_association_server,
            Missing::ForeignAgent => &mut self.counters.no_foreign_agent,
            Missing::ReverseTunnel => &mut self.counters.no_reverse_tunnel,
            Missing::Address => &mut self.counters.address_in_use,
        } += 1;
        self.trails.note(now, client.mac, missing.into());
        if client.station.take().is_some() {
            actions.push(Action::RemoveStation { mac: client.mac });
        }
        actions.push(Action::DropHeld { mac: client.mac });
        client.state = State::Unserved(missing);
        client.next = NextRequest::Never;
        let patience = if missing == Missing::Address { HOLDER_PATIENCE } else { UNSERVED_PATIENCE };
        client.patience = Some(now.instant + patience);
    }

    /// Ends the registration of a visitor that is here but does not want its address any more, so that the home network can
    /// give it to somebody else at once (RFC 5944 §3.6.1). Said once: if it is lost, the registration runs out.
    pub fn retire(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        let Some(&Registration { agent, care_of_address, home_agent, mode, .. }) = client.registration() else {
            return;
        };
        // The last request of this stay, so it need not wait for the pace of the others.
        let plan = Plan { agent, care_of_address, home_agent, mode, lifetime: Lifetime::DEREGISTER };
        self.send(now, client, plan, actions);
    }

    /// A visitor sent from another foreign address than its own. Whether it keeps its own: a stray packet of another interface
    /// or a container does not cost it the registration. It keeps it as long as it answers for it.
    pub fn keeps_address(
        &mut self,
        now: Now,
        client: &mut Client,
        address: HomeAddress,
        actions: &mut Vec<Action>,
    ) -> bool {
        if client.is_address_assumed || !matches!(client.state, State::Registering | State::Registered(_)) {
            return false;
        }
        if let Some(rival) = client.rival.filter(|rival| rival.address == address) {
            return now.instant.since(rival.asked) < RIVAL_PATIENCE;
        }
        self.counters.strays += 1;
        client.rival = Some(Rival { address, asked: now.instant });
        self.ask(client, actions);
        true
    }

    /// The visitor is behind another radio now. One of another home network makes it another client, to be noticed anew.
    pub fn change_radio(
        &mut self,
        now: Now,
        client: &mut Client,
        interface: InterfaceIndex,
        actions: &mut Vec<Action>,
    ) -> Fate {
        let same = self.config.home_agent(interface, client.home_address) == client.home_agent;
        if client.interface != interface && client.is_visitor() && !same {
            self.counters.readdressed += 1;
            self.trails.note(now, client.mac, Step::Gone { why: Departure::AnotherRadio });
            client.dismiss(actions);
            return Fate::Forget;
        }
        client.set_interface(interface, actions);
        Fate::Keep
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
            State::AwaitingAssociation => {
                self.leave_unserved(now, client, Missing::AssociationServer, actions);
                Fate::Keep
            }
            State::AwaitingAssociationAtHome => {
                client.dismiss(actions);
                Fate::Forget
            }
            State::Unserved(Missing::Address) => {
                // Its next frame is reported as its first one.
                client.dismiss(actions);
                Fate::Forget
            }
            State::Unserved(_) => self.reconsider(now, client, actions),
            State::AtHome => self.doubt_presence_at_home(now, client, actions),
            State::Away => Fate::Forget,
            State::Registering | State::Registered(_) | State::ComingHome => Fate::Keep,
        }
    }

    fn expire(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        self.counters.expired += 1;
        self.trails.note(now, client.mac, Step::Expired);
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
                self.trails.note(now, client.mac, Step::Asked { times: client.watch.unanswered() });
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
                self.part(now, client, Departure::Silent, actions)
            }
        }
    }

    /// The client is here no longer: stop silently. A deregistration would end what it registers elsewhere.
    pub fn part(&mut self, now: Now, client: &mut Client, why: Departure, actions: &mut Vec<Action>) -> Fate {
        self.trails.note(now, client.mac, Step::Gone { why });
        client.part(actions);
        Fate::Forget
    }

    pub(super) fn ask(&self, client: &Client, actions: &mut Vec<Action>) {
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

    /// The client associated anew, so it is here now and may have been elsewhere before.
    pub fn meet_again(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.watch.meet(now.instant);
        if client.state == State::AtHome {
            client.state = State::ComingHome;
            client.patience = None;
            self.return_home(now, client, actions);
            return;
        }
        self.present(now, client, Presence::Interrupted, actions);
        let is_asked = client.exchange.is_some_and(|exchange| exchange.sent == now.instant);
        if client.registration().is_some() && !is_asked {
            // A silence may mean anything, this does not: the pace of requests is limit enough.
            client.request_by(now.instant);
        }
    }

    /// The client answered a question.
    pub fn take_answer(&mut self, now: Now, client: &mut Client, actions: &mut Vec<Action>) {
        client.is_address_assumed = false;
        client.rival = None;
        let presence = client.watch.answer(now.instant, self.config.idle_timeout);
        self.present(now, client, presence, actions);
    }

    fn present(&mut self, now: Now, client: &mut Client, presence: Presence, actions: &mut Vec<Action>) {
        self.trails.answered(client.mac);
        if presence == Presence::Interrupted && client.is_visitor() {
            client.may_have_been_away = true;
            self.trails.note(now, client.mac, Step::Returned);
            if client.registration().is_some() {
                self.counters.returns_checked += 1;
                client.request_by(return_time(now, client));
            }
        }
        let due = match client.next {
            NextRequest::WhenHeard => client.is_confirmed(now.instant),
            NextRequest::At(at) => at <= now.instant,
            NextRequest::Never | NextRequest::WhenAgentKnown | NextRequest::WhenAssociationKnown => false,
        };
        if due {
            self.request(now, client, actions);
        } else if client.next == NextRequest::WhenHeard {
            // An old frame, read from the kernel's time stamps: no proof.
            client.watch.ask_at_once(now.instant);
        }
    }

    /// The agents on this link have changed; the `forgetful` ones know none of our clients. `place` is the client's among
    /// those that must register again at the same time.
    pub fn meet_agents(
        &mut self,
        now: Now,
        client: &mut Client,
        forgetful: &[Ipv4Addr],
        place: &mut u32,
        actions: &mut Vec<Action>,
    ) -> Fate {
        match client.state {
            State::AwaitingAgent if self.foreign_agent(client).is_some() => self.begin_visit(now, client, actions),
            State::Unserved(Missing::ForeignAgent | Missing::ReverseTunnel) if self.foreign_agent(client).is_some() => {
                return self.reconsider(now, client, actions);
            }
            State::Registering | State::Registered(_) => self.follow_agents(now, client, forgetful, place),
            State::ComingHome if client.next == NextRequest::WhenAgentKnown => self.return_home(now, client, actions),
            _ => {}
        }
        Fate::Keep
    }

    /// RFC 5944 §2.4: another agent alone is no reason to register again; that ours is gone, offers another care-of
    /// address, or has forgotten the client is one.
    fn follow_agents(&mut self, now: Now, client: &mut Client, forgetful: &[Ipv4Addr], place: &mut u32) {
        let Some(chosen) = self.foreign_agent(client) else { return };
        let reached = Agent { address: chosen.address, mac: chosen.mac };
        let asked = client.exchange.map(|exchange| (exchange.plan.agent, exchange.plan.care_of_address));
        let in_force = client.registration().map(|registration| (registration.agent, registration.care_of_address));
        let in_use = in_force.or(asked);
        let fits = in_use.is_some_and(|(used, care_of)| used == reached && chosen.care_of_addresses.contains(&care_of));
        if fits && !forgetful.contains(&reached.address) {
            if client.next == NextRequest::WhenAgentKnown {
                client.request_by(now.instant);
            }
            return;
        }
        self.counters.switches_of_agent += u64::from(in_use.is_some() && !fits);
        self.trails.note(now, client.mac, Step::AgentChanged { agent: reached.address });
        client.start_afresh();
        client.request_by(now.instant + CROWD_SPACING * *place);
        *place += 1;
    }

    /// A foreign agent says that the client's registration is gone (RFC 3543 §4.4). Anybody can say that, so the
    /// registration in force stays, and the client is registered again, at no higher rate than when it returns.
    pub fn take_dismissal(&mut self, now: Now, client: &mut Client, agent: Ipv4Addr, busy: bool) {
        if client.registration().is_none_or(|registration| registration.agent.address != agent) {
            return;
        }
        self.counters.dismissals += 1;
        self.trails.note(now, client.mac, Step::Dismissed { agent });
        client.start_afresh();
        if busy {
            client.amendments.avoid = Some(agent);
        }
        client.request_by(return_time(now, client));
    }

    /// A foreign agent has made a new challenge known.
    pub fn take_challenge(&mut self, now: Now, client: &mut Client, agent: Ipv4Addr) {
        if client.awaits_challenge && self.foreign_agent(client).is_some_and(|chosen| chosen.address == agent) {
            client.request_by(now.instant);
        }
    }
}

/// Another client wants the visitor's address. Whether it has it, as far as is known: then it is asked.
pub(super) fn holds_address(now: Now, client: &mut Client, wanted_from: Option<HomeAgentAddress>) -> bool {
    let holds = matches!(client.state, State::Registering | State::Registered(_))
        && client.home_agent == wanted_from
        && !client.is_address_assumed;
    if holds {
        client.watch.ask_at_once(now.instant);
    }
    holds
}

/// When a client that may have been elsewhere is to be registered again.
pub(super) fn return_time(now: Now, client: &Client) -> Instant {
    client.exchange.map_or(now.instant, |exchange| now.instant.max(exchange.sent + RETURN_PACE))
}
