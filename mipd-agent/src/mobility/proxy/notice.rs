//! Stations come into view, or with another address: which of them the proxy takes on, and what becomes of what it knew of
//! them.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{
    Action, Departure, NoticedBy, Proxy, StationState, Step,
    attachment::Watch,
    client::{Client, Missing, State},
    is_host_address,
    visitor::{Fate, holds_address},
};
use crate::{
    mobility::{link::InterfaceIndex, time::Now},
    wire::types::HomeAddress,
};

/// How an address of a station is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Evidence {
    /// The station uses it.
    Use,
    /// The station claims it of a DHCP server.
    Claim,
    /// The station associated, and had it before.
    Association,
    /// The station is on a list of those that are associated, and had it before.
    List,
}

impl From<Evidence> for NoticedBy {
    fn from(evidence: Evidence) -> Self {
        match evidence {
            Evidence::Use | Evidence::Claim => Self::Use,
            Evidence::Association => Self::Association,
            Evidence::List => Self::List,
        }
    }
}

impl Proxy {
    /// A station was first seen, or seen with another address, or is not known to the kernel.
    pub(super) fn notice(
        &mut self,
        now: Now,
        interface: InterfaceIndex,
        mac: MacAddress,
        address: Ipv4Addr,
        evidence: Evidence,
        actions: &mut Vec<Action>,
    ) {
        let is_local = self.is_local(address);
        if self.paused || mac.is_multicast() || !is_host_address(address) {
            self.registrar.counters.invalid_address += u64::from(!self.paused);
            actions.push(Action::DropHeld { mac });
            return;
        }
        let home_address = HomeAddress(address);
        let mut client = Client::new(now.instant, interface, mac, home_address);
        client.is_address_assumed = matches!(evidence, Evidence::Association | Evidence::List);
        if evidence == Evidence::List {
            client.watch = Watch::unheard(now.instant);
        }
        if let Some(known) = self.roster.get(mac) {
            let is_same = known.home_address == home_address;
            if is_same && known.is_visitor() != is_local && known.state != State::Away {
                return self.notice_again(now, interface, mac, evidence, actions);
            }
            if !is_same && !is_local && evidence == Evidence::Use && self.keeps_address(now, mac, home_address, actions)
            {
                return;
            }
            let Some(known) = self.roster.get(mac) else { return };
            client.pace = known.pace;
            client.address_changes = known.address_changes;
            if !is_same && !client.address_changes.admit(now.instant) {
                self.registrar.counters.readdressing_refused += 1;
                return;
            }
            self.supersede(now, mac, is_local, is_same, actions);
        }
        let home_agent = self.registrar.home_agent_at_home(interface, home_address);
        if is_local && home_agent.is_none() {
            return;
        }
        self.registrar.counters.assumed += u64::from(client.is_address_assumed);
        if self.roster.is_full() {
            if self.roster.evict().is_none() {
                self.registrar.counters.refused_full += 1;
                actions.push(Action::DropHeld { mac });
                return;
            }
            self.registrar.counters.evicted += 1;
        }
        let noticed = Step::Noticed { by: evidence.into(), interface, address: home_address, is_local };
        self.registrar.trails.begin(now, mac, home_address, noticed);
        match home_agent {
            Some(home_agent) if is_local => self.registrar.begin_return(now, &mut client, home_agent, actions),
            _ => {
                self.registrar.counters.visitors_noticed += 1;
                match self.holder(now, &client, actions) {
                    Some(holder) => {
                        actions.push(Action::AddressInUse { mac, holder, address: home_address });
                        self.registrar.leave_unserved(now, &mut client, Missing::Address, actions);
                    }
                    None => self.registrar.begin_visit(now, &mut client, actions),
                }
            }
        }
        self.roster.insert(client);
    }

    pub(super) fn is_local(&self, address: Ipv4Addr) -> bool {
        self.registrar.config.own_subnets.iter().any(|subnet| subnet.contains(&address))
    }

    /// A station that is known with this address was reported again.
    fn notice_again(
        &mut self,
        now: Now,
        interface: InterfaceIndex,
        mac: MacAddress,
        evidence: Evidence,
        actions: &mut Vec<Action>,
    ) {
        self.with(mac, actions, |registrar, client, actions| {
            if registrar.change_radio(now, client, interface, actions) == Fate::Forget {
                return Fate::Forget;
            }
            match evidence {
                Evidence::Use | Evidence::Claim => {
                    client.is_address_assumed = false;
                    if client.state != State::Away && !client.is_visitor() {
                        client.set_station(StationState::Local, actions);
                    }
                    registrar.hear(now, client, now.instant, actions);
                }
                Evidence::Association => registrar.meet_again(now, client, actions),
                Evidence::List => {}
            }
            if let State::Unserved(_) = client.state {
                actions.push(Action::DropHeld { mac });
            }
            Fate::Keep
        });
    }

    /// Whether a visitor that sent from this address keeps its own.
    fn keeps_address(&mut self, now: Now, mac: MacAddress, address: HomeAddress, actions: &mut Vec<Action>) -> bool {
        let mut keeps = false;
        self.with(mac, actions, |registrar, client, actions| {
            keeps = registrar.keeps_address(now, client, address, actions);
            Fate::Keep
        });
        keeps
    }

    /// Who has the visitor's address already: the first that uses it keeps it as long as it answers (RFC 5227 §2.4, where
    /// the hosts would settle it themselves). A registration that was begun on an assumption gives way.
    fn holder(&mut self, now: Now, client: &Client, actions: &mut Vec<Action>) -> Option<MacAddress> {
        let home_agent = self.registrar.config.home_agent(client.interface, client.home_address);
        for mac in self.roster.with_address(client.home_address).into_iter().filter(|mac| *mac != client.mac) {
            let mut holds = false;
            self.with(mac, actions, |registrar, other, actions| {
                holds = holds_address(now, other, home_agent);
                let gives_way = !holds && !client.is_address_assumed && other.is_visitor() && other.is_address_assumed;
                if gives_way && other.home_agent == home_agent {
                    return registrar.part(now, other, Departure::Readdressed, actions);
                }
                Fate::Keep
            });
            if holds {
                return Some(mac);
            }
        }
        None
    }

    /// Ends what a station was before it took another address.
    fn supersede(&mut self, now: Now, mac: MacAddress, is_local: bool, is_same: bool, actions: &mut Vec<Action>) {
        let Some(mut known) = self.roster.remove(mac) else { return };
        let turns_local = known.is_visitor() && is_local;
        if turns_local || !is_same {
            self.registrar.retire(now, &mut known, actions);
            let why = if turns_local { Departure::TurnedLocal } else { Departure::Readdressed };
            self.registrar.trails.note(now, mac, Step::Gone { why });
        }
        if turns_local {
            self.registrar.counters.turned_local += 1;
            actions.push(Action::DropHeld { mac });
        }
        self.registrar.counters.readdressed += u64::from(!is_same);
        known.dismiss(actions);
    }
}
