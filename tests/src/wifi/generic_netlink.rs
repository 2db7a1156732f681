//! Requests to a generic netlink family, one at a time, each acknowledged.

use std::io;

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::{
    GenlFamily, GenlHeader, GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// A family, asked from the network namespace of the thread that found it.
pub(super) struct Family {
    socket: Socket,
    id: u16,
}

/// A command with its attributes, whatever the family.
#[derive(Clone, Debug)]
struct Request {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl Family {
    /// Looks a family up by its name.
    pub fn find(name: &str) -> Result<Self> {
        Self::find_from(0, name)
    }

    /// Looks a family up and asks it from this netlink port; 0: from any.
    pub fn find_from(port: u32, name: &str) -> Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind(&SocketAddr::new(port, 0))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let question = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())] };
        let mut message = NetlinkMessage::from(GenlMessage::from_payload(question));
        message.header.flags = NLM_F_REQUEST;
        match exchange(&socket, message)? {
            NetlinkPayload::InnerMessage(answer) => {
                let id = answer.payload.nlas.iter().find_map(|attribute| match attribute {
                    GenlCtrlAttrs::FamilyId(id) => Some(*id),
                    _ => None,
                });
                Ok(Self { socket, id: id.context("a netlink family without id")? })
            }
            _ => bail!("the kernel has no netlink family {name}"),
        }
    }

    /// Sends a command and waits for its acknowledgement.
    pub fn request(&self, command: u8, attributes: Vec<DefaultNla>) -> Result<()> {
        let mut message = GenlMessage::from_payload(Request { command, attributes });
        message.set_resolved_family_id(self.id);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        match exchange(&self.socket, message)? {
            NetlinkPayload::Error(answer) => match answer.code {
                // Whatever is not negative is no error; the simulation of radios tells a radio's number so.
                Some(code) if code.get() < 0 => Err(io::Error::from_raw_os_error(-code.get()).into()),
                _ => Ok(()),
            },
            other => bail!("netlink has answered {other:?}"),
        }
    }
}

fn exchange<T>(socket: &Socket, mut message: NetlinkMessage<T>) -> Result<NetlinkPayload<T>>
where
    T: netlink_packet_core::NetlinkSerializable + netlink_packet_core::NetlinkDeserializable,
{
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    Ok(NetlinkMessage::<T>::deserialize(&answer).context("netlink has answered with nonsense")?.payload)
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        ""
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Request {
    fn parse_with_param(_: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, attributes: Vec::new() })
    }
}
