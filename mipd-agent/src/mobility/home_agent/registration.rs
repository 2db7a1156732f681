//! What an accepted registration changes: bindings and data path (RFC 5944 §3.8.2.2).

use std::time::Duration;

use super::{
    Action, HomeAgent, MobilityBinding,
    announcement::Announce,
    binding::Broadcasts,
    node::Node,
    parked::ParkedRequest,
    petition::Petition,
    reply::{Answer, is_on_home_link},
    request::Granted,
    uncarried::Unconfirmed,
};
use crate::{
    mobility::{
        security::ReplayProtection,
        time::Now,
        tunnel::{GreKeys, TunnelMode},
    },
    wire::{
        gre_key::GreKey,
        proxy_mode,
        revocation::RevocationSupport,
        types::{HomeAddress, Identification, Lifetime, ReplyCode},
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
        let home_address = petition.home_address;
        // A repeated request may be a replay from another link-layer address.
        let mac_at_home =
            received.source_mac.filter(|_| !granted.is_repeated && is_on_home_link(&self.config, petition));
        // Who comes home from nowhere needs no exception from what is answered for clients that are away.
        if let Some(mac) = mac_at_home.filter(|_| petition.registers() || self.binding(home_address).is_some()) {
            actions.push(Action::ClientMac { home_address, mac });
        }
        let identification = self.remember(now, petition, granted);
        let mut answer = Answer {
            code: ReplyCode::ACCEPTED,
            lifetime: Lifetime::DEREGISTER,
            identification,
            signers: granted.signers,
            gre_key: None,
            udp: granted.terms.udp.reply,
            revocation: None,
        };
        if !petition.registers() {
            self.counters.deregistrations_accepted += 1;
            let all = petition.ends_all();
            answer.gre_key = self.known_gre_key(petition);
            let ended = self.unbind(now, home_address, actions, |binding| {
                all || binding.care_of_address == request.care_of_address
            });
            self.forget_later(now, home_address);
            // The foreign agent that relays this one learns of it by the reply.
            for binding in ended.iter().filter(|binding| binding.source != received.source) {
                self.revoke(now, binding, false, actions);
            }
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
        answer.revocation =
            binding.revocation.map(|terms| RevocationSupport { inform: terms.inform, timestamp: terms.own_timestamp });
        if granted.is_repeated {
            // The node counts from when it sent this copy; the binding lasts no longer for it.
            answer.lifetime = self.remaining(now, &binding);
        } else {
            let previous = self.bind(now, binding, self.config.keeps_others(request.flags), actions);
            self.unconfirmed =
                previous.map(|previous| Unconfirmed { home_address, request: ParkedRequest::new(received), previous });
        }
        (answer, if was_away { Announce::Nothing } else { Announce::Ourselves })
    }

    /// Keeps what tells later replays from new requests; says what Identification to reply with.
    fn remember(&mut self, now: Now, petition: &Petition<'_>, granted: &Granted<'_>) -> Identification {
        let Petition { request, home_address, .. } = *petition;
        let known = self.nodes.get(home_address);
        match (granted.signers.replay_protection(), known.and_then(|node| node.nonces)) {
            (ReplayProtection::Timestamps, _) => {
                self.nodes.update(home_address, |entry| entry.node.last = Some(request.identification));
                request.identification
            }
            (ReplayProtection::Nonces, Some(nonces)) if granted.is_repeated => {
                nonces.identification(request.identification)
            }
            (ReplayProtection::Nonces, _) => self.renew_nonce(now, petition, Some(request.identification)),
        }
    }

    /// Our key of the session that a deregistration ends: a request with a key is answered with one (RFC 6245 §4).
    fn known_gre_key(&self, petition: &Petition<'_>) -> Option<GreKey> {
        GreKey::find(&petition.extensions)?;
        let node = self.nodes.get(petition.home_address)?;
        let keys = node.binding_at(petition.request.care_of_address)?.tunnel.gre_keys?;
        Some(GreKey(keys.receive))
    }

    /// What is left of the lifetime of the binding that this one would replace.
    fn remaining(&self, now: Now, binding: &MobilityBinding) -> Lifetime {
        let node = self.nodes.get(binding.home_address);
        let expires = node.and_then(|node| node.binding_at(binding.care_of_address)).and_then(|known| known.expires);
        expires.map_or(binding.lifetime_granted, |expires| {
            Lifetime(u16::try_from(expires.since(now.instant).as_secs()).unwrap_or(binding.lifetime_granted.0))
        })
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
            self.nodes.get(petition.home_address).and_then(|node| node.binding_at(request.care_of_address)).copied();
        let terms = &granted.terms;
        let known_keys = before.and_then(|before| before.tunnel.gre_keys);
        let gre_keys = terms.gre_key.map(|wanted| self.gre_keys(wanted, known_keys));
        let open = before.filter(|before| {
            terms.udp.waits_for_keepalive && !before.waits_for_keepalive && before.source == petition.received.source
        });
        // A tunnel that a keepalive has opened stays open on renewal.
        let udp = open.map_or(terms.udp.tunnel, |before| before.tunnel.udp);
        let revocation = self.agree_on_revocation(now, petition, terms.revocation, before.as_ref());
        MobilityBinding {
            home_address: petition.home_address,
            home_agent: request.home_agent,
            care_of_address: request.care_of_address,
            flags: request.flags,
            tunnel: TunnelMode { encapsulation: terms.encapsulation, gre_keys, udp, reverse: terms.reverse },
            waits_for_keepalive: terms.udp.waits_for_keepalive && open.is_none(),
            broadcasts: Broadcasts::of(request.flags).filter(|_| self.config.broadcast),
            revocation,
            device: proxy_mode::find_device(&petition.extensions),
            lifetime_requested: request.lifetime,
            lifetime_granted: lifetime,
            identification: request.identification,
            spi: granted.signers.mobile.map(|signer| signer.association.spi),
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

    /// Adds or renews a binding. The data path hears of it only if it must do something else than before, and then the
    /// bindings before it are returned; the foreign agents of those that it replaces are told.
    pub(super) fn bind(
        &mut self,
        now: Now,
        binding: MobilityBinding,
        keep_others: bool,
        actions: &mut Vec<Action>,
    ) -> Option<Vec<MobilityBinding>> {
        let home_address = binding.home_address;
        let mut left = Vec::new();
        let previous = self.nodes.update(home_address, |entry| {
            if !entry.node.is_away() {
                entry.node.announcement = None;
                entry.node.oblivion = None;
            }
            let forwards_like = |known: &MobilityBinding| {
                known.exit() == binding.exit() && known.waits_for_keepalive == binding.waits_for_keepalive
            };
            let known = entry.node.bindings();
            let changes = !known.iter().any(forwards_like) || (known.len() > 1 && !keep_others);
            let previous = changes.then(|| known.to_vec());
            entry.bind(binding, keep_others, |replaced| {
                if replaced.care_of_address != binding.care_of_address {
                    left.push(replaced);
                }
            });
            previous
        });
        if previous.is_some() {
            self.push_exits(home_address, actions);
        }
        for binding in &left {
            self.revoke(now, binding, false, actions);
        }
        previous
    }

    /// Ends those of the node's bindings that `which` names, and returns them.
    pub(super) fn unbind(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        actions: &mut Vec<Action>,
        which: impl FnMut(&MobilityBinding) -> bool,
    ) -> Vec<MobilityBinding> {
        if self.nodes.get(home_address).is_none() {
            return Vec::new();
        }
        let removed = self.nodes.update(home_address, |entry| {
            let removed = entry.unbind(which);
            if !removed.is_empty() && !entry.node.is_away() {
                entry.node.announcement = None;
            }
            removed
        });
        if !removed.is_empty() {
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
        let node = self.nodes.get(home_address);
        actions.push(match node.filter(|node| node.is_away()) {
            Some(node) => Action::InstallBinding { home_address, exits: node.exits().collect() },
            None => Action::RemoveBinding { home_address },
        });
    }
}
