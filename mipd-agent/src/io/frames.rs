//! Packet sockets: whole Ethernet frames, one socket per interface.
//!
//! A registration request from a visitor must be seen with its link-layer source, and the reply must go back to it
//! without ARP (RFC 5944 §3.7.3.2); advertisements must be seen with the agent's link-layer source. A socket filter in
//! the kernel lets only those few frames through.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use socket2::{Domain, SockFilter, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use mipd_common::mac::MacAddress;

use super::{
    batch::{LARGEST, Message, ReceiveBatch},
    burst,
};
use crate::{
    linux::link_address,
    mobility::link::InterfaceIndex,
    wire::{
        advertisement::{ALL_MOBILITY_AGENTS, ALL_ROUTERS},
        frame,
    },
};

/// Which frames a socket delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// UDP to port 434 and ICMP router solicitations: a mobility agent's access or home interface.
    AgentTraffic,
    /// ICMP router advertisements, and what DHCP servers answer to clients: an access point's uplink.
    Advertisements,
    /// IPv4 broadcasts: a home interface.
    Broadcasts,
    /// Nothing; the socket only sends.
    Nothing,
}

impl Want {
    /// A bridge takes the frames of its ports before any handler of one protocol sees them: there only a tap for all
    /// protocols hears anything. Elsewhere such a tap would cost every packet that the programs redirect.
    fn protocol(self) -> u16 {
        match self {
            Self::Advertisements => libc::ETH_P_ALL as u16,
            Self::AgentTraffic | Self::Broadcasts => libc::ETH_P_IP as u16,
            Self::Nothing => 0,
        }
    }
}

/// A frame as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Where it came in.
    pub interface: InterfaceIndex,
    /// The kernel vouches for the transport checksum (which may not have been filled in by a local sender).
    pub checksum_verified: bool,
}

/// A packet socket on one interface.
#[derive(Debug)]
pub struct FrameSocket {
    socket: AsyncFd<Socket>,
    interface: InterfaceIndex,
}

impl FrameSocket {
    /// Opens a packet socket on an interface.
    pub fn open(interface: InterfaceIndex, want: Want) -> io::Result<Self> {
        // Protocol 0 until the filter is in place: nothing may slip in before it.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        if want == Want::Nothing {
            socket.bind(&link_address(interface.0, 0))?;
        } else {
            socket.attach_filter(&filter(want))?;
            set_packet_option(&socket, libc::PACKET_AUXDATA, &SWITCHED_ON)?;
            set_packet_option(&socket, PACKET_IGNORE_OUTGOING, &SWITCHED_ON)?;
            if want == Want::AgentTraffic {
                burst::make_room(&socket);
                for group in [ALL_ROUTERS, ALL_MOBILITY_AGENTS].into_iter().filter_map(frame::group_mac) {
                    join(&socket, interface, group)?;
                }
            }
            socket.bind(&link_address(interface.0, want.protocol()))?;
        }
        // SAFETY: a `Socket` owns one descriptor for life and always reports that one.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, interface })
    }

    /// The frames that are there; waits for the first. Cancel-safe.
    pub async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<Vec<Frame>> {
        self.socket.async_io(Interest::READABLE, |socket| batch.receive(socket.as_fd())).await?;
        Ok(batch.messages().map(|message| self.frame(&message)).collect())
    }

    /// Sends a whole frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.get_ref().send_to(frame, &link_address(self.interface.0, libc::ETH_P_IP as u16)).map(|_| ())
    }

    fn frame(&self, message: &Message<'_>) -> Frame {
        let mut status = 0;
        message.control(|level, _, data| {
            if level == libc::SOL_PACKET
                && let Some(bytes) = data.first_chunk()
            {
                // `struct tpacket_auxdata` begins with the status word.
                status = u32::from_ne_bytes(*bytes);
            }
        });
        Frame {
            bytes: message.payload.to_vec(),
            interface: self.interface,
            checksum_verified: status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID) != 0,
        }
    }
}

/// `linux/if_packet.h`
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;
const TP_STATUS_CSUM_VALID: u32 = 1 << 7;

const SWITCHED_ON: libc::c_int = 1;

/// Has the interface take frames to a multicast address, for as long as the socket lives. The kernel joins the group of
/// all systems itself, but not those that agents are asked by.
fn join(socket: &Socket, interface: InterfaceIndex, group: MacAddress) -> io::Result<()> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&group.0);
    let membership = libc::packet_mreq {
        mr_ifindex: interface.0.cast_signed(),
        mr_type: libc::PACKET_MR_MULTICAST as libc::c_ushort,
        mr_alen: 6,
        mr_address: address,
    };
    set_packet_option(socket, libc::PACKET_ADD_MEMBERSHIP, &membership)
}

fn set_packet_option<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the option value is a live C value and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Classic BPF over an Ethernet frame.
fn filter(want: Want) -> Vec<SockFilter> {
    const LD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const LD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const LD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LD_BYTE_X: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
    const LD_WORD_X: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_IND) as u16;
    const LD_HALF_X: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
    const LDX_IHL: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
    const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const ETHERNET: u32 = 14;
    const ACCEPT: u32 = LARGEST as u32;
    let op = SockFilter::new;
    match want {
        Want::Nothing => vec![op(RET, 0, 0, 0)],
        Want::AgentTraffic => vec![
            op(LD_HALF, 0, 0, ETHERNET + 6),
            op(JSET, 8, 0, 0x1fff), // a later fragment has no ports
            op(LDX_IHL, 0, 0, ETHERNET),
            op(LD_BYTE, 0, 0, ETHERNET + 9),
            op(JEQ, 0, 2, 17),
            op(LD_HALF_X, 0, 0, ETHERNET + 2),
            op(JEQ, 4, 3, u32::from(super::datagram::REGISTRATION_PORT)),
            op(JEQ, 0, 2, 1),
            op(LD_BYTE_X, 0, 0, ETHERNET),
            op(JEQ, 1, 0, 10),
            op(RET, 0, 0, 0),
            op(RET, 0, 0, ACCEPT),
        ],
        Want::Broadcasts => vec![
            op(LD_WORD, 0, 0, 0),
            op(JEQ, 0, 3, u32::MAX),
            op(LD_HALF, 0, 0, 4),
            op(JEQ, 0, 1, 0xffff),
            op(RET, 0, 0, ACCEPT),
            op(RET, 0, 0, 0),
        ],
        Want::Advertisements => vec![
            op(LD_HALF, 0, 0, ETHERNET - 2),
            op(JEQ, 0, 10, libc::ETH_P_IP as u32),
            op(LD_HALF, 0, 0, ETHERNET + 6),
            op(JSET, 8, 0, 0x1fff),
            op(LDX_IHL, 0, 0, ETHERNET),
            op(LD_BYTE, 0, 0, ETHERNET + 9),
            op(JEQ, 0, 2, 1),
            op(LD_BYTE_X, 0, 0, ETHERNET),
            op(JEQ, 4, 3, 9),
            op(JEQ, 0, 2, 17),
            // Source and destination port at once: from a DHCP server to a client.
            op(LD_WORD_X, 0, 0, ETHERNET),
            op(JEQ, 1, 0, u32::from_be_bytes([0, 67, 0, 68])),
            op(RET, 0, 0, 0),
            op(RET, 0, 0, ACCEPT),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, os::unix::net::UnixDatagram};

    use socket2::SockRef;

    use super::*;
    use crate::wire::{
        frame::{IcmpPacket, Link, emit_icmp, emit_udp},
        ip::Datagram,
    };

    /// Has the kernel run the filter: a socket pair's filter sees a datagram from its first byte on.
    fn passes(want: Want, frame: &[u8]) -> bool {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        SockRef::from(&receiver).attach_filter(&filter(want)).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let _ = sender.send(frame);
        receiver.recv(&mut [0; 2048]).is_ok()
    }

    #[test]
    fn an_uplink_hears_advertisements_and_dhcp_servers_and_nothing_else() {
        let (source, destination) = (Ipv4Addr::new(10, 2, 0, 1), Ipv4Addr::BROADCAST);
        let link = Link { destination: MacAddress::BROADCAST, source: MacAddress([2, 0, 0, 0, 0, 1]) };
        let udp = |source_port, destination_port| {
            emit_udp(link, &Datagram { source, source_port, destination, destination_port, ttl: 64, payload: &[0; 40] })
        };
        let icmp =
            |kind: u8| emit_icmp(link, &IcmpPacket { source, destination, ttl: 1, message: &[kind, 0, 0, 0, 0, 0] });
        let heard = |frame: &[u8]| passes(Want::Advertisements, frame);
        assert!(heard(&udp(67, 68)) && heard(&icmp(9)));
        assert!(!heard(&udp(68, 67)) && !heard(&udp(67, 67)) && !heard(&icmp(10)));
        let mut fragment = udp(67, 68);
        fragment[21] = 1;
        let mut other = udp(67, 68);
        other[13] = 6;
        assert!(!heard(&fragment) && !heard(&other) && !heard(&udp(67, 68)[..20]));
    }
}
