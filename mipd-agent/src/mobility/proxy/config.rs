//! Settings of the proxy role.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::identity::ClientNames;
use crate::{
    mobility::{
        link::InterfaceIndex,
        security::{MobileHomeAssociations, PeerAssociations},
        subnet_map::SubnetMap,
        tunnel::{Delivery, Encapsulation},
    },
    wire::{
        proxy_mode::AccessTechnology,
        types::{HomeAddress, HomeAgentAddress, Lifetime},
    },
};

/// Settings of the proxy role.
#[derive(Clone, Debug)]
pub struct Config {
    /// The wired interface towards the agents.
    pub uplink: InterfaceIndex,
    /// The subnets of this link: a client with such an address is at home.
    pub own_subnets: Vec<Ipv4Net>,
    /// Who is whose home agent.
    pub subnet_map: SubnetMap,
    /// The same for the clients of single radios: what is in a radio's own map counts before `subnet_map`. Home networks
    /// that overlap can be told apart by the radio only.
    pub radio_subnet_maps: HashMap<InterfaceIndex, SubnetMap>,
    /// Mobile-home security associations of all potential clients.
    pub associations: Arc<MobileHomeAssociations>,
    /// Mobile-foreign security associations, by the address of the foreign agent.
    pub mobile_foreign: Arc<PeerAssociations>,
    /// What clients share with their AAA servers (RFC 4721 §5): asked for by foreign agents that challenge.
    pub mobile_aaa: Arc<MobileHomeAssociations>,
    /// Network access identifiers of clients (RFC 2794).
    pub names: Arc<ClientNames>,
    /// What to ask for; not zero.
    pub registration_lifetime: Lifetime,
    /// Encapsulations to ask for, the most wanted first. IP in IP is what remains if none of them is available: every
    /// agent has it.
    pub encapsulations: Vec<Encapsulation>,
    /// Whether to ask for reverse tunnels.
    pub reverse_tunnel: ReverseTunnelPolicy,
    /// How reverse traffic reaches the foreign agent. RFC 5563 §4 leaves a proxy the direct style only; the other one asks
    /// of the data path to encapsulate the clients' packets.
    pub delivery: Delivery,
    /// Whether to ask for the home network's broadcasts (the B bit). They come wrapped twice (RFC 5944 §4.3): to be set only
    /// where the data path strips the second header for the client.
    pub broadcasts: bool,
    /// Whether to say whom the proxy stands for, and how that client is attached (RFC 5563 §6.2).
    pub proxy_extensions: Option<AccessTechnology>,
    /// UDP source port of requests.
    pub registration_port: u16,
    /// How many clients are served at most.
    pub maximum_clients: usize,
    /// How long a client that is silent, but answers, is left alone at most before it is asked again. One that leaves without
    /// a word is noticed so much later, and three seconds.
    pub idle_timeout: Duration,
}

impl Config {
    /// What is asked for unless configured: short, because an access point can only fall silent when a client leaves.
    pub const REGISTRATION_LIFETIME: Lifetime = Lifetime(600);
    /// How many clients are served unless configured.
    pub const MAXIMUM_CLIENTS: usize = 4096;
    /// How long a silent client is left alone unless configured.
    pub const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

    /// The home agent of a client with this address behind this radio.
    pub(super) fn home_agent(&self, radio: InterfaceIndex, address: HomeAddress) -> Option<HomeAgentAddress> {
        let own = self.radio_subnet_maps.get(&radio).and_then(|map| map.home_agent(address));
        own.or_else(|| self.subnet_map.home_agent(address))
    }

    /// The home subnet of a client with this address behind this radio.
    pub(super) fn home_subnet(&self, radio: InterfaceIndex, address: HomeAddress) -> Option<Ipv4Net> {
        let own = self.radio_subnet_maps.get(&radio).and_then(|map| map.subnet(address));
        own.or_else(|| self.subnet_map.subnet(address))
    }

    /// A proxy that knows no home agents and no keys yet.
    pub fn new(uplink: InterfaceIndex, own_subnets: Vec<Ipv4Net>) -> Self {
        Self {
            uplink,
            own_subnets,
            subnet_map: SubnetMap::default(),
            radio_subnet_maps: HashMap::new(),
            associations: Arc::default(),
            mobile_foreign: Arc::default(),
            mobile_aaa: Arc::default(),
            names: Arc::default(),
            registration_lifetime: Self::REGISTRATION_LIFETIME,
            encapsulations: vec![Encapsulation::IpInIp],
            reverse_tunnel: ReverseTunnelPolicy::default(),
            delivery: Delivery::default(),
            broadcasts: false,
            proxy_extensions: None,
            registration_port: 40_434,
            maximum_clients: Self::MAXIMUM_CLIENTS,
            idle_timeout: Self::IDLE_TIMEOUT,
        }
    }
}

/// When the proxy asks for a reverse tunnel (RFC 3024).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReverseTunnelPolicy {
    /// Never.
    Never,
    /// When the foreign agent advertises it.
    #[default]
    WhenOffered,
    /// Always; clients are not served without.
    Require,
}
