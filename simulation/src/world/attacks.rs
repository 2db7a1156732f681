//! What hostile nodes do: they replay what they have overheard, to whom it went and to others, change it, forge replies, and
//! send garbage.
//!
//! They have no keys. What they may achieve is what the RFCs leave open: whoever can change messages under way can have
//! them denied, and a denial may be heeded for minutes.

use std::{rc::Rc, time::Duration};

use mipd_agent::{
    mobility::{home_agent::BindingRecord, link::Transmit, time::Instant},
    wire::{
        registration::RegistrationRequest,
        types::{HomeAddress, HomeAgentAddress},
    },
};

use super::{Event, World};
use crate::{
    network::Parcel,
    topology,
    trace::{Node, Note},
};

/// How many messages are kept to be replayed.
const CAPACITY: usize = 512;
/// Of so many messages, one is kept.
const SAMPLE: usize = 8;
/// How long a denial may be heeded, at most.
const DENIED: Duration = Duration::from_mins(5);

/// A message that arrived where it should, and was overheard.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    parcel: Parcel,
    at: Instant,
}

impl World {
    pub(super) fn plan_attack(&mut self) {
        if let Some(mean) = self.conditions.attacks {
            let after = self.attacks.waiting(mean);
            self.plan(after, Event::Attack);
        }
    }

    /// Keeps a message now and then.
    pub(super) fn overhear(&mut self, parcel: &Parcel) {
        let is_worth_it = parcel.transmit().is_some() || matches!(parcel, Parcel::Advertisement { .. });
        if self.conditions.attacks.is_none() || !is_worth_it || self.attacks.below(SAMPLE) != 0 {
            return;
        }
        let captured = Captured { parcel: parcel.clone(), at: self.at };
        if self.captured.len() < CAPACITY {
            self.captured.push(captured);
        } else {
            let place = self.attacks.below(CAPACITY);
            self.captured[place] = captured;
        }
    }

    pub(super) fn attack(&mut self) {
        self.plan_attack();
        if self.captured.is_empty() {
            return;
        }
        self.summary.attacks += 1;
        let captured = self.captured[self.attacks.below(self.captured.len())].clone();
        match self.attacks.below(10) {
            0..=4 => self.replay(captured),
            5 => self.misdirect(captured.parcel),
            6..=7 => self.change(captured.parcel),
            _ => self.send_garbage(captured.parcel),
        }
    }

    /// Delivers a message again to whom it went. Nothing may come of it.
    fn replay(&mut self, captured: Captured) {
        let Captured { parcel, at } = captured;
        let node = parcel.destination();
        let client = parcel.transmit().and_then(|transmit| self.subject(transmit));
        self.note(client, Note::Attacked(node, "replay"));
        let Some(client) = client else { return self.arrive(parcel, false) };
        // One that was refused because its clock was ahead is new when that time has come: no agent can know better.
        let is_request =
            parcel.transmit().and_then(|transmit| RegistrationRequest::parse_fixed(&transmit.payload).ok());
        let was_accepted = is_request.is_none_or(|request| self.properties.is_spent(client, request.identification));
        if !was_accepted {
            self.excuse(client, self.properties.lifetime() + DENIED);
        }
        let knows = was_accepted && self.has_known_since(node, at);
        let before = self.knowledge(node, client);
        self.arrive(parcel, false);
        if knows && before != self.knowledge(node, client) {
            let after = self.knowledge(node, client);
            self.violate(Some(client), format!("a replay to {node} changed {before} to {after}"));
        }
    }

    /// Whether the box has forgotten nothing since then.
    fn has_known_since(&self, node: Node, at: Instant) -> bool {
        let settled = match node {
            Node::Router(router) => self.routers[router].home_stability.settled(),
            Node::AccessPoint(access_point) => self.access_points[access_point].stability.settled(),
        };
        settled.is_some_and(|settled| settled < at)
    }

    /// Everything that a box knows of a client and that matters.
    fn knowledge(&self, node: Node, client: usize) -> String {
        let state = &self.clients[client];
        let address = HomeAddress(state.address);
        match node {
            Node::Router(index) => {
                let router = &self.routers[index];
                let now = router.clock.now(self.at);
                let Some(agent) = &router.agent else { return String::new() };
                // Each authentic request gets a new nonce, a replay too: whoever it was meant for asks once more.
                let home = agent.home.as_ref().and_then(|home| home.record(now, address));
                let home = home.map(|record| BindingRecord { nonces: None, ..record });
                let home = home.filter(|record| record.binding.is_some() || record.identification != 0);
                let home_agent = HomeAgentAddress(topology::router_address(state.home));
                let visit = agent.visit.as_ref().and_then(|visit| visit.record(now, home_agent, address));
                format!("{home:?} {visit:?}")
            }
            Node::AccessPoint(index) => {
                let access_point = &self.access_points[index];
                let now = access_point.clock.now(self.at);
                let Some(agent) = &access_point.agent else { return String::new() };
                format!("{:?} {:?}", agent.proxy.record(now, state.mac), agent.proxy.station(state.mac))
            }
        }
    }

    /// Delivers a message to another box than it was meant for.
    fn misdirect(&mut self, parcel: Parcel) {
        let other_router = self.attacks.below(self.routers.len());
        let other_access_point = self.attacks.below(self.access_points.len());
        let parcel = match parcel {
            Parcel::Frame { source, transmit, .. } => Parcel::Frame { router: other_router, source, transmit },
            Parcel::Routed { transmit, .. } => Parcel::Routed { router: other_router, transmit },
            Parcel::Uplink { router, mac, transmit, .. } => {
                Parcel::Uplink { access_point: other_access_point, router, mac, transmit }
            }
            other => other,
        };
        let client = parcel.transmit().and_then(|transmit| self.subject(transmit));
        self.note(client, Note::Attacked(parcel.destination(), "another's message"));
        if let Some(client) = client {
            self.excuse(client, DENIED);
        }
        self.arrive(parcel, false);
    }

    /// Delivers a message with a few bits changed, or a code forged.
    fn change(&mut self, parcel: Parcel) {
        let Some(transmit) = parcel.transmit() else { return self.arrive(parcel, false) };
        let mut changed = Transmit::clone(transmit);
        let victim = self.subject(transmit);
        let payload = &mut changed.payload;
        match self.attacks.below(4) {
            0 if payload.first() == Some(&3) => {
                payload[1] = self.attacks.one_of(&[0, 1, 64, 65, 66, 69, 70, 78, 131, 133, 136]);
            }
            1 => payload.truncate(self.attacks.below(payload.len() + 1)),
            2 => payload.extend((0..self.attacks.below(40)).map(|_| 0x80)),
            _ => {
                for _ in 0..=self.attacks.below(3) {
                    let bit = self.attacks.below(payload.len() * 8);
                    payload[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
        self.deliver_forged(parcel, changed, victim, "changed message");
    }

    /// Delivers random bytes.
    fn send_garbage(&mut self, parcel: Parcel) {
        let Some(transmit) = parcel.transmit() else { return self.arrive(parcel, false) };
        let mut garbage = Transmit::clone(transmit);
        let victim = self.subject(transmit);
        let kept = self.attacks.below(garbage.payload.len() + 1).min(8);
        garbage.payload.truncate(kept);
        let length = self.attacks.below(200);
        garbage.payload.extend((0..length).map(|_| self.attacks.number() as u8));
        self.deliver_forged(parcel, garbage, victim, "garbage");
    }

    fn deliver_forged(&mut self, parcel: Parcel, forged: Transmit, victim: Option<usize>, what: &'static str) {
        let node = parcel.destination();
        let also = self.subject(&forged).filter(|client| *client < self.clients.len());
        for client in victim.into_iter().chain(also) {
            self.excuse(client, DENIED);
            self.note(Some(client), Note::Attacked(node, what));
        }
        let home_agent_before = victim.map(|client| self.binding_of(client));
        self.arrive(parcel.with(forged), false);
        if let (Some(client), Some(before)) = (victim, home_agent_before) {
            let after = self.binding_of(client);
            if before != after {
                self.violate(Some(client), format!("{what} to {node} changed its binding from {before} to {after}"));
            }
        }
    }

    fn binding_of(&self, client: usize) -> String {
        let state = &self.clients[client];
        let home = self.routers[state.home].agent.as_ref().and_then(|agent| agent.home.as_ref());
        format!("{:?}", home.and_then(|home| home.binding(HomeAddress(state.address))))
    }

    fn excuse(&mut self, client: usize, duration: Duration) {
        let until = self.at + duration;
        let state = &mut self.clients[client];
        state.excused = state.excused.max(until);
    }
}

impl Parcel {
    fn destination(&self) -> Node {
        match self {
            Self::Frame { router, .. } | Self::Routed { router, .. } | Self::Solicitation { router, .. } => {
                Node::Router(*router)
            }
            Self::Uplink { access_point, .. }
            | Self::Advertisement { access_point, .. }
            | Self::Broadcast { access_point, .. }
            | Self::Announcement { access_point, .. }
            | Self::Question { access_point, .. }
            | Self::Answer { access_point, .. } => Node::AccessPoint(*access_point),
        }
    }

    /// The same with another message in it.
    fn with(self, message: Transmit) -> Self {
        let transmit = Rc::new(message);
        match self {
            Self::Frame { router, source, .. } => Self::Frame { router, source, transmit },
            Self::Routed { router, .. } => Self::Routed { router, transmit },
            Self::Uplink { access_point, router, mac, .. } => Self::Uplink { access_point, router, mac, transmit },
            other => other,
        }
    }
}
