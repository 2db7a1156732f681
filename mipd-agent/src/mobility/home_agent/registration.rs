//! What an accepted registration changes: binding, data path, gratuitous ARP (RFC 5944 §3.8.2.2, §4.6).

use std::time::Duration;

use mipd_common::mac::MacAddress;

use super::{
    Action, HomeAgent, MobilityBinding,
    reply::{Answer, is_on_home_link},
    request::Known,
};
use crate::{
    mobility::{
        link::Received,
        security::{SecurityAssociation, Violation, ViolationReason},
        time::{Instant, Now},
    },
    wire::{
        authentication,
        extension::kind,
        registration::RegistrationRequest,
        types::{HomeAddress, Identification, Lifetime, ReplyCode},
    },
};

/// Gratuitous ARPs follow a change at once, and again after these times, since a frame may get lost (RFC 5944 §4.6).
const REPETITIONS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// A node is remembered at least this long after it came home, so that its announcement is finished.
const SHORTEST_MEMORY: Duration = Duration::from_secs(10);

/// What is known of one node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The last Identification accepted; outlives the binding as long as a replay could pass the window.
    pub last: Identification,
    /// Where it is, if it is away.
    pub binding: Option<MobilityBinding>,
    announcement: Option<Announcement>,
}

/// A gratuitous ARP still to be repeated.
#[derive(Clone, Copy, Debug)]
struct Announcement {
    mac: Option<MacAddress>,
    started: Instant,
    repeated: usize,
}

/// Timers of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Deadline {
    /// Its binding ends.
    Expiry(HomeAddress),
    /// Its gratuitous ARP is repeated.
    Announcement(HomeAddress),
    /// It has no binding and is forgotten.
    Oblivion(HomeAddress),
}

/// Whose Ethernet address the neighbours at home must learn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Announce {
    /// Nothing changed for them.
    Nothing,
    /// The client has left; we stand in for it.
    Ourselves,
    /// The client is back.
    Client(MacAddress),
}

impl HomeAgent {
    pub(super) fn known(&self, request: &RegistrationRequest) -> Known {
        Known {
            last: self.nodes.get(&request.home_address).map(|node| node.last),
            room: self.has_room(request.home_address, request.lifetime != Lifetime::DEREGISTER),
        }
    }

    /// Whether the node can be remembered, and bound if it `binds`. Nodes without a binding need a limit of their own.
    pub(super) fn has_room(&self, home_address: HomeAddress, binds: bool) -> bool {
        let maximum = self.config.maximum_bindings;
        let node = self.nodes.get(&home_address);
        let known = node.is_some() || self.nodes.len() < maximum.saturating_mul(2);
        let bound = node.is_some_and(|node| node.binding.is_some());
        known && (!binds || bound || self.bound < maximum)
    }

    /// Brings binding and data path up to date; says what to reply and what to announce.
    pub(super) fn accept<'a>(
        &mut self,
        now: Now,
        received: &Received<'_>,
        request: &RegistrationRequest,
        association: &'a SecurityAssociation,
        actions: &mut Vec<Action>,
    ) -> (Answer<'a>, Announce) {
        let home_address = request.home_address;
        let mac_at_home = received.source_mac.filter(|_| is_on_home_link(&self.config, received, request));
        if let Some(mac) = mac_at_home {
            actions.push(Action::ClientMac { home_address, mac });
        }
        self.remember(now, home_address, request.identification);
        let current = self.binding(home_address).copied();

        let (code, lifetime, announce) = if request.lifetime == Lifetime::DEREGISTER {
            self.counters.deregistrations_accepted += 1;
            let all = request.care_of_address.0 == home_address.0;
            if all || current.is_some_and(|binding| binding.care_of_address == request.care_of_address) {
                self.unbind(now, home_address, actions);
            }
            let announce = match mac_at_home {
                Some(mac) if self.binding(home_address).is_none() => Announce::Client(mac),
                _ => Announce::Nothing,
            };
            (ReplyCode::ACCEPTED, Lifetime::DEREGISTER, announce)
        } else {
            self.counters.registrations_accepted += 1;
            let granted = request.lifetime.min(self.config.maximum_lifetime);
            let binding =
                MobilityBinding::new(now, request, granted, association.spi, received.source, current.as_ref());
            self.bind(binding, actions);
            let announce = if current.is_none() { Announce::Ourselves } else { Announce::Nothing };
            (ReplyCode::ACCEPTED_NO_SIMULTANEOUS, granted, announce)
        };
        (Answer { code, lifetime, identification: request.identification, association }, announce)
    }

    /// Keeps the Identification; until a binding follows, not for ever.
    pub(super) fn remember(&mut self, now: Now, home_address: HomeAddress, identification: Identification) {
        let node = self.nodes.entry(home_address).and_modify(|node| node.last = identification).or_insert(Node {
            last: identification,
            binding: None,
            announcement: None,
        });
        if node.binding.is_none() {
            self.forget_later(now, home_address, identification);
        }
    }

    /// Binds a remembered node. The data path hears of it only if it must do something else than before.
    pub(super) fn bind(&mut self, binding: MobilityBinding, actions: &mut Vec<Action>) {
        let home_address = binding.home_address;
        let Some(node) = self.nodes.get_mut(&home_address) else { return };
        let replaced = node.binding.replace(binding);
        self.bound += usize::from(replaced.is_none());
        if replaced.is_none() {
            node.announcement = None;
            self.deadlines.clear(Deadline::Announcement(home_address));
        }
        self.deadlines.clear(Deadline::Oblivion(home_address));
        match binding.expires {
            Some(expires) => self.deadlines.set(Deadline::Expiry(home_address), expires),
            None => self.deadlines.clear(Deadline::Expiry(home_address)),
        }
        if !replaced.is_some_and(|replaced| replaced.forwards_like(&binding)) {
            actions.push(Action::InstallBinding {
                home_address,
                home_agent: binding.home_agent,
                care_of_address: binding.care_of_address,
                reverse_tunnel: binding.reverse_tunnel,
            });
        }
    }

    /// Ends the node's binding. `false` if it has none.
    pub(super) fn unbind(&mut self, now: Now, home_address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let Some(node) = self.nodes.get_mut(&home_address).filter(|node| node.binding.is_some()) else { return false };
        node.binding = None;
        node.announcement = None;
        let last = node.last;
        self.bound -= 1;
        self.deadlines.clear(Deadline::Expiry(home_address));
        self.deadlines.clear(Deadline::Announcement(home_address));
        self.forget_later(now, home_address, last);
        actions.push(Action::RemoveBinding { home_address });
        true
    }

    /// A replay passes the window until our clock is a window past the Identification.
    fn forget_later(&mut self, now: Now, home_address: HomeAddress, last: Identification) {
        let memory = now.until(last) + self.config.replay_window.saturating_mul(2);
        self.deadlines.set(Deadline::Oblivion(home_address), now.instant + memory.max(SHORTEST_MEMORY));
    }

    /// The first gratuitous ARP; the repetitions follow by timer, unless the client moves home or away meanwhile.
    pub(super) fn start_announcement(
        &mut self,
        now: Now,
        home_address: HomeAddress,
        mac: Option<MacAddress>,
        actions: &mut Vec<Action>,
    ) {
        let Some(node) = self.nodes.get_mut(&home_address) else { return };
        node.announcement = Some(Announcement { mac, started: now.instant, repeated: 0 });
        self.deadlines.set(Deadline::Announcement(home_address), now.instant + REPETITIONS[0]);
        self.push_gratuitous_arp(home_address, mac, actions);
    }

    /// The next repetition.
    pub(super) fn announce(&mut self, home_address: HomeAddress, actions: &mut Vec<Action>) {
        let Some(node) = self.nodes.get_mut(&home_address) else { return };
        let Some(announcement) = &mut node.announcement else { return };
        announcement.repeated += 1;
        let Announcement { mac, started, repeated } = *announcement;
        match REPETITIONS.get(repeated) {
            Some(after) => self.deadlines.set(Deadline::Announcement(home_address), started + *after),
            None => node.announcement = None,
        }
        self.push_gratuitous_arp(home_address, mac, actions);
    }

    fn push_gratuitous_arp(&mut self, address: HomeAddress, mac: Option<MacAddress>, actions: &mut Vec<Action>) {
        let Some(subnet) = self.config.subnet_of(address) else { return };
        self.counters.gratuitous_arps_sent += 1;
        actions.push(Action::GratuitousArp { interface: subnet.interface, address, mac });
    }

    pub(super) fn log_violation(
        &mut self,
        now: Now,
        received: &Received<'_>,
        request: &RegistrationRequest,
        reason: Option<ViolationReason>,
    ) {
        let Some(reason) = reason else { return };
        self.violations.push(Violation {
            at: now,
            peer: received.source,
            home_address: request.home_address,
            spi: RegistrationRequest::parse(received.payload)
                .ok()
                .and_then(|(_, extensions)| extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).next())
                .and_then(|extension| authentication::spi(&extension)),
            identification: request.identification,
            reason,
        });
    }
}
