//! The UDP 434 socket: requests to the home agent and replies to the foreign agent, as the kernel routes them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd},
    sync::Mutex,
};

use nix::sys::socket::{
    setsockopt,
    sockopt::{Ipv4PacketInfo, Ipv4RecvErr},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    batch::{Message, Outgoing, ReceiveBatch, SendBatch},
    burst,
    datagram::{Datagram, REGISTRATION_PORT},
    undeliverable::{self, Undeliverable},
};
use crate::mobility::link::{InterfaceIndex, Transmit};

/// How often sending is tried again after a failure that may be an earlier datagram's.
const ATTEMPTS: u32 = 3;

/// What the socket had.
#[derive(Debug)]
pub enum Arrivals {
    /// Datagrams for us.
    Datagrams(Vec<Datagram>),
    /// A datagram of ours that did not arrive.
    Undeliverable(Undeliverable),
}

/// A socket on UDP 434, or another port, on all local addresses, that tells and chooses addresses per datagram.
#[derive(Debug)]
pub struct RegistrationSocket {
    socket: AsyncFd<Socket>,
    port: u16,
    sending: Mutex<SendBatch>,
}

impl RegistrationSocket {
    /// Opens the socket. Fails if another Mobile IP agent holds the port.
    pub fn open() -> io::Result<Self> {
        Self::open_on(REGISTRATION_PORT)
    }

    /// Opens the same kind of socket on another port.
    pub fn open_on(port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
        setsockopt(&socket, Ipv4RecvErr, &true)?;
        receive_ttl(&socket)?;
        burst::make_room(&socket);
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
        // SAFETY: a `Socket` owns one descriptor for life and always reports that one.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, port, sending: Mutex::default() })
    }

    /// The port that it was opened on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The datagrams that are there, or what came back of those sent; waits for the first. Cancel-safe.
    pub async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<Arrivals> {
        let interest = Interest::READABLE | Interest::ERROR;
        let returned = self.socket.async_io(interest, |socket| receive(socket, batch)).await?;
        Ok(match returned {
            Some(undeliverable) => Arrivals::Undeliverable(undeliverable),
            None => Arrivals::Datagrams(batch.messages().map(|message| datagram(&message, self.port)).collect()),
        })
    }

    /// Sends datagrams by the kernel's routing table, each from the address and with the TTL it names. Those that cannot be
    /// sent are handed to `failed` and left out.
    pub fn send(&self, mut transmits: &[Transmit], mut failed: impl FnMut(&Transmit, io::Error)) {
        let mut batch = self.sending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut attempts = ATTEMPTS;
        while let Some((first, others)) = transmits.split_first() {
            match batch.send(self.socket.get_ref().as_fd(), transmits.iter().map(outgoing)) {
                Ok(sent) => {
                    transmits = &transmits[sent.max(1)..];
                    attempts = ATTEMPTS;
                }
                // An ICMP error about an earlier datagram makes the next call fail, once, and sends nothing.
                Err(error) if attempts > 1 && error.kind() != io::ErrorKind::WouldBlock => attempts -= 1,
                Err(error) => {
                    failed(first, error);
                    transmits = others;
                    attempts = ATTEMPTS;
                }
            }
        }
    }
}

/// Fills the batch, or returns what came back. The queue of errors is looked at only when there is nothing else, since a
/// socket with an error says so before it gives out another datagram.
fn receive(socket: &Socket, batch: &mut ReceiveBatch) -> io::Result<Option<Undeliverable>> {
    match batch.receive(socket.as_fd()) {
        Ok(_) => Ok(None),
        Err(error) => undeliverable::take(socket.as_fd())?.map_or(Err(error), |returned| Ok(Some(returned))),
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

fn datagram(message: &Message<'_>, port: u16) -> Datagram {
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
        destination_port: port,
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::{Arrivals, ReceiveBatch, RegistrationSocket};
    use crate::{
        io::undeliverable::Undeliverable,
        mobility::{
            foreign_agent::Unreachable,
            link::{Path, Transmit},
        },
    };

    fn transmit(port: u16, payload: &[u8]) -> Transmit {
        Transmit {
            payload: payload.to_vec(),
            source: Ipv4Addr::LOCALHOST,
            source_port: 0,
            destination: Ipv4Addr::LOCALHOST,
            destination_port: port,
            ttl: 64,
            path: Path::Routed,
        }
    }

    fn closed_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn an_icmp_error_comes_back_with_what_it_quotes_and_costs_no_other_datagram() {
        let socket = RegistrationSocket::open_on(0).unwrap();
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (closed, open) = (closed_port(), listener.local_addr().unwrap().port());
        let nothing_fails = |_: &Transmit, error| panic!("{error}");
        socket.send(&[transmit(closed, b"lost")], nothing_fails);
        socket.send(&[transmit(open, b"one"), transmit(open, b"two")], nothing_fails);
        let mut buffer = [0; 8];
        for expected in [&b"one"[..], b"two"] {
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
        // The failed attempt to send took the error itself; its quotation is still there.
        let Arrivals::Undeliverable(returned) = socket.receive(&mut ReceiveBatch::new()).await.unwrap() else {
            panic!("nobody wrote to us")
        };
        let expected = Undeliverable {
            destination: Ipv4Addr::LOCALHOST,
            port: closed,
            what: Unreachable::Port,
            payload: b"lost".to_vec(),
        };
        assert_eq!(returned, expected);
    }

    #[tokio::test]
    async fn datagrams_still_arrive_after_an_error() {
        let socket = RegistrationSocket::open_on(0).unwrap();
        let own = socket.socket.get_ref().local_addr().unwrap().as_socket_ipv4().unwrap().port();
        socket.send(&[transmit(closed_port(), b"lost")], |_, error| panic!("{error}"));
        let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
        friend.send_to(b"hello", (Ipv4Addr::LOCALHOST, own)).unwrap();
        let mut batch = ReceiveBatch::new();
        let (mut errors, mut datagrams) = (0, 0);
        while errors + datagrams < 2 {
            match socket.receive(&mut batch).await {
                Ok(Arrivals::Undeliverable(_)) => errors += 1,
                Ok(Arrivals::Datagrams(received)) => datagrams += received.len(),
                Err(_) => {}
            }
        }
        assert_eq!((errors, datagrams), (1, 1));
    }

    #[test]
    fn nothing_is_ever_broadcast() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        let socket = RegistrationSocket::open_on(0).unwrap();
        let broadcast = Transmit { destination: Ipv4Addr::BROADCAST, ..transmit(434, b"to all") };
        let mut failures = Vec::new();
        socket.send(&[broadcast], |_, error| failures.push(crate::io::undeliverable::unreachable_by(&error)));
        assert!(matches!(failures[..], [Some(_)]), "nothing is ever broadcast: {failures:?}");
    }
}
