//! Requests to a generic netlink family, one at a time.
//!
//! They are synchronous, as those to the routing subsystem are: the kernel carries a request out inside `send`, so its answer
//! is already there when `recv` is called.

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::{
    GenlFamily, GenlHeader, GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// A family of the kernel's, and a socket of the network namespace that the calling thread was in.
#[derive(Debug)]
pub struct Family {
    socket: Socket,
    id: u16,
}

/// A command with its attributes, whatever the family.
#[derive(Clone, Debug)]
struct Message {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl Family {
    /// Looks a family up by its name.
    pub fn find(name: &str) -> io::Result<Self> {
        Self::find_from(0, name)
    }

    /// Looks a family up and asks it from this netlink port; 0: from any.
    pub fn find_from(port: u32, name: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind(&SocketAddr::new(port, 0))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let question = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())] };
        let mut message = NetlinkMessage::from(GenlMessage::from_payload(question));
        message.header.flags = NLM_F_REQUEST;
        let NetlinkPayload::InnerMessage(answer) = exchange(&socket, message)? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("the kernel has no netlink family {name}")));
        };
        let id = answer.payload.nlas.iter().find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        });
        Ok(Self { socket, id: id.ok_or_else(|| io::Error::other("a netlink family without id"))? })
    }

    /// Has the kernel carry out a command.
    ///
    /// # Errors
    /// The kernel's refusal, as an error number.
    pub fn request(&self, command: u8, attributes: Vec<DefaultNla>) -> io::Result<()> {
        self.exchange(command, attributes, NLM_F_REQUEST | NLM_F_ACK).map(drop)
    }

    /// Asks something; gives the answer's attributes, each with its number.
    ///
    /// # Errors
    /// The kernel's refusal, as an error number.
    pub fn ask(&self, command: u8, attributes: Vec<DefaultNla>) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let answer = self.exchange(command, attributes, NLM_F_REQUEST)?;
        Ok(answer.iter().map(|attribute| (kind(attribute), value(attribute))).collect())
    }

    fn exchange(&self, command: u8, attributes: Vec<DefaultNla>, flags: u16) -> io::Result<Vec<DefaultNla>> {
        let mut message = GenlMessage::from_payload(Message { command, attributes });
        message.set_resolved_family_id(self.id);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        match exchange(&self.socket, message)? {
            NetlinkPayload::InnerMessage(answer) => Ok(answer.payload.attributes),
            NetlinkPayload::Error(error) => match error.code {
                Some(code) if code.get() < 0 => Err(io::Error::from_raw_os_error(-code.get())),
                // What is positive is no error: some families acknowledge with the number of what they have made.
                _ => Ok(Vec::new()),
            },
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn exchange<T>(socket: &Socket, mut message: NetlinkMessage<T>) -> io::Result<NetlinkPayload<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable,
{
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    Ok(NetlinkMessage::<T>::deserialize(&answer).map_err(io::Error::other)?.payload)
}

fn kind(attribute: &DefaultNla) -> u16 {
    netlink_packet_core::Nla::kind(attribute)
}

fn value(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; netlink_packet_core::Nla::value_len(attribute)];
    netlink_packet_core::Nla::emit_value(attribute, &mut value);
    value
}

impl GenlFamily for Message {
    /// The number that [`Family`] has looked up stands in for it.
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

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|attribute| DefaultNla::parse(&attribute?));
        Ok(Self { command: header.cmd, attributes: attributes.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_every_kernel_has_is_found_and_answers() {
        // `nlctrl`: CTRL_CMD_GETFAMILY by CTRL_ATTR_FAMILY_NAME.
        let controller = Family::find("nlctrl").unwrap();
        let answer = controller.ask(3, vec![DefaultNla::new(2, b"nlctrl\0".to_vec())]).unwrap();
        assert!(answer.contains(&(2, b"nlctrl\0".to_vec())), "{answer:?}");
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_with_its_number() {
        let controller = Family::find("nlctrl").unwrap();
        let error = controller.request(3, vec![DefaultNla::new(2, b"nobody\0".to_vec())]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(Family::find("nobody").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
