//! Raw sockets that send packets inside packets, one by one: for the few that no kernel program carries.

use std::{io, net::Ipv4Addr, os::fd::AsFd};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::batch::{Outgoing, SendBatch};
use crate::wire::encapsulation::{GRE, IP_IN_IP, MINIMAL};

const TTL: u8 = 64;

/// Sends; what it would receive is discarded by the kernel.
#[derive(Debug)]
pub struct EncapsulatingSocket {
    sockets: [(u8, Socket); 3],
    batch: SendBatch,
}

impl EncapsulatingSocket {
    /// Opens the sockets.
    pub fn open() -> io::Result<Self> {
        let sockets = [(IP_IN_IP, open(IP_IN_IP)?), (GRE, open(GRE)?), (MINIMAL, open(MINIMAL)?)];
        Ok(Self { sockets, batch: SendBatch::default() })
    }

    /// Sends what follows the outer header of `protocol`, between these addresses. The kernel writes that header, routes it,
    /// and fragments it where it must.
    pub fn send(
        &mut self,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let outgoing =
            Outgoing { payload, source: source.octets(), destination: destination.octets(), port: 0, ttl: TTL };
        let socket = self.sockets.iter().find(|(own, _)| *own == protocol).map(|(_, socket)| socket);
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
        self.batch.send(socket.as_fd(), std::iter::once(outgoing)).map(|_| ())
    }
}

fn open(protocol: u8) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
    socket.set_nonblocking(true)?;
    let nothing = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
    socket.attach_filter(&[nothing])?;
    Ok(socket)
}
