//! Sockets as one stream of messages: a task per socket reads, the daemon takes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::sources::{self, SourceReport, Task};
use crate::{
    io::{
        batch::ReceiveBatch,
        datagram::Datagram,
        frames::{Frame, FrameSocket, Want},
        radius::RadiusSocket,
        udp::{Arrivals, RegistrationSocket},
        undeliverable::Undeliverable,
    },
    mobility::{link::InterfaceIndex, security::radius::ServerIndex},
    wire::subnet_map::PORT,
};

/// Batches of messages that wait for the daemon. Further ones wait in the sockets, and are lost there if it falls far
/// behind.
const QUEUE: usize = 8;

/// How long a RADIUS socket that was given up is still read.
const RADIUS_LINGER: Duration = Duration::from_secs(30);
/// How long the addresses of names are taken to be the same.
const RESOLVED_FOR: Duration = Duration::from_mins(5);
/// How soon names that have no address are looked up again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(10);

/// What a socket had when it was read. Not to be printed: a server's datagrams hold keys.
pub enum Input {
    /// Datagrams to UDP port 434 that the kernel delivered.
    Datagrams(Vec<Datagram>),
    /// A datagram from UDP port 434 that did not arrive.
    Undeliverable(Undeliverable),
    /// Frames that passed a packet socket's filter.
    Frames(Vec<Frame>),
    /// A datagram of a RADIUS server.
    Radius(ServerIndex, Zeroizing<Vec<u8>>),
    /// Broadcasts of a home link.
    Broadcasts(Vec<Frame>),
    /// Datagrams of the exchange of the subnet map.
    SubnetMap(Vec<Datagram>),
    /// The addresses of the authoritative access points.
    Authoritative(Vec<Ipv4Addr>),
    /// A source of news about stations has something to say.
    Source(SourceReport),
}

/// The reading ends of all sockets.
#[derive(Debug)]
pub struct Inputs {
    sender: mpsc::Sender<Input>,
    queue: mpsc::Receiver<Input>,
}

impl Inputs {
    /// No sockets yet.
    pub fn new() -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        Self { sender, queue }
    }

    /// The next batch of messages. Cancel-safe.
    pub async fn next(&mut self) -> Input {
        match self.queue.recv().await {
            Some(input) => input,
            // We hold a sender ourselves, so the queue never closes.
            None => std::future::pending().await,
        }
    }

    /// Opens and reads the UDP 434 socket.
    pub fn registration_socket(&self) -> io::Result<Arc<RegistrationSocket>> {
        Ok(self.read(RegistrationSocket::open()?, ReceiveBatch::for_datagrams(), |arrivals| {
            Some(match arrivals {
                Arrivals::Datagrams(datagrams) => Input::Datagrams(datagrams),
                Arrivals::Undeliverable(returned) => Input::Undeliverable(returned),
            })
        }))
    }

    /// Opens and reads the socket of the subnet map. What does not arrive there is not told: silence will.
    pub fn subnet_map_socket(&self) -> io::Result<Arc<RegistrationSocket>> {
        Ok(self.read(RegistrationSocket::open_on(PORT)?, ReceiveBatch::new(), |arrivals| match arrivals {
            Arrivals::Datagrams(datagrams) => Some(Input::SubnetMap(datagrams)),
            Arrivals::Undeliverable(_) => None,
        }))
    }

    /// Reads a socket for good.
    fn read(
        &self,
        socket: RegistrationSocket,
        mut batch: ReceiveBatch,
        input: impl Fn(Arrivals) -> Option<Input> + Send + 'static,
    ) -> Arc<RegistrationSocket> {
        let socket = Arc::new(socket);
        let (reader, sender) = (Arc::clone(&socket), self.sender.clone());
        tokio::spawn(async move {
            loop {
                match reader.receive(&mut batch).await.map(&input) {
                    Ok(Some(input)) => {
                        if sender.send(input).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    // An ICMP error whose quotation is lost; the socket itself is fine.
                    Err(error) => tracing::debug!(port = reader.port(), %error, "UDP"),
                }
            }
        });
        socket
    }

    /// Looks up the addresses of hosts now and then. Those that have none now are left out.
    pub fn resolve(&self, names: Vec<String>) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            loop {
                let mut addresses = Vec::new();
                for name in &names {
                    match tokio::net::lookup_host((name.as_str(), PORT)).await {
                        Ok(mut found) => addresses.extend(found.find_map(|address| match address {
                            SocketAddr::V4(address) => Some(*address.ip()),
                            SocketAddr::V6(_) => None,
                        })),
                        Err(error) => tracing::debug!(name, %error, "cannot look up an authoritative access point"),
                    }
                }
                let pause = if addresses.len() == names.len() { RESOLVED_FOR } else { RESOLVE_AGAIN };
                if sender.send(Input::Authoritative(addresses)).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Listens to the hostapd of a radio, whose control sockets are in `directory`; it answers to the file `own`.
    pub fn hostapd(&self, interface: InterfaceIndex, name: &str, directory: &Path, own: PathBuf) -> Task {
        sources::hostapd(self.sender.clone(), interface, name, directory, own)
    }

    /// Listens to the kernel's wireless subsystem about a radio.
    pub fn nl80211(&self, interface: InterfaceIndex) -> Task {
        sources::nl80211(self.sender.clone(), interface)
    }

    /// Opens a socket for a RADIUS server, and reads it until it is dropped.
    pub fn radius_socket(&self, server: ServerIndex, address: SocketAddrV4) -> io::Result<Arc<RadiusSocket>> {
        let socket = Arc::new(RadiusSocket::open(address)?);
        let (reader, sender) = (Arc::downgrade(&socket), self.sender.clone());
        tokio::spawn(async move {
            // Until nobody else holds the socket: then nothing is sent any more that could be answered.
            while let Some(socket) = reader.upgrade() {
                match tokio::time::timeout(RADIUS_LINGER, socket.receive()).await {
                    Ok(Ok(datagram)) => {
                        if sender.send(Input::Radius(server, datagram)).await.is_err() {
                            return;
                        }
                    }
                    // Nobody listens there, or there is no way.
                    Ok(Err(error)) => tracing::debug!(server = %address, %error, "RADIUS"),
                    Err(_) => {}
                }
            }
        });
        Ok(socket)
    }

    /// Opens a packet socket and reads what it wants.
    pub fn frame_socket(&self, interface: InterfaceIndex, want: Want) -> io::Result<Arc<FrameSocket>> {
        let socket = Arc::new(FrameSocket::open(interface, want)?);
        if want == Want::Nothing {
            return Ok(socket);
        }
        let (reader, sender) = (Arc::clone(&socket), self.sender.clone());
        tokio::spawn(async move {
            let mut batch = ReceiveBatch::for_datagrams();
            loop {
                match reader.receive(&mut batch).await {
                    Ok(frames) => {
                        let input =
                            if want == Want::Broadcasts { Input::Broadcasts(frames) } else { Input::Frames(frames) };
                        if sender.send(input).await.is_err() {
                            return;
                        }
                    }
                    Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                        if nix::net::if_::if_indextoname(interface.0).is_err() {
                            return;
                        }
                        tracing::warn!(interface = interface.0, "interface is down");
                    }
                    Err(error) => {
                        tracing::error!(interface = interface.0, %error, "packet socket failed; it is not read any more");
                        return;
                    }
                }
            }
        });
        Ok(socket)
    }
}
