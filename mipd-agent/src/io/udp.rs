//! The UDP 434 socket: requests to the home agent and replies to the foreign agent, as the kernel routes them.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
        sockopt::Ipv4PacketInfo,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::datagram::{Datagram, REGISTRATION_PORT};
use crate::mobility::link::{InterfaceIndex, Transmit};

/// Larger than any registration message; the rest of a longer datagram is cut off and fails to parse.
const LARGEST_MESSAGE: usize = 2048;

/// A socket on UDP 434, all local addresses, that tells and chooses addresses per datagram.
#[derive(Debug)]
pub struct RegistrationSocket {
    socket: AsyncFd<Socket>,
}

impl RegistrationSocket {
    /// Opens the socket. Fails if another Mobile IP agent holds the port.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
        receive_ttl(&socket)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, REGISTRATION_PORT).into())?;
        // SAFETY: a `Socket` owns one descriptor for life and always reports that one.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// The next datagram. Cancel-safe.
    pub async fn receive(&self) -> io::Result<Datagram> {
        self.socket.async_io(Interest::READABLE, receive).await
    }

    /// Sends a datagram by the kernel's routing table, from the address and with the TTL it names.
    pub fn send(&self, transmit: &Transmit) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(transmit.source.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let ttl = libc::c_int::from(transmit.ttl);
        sendmsg(
            self.socket.get_ref().as_raw_fd(),
            &[IoSlice::new(&transmit.payload)],
            &[ControlMessage::Ipv4PacketInfo(&info), ControlMessage::Ipv4Ttl(&ttl)],
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrIn::from(SocketAddrV4::new(transmit.destination, transmit.destination_port))),
        )?;
        Ok(())
    }
}

fn receive(socket: &Socket) -> io::Result<Datagram> {
    let mut buffer = [0; LARGEST_MESSAGE];
    let mut control = cmsg_space!(libc::in_pktinfo, libc::c_int);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let mut interface = 0;
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let mut ttl = 0;
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                interface = info.ipi_ifindex.cast_unsigned();
                destination = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
            }
            ControlMessageOwned::Ipv4Ttl(value) => ttl = u8::try_from(value).unwrap_or(0),
            _ => {}
        }
    }
    let source = message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from);
    let length = message.bytes;
    Ok(Datagram {
        payload: buffer[..length].to_vec(),
        source: *source.ip(),
        source_port: source.port(),
        destination,
        destination_port: REGISTRATION_PORT,
        ttl,
        interface: InterfaceIndex(interface),
        source_mac: None,
    })
}

fn receive_ttl(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live `c_int` and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTTL,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
