//! The encapsulations as both ends of a tunnel know them: what goes in, what comes out, and the map entries that say so.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;
use mipd_common::maps::{Tunnel, Visitor, tunnel_flags, tunnel_kind, tunnel_overhead};

use super::ipv4::Ipv4;
use super::maps::ethernet;
use super::tunnel::{Gre, MOBILE_IP_PORT, Minimal, UdpTunnel};

/// MTU of the links that tunnels run over.
const LINK_MTU: u16 = 1500;

/// How the packets of a tunnel are wrapped, seen from our end of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encapsulation {
    name: &'static str,
    kind: u8,
    keys: Option<Keys>,
    ports: Option<Ports>,
}

/// GRE keys of the two directions (RFC 6245).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Keys {
    send: [u8; 4],
    receive: [u8; 4],
}

/// UDP ports of the two ends (RFC 3519).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ports {
    ours: u16,
    theirs: u16,
}

const KEYS: Option<Keys> = Some(Keys { send: [0x5e, 0x9d, 0, 1], receive: [0x4e, 0xce, 0, 2] });
/// As a home agent has them: the other end is a foreign agent behind a NAT.
const PORTS: Option<Ports> = Some(Ports { ours: MOBILE_IP_PORT, theirs: 40_434 });

impl Encapsulation {
    /// RFC 2003.
    pub const IP_IN_IP: Self = Self { name: "IP-in-IP", kind: tunnel_kind::IP_IN_IP, keys: None, ports: None };
    /// RFC 2784.
    pub const GRE: Self = Self { name: "GRE", kind: tunnel_kind::GRE, ..Self::IP_IN_IP };
    /// RFC 2890.
    pub const KEYED_GRE: Self = Self { name: "GRE with keys", keys: KEYS, ..Self::GRE };
    /// RFC 2004.
    pub const MINIMAL: Self = Self { name: "minimal", kind: tunnel_kind::MINIMAL, ..Self::IP_IN_IP };
    /// RFC 3519, next header 4.
    pub const UDP: Self = Self { name: "UDP", ports: PORTS, ..Self::IP_IN_IP };
    /// RFC 3519, next header 47.
    pub const UDP_GRE: Self = Self { name: "GRE over UDP", ports: PORTS, ..Self::GRE };
    /// RFC 3519, next header 55.
    pub const UDP_MINIMAL: Self = Self { name: "minimal over UDP", ports: PORTS, ..Self::MINIMAL };

    /// Those that the programs know. The table runs its tunnel cases with each.
    pub const ALL: &[Self] =
        &[Self::IP_IN_IP, Self::GRE, Self::KEYED_GRE, Self::MINIMAL, Self::UDP, Self::UDP_GRE, Self::UDP_MINIMAL];

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is without keys and ports.
    pub fn base(self) -> &'static str {
        match self.kind {
            tunnel_kind::GRE => Self::GRE.name,
            tunnel_kind::MINIMAL => Self::MINIMAL.name,
            _ => Self::IP_IN_IP.name,
        }
    }

    /// The UDP ports of what we send, source and destination, if it goes over UDP.
    pub fn ports(self) -> Option<(u16, u16)> {
        self.ports.map(|ports| (ports.ours, ports.theirs))
    }

    /// Seen from the other end of the tunnel, with no translator of ports in between.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { ports: self.ports.map(|_| Ports { ours: MOBILE_IP_PORT, theirs: MOBILE_IP_PORT }), ..self.mirrored() }
    }

    /// What the other end sends, as it arrives here.
    fn mirrored(self) -> Self {
        Self {
            keys: self.keys.map(|keys| Keys { send: keys.receive, receive: keys.send }),
            ports: self.ports.map(|ports| Ports { ours: ports.theirs, theirs: ports.ours }),
            ..self
        }
    }

    /// The GRE key of what we send, if there is one.
    pub fn send_key(self) -> Option<[u8; 4]> {
        self.keys.map(|keys| keys.send)
    }

    /// Whether what it carries keeps its own IPv4 header inside. (Minimal encapsulation takes it apart.)
    pub fn keeps_header(self) -> bool {
        self.kind != tunnel_kind::MINIMAL
    }

    /// Whether its tunnels accept what is wrapped by `other`: what minimal encapsulation cannot carry comes IP-in-IP.
    pub fn accepts(self, other: Self) -> bool {
        self == other || !self.keeps_header() && other.kind == tunnel_kind::IP_IN_IP && self.ports == other.ports
    }

    /// How many bytes it adds to a packet, at most.
    pub fn overhead(self) -> u16 {
        tunnel_overhead(self.kind, self.flags())
    }

    /// The largest packet that fits into a tunnel over links of 1,500 bytes.
    pub fn largest(self) -> u16 {
        LINK_MTU - self.overhead()
    }

    /// `inner` as we send it into the tunnel.
    pub fn sent(self, local: Ipv4Addr, remote: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        // RFC 2004 §1: what the forwarding header cannot carry goes IP-in-IP.
        if !self.keeps_header() && matches!(inner.fragment_word, 0 | 0x4000) && inner.options.is_empty() {
            return self.sent_minimal(local, remote, inner);
        }
        let (protocol, contents) = match self.kind {
            tunnel_kind::GRE => (47, self.gre().bytes(inner)),
            _ => (4, inner.bytes()),
        };
        match self.udp(protocol) {
            Some(udp) => udp.tunnel(local, remote, inner, &contents),
            None if protocol == 47 => self.gre().tunnel(local, remote, inner),
            None => Ipv4::tunnel(local, remote, inner),
        }
    }

    fn sent_minimal(self, local: Ipv4Addr, remote: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        let header = if inner.source == local { Minimal::new().without_source() } else { Minimal::new() };
        let packet = header.tunnel(local, remote, inner);
        match self.udp(55) {
            // The header that both share stays as it is, but for the protocol.
            Some(udp) => packet.protocol(17).payload_bytes(&udp.bytes(&header.bytes(inner))),
            None => packet,
        }
    }

    fn udp(self, next_header: u8) -> Option<UdpTunnel> {
        self.ports.map(|ports| UdpTunnel::new().ports(ports.ours, ports.theirs).next_header(next_header))
    }

    /// `inner` as it reaches us out of the tunnel, sent by its other end.
    pub fn arriving(self, remote: Ipv4Addr, local: Ipv4Addr, inner: &Ipv4) -> Ipv4 {
        self.mirrored().sent(remote, local, inner)
    }

    fn gre(self) -> Gre {
        self.keys.map_or_else(Gre::new, |keys| Gre::new().key(keys.send))
    }

    fn flags(self) -> u8 {
        let keyed = if self.keys.is_some() { tunnel_flags::KEYED } else { 0 };
        let udp = if self.ports.is_some() { tunnel_flags::UDP } else { 0 };
        keyed | udp
    }

    /// The entry of `TUNNELS`; `next_hop` is the Ethernet pair destination, source.
    pub fn entry(self, local: Ipv4Addr, remote: Ipv4Addr, next_hop: (MacAddress, MacAddress), ifindex: u32) -> Tunnel {
        let keys = self.keys.unwrap_or(Keys { send: [0; 4], receive: [0; 4] });
        let mut ports = [0; 4];
        if let Some(Ports { ours, theirs }) = self.ports {
            ports[..2].copy_from_slice(&ours.to_be_bytes());
            ports[2..].copy_from_slice(&theirs.to_be_bytes());
        }
        Tunnel {
            outer: self.template(local, remote),
            ethernet: ethernet(next_hop.0, next_hop.1),
            kind: self.kind,
            flags: tunnel_flags::ADJACENT | tunnel_flags::XDP_TARGET | self.flags(),
            ifindex,
            inner_mtu: self.largest(),
            overhead: self.overhead(),
            send_key: keys.send,
            receive_key: keys.receive,
            ports,
            ..Tunnel::default()
        }
    }

    /// The outer header with the sum that [`Tunnel::outer`] wants.
    fn template(self, local: Ipv4Addr, remote: Ipv4Addr) -> [u8; 20] {
        let protocol = match (self.ports, self.kind) {
            (Some(_), _) => 17,
            (None, tunnel_kind::GRE) => 47,
            (None, tunnel_kind::MINIMAL) => 55,
            (None, _) => 4,
        };
        let mut outer = [0; 20];
        outer[0] = 0x45;
        outer[8] = 64;
        outer[9] = protocol;
        outer[12..16].copy_from_slice(&local.octets());
        outer[16..20].copy_from_slice(&remote.octets());
        let mut sum: u32 = outer.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        outer[10..12].copy_from_slice(&(sum as u16).to_be_bytes());
        outer
    }

    /// Has a visitor's packets arrive in this way.
    #[must_use]
    pub fn visitor(self, visitor: Visitor) -> Visitor {
        Visitor {
            kind: self.kind,
            flags: visitor.flags & !(tunnel_flags::KEYED | tunnel_flags::UDP) | self.flags(),
            receive_key: self.keys.map_or([0; 4], |keys| keys.receive),
            port: self.ports.map_or([0; 2], |ports| ports.theirs.to_be_bytes()),
            ..visitor
        }
    }
}
