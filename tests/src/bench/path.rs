//! The paths through the programs: what a packet looks like that takes each, and what tells that it did.

use std::net::Ipv4Addr;

use mipd_common::maps::Counter;

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

/// How the frames of a path look, and by which program of the benchmarks they are sent.
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
    /// The program that sends them.
    pub fn program(self) -> &'static str {
        match self {
            Self::Down => "send_plain",
            Self::TunnelledDown => "send_tunnelled",
            Self::Up => "send_uplink",
            Self::TunnelledUp => "send_tunnelled_uplink",
        }
    }

    /// Where in the frame the client's address is: offset of the IPv4 header, and of the address in it.
    pub fn client_address(self) -> (usize, usize) {
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
    /// The program at XDP and the one at TC.
    pub programs: [Option<&'static str>; 2],
    /// The packet of a client, given as its number and how many tunnels there are.
    pub packet: fn(u32, u32) -> Vec<u8>,
    pub fate: Fate,
    pub counter: Counter,
    /// Goals of the programs at XDP: for so many bindings, nanoseconds.
    pub goals: &'static [(u32, f64)],
}

const ROUTER: [Option<&str>; 2] = [Some("router_xdp"), Some("router_ingress")];

/// All paths.
pub(super) const PATHS: [Path; 9] = [
    Path {
        role: Role::HomeAgent,
        name: "encapsulate",
        traffic: Traffic::Down,
        from_clients: false,
        programs: ROUTER,
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
        programs: ROUTER,
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
        programs: ROUTER,
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_AT_HOME, client)),
        fate: Fate::Pass,
        counter: Counter::PassedNoTunnel,
        goals: &[],
    },
    Path {
        role: Role::ForeignAgent,
        name: "decapsulate",
        traffic: Traffic::TunnelledDown,
        from_clients: false,
        programs: ROUTER,
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
        programs: ROUTER,
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
        programs: ROUTER,
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
        programs: [Some("radio_xdp"), Some("radio_ingress")],
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
        programs: [Some("radio_xdp"), None],
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
        programs: [None, Some("uplink_ingress")],
        packet: |client, _| headers::packet(CORRESPONDENT, nth(FIRST_CLIENT, client)),
        fate: Fate::Pass,
        counter: Counter::PassedOther,
        goals: &[],
    },
];

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
}
