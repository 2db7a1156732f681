//! Gratuitous ARP on the home link (RFC 5944 §4.6).

use std::time::Duration;

use mipd_common::mac::MacAddress;

use super::{Action, HomeAgent, node::Announcement};
use crate::{mobility::time::Now, wire::types::HomeAddress};

/// Gratuitous ARPs follow a change at once, and again after these times, since a frame may get lost (RFC 5944 §4.6).
const REPETITIONS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

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
    /// The first gratuitous ARP; the repetitions follow by timer, unless the client moves home or away meanwhile.
    pub(super) fn announce(&mut self, now: Now, address: HomeAddress, whom: Announce, actions: &mut Vec<Action>) {
        let mac = match whom {
            Announce::Nothing => return,
            Announce::Ourselves => None,
            Announce::Client(mac) => Some(mac),
        };
        let next = now.instant + REPETITIONS[0];
        let announcement = Announcement { mac, started: now.instant, repeated: 0, next };
        self.nodes.update(address, |entry| entry.node.announcement = Some(announcement));
        self.push_gratuitous_arp(address, mac, actions);
    }

    /// The next repetition, if it is due.
    pub(super) fn repeat_announcement(&mut self, now: Now, address: HomeAddress, actions: &mut Vec<Action>) {
        let mac = self.nodes.update(address, |entry| {
            let place = &mut entry.node.announcement;
            let announcement = place.as_mut().filter(|announcement| announcement.next <= now.instant)?;
            let mac = announcement.mac;
            announcement.repeated += 1;
            match REPETITIONS.get(announcement.repeated) {
                Some(after) => announcement.next = announcement.started + *after,
                None => *place = None,
            }
            Some(mac)
        });
        if let Some(mac) = mac {
            self.push_gratuitous_arp(address, mac, actions);
        }
    }

    fn push_gratuitous_arp(&mut self, address: HomeAddress, mac: Option<MacAddress>, actions: &mut Vec<Action>) {
        let Some(subnet) = self.config.subnet_of(address) else { return };
        self.counters.gratuitous_arps_sent += 1;
        actions.push(Action::GratuitousArp { interface: subnet.interface, address, mac });
    }
}
