//! Which agents there are, as their advertisements on the uplink say, and who is told of it.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{AccessPoint, Context};
use crate::{
    io::frames::Frame,
    mobility::{
        discovery::listener::{Agent, ListenerAction},
        proxy::{Event, ForeignAgentInfo, HomeAgentOnLink},
        time::Now,
    },
    wire::{
        advertisement,
        dhcp::SERVER_PORT,
        frame::{self, IcmpPacket, Link},
        types::HomeAgentAddress,
    },
};

impl AccessPoint {
    /// An advertisement on the uplink.
    pub fn handle_frame(&mut self, now: Now, frame: &Frame, context: &mut Context<'_>) {
        let Ok((link, icmp)) = frame::parse_icmp(&frame.bytes) else {
            match frame::parse_udp(&frame.bytes, frame.checksum_verified) {
                Ok((_, udp)) if udp.source_port == SERVER_PORT => self.overhear_lease(now, udp.payload, context),
                _ => self.counters.malformed += 1,
            }
            return;
        };
        let mut actions = Vec::new();
        self.listener.handle_advertisement(now.instant, link.source, &icmp, &mut actions);
        self.apply_discovery(now, actions, context);
        let challenge = self.listener.agent(icmp.source).and_then(|agent| agent.advertisement.challenge.as_deref());
        if let Some(challenge) = challenge {
            let mut actions = Vec::new();
            self.proxy.challenge_heard(now, icmp.source, challenge, &mut actions);
            self.apply(now, actions, context);
        }
    }

    pub(super) fn apply_discovery(&mut self, now: Now, actions: Vec<ListenerAction>, context: &mut Context<'_>) {
        let mut changed = false;
        for action in actions {
            match action {
                ListenerAction::Solicit { icmp, destination } => self.solicit(&icmp, destination),
                ListenerAction::AgentRebooted(address) => {
                    tracing::info!(agent = %address, "agent rebooted");
                    changed = true;
                }
                ListenerAction::AgentFound(address) => {
                    tracing::info!(agent = %address, "agent found");
                    changed = true;
                }
                ListenerAction::AgentLost(address) => {
                    tracing::warn!(agent = %address, "agent lost");
                    changed = true;
                }
                ListenerAction::AgentChanged(_) => changed = true,
                ListenerAction::RegistrationRevoked { agent, home_address: address, busy } => {
                    self.notice(now, Event::Dismissed { address, agent, busy }, context);
                }
            }
        }
        // After a move of the uplink another agent may be preferred, though nothing about the agents has changed.
        let preferred = self.listener.foreign_agent().map(|agent| agent.address);
        if changed || preferred != self.preferred_agent {
            self.preferred_agent = preferred;
            self.tell_agents(now, context);
        }
    }

    fn tell_agents(&mut self, now: Now, context: &mut Context<'_>) {
        // One that has fallen silent, but is still listed, may be on a link that the uplink has left.
        let is_preferred = |agent: &&Agent| Some(agent.address) == self.preferred_agent;
        let (preferred, others): (Vec<_>, Vec<_>) = self.listener.agents().iter().partition(is_preferred);
        let others = others.into_iter().filter(|agent| !self.listener.is_overdue(agent, now.instant));
        let foreign_agents = preferred.into_iter().chain(others).map(ForeignAgentInfo::from);
        let foreign_agents: Vec<_> = foreign_agents.filter(ForeignAgentInfo::is_usable).collect();
        let home_agents: Vec<_> = self
            .listener
            .agents()
            .iter()
            .filter(|agent| agent.advertisement.flags.home_agent)
            .map(|agent| HomeAgentOnLink { address: HomeAgentAddress(agent.address), mac: agent.mac })
            .collect();
        self.own_home_agent = home_agent_of(self.address, self.own_home_agent, self.listener.agents());
        // The gateway of this subnet is the agent on it; without one the virtual MAC leads nowhere here.
        let gateway = home_agents.first().map(|agent| agent.mac).or(foreign_agents.first().map(|agent| agent.mac));
        if let Err(error) = context.dataplane.set_gateway_mac(gateway) {
            tracing::error!(%error, "cannot tell the programs the gateway");
        }
        let mut actions = Vec::new();
        self.proxy.agents_changed(now, foreign_agents, home_agents, &mut actions);
        self.apply(now, actions, context);
    }

    fn solicit(&mut self, icmp: &[u8], destination: Ipv4Addr) {
        let Some(mac) = frame::group_mac(destination) else { return };
        let packet = IcmpPacket { source: self.address, destination, ttl: advertisement::TTL, message: icmp };
        let bytes = frame::emit_icmp(Link { destination: mac, source: self.uplink.mac }, &packet);
        self.send_on_uplink(&bytes);
    }
}

/// The home agent of the subnet in which `own` is: the one that it was as long as it is heard, so that two do not take turns.
/// Which subnet an agent serves is only known if it says its prefix (RFC 5944 §2.1.2).
fn home_agent_of(own: Ipv4Addr, former: Option<(Ipv4Addr, Ipv4Net)>, agents: &[Agent]) -> Option<(Ipv4Addr, Ipv4Net)> {
    let heard = || {
        let home_agents = agents.iter().filter(|agent| agent.advertisement.flags.home_agent);
        home_agents.flat_map(|agent| {
            let prefixes = agent.advertisement.prefixes();
            let serving = prefixes.into_iter().filter(move |prefix| prefix.contains(&own));
            serving.filter(|prefix| prefix.contains(&agent.address)).map(|prefix| (agent.address, prefix))
        })
    };
    former.filter(|former| heard().any(|candidate| candidate == *former)).or_else(|| heard().next())
}
