//! What an accepted registration changes: bindings and data path (RFC 5944 §3.8.2.2).

use std::time::Duration;

use super::{
    Action, HomeAgent, MobilityBinding,
    announcement::Announce,
    binding::Broadcasts,
    node::Node,
    reply::{Answer, is_on_home_link},
    request::{Granted, Petition},
};
use crate::{
    mobility::{
        time::Now,
        tunnel::{GreKeys, TunnelMode},
    },
    wire::{
        gre_key::GreKey,
        types::{HomeAddress, Lifetime, ReplyCode},
    },
};

/// A node is remembered at least this long after it came home, so that its announcement is finished.
const SHORTEST_MEMORY: Duration = Duration::from_secs(10);

impl HomeAgent {
    /// Brings binding and data path up to date; says what to reply and what to announce.
    pub(super) fn accept<'k>(
        &mut self,
        now: Now,
        petition: &Petition<'_>,
        granted: &Granted<'k>,
        actions: &mut Vec<Action>,
    ) -> (Answer<'k>, Announce) {
        let Petition { received, request, .. } = petition;
        let home_address = request.home_address;
        let mac_at_home = received.source_mac.filter(|_| is_on_home_link(&self.config, received, request));
        if let Some(mac) = mac_at_home {
            actions.push(Action::ClientMac { home_address, mac });
        }
        self.nodes.update(home_address, |entry| entry.node.last = Some(request.identification));
        let mut answer = Answer {
            code: ReplyCode::ACCEPTED,
            lifetime: Lifetime::DEREGISTER,
            identification: request.identification,
            signers: granted.signers,
            gre_key: None,
        };
        if !petition.registers() {
            self.counters.deregistrations_accepted += 1;
            let all = request.care_of_address.0 == home_address.0;
            self.unbind(now, home_address, actions, |binding| {
                all || binding.care_of_address == request.care_of_address
            });
            self.forget_later(now, home_address);
            let announce = match mac_at_home {
                Some(mac) if self.binding(home_address).is_none() => Announce::Client(mac),
                _ => Announce::Nothing,
            };
            return (answer, announce);
        }
        self.counters.registrations_accepted += 1;
        if self.config.simultaneous_bindings == 1 {
            answer.code = ReplyCode::ACCEPTED_NO_SIMULTANEOUS;
        }
        answer.lifetime = request.lifetime.min(self.config.maximum_lifetime);
        let was_away = self.nodes.get(home_address).is_some_and(Node::is_away);
        let binding = self.make_binding(now, petition, granted, answer.lifetime);
        answer.gre_key = granted.terms.gre_key.and(binding.tunnel.gre_keys).map(|keys| GreKey(keys.receive));
        self.bind(binding, self.config.keeps_others(request.flags), actions);
        (answer, if was_away { Announce::Nothing } else { Announce::Ourselves })
    }

    fn make_binding(
        &mut self,
        now: Now,
        petition: &Petition<'_>,
        granted: &Granted<'_>,
        lifetime: Lifetime,
    ) -> MobilityBinding {
        let request = &petition.request;
        let before =
            self.nodes.get(request.home_address).and_then(|node| node.binding_at(request.care_of_address)).copied();
        let terms = &granted.terms;
        let known_keys = before.and_then(|before| before.tunnel.gre_keys);
        let gre_keys = terms.gre_key.map(|wanted| self.gre_keys(wanted, known_keys));
        MobilityBinding {
            home_address: request.home_address,
            home_agent: request.home_agent,
            care_of_address: request.care_of_address,
            flags: request.flags,
            tunnel: TunnelMode { encapsulation: terms.encapsulation, gre_keys, udp: None, reverse: terms.reverse },
            broadcasts: Broadcasts::of(request.flags).filter(|_| self.config.broadcast),
            lifetime_requested: request.lifetime,
            lifetime_granted: lifetime,
            identification: request.identification,
            spi: granted.signers.mobile.association.spi,
            source: petition.received.source,
            registered_at: before.map_or(now.instant, |before| before.registered_at),
            renewed_at: now.instant,
            expires: lifetime.duration().map(|lifetime| now.instant + lifetime),
        }
    }

    /// The keys of a session (RFC 6245 §4). Ours stays the same as long as the binding lasts, since packets with the old
    /// one may still be under way.
    fn gre_keys(&mut self, wanted: GreKey, before: Option<GreKeys>) -> GreKeys {
        let receive = before.map_or_else(|| self.next_gre_key.take(), |before| before.receive);
        GreKeys { send: if wanted.0 == 0 { receive } else { wanted.0 }, receive }
    }

    /// Adds or renews a binding. The data path hears of it only if it must do something else than before.
    pub(super) fn bind(&mut self, binding: MobilityBinding, keep_others: bool, actions: &mut Vec<Action>) {
        let home_address = binding.home_address;
        let changed = self.nodes.update(home_address, |entry| {
            if !entry.node.is_away() {
                entry.node.announcement = None;
                entry.node.oblivion = None;
            }
            let mut changed = entry.node.binding_at(binding.care_of_address).is_none();
            entry.bind(binding, keep_others, |replaced| changed |= replaced.exit() != binding.exit());
            changed
        });
        if changed {
            self.push_exits(home_address, actions);
        }
    }

    /// Ends those of the node's bindings that `which` names, and says how many.
    pub(super) fn unbind(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        actions: &mut Vec<Action>,
        which: impl FnMut(&MobilityBinding) -> bool,
    ) -> usize {
        if self.nodes.get(home_address).is_none() {
            return 0;
        }
        let removed = self.nodes.update(home_address, |entry| {
            let removed = entry.unbind(which);
            if removed > 0 && !entry.node.is_away() {
                entry.node.announcement = None;
            }
            removed
        });
        if removed > 0 {
            self.forget_later(now, home_address);
            self.push_exits(home_address, actions);
        }
        removed
    }

    /// Sees to it that a node without a binding is forgotten when no replay can pass the window any more: when our clock
    /// is a window past its Identification.
    pub(super) fn forget_later(&mut self, now: Now, home_address: HomeAddress) {
        let memory = self.config.replay_window.saturating_mul(2);
        self.nodes.update(home_address, |entry| {
            let ahead = entry.node.last.map_or(Duration::ZERO, |last| now.until(last));
            entry.node.oblivion = Some(now.instant + (ahead + memory).max(SHORTEST_MEMORY));
        });
    }

    /// Tells the data path where packets for the node go.
    pub(super) fn push_exits(&self, home_address: HomeAddress, actions: &mut Vec<Action>) {
        let exits: Vec<_> = self.nodes.get(home_address).into_iter().flat_map(Node::exits).collect();
        actions.push(if exits.is_empty() {
            Action::RemoveBinding { home_address }
        } else {
            Action::InstallBinding { home_address, exits }
        });
    }
}
