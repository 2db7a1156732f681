//! Who has which address, and the settings that each role gets.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use mipd_agent::{
    mobility::{
        discovery::AdvertiserConfig,
        foreign_agent::{self, AccessInterface, RevocationPolicy},
        home_agent::{self, HomeSubnet},
        link::InterfaceIndex,
        proxy,
        security::{MobileHomeAssociations, Peer, PeerAssociations, SecurityAssociation},
        subnet_map::SubnetMap,
        tunnel::Encapsulation,
    },
    wire::{
        authentication::{Algorithm, Key},
        types::{CareOfAddress, HomeAgentAddress, Lifetime, Spi},
    },
};
use mipd_common::mac::MacAddress;

use crate::scenario::{Conditions, Scenario};

/// A router's interface on its subnet.
pub const ACCESS: InterfaceIndex = InterfaceIndex(2);
/// A router's interface towards the other routers.
pub const CORE: InterfaceIndex = InterfaceIndex(3);
/// An access point's wired interface.
pub const UPLINK: InterfaceIndex = InterfaceIndex(4);
/// An access point's wireless interface.
pub const RADIO: InterfaceIndex = InterfaceIndex(5);

/// How often something must go through a NAT: it forgets after twice that time.
pub const KEEPALIVE: Duration = Duration::from_secs(20);
/// What a NAT makes of the port of registrations.
pub const TRANSLATED_PORT: u16 = 23_434;

const PREFIX_LENGTH: u8 = 20;
/// The first host number of a client in its home subnet.
const FIRST_CLIENT: u32 = 1024;
/// The first host number of an access point.
const FIRST_ACCESS_POINT: u32 = 16;

/// The first address of a NAT.
const FIRST_TRANSLATED: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);

/// Addresses and keys of a campus.
#[derive(Debug)]
pub struct Topology {
    scenario: Scenario,
    conditions: Conditions,
    home_agents: Vec<usize>,
    mobile_home: Arc<MobileHomeAssociations>,
    foreign_home: Arc<PeerAssociations>,
    mobile_foreign: Arc<PeerAssociations>,
    subnet_map: SubnetMap,
}

impl Topology {
    /// The campus of a scenario.
    pub fn new(scenario: Scenario, conditions: Conditions) -> Self {
        let home_agents: Vec<_> = (0..scenario.subnets()).filter(|subnet| scenario.is_home_agent(*subnet)).collect();
        let keys = home_agents.iter().map(|subnet| {
            let key = SecurityAssociation { replay: conditions.replay, ..association(256, *subnet) };
            (subnet_prefix(*subnet).into(), key)
        });
        let mobile_home = MobileHomeAssociations::new(keys).unwrap_or_default();
        let agents = conditions.agents_share_keys.then(|| (Peer::Any, association(1000, 0xa9e7)));
        let foreign_home = PeerAssociations::new(agents).unwrap_or_default();
        let visits = conditions.mobile_foreign.then(|| (Peer::Any, association(2000, 0xf0e1)));
        let mobile_foreign = PeerAssociations::new(visits).unwrap_or_default();
        let entries = home_agents
            .iter()
            .map(|subnet| (HomeAgentAddress(router_address(*subnet)), subnet_prefix(*subnet).netmask()));
        let subnet_map = SubnetMap::from_entries(entries).unwrap_or_default();
        Self {
            scenario,
            conditions,
            home_agents,
            mobile_home: Arc::new(mobile_home),
            foreign_home: Arc::new(foreign_home),
            mobile_foreign: Arc::new(mobile_foreign),
            subnet_map,
        }
    }

    /// The home subnet of a client.
    pub fn home_of(&self, client: usize) -> usize {
        self.home_agents[client % self.home_agents.len()]
    }

    /// The home address of a client.
    pub fn client_address(&self, client: usize) -> Ipv4Addr {
        host(self.home_of(client), FIRST_CLIENT + (client / self.home_agents.len()) as u32)
    }

    /// The client with this home address.
    pub fn client_with(&self, address: Ipv4Addr) -> Option<usize> {
        let (subnet, number) = place(address)?;
        let place = self.home_agents.binary_search(&subnet).ok()?;
        let rank = number.checked_sub(FIRST_CLIENT)? as usize;
        let client = rank * self.home_agents.len() + place;
        (client < self.scenario.clients).then_some(client)
    }

    /// The router with this address.
    pub fn router_with(&self, address: Ipv4Addr) -> Option<usize> {
        place(address)
            .filter(|(subnet, number)| *number == 1 && *subnet < self.scenario.subnets())
            .map(|(subnet, _)| subnet)
    }

    /// What the NAT before a router makes of its address.
    pub fn translation(&self, router: usize) -> Option<Ipv4Addr> {
        let is_behind = self.conditions.translated && !self.scenario.is_home_agent(router);
        is_behind.then(|| Ipv4Addr::from(u32::from(FIRST_TRANSLATED) + router as u32))
    }

    /// The router behind the NAT with this address.
    pub fn router_behind(&self, address: Ipv4Addr) -> Option<usize> {
        let router = u32::from(address).checked_sub(u32::from(FIRST_TRANSLATED))? as usize;
        (router < self.scenario.subnets() && self.translation(router).is_some()).then_some(router)
    }

    /// The subnet of an access point.
    pub fn subnet_of(&self, access_point: usize) -> usize {
        access_point % self.scenario.subnets()
    }

    /// The settings of a home agent that chooses keys and nonces by a seed.
    pub fn home_agent(&self, subnet: usize, seed: u64) -> home_agent::Config {
        let subnets = vec![HomeSubnet { prefix: subnet_prefix(subnet), interface: ACCESS }];
        home_agent::Config {
            encapsulations: Encapsulation::ALL.into_iter().collect(),
            maximum_bindings: self.maximum_bindings(),
            simultaneous_bindings: self.conditions.simultaneous_bindings,
            udp_tunnel: Some(home_agent::UdpTunnelling { forced: false, keepalive: KEEPALIVE }),
            maximum_lifetime: self.maximum_lifetime(),
            revocation: self.conditions.revocation,
            seed,
            mobile_home: Arc::clone(&self.mobile_home),
            foreign_home: Arc::clone(&self.foreign_home),
            ..home_agent::Config::new(HomeAgentAddress(router_address(subnet)), subnets)
        }
    }

    /// How many bindings a home agent may have: exactly as many as its clients can have.
    pub fn maximum_bindings(&self) -> usize {
        self.scenario.clients.div_ceil(self.home_agents.len()) * self.conditions.simultaneous_bindings
    }

    /// What signs the requests of clients that want to keep their former bindings.
    pub fn keeper(&self) -> Option<Arc<MobileHomeAssociations>> {
        (self.conditions.simultaneous_bindings > 1).then(|| Arc::clone(&self.mobile_home))
    }

    /// What agents grant at most.
    fn maximum_lifetime(&self) -> Lifetime {
        self.conditions.lifetime.max(Lifetime(36_000))
    }

    /// The settings of a foreign agent.
    pub fn foreign_agent(&self, subnet: usize) -> foreign_agent::Config {
        let address = router_address(subnet);
        let is_home_agent = self.scenario.is_home_agent(subnet);
        foreign_agent::Config {
            own_home_agents: is_home_agent.then_some(address).into_iter().collect(),
            encapsulations: Encapsulation::ALL.into_iter().collect(),
            maximum_lifetime: self.maximum_lifetime(),
            maximum_visitors: self.scenario.clients + 1024,
            foreign_home: Arc::clone(&self.foreign_home),
            mobile_foreign: Arc::clone(&self.mobile_foreign),
            challenge_window: self.conditions.challenges.then_some(2),
            gre_key: self.conditions.gre_key,
            udp_tunnel: self
                .conditions
                .translated
                .then_some(foreign_agent::UdpTunnelling { forced: false, everything_translated: false }),
            revocation: self.conditions.revocation.then_some(RevocationPolicy { inform: true }),
            ..foreign_agent::Config::new(CareOfAddress(address), vec![AccessInterface { interface: ACCESS, address }])
        }
    }

    /// What a router advertises on its subnet.
    pub fn advertiser(&self, subnet: usize) -> AdvertiserConfig {
        let address = router_address(subnet);
        let router = AdvertiserConfig {
            home_agent: self.scenario.is_home_agent(subnet),
            ..AdvertiserConfig::new(ACCESS, address, PREFIX_LENGTH)
        };
        if self.scenario.is_foreign_agent(subnet) { router.offering(&self.foreign_agent(subnet)) } else { router }
    }

    /// The settings of an access point.
    pub fn proxy(&self, subnet: usize) -> proxy::Config {
        proxy::Config {
            subnet_map: self.subnet_map.clone(),
            associations: Arc::clone(&self.mobile_home),
            registration_lifetime: self.conditions.lifetime,
            reverse_tunnel: self.conditions.reverse_tunnel,
            encapsulations: vec![self.conditions.encapsulation],
            mobile_foreign: Arc::clone(&self.mobile_foreign),
            // Our home agents stand in for the clients' AAA servers.
            mobile_aaa: Arc::clone(&self.mobile_home),
            ..proxy::Config::new(UPLINK, vec![subnet_prefix(subnet)])
        }
    }
}

/// The prefix of a subnet.
pub fn subnet_prefix(subnet: usize) -> Ipv4Net {
    Ipv4Net::new_assert(host(subnet, 0), PREFIX_LENGTH)
}

/// A router's address: home agent's, foreign agent's and care-of address in one.
pub fn router_address(subnet: usize) -> Ipv4Addr {
    host(subnet, 1)
}

/// An access point's own address.
pub fn access_point_address(subnet: usize, access_point: usize) -> Ipv4Addr {
    host(subnet, FIRST_ACCESS_POINT + (access_point % 1000) as u32)
}

/// A router's Ethernet address on its subnet.
pub fn router_mac(subnet: usize) -> MacAddress {
    mac(0xf0, subnet)
}

/// A client's Ethernet address.
pub fn client_mac(client: usize) -> MacAddress {
    mac(0xc1, client)
}

/// The client with this Ethernet address.
pub fn client_with_mac(mac: MacAddress) -> Option<usize> {
    let [2, 0xc1, a, b, c, d] = mac.0 else { return None };
    Some(u32::from_be_bytes([a, b, c, d]) as usize)
}

/// An access point's Ethernet address.
pub fn access_point_mac(access_point: usize) -> MacAddress {
    mac(0xa0, access_point)
}

fn mac(kind: u8, index: usize) -> MacAddress {
    let [a, b, c, d] = (index as u32).to_be_bytes();
    MacAddress([2, kind, a, b, c, d])
}

fn host(subnet: usize, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + ((subnet as u32) << (32 - PREFIX_LENGTH)) + number)
}

fn place(address: Ipv4Addr) -> Option<(usize, u32)> {
    let offset = u32::from(address).checked_sub(u32::from(Ipv4Addr::new(10, 0, 0, 0)))?;
    (offset < 1 << 24)
        .then_some(((offset >> (32 - PREFIX_LENGTH)) as usize, offset & ((1 << (32 - PREFIX_LENGTH)) - 1)))
}

fn association(spi: u32, secret: usize) -> SecurityAssociation {
    let key: Vec<u8> = (0..16).map(|byte: u8| byte ^ (secret >> (byte % 4 * 8)) as u8).collect();
    let key = Key::from_bytes(key).expect("sixteen bytes are a key");
    SecurityAssociation::new(Spi::new(spi).expect("an SPI beyond the reserved ones"), Algorithm::HmacMd5, key)
}
