//! A socket to the kernel's wireless subsystem.

use std::{io, path::Path};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::{
    GenlMessage,
    ctrl::{
        GenlCtrl, GenlCtrlCmd,
        nlas::{GenlCtrlAttrs, McastGrpAttrs},
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    dataplane::split_messages,
    stations::nl80211::{
        Heard,
        message::{FAMILY, GROUP, StationMessage},
    },
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
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let (family, group) = resolve(&socket)?;
        socket.add_membership(group)?;
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
        let bytes = request(message.into(), NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket.get_ref().send(&bytes, 0).map(drop)
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

fn request<T>(payload: NetlinkPayload<T>, flags: u16, sequence: u32) -> Vec<u8>
where
    T: netlink_packet_core::NetlinkSerializable,
{
    let mut header = NetlinkHeader::default();
    (header.flags, header.sequence_number) = (flags, sequence);
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The family's number and that of its group of news. The kernel answers within the request.
fn resolve(socket: &Socket) -> io::Result<(u16, u32)> {
    let ask = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())] };
    let bytes = request(GenlMessage::from_payload(ask).into(), NLM_F_REQUEST, 1);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the kernel says strange things of nl80211");
    let message = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&answer).map_err(|_| invalid())?;
    let attributes = match message.payload {
        NetlinkPayload::InnerMessage(message) => message.payload.nlas,
        NetlinkPayload::Error(error) if error.to_io().kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the kernel has no nl80211"));
        }
        NetlinkPayload::Error(error) => return Err(error.to_io()),
        _ => return Err(invalid()),
    };
    let mut found = (None, None);
    for attribute in attributes {
        match attribute {
            GenlCtrlAttrs::FamilyId(id) => found.0 = Some(id),
            GenlCtrlAttrs::McastGroups(groups) => {
                let is_ours = |group: &Vec<McastGrpAttrs>| group.contains(&McastGrpAttrs::Name(GROUP.to_owned()));
                let id = |group: Vec<McastGrpAttrs>| {
                    group.into_iter().find_map(|attribute| match attribute {
                        McastGrpAttrs::Id(id) => Some(id),
                        McastGrpAttrs::Name(_) => None,
                    })
                };
                found.1 = groups.into_iter().find(is_ours).and_then(id);
            }
            _ => {}
        }
    }
    found.0.zip(found.1).ok_or_else(invalid)
}
