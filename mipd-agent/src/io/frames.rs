//! Packet sockets: whole Ethernet frames, one socket per interface.
//!
//! A registration request from a visitor must be seen with its link-layer source, and the reply must go back to it
//! without ARP (RFC 5944 §3.7.3.2); advertisements must be seen with the agent's link-layer source. A socket filter in
//! the kernel lets only those few frames through.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, recvmsg},
};
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use crate::mobility::link::InterfaceIndex;

const LARGEST_FRAME: usize = 2048;

/// Which frames a socket delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// UDP to port 434 and ICMP router solicitations: a mobility agent's access or home interface.
    AgentTraffic,
    /// ICMP router advertisements: an access point's uplink.
    Advertisements,
    /// Nothing; the socket only sends.
    Nothing,
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
        if want != Want::Nothing {
            socket.attach_filter(&filter(want))?;
            deliver_auxiliary_data(&socket)?;
            socket.bind(&link_address(interface, libc::ETH_P_IP as u16))?;
        } else {
            socket.bind(&link_address(interface, 0))?;
        }
        // SAFETY: a `Socket` owns one descriptor for life and always reports that one.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, interface })
    }

    /// The next frame sent *to* this interface; our own transmissions are skipped. Cancel-safe.
    pub async fn receive(&self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.socket.async_io(Interest::READABLE, |socket| self.receive_one(socket)).await? {
                return Ok(frame);
            }
        }
    }

    /// Sends a whole frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.get_ref().send_to(frame, &link_address(self.interface, libc::ETH_P_IP as u16)).map(|_| ())
    }

    fn receive_one(&self, socket: &Socket) -> io::Result<Option<Frame>> {
        let mut buffer = [0; LARGEST_FRAME];
        let mut control = cmsg_space!(AuxiliaryData);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<nix::sys::socket::LinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let mut status = 0;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::Unknown(part) = part
                && part.cmsg_header.cmsg_level == libc::SOL_PACKET
                && let Some(bytes) = part.data_bytes.first_chunk::<4>()
            {
                status = u32::from_ne_bytes(*bytes);
            }
        }
        let outgoing = message
            .address
            .is_some_and(|address| u32::from(link_packet_type(&address)) == u32::from(libc::PACKET_OUTGOING));
        let length = message.bytes;
        Ok((!outgoing).then(|| Frame {
            bytes: buffer[..length].to_vec(),
            interface: self.interface,
            checksum_verified: status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID) != 0,
        }))
    }
}

const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;
const TP_STATUS_CSUM_VALID: u32 = 1 << 7;
/// `struct tpacket_auxdata` (linux/if_packet.h): 20 bytes, the status word first.
type AuxiliaryData = [u32; 5];

fn link_packet_type(address: &nix::sys::socket::LinkAddr) -> u8 {
    let raw: &libc::sockaddr_ll = address.as_ref();
    raw.sll_pkttype
}

fn deliver_auxiliary_data(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live `c_int` and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_AUXDATA,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn link_address(interface: InterfaceIndex, protocol: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` fits in the storage and is valid for every bit pattern.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface.0.cast_signed();
    address.sll_halen = 6;
    // SAFETY: the storage holds an initialised `sockaddr_ll` of this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// Classic BPF over an Ethernet frame that is known to be IPv4 by the socket's protocol.
fn filter(want: Want) -> Vec<SockFilter> {
    const LD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const LD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LD_BYTE_X: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
    const LD_HALF_X: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
    const LDX_IHL: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
    const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const ETHERNET: u32 = 14;
    const ACCEPT: u32 = LARGEST_FRAME as u32;
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
        Want::Advertisements => vec![
            op(LD_HALF, 0, 0, ETHERNET + 6),
            op(JSET, 5, 0, 0x1fff),
            op(LDX_IHL, 0, 0, ETHERNET),
            op(LD_BYTE, 0, 0, ETHERNET + 9),
            op(JEQ, 0, 2, 1),
            op(LD_BYTE_X, 0, 0, ETHERNET),
            op(JEQ, 1, 0, 9),
            op(RET, 0, 0, 0),
            op(RET, 0, 0, ACCEPT),
        ],
    }
}
