//! Generic netlink: families of the kernel's, requests to them one at a time, and sockets that hear their news.
//!
//! Requests are synchronous, as those to the routing subsystem are: the kernel carries a request out inside `send`, so its answer
//! is already there when `recv` is called.

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::{
    GenlFamily, GenlHeader, GenlMessage,
    ctrl::{
        GenlCtrl, GenlCtrlCmd,
        nlas::{GenlCtrlAttrs, McastGrpAttrs},
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// A family of the kernel's, and a socket of the network namespace that the calling thread was in.
#[derive(Debug)]
pub struct Family {
    socket: Socket,
    id: u16,
    attributes: Vec<GenlCtrlAttrs>,
}

/// Attributes of an answer, each with its number.
pub type Answer = Vec<(u16, Vec<u8>)>;

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
        let attributes = match exchange(&socket, message)? {
            NetlinkPayload::InnerMessage(answer) => answer.payload.nlas,
            NetlinkPayload::Error(error) => match error.to_io() {
                error if error.kind() == io::ErrorKind::NotFound => {
                    return Err(io::Error::new(error.kind(), format!("the kernel has no {name}")));
                }
                error => return Err(error),
            },
            _ => return Err(strange(name)),
        };
        let id = attributes.iter().find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        });
        Ok(Self { socket, id: id.ok_or_else(|| strange(name))?, attributes })
    }

    /// The socket, as a member of the family's group of news of this name, and the number of the family.
    pub fn listen(self, group: &str) -> io::Result<(Socket, u16)> {
        let groups = self.attributes.iter().find_map(|attribute| match attribute {
            GenlCtrlAttrs::McastGroups(groups) => Some(groups),
            _ => None,
        });
        let named = |found: &&Vec<McastGrpAttrs>| found.contains(&McastGrpAttrs::Name(group.to_owned()));
        let number =
            groups.into_iter().flatten().find(named).into_iter().flatten().find_map(|attribute| match attribute {
                McastGrpAttrs::Id(id) => Some(*id),
                McastGrpAttrs::Name(_) => None,
            });
        self.socket.add_membership(number.ok_or_else(|| strange(group))?)?;
        Ok((self.socket, self.id))
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
    pub fn ask(&self, command: u8, attributes: Vec<DefaultNla>) -> io::Result<Answer> {
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

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel says strange things of {what}"))
}

/// Sends a message, whose length is filled in.
pub(crate) fn send<T: NetlinkSerializable>(socket: &Socket, mut message: NetlinkMessage<T>) -> io::Result<()> {
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

fn exchange<T>(socket: &Socket, message: NetlinkMessage<T>) -> io::Result<NetlinkPayload<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable,
{
    send(socket, message)?;
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
