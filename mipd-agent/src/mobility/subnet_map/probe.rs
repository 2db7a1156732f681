//! Whether a home agent that no access point reports any more is alive.
//!
//! It is sent a registration request that it cannot accept, with an SPI and a key that nobody has: to the broadcast address
//! of its subnet, where a home agent answers with its address (RFC 5944 §3.6.1.2), and to its own, since many routers do not
//! forward the former. Any reply to it means that the home agent is alive; nothing else is concluded from it. Only when it
//! stays silent is its entry removed, for clients that have roamed before must go on.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use rand::RngExt;

use super::{
    counters::Discard,
    exchange::{Action, Exchange, Peer, Timer},
};
use crate::{
    mobility::{link::REGISTRATION_PORT, time::Now},
    wire::{
        authentication::{self, Algorithm, Key},
        extension::kind,
        registration::{RegistrationReply, RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, Spi},
    },
};

/// How long an answer is waited for: one more try after each.
const PATIENCE: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// A home agent that is alive, and that nobody reports, is asked again after so long.
const AGAIN: Duration = Duration::from_mins(10);

/// A home agent that is asked, or has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Probe {
    home_agent: Ipv4Addr,
    /// Low half of the Identification of our request, which an answer repeats; `None` if none is waited for.
    asked: Option<u32>,
    tries: usize,
}

impl Exchange {
    /// Looks for subnets whose entries are ours and that no access point reports, and asks after their home agents.
    pub(super) fn survey(&mut self, now: Now, actions: &mut Vec<Action>) {
        let ours = self.config.address;
        let own = self.own.map(|(_, subnet)| subnet);
        let served: BTreeSet<_> = self.peers.values().filter_map(Peer::serves).chain(own).collect();
        let unserved: Vec<_> = self
            .table
            .iter()
            .filter(|(subnet, entry)| entry.origin == ours && !served.contains(subnet))
            .filter(|(subnet, _)| !self.probes.contains_key(subnet))
            .map(|(subnet, entry)| (subnet, entry.home_agent))
            .collect();
        for (subnet, home_agent) in unserved {
            self.probes.insert(subnet, Probe { home_agent, asked: None, tries: 0 });
            self.ask(now, subnet, actions);
        }
    }

    fn ask(&mut self, now: Now, subnet: Ipv4Net, actions: &mut Vec<Action>) {
        let identification = Identification(self.random.random());
        let key: [u8; 16] = self.random.random();
        let Some(probe) = self.probes.get_mut(&subnet) else { return };
        let Some(patience) = PATIENCE.get(probe.tries) else { return };
        probe.tries += 1;
        probe.asked = Some(identification.0 as u32);
        let home_agent = probe.home_agent;
        self.deadlines.set(Timer::Probe(subnet), now.instant + *patience);
        for destination in [subnet.broadcast(), home_agent] {
            self.counters.probes_sent += 1;
            let request = self.request(destination, identification, &key);
            let datagram = self.datagram(request, destination, REGISTRATION_PORT);
            actions.push(Action::Send(datagram));
        }
    }

    /// A request that nobody can accept.
    fn request(&self, home_agent: Ipv4Addr, identification: Identification, key: &[u8; 16]) -> Vec<u8> {
        let request = RegistrationRequest {
            flags: RequestFlags { co_located: true, ..RequestFlags::default() },
            lifetime: Lifetime(60),
            home_address: HomeAddress(self.config.address),
            home_agent: HomeAgentAddress(home_agent),
            care_of_address: CareOfAddress(self.config.address),
            identification,
        };
        let mut message = Vec::new();
        request.emit(&mut message);
        if let (Some(spi), Ok(key)) = (Spi::new(u32::MAX), Key::from_bytes(key.to_vec())) {
            authentication::append(&mut message, kind::MOBILE_HOME_AUTHENTICATION, spi, Algorithm::HmacMd5, &key);
        }
        message
    }

    /// A datagram from a home agent's port.
    pub(super) fn probe_answered(&mut self, now: Now, payload: &[u8]) {
        let low = RegistrationReply::parse(payload).ok().map(|(reply, _)| reply.identification.0 as u32);
        let asked = self.probes.iter_mut().find(|(_, probe)| probe.asked.is_some() && probe.asked == low);
        let Some((subnet, probe)) = asked else { return self.counters.discarded.add(Discard::UnmatchedReply) };
        (probe.asked, probe.tries) = (None, 0);
        self.counters.probes_answered += 1;
        self.deadlines.set(Timer::Probe(*subnet), now.instant + AGAIN);
    }

    /// An answer is overdue, or it is time to ask again.
    pub(super) fn probe_due(&mut self, now: Now, subnet: Ipv4Net, actions: &mut Vec<Action>) {
        let Some(probe) = self.probes.get(&subnet).copied() else { return };
        let current = self.table.live(subnet).is_some_and(|entry| entry.origin == self.config.address);
        if !current || self.is_served(subnet) {
            self.probes.remove(&subnet);
        } else if probe.tries < PATIENCE.len() {
            self.ask(now, subnet, actions);
        } else {
            self.probes.remove(&subnet);
            if self.table.remove(now, subnet, self.config.address).is_some() {
                self.counters.entries_removed += 1;
                self.spread(now.instant, subnet, None, actions);
            }
        }
    }
}
