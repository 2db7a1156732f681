//! What came back: ICMP errors about datagrams that a UDP socket sent (`ip(7)`: `IP_RECVERR`).

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg},
};

use super::batch::LARGEST;
use crate::mobility::foreign_agent::Unreachable;

/// A datagram that did not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undeliverable {
    /// Where it was sent.
    pub destination: Ipv4Addr,
    /// To which port.
    pub port: u16,
    /// What was unreachable.
    pub what: Unreachable,
    /// As much of the UDP payload as the error quotes; possibly nothing.
    pub payload: Vec<u8>,
}

/// What a failed call to send says of the destination; `None` for a failure of our own, after which a repetition may pass.
pub fn unreachable_by(error: &io::Error) -> Option<Unreachable> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::ENETUNREACH | Errno::ENETDOWN => Some(Unreachable::Network),
        Errno::EHOSTUNREACH | Errno::EHOSTDOWN => Some(Unreachable::Host),
        Errno::ECONNREFUSED => Some(Unreachable::Port),
        // A firewall, a broadcast address, a message larger than the path.
        Errno::EPERM | Errno::EACCES | Errno::EMSGSIZE | Errno::EINVAL => Some(Unreachable::Other),
        _ => None,
    }
}

/// Takes the oldest error off the socket's queue, without waiting.
pub fn take(socket: BorrowedFd<'_>) -> io::Result<Option<Undeliverable>> {
    let mut buffer = [0; LARGEST];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    // The error, the address of who reports it, and what the socket tells of each datagram anyway.
    let mut control =
        cmsg_space!(libc::sock_extended_err, libc::sockaddr_in, libc::in_pktinfo, libc::c_int, libc::c_int);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let to = message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from);
    let mut what = Unreachable::Other;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4RecvErr(error, _) = part {
            what = unreachable(&error);
        }
    }
    let length = message.bytes;
    Ok(Some(Undeliverable { destination: *to.ip(), port: to.port(), what, payload: buffer[..length].to_vec() }))
}

/// ICMP type 3, "destination unreachable"; its codes 0, 1 and 3 have reply codes of their own (RFC 5944 §3.7.2.3).
fn unreachable(error: &libc::sock_extended_err) -> Unreachable {
    const DESTINATION_UNREACHABLE: u8 = 3;
    const BY_ICMP: u8 = 2;
    match (error.ee_origin, error.ee_type, error.ee_code) {
        (BY_ICMP, DESTINATION_UNREACHABLE, 0) => Unreachable::Network,
        (BY_ICMP, DESTINATION_UNREACHABLE, 1) => Unreachable::Host,
        (BY_ICMP, DESTINATION_UNREACHABLE, 3) => Unreachable::Port,
        _ => Unreachable::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Unreachable, unreachable, unreachable_by};

    #[test]
    fn each_icmp_error_says_what_is_unreachable() {
        let error = |origin, kind, code| {
            unreachable(&libc::sock_extended_err {
                ee_errno: 0,
                ee_origin: origin,
                ee_type: kind,
                ee_code: code,
                ee_pad: 0,
                ee_info: 0,
                ee_data: 0,
            })
        };
        assert_eq!(error(2, 3, 0), Unreachable::Network);
        assert_eq!(error(2, 3, 1), Unreachable::Host);
        assert_eq!(error(2, 3, 3), Unreachable::Port);
        assert_eq!(error(2, 3, 13), Unreachable::Other);
        assert_eq!(error(2, 11, 0), Unreachable::Other, "time exceeded");
        assert_eq!(error(1, 0, 0), Unreachable::Other, "not from the network");
    }

    #[test]
    fn a_failure_to_send_says_what_is_unreachable_unless_it_is_our_own() {
        let by = |errno| unreachable_by(&std::io::Error::from_raw_os_error(errno));
        assert_eq!(by(libc::ENETUNREACH), Some(Unreachable::Network));
        assert_eq!(by(libc::EHOSTUNREACH), Some(Unreachable::Host));
        assert_eq!(by(libc::ECONNREFUSED), Some(Unreachable::Port));
        assert_eq!(by(libc::EPERM), Some(Unreachable::Other));
        assert_eq!(by(libc::EAGAIN), None);
        assert_eq!(by(libc::ENOBUFS), None);
    }
}
