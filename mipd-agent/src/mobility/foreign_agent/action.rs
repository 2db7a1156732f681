//! What a foreign agent wants done, and the events other than messages that it is told of.

use mipd_common::mac::MacAddress;

use super::{pending::Requester, visitor::VisitorEntry};
use crate::{
    mobility::{
        link::{InterfaceIndex, Transmit},
        tunnel::TunnelMode,
    },
    wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, ReplyCode},
};

/// What the daemon must do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram.
    Send(Transmit),
    /// Deliver what comes out of the tunnel for the visitor, in place of where it went before. If that is not possible,
    /// [`ForeignAgent::cannot_carry`](super::ForeignAgent::cannot_carry) must be called before anything else.
    InstallVisitor {
        /// The client.
        home_address: HomeAddress,
        /// The tunnel's start.
        home_agent: HomeAgentAddress,
        /// The tunnel's exit.
        care_of_address: CareOfAddress,
        /// The client's Ethernet address.
        mac: MacAddress,
        /// Where it is.
        interface: InterfaceIndex,
        /// What was agreed on about the tunnel.
        tunnel: TunnelMode,
    },
    /// The visitor is no longer served.
    RemoveVisitor {
        /// The client.
        home_address: HomeAddress,
        /// Its home agent.
        home_agent: HomeAgentAddress,
    },
    /// Have a client notice that it is not registered any more: an advertisement with sequence number 0, to it alone (RFC
    /// 3543 §4.2).
    Inform {
        /// Where it is.
        interface: InterfaceIndex,
        /// Its Ethernet address.
        mac: MacAddress,
        /// The client.
        home_address: HomeAddress,
        /// It should register with another agent: advertise B.
        elsewhere: bool,
    },
    /// What [`ForeignAgent::record`](super::ForeignAgent::record) says of the visitor has changed.
    VisitorChanged {
        /// Its home agent.
        home_agent: HomeAgentAddress,
        /// The client.
        home_address: HomeAddress,
    },
}

impl Action {
    /// Informs a client that is, or was, a visitor.
    pub(super) fn inform(visitor: &VisitorEntry, elsewhere: bool) -> Self {
        let Requester { interface, mac, .. } = visitor.requester;
        Self::Inform { interface, mac, home_address: visitor.home_address, elsewhere }
    }
}

/// Which ICMP "destination unreachable" a relayed request met (RFC 5944 §3.7.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// ICMP code 0.
    Network,
    /// ICMP code 1.
    Host,
    /// ICMP code 3.
    Port,
    /// Any other.
    Other,
}

impl Unreachable {
    pub(super) fn code(self) -> ReplyCode {
        match self {
            Self::Network => ReplyCode::FA_HOME_NETWORK_UNREACHABLE,
            Self::Host => ReplyCode::FA_HOME_AGENT_HOST_UNREACHABLE,
            Self::Port => ReplyCode::FA_HOME_AGENT_PORT_UNREACHABLE,
            Self::Other => ReplyCode::FA_HOME_AGENT_UNREACHABLE,
        }
    }
}
