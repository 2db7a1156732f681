//! A socket to the kernel's wireless subsystem.

use std::{io, path::Path};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::GenlMessage;
use netlink_sys::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    linux::split_messages,
    stations::nl80211::{
        Heard,
        message::{FAMILY, GROUP, StationMessage},
    },
    wireless::generic_netlink::{self, Family},
};

/// How many datagrams are read before others get their turn.
const BURST: usize = 64;
/// Room for the news while others have their turn; only a hint.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The socket, a member of the group of news about stations.
pub struct StationSocket {
    socket: AsyncFd<Socket>,
    family: u16,
    sequence: u32,
}

impl StationSocket {
    /// Opens the socket. A kernel without the subsystem is an error; it is not asked to load it.
    pub fn open() -> io::Result<Self> {
        if Path::new("/sys/module").exists() && !Path::new("/sys/module/cfg80211").exists() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the kernel has no nl80211"));
        }
        let (socket, family) = Family::find(FAMILY)?.listen(GROUP)?;
        let _ = socket.set_rx_buf_sz(RECEIVE_BUFFER);
        socket.set_non_blocking(true)?;
        // SAFETY: a `Socket` owns one descriptor for life and always reports that one.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, family, sequence: 1 })
    }

    /// Asks for the stations of a radio.
    pub fn list(&mut self, interface: u32) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut message = GenlMessage::from_payload(StationMessage::list(interface));
        message.set_resolved_family_id(self.family);
        let mut message = NetlinkMessage::from(message);
        (message.header.flags, message.header.sequence_number) = (NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        generic_netlink::send(self.socket.get_ref(), message)
    }

    /// What has come; waits for it. Cancel-safe.
    pub async fn receive(&self) -> io::Result<Vec<Heard>> {
        self.socket.async_io(Interest::READABLE, |socket| self.drain(socket)).await
    }

    fn drain(&self, socket: &Socket) -> io::Result<Vec<Heard>> {
        let mut heard = Vec::new();
        for _ in 0..BURST {
            match socket.recv_from_full() {
                Ok((datagram, _)) => heard.extend(read(&datagram, self.family, self.sequence)),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard.push(Heard::Lost),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !heard.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(heard)
    }
}

/// The messages of one datagram, as far as they are about stations: events, and the answer to the request with this sequence
/// number.
pub fn read(datagram: &[u8], family: u16, sequence: u32) -> Vec<Heard> {
    let mut heard = Vec::new();
    for bytes in split_messages(datagram) {
        let Ok(message) = NetlinkMessage::<GenlMessage<StationMessage>>::deserialize(bytes) else {
            heard.push(Heard::Malformed);
            continue;
        };
        let header = message.header;
        let is_answer = header.sequence_number == sequence;
        match message.payload {
            NetlinkPayload::InnerMessage(message) if header.message_type == family => {
                heard.push(match header.sequence_number {
                    0 => Heard::Event(message.payload),
                    _ if is_answer => Heard::Listed(message.payload),
                    _ => continue,
                });
            }
            NetlinkPayload::Done(_) if is_answer => {
                heard.push(Heard::ListEnd { interrupted: header.flags & NLM_F_DUMP_INTR != 0 });
            }
            NetlinkPayload::Error(error) if is_answer => {
                let reason = match error.to_io() {
                    error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                        "its driver lists no stations".to_owned()
                    }
                    error if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => {
                        "no wireless interface".to_owned()
                    }
                    error => error.to_string(),
                };
                heard.push(Heard::Refused(reason));
            }
            _ => {}
        }
    }
    heard
}
