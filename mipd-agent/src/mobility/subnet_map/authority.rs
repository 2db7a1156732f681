//! An authoritative access point: keeps the table, tells everybody of each change, and compares it with the others.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{
    exchange::{Action, Exchange, SILENCE, Timer},
    link::ATTEMPTS,
};
use crate::{
    mobility::time::{Instant, Now},
    wire::subnet_map::{Body, Digest, Entry},
};

impl Exchange {
    /// An access point says that it is here, and which home agent its subnet has.
    pub(super) fn reported(
        &mut self,
        now: Now,
        from: Ipv4Addr,
        (home_agent, leaving, digest): (Option<(Ipv4Addr, u8)>, bool, Digest),
        opened: bool,
        actions: &mut Vec<Action>,
    ) {
        self.counters.reports_received += 1;
        let home_agent = home_agent
            .filter(|_| !leaving)
            .and_then(|(address, length)| Some((address, Ipv4Net::new(address, length).ok()?.trunc())));
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if leaving {
            self.counters.leaves += 1;
            *peer = super::exchange::Peer { link: std::mem::take(&mut peer.link), ..Default::default() };
            return;
        }
        let joins = !peer.member || opened;
        self.counters.joins += u64::from(joins);
        let news = joins || peer.reported != home_agent;
        peer.member = true;
        peer.reported = home_agent;
        self.deadlines.set(Timer::Member(from), now.instant + SILENCE);
        if let Some((address, subnet)) = home_agent {
            self.learn(now, subnet, address, news, actions);
        }
        if digest != self.table.digest() {
            self.tell_all(from);
        }
    }

    /// An access point of ours, or we ourselves, know who serves a subnet. `news`: not only repeated; then it replaces what
    /// the table says, and the entry becomes ours, so that it is we who ask after its home agent one day.
    pub(super) fn learn(
        &mut self,
        now: Now,
        subnet: Ipv4Net,
        home_agent: Ipv4Addr,
        news: bool,
        actions: &mut Vec<Action>,
    ) {
        self.probes.remove(&subnet);
        self.deadlines.clear(Timer::Probe(subnet));
        let ours = self.config.address;
        let known = self.table.live(subnet);
        if known.is_some_and(|entry| !news || (entry.home_agent == home_agent && entry.origin == ours)) {
            return;
        }
        if self.table.assert(now, subnet, home_agent, ours).is_some() {
            self.counters.entries_new += 1;
            self.spread(now.instant, subnet, None, actions);
        } else {
            self.counters.entries_impossible += 1;
        }
    }

    /// Tells everybody but `except` of a subnet.
    pub(super) fn spread(
        &mut self,
        now: Instant,
        subnet: Ipv4Net,
        except: Option<Ipv4Addr>,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::MapChanged);
        let concerned =
            self.peers.iter_mut().filter(|(address, peer)| Some(**address) != except && peer.link.is_open());
        let mut told = Vec::new();
        for (address, peer) in concerned {
            peer.link.backlog.insert(subnet);
            told.push(*address);
        }
        for address in told {
            self.flush(now, address, actions);
        }
    }

    /// Has another access point told the whole table: the other authoritative ones what was removed, too.
    pub(super) fn tell_all(&mut self, to: Ipv4Addr) {
        let subnets: Vec<_> = if self.is_authority(to) {
            self.table.subnets().collect()
        } else {
            self.table.iter().map(|(subnet, _)| subnet).collect()
        };
        // One that is being told already gets to the end first.
        if let Some(peer) = self.peers.get_mut(&to).filter(|peer| !peer.link.ends_table) {
            peer.link.tell_all(subnets);
        }
    }

    /// Takes entries of another authoritative access point, and tells everybody else of those that are new.
    pub(super) fn take_over(&mut self, now: Now, from: Ipv4Addr, entries: &[Entry], actions: &mut Vec<Action>) {
        self.counters.entries_received += entries.len() as u64;
        for entry in entries {
            if !self.merge(now.instant, entry) {
                continue;
            }
            let Ok(subnet) = Ipv4Net::new(entry.network, entry.prefix_length) else { continue };
            self.spread(now.instant, subnet, Some(from), actions);
            if entry.removed && self.is_served(subnet) {
                // Access points of ours hear its home agent.
                self.learn(now, subnet, entry.home_agent, true, actions);
            }
        }
    }

    /// Compares with the other authoritative access points. Of two, the one with the lower address begins.
    pub(super) fn compare(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let ours = self.config.address;
        let others = self.config.authoritative.iter().copied().filter(|address| *address > ours);
        for address in others.collect::<Vec<_>>() {
            if self.peers.get(&address).is_some_and(|peer| peer.link.is_open()) {
                self.compare_with(now, address, actions);
            } else {
                self.greet(now, address, ATTEMPTS, actions);
            }
        }
    }

    pub(super) fn compare_with(&mut self, now: Instant, address: Ipv4Addr, actions: &mut Vec<Action>) {
        let digest = self.table.digest();
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.link.next = Some(Body::Comparison { digest });
            self.flush(now, address, actions);
        }
    }

    /// Another authoritative access point has the table of this digest.
    pub(super) fn compared(&mut self, now: Instant, from: Ipv4Addr, digest: Digest) {
        self.counters.comparisons += 1;
        self.deadlines.set(Timer::Member(from), now + SILENCE);
        if digest != self.table.digest() {
            self.counters.comparisons_different += 1;
            self.tell_all(from);
        }
    }

    /// Forgets an access point that has fallen silent.
    pub(super) fn expire(&mut self, address: Ipv4Addr) {
        if self.peers.remove(&address).is_some_and(|peer| peer.member) {
            self.counters.members_expired += 1;
        }
        self.deadlines.clear(Timer::Link(address));
    }

    /// Whether an access point of ours, or we ourselves, hear a home agent of this subnet.
    pub(super) fn is_served(&self, subnet: Ipv4Net) -> bool {
        self.own.is_some_and(|(_, own)| own == subnet) || self.peers.values().any(|peer| peer.serves() == Some(subnet))
    }
}
