//! UDP tunnels that a NAT forgets unless something is sent (RFC 3519 §4.9).

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{Action, Deadline, ForeignAgent, counters::Discard, visitor::VisitorEntry};
use crate::{
    mobility::{
        link::{Path, REGISTRATION_PORT, Received, TTL, Transmit},
        time::{Instant, Now},
        tunnel::{TunnelMode, UdpTunnel},
    },
    wire::{
        echo::{self, Through},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress},
    },
};

/// Keepalives in a row without an answer before the clients are told to register again.
const ATTEMPTS: u32 = 3;

/// Both ends; all visitors of a home agent share one way through the NAT.
pub(super) type Ends = (CareOfAddress, HomeAgentAddress);

#[derive(Clone, Copy, Debug)]
struct Tunnel {
    visitors: usize,
    mode: TunnelMode,
    udp: UdpTunnel,
    /// Of the last keepalive.
    sequence: u16,
    unanswered: u32,
}

impl Tunnel {
    /// An echo request from the port of our registrations, which is the one that the NAT knows.
    fn keepalive(&self, (care_of_address, home_agent): Ends) -> Transmit {
        let gre_key = self.mode.gre_keys.map(|keys| keys.send);
        let through = Through { next_header: self.mode.encapsulation.protocol(), gre_key };
        Transmit {
            payload: echo::request(through, care_of_address.0, home_agent.0, self.sequence),
            source: care_of_address.0,
            source_port: REGISTRATION_PORT,
            destination: *self.udp.peer.ip(),
            destination_port: self.udp.peer.port(),
            ttl: TTL,
            path: Path::Routed,
        }
    }

    /// Whether this is the answer to the last one.
    fn is_answer(&self, (care_of_address, home_agent): Ends, received: &Received<'_>) -> bool {
        let gre_key = self.mode.gre_keys.map(|keys| keys.receive);
        let through = Through { next_header: self.mode.encapsulation.protocol(), gre_key };
        let answer = echo::reply(received.payload, through, home_agent.0, care_of_address.0);
        received.source_port == self.udp.peer.port() && answer == Some(self.sequence)
    }
}

/// The UDP tunnels that have visitors.
#[derive(Clone, Debug, Default)]
pub(super) struct UdpTunnels(BTreeMap<Ends, Tunnel>);

impl UdpTunnels {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl ForeignAgent {
    /// A visitor was installed in the place of another, of itself, or of none.
    pub(super) fn follow_udp_tunnel(&mut self, now: Now, before: Option<&VisitorEntry>, after: &VisitorEntry) {
        if let Some((ends, udp)) = ends(after) {
            let new = Tunnel { visitors: 0, mode: after.tunnel, udp, sequence: 0, unanswered: 0 };
            let tunnel = self.udp_tunnels.0.entry(ends).or_insert(new);
            tunnel.visitors += 1;
            (tunnel.mode, tunnel.udp) = (after.tunnel, udp);
            // The registration itself went the same way.
            self.deadlines.set(Deadline::Keepalive(ends), now.instant + udp.keepalive);
        }
        if let Some(before) = before {
            self.leave_udp_tunnel(before);
        }
    }

    /// A visitor is gone, or its former self.
    pub(super) fn leave_udp_tunnel(&mut self, visitor: &VisitorEntry) {
        let Some((ends, _)) = ends(visitor) else { return };
        let Some(tunnel) = self.udp_tunnels.0.get_mut(&ends) else { return };
        tunnel.visitors -= 1;
        if tunnel.visitors == 0 {
            self.udp_tunnels.0.remove(&ends);
            self.deadlines.clear(Deadline::Keepalive(ends));
        }
    }

    /// Something was sent through the tunnel, or by the way that it takes.
    pub fn tunnel_used(&mut self, now: Now, care_of_address: CareOfAddress, home_agent: HomeAgentAddress) {
        let ends = (care_of_address, home_agent);
        if let Some(tunnel) = self.udp_tunnels.0.get(&ends)
            && tunnel.unanswered == 0
        {
            let at: Instant = now.instant + tunnel.udp.keepalive;
            self.deadlines.set(Deadline::Keepalive(ends), at);
        }
    }

    /// Whether a datagram of tunnelled data is the answer to a keepalive.
    pub fn awaits_echo(&self, received: &Received<'_>) -> bool {
        let both = (CareOfAddress(received.destination), HomeAgentAddress(received.source));
        self.udp_tunnels.0.get(&both).is_some_and(|tunnel| tunnel.is_answer(both, received))
    }

    /// A datagram of tunnelled data to a care-of address that the data path did not take. Nothing but the answer to a
    /// keepalive is meant for us.
    pub fn handle_tunnel_data(&mut self, now: Now, received: &Received<'_>) {
        let both = (CareOfAddress(received.destination), HomeAgentAddress(received.source));
        match self.udp_tunnels.0.get_mut(&both).filter(|tunnel| tunnel.is_answer(both, received)) {
            Some(tunnel) => {
                tunnel.unanswered = 0;
                self.counters.keepalives_answered += 1;
                self.tunnel_used(now, both.0, both.1);
            }
            None => self.counters.discarded.add(Discard::UnexpectedTunnelData),
        }
    }

    /// Nothing was sent for too long, or nothing came back.
    pub(super) fn keep_alive(&mut self, now: Now, both: Ends, actions: &mut Vec<Action>) {
        let Some(tunnel) = self.udp_tunnels.0.get_mut(&both) else { return };
        let home_agent = both.1;
        let wait = if tunnel.unanswered < ATTEMPTS {
            tunnel.unanswered += 1;
            tunnel.sequence = tunnel.sequence.wrapping_add(1);
            self.counters.keepalives_sent += 1;
            actions.push(Action::Send(tunnel.keepalive(both)));
            UdpTunnel::SHORTEST_KEEPALIVE
        } else {
            tunnel.unanswered = 0;
            self.counters.tunnels_lost += 1;
            let wait = tunnel.udp.keepalive;
            let (first, last) = (HomeAddress(Ipv4Addr::UNSPECIFIED), HomeAddress(Ipv4Addr::BROADCAST));
            let concerned = self.visitors.range((home_agent, first)..=(home_agent, last));
            let concerned = concerned.filter(|(_, visitor)| ends(visitor).is_some_and(|(own, _)| own == both));
            actions.extend(concerned.map(|(_, visitor)| Action::inform(visitor, false)));
            wait
        };
        self.deadlines.set(Deadline::Keepalive(both), now.instant + wait);
    }
}

fn ends(visitor: &VisitorEntry) -> Option<(Ends, UdpTunnel)> {
    visitor.tunnel.udp.map(|udp| ((visitor.care_of_address, visitor.home_agent), udp))
}
