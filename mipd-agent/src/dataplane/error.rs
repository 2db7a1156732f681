//! Why the data plane could not do what it was asked.

use std::{io, net::Ipv4Addr, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use ipnet::Ipv4Net;

use super::netlink::NetlinkError;

/// Why the data plane could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataPlaneError {
    /// Capabilities are missing.
    #[error("missing privileges ({missing}): run mipd as root")]
    NotPrivileged {
        /// Names of the capabilities.
        missing: String,
    },
    /// The kernel cannot run the programs.
    #[error("kernel {found} is too old: mipd needs Linux 5.10 or newer")]
    KernelTooOld {
        /// Version found.
        found: String,
    },
    /// A configured interface is absent.
    #[error("interface {name} does not exist: correct the configuration or create it before mipd starts")]
    NoSuchInterface {
        /// Its name.
        name: String,
    },
    /// `radio` and a router role on one interface.
    #[error("interface {name} is both a radio and a router port: put the radio into a bridge and route on the bridge")]
    RolesConflict {
        /// Its name.
        name: String,
    },
    /// A radio whose frames are tagged.
    #[error(
        "radio {name} is a VLAN device, and Proxy Mobile IP does not mix with VLANs: name an untagged radio, or set proxy-mobile-ip = false"
    )]
    TaggedRadio {
        /// Its name.
        name: String,
    },
    /// A radio with which no stations associate.
    #[error(
        "radio {name} is {mode}: clients are served where they associate, so let hostapd run it, or set proxy-mobile-ip = false"
    )]
    RadioMode {
        /// Its name.
        name: String,
        /// What it is instead.
        mode: &'static str,
    },
    /// Stations of a radio that come in by another interface.
    #[error(
        "{name} is {mode} of radio {radio}, whose clients would be served there only: take vlan settings and wds_sta out of hostapd's configuration"
    )]
    RadioPart {
        /// The radio.
        radio: String,
        /// Its part.
        name: String,
        /// What that is.
        mode: &'static str,
    },
    /// A repeater.
    #[error("uplink {name} is wireless ({mode}): only an access point with a wired uplink can serve visitors")]
    WirelessUplink {
        /// Its name.
        name: String,
        /// What it is.
        mode: &'static str,
    },
    /// The kernel's own tunnel device would decapsulate everything a second time.
    #[error("the kernel's tunnel device {name} is up and would decapsulate our packets too: `ip link set {name} down`")]
    LiveKernelTunnel {
        /// `tunl0` or `gre0`.
        name: String,
    },
    /// Another XDP program is attached.
    #[error(
        "interface {interface} already carries XDP program {id} ({program}): detach it, or set fast-path = \"tc\" there"
    )]
    ForeignXdp {
        /// The interface.
        interface: String,
        /// Kernel id of the program.
        id: u32,
        /// Name of the program.
        program: String,
    },
    /// The box does not route.
    #[error("IPv4 forwarding is off: `sysctl -w net.ipv4.ip_forward=1`, an agent is a router")]
    ForwardingOff,
    /// Another agent uses the same state.
    #[error("another mipd holds {path}: stop it, or give this instance its own state-dir and bpffs-dir")]
    AlreadyRunning {
        /// The lock.
        path: PathBuf,
    },
    /// `routes = "subnet"` for a subnet that has a link.
    #[error(
        "home subnet {prefix} is attached to {interface}: routes = \"subnet\" would cut off its clients at home; use \"host\""
    )]
    SubnetRouteOnLink {
        /// The subnet.
        prefix: Ipv4Net,
        /// The interface that has it.
        interface: String,
    },
    /// A binding for an address outside every home subnet.
    #[error("{0} is in none of the home subnets: add its subnet to [home-agent] subnets")]
    NotAHomeAddress(Ipv4Addr),
    /// A binding with more care-of addresses than packets can be copied to.
    #[error(
        "{home_address} has {count} care-of addresses, at most {} are possible",
        super::BindingRoute::MAXIMUM_EXITS
    )]
    Exits {
        /// The client.
        home_address: Ipv4Addr,
        /// How many.
        count: usize,
    },
    /// A role that is not configured was asked for.
    #[error("the {0} role is not configured")]
    RoleNotConfigured(&'static str),
    /// All tunnels are in use.
    #[error("all {0} tunnels are in use: raise maximum-tunnels")]
    TunnelsExhausted(u32),
    /// A table of the programs has no room.
    #[error("no more {what} fit into the table: raise {setting}")]
    TableFull {
        /// What is in it.
        what: &'static str,
        /// The key of the configuration that sizes it.
        setting: &'static str,
    },
    /// An interface index beyond the table.
    #[error("interface {name} has index {index}, the table ends at {maximum}: restart mipd to enlarge it")]
    InterfaceIndex {
        /// Its name.
        name: String,
        /// Its index.
        index: u32,
        /// The largest index.
        maximum: u32,
    },
    /// A TUN or TAP device.
    #[error("cannot {action} device {name}: {source}")]
    Device {
        /// What was tried.
        action: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A file below `/proc/sys` or our own.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line of the journal is not ours.
    #[error("{path}:{line}: not a journal entry ({reason}): move the file away if mipd's changes were undone by hand")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The journal tells of another network namespace.
    #[error(
        "{path} tells of changes in another network namespace: run `mipd unload` there, or, if it is gone, remove the file"
    )]
    OtherNamespace {
        /// The journal.
        path: PathBuf,
    },
    /// There is no data path to look at.
    #[error("nothing is pinned under {path}: mipd has not been started, was unloaded, or uses another bpffs-dir")]
    NothingPinned {
        /// Where maps would be.
        path: PathBuf,
    },
    /// A routing socket request.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel refused the programs' object.
    #[error("the kernel refused the programs: {0}")]
    Load(#[from] EbpfError),
    /// The embedded object lacks a program.
    #[error("the embedded kernel programs lack `{0}`: rebuild with `cargo xtask build`")]
    MissingProgram(&'static str),
    /// The kernel refused one program.
    #[error("cannot {action} program {program}: {source}")]
    Program {
        /// What was tried.
        action: &'static str,
        /// Its name, and where.
        program: String,
        /// Why not.
        source: Box<ProgramError>,
    },
    /// A map operation.
    #[error("cannot {action} map {name}: {source}")]
    Map {
        /// What was tried.
        action: &'static str,
        /// Its name.
        name: &'static str,
        /// Why not.
        source: MapError,
    },
    /// A socket of our own.
    #[error("cannot open {what}: {source}")]
    Socket {
        /// Which.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl DataPlaneError {
    /// An error about a file.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// An error about writing to a hash map, which may be full.
    pub(super) fn full_or(what: &'static str, setting: &'static str, name: &'static str, source: MapError) -> Self {
        match &source {
            MapError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::E2BIG) => {
                Self::TableFull { what, setting }
            }
            _ => Self::Map { action: "write", name, source },
        }
    }

    /// An error about a map.
    pub(super) fn map(action: &'static str, name: &'static str) -> impl FnOnce(MapError) -> Self {
        move |source| Self::Map { action, name, source }
    }
}
