//! What the configuration means on this machine, and the settings that it gives each part.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use rand::RngExt as _;

use super::{
    DaemonError,
    access_point::{self, AccessPoint},
    broadcasts::BroadcastForwarder,
    inputs::Inputs,
    ports::{Port, RadioSettings},
    router::{self, Router},
    subnet_map::SubnetMapService,
};
use crate::{
    config::{Config, HomeRoutes, InterfaceName, PeerKind, SubnetMapEntry, UdpTunnelPolicy, VisitorIpv6},
    dataplane::{self, Mark, Network, VisitSettings},
    io::{encapsulated::EncapsulatingSocket, frames::Want, raw_ip::RawSocket, udp::RegistrationSocket},
    mobility::{
        discovery::{
            advertiser::{Advertiser, AdvertiserConfig},
            listener::Listener,
        },
        foreign_agent::{self, AccessInterface, ForeignAgent, RevocationPolicy},
        home_agent::{self, HomeAgent, HomeSubnet},
        link::InterfaceIndex,
        proxy::{self, Proxy},
        security::{MobileHomeAssociations, PeerAssociations},
        subnet_map::{SubnetMap, SubnetMapError},
        time::{Instant, Now},
    },
    stations::{memory::Memory, roster::Roster},
    wire::{
        proxy_mode::AccessTechnology,
        types::{CareOfAddress, HomeAgentAddress, Lifetime},
    },
};

/// Registrations of all visitors together that may wait for their home agents.
const MAXIMUM_PENDING: usize = 4096;
/// The same for one visitor (RFC 5944 §3.7.1 calls 5 typical).
const MAXIMUM_PENDING_PER_CLIENT: usize = 5;
/// Challenges of an interface that may still be answered (RFC 4721 §12).
const CHALLENGE_WINDOW: usize = 2;
/// Of an agent that the configuration gives none (RFC 5944 §2.3 leaves it open; clients are lost for three intervals).
const DEFAULT_ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(3);
/// Where access points take the source port of requests from, if none is configured: the dynamic ports.
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

/// The configuration, put beside the interfaces and addresses of this machine.
#[derive(Debug)]
pub struct Plan {
    network: Network,
    mobile_home: Arc<MobileHomeAssociations>,
    mobile_foreign: Arc<PeerAssociations>,
    foreign_home: Arc<PeerAssociations>,
    registration_port: u16,
    care_of_address: Option<CareOfAddress>,
}

impl Plan {
    /// Reads interfaces and addresses, and checks that what the roles need of them is there.
    pub fn new(config: &Config) -> Result<Self, DaemonError> {
        let network = Network::read()?;
        let must_be_ours = |what, address: Ipv4Addr| {
            if network.addresses().any(|own| own == address) {
                Ok(())
            } else {
                Err(DaemonError::NotOurs { what, address })
            }
        };
        if let Some(home_agent) = &config.home_agent {
            must_be_ours("home-agent address", home_agent.address.0)?;
        }
        if let Some(foreign_agent) = &config.foreign_agent {
            must_be_ours("care-of-address", foreign_agent.care_of_address.0)?;
        }
        let configured_port = config.access_point.as_ref().and_then(|access_point| access_point.registration_port);
        Ok(Self {
            mobile_home: Arc::new(mobile_home(config)?),
            mobile_foreign: Arc::new(peers(config, PeerKind::MobileForeign)?),
            foreign_home: Arc::new(peers(config, PeerKind::ForeignHome)?),
            registration_port: configured_port.unwrap_or_else(|| rand::rng().random_range(DYNAMIC_PORTS)),
            care_of_address: config.foreign_agent.as_ref().map(|agent| agent.care_of_address),
            network,
        })
    }

    /// The care-of address that visitors of this box have.
    pub fn own_care_of_address(&self) -> Option<CareOfAddress> {
        self.care_of_address
    }

    /// An interface's name.
    pub fn name(&self, interface: InterfaceIndex) -> String {
        self.network.name(interface.0).map_or_else(|| format!("if{}", interface.0), str::to_owned)
    }

    /// The data plane's settings.
    pub fn data_plane(&self, config: &Config) -> dataplane::Settings {
        dataplane::Settings {
            bpffs_dir: config.agent.bpffs_dir.clone(),
            state_dir: config.agent.state_dir.clone(),
            interfaces: self.interfaces(config),
            home: config.home_agent.as_ref().map(|home_agent| dataplane::HomeSettings {
                address: home_agent.address.0,
                subnets: home_agent
                    .subnets
                    .iter()
                    .map(|subnet| dataplane::HomeSubnetSettings {
                        prefix: subnet.prefix,
                        interface: subnet.interface.as_str().to_owned(),
                        routes: self.home_routes(subnet),
                    })
                    .collect(),
                maximum_tunnels: home_agent.maximum_tunnels,
                maximum_bindings: home_agent.maximum_bindings,
                maximum_slots: home_agent.maximum_slots,
                mss_clamp: home_agent.mss_clamp,
            }),
            visit: config.foreign_agent.as_ref().map(|foreign_agent| VisitSettings {
                care_of_address: foreign_agent.care_of_address.0,
                maximum_visitors: foreign_agent.maximum_visitors,
                maximum_tunnels: foreign_agent.maximum_tunnels,
                mss_clamp: foreign_agent.mss_clamp,
                mark: Mark::default(),
                table: VisitSettings::DEFAULT_TABLE,
            }),
            access_point: config.access_point.as_ref().map(|access_point| dataplane::AccessPointSettings {
                bridge: access_point.bridge.as_str().to_owned(),
                uplink: access_point.uplink.as_str().to_owned(),
                radios: radios(access_point).map(|name| name.as_str().to_owned()).collect(),
                own_subnets: self.own_subnets(access_point),
                registration_port: self.registration_port,
                drop_visitor_ipv6: access_point.visitor_ipv6 == VisitorIpv6::Drop,
                maximum_stations: access_point.maximum_clients,
            }),
        }
    }

    /// How a home subnet's away clients are routed: as configured, or as fits.
    fn home_routes(&self, subnet: &crate::config::HomeSubnet) -> dataplane::HomeRoutes {
        let covers = |address: Ipv4Net| address.contains(&subnet.prefix);
        let has_link = self.network.addresses_of(subnet.interface.as_str()).any(covers);
        match subnet.routes.unwrap_or_else(|| HomeRoutes::fitting(subnet.prefix, has_link)) {
            HomeRoutes::Host => dataplane::HomeRoutes::Host,
            HomeRoutes::Subnet => dataplane::HomeRoutes::Subnet,
        }
    }

    /// Which interfaces carry programs, and in which roles.
    fn interfaces(&self, config: &Config) -> Vec<dataplane::InterfaceSettings> {
        let mut roles: Vec<(String, dataplane::Roles)> = Vec::new();
        let mut add = |name: &str, set: fn(&mut dataplane::Roles)| {
            let place = roles.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                roles.push((name.to_owned(), dataplane::Roles::default()));
                roles.len() - 1
            });
            set(&mut roles[place].1);
        };
        for subnet in config.home_agent.iter().flat_map(|home_agent| &home_agent.subnets) {
            add(subnet.interface.as_str(), |roles| roles.home = true);
        }
        for interface in config.foreign_agent.iter().flat_map(|foreign_agent| &foreign_agent.interfaces) {
            add(interface.as_str(), |roles| roles.access = true);
        }
        if config.home_agent.is_some() || config.foreign_agent.is_some() {
            for name in self.core_interfaces(config) {
                add(&name, |roles| roles.core = true);
            }
        }
        if let Some(access_point) = &config.access_point {
            add(access_point.uplink.as_str(), |roles| roles.uplink = true);
            for radio in radios(access_point) {
                add(radio.as_str(), |roles| roles.radio = true);
            }
        }
        roles
            .into_iter()
            .map(|(name, roles)| {
                let fast_path = match config.fast_path(&name) {
                    crate::config::FastPath::Auto => dataplane::FastPath::Auto,
                    crate::config::FastPath::Xdp => dataplane::FastPath::Xdp,
                    crate::config::FastPath::Tc => dataplane::FastPath::Tc,
                    crate::config::FastPath::Off => dataplane::FastPath::Off,
                };
                dataplane::InterfaceSettings { name, roles, fast_path }
            })
            .collect()
    }

    /// Towards the other agents: as configured, or wherever a route with a gateway leads.
    fn core_interfaces(&self, config: &Config) -> Vec<String> {
        match &config.agent.core_interfaces {
            Some(names) => names.iter().map(|name| name.as_str().to_owned()).collect(),
            None => self.network.gateway_interfaces().map(str::to_owned).collect(),
        }
    }

    fn own_subnets(&self, access_point: &crate::config::AccessPoint) -> Vec<Ipv4Net> {
        if access_point.local_subnets.is_empty() {
            self.network.addresses_of(access_point.bridge.as_str()).map(|address| address.trunc()).collect()
        } else {
            access_point.local_subnets.clone()
        }
    }

    fn index(&self, name: &InterfaceName) -> Result<InterfaceIndex, DaemonError> {
        Ok(InterfaceIndex(self.network.index(name.as_str())?))
    }

    fn address(&self, name: &InterfaceName) -> Result<Ipv4Net, DaemonError> {
        self.network.addresses_of(name.as_str()).next().ok_or_else(|| DaemonError::NoAddress(name.clone()))
    }

    /// The agent roles, with their sockets open.
    pub fn router(&self, config: &Config, inputs: &Inputs) -> Result<Option<Router>, DaemonError> {
        if config.home_agent.is_none() && config.foreign_agent.is_none() {
            return Ok(None);
        }
        let home_agent = self.home_agent(config)?;
        let home_agent_addresses: Vec<Ipv4Addr> = home_agent
            .iter()
            .flat_map(|settings| std::iter::once(settings.address).chain(settings.other_addresses.iter().copied()))
            .map(|address| address.0)
            .collect();
        let foreign_agent = self.foreign_agent(config, &home_agent_addresses)?;
        let mut ports = HashMap::new();
        for name in distinct(config) {
            let interface = self.index(name)?;
            let socket = inputs
                .frame_socket(interface, Want::AgentTraffic)
                .map_err(|source| DaemonError::PacketSocket { interface: name.to_string(), source })?;
            let address = self.address(name)?;
            let access = config.foreign_agent.as_ref().is_some_and(|agent| agent.interfaces.contains(name));
            let advertiser = advertiser(config, name, interface, address, foreign_agent.as_ref());
            ports.insert(
                interface,
                router::Port {
                    socket,
                    name: name.as_str().to_owned(),
                    mac: self.network.mac(name.as_str())?,
                    access,
                    advertiser: Advertiser::new(advertiser, rand::random()),
                },
            );
        }
        let socket = inputs.registration_socket().map_err(DaemonError::RegistrationPort)?;
        Ok(Some(Router {
            home_agent: home_agent.map(HomeAgent::new),
            foreign_agent: foreign_agent.map(|settings| ForeignAgent::new(settings, rand::random())),
            ports,
            broadcasts: self.broadcasts(config, inputs, &socket)?,
            socket,
            counters: router::Counters::default(),
            wanted_associations: Vec::new(),
            outgoing: Vec::new(),
        }))
    }

    /// Hears the broadcasts of the home links, if they are to be forwarded.
    fn broadcasts(
        &self,
        config: &Config,
        inputs: &Inputs,
        udp: &Arc<RegistrationSocket>,
    ) -> Result<Option<BroadcastForwarder>, DaemonError> {
        let Some(settings) = config.home_agent.as_ref().filter(|settings| settings.broadcast) else { return Ok(None) };
        let mut subnets: Vec<(Ipv4Net, InterfaceIndex)> = Vec::new();
        for subnet in &settings.subnets {
            let interface = self.index(&subnet.interface)?;
            if subnets.iter().all(|(_, known)| *known != interface) {
                inputs
                    .frame_socket(interface, Want::Broadcasts)
                    .map_err(|source| DaemonError::PacketSocket { interface: subnet.interface.to_string(), source })?;
            }
            subnets.push((subnet.prefix, interface));
        }
        let socket = EncapsulatingSocket::open().map_err(DaemonError::EncapsulatingSocket)?;
        Ok(Some(BroadcastForwarder::new(socket, Arc::clone(udp), subnets)))
    }

    fn home_agent(&self, config: &Config) -> Result<Option<home_agent::Config>, DaemonError> {
        let Some(settings) = &config.home_agent else { return Ok(None) };
        let subnets = settings
            .subnets
            .iter()
            .map(|subnet| Ok(HomeSubnet { prefix: subnet.prefix, interface: self.index(&subnet.interface)? }))
            .collect::<Result<Vec<_>, DaemonError>>()?;
        let other_addresses = self
            .network
            .addresses()
            .filter(|address| *address != settings.address.0)
            .filter(|address| subnets.iter().any(|subnet| subnet.prefix.contains(address)))
            .map(HomeAgentAddress)
            .collect();
        Ok(Some(home_agent::Config {
            other_addresses,
            maximum_lifetime: settings.maximum_lifetime,
            replay_window: settings.replay_window,
            reverse_tunnel: settings.reverse_tunnel,
            maximum_bindings: settings.maximum_bindings as usize,
            broadcast: settings.broadcast,
            simultaneous_bindings: settings.simultaneous_bindings as usize,
            mobile_home: Arc::clone(&self.mobile_home),
            foreign_home: Arc::clone(&self.foreign_home),
            revocation: settings.revocation,
            answers_probes: settings.answer_broadcast_probes,
            answers_unicast_probes: settings.answer_unicast_probes,
            proxies: settings.allowed_proxies.clone(),
            identities: settings.identities.clone(),
            encapsulations: settings.encapsulations,
            udp_tunnel: match settings.udp_tunnel {
                UdpTunnelPolicy::Off => None,
                policy => Some(home_agent::UdpTunnelling {
                    forced: policy == UdpTunnelPolicy::Forced,
                    keepalive: settings.udp_keepalive,
                }),
            },
            seed: rand::random(),
            ..home_agent::Config::new(settings.address, subnets)
        }))
    }

    fn foreign_agent(
        &self,
        config: &Config,
        home_agent_addresses: &[Ipv4Addr],
    ) -> Result<Option<foreign_agent::Config>, DaemonError> {
        let Some(settings) = &config.foreign_agent else { return Ok(None) };
        let interfaces = settings
            .interfaces
            .iter()
            .map(|name| Ok(AccessInterface { interface: self.index(name)?, address: self.address(name)?.addr() }))
            .collect::<Result<Vec<_>, DaemonError>>()?;
        Ok(Some(foreign_agent::Config {
            own_addresses: self.network.addresses().collect(),
            own_home_agents: home_agent_addresses.to_vec(),
            maximum_lifetime: settings.registration_lifetime,
            encapsulations: settings.encapsulations,
            gre_key: settings.gre_key,
            udp_tunnel: settings.udp_tunnel,
            reverse_tunnel: settings.reverse_tunnel,
            encapsulating_delivery: settings.encapsulating_delivery,
            revocation: settings.revocation.then_some(RevocationPolicy { inform: true }),
            challenge_window: settings.challenge.then_some(CHALLENGE_WINDOW),
            strict_flags: settings.strict_flags,
            pending_timeout: settings.pending_timeout,
            maximum_pending: MAXIMUM_PENDING,
            maximum_pending_per_client: MAXIMUM_PENDING_PER_CLIENT,
            maximum_visitors: settings.maximum_visitors as usize,
            mobile_foreign: Arc::clone(&self.mobile_foreign),
            foreign_home: Arc::clone(&self.foreign_home),
            ..foreign_agent::Config::new(settings.care_of_address, interfaces)
        }))
    }

    /// The exchange of the subnet map, with its socket open.
    pub fn subnet_map(
        &self,
        config: &Config,
        now: Now,
        inputs: &Inputs,
    ) -> Result<Option<SubnetMapService>, DaemonError> {
        let Some(settings) = &config.access_point else { return Ok(None) };
        let Some(exchange) = &settings.exchange else { return Ok(None) };
        let address = self.address(&settings.bridge)?.addr();
        SubnetMapService::start(exchange, address, configured_subnet_map(&settings.subnet_map)?, now, inputs).map(Some)
    }

    /// The access point role, with its sockets open.
    pub fn access_point(&self, config: &Config, inputs: &Inputs) -> Result<Option<AccessPoint>, DaemonError> {
        let Some(settings) = &config.access_point else { return Ok(None) };
        let uplink = Port::open(
            settings.uplink.as_str(),
            (self.index(&settings.uplink)?, self.network.mac(settings.uplink.as_str())?),
            Want::Advertisements,
            inputs,
        )?;
        let radio_settings = settings.radios.iter().filter(|radio| radio.proxy_mobile_ip).map(|radio| {
            let name = radio.interface.as_str();
            let own = config.agent.control_socket.with_file_name(format!("hostapd-{name}"));
            let subnet_map = (!radio.subnet_map.is_empty()).then(|| configured_subnet_map(&radio.subnet_map));
            Ok(RadioSettings {
                name: name.to_owned(),
                hostapd: radio.hostapd.clone().map(|directory| (directory, own)),
                nl80211: radio.nl80211,
                subnet_map: subnet_map.transpose()?,
            })
        });
        let radio_settings = radio_settings.collect::<Result<Vec<_>, DaemonError>>()?;
        let own_subnets = self.own_subnets(settings);
        let subnet_map = configured_subnet_map(&settings.subnet_map)?;
        let names = config.security_associations.iter().filter_map(|entry| Some((entry.clients, entry.nai.clone()?)));
        let proxy = proxy::Config {
            subnet_map,
            associations: Arc::clone(&self.mobile_home),
            mobile_foreign: Arc::clone(&self.mobile_foreign),
            // Our home agent checks MN-AAA authentication in the AAA server's stead, with the key of the client.
            mobile_aaa: Arc::clone(&self.mobile_home),
            names: Arc::new(names.collect()),
            registration_lifetime: settings.registration_lifetime,
            encapsulations: settings.encapsulations.clone(),
            broadcasts: settings.broadcast,
            reverse_tunnel: settings.reverse_tunnel,
            delivery: settings.delivery,
            proxy_extensions: settings.proxy_extensions.then_some(AccessTechnology::WirelessLan),
            registration_port: self.registration_port,
            maximum_clients: settings.maximum_clients as usize,
            idle_timeout: settings.idle_timeout,
            ..proxy::Config::new(uplink.interface, own_subnets.clone())
        };
        let configured = settings.clients.iter().map(|client| (client.mac, client.address)).collect();
        let address = self.address(&settings.bridge)?.addr();
        Ok(Some(AccessPoint {
            proxy: Proxy::new(proxy, rand::random()),
            listener: Listener::new(address, rand::random()),
            own_home_agent: None,
            preferred_agent: None,
            stations: Roster::new(
                own_subnets.clone(),
                settings.maximum_clients as usize,
                Memory::new(settings.remembered_addresses as usize, settings.remember_for, configured),
            ),
            sources: std::collections::BTreeMap::new(),
            hold: crate::stations::hold::Hold::default(),
            relay_agent: crate::stations::relay::RelayAgent::default(),
            relay_socket: RawSocket::open().map_err(DaemonError::RelaySocket)?,
            dhcp_servers: settings
                .subnet_map_entries()
                .filter_map(|entry| Some((entry.home_agent, entry.dhcp_server?)))
                .collect(),
            counters: access_point::Counters::default(),
            address,
            uplink,
            radio_settings,
            radios: HashMap::new(),
            own_subnets,
            broadcast: settings.broadcast,
            registration_port: self.registration_port,
            wanted_associations: Vec::new(),
            next_activity: Instant::default(),
        }))
    }
}

/// The static entries of the subnet map.
fn configured_subnet_map(entries: &[SubnetMapEntry]) -> Result<SubnetMap, SubnetMapError> {
    SubnetMap::from_entries(entries.iter().map(|entry| (entry.home_agent, entry.prefix.netmask())))
}

/// The interfaces on which an agent role speaks, each once.
fn distinct(config: &Config) -> Vec<&InterfaceName> {
    let home = config.home_agent.iter().flat_map(|agent| agent.subnets.iter().map(|subnet| &subnet.interface));
    let access = config.foreign_agent.iter().flat_map(|agent| &agent.interfaces);
    let mut names = Vec::new();
    for name in home.chain(access) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn advertiser(
    config: &Config,
    name: &InterfaceName,
    interface: InterfaceIndex,
    address: Ipv4Net,
    foreign_agent: Option<&foreign_agent::Config>,
) -> AdvertiserConfig {
    let home = config.home_agent.as_ref().filter(|agent| agent.subnets.iter().any(|subnet| subnet.interface == *name));
    let visit = config.foreign_agent.as_ref().filter(|agent| agent.interfaces.contains(name));
    let intervals = home.map(|agent| agent.advertisement_interval).into_iter();
    let intervals = intervals.chain(visit.map(|agent| agent.advertisement_interval));
    let settings = &config.advertisement;
    let advertiser = AdvertiserConfig {
        home_agent: home.is_some(),
        registration_lifetime: Lifetime::INFINITE,
        registration_required: settings.registration_required,
        routes_common_traffic: settings.routes_common_traffic,
        preference: settings.preference,
        interval: intervals.min().unwrap_or(DEFAULT_ADVERTISEMENT_INTERVAL),
        shortest_interval: settings.shortest_interval,
        lifetime: settings.lifetime,
        limited_broadcast: settings.limited_broadcast,
        only_when_solicited: settings.only_when_solicited,
        ..AdvertiserConfig::new(interface, address.addr(), address.prefix_len())
    };
    match foreign_agent.filter(|_| visit.is_some()) {
        Some(agent) => advertiser.offering(agent),
        None => advertiser,
    }
}

fn radios(access_point: &crate::config::AccessPoint) -> impl Iterator<Item = &InterfaceName> {
    access_point.radios.iter().filter(|radio| radio.proxy_mobile_ip).map(|radio| &radio.interface)
}

fn mobile_home(config: &Config) -> Result<MobileHomeAssociations, DaemonError> {
    let entries = config.security_associations.iter().map(|entry| (entry.clients, entry.association.clone()));
    let configured = MobileHomeAssociations::new(entries)?;
    Ok(if config.radius.is_some() { configured.with_downloads() } else { configured })
}

fn peers(config: &Config, kind: PeerKind) -> Result<PeerAssociations, DaemonError> {
    let entries = config
        .peer_associations
        .iter()
        .filter(|entry| entry.kind == kind)
        .map(|entry| (entry.peer, entry.association.clone()));
    Ok(PeerAssociations::new(entries)?)
}
