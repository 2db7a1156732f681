//! What the proxy wants done, in this order.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use crate::{
    mobility::link::{InterfaceIndex, Transmit},
    wire::types::{HomeAddress, HomeAgentAddress},
};

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a registration message.
    Send(Transmit),
    /// Treat the station's packets so from now on.
    SetStation {
        /// The station.
        mac: MacAddress,
        /// How.
        station: StationState,
        /// The radio.
        interface: InterfaceIndex,
    },
    /// Forget the station.
    RemoveStation {
        /// The station.
        mac: MacAddress,
    },
    /// Let the station's held packets go their way.
    ReleaseHeld {
        /// The station.
        mac: MacAddress,
    },
    /// Somebody should know: a visitor is not served, because another client here has its address.
    AddressInUse {
        /// The visitor.
        mac: MacAddress,
        /// The other client.
        holder: MacAddress,
        /// The address.
        address: HomeAddress,
    },
    /// Discard the station's held packets.
    DropHeld {
        /// The station.
        mac: MacAddress,
    },
    /// Ask a visitor, by a unicast ARP request out of the radio, whether it is there. Its answer is
    /// [`Event::Attached`](super::Event::Attached).
    ProbeAttachment {
        /// The station.
        mac: MacAddress,
        /// The radio.
        interface: InterfaceIndex,
        /// The address asked for: the visitor's.
        address: HomeAddress,
        /// The address that asks: the home agent's, which is in the visitor's subnet. A probe from 0.0.0.0 would look
        /// like an address conflict to a client that is just verifying its address (RFC 5227 §2.1.1).
        sender_address: Ipv4Addr,
    },
    /// Broadcast a gratuitous ARP on the uplink, in reply form, with the client's MAC (RFC 5944 §4.6: before the
    /// deregistration; the home agent would answer the request form).
    AnnounceOnUplink {
        /// The station.
        mac: MacAddress,
        /// Its address.
        address: HomeAddress,
    },
    /// Tell a client that came home its gateway's MAC by a unicast ARP request from the gateway's address and MAC: the
    /// client updates its cache, and its answer shows that it is there.
    TellClientGateway {
        /// The station.
        mac: MacAddress,
        /// The radio.
        interface: InterfaceIndex,
        /// The client's address.
        client_address: HomeAddress,
        /// The gateway's address: the home agent's.
        gateway_address: HomeAgentAddress,
        /// The gateway's MAC.
        gateway_mac: MacAddress,
    },
    /// Broadcast an 802.2 XID frame with the client's MAC on the uplink, so that the switches and the access point that
    /// it left learn at once where it is.
    UpdateSwitches {
        /// The station.
        mac: MacAddress,
    },
    /// Have the station's next frame reported again.
    ForgetSeen {
        /// The station.
        mac: MacAddress,
    },
    /// Ask the server for the client's associations, or note that they are in use, and call
    /// [`Proxy::take_associations`](super::Proxy::take_associations).
    AssociationsNeeded {
        /// The client's address.
        home_address: HomeAddress,
    },
    /// Ask the agents on the uplink to advertise themselves now: a client waits for something that they have to say.
    Solicit,
    /// [`Proxy::record`](super::Proxy::record) of this station has changed: persist or delete it.
    ClientChanged {
        /// The station.
        mac: MacAddress,
    },
}

/// How a station's packets are treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StationState {
    /// Bridged untouched.
    Local,
    /// At home, but not seen to use its address yet: bridged, and reported by its first frame like an unknown station.
    Awaited,
    /// Held until its registration is in force.
    Hold {
        /// The visitor's address.
        home_address: HomeAddress,
    },
    /// Sent to the foreign agent.
    Forward {
        /// The visitor's address, the only one it may send from.
        home_address: HomeAddress,
        /// The foreign agent.
        agent_mac: MacAddress,
        /// With encapsulating delivery, the foreign agent's address: what the visitor sends is wrapped for it (RFC 3024 §5.2).
        wrapped_for: Option<Ipv4Addr>,
        /// Its home agent, which may send it broadcasts of its home network.
        home_agent: HomeAgentAddress,
    },
}
