//! The configuration file of an agent in a lab.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use rand::Rng;

use crate::topology::{BRIDGE, CORE_INTERFACE, RADIO, Router, UPLINK};

/// What a box does.
#[derive(Clone, Debug)]
pub enum Role {
    /// Home agent and foreign agent of the LANs behind a router.
    Router {
        /// Each LAN's interface, and the router's address and prefix there. The first gives the agents their address.
        lans: Vec<(String, Ipv4Net)>,
    },
    /// An access point.
    AccessPoint {
        /// Home agents and the masks of their subnets.
        subnet_map: Vec<Ipv4Net>,
    },
}

impl Role {
    /// A router of the lab as home agent and foreign agent of its LANs.
    pub fn router(router: &Router) -> Self {
        Self::Router { lans: router.lans.iter().map(|lan| (lan.interface.clone(), lan.gateway)).collect() }
    }

    /// An access point that knows the home agents given by address and prefix length.
    pub fn access_point(subnet_map: &[Ipv4Net]) -> Self {
        Self::AccessPoint { subnet_map: subnet_map.to_vec() }
    }
}

/// How packets are forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastPath {
    /// By the kernel's stack at home agent and foreign agent; access points need TC in any case.
    Off,
    /// By TC programs.
    Tc,
    /// By XDP programs where the driver has native XDP, by TC programs elsewhere.
    #[default]
    Auto,
}

impl FastPath {
    fn on_routers(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tc => "tc",
            Self::Auto => "auto",
        }
    }

    fn on_access_points(self) -> &'static str {
        match self {
            Self::Off | Self::Tc => "tc",
            Self::Auto => "auto",
        }
    }
}

/// What all boxes of a lab share, and what tests vary.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How packets are forwarded.
    pub fast_path: FastPath,
    /// Whether access points insist on a reverse tunnel; otherwise they never ask for one.
    pub reverse_tunnel: bool,
    /// The authoritative access points. With any, access points learn the subnet map from them and are given none.
    pub authoritative: Vec<Ipv4Addr>,
    /// Radios of access points besides the usual one, as entries of their configuration.
    pub more_radios: Vec<String>,
    /// The DHCP server of the client's home network, where that is not its home agent.
    pub dhcp_server: Option<Ipv4Addr>,
    /// Whether broadcasts of the home network follow the client.
    pub broadcast: bool,
    /// What routers think of reverse tunnels: `off`, `offered` or `required`.
    pub routers_reverse_tunnel: String,
    /// How many tunnels each role of a router may have; `None` = as by default.
    pub routers_tunnels: Option<u32>,
    /// Up to how many addresses home agents have a slot for each; `None` = as by default.
    pub home_agents_slots: Option<u32>,
    /// What is said of encapsulations.
    pub tunnels: Tunnels,
    /// Whether routers tell TCP connections which segments fit the tunnels.
    pub mss_clamp: bool,
    /// The clients that the security association covers.
    pub clients: String,
    /// Its SPI.
    pub spi: u32,
    /// Its key, 32 hex digits.
    pub key: String,
    /// The RADIUS servers, in order, with the secrets by which the agents know them.
    pub radius: Vec<(SocketAddrV4, String)>,
    /// What tells access points of their radio's stations, beside the stations' own packets.
    pub stations: Stations,
    /// The lifetime that access points ask for.
    pub lifetime: String,
    /// The longest lifetime that home agents grant and foreign agents relay.
    pub maximum_lifetime: String,
    /// Log level.
    pub log: String,
}

/// What tells an access point who is associated. Default: nothing, as on the lab's wires, which know no association.
#[derive(Clone, Debug, Default)]
pub struct Stations {
    /// The directory of hostapd's control sockets.
    pub hostapd: Option<PathBuf>,
    /// Whether the kernel's wireless subsystem does.
    pub nl80211: bool,
}

/// What agents carry, and access points ask for. Empty: as the agent has it.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    /// Encapsulations; an access point wants the first one most.
    pub encapsulation: Vec<String>,
    /// When foreign agents ask for GRE keys.
    pub gre_key: String,
    /// What agents think of tunnels over UDP.
    pub udp: String,
}

impl Settings {
    /// Settings for a campus whose clients live in 10.1.0.0/24, with a fresh key.
    pub fn new(fast_path: FastPath) -> Self {
        Self {
            fast_path,
            reverse_tunnel: false,
            authoritative: Vec::new(),
            more_radios: Vec::new(),
            dhcp_server: None,
            broadcast: false,
            routers_reverse_tunnel: "offered".to_owned(),
            routers_tunnels: None,
            home_agents_slots: None,
            tunnels: Tunnels::default(),
            mss_clamp: true,
            clients: "10.1.0.0/24".to_owned(),
            spi: 256,
            key: random_key(),
            radius: Vec::new(),
            stations: Stations::default(),
            lifetime: "10min".to_owned(),
            maximum_lifetime: "10h".to_owned(),
            log: std::env::var("MIPD_LAB_LOG").unwrap_or_else(|_| "info,mipd_agent=debug".to_owned()),
        }
    }
}

/// A fresh key, 32 hex digits.
pub fn random_key() -> String {
    format!("{:032x}", rand::rng().next_u64() as u128 | (u128::from(rand::rng().next_u64()) << 64))
}

/// Where an agent keeps its things.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub state: PathBuf,
    pub socket: PathBuf,
    pub bpffs: PathBuf,
}

/// The configuration file's text, with the sections of roles and associations as given.
pub(super) fn custom_text(sections: &str, settings: &Settings, paths: &Paths) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_places(&mut text, settings.fast_path.on_routers(), settings, paths);
    let _ = writeln!(text, "core-interfaces = [{CORE_INTERFACE:?}]\n\n{sections}");
    text
}

/// The configuration file's text.
pub(super) fn text(role: &Role, settings: &Settings, paths: &Paths) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_agent(&mut text, role, settings, paths);
    let _ = write_role(&mut text, role, settings);
    let _ = write_radius(&mut text, settings);
    text
}

fn write_agent(text: &mut String, role: &Role, settings: &Settings, paths: &Paths) -> std::fmt::Result {
    let fast_path = match role {
        Role::Router { .. } => settings.fast_path.on_routers(),
        Role::AccessPoint { .. } => settings.fast_path.on_access_points(),
    };
    write_places(text, fast_path, settings, paths)?;
    if matches!(role, Role::Router { .. }) {
        writeln!(text, "core-interfaces = [{CORE_INTERFACE:?}]")?;
    }
    writeln!(text, "\n[[security-association]]")?;
    writeln!(text, "clients = {:?}", settings.clients)?;
    writeln!(text, "spi = {}", settings.spi)?;
    writeln!(text, "key = \"hex:{}\"", settings.key)
}

fn write_places(text: &mut String, fast_path: &str, settings: &Settings, paths: &Paths) -> std::fmt::Result {
    writeln!(text, "[agent]")?;
    writeln!(text, "state-dir = '{}'", paths.state.display())?;
    writeln!(text, "control-socket = '{}'", paths.socket.display())?;
    writeln!(text, "bpffs-dir = '{}'", paths.bpffs.display())?;
    writeln!(text, "log = {:?}", settings.log)?;
    writeln!(text, "fast-path = {fast_path:?}")
}

fn write_role(text: &mut String, role: &Role, settings: &Settings) -> std::fmt::Result {
    match role {
        Role::Router { lans } => {
            let address = lans.first().map_or(Ipv4Addr::UNSPECIFIED, |(_, gateway)| gateway.addr());
            let interfaces: Vec<&str> = lans.iter().map(|(interface, _)| interface.as_str()).collect();
            let subnets: Vec<String> = lans
                .iter()
                .map(|(interface, gateway)| {
                    format!("{{ prefix = \"{}\", interface = {interface:?} }}", gateway.trunc())
                })
                .collect();
            writeln!(text, "\n[foreign-agent]")?;
            writeln!(text, "interfaces = {interfaces:?}")?;
            writeln!(text, "care-of-address = \"{address}\"")?;
            writeln!(text, "registration-lifetime = {:?}", settings.maximum_lifetime)?;
            writeln!(text, "reverse-tunnel = {:?}", settings.routers_reverse_tunnel)?;
            writeln!(text, "advertisement-interval = \"1s\"")?;
            if !settings.tunnels.gre_key.is_empty() {
                writeln!(text, "gre-key = {:?}", settings.tunnels.gre_key)?;
            }
            write_tunnels(text, &settings.tunnels)?;
            writeln!(text, "mss-clamp = {}", settings.mss_clamp)?;
            let tunnels =
                settings.routers_tunnels.map(|number| format!("maximum-tunnels = {number}")).unwrap_or_default();
            writeln!(text, "{tunnels}\n\n[home-agent]\n{tunnels}")?;
            if let Some(slots) = settings.home_agents_slots {
                writeln!(text, "maximum-slots = {slots}")?;
            }
            write_tunnels(text, &settings.tunnels)?;
            writeln!(text, "address = \"{address}\"")?;
            writeln!(text, "subnets = [{}]", subnets.join(", "))?;
            writeln!(text, "maximum-lifetime = {:?}", settings.maximum_lifetime)?;
            writeln!(text, "broadcast = {}", settings.broadcast)?;
            writeln!(text, "mss-clamp = {}", settings.mss_clamp)?;
            writeln!(text, "reverse-tunnel = {:?}", settings.routers_reverse_tunnel)?;
            writeln!(text, "advertisement-interval = \"1s\"")
        }
        Role::AccessPoint { subnet_map } => {
            let entries: Vec<String> = subnet_map
                .iter()
                .map(|agent| {
                    let server =
                        settings.dhcp_server.map(|server| format!(", dhcp-server = \"{server}\"")).unwrap_or_default();
                    format!("{{ home-agent = \"{}\", mask = \"{}\"{server} }}", agent.addr(), agent.netmask())
                })
                .collect();
            writeln!(text, "\n[access-point]")?;
            writeln!(text, "uplink = {UPLINK:?}")?;
            writeln!(text, "bridge = {BRIDGE:?}")?;
            let radios: Vec<_> =
                std::iter::once(radio(&settings.stations)).chain(settings.more_radios.iter().cloned()).collect();
            writeln!(text, "radios = [{}]", radios.join(", "))?;
            if settings.authoritative.is_empty() {
                writeln!(text, "subnet-map = [{}]", entries.join(", "))?;
            } else {
                let authoritative: Vec<_> = settings.authoritative.iter().map(ToString::to_string).collect();
                writeln!(text, "authoritative = {authoritative:?}")?;
                writeln!(text, "subnet-map-key = \"hex:{}\"", settings.key)?;
            }
            writeln!(text, "registration-lifetime = {:?}", settings.lifetime)?;
            write_tunnels(text, &settings.tunnels)?;
            writeln!(text, "broadcast = {}", settings.broadcast)?;
            writeln!(text, "reverse-tunnel = {:?}", if settings.reverse_tunnel { "require" } else { "never" })
        }
    }
}

/// The entry of an access point's radio.
fn radio(stations: &Stations) -> String {
    let Stations { hostapd, nl80211 } = stations;
    let hostapd = hostapd.as_deref().unwrap_or(Path::new("off")).display();
    format!("{{ interface = {RADIO:?}, ssid = \"campus\", hostapd = \"{hostapd}\", nl80211 = {nl80211} }}")
}

fn write_tunnels(text: &mut String, tunnels: &Tunnels) -> std::fmt::Result {
    if !tunnels.encapsulation.is_empty() {
        writeln!(text, "encapsulation = {:?}", tunnels.encapsulation)?;
    }
    if !tunnels.udp.is_empty() {
        writeln!(text, "udp-tunnel = {:?}", tunnels.udp)?;
    }
    Ok(())
}

fn write_radius(text: &mut String, settings: &Settings) -> std::fmt::Result {
    if settings.radius.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n[radius]\nservers = [")?;
    for (address, secret) in &settings.radius {
        writeln!(text, "    {{ address = \"{address}\", secret = {secret:?} }},")?;
    }
    writeln!(text, "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_as_many_digits_as_the_agent_wants() {
        let key = random_key();
        assert_eq!(key.len(), 32);
        assert!(key.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(key, random_key());
    }

    #[test]
    fn an_access_point_keeps_its_programs_when_the_fast_path_is_off() {
        let paths = Paths { state: "/s".into(), socket: "/c".into(), bpffs: "/b".into() };
        let settings = Settings::new(FastPath::Off);
        let ap = text(&Role::AccessPoint { subnet_map: vec![] }, &settings, &paths);
        let router = text(&Role::Router { lans: vec![] }, &settings, &paths);
        assert!(ap.contains("fast-path = \"tc\"") && router.contains("fast-path = \"off\""));
    }
}
