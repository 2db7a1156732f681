//! `[access-point]`: the box that visiting clients associate with.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use ipnet::Ipv4Net;
use mipd_common::{mac::MacAddress, maps::LIST_LENGTH};
use serde::Deserialize;
use toml::Spanned;

use super::{count, duration, encapsulation};
use crate::mobility::{
    proxy::{self, ReverseTunnelPolicy},
    tunnel::{Delivery, Encapsulation},
};
use crate::{
    config::{
        document::{AccessPointSection, ClientEntry, RadioEntry, SubnetMapText},
        error::{ConfigError, Source},
        secret,
        values::{HostAddressText, InterfaceName, MacText, MaskText},
    },
    wire::{
        authentication::Key,
        types::{HomeAgentAddress, Lifetime},
    },
};

const REGISTRATION_LIFETIME: Lifetime = Lifetime(600);
const HOSTAPD: &str = "/var/run/hostapd";
const MAXIMUM_CLIENTS: u32 = 4096;
const REMEMBERED_ADDRESSES: u32 = 4096;
/// A day: what DHCP servers commonly lease an address for.
const REMEMBER_FOR: Duration = Duration::from_hours(24);
/// How many access points may be authoritative.
const MAXIMUM_AUTHORITATIVE: usize = 3;
/// The port of the agents themselves (RFC 5944 §3.3).
const MOBILE_IP_PORT: u16 = 434;

/// The access point role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessPoint {
    /// The wired interface towards the agents, a port of the bridge.
    pub uplink: InterfaceName,
    /// The bridge of uplink and radios.
    pub bridge: InterfaceName,
    /// Where clients are; at least one.
    pub radios: Vec<Radio>,
    /// Static entries of the subnet map.
    pub subnet_map: Vec<SubnetMapEntry>,
    /// Access points that tell each other the subnet map; `None`: the static entries are all there is.
    pub exchange: Option<SubnetMapExchange>,
    /// The lifetime asked for.
    pub registration_lifetime: Lifetime,
    /// Encapsulations asked for, the most wanted first.
    pub encapsulations: Vec<Encapsulation>,
    /// Whether a reverse tunnel is asked for.
    pub reverse_tunnel: ReverseTunnelPolicy,
    /// How clients' packets reach the foreign agent where there is a reverse tunnel.
    pub delivery: Delivery,
    /// Whether home agents are asked for broadcasts of the home networks.
    pub broadcast: bool,
    /// Whether requests say whom they are for and how that client is attached (RFC 5563).
    pub proxy_extensions: bool,
    /// Subnets of the access point itself; empty: the bridge's prefixes.
    pub local_subnets: Vec<Ipv4Net>,
    /// What happens to visitors' IPv6.
    pub visitor_ipv6: VisitorIpv6,
    /// UDP source port of requests; `None`: a free one is picked.
    pub registration_port: Option<u16>,
    /// Clients beyond this number are not served.
    pub maximum_clients: u32,
    /// How long a client that is silent, but answers, is left alone at most before it is asked again.
    pub idle_timeout: Duration,
    /// How many stations' addresses are remembered beyond their stay.
    pub remembered_addresses: u32,
    /// For how long.
    pub remember_for: Duration,
    /// The addresses of clients that the operator knows.
    pub clients: Vec<StaticClient>,
}

/// A client whose address the operator knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaticClient {
    /// The client.
    pub mac: MacAddress,
    /// Its address.
    pub address: Ipv4Addr,
}

/// One radio (or any interface) with clients behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Radio {
    /// Its interface.
    pub interface: InterfaceName,
    /// Its network name, for people.
    pub ssid: Option<String>,
    /// Whether visiting clients are served here.
    pub proxy_mobile_ip: bool,
    /// Where hostapd has its control sockets; `None`: it is not listened to.
    pub hostapd: Option<PathBuf>,
    /// Whether the kernel's wireless subsystem is listened to.
    pub nl80211: bool,
    /// Static entries of the subnet map for its clients alone; they count before those for all.
    pub subnet_map: Vec<SubnetMapEntry>,
}

/// How access points tell each other the subnet map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubnetMapExchange {
    /// The authoritative access points, names or addresses, in order; one to three.
    pub authoritative: Vec<String>,
    /// What all access points share.
    pub key: Key,
}

/// A home subnet and its home agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubnetMapEntry {
    /// The home agent.
    pub home_agent: HomeAgentAddress,
    /// The subnet: home agent and mask.
    pub prefix: Ipv4Net,
    /// The DHCP server of its clients; `None`: the home agent's router serves or relays DHCP.
    pub dhcp_server: Option<Ipv4Addr>,
}

/// What an access point does with IPv6 of visitors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisitorIpv6 {
    /// Bridged like a local client's.
    #[default]
    Bridge,
    /// Dropped.
    Drop,
}

pub(in crate::config) fn validate(
    source: &Source<'_>,
    section: Spanned<AccessPointSection>,
) -> Result<AccessPoint, ConfigError> {
    let mut section = section.into_inner();
    let exchange = exchange(source, &mut section)?;
    let (uplink, bridge) = (&section.uplink, &section.bridge);
    if uplink.get_ref() == bridge.get_ref() {
        let message = format!("uplink and bridge are both {}: the uplink is a port of the bridge", uplink.get_ref());
        return Err(source.error(&bridge.span(), message));
    }
    let radios = radios(source, &section)?;
    let subnet_map = subnet_map(source, &section.subnet_map)?;
    if section.local_subnets.len() > LIST_LENGTH {
        let message =
            format!("{} local subnets are too many: write at most {LIST_LENGTH}", section.local_subnets.len());
        return Err(source.error(&section.local_subnets[LIST_LENGTH].span(), message));
    }
    if let Some(port) = section.registration_port.as_ref().filter(|port| [0, MOBILE_IP_PORT].contains(port.get_ref())) {
        let message = format!("registration-port {} cannot be used: write another, or leave it out", port.get_ref());
        return Err(source.error(&port.span(), message));
    }
    Ok(AccessPoint {
        radios,
        encapsulations: encapsulation::distinct(source, &section.encapsulation)?,
        proxy_extensions: section.proxy_extensions,
        subnet_map,
        exchange,
        registration_lifetime: section
            .registration_lifetime
            .map_or(REGISTRATION_LIFETIME, |lifetime| lifetime.into_inner().0),
        reverse_tunnel: section.reverse_tunnel,
        delivery: section.delivery,
        broadcast: section.broadcast,
        local_subnets: section.local_subnets.iter().map(|prefix| prefix.get_ref().0).collect(),
        visitor_ipv6: section.visitor_ipv6,
        registration_port: section.registration_port.map(Spanned::into_inner),
        maximum_clients: count(source, "maximum-clients", section.maximum_clients.as_ref(), 1 << 20, MAXIMUM_CLIENTS)?,
        idle_timeout: duration(
            source,
            "idle-timeout",
            section.idle_timeout.as_ref(),
            Duration::from_secs(2)..=Duration::from_hours(1),
            proxy::Config::IDLE_TIMEOUT,
        )?,
        remembered_addresses: count(
            source,
            "remembered-addresses",
            section.remembered_addresses.as_ref(),
            1 << 20,
            REMEMBERED_ADDRESSES,
        )?,
        remember_for: duration(
            source,
            "remember-addresses-for",
            section.remember_addresses_for.as_ref(),
            Duration::from_mins(1)..=Duration::from_hours(24 * 365),
            REMEMBER_FOR,
        )?,
        clients: static_clients(source, &section.clients)?,
        uplink: section.uplink.into_inner(),
        bridge: section.bridge.into_inner(),
    })
}

fn exchange(source: &Source<'_>, section: &mut AccessPointSection) -> Result<Option<SubnetMapExchange>, ConfigError> {
    let (inline, file) = (section.subnet_map_key.take(), section.subnet_map_key_file.take());
    let key = secret::named_key(source, "subnet-map-key", inline, file)?;
    let mut authoritative: Vec<String> = Vec::new();
    for entry in &section.authoritative {
        let name = entry.get_ref();
        if !is_host(name) {
            let message = format!("`{name}` is no host name and no IPv4 address: correct it");
            return Err(source.error(&entry.span(), message));
        }
        if authoritative.contains(name) {
            return Err(source.error(&entry.span(), format!("{name} is authoritative already: name each once")));
        }
        if authoritative.len() == MAXIMUM_AUTHORITATIVE {
            let message = format!("more than {MAXIMUM_AUTHORITATIVE} authoritative access points: keep the first ones");
            return Err(source.error(&entry.span(), message));
        }
        authoritative.push(name.clone());
    }
    match (key, section.authoritative.first()) {
        (Some((key, _)), Some(_)) => Ok(Some(SubnetMapExchange { authoritative, key })),
        (None, Some(first)) => {
            let message = "authoritative access points without a key: add subnet-map-key-file = \"PATH\", with the key \
                           that all access points share";
            Err(source.error(&first.span(), message))
        }
        (Some((_, at)), None) => {
            let message = "a key for the subnet map, but nobody to exchange it with: name one to three access points in \
                           authoritative";
            Err(source.error(&at, message))
        }
        (None, None) => Ok(None),
    }
}

/// Whether a text can be a host name (RFC 1123 §2.1) or an IPv4 address.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.len() <= 128 && text.split('.').all(is_label) && (!numeric || text.parse::<Ipv4Addr>().is_ok())
}

impl AccessPoint {
    /// All static entries of the subnet map, those of single radios too.
    pub fn subnet_map_entries(&self) -> impl Iterator<Item = &SubnetMapEntry> {
        self.subnet_map.iter().chain(self.radios.iter().flat_map(|radio| &radio.subnet_map))
    }
}

fn radios(source: &Source<'_>, section: &AccessPointSection) -> Result<Vec<Radio>, ConfigError> {
    let mut radios: Vec<Radio> = Vec::new();
    for RadioEntry { interface, ssid, proxy_mobile_ip, hostapd, nl80211, subnet_map: entries } in
        section.radios.get_ref()
    {
        let name = interface.get_ref();
        let taken = if name == section.uplink.get_ref() {
            Some("the uplink")
        } else if name == section.bridge.get_ref() {
            Some("the bridge")
        } else {
            radios.iter().any(|radio| radio.interface == *name).then_some("another radio")
        };
        if let Some(taken) = taken {
            let message = format!("radio {name} is already {taken}: name an interface with clients behind it");
            return Err(source.error(&interface.span(), message));
        }
        if let Some(ssid) = ssid.as_ref().filter(|ssid| !(1..=32).contains(&ssid.get_ref().len())) {
            return Err(source.error(&ssid.span(), "an ssid has 1 to 32 bytes: correct it, or leave it out"));
        }
        radios.push(Radio {
            interface: name.clone(),
            ssid: ssid.as_ref().map(|ssid| ssid.get_ref().clone()),
            proxy_mobile_ip: *proxy_mobile_ip,
            hostapd: hostapd_directory(source, hostapd.as_ref())?,
            nl80211: *nl80211,
            subnet_map: subnet_map(source, entries)?,
        });
    }
    if radios.is_empty() {
        return Err(source.error(&section.radios.span(), "radios is empty: name at least one interface with clients"));
    }
    Ok(radios)
}

/// `off`, or a directory.
fn hostapd_directory(source: &Source<'_>, given: Option<&Spanned<PathBuf>>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(given) = given else { return Ok(Some(HOSTAPD.into())) };
    let path = given.get_ref();
    match path.to_str() {
        Some("off") => Ok(None),
        _ if path.is_absolute() => Ok(Some(path.clone())),
        _ => {
            let message = format!("hostapd `{}`: write the directory of its control sockets, or off", path.display());
            Err(source.error(&given.span(), message))
        }
    }
}

fn static_clients(source: &Source<'_>, entries: &[Spanned<ClientEntry>]) -> Result<Vec<StaticClient>, ConfigError> {
    let mut clients: Vec<StaticClient> = Vec::new();
    for entry in entries {
        let ClientEntry { mac: MacText(mac), address: HostAddressText(address) } = *entry.get_ref();
        if let Some(other) = clients.iter().find(|other| other.mac == mac || other.address == address) {
            let message = format!(
                "client {mac} with {address}: {} already has {}: keep one of the two",
                other.mac, other.address
            );
            return Err(source.error(&entry.span(), message));
        }
        clients.push(StaticClient { mac, address });
    }
    Ok(clients)
}

fn subnet_map(source: &Source<'_>, entries: &[Spanned<SubnetMapText>]) -> Result<Vec<SubnetMapEntry>, ConfigError> {
    let mut map: Vec<SubnetMapEntry> = Vec::new();
    for entry in entries {
        let SubnetMapText { home_agent: HostAddressText(home_agent), mask: MaskText(length), dhcp_server } =
            *entry.get_ref();
        let Ok(prefix) = Ipv4Net::new(home_agent, length).map(|prefix| prefix.trunc()) else {
            return Err(source.error(&entry.span(), "mask is longer than an address: write it like 255.255.255.0"));
        };
        if let Some(other) = map.iter().find(|other| other.prefix == prefix) {
            let message = format!("subnet {prefix} already has home agent {}: keep one of the two", other.home_agent);
            return Err(source.error(&entry.span(), message));
        }
        let dhcp_server = dhcp_server.map(|HostAddressText(address)| address);
        map.push(SubnetMapEntry { home_agent: HomeAgentAddress(home_agent), prefix, dhcp_server });
    }
    Ok(map)
}
