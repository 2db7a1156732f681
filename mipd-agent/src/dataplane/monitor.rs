//! Listens to what changes in the kernel's routing: interfaces, addresses, routes and neighbours.

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use socket2::{SockFilter, SockRef};
use tokio::io::unix::AsyncFd;

use super::{
    DataPlane,
    devices::Devices,
    error::DataPlaneError,
    events::{Event, clear, watch},
    netlink::{Link, PROTOCOL},
    routes::{read_neighbour, read_route},
    sysctl,
};
use crate::linux::split_messages;

/// Multicast groups: interfaces, neighbours, IPv4 addresses, IPv4 routes.
const GROUPS: [u32; 4] = [libc::RTNLGRP_LINK, libc::RTNLGRP_NEIGH, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV4_ROUTE];
/// Room for the storm when a routing daemon reloads.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Where a routing message says what it is, and a route who made it (after a header of 16 bytes).
const TYPE_AT: u32 = 4;
const ROUTE_PROTOCOL_AT: u32 = 16 + 5;
/// How many datagrams are read before other events get their turn.
const BURST: usize = 256;

/// The listening socket.
pub(super) struct Monitor {
    socket: AsyncFd<Socket>,
}

impl Monitor {
    /// Opens the socket.
    pub fn open() -> Result<Self, DataPlaneError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            for group in GROUPS {
                socket.add_membership(group)?;
            }
            // Spares us our own routes, of which there may be a million; they are not looked at in any case.
            let _ = SockRef::from(&socket).attach_filter(&others_routes());
            // Only a hint: with less room events are lost, and then everything is looked up again.
            let _ = socket.set_rx_buf_sz(RECEIVE_BUFFER);
            socket.set_non_blocking(true)?;
            watch(socket)
        };
        open()
            .map(|socket| Self { socket })
            .map_err(|source| DataPlaneError::Socket { what: "a socket for routing events", source })
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &AsyncFd<Socket> {
        &self.socket
    }
}

/// Everything but news of routes that have our protocol number.
fn others_routes() -> [SockFilter; 7] {
    let op = |code: u32, yes, no, k| SockFilter::new(code as u16, yes, no, k);
    // Types are in the machine's order, loads in network order.
    let kind = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    [
        op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, TYPE_AT),
        op(equal, 1, 0, kind(libc::RTM_NEWROUTE)),
        op(equal, 0, 2, kind(libc::RTM_DELROUTE)),
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, ROUTE_PROTOCOL_AT),
        op(equal, 1, 0, u8::from(PROTOCOL).into()),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

impl DataPlane {
    /// Takes note of what has changed.
    pub(super) fn drain_monitor(&mut self) {
        for _ in 0..BURST {
            match self.monitor.socket.get_ref().recv_from_full() {
                Ok((datagram, _)) => {
                    for bytes in split_messages(&datagram) {
                        if let Err(error) = self.routing_event(bytes) {
                            tracing::warn!(%error, "a change of the network could not be followed");
                        }
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.events_lost(),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::warn!(%error, "cannot read routing events");
                    }
                    clear(Some(&self.monitor.socket));
                    return;
                }
            }
        }
    }

    fn routing_event(&mut self, bytes: &[u8]) -> Result<(), DataPlaneError> {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { return Ok(()) };
        let NetlinkPayload::InnerMessage(message) = message.payload else { return Ok(()) };
        match message {
            // Bridges speak of their ports with the same message; those tell nothing of the interface itself.
            RouteNetlinkMessage::NewLink(link) if u8::from(link.header.interface_family) == 0 => {
                self.link_changed(Link::from_message(&link))
            }
            RouteNetlinkMessage::DelLink(link) if u8::from(link.header.interface_family) == 0 => {
                self.link_gone(link.header.index)
            }
            RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
                self.publish_addresses()?;
                self.tunnels.mark_stale(|_| true);
                if let Some(link) = self.interfaces.link(address.header.index) {
                    let name = link.name.clone();
                    self.interface_changed(name);
                }
                Ok(())
            }
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                if route.header.protocol != PROTOCOL {
                    let destination = read_route(&route).destination;
                    self.tunnels.mark_stale(|state| state.key.remote().is_some_and(|exit| destination.contains(&exit)));
                }
                Ok(())
            }
            RouteNetlinkMessage::NewNeighbour(neighbour) | RouteNetlinkMessage::DelNeighbour(neighbour) => {
                if let Some(neighbour) = read_neighbour(&neighbour) {
                    self.tunnels.mark_stale(|state| {
                        state
                            .next_hop
                            .is_some_and(|hop| (hop.device, hop.address) == (neighbour.device, neighbour.address))
                    });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn link_changed(&mut self, link: Link) -> Result<(), DataPlaneError> {
        let index = link.index;
        let changed = self.interfaces.update(link, &mut self.attacher, &mut self.netlink, &mut self.journal)?;
        self.tunnels.mark_stale(|_| true);
        if let Some(name) = changed {
            // One that came back has fresh settings.
            let settings = sysctl::required(&self.settings, &Devices::names(&self.settings))?;
            sysctl::apply(settings, &mut self.journal)?;
            self.rewrite_visitors(index)?;
            self.publish_access_point()?;
            self.rewrite_stations(index)?;
            self.interface_changed(name);
        }
        Ok(())
    }

    fn link_gone(&mut self, index: u32) -> Result<(), DataPlaneError> {
        let name = self.interfaces.remove(index)?;
        self.tunnels.mark_stale(|_| true);
        if let Some(name) = name {
            self.interface_changed(name);
        }
        Ok(())
    }

    fn interface_changed(&mut self, name: String) {
        let event = Event::InterfaceChanged { name };
        if !self.pending.contains(&event) {
            self.pending.push_back(event);
        }
    }

    /// The kernel had more events than the socket could hold: looks at everything again.
    fn events_lost(&mut self) {
        tracing::warn!("routing events were lost; looking at everything again");
        let again = |this: &mut Self| {
            let links = this.netlink.links()?;
            for gone in this.interfaces.gone(&links) {
                this.link_gone(gone)?;
            }
            links.into_iter().try_for_each(|link| this.link_changed(link))?;
            this.publish_addresses()
        };
        if let Err(error) = again(self) {
            tracing::warn!(%error, "the network could not be looked at");
        }
        self.tunnels.mark_stale(|_| true);
    }
}
