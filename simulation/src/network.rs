//! What becomes of a message under way: lost, late, doubled, overtaken.

use std::{net::Ipv4Addr, rc::Rc, time::Duration};

use mipd_agent::mobility::link::Transmit;
use mipd_common::mac::MacAddress;

use crate::{random::Stream, scenario::Conditions};

/// Something under way to a box.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A registration message in a frame to a router, on its subnet.
    Frame {
        /// To this router.
        router: usize,
        /// Link-layer source.
        source: MacAddress,
        /// The message.
        transmit: Rc<Transmit>,
    },
    /// A registration message to a router from another one, or from itself.
    Routed {
        /// To this router.
        router: usize,
        /// The message.
        transmit: Rc<Transmit>,
    },
    /// A registration message in a frame to a client, on the uplink of an access point.
    Uplink {
        /// Of this access point.
        access_point: usize,
        /// From this router.
        router: usize,
        /// Link-layer destination.
        mac: MacAddress,
        /// The message.
        transmit: Rc<Transmit>,
    },
    /// An advertisement on the uplink of an access point.
    Advertisement {
        /// Of this access point.
        access_point: usize,
        /// By this router.
        router: usize,
        /// To this IP address.
        destination: Ipv4Addr,
        /// The ICMP message.
        icmp: Rc<Vec<u8>>,
    },
    /// A solicitation to a router.
    Solicitation {
        /// To this router.
        router: usize,
        /// By this access point.
        access_point: usize,
    },
    /// A broadcast with a client's MAC on the uplink of an access point.
    Broadcast {
        /// Of this access point.
        access_point: usize,
        /// The client.
        client: usize,
        /// Whether it is a gratuitous ARP, too.
        announces: bool,
    },
    /// A gratuitous ARP of a home agent on the uplink of an access point.
    Announcement {
        /// Of this access point.
        access_point: usize,
        /// About this client.
        client: usize,
        /// The announced MAC.
        mac: MacAddress,
    },
    /// A question from an access point to a client.
    Question {
        /// From this access point.
        access_point: usize,
        /// To this client.
        client: usize,
    },
    /// The client's answer.
    Answer {
        /// To this access point.
        access_point: usize,
        /// From this client.
        client: usize,
    },
}

/// What a message travels on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leg {
    /// Wireless; its own retransmissions leave little loss.
    Radio,
    /// The wired subnet.
    Link,
    /// Between routers.
    Core,
    /// Within a box.
    Loop,
}

/// After how long a message arrives, once or twice; never, if it is lost.
pub fn arrivals(conditions: &Conditions, stream: &mut Stream, leg: Leg) -> [Option<Duration>; 2] {
    let (shortest, longest, loss) = match leg {
        Leg::Radio => (500, 8_000, conditions.link_loss().min(500)),
        Leg::Link => (100, 1_000, conditions.link_loss()),
        Leg::Core => (2_000, 15_000, conditions.core_loss),
        Leg::Loop => return [Some(Duration::from_micros(20)), None],
    };
    if stream.chance(loss) {
        return [None, None];
    }
    let mut delay = || {
        let usual = stream.between(Duration::from_micros(shortest), Duration::from_micros(longest));
        let is_late = leg != Leg::Radio && stream.chance(conditions.reordering);
        if is_late { usual + stream.between(Duration::from_millis(5), Duration::from_millis(400)) } else { usual }
    };
    let first = delay();
    let second = delay();
    let is_doubled = leg != Leg::Radio && stream.chance(conditions.duplication);
    [Some(first), is_doubled.then_some(second)]
}
