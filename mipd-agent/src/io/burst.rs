//! Room for bursts: when an agent or a switch was away, all its clients register at once.

use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use socket2::Socket;

/// Bytes that may wait in a socket that registrations come by, as the kernel counts them: about 5,000 messages. They are
/// memory only while they wait.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Lets a burst of messages wait in the socket. Without the privilege to do so it is as long as the system allows.
pub(super) fn make_room(socket: &Socket) {
    if setsockopt(&socket.as_fd(), RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // What the system allows is enough for all but the largest bursts.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
}
