//! A raw socket that sends whole IPv4 packets by the kernel's routing table, from ports that others may hold.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Sends; receives nothing.
#[derive(Debug)]
pub struct RawSocket(Socket);

impl RawSocket {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends a packet, header included, to where a route leads to `destination`.
    pub fn send(&self, destination: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        self.0.send_to(packet, &SocketAddrV4::new(destination, 0).into()).map(|_| ())
    }
}
