//! Tunnels over UDP through NAT (RFC 3519).

use std::{net::SocketAddrV4, time::Duration};

use super::{Action, HomeAgent, config::Config, counters::Discard, petition::Petition, signers::Layout};
use crate::{
    mobility::tunnel::{Encapsulation, UdpTunnel},
    wire::{
        types::{HomeAddress, HomeAgentAddress, ReplyCode},
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};

/// A home agent's policy on tunnels over UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpTunnelling {
    /// Whether to do it where no NAT is noticed, if the request forces it (F); else it is refused with code 129.
    pub forced: bool,
    /// How long the other end may be silent; at least [`UdpTunnel::SHORTEST_KEEPALIVE`].
    pub keepalive: Duration,
}

/// What was agreed on about UDP. The default is what a request without extension 144 gets: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct UdpTerms {
    /// The far end.
    pub tunnel: Option<UdpTunnel>,
    /// Nothing is sent before a keepalive has come, which names the port (R).
    pub waits_for_keepalive: bool,
    /// What is inside, if the extension says so itself.
    pub encapsulation: Option<Encapsulation>,
    /// What the reply says.
    pub reply: Option<UdpTunnelReply>,
}

/// The terms, or the code that refuses them. A NAT is noticed by an IP source that is not the care-of address.
pub(super) fn negotiate(config: &Config, petition: &Petition<'_>, layout: Layout) -> Result<UdpTerms, ReplyCode> {
    let Some((offset, wanted)) = UdpTunnelRequest::find(&petition.extensions) else { return Ok(UdpTerms::default()) };
    let Petition { received, request, .. } = petition;
    let co_located = request.flags.co_located;
    let well_placed =
        if co_located { layout.is_from_mobile_node(offset) } else { layout.is_from_foreign_agent(offset) };
    // RFC 3519 contradicts itself on reserved bits: skip (§3.1) or refuse (§4.6.1). A refusal is noticed.
    if !well_placed || wanted.reserved != 0 || wanted.through_foreign_agent && !co_located {
        return Err(ReplyCode::HA_MALFORMED);
    }
    let encapsulation = match wanted.encapsulation {
        0 => None,
        protocol => {
            let known = Encapsulation::from_protocol(protocol);
            let offered = known.filter(|encapsulation| config.encapsulations.contains(*encapsulation));
            Some(offered.ok_or(ReplyCode::HA_UDP_ENCAPSULATION)?)
        }
    };
    let translated = received.source != request.care_of_address.0;
    let policy = config.udp_tunnel.filter(|policy| policy.forced || !wanted.forced);
    match policy {
        None if wanted.forced || translated => Err(ReplyCode::HA_PROHIBITED),
        Some(policy) if wanted.forced || translated => {
            let keepalive = policy.keepalive.max(UdpTunnel::SHORTEST_KEEPALIVE);
            let peer = SocketAddrV4::new(received.source, received.source_port);
            Ok(UdpTerms {
                tunnel: Some(UdpTunnel { peer, keepalive }),
                waits_for_keepalive: wanted.through_foreign_agent,
                encapsulation,
                reply: Some(UdpTunnelReply {
                    code: UdpTunnelReply::ASSENT,
                    forced: wanted.forced,
                    keepalive_interval: u16::try_from(keepalive.as_secs()).unwrap_or(u16::MAX),
                }),
            })
        }
        _ => Ok(UdpTerms {
            reply: Some(UdpTunnelReply { code: UdpTunnelReply::DECLINE, forced: false, keepalive_interval: 0 }),
            ..UdpTerms::default()
        }),
    }
}

/// An ICMP echo request that came through a tunnel over UDP (RFC 3519 §4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Outer source: address and port as the NAT made them.
    pub source: SocketAddrV4,
    /// Outer destination: our address.
    pub home_agent: HomeAgentAddress,
    /// Inner source.
    pub home_address: HomeAddress,
}

impl HomeAgent {
    /// A keepalive. The first one of a client that registered through a foreign agent (R) tells its port; it must come
    /// from the address that the request came from. All others change nothing: the data path answers them.
    pub fn handle_keepalive(&mut self, keepalive: Keepalive, actions: &mut Vec<Action>) {
        let home_address = keepalive.home_address;
        if self.nodes.get(home_address).is_none() {
            self.counters.discarded.add(Discard::StrangeKeepalive);
            return;
        }
        let outcome = self.nodes.update(home_address, |entry| {
            let mut matching = entry.bindings_mut().iter_mut().filter(|binding| {
                binding.tunnel.udp.is_some()
                    && binding.source == *keepalive.source.ip()
                    && binding.home_agent == keepalive.home_agent
            });
            let binding = matching.next()?;
            let was_waiting = std::mem::replace(&mut binding.waits_for_keepalive, false);
            if let Some(udp) = binding.tunnel.udp.as_mut().filter(|_| was_waiting) {
                udp.peer = keepalive.source;
            }
            Some(was_waiting)
        });
        match outcome {
            None => self.counters.discarded.add(Discard::StrangeKeepalive),
            Some(false) => {}
            Some(true) => {
                self.counters.tunnels_opened_by_keepalive += 1;
                self.push_exits(home_address, actions);
                actions.push(Action::BindingChanged { home_address });
            }
        }
    }
}
