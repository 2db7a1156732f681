//! A raw socket that sends packets inside packets (RFC 2003), one by one: for the few that no kernel program carries.

use std::{io, net::Ipv4Addr, os::fd::AsFd};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::batch::{Outgoing, SendBatch};

const PROTOCOL_IP_IN_IP: i32 = 4;
const TTL: u8 = 64;

/// Sends; what it would receive is discarded by the kernel.
#[derive(Debug)]
pub struct EncapsulatingSocket {
    socket: Socket,
    batch: SendBatch,
}

impl EncapsulatingSocket {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(PROTOCOL_IP_IN_IP)))?;
        socket.set_nonblocking(true)?;
        let nothing = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
        socket.attach_filter(&[nothing])?;
        Ok(Self { socket, batch: SendBatch::default() })
    }

    /// Sends `packet` in a packet between these addresses. The kernel writes the outer header, routes it, and fragments it
    /// where it must.
    pub fn send(&mut self, source: Ipv4Addr, destination: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let outgoing =
            Outgoing { payload: packet, source: source.octets(), destination: destination.octets(), port: 0, ttl: TTL };
        self.batch.send(self.socket.as_fd(), std::iter::once(outgoing)).map(|_| ())
    }
}
