//! The paths through the programs: what a packet looks like that takes each, and what tells that it did.

use std::net::Ipv4Addr;

use mipd_common::{
    bench::{HEADERS_LENGTH, Source, source_kind},
    maps::Counter,
};

use super::{
    boxes::{
        CORRESPONDENT, FIRST_AT_HOME, FIRST_CARE_OF_ADDRESS, FIRST_CLIENT, HOME_AGENT, Hook, Ports, Role,
        care_of_address, client_mac, nth,
    },
    headers::{self, DESTINATION, ETHERNET, IPV4, SOURCE},
};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Redirect,
    Pass,
    Drop,
}

impl Hook {
    /// What a program returns.
    pub fn verdict(self, fate: Fate) -> u32 {
        match (self, fate) {
            (Self::Xdp, Fate::Redirect) => xdp_action::XDP_REDIRECT,
            (Self::Xdp, Fate::Pass) => xdp_action::XDP_PASS,
            (Self::Xdp, Fate::Drop) => xdp_action::XDP_DROP,
            (Self::Tc, Fate::Redirect) => tc_action::REDIRECT,
            (Self::Tc, Fate::Pass) => tc_action::UNSPEC,
            (Self::Tc, Fate::Drop) => tc_action::SHOT,
        }
    }
}

/// `enum xdp_action`.
mod xdp_action {
    pub(super) const XDP_DROP: u32 = 1;
    pub(super) const XDP_PASS: u32 = 2;
    pub(super) const XDP_REDIRECT: u32 = 4;
}

/// `TC_ACT_…`.
mod tc_action {
    pub(super) const UNSPEC: u32 = u32::MAX;
    pub(super) const SHOT: u32 = 2;
    pub(super) const REDIRECT: u32 = 7;
}

/// How the frames of a path look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    /// Packets to clients.
    Down,
    /// Packets to clients, in a tunnel.
    TunnelledDown,
    /// Packets from clients.
    Up,
    /// Packets from clients, in a tunnel.
    TunnelledUp,
}

impl Traffic {
    /// What a source is told.
    fn kind(self) -> u32 {
        match self {
            Self::Down => source_kind::DOWN,
            Self::Up => source_kind::UP,
            Self::TunnelledDown => source_kind::TUNNELLED_DOWN,
            Self::TunnelledUp => source_kind::TUNNELLED_UP,
        }
    }

    /// Where in the frame the client's address is: offset of the IPv4 header, and of the address in it.
    fn client_address(self) -> (usize, usize) {
        match self {
            Self::Down => (ETHERNET, DESTINATION),
            Self::TunnelledDown => (ETHERNET + IPV4, DESTINATION),
            Self::Up => (ETHERNET, SOURCE),
            Self::TunnelledUp => (ETHERNET + IPV4, SOURCE),
        }
    }
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub role: Role,
    pub name: &'static str,
    pub traffic: Traffic,
    /// Whether the packets come from the side where clients are.
    pub from_clients: bool,
    /// The program that takes it at XDP and restores the packet afterwards.
    pub repeated: Option<&'static str>,
    /// The program that takes it at TC.
    pub tc: Option<&'static str>,
    /// The packet of a client, given as its number and how many tunnels there are.
    pub packet: fn(u32, u32) -> Vec<u8>,
    pub fate: Fate,
    pub counter: Counter,
    /// Goals of the programs at XDP: for so many bindings, nanoseconds.
    pub goals: &'static [(u32, f64)],
}

/// All paths.
pub(super) const PATHS: [Path; 12] = [
    Path {
        role: Role::HomeAgent,
        name: "encapsulate",
        traffic: Traffic::Down,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client)),
        fate: Fate::Redirect,
        counter: Counter::Encapsulated,
        goals: &[(1, 22.0), (1_000_000, 50.0)],
    },
    Path {
        role: Role::HomeAgent,
        name: "reverse-decapsulate",
        traffic: Traffic::TunnelledUp,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, tunnels| {
            let inner = headers::packet(nth(FIRST_CLIENT, client), CORRESPONDENT);
            tunnelled(care_of_address(client, tunnels), HOME_AGENT, &inner)
        },
        fate: Fate::Redirect,
        counter: Counter::ReverseDecapsulated,
        goals: &[],
    },
    Path {
        role: Role::HomeAgent,
        name: "miss",
        traffic: Traffic::Down,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_AT_HOME, client)),
        fate: Fate::Pass,
        counter: Counter::PassedNoTunnel,
        goals: &[],
    },
    Path {
        role: Role::HashedHomeAgent,
        name: "encapsulate",
        traffic: Traffic::Down,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: None,
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client)),
        fate: Fate::Redirect,
        counter: Counter::Encapsulated,
        goals: &[],
    },
    Path {
        role: Role::ForeignAgent,
        name: "decapsulate",
        traffic: Traffic::TunnelledDown,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, _| {
            let inner = headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client));
            tunnelled(HOME_AGENT, FIRST_CARE_OF_ADDRESS, &inner)
        },
        fate: Fate::Redirect,
        counter: Counter::DeliveredVisitor,
        goals: &[(1, 35.0), (10_000, 70.0)],
    },
    Path {
        role: Role::ForeignAgent,
        name: "reverse-encapsulate",
        traffic: Traffic::Up,
        from_clients: true,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, _| headers::packet(nth(FIRST_CLIENT, client), CORRESPONDENT),
        fate: Fate::Redirect,
        counter: Counter::ReverseEncapsulated,
        goals: &[],
    },
    Path {
        role: Role::ForeignAgent,
        name: "miss",
        traffic: Traffic::TunnelledDown,
        from_clients: false,
        repeated: Some("repeat_router"),
        tc: Some("router_ingress"),
        packet: |client, _| {
            let inner = headers::packet(CORRESPONDENT, nth(FIRST_AT_HOME, client));
            tunnelled(HOME_AGENT, FIRST_CARE_OF_ADDRESS, &inner)
        },
        fate: Fate::Drop,
        counter: Counter::DroppedNoVisitor,
        goals: &[],
    },
    Path {
        role: Role::AccessPoint,
        name: "rewrite",
        traffic: Traffic::Up,
        from_clients: true,
        repeated: Some("repeat_radio"),
        tc: Some("radio_ingress"),
        packet: |client, _| headers::packet(nth(FIRST_CLIENT, client), CORRESPONDENT),
        fate: Fate::Redirect,
        counter: Counter::StationForwarded,
        goals: &[(1, 18.0)],
    },
    Path {
        role: Role::AccessPoint,
        name: "miss",
        traffic: Traffic::Up,
        from_clients: true,
        repeated: Some("repeat_radio"),
        tc: None,
        packet: |client, _| headers::packet(nth(FIRST_AT_HOME, client), CORRESPONDENT),
        fate: Fate::Pass,
        counter: Counter::PassedLocal,
        goals: &[],
    },
    Path {
        role: Role::AccessPoint,
        name: "downlink",
        traffic: Traffic::Down,
        from_clients: false,
        repeated: None,
        tc: Some("uplink_ingress"),
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client)),
        fate: Fate::Pass,
        counter: Counter::PassedOther,
        goals: &[],
    },
    least("encapsulate", "repeat_least_encapsulate", Traffic::Down),
    least("rewrite", "repeat_least_rewrite", Traffic::Up),
];

/// A path through a program that does the least; it counts nothing.
const fn least(name: &'static str, program: &'static str, traffic: Traffic) -> Path {
    Path {
        role: Role::Reference,
        name,
        traffic,
        from_clients: matches!(traffic, Traffic::Up),
        repeated: Some(program),
        tc: None,
        packet: match traffic {
            Traffic::Up => |client, _| headers::packet(nth(FIRST_CLIENT, client), CORRESPONDENT),
            _ => |client, _| headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client)),
        },
        fate: Fate::Redirect,
        counter: Counter::PassedOther,
        goals: &[],
    }
}

fn tunnelled(entry: Ipv4Addr, exit: Ipv4Addr, inner: &[u8]) -> Vec<u8> {
    headers::ipv4(entry, exit, 4, inner)
}

impl Path {
    /// The path of this name.
    pub fn of(role: Role, name: &str) -> Self {
        let path = PATHS.into_iter().find(|path| path.role == role && path.name == name);
        path.unwrap_or_else(|| panic!("the {} has no path {name}", role.label()))
    }

    /// The whole frame of a client, as it arrives at a box.
    pub fn frame(&self, client: u32, tunnels: u32, ports: &Ports) -> Vec<u8> {
        let packet = (self.packet)(client, tunnels);
        let address = |at| headers::address(&packet, at);
        let (mut source, mut destination) = (ports.next_hop, ports.ingress.mac);
        if self.from_clients {
            source = client_mac(address(SOURCE));
        } else if self.role == Role::AccessPoint {
            destination = client_mac(address(DESTINATION));
        }
        headers::frame(source, destination, &packet)
    }

    /// What a source of frames like this one is told, for so many clients from this one on. They all have the same outer
    /// source, so that only those take turns who are at the same of so many foreign agents.
    pub fn source(&self, frame: &[u8], clients: u32, tunnels: u32, ifindex: u32) -> Source {
        let stride = if self.traffic == Traffic::TunnelledUp { tunnels } else { 1 };
        let (header, field) = self.traffic.client_address();
        let mut open = frame[..HEADERS_LENGTH].to_vec();
        headers::leave_open(&mut open[header..], field);
        let mut source = Source {
            headers: [0; HEADERS_LENGTH],
            first: headers::address(frame, header + field).octets(),
            count: clients / stride,
            stride,
            random: 1,
            ifindex,
            length: frame.len() as u32,
            kind: self.traffic.kind(),
        };
        source.headers.copy_from_slice(&open);
        source
    }
}
