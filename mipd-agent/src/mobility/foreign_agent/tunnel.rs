//! What request and reply together agree on about a tunnel: encapsulation, GRE keys (RFC 6245), UDP (RFC 3519), delivery of
//! reverse traffic (RFC 3024).

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::{
    check::{Identified, wanted},
    config::{Config, GreKeyPolicy},
    pending::PendingRegistration,
    visitor::VisitorEntry,
};
use crate::{
    mobility::{
        link::REGISTRATION_PORT,
        time::Now,
        tunnel::{Encapsulation, GreKeys, TunnelMode, UdpTunnel},
    },
    wire::{
        extension::Extensions,
        gre_key::GreKey,
        registration::RegistrationReply,
        revocation::{RevocationSupport, next_stamp},
        types::Lifetime,
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};

/// Home agents remembered as ignorant of GRE keys; of further ones it is found out each time.
const KEYLESS_CAPACITY: usize = 1024;

/// How long a home agent is taken for ignorant of GRE keys.
pub(super) const KEYLESS_TIME: Duration = Duration::from_mins(10);

/// What we add to a request about the tunnel, on our own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Proposal {
    /// The GRE key that we want to be sent to with.
    pub gre_key: Option<u32>,
    /// A UDP tunnel, if there is a NAT.
    pub udp: bool,
    /// That the registration can be revoked.
    pub revocation: Option<RevocationSupport>,
}

impl Proposal {
    /// What to propose. Only for a tunnel that ends here (D = 0); `random` makes a key, which is never 0, since with 0 the
    /// home agent's key would hold in both directions.
    pub fn of(
        config: &Config,
        keyless: &Keyless,
        identified: &Identified<'_>,
        home_agent: Ipv4Addr,
        current: Option<&VisitorEntry>,
        now: Now,
        random: impl FnOnce() -> u32,
    ) -> Self {
        let request = &identified.request;
        if request.flags.co_located || !config.offers(request.care_of_address) {
            return Self::default();
        }
        let deregisters = request.lifetime == Lifetime::DEREGISTER;
        // A session that has keys names ours in every request, the last one included.
        let agreed = current.and_then(|visitor| visitor.tunnel.gre_keys).map(|keys| keys.receive);
        let fresh = !deregisters
            && config.encapsulations.contains(Encapsulation::Gre)
            && match config.gre_key {
                GreKeyPolicy::Never => false,
                GreKeyPolicy::WithGre => request.flags.gre,
                GreKeyPolicy::Always => !request.flags.minimal_encapsulation,
            }
            && !keyless.contains(home_agent);
        Self {
            gre_key: agreed.or_else(|| fresh.then(|| random().max(1))),
            // With ourselves there is no NAT, and no tunnel.
            udp: config.udp_tunnel.is_some() && !deregisters && !config.own_home_agents.contains(&home_agent),
            // Only what our signature protects (RFC 3543 §3.2); deregistrations are not signed.
            revocation: config.revocation.filter(|_| !deregisters && config.foreign_home.covers(home_agent)).map(
                |policy| {
                    let before = current.and_then(|visitor| visitor.revocation).map(|revocable| revocable.own);
                    RevocationSupport { inform: policy.inform, timestamp: next_stamp(now.wall.seconds(), before) }
                },
            ),
        }
    }

    /// Appends it to the request, behind what the client authenticated.
    pub fn append(self, config: &Config, identified: &Identified<'_>, message: &mut Vec<u8>) {
        if let Some(key) = self.gre_key {
            GreKey(key).append(message);
        }
        if let Some(udp) = config.udp_tunnel.filter(|_| self.udp) {
            let wanted = wanted(identified.request.flags).unwrap_or_default();
            let encapsulation = if self.gre_key.is_some() { Encapsulation::Gre } else { wanted };
            UdpTunnelRequest {
                forced: udp.forced,
                through_foreign_agent: false,
                encapsulation: encapsulation.protocol(),
                reserved: 0,
            }
            .append(message);
        }
        if let Some(support) = self.revocation {
            support.append(message);
        }
    }
}

impl PendingRegistration {
    /// The tunnel that the request asks for.
    pub fn asks_for(&self) -> TunnelMode {
        let flags = self.request.flags;
        let encapsulation = match self.proposal.gre_key {
            Some(_) => Encapsulation::Gre,
            None => wanted(flags).unwrap_or_default(),
        };
        let reverse = flags.reverse_tunnel.then_some(self.delivery);
        TunnelMode { encapsulation, gre_keys: None, udp: None, reverse }
    }

    /// The tunnel that an accepting reply agrees to, with its extensions behind what the client authenticates.
    pub(super) fn agrees_on(&self, reply: &RegistrationReply, for_us: &Extensions<'_>) -> TunnelMode {
        let gre_keys = self.proposal.gre_key.and_then(|receive| {
            let GreKey(send) = GreKey::find(for_us)?;
            Some(GreKeys { send, receive })
        });
        let assent =
            UdpTunnelReply::find(for_us).filter(|answer| self.proposal.udp && answer.code == UdpTunnelReply::ASSENT);
        let encapsulation =
            if gre_keys.is_some() { Encapsulation::Gre } else { wanted(self.request.flags).unwrap_or_default() };
        TunnelMode {
            encapsulation,
            gre_keys,
            udp: assent.map(|answer| UdpTunnel {
                peer: SocketAddrV4::new(reply.home_agent.0, REGISTRATION_PORT),
                keepalive: keepalive(answer.keepalive_interval),
            }),
            ..self.asks_for()
        }
    }
}

/// RFC 3519 §4.9: the home agent's interval, the default if it sets none, and never a shorter one than ten seconds.
fn keepalive(seconds: u16) -> Duration {
    match seconds {
        0 => UdpTunnel::KEEPALIVE,
        _ => Duration::from_secs(seconds.into()).max(UdpTunnel::SHORTEST_KEEPALIVE),
    }
}

/// Home agents that leave requests with a GRE key unanswered, as every agent must that does not know the extension, or
/// refuse it (RFC 6245 §3).
#[derive(Clone, Debug, Default)]
pub(super) struct Keyless(BTreeSet<Ipv4Addr>);

impl Keyless {
    pub fn contains(&self, home_agent: Ipv4Addr) -> bool {
        self.0.contains(&home_agent)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `false` if there is no room to remember it.
    pub fn insert(&mut self, home_agent: Ipv4Addr) -> bool {
        let room = self.0.len() < KEYLESS_CAPACITY;
        if room {
            self.0.insert(home_agent);
        }
        room
    }

    pub fn remove(&mut self, home_agent: Ipv4Addr) {
        self.0.remove(&home_agent);
    }
}
