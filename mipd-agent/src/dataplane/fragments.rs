//! Tunnel packets that arrived in fragments: the kernel reassembles them for a raw socket of ours, and the inner packet
//! goes on by the TUN device, as a whole one would.
//!
//! The socket also keeps the kernel from answering "protocol unreachable".

use std::{io, mem::MaybeUninit, net::Ipv4Addr};

use mipd_common::maps::Visitor;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::{
    DataPlane, devices::Device, error::DataPlaneError, events::watch, tunnels::TunnelKey, visitors::VisitorId,
};

const PROTOCOL_IP_IN_IP: u8 = 4;

/// The raw socket for IP-in-IP.
pub(super) struct Fragments {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    /// Inner packets handed on.
    pub delivered: u64,
    /// Packets that belonged to no visitor and no binding, or were malformed.
    pub refused: u64,
}

impl Fragments {
    /// Opens the socket.
    pub fn open() -> Result<Self, DataPlaneError> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL_IP_IN_IP))))?;
            socket.set_nonblocking(true)?;
            watch(socket)
        };
        let socket = open().map_err(|source| DataPlaneError::Socket { what: "a raw socket for IP-in-IP", source })?;
        Ok(Self { socket, buffer: vec![0; usize::from(u16::MAX)], delivered: 0, refused: 0 })
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &AsyncFd<Socket> {
        &self.socket
    }

    /// The next packet, outer header included. Fails with `WouldBlock` when there is none.
    fn receive(&mut self) -> io::Result<&[u8]> {
        // SAFETY: the buffer is initialised, and `recv` only writes initialised bytes into it.
        let buffer = unsafe { &mut *(std::ptr::from_mut(self.buffer.as_mut_slice()) as *mut [MaybeUninit<u8>]) };
        let length = self.socket.get_ref().recv(buffer)?;
        Ok(&self.buffer[..length])
    }
}

/// The addresses of a tunnel packet, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Tunnelled<'a> {
    entry: Ipv4Addr,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    inner: &'a [u8],
}

impl<'a> Tunnelled<'a> {
    /// `None` unless it is a whole IPv4 packet in a whole IPv4 packet.
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let outer = whole_packet(packet)?;
        let inner = whole_packet(outer.get(header_length(outer)?..)?)?;
        header_length(inner)?;
        Some(Self { entry: address(outer, 12)?, source: address(inner, 12)?, destination: address(inner, 16)?, inner })
    }
}

/// The packet, cut to the length that its header says.
fn whole_packet(bytes: &[u8]) -> Option<&[u8]> {
    header_length(bytes)?;
    let total = usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
    bytes.get(..total).filter(|packet| packet.len() >= 20)
}

fn header_length(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= 20 && packet.len() >= length).then_some(length)
}

fn address(packet: &[u8], offset: usize) -> Option<Ipv4Addr> {
    packet.get(offset..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

/// How an inner packet goes on.
enum Way<'a> {
    /// The kernel receives it on a TUN device.
    Kernel(&'a Device, &'a [u8]),
    /// Straight to a visitor that the kernel does not know.
    Frame(Visitor, &'a [u8]),
}

/// How many packets are handled before other events get their turn.
const BURST: usize = 32;

impl DataPlane {
    /// Hands on what the raw socket holds. Returns whether it is empty now.
    pub(super) fn deliver_fragments(&mut self) -> bool {
        for _ in 0..BURST {
            let packet = match self.fragments.receive() {
                Ok(packet) => packet,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            let tun = Tunnelled::parse(packet).and_then(|tunnelled| {
                let visitor = VisitorId { home_agent: tunnelled.entry, home_address: tunnelled.destination };
                let tun = if self.visitors.get(visitor).is_some() {
                    if let Some(entry) = self.visitors.entry_of_hidden(visitor, &self.interfaces) {
                        return Some(Way::Frame(entry, tunnelled.inner));
                    }
                    self.devices.visit.as_ref()
                } else if self
                    .bindings
                    .tunnels_of(&self.tunnels, tunnelled.source)
                    .any(|key| matches!(key, TunnelKey::Between { remote, .. } if *remote == tunnelled.entry))
                {
                    self.devices.home.as_ref()
                } else {
                    None
                };
                tun.map(|tun| Way::Kernel(tun, tunnelled.inner))
            });
            let delivered = match tun {
                Some(Way::Kernel(tun, inner)) => tun.write(inner).is_ok(),
                Some(Way::Frame(entry, inner)) => {
                    let mtu = self.interfaces.link(entry.ifindex).map_or(0, |link| link.mtu);
                    self.raw_delivery.send(&entry, mtu, inner).is_ok()
                }
                None => false,
            };
            *if delivered { &mut self.fragments.delivered } else { &mut self.fragments.refused } += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Tunnelled;
    use etherparse::PacketBuilder;
    use std::net::Ipv4Addr;

    fn tunnelled() -> Vec<u8> {
        let mut inner = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 9], [10, 1, 0, 5], 64).udp(1, 2).write(&mut inner, &[7; 100]).unwrap();
        let mut outer = Vec::new();
        let builder = PacketBuilder::ipv4([10, 1, 0, 1], [10, 2, 0, 1], 64);
        builder.write(&mut outer, 4.into(), &inner).unwrap();
        outer
    }

    #[test]
    fn the_inner_packet_and_the_three_addresses_are_found() {
        let mut packet = tunnelled();
        let inner = packet[20..].to_vec();
        packet.extend_from_slice(&[0; 6]);
        let parsed = Tunnelled::parse(&packet).unwrap();
        assert_eq!(parsed.entry, Ipv4Addr::new(10, 1, 0, 1));
        assert_eq!(parsed.source, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(parsed.destination, Ipv4Addr::new(10, 1, 0, 5));
        assert_eq!(parsed.inner, inner);
    }

    #[test]
    fn truncated_and_inconsistent_packets_are_refused_without_panic() {
        let packet = tunnelled();
        for length in 0..packet.len() {
            assert_eq!(Tunnelled::parse(&packet[..length]), None, "{length}");
        }
        for (offset, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (20, 0x60), (2, 0xff), (22, 0xff), (23, 0x05)] {
            let mut packet = packet.clone();
            packet[offset] = value;
            assert_eq!(Tunnelled::parse(&packet), None, "{offset} {value}");
        }
    }
}
