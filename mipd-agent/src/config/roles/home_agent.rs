//! `[home-agent]`: the router of one or more home subnets.

use std::{collections::BTreeMap, time::Duration};

use ipnet::Ipv4Net;
use mipd_common::maps::{COPIES_LENGTH, MAXIMUM_HOME_SUBNETS, MAXIMUM_SLOTS};
use serde::Deserialize;
use toml::Spanned;

use super::{UdpTunnelPolicy, advertisement_interval, count, duration, encapsulation};
use crate::mobility::{
    reverse_tunnel::ReverseTunnel,
    security::AddressRange,
    tunnel::{Encapsulations, UdpTunnel},
};
use crate::{
    config::{
        document::{HomeAgentSection, IdentityEntry},
        error::{ConfigError, Source},
        values::{HostAddressText, InterfaceName, LifetimeText, PrefixText},
    },
    wire::{
        nai::Nai,
        types::{HomeAddress, HomeAgentAddress, Lifetime},
    },
};

/// RFC 5944 §5.7: a timestamp may be this far off.
const REPLAY_WINDOW: Duration = Duration::from_secs(7);
const MAXIMUM_LIFETIME: Lifetime = Lifetime(36_000);
const MAXIMUM_BINDINGS: u32 = 65_536;
/// Without a setting: care-of addresses of a whole campus. Each takes 64 bytes in the kernel, whether it is in use or not.
const MAXIMUM_TUNNELS: u32 = 65_536;
/// Without a setting: 32 MiB in the kernel.
const DEFAULT_SLOTS: u32 = 1 << 22;

/// The home agent role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeAgent {
    /// Its address, inside one of the subnets.
    pub address: HomeAgentAddress,
    /// The subnets that it serves; disjoint, at least one.
    pub subnets: Vec<HomeSubnet>,
    /// The longest lifetime that it grants.
    pub maximum_lifetime: Lifetime,
    /// How far a request's timestamp may be off.
    pub replay_window: Duration,
    /// What it does about reverse tunnelling.
    pub reverse_tunnel: ReverseTunnel,
    /// Longest time between two advertisements on a home interface.
    pub advertisement_interval: Duration,
    /// Registrations beyond this number are denied.
    pub maximum_bindings: u32,
    /// Care-of addresses, and clients with one of our own, beyond this number are denied.
    pub maximum_tunnels: u32,
    /// Up to how many addresses the subnets together have a slot for each in the programs' table.
    pub maximum_slots: u32,
    /// Whether foreign agents that share an association are told when a client has left them, and may end bindings.
    pub revocation: bool,
    /// Whether anybody may find the home agent by a request to a subnet's broadcast address.
    pub answer_broadcast_probes: bool,
    /// Whether strangers get the same answer from its own address, where RFC 5944 §3.8.2.1 wants silence.
    pub answer_unicast_probes: bool,
    /// Whether TCP connections through tunnels are told to use smaller segments, where packets must be.
    pub mss_clamp: bool,
    /// Proxies that may register by their own authentication alone; `None` = there are none.
    pub allowed_proxies: Option<Vec<AddressRange>>,
    /// Home addresses of clients that give a name.
    pub identities: BTreeMap<Nai, HomeAddress>,
    /// Whether broadcasts of the home links follow clients that ask for them.
    pub broadcast: bool,
    /// How many care-of addresses a client may have at a time.
    pub simultaneous_bindings: u32,
    /// How tunnels may wrap packets.
    pub encapsulations: Encapsulations,
    /// What it thinks of tunnels over UDP.
    pub udp_tunnel: UdpTunnelPolicy,
    /// How long their other ends may be silent.
    pub udp_keepalive: Duration,
}

/// A home subnet and how it is attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeSubnet {
    /// Its prefix.
    pub prefix: Ipv4Net,
    /// The interface it is on.
    pub interface: InterfaceName,
    /// How its away clients are routed; `None` = by what it is (see [`HomeRoutes::fitting`]).
    pub routes: Option<HomeRoutes>,
}

/// How the kernel is told to send packets for away clients into their tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HomeRoutes {
    /// One route per away client.
    Host,
    /// One route for the whole subnet: only for one without a link, whose clients are never at home.
    Subnet,
}

/// Largest subnet without a link whose away clients get a route each: beyond it routes cost more than they are worth (17 µs
/// to add one, 334 MB for a million).
const LARGEST_FOR_HOST_ROUTES: u8 = 20;

impl HomeRoutes {
    /// What fits a subnet: one route only where nobody can be at home, and only if it saves many.
    pub fn fitting(prefix: Ipv4Net, has_link: bool) -> Self {
        if has_link || prefix.prefix_len() >= LARGEST_FOR_HOST_ROUTES { Self::Host } else { Self::Subnet }
    }
}

pub(in crate::config) fn validate(
    source: &Source<'_>,
    section: Spanned<HomeAgentSection>,
) -> Result<HomeAgent, ConfigError> {
    let section = section.into_inner();
    let encapsulations = encapsulation::carried(source, &section.encapsulation)?;
    let udp_keepalive = udp_keepalive(source, &section)?;
    let HostAddressText(address) = *section.address.get_ref();
    let subnets_at = section.subnets.span();
    let mut subnets: Vec<HomeSubnet> = Vec::new();
    for subnet in section.subnets.into_inner() {
        let subnet = subnet.into_inner();
        let PrefixText(prefix) = *subnet.prefix.get_ref();
        if !(8..=30).contains(&prefix.prefix_len()) {
            let message = format!("home subnet {prefix} is too large or too small: write a prefix length from 8 to 30");
            return Err(source.error(&subnet.prefix.span(), message));
        }
        if let Some(other) = subnets.iter().find(|other| overlap(other.prefix, prefix)) {
            let message = format!("home subnet {prefix} overlaps {}: make the subnets disjoint", other.prefix);
            return Err(source.error(&subnet.prefix.span(), message));
        }
        subnets.push(HomeSubnet { prefix, interface: subnet.interface, routes: subnet.routes });
    }
    if subnets.is_empty() {
        return Err(source.error(&subnets_at, "subnets is empty: name at least one home subnet and its interface"));
    }
    if subnets.len() > MAXIMUM_HOME_SUBNETS {
        let message = format!("{} home subnets are too many: write at most {MAXIMUM_HOME_SUBNETS}", subnets.len());
        return Err(source.error(&subnets_at, message));
    }
    if !subnets.iter().any(|subnet| subnet.prefix.contains(&address)) {
        let message = format!(
            "home agent address {address} is in none of its subnets: use this box's address in one of them \
             (access points derive the subnet from it)",
        );
        return Err(source.error(&section.address.span(), message));
    }
    let window = Duration::from_secs(1)..=Duration::from_hours(1);
    let identities = identities(source, section.identities, &subnets)?;
    let maximum_bindings =
        count(source, "maximum-bindings", section.maximum_bindings.as_ref(), 1 << 24, MAXIMUM_BINDINGS)?;
    Ok(HomeAgent {
        encapsulations,
        udp_tunnel: section.udp_tunnel,
        udp_keepalive,
        revocation: section.revocation,
        answer_broadcast_probes: section.answer_broadcast_probes,
        answer_unicast_probes: section.answer_unicast_probes,
        mss_clamp: section.mss_clamp,
        broadcast: section.broadcast,
        allowed_proxies: section.allowed_proxies,
        identities,
        address: HomeAgentAddress(address),
        subnets,
        maximum_lifetime: section.maximum_lifetime.map_or(MAXIMUM_LIFETIME, |LifetimeText(lifetime)| lifetime),
        replay_window: duration(source, "replay-window", section.replay_window.as_ref(), window, REPLAY_WINDOW)?,
        reverse_tunnel: section.reverse_tunnel,
        advertisement_interval: advertisement_interval(source, section.advertisement_interval.as_ref())?,
        maximum_bindings,
        maximum_tunnels: count(
            source,
            "maximum-tunnels",
            section.maximum_tunnels.as_ref(),
            1 << 24,
            MAXIMUM_TUNNELS.min(maximum_bindings),
        )?,
        maximum_slots: count(source, "maximum-slots", section.maximum_slots.as_ref(), MAXIMUM_SLOTS, DEFAULT_SLOTS)?,
        simultaneous_bindings: count(
            source,
            "simultaneous-bindings",
            section.simultaneous_bindings.as_ref(),
            COPIES_LENGTH as u32,
            1,
        )?,
    })
}

/// Names of clients, each once, with addresses that we serve.
fn identities(
    source: &Source<'_>,
    entries: Vec<Spanned<IdentityEntry>>,
    subnets: &[HomeSubnet],
) -> Result<BTreeMap<Nai, HomeAddress>, ConfigError> {
    let mut identities = BTreeMap::new();
    for entry in entries {
        let (at, IdentityEntry { nai: text, home_address: HostAddressText(address) }) =
            (entry.span(), entry.into_inner());
        let Some(nai) = Nai::new(&text) else {
            return Err(source.error(&at, "nai is empty or longer than 255 bytes: write it like user@realm"));
        };
        if !subnets.iter().any(|subnet| subnet.prefix.contains(&address)) {
            let message = format!("home address {address} of {text} is in none of the subnets: correct one of them");
            return Err(source.error(&at, message));
        }
        if identities.insert(nai, HomeAddress(address)).is_some() {
            return Err(source.error(&at, format!("nai {text} has a home address already: write it once")));
        }
    }
    Ok(identities)
}

/// How long the other ends of tunnels over UDP may be silent. The interval is sent as seconds in 16 bits.
fn udp_keepalive(source: &Source<'_>, section: &HomeAgentSection) -> Result<Duration, ConfigError> {
    let bounds = UdpTunnel::SHORTEST_KEEPALIVE..=Duration::from_secs(u16::MAX.into());
    if let Some(given) = section.udp_keepalive.as_ref().filter(|_| section.udp_tunnel == UdpTunnelPolicy::Off) {
        let message = "udp-keepalive without udp-tunnel does nothing: write udp-tunnel = \"on\", or leave it out";
        return Err(source.error(&given.span(), message));
    }
    duration(source, "udp-keepalive", section.udp_keepalive.as_ref(), bounds, UdpTunnel::KEEPALIVE)
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}
