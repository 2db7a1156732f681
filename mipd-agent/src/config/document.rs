//! The file as written: one struct per section, nothing checked across sections.
//!
//! No type here has `Debug`: sections hold keys.

use crate::mobility::{
    foreign_agent::GreKeyPolicy,
    proxy::ReverseTunnelPolicy,
    reverse_tunnel::ReverseTunnel,
    security::AddressRange,
    tunnel::{Delivery, Encapsulation},
};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{
    associations::{AlgorithmName, PeerKind, PeerText, ReplayName},
    roles::{HomeRoutes, UdpTunnelPolicy, VisitorIpv6},
    secret::SecretText,
    values::{
        DurationText, FastPath, HostAddressText, InterfaceName, LifetimeText, MacText, MaskText, PrefixText,
        ServerAddressText, SpiNumber,
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub agent: AgentSection,
    #[serde(default)]
    pub interface: Vec<InterfaceSection>,
    #[serde(default)]
    pub security_association: Vec<Spanned<AssociationSection>>,
    #[serde(default)]
    pub peer_association: Vec<Spanned<PeerSection>>,
    pub access_point: Option<Spanned<AccessPointSection>>,
    pub foreign_agent: Option<Spanned<ForeignAgentSection>>,
    pub home_agent: Option<Spanned<HomeAgentSection>>,
    pub advertisement: Option<Spanned<AdvertisementSection>>,
    pub radius: Option<Spanned<RadiusSection>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AgentSection {
    pub state_dir: Option<Spanned<PathBuf>>,
    pub control_socket: Option<Spanned<PathBuf>>,
    pub bpffs_dir: Option<Spanned<PathBuf>>,
    pub log: Option<Spanned<String>>,
    #[serde(default)]
    pub fast_path: FastPath,
    pub core_interfaces: Option<Vec<Spanned<InterfaceName>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct InterfaceSection {
    pub name: Spanned<InterfaceName>,
    pub fast_path: FastPath,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AssociationSection {
    pub clients: Spanned<AddressRange>,
    pub spi: Spanned<SpiNumber>,
    pub key: Option<Spanned<SecretText>>,
    pub key_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub algorithm: AlgorithmName,
    #[serde(default)]
    pub accept_any_algorithm: bool,
    #[serde(default)]
    pub replay: ReplayName,
    pub nai: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PeerSection {
    pub peer: Spanned<PeerText>,
    pub kind: PeerKind,
    pub spi: SpiNumber,
    pub key: Option<Spanned<SecretText>>,
    pub key_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub algorithm: AlgorithmName,
    #[serde(default)]
    pub accept_any_algorithm: bool,
    #[serde(default)]
    pub sign_deregistrations: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AccessPointSection {
    pub uplink: Spanned<InterfaceName>,
    pub bridge: Spanned<InterfaceName>,
    pub radios: Spanned<Vec<RadioEntry>>,
    #[serde(default)]
    pub subnet_map: Vec<Spanned<SubnetMapText>>,
    #[serde(default)]
    pub authoritative: Vec<Spanned<String>>,
    pub subnet_map_key: Option<Spanned<SecretText>>,
    pub subnet_map_key_file: Option<Spanned<PathBuf>>,
    pub registration_lifetime: Option<Spanned<LifetimeText>>,
    #[serde(default)]
    pub encapsulation: Vec<Spanned<Encapsulation>>,
    #[serde(default)]
    pub reverse_tunnel: ReverseTunnelPolicy,
    #[serde(default)]
    pub delivery: Delivery,
    #[serde(default)]
    pub broadcast: bool,
    #[serde(default)]
    pub proxy_extensions: bool,
    #[serde(default)]
    pub local_subnets: Vec<Spanned<PrefixText>>,
    #[serde(default)]
    pub visitor_ipv6: VisitorIpv6,
    pub registration_port: Option<Spanned<u16>>,
    pub maximum_clients: Option<Spanned<u32>>,
    pub idle_timeout: Option<Spanned<DurationText>>,
    pub remembered_addresses: Option<Spanned<u32>>,
    pub remember_addresses_for: Option<Spanned<DurationText>>,
    #[serde(default)]
    pub clients: Vec<Spanned<ClientEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ClientEntry {
    pub mac: MacText,
    pub address: HostAddressText,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RadioEntry {
    pub interface: Spanned<InterfaceName>,
    pub ssid: Option<Spanned<String>>,
    #[serde(default = "yes")]
    pub proxy_mobile_ip: bool,
    pub hostapd: Option<Spanned<PathBuf>>,
    #[serde(default = "yes")]
    pub nl80211: bool,
    #[serde(default)]
    pub subnet_map: Vec<Spanned<SubnetMapText>>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SubnetMapText {
    pub home_agent: HostAddressText,
    pub mask: MaskText,
    pub dhcp_server: Option<HostAddressText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ForeignAgentSection {
    pub interfaces: Spanned<Vec<Spanned<InterfaceName>>>,
    pub care_of_address: HostAddressText,
    pub registration_lifetime: Option<LifetimeText>,
    #[serde(default)]
    pub encapsulation: Vec<Spanned<Encapsulation>>,
    #[serde(default)]
    pub reverse_tunnel: ReverseTunnel,
    pub advertisement_interval: Option<Spanned<DurationText>>,
    pub maximum_visitors: Option<Spanned<u32>>,
    pub maximum_tunnels: Option<Spanned<u32>>,
    pub pending_timeout: Option<Spanned<DurationText>>,
    #[serde(default)]
    pub challenge: bool,
    #[serde(default = "yes")]
    pub revocation: bool,
    #[serde(default)]
    pub strict_flags: bool,
    #[serde(default = "yes")]
    pub mss_clamp: bool,
    pub gre_key: Option<Spanned<GreKeyPolicy>>,
    #[serde(default)]
    pub udp_tunnel: UdpTunnelPolicy,
    pub everything_translated: Option<Spanned<bool>>,
    #[serde(default)]
    pub delivery: Delivery,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HomeAgentSection {
    pub address: Spanned<HostAddressText>,
    pub subnets: Spanned<Vec<Spanned<HomeSubnetEntry>>>,
    #[serde(default)]
    pub encapsulation: Vec<Spanned<Encapsulation>>,
    pub simultaneous_bindings: Option<Spanned<u32>>,
    #[serde(default)]
    pub broadcast: bool,
    #[serde(default)]
    pub udp_tunnel: UdpTunnelPolicy,
    pub udp_keepalive: Option<Spanned<DurationText>>,
    #[serde(default = "yes")]
    pub revocation: bool,
    #[serde(default = "yes")]
    pub answer_broadcast_probes: bool,
    #[serde(default)]
    pub answer_unicast_probes: bool,
    #[serde(default = "yes")]
    pub mss_clamp: bool,
    pub allowed_proxies: Option<Vec<AddressRange>>,
    #[serde(default)]
    pub identities: Vec<Spanned<IdentityEntry>>,
    pub maximum_lifetime: Option<LifetimeText>,
    pub replay_window: Option<Spanned<DurationText>>,
    #[serde(default)]
    pub reverse_tunnel: ReverseTunnel,
    pub advertisement_interval: Option<Spanned<DurationText>>,
    pub maximum_bindings: Option<Spanned<u32>>,
    pub maximum_tunnels: Option<Spanned<u32>>,
    pub maximum_slots: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct IdentityEntry {
    pub nai: String,
    pub home_address: HostAddressText,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HomeSubnetEntry {
    pub prefix: Spanned<PrefixText>,
    pub interface: InterfaceName,
    pub routes: Option<HomeRoutes>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AdvertisementSection {
    pub routes_common_traffic: bool,
    pub preference: i32,
    pub registration_required: bool,
    pub only_when_solicited: bool,
    pub limited_broadcast: bool,
    pub shortest_interval: Option<Spanned<DurationText>>,
    pub lifetime: Option<Spanned<DurationText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RadiusSection {
    pub servers: Spanned<Vec<Spanned<RadiusServerEntry>>>,
    pub password: Option<Spanned<SecretText>>,
    pub password_file: Option<Spanned<PathBuf>>,
    pub nas_identifier: Option<Spanned<String>>,
    #[serde(default = "yes")]
    pub require_message_authenticator: bool,
    pub default_algorithm: Option<AlgorithmName>,
    pub timeout: Option<Spanned<DurationText>>,
    pub retries: Option<Spanned<u32>>,
    pub dead_time: Option<Spanned<DurationText>>,
    pub cache_lifetime: Option<Spanned<DurationText>>,
    pub negative_cache_lifetime: Option<Spanned<DurationText>>,
    pub maximum_cached: Option<Spanned<u32>>,
    pub requests_per_second: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RadiusServerEntry {
    pub address: Spanned<ServerAddressText>,
    pub secret: Option<Spanned<SecretText>>,
    pub secret_file: Option<Spanned<PathBuf>>,
}
