//! Why the daemon cannot start or go on.

use std::io;

use crate::{
    config::InterfaceName,
    control::ServerError,
    dataplane::DataPlaneError,
    mobility::{security::AssociationError, subnet_map::SubnetMapError},
    state::StateError,
};

/// The daemon cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Routes, devices, programs.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
    /// The state store.
    #[error(transparent)]
    State(#[from] StateError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// The keys.
    #[error(transparent)]
    Association(#[from] AssociationError),
    /// The subnet map.
    #[error(transparent)]
    SubnetMap(#[from] SubnetMapError),
    /// A role needs an address that the interface lacks.
    #[error("interface {0} has no IPv4 address: give it one before mipd starts")]
    NoAddress(InterfaceName),
    /// An address that must be ours is not.
    #[error("{what} {address} is not an address of this box: correct the configuration or add the address")]
    NotOurs {
        /// Which setting.
        what: &'static str,
        /// The address.
        address: std::net::Ipv4Addr,
    },
    /// UDP port 434 is taken.
    #[error("cannot listen on UDP port 434: {0} (does another Mobile IP agent run on this box?)")]
    RegistrationPort(io::Error),
    /// UDP port 6500 is taken.
    #[error("cannot listen on UDP port 6500 for the subnet map: {0} (does something else on this box use it?)")]
    SubnetMapSocket(io::Error),
    /// No packet socket.
    #[error("cannot open a packet socket on {interface}: {source}")]
    PacketSocket {
        /// Where.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// No raw socket.
    #[error("cannot open a raw socket for broadcasts: {0}: needs CAP_NET_RAW")]
    EncapsulatingSocket(io::Error),
    /// The socket that relays visitors' DHCP messages cannot be opened.
    #[error("cannot open a raw socket for visitors' DHCP: {0}; run as root")]
    RelaySocket(io::Error),
    /// No runtime or signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}
