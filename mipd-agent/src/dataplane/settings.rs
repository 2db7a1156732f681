//! What the data plane is told by the configuration.

use std::{net::Ipv4Addr, path::PathBuf};

use ipnet::Ipv4Net;
use serde::Serialize;

use super::home_subnets::Layout;

/// Everything the data plane needs to know of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where maps and links are pinned, one directory per instance. Mounted when it is not on a BPF file system yet.
    pub bpffs_dir: PathBuf,
    /// Where the journal of changes to the system is kept.
    pub state_dir: PathBuf,
    /// The interfaces that carry programs.
    pub interfaces: Vec<InterfaceSettings>,
    /// The home agent's part.
    pub home: Option<HomeSettings>,
    /// The foreign agent's part.
    pub visit: Option<VisitSettings>,
    /// The access point's part.
    pub access_point: Option<AccessPointSettings>,
}

/// An interface that carries programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceSettings {
    /// Its name.
    pub name: String,
    /// What is attached to it.
    pub roles: Roles,
    /// How packets are to be taken there.
    pub fast_path: FastPath,
}

/// What an interface leads to. Several may hold at once, but not `radio` together with one of the router's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Roles {
    /// A home subnet of the home agent.
    pub home: bool,
    /// Visitors of the foreign agent.
    pub access: bool,
    /// The rest of the network, where tunnels leave.
    pub core: bool,
    /// Wireless clients of the access point.
    pub radio: bool,
    /// The access point's wired side.
    pub uplink: bool,
}

impl Roles {
    /// The names of those that hold.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.home, "home"),
            (self.access, "access"),
            (self.core, "core"),
            (self.radio, "radio"),
            (self.uplink, "uplink"),
        ]
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
    }

    /// Whether the router programs belong here.
    pub fn is_router(self) -> bool {
        self.home || self.access || self.core
    }
}

/// How packets are to be taken on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastPath {
    /// XDP where the driver has it, TC everywhere.
    #[default]
    Auto,
    /// XDP in the driver is expected: where it is refused, TC does the work and the report says why.
    Xdp,
    /// TC only.
    Tc,
    /// The programs only hand packets to the kernel's slow path.
    Off,
}

impl FastPath {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Off => "off",
        }
    }

    /// Whether an XDP program is to be attached if the driver takes it.
    pub fn wants_xdp(self) -> bool {
        matches!(self, Self::Auto | Self::Xdp)
    }
}

/// The home agent's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeSettings {
    /// Entry of all tunnels; also put on `mip-home`.
    pub address: Ipv4Addr,
    /// The home subnets.
    pub subnets: Vec<HomeSubnetSettings>,
    /// How many tunnels (care-of addresses, and clients whose care-of address is our own) there can be.
    pub maximum_tunnels: u32,
    /// How many bindings there can be.
    pub maximum_bindings: u32,
    /// Up to how many addresses the home subnets together have a slot for each; beyond, the largest are hashed.
    pub maximum_slots: u32,
    /// Lower the segment size that TCP connections through the tunnels announce to what fits.
    pub mss_clamp: bool,
}

impl HomeSettings {
    /// In which tables the bindings of each subnet are.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.subnets.iter().map(|subnet| subnet.prefix), self.maximum_slots)
    }
}

/// A home subnet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeSubnetSettings {
    /// Its prefix.
    pub prefix: Ipv4Net,
    /// The interface it is attached to.
    pub interface: String,
    /// How away clients are routed into `mip-home`.
    pub routes: HomeRoutes,
}

/// How packets for away clients reach `mip-home` when the kernel routes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HomeRoutes {
    /// One route for each away client.
    #[default]
    Host,
    /// One route for the whole subnet. Only for a home network without a link: no client is ever at home there.
    Subnet,
}

/// The foreign agent's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisitSettings {
    /// Exit of tunnels, entry of reverse tunnels; also put on `mip-visit`.
    pub care_of_address: Ipv4Addr,
    /// How many visitors there can be.
    pub maximum_visitors: u32,
    /// How many reverse tunnels there can be: one for each home agent and encapsulation of visitors that have one.
    pub maximum_tunnels: u32,
    /// Lower the segment size that visitors' TCP connections announce to what fits their tunnels.
    pub mss_clamp: bool,
    /// Firewall mark of reverse-tunnelled packets and its mask; the tunnel's number goes into the other bits.
    pub mark: Mark,
    /// Routing table of visitors. The next one is for reverse tunnels; both numbers are also the rules' priorities.
    pub table: u32,
}

/// A firewall mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The value of the bits under the mask.
    pub value: u32,
    /// The bits that belong to the mark.
    pub mask: u32,
}

impl Default for Mark {
    fn default() -> Self {
        Self { value: 0x4d00_0000, mask: 0xff00_0000 }
    }
}

impl VisitSettings {
    /// The routing table of visitors where the configuration names none: the port number of Mobile IP.
    pub const DEFAULT_TABLE: u32 = 434;

    /// The routing table that leads reverse-tunnelled packets to `mip-visit`.
    pub fn reverse_table(&self) -> u32 {
        self.table + 1
    }
}

/// The access point's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessPointSettings {
    /// The bridge that joins radios and uplink.
    pub bridge: String,
    /// The bridge port towards the agents.
    pub uplink: String,
    /// The bridge ports of clients.
    pub radios: Vec<String>,
    /// What counts as local; empty = the prefixes of the bridge.
    pub own_subnets: Vec<Ipv4Net>,
    /// UDP source port of our registration requests: replies to it are taken out of the uplink.
    pub registration_port: u16,
    /// Drop visitors' IPv6 instead of bridging it.
    pub drop_visitor_ipv6: bool,
    /// How many stations can be known.
    pub maximum_stations: u32,
}
