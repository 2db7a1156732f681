//! Whole Ethernet frames in and out of a box, past its stack.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

pub use super::forge::link_address;
use crate::host::Host;
use crate::wait;

/// One read waits so long; what is waited for altogether is the caller's to say.
const READ_PATIENCE: i64 = 10_000;

/// A packet socket: hears every frame that a box hears, sends what it is told to.
#[derive(Debug)]
pub struct FramePort {
    socket: OwnedFd,
    to: LinkAddr,
}

impl FramePort {
    /// Opens it on a box; it sends out of the interface named.
    pub fn open(host: &Host, interface: &str) -> Result<Self> {
        host.namespace().enter(|| -> Result<Self> {
            let all = SockProtocol::EthAll;
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, all)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, READ_PATIENCE))?;
            Ok(Self { socket, to: link_address(nix::net::if_::if_nametoindex(interface)?) })
        })?
    }

    /// Gives it room for bursts, bytes.
    pub fn set_room(&self, bytes: usize) -> Result<()> {
        Ok(setsockopt(&self.socket, sockopt::RcvBufForce, &bytes)?)
    }

    /// The next frame of any kind, if there is one at once or nearly so.
    pub fn next<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let length = recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()).ok()?;
        buffer.get(..length)
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        sendto(self.socket.as_raw_fd(), frame, &self.to, MsgFlags::empty())?;
        Ok(())
    }

    /// The first frame that `wanted` takes something from, within `patience`.
    pub fn receive<T>(&self, patience: Duration, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>> {
        wait::until(patience, || {
            let mut buffer = [0; 2048];
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap_or(0);
            Ok(wanted(&buffer[..length]))
        })
    }
}
