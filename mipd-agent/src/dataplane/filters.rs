//! The `clsact` qdisc and its BPF filters: how TC programs are attached before Linux 6.6.

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use super::netlink::{Existing, Netlink, NetlinkError};

impl Netlink {
    /// Adds the `clsact` qdisc; `false` if there was one.
    pub fn add_clsact(&mut self, index: u32) -> Result<bool, NetlinkError> {
        match self.change(
            || format!("add a clsact qdisc to interface {index}"),
            RouteNetlinkMessage::NewQueueDiscipline(clsact(index)),
            Existing::Refuse.flags(),
        ) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the `clsact` qdisc.
    pub fn delete_clsact(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.change(
            || format!("delete the clsact qdisc of interface {index}"),
            RouteNetlinkMessage::DelQueueDiscipline(clsact(index)),
            0,
        )
    }

    /// The BPF filters of the `clsact` qdisc of an interface; none if there is no such qdisc.
    pub fn filters(&mut self, index: u32) -> Result<Vec<Filter>, NetlinkError> {
        let mut filters = Vec::new();
        for direction in [TcHandle::MIN_INGRESS, TcHandle::MIN_EGRESS] {
            let mut message = TcMessage::with_index(index.cast_signed());
            message.header.parent = TcHandle { major: u16::MAX, minor: direction };
            self.dump("list filters", RouteNetlinkMessage::GetTrafficFilter(message), |message| {
                let RouteNetlinkMessage::NewTrafficFilter(message) = message else { return };
                filters.extend(message.attributes.iter().filter_map(Filter::new));
            })?;
        }
        Ok(filters)
    }
}

/// A BPF filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Filter {
    /// What it was called when it was attached: the program's name.
    pub name: String,
    /// Its program.
    pub program: u32,
}

impl Filter {
    fn new(attribute: &TcAttribute) -> Option<Self> {
        let TcAttribute::Options(options) = attribute else { return None };
        let mut filter = Self { name: String::new(), program: 0 };
        for option in options {
            match option {
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => filter.name.clone_from(name),
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => filter.program = *id,
                _ => {}
            }
        }
        (filter.program != 0).then_some(filter)
    }
}

fn clsact(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
    message.header.parent = TcHandle::CLSACT;
    message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    message
}
