//! A thin typed wrapper around a routing socket.
//!
//! Requests are synchronous on purpose: the kernel executes a routing request inside `send`, so its answer is already
//! there when `recv` is called, and callers need no cancellation points.

use std::{io, net::Ipv4Addr};

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp},
    route::RouteProtocol,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::linux::split_messages;

/// The protocol number ("who made this") on our routes, rules and neighbours. With it they are found again, by us and by
/// `ip route show proto 143`, without any record of our own.
pub const PROTOCOL: RouteProtocol = RouteProtocol::Other(143);

/// A request to the kernel's routing subsystem failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct NetlinkError {
    action: String,
    source: io::Error,
}

impl NetlinkError {
    fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    /// The error number, if the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Whether the thing to be removed or looked up is not there.
    pub fn is_absent(&self) -> bool {
        matches!(
            self.errno(),
            Some(
                libc::ENOENT
                    | libc::ESRCH
                    | libc::ENODEV
                    | libc::EADDRNOTAVAIL
                    | libc::ENETUNREACH
                    | libc::EHOSTUNREACH
            )
        )
    }
}

/// Makes removal of something that is already gone a success.
pub(super) fn absent_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

/// A network interface as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub index: u32,
    pub name: String,
    pub mac: MacAddress,
    pub mtu: u32,
    pub up: bool,
    /// Whether there is anything at the other end of the cable.
    pub carrier: bool,
    pub is_tun: bool,
    pub is_vlan: bool,
    /// Index of the bridge that it is a port of; 0: none.
    pub bridge: u32,
    /// Id of the XDP program attached, in whatever mode.
    pub xdp_program: Option<u32>,
}

impl Link {
    pub(super) fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: MacAddress::default(),
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            carrier: message.header.flags.contains(LinkFlags::LowerUp),
            is_tun: false,
            is_vlan: false,
            bridge: 0,
            xdp_program: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(address) => {
                    link.mac =
                        <[u8; 6]>::try_from(address.as_slice()).map_or_else(|_| MacAddress::default(), MacAddress);
                }
                LinkAttribute::Controller(index) => link.bridge = *index,
                LinkAttribute::LinkInfo(infos) => {
                    link.is_tun = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Tun)));
                    link.is_vlan = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Vlan)));
                }
                LinkAttribute::Xdp(xdp) => {
                    link.xdp_program = xdp.iter().find_map(|item| match item {
                        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }
}

/// An IPv4 address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InterfaceAddress {
    pub index: u32,
    pub address: Ipv4Net,
}

/// What a request does when the thing exists already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Existing {
    Replace,
    Refuse,
}

impl Existing {
    pub(super) fn flags(self) -> u16 {
        NLM_F_ACK
            | NLM_F_CREATE
            | match self {
                Self::Replace => NLM_F_REPLACE,
                Self::Refuse => NLM_F_EXCL,
            }
    }
}

/// A routing socket for requests, in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Lets the kernel filter dumps; kernels before 4.20 refuse, and then we filter alone.
            let _ = socket.set_netlink_get_strict_chk(true);
            Ok(socket)
        };
        open()
            .map(|socket| Self { socket, sequence: 0 })
            .map_err(|source| NetlinkError::new("open a routing socket", source))
    }

    /// Sends a request that changes something.
    pub fn change(
        &mut self,
        action: impl Fn() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_ACK | flags, |_| {}).map_err(|source| NetlinkError::new(action(), source))
    }

    /// Sends a request whose answer is one message.
    pub fn get(
        &mut self,
        action: impl Fn() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<RouteNetlinkMessage, NetlinkError> {
        let mut answer = None;
        self.exchange(message, NLM_F_ACK, |message| answer = Some(message))
            .and_then(|()| answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
            .map_err(|source| NetlinkError::new(action(), source))
    }

    /// Sends a request whose answer is many messages.
    pub fn dump(
        &mut self,
        action: &'static str,
        message: RouteNetlinkMessage,
        each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_DUMP, each).map_err(|source| NetlinkError::new(action, source))
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        self.sequence = self.sequence.wrapping_add(1);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            for bytes in split_messages(&answer) {
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { continue };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok(()),
                            Some(_) => Err(error.to_io()),
                        };
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let mut links = Vec::new();
        self.dump("list interfaces", RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                links.push(Link::from_message(&link));
            }
        })?;
        Ok(links)
    }

    /// Changes attributes of an interface, and sets it up.
    pub fn set_link(&mut self, index: u32, attributes: Vec<LinkAttribute>) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = attributes;
        self.change(|| format!("set interface {index} up"), RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Deletes an interface.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.change(|| format!("delete interface {index}"), RouteNetlinkMessage::DelLink(message), 0)
    }

    /// All IPv4 addresses, loopback excepted.
    pub fn addresses(&mut self) -> Result<Vec<InterfaceAddress>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut addresses = Vec::new();
        self.dump("list addresses", RouteNetlinkMessage::GetAddress(message), |message| {
            let RouteNetlinkMessage::NewAddress(message) = message else { return };
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            let network = local.and_then(|local| Ipv4Net::new(local, message.header.prefix_len).ok());
            if let Some(address) = network.filter(|network| !network.addr().is_loopback()) {
                addresses.push(InterfaceAddress { index: message.header.index, address });
            }
        })?;
        Ok(addresses)
    }

    /// Gives an interface an address with a /32 mask.
    pub fn add_host_address(&mut self, index: u32, address: Ipv4Addr) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.index = index;
        message.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
        self.change(
            || format!("add address {address} to interface {index}"),
            RouteNetlinkMessage::NewAddress(message),
            Existing::Replace.flags(),
        )
    }

    /// Takes a /32 address from an interface.
    pub fn delete_host_address(&mut self, index: u32, address: Ipv4Addr) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.index = index;
        message.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
        self.change(
            || format!("delete address {address} from interface {index}"),
            RouteNetlinkMessage::DelAddress(message),
            0,
        )
    }
}
