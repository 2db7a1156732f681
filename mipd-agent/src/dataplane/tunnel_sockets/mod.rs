//! Tunnel packets that no kernel program takes: the agent unwraps them, and the packet inside goes on by the TUN device, as
//! one that TC has unwrapped would.
//!
//! The kernel reassembles outer fragments for the raw sockets here, and skips outer options; GRE with checksum or sequence
//! numbers comes as it is. What comes over UDP is handed in by whoever owns the UDP socket. The raw sockets also keep the
//! kernel from answering "protocol unreachable".
//!
//! * `arrival`: a packet with all that its tunnel is told by; `sequence`: the order of GRE packets;
//! * `counters`: what became of the packets.

mod arrival;
mod counters;
mod sequence;

use std::{io, mem::MaybeUninit, time::Instant};

use mipd_common::maps;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

pub(super) use self::arrival::Arrival;
use self::sequence::Sequences;
pub use self::{
    arrival::UdpArrival,
    counters::{Refusal, TunnelSocketCounters},
};
use super::{
    DataPlane,
    devices::Device,
    error::DataPlaneError,
    events::watch,
    mode::TunnelMode,
    netlink::Link,
    settings::Settings,
    tunnels::TunnelKey,
    visitors::{VisitorId, VisitorRoute},
};
use crate::wire::encapsulation::{GRE, IP_IN_IP, MINIMAL};

/// The protocols of the raw sockets.
const PROTOCOLS: [u8; 3] = [IP_IN_IP, GRE, MINIMAL];

/// How many packets are handled before other events get their turn.
const BURST: usize = 32;

/// The raw sockets, and what is known of the packets that came by them.
pub(super) struct TunnelSockets {
    sockets: Vec<AsyncFd<Socket>>,
    buffer: Vec<u8>,
    sequences: Sequences,
    pub counters: TunnelSocketCounters,
}

impl TunnelSockets {
    /// Opens the sockets, if the box is an end of tunnels.
    pub fn open(settings: &Settings) -> Result<Self, DataPlaneError> {
        let is_router = settings.home.is_some() || settings.visit.is_some();
        let protocols = PROTOCOLS.into_iter().filter(|_| is_router);
        let sockets = protocols.map(open).collect::<io::Result<Vec<_>>>();
        let sockets =
            sockets.map_err(|source| DataPlaneError::Socket { what: "the raw sockets of the tunnels", source })?;
        let buffer = if is_router { vec![0; usize::from(u16::MAX)] } else { Vec::new() };
        Ok(Self { sockets, buffer, sequences: Sequences::default(), counters: TunnelSocketCounters::default() })
    }

    /// The socket of a protocol, to wait for; its place is that in [`PROTOCOLS`]. `None` where nobody is an end of tunnels.
    pub fn socket(&self, place: usize) -> Option<&AsyncFd<Socket>> {
        self.sockets.get(place)
    }

    /// The next packet, outer header included. Fails with `WouldBlock` when there is none.
    fn receive(&mut self, place: usize) -> io::Result<usize> {
        // SAFETY: the buffer is initialised, and `recv` only writes initialised bytes into it.
        let buffer = unsafe { &mut *(std::ptr::from_mut(self.buffer.as_mut_slice()) as *mut [MaybeUninit<u8>]) };
        let Some(socket) = self.sockets.get(place) else { return Err(io::ErrorKind::WouldBlock.into()) };
        socket.get_ref().recv(buffer)
    }
}

fn open(protocol: u8) -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
    socket.set_nonblocking(true)?;
    watch(socket)
}

/// Where the packet inside goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Down to a visitor.
    Visitor,
    /// Straight to a visitor that the kernel does not know.
    HiddenVisitor(maps::Visitor),
    /// Back from an away client.
    Home,
}

/// What came out of a tunnel over UDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromUdp {
    /// A packet of a client. It has gone on.
    Client,
    /// A packet for our own end of the tunnel: a keepalive.
    Ourselves {
        /// The tunnel's mode.
        mode: TunnelMode,
        /// The packet.
        packet: Vec<u8>,
    },
}

impl DataPlane {
    /// Hands on what a raw socket holds. Returns whether it is empty now.
    pub(super) fn drain_tunnel_socket(&mut self, place: usize) -> bool {
        for _ in 0..BURST {
            let length = match self.tunnel_sockets.receive(place) {
                Ok(length) => length,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            // Out of the way of `self`, and back.
            let buffer = std::mem::take(&mut self.tunnel_sockets.buffer);
            let result = Arrival::raw(&buffer[..length]).and_then(|arrival| self.pass_on(&arrival));
            self.tunnel_sockets.buffer = buffer;
            if let Err(refusal) = result {
                self.refuse(refusal);
            }
        }
        false
    }

    /// Takes what a UDP socket got of tunnelled data: datagrams that came in fragments, and keepalives. Who gets a refusal
    /// may know better, and else counts it ([`Self::refuse`]).
    pub fn take_from_udp(&mut self, arrival: &UdpArrival<'_>) -> Result<FromUdp, Refusal> {
        let arrival = Arrival::udp(arrival)?;
        match self.pass_on(&arrival) {
            Ok(()) => Ok(FromUdp::Client),
            Err(Refusal::Stranger) if arrival.inner.destination() == arrival.exit => {
                let mode = self.tunnels.that_brought(&arrival).ok_or(Refusal::Stranger)?;
                Ok(FromUdp::Ourselves { mode, packet: arrival.inner.packet.into_owned() })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Counts a tunnel packet that goes no further.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.tunnel_sockets.counters.refuse(refusal);
    }

    /// What became of the tunnel packets that no kernel program took.
    pub fn tunnel_socket_counters(&self) -> TunnelSocketCounters {
        self.tunnel_sockets.counters
    }

    fn pass_on(&mut self, arrival: &Arrival<'_>) -> Result<(), Refusal> {
        let way = self.way_of(arrival)?;
        if let Some((flow, number)) = arrival.sequence()
            && !self.tunnel_sockets.sequences.admit(Instant::now(), flow, number)
        {
            return Err(Refusal::Sequence);
        }
        let packet = &arrival.inner.packet;
        let to_kernel = |tun: Option<&Device>| tun.is_some_and(|tun| tun.write(packet).is_ok());
        let delivered = match way {
            Way::Visitor => to_kernel(self.devices.visit.as_ref()),
            Way::HiddenVisitor(entry) => {
                let mtu = self.interfaces.link(entry.ifindex).map_or(0, |link| link.mtu);
                self.raw_delivery.send(&entry, mtu, packet).is_ok()
            }
            Way::Home => match self.home_link_of(arrival) {
                Some(link) => self.raw_delivery.send_to_group(link, arrival.inner.destination(), packet).is_ok(),
                None => to_kernel(self.devices.home.as_ref()),
            },
        };
        if !delivered {
            return Err(Refusal::Undeliverable);
        }
        self.tunnel_sockets.counters.delivered += 1;
        Ok(())
    }

    /// Where a broadcast or multicast of an away client belongs: its home link.
    fn home_link_of(&self, arrival: &Arrival<'_>) -> Option<&Link> {
        let (source, to) = (arrival.inner.source(), arrival.inner.destination());
        let mut subnets = self.settings.home.iter().flat_map(|home| &home.subnets);
        let home = subnets.find(|subnet| subnet.prefix.contains(&source))?;
        let for_all = to.is_multicast() || to.is_broadcast() || to == home.prefix.broadcast();
        self.interfaces.link(self.interfaces.index(&home.interface).filter(|_| for_all)?)
    }

    /// As the kernel programs decide it: the visitor of this home agent with the inner destination (RFC 5944 §4.2.2), or
    /// else the client whose registration has this care-of address (RFC 3024 §5.2).
    fn way_of(&self, arrival: &Arrival<'_>) -> Result<Way, Refusal> {
        let id = VisitorId { home_agent: arrival.entry, home_address: arrival.inner.destination() };
        if let Some(VisitorRoute { care_of_address, mode, .. }) = self.visitors.get(id) {
            return if *care_of_address != arrival.exit {
                Err(Refusal::Stranger)
            } else if !arrival.is_in(mode) {
                Err(Refusal::Form)
            } else {
                Ok(self.visitors.entry_of_hidden(id, &self.interfaces).map_or(Way::Visitor, Way::HiddenVisitor))
            };
        }
        let mut refusal = Refusal::Stranger;
        for key in self.bindings.tunnels_of(&self.tunnels, arrival.inner.source()) {
            if let TunnelKey::Between { local, remote, mode } = key
                && (*local, *remote) == (arrival.exit, arrival.entry)
            {
                if arrival.is_in(mode) {
                    return Ok(Way::Home);
                }
                refusal = Refusal::Form;
            }
        }
        Err(refusal)
    }
}
