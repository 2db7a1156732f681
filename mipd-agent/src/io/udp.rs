//! The UDP 434 socket: requests to the home agent and replies to the foreign agent, as the kernel routes them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd},
    sync::Mutex,
};

use nix::sys::socket::{setsockopt, sockopt::Ipv4PacketInfo};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    batch::{Message, Outgoing, ReceiveBatch, SendBatch},
    datagram::{Datagram, REGISTRATION_PORT},
};
use crate::mobility::link::{InterfaceIndex, Transmit};

/// A socket on UDP 434, all local addresses, that tells and chooses addresses per datagram.
#[derive(Debug)]
pub struct RegistrationSocket {
    socket: AsyncFd<Socket>,
    sending: Mutex<SendBatch>,
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
        Ok(Self { socket, sending: Mutex::default() })
    }

    /// The datagrams that are there; waits for the first. Cancel-safe.
    pub async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<Vec<Datagram>> {
        self.socket.async_io(Interest::READABLE, |socket| batch.receive(socket.as_fd())).await?;
        Ok(batch.messages().map(|message| datagram(&message)).collect())
    }

    /// Sends datagrams by the kernel's routing table, each from the address and with the TTL it names. Those that cannot be
    /// sent are handed to `failed` and left out.
    pub fn send(&self, mut transmits: &[Transmit], mut failed: impl FnMut(&Transmit, io::Error)) {
        let mut batch = self.sending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Some((first, others)) = transmits.split_first() {
            match batch.send(self.socket.get_ref().as_fd(), transmits.iter().map(outgoing)) {
                Ok(sent) => transmits = &transmits[sent.max(1)..],
                Err(error) => {
                    failed(first, error);
                    transmits = others;
                }
            }
        }
    }
}

fn outgoing(transmit: &Transmit) -> Outgoing<'_> {
    Outgoing {
        payload: &transmit.payload,
        source: transmit.source.octets(),
        destination: transmit.destination.octets(),
        port: transmit.destination_port,
        ttl: transmit.ttl,
    }
}

fn datagram(message: &Message<'_>) -> Datagram {
    let mut interface = 0;
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let mut ttl = 0;
    message.control(|level, kind, data| match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // `struct in_pktinfo`: interface index, local address, destination address of the header.
            if let &[a, b, c, d, _, _, _, _, e, f, g, h] = data {
                interface = u32::from_ne_bytes([a, b, c, d]);
                destination = Ipv4Addr::new(e, f, g, h);
            }
        }
        (libc::IPPROTO_IP, libc::IP_TTL) => {
            ttl = data.first_chunk().map_or(0, |value| i32::from_ne_bytes(*value).try_into().unwrap_or(0));
        }
        _ => {}
    });
    let (source, source_port) = message.ipv4_source();
    Datagram {
        payload: message.payload.to_vec(),
        source: source.into(),
        source_port,
        destination,
        destination_port: REGISTRATION_PORT,
        ttl,
        interface: InterfaceIndex(interface),
        source_mac: None,
    }
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
