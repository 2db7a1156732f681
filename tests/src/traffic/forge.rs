//! Registration messages that none of our agents would send, from places where they do not belong.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::authentication::{self, Algorithm, Key};
use mipd_agent::wire::extension::kind;
use mipd_agent::wire::frame::{Link, emit_udp};
use mipd_agent::wire::ip::Datagram;
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest};
use mipd_agent::wire::types::{Identification, Spi};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, sendto, socket};

use crate::host::Host;
use crate::namespace::Namespace;

/// The port of the agents (RFC 5944 §3.3).
pub const MOBILE_IP_PORT: u16 = 434;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_OFFSET: u64 = 2_208_988_800;

/// An Identification of this moment (RFC 5944 §5.7).
pub fn identification() -> Identification {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    Identification((now.as_secs() + NTP_OFFSET) << 32 | fraction)
}

/// A request with its Mobile-Home authentication extension, HMAC-MD5.
pub fn signed_request(request: &RegistrationRequest, spi: u32, key: &str) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    request.emit(&mut message);
    sign(message, spi, key)
}

/// A reply with its Mobile-Home authentication extension, HMAC-MD5.
pub fn signed_reply(reply: &RegistrationReply, spi: u32, key: &str) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    reply.emit(&mut message);
    sign(message, spi, key)
}

fn sign(mut message: Vec<u8>, spi: u32, key: &str) -> Result<Vec<u8>> {
    let spi = Spi::new(spi).with_context(|| format!("SPI {spi} is reserved"))?;
    let key = Key::from_hex(key)?;
    authentication::append(&mut message, kind::MOBILE_HOME_AUTHENTICATION, spi, Algorithm::HmacMd5, &key);
    Ok(message)
}

/// Sends a message to UDP port 434 of an address, as any program in the namespace could.
pub fn send(from: &Namespace, to: Ipv4Addr, message: &[u8]) -> Result<UdpSocket> {
    let socket = from.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    let sent = socket.send_to(message, SocketAddrV4::new(to, MOBILE_IP_PORT))?;
    ensure!(sent == message.len(), "only {sent} bytes of {} were sent", message.len());
    Ok(socket)
}

/// Sends a frame out of a box's interface, past its stack.
pub fn send_frame(from: &Host, interface: &str, link: Link, datagram: &Datagram<'_>) -> Result<()> {
    let frame = emit_udp(link, datagram);
    from.namespace().enter(|| -> Result<()> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)?;
        let index = nix::net::if_::if_nametoindex(interface)?;
        sendto(socket.as_raw_fd(), &frame, &link_address(index), MsgFlags::empty())?;
        Ok(())
    })?
}

/// The address of an interface for packet sockets.
pub fn link_address(index: u32) -> LinkAddr {
    // SAFETY: a `sockaddr_ll` of zeroes is valid, and `LinkAddr` is nothing else.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the pointer is to a complete `sockaddr_ll` of this length.
    unsafe {
        nix::sys::socket::SockaddrLike::from_raw(
            (&raw const address).cast(),
            Some(size_of::<libc::sockaddr_ll>() as libc::socklen_t),
        )
    }
    .unwrap_or_else(|| unreachable!("the family is that of a link address"))
}
