//! The tables of `mipd show`. Their JSON (field names, units, `null`) is a stable interface: fields may be added, never
//! renamed or removed.
//!
//! Names are those of RFC 5944 and RFC 2006. Times are whole seconds. A field is `null` where the source cannot know it
//! (the pinned maps know no lifetimes) or where there is nothing to say.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddrV4},
};

use serde::{Deserialize, Serialize};

use super::protocol::What;
use crate::{
    config::{Config, associations::algorithm_name},
    mobility::security::SecurityAssociation,
};

/// One table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "what", content = "rows", rename_all = "kebab-case")]
pub enum Report {
    /// `show bindings`
    Bindings(Vec<Binding>),
    /// `show visitors`
    Visitors(Vec<Visitor>),
    /// `show clients`
    Clients(Vec<Client>),
    /// `show agents`
    Agents(Vec<Agent>),
    /// `show subnet-map`
    SubnetMap(Vec<SubnetMapEntry>),
    /// `show access-points`
    AccessPoints(Vec<AccessPoint>),
    /// `show tunnels`
    Tunnels(Vec<Tunnel>),
    /// `show interfaces`
    Interfaces(Vec<Interface>),
    /// `show counters`
    Counters(Vec<Counter>),
    /// `show associations`
    Associations(Vec<Association>),
    /// `show violations`
    Violations(Vec<Violation>),
}

impl Report {
    /// Which table it is.
    pub fn what(&self) -> What {
        match self {
            Self::Bindings(_) => What::Bindings,
            Self::Visitors(_) => What::Visitors,
            Self::Clients(_) => What::Clients,
            Self::Agents(_) => What::Agents,
            Self::SubnetMap(_) => What::SubnetMap,
            Self::AccessPoints(_) => What::AccessPoints,
            Self::Tunnels(_) => What::Tunnels,
            Self::Interfaces(_) => What::Interfaces,
            Self::Counters(_) => What::Counters,
            Self::Associations(_) => What::Associations,
            Self::Violations(_) => What::Violations,
        }
    }

    /// A table without rows: what a box without the role shows.
    pub fn empty(what: What) -> Self {
        match what {
            What::Bindings => Self::Bindings(Vec::new()),
            What::Visitors => Self::Visitors(Vec::new()),
            What::Clients => Self::Clients(Vec::new()),
            What::Agents => Self::Agents(Vec::new()),
            What::SubnetMap => Self::SubnetMap(Vec::new()),
            What::AccessPoints => Self::AccessPoints(Vec::new()),
            What::Tunnels => Self::Tunnels(Vec::new()),
            What::Interfaces => Self::Interfaces(Vec::new()),
            What::Counters => Self::Counters(Vec::new()),
            What::Associations => Self::Associations(Vec::new()),
            What::Violations => Self::Violations(Vec::new()),
        }
    }
}

/// A mobility binding of the home agent (RFC 2006 `haMobilityBindingTable`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The client's home address.
    pub home_address: Ipv4Addr,
    /// The exit of its tunnel.
    pub care_of_address: Option<Ipv4Addr>,
    /// The home agent's address that it registered with.
    pub home_agent: Option<Ipv4Addr>,
    /// Lifetime granted; 65535 = infinite.
    pub lifetime_granted_s: Option<u16>,
    /// What is left of it; `null` if infinite.
    pub lifetime_remaining_s: Option<u64>,
    /// Letters of the request's flags that are set: S, B, D, M, G, T.
    pub flags: Option<String>,
    /// `ipip`, `gre`, `minimal`, with `udp/` before it over UDP; `direct` if the care-of address is this box.
    pub encapsulation: String,
    /// Whether the client's packets come back through the tunnel.
    pub reverse_tunnel: Option<bool>,
    /// The client's Ethernet address, if its proxy told it (RFC 5563).
    pub device: Option<String>,
}

/// A visitor of the foreign agent (RFC 2006 `faVisitorTable`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Visitor {
    /// The client's home address.
    pub home_address: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// The care-of address that it registered.
    pub care_of_address: Option<Ipv4Addr>,
    /// Its Ethernet address.
    pub mac: String,
    /// The access interface it is behind.
    pub interface: String,
    /// `registered` or `pending`.
    pub state: String,
    /// Lifetime granted; 65535 = infinite.
    pub lifetime_granted_s: Option<u16>,
    /// What is left of it; `null` if infinite.
    pub lifetime_remaining_s: Option<u64>,
    /// Letters of the request's flags that are set.
    pub flags: Option<String>,
    /// `ipip`, `gre`, `minimal`, with `udp/` before it over UDP.
    pub encapsulation: String,
    /// Whether its packets are sent back through the tunnel.
    pub reverse_tunnel: bool,
}

/// A station of the access point.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its Ethernet address.
    pub mac: String,
    /// Its address.
    pub home_address: Option<Ipv4Addr>,
    /// The radio it is behind.
    pub interface: String,
    /// What is being done for it, such as `local`, `registering`, `registered`, `at_home`.
    pub state: String,
    /// Its home agent.
    pub home_agent: Option<Ipv4Addr>,
    /// The foreign agent that it is registered through.
    pub foreign_agent: Option<Ipv4Addr>,
    /// The care-of address registered.
    pub care_of_address: Option<Ipv4Addr>,
    /// Lifetime granted; 65535 = infinite.
    pub lifetime_granted_s: Option<u16>,
    /// What is left of it; `null` if infinite.
    pub lifetime_remaining_s: Option<u64>,
    /// Whether a reverse tunnel was granted.
    pub reverse_tunnel: Option<bool>,
    /// `ipip`, `gre` or `minimal`: as registered.
    pub encapsulation: Option<String>,
    /// The network access identifier in its requests.
    pub nai: Option<String>,
    /// The algorithm of its home agent's last valid reply, as the configuration names it.
    pub algorithm: Option<String>,
    /// The code of the last reply.
    pub last_code: Option<u8>,
    /// Requests sent since the last accepted one.
    pub attempts: Option<u32>,
    /// Milliseconds from noticing the client to forwarding for it.
    pub registered_in_ms: Option<u64>,
    /// Since it was noticed here.
    #[serde(default)]
    pub present_s: Option<u64>,
    /// Who has told of it, the first one first: `first-packet`, `hostapd`, `nl80211`, `dhcp`.
    #[serde(default)]
    pub noticed_by: Vec<String>,
    /// Who tells that it is associated.
    #[serde(default)]
    pub associated_by: Option<String>,
}

/// An agent that the access point hears.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// The source address of its advertisements.
    pub address: Ipv4Addr,
    /// Its Ethernet address.
    pub mac: String,
    /// Where it is heard.
    pub interface: String,
    /// Whether it advertises the home agent role.
    pub home_agent: bool,
    /// Whether it advertises the foreign agent role.
    pub foreign_agent: bool,
    /// Whether it takes no further registrations.
    pub busy: bool,
    /// Its care-of addresses.
    pub care_of_addresses: Vec<Ipv4Addr>,
    /// The longest registration lifetime that it accepts; 65535 = infinite.
    pub registration_lifetime_s: u16,
    /// Letters of the advertisement's flags that are set.
    pub flags: String,
    /// Whether it offers reverse tunnelling.
    pub reverse_tunnel: bool,
    /// When it is forgotten unless heard again.
    pub lifetime_remaining_s: u64,
    /// Whether clients are registered through it.
    pub selected: bool,
}

/// A tunnel of the data path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its index in the maps.
    pub tunnel_id: u32,
    /// The outer source address; `null` for `direct`.
    pub local: Option<Ipv4Addr>,
    /// The outer destination address; `null` for `direct`.
    pub remote: Option<Ipv4Addr>,
    /// `ipip`, `gre`, `minimal`, with `udp/` before it over UDP; `direct`, or `copies` for a client with several care-of
    /// addresses.
    pub encapsulation: String,
    /// The GRE key of packets into the tunnel, if keys were agreed on.
    pub send_key: Option<u32>,
    /// The GRE key of packets out of it.
    pub receive_key: Option<u32>,
    /// The other end of a tunnel over UDP, as it is seen from here.
    pub udp_peer: Option<SocketAddrV4>,
    /// `ready`, or `unresolved` while the next hop is not known (the kernel sends meanwhile).
    pub state: String,
    /// Where packets leave.
    pub interface: Option<String>,
    /// The next hop's Ethernet address.
    pub next_hop: Option<String>,
    /// Largest packet inside, bytes.
    pub mtu: u16,
    /// Largest outer packet on the way to the other end, bytes; `null` without a tunnel, and from the maps.
    pub path_mtu: Option<u16>,
    /// How that is known: `interface`, `route`, or `icmp` for a router on the way.
    pub path_mtu_source: Option<String>,
    /// The router that told.
    pub path_mtu_router: Option<Ipv4Addr>,
    /// When what it told is forgotten.
    pub path_mtu_remaining_s: Option<u64>,
}

/// An interface that `mipd` works on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub interface: String,
    /// Its kernel index.
    pub ifindex: u32,
    /// `home`, `access`, `core`, `radio`, `uplink`.
    pub roles: Vec<String>,
    /// The fast path configured: `auto`, `xdp`, `tc`, `off`.
    pub wanted: String,
    /// What is attached: `xdp+tc`, `tc`, ….
    pub attached: String,
    /// Why that differs from what was wanted.
    pub reason: Option<String>,
    /// On a radio of hostapd's: whether frames between its stations come up to it, `on`, `off` or `unknown`.
    #[serde(default)]
    pub ap_isolate: Option<String>,
    /// Packets delivered by the programs.
    pub packets_fast: u64,
    /// Packets of ours left to the kernel or the agent.
    pub packets_slow: u64,
    /// Packets that were none of our business.
    pub packets_passed: u64,
    /// Packets dropped.
    pub packets_dropped: u64,
    /// Who tells of stations on it, on an access point's radio.
    #[serde(default)]
    pub sources: Vec<StationSource>,
}

/// Who tells of stations on a radio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StationSource {
    /// `first-packet`, `hostapd`, `nl80211`.
    pub source: String,
    /// `in_charge`: tells who associates and leaves; `active`: is heard; `unavailable`.
    pub state: String,
    /// Why it is not available.
    pub reason: Option<String>,
}

/// One counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counter {
    /// One of the catalogue's roles, or `data_path`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// The interface it counts on, in the data path.
    pub interface: Option<String>,
    /// `xdp`, `ingress` or `egress`, in the data path.
    pub hook: Option<String>,
    /// How many.
    pub value: u64,
    /// The object of the Mobile IP MIB that it is or is part of, spelled as in RFC 2006.
    #[serde(default)]
    pub rfc2006: Option<String>,
    /// What it means, in one line.
    pub help: String,
}

/// A security association, without its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Association {
    /// `mobile-home`, `mobile-foreign` or `foreign-home`.
    pub kind: String,
    /// The clients (a range) or the agent at the other end.
    pub peer: String,
    /// Its index.
    pub spi: u32,
    /// The algorithm, as the configuration names it.
    pub algorithm: String,
    /// `configuration`, or the RADIUS server that it was downloaded from.
    pub source: String,
    /// When a downloaded one is forgotten unless it is downloaded anew.
    pub lifetime_remaining_s: Option<u64>,
}

impl Association {
    /// The row of an association in the configuration.
    pub fn configured(kind: impl Display, peer: impl Display, association: &SecurityAssociation) -> Self {
        Self {
            kind: kind.to_string(),
            peer: peer.to_string(),
            spi: association.spi.get(),
            algorithm: algorithm_name(association.algorithm).to_owned(),
            source: "configuration".to_owned(),
            lifetime_remaining_s: None,
        }
    }
}

/// A row of the subnet map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubnetMapEntry {
    /// The subnet, as a prefix.
    pub subnet: String,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// `static` (configured here) or `exchange`.
    pub source: String,
    /// The authoritative access point that the entry comes from.
    pub reported_to: Option<Ipv4Addr>,
}

/// An access point that exchanges the subnet map with this one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessPoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it is one of the authoritative ones.
    pub authoritative: bool,
    /// Whether this one reports to it.
    pub in_charge: bool,
    /// The subnet whose home agent it reports, as a prefix.
    pub subnet: Option<String>,
}

/// A message that failed authentication or replay protection (RFC 2006 `mipSecViolationTable`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// When it came: RFC 3339, UTC.
    pub time: String,
    /// The role that noticed: `home_agent`, `foreign_agent` or `access_point`.
    pub role: String,
    /// IP source of the message.
    pub peer: Ipv4Addr,
    /// Home address in the message.
    pub home_address: Ipv4Addr,
    /// SPI of the extension in question, if there was one.
    pub spi: Option<u32>,
    /// Identification of the message: 16 hexadecimal digits.
    pub identification: String,
    /// `no_association`, `bad_authenticator`, `bad_identification`, `bad_spi`, `missing_extension`.
    pub reason: String,
}

/// All associations of a configuration, in its order.
pub fn associations(config: &Config) -> Vec<Association> {
    let clients = config.security_associations.iter();
    let clients = clients.map(|entry| Association::configured("mobile-home", entry.clients, &entry.association));
    let peers = config.peer_associations.iter();
    let peers = peers.map(|entry| Association::configured(entry.kind, entry.peer, &entry.association));
    clients.chain(peers).collect()
}
