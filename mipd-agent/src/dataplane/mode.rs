//! How packets are wrapped in a tunnel, as far as the kernel programs and the slow path must know.

use std::{fmt, net::SocketAddrV4};

use mipd_common::maps::{Tunnel, tunnel_flags, tunnel_kind, tunnel_overhead};
use serde::Serialize;

/// What goes around a packet in a tunnel, beside the outer IP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct TunnelMode {
    /// What the packet itself is in.
    pub encapsulation: Encapsulation,
    /// The UDP header around that, if a NAT is between the ends (RFC 3519).
    pub udp: Option<UdpEnds>,
}

/// An encapsulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Encapsulation {
    /// IP in IP (RFC 2003).
    #[default]
    IpInIp,
    /// Generic routing encapsulation (RFC 2784), with keys if agreed on (RFC 2890).
    Gre(Option<GreKeys>),
    /// Minimal encapsulation (RFC 2004). What it cannot carry goes IP in IP.
    Minimal,
}

/// The GRE keys of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct GreKeys {
    /// Of packets into the tunnel.
    pub send: u32,
    /// Of packets out of it.
    pub receive: u32,
}

/// The ends of a tunnel over UDP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UdpEnds {
    /// Our port.
    pub port: u16,
    /// The other end as it is seen from here: if a NAT is between, its address and port.
    pub peer: SocketAddrV4,
}

impl UdpEnds {
    /// The port of both agents, unless a NAT changes it (RFC 3519 §3.3).
    pub const PORT: u16 = 434;
}

impl Encapsulation {
    /// Its IP protocol number.
    pub fn protocol(self) -> u8 {
        match self {
            Self::IpInIp => 4,
            Self::Gre(_) => 47,
            Self::Minimal => 55,
        }
    }

    /// One of [`tunnel_kind`].
    pub(super) fn kind(self) -> u8 {
        match self {
            Self::IpInIp => tunnel_kind::IP_IN_IP,
            Self::Gre(_) => tunnel_kind::GRE,
            Self::Minimal => tunnel_kind::MINIMAL,
        }
    }

    /// `None` for a [`tunnel_kind`] that is no encapsulation.
    pub(super) fn of_kind(kind: u8, keys: Option<GreKeys>) -> Option<Self> {
        match kind {
            tunnel_kind::IP_IN_IP => Some(Self::IpInIp),
            tunnel_kind::GRE => Some(Self::Gre(keys)),
            tunnel_kind::MINIMAL => Some(Self::Minimal),
            _ => None,
        }
    }

    /// The keys, with GRE, if agreed on.
    pub fn keys(self) -> Option<GreKeys> {
        match self {
            Self::Gre(keys) => keys,
            Self::IpInIp | Self::Minimal => None,
        }
    }
}

impl TunnelMode {
    const UDP: u8 = 17;

    /// The protocol of the outer IP header.
    pub fn outer_protocol(&self) -> u8 {
        if self.udp.is_some() { Self::UDP } else { self.encapsulation.protocol() }
    }

    /// The same without what cannot be told by packets out of the tunnel: the key to send with.
    pub(super) fn of_arrivals(mut self) -> Self {
        if let Encapsulation::Gre(Some(keys)) = &mut self.encapsulation {
            keys.send = 0;
        }
        self
    }

    /// Bits of [`tunnel_flags`] that follow from it.
    pub(super) fn flags(&self) -> u8 {
        let keyed = if self.encapsulation.keys().is_some() { tunnel_flags::KEYED } else { 0 };
        keyed | if self.udp.is_some() { tunnel_flags::UDP } else { 0 }
    }

    /// How many bytes it adds to a packet, outer header included, at most.
    pub fn overhead(&self) -> u16 {
        tunnel_overhead(self.encapsulation.kind(), self.flags())
    }

    /// What an entry of the tunnel table says; `None` if that is no tunnel.
    pub(super) fn of_entry(entry: &Tunnel) -> Option<Self> {
        let keys = GreKeys { send: u32::from_be_bytes(entry.send_key), receive: u32::from_be_bytes(entry.receive_key) };
        let keys = (entry.flags & tunnel_flags::KEYED != 0).then_some(keys);
        let [own_high, own_low, peer_high, peer_low] = entry.ports;
        let ends = UdpEnds {
            port: u16::from_be_bytes([own_high, own_low]),
            peer: SocketAddrV4::new(entry.remote().into(), u16::from_be_bytes([peer_high, peer_low])),
        };
        Some(Self {
            encapsulation: Encapsulation::of_kind(entry.kind, keys)?,
            udp: (entry.flags & tunnel_flags::UDP != 0).then_some(ends),
        })
    }

    /// Fills in what the programs must know of it.
    pub(super) fn write_to(&self, entry: &mut Tunnel) {
        entry.kind = self.encapsulation.kind();
        entry.flags |= self.flags();
        entry.overhead = self.overhead();
        if let Some(keys) = self.encapsulation.keys() {
            entry.send_key = keys.send.to_be_bytes();
            entry.receive_key = keys.receive.to_be_bytes();
        }
        if let Some(UdpEnds { port, peer }) = self.udp {
            let ([a, b], [c, d]) = (port.to_be_bytes(), peer.port().to_be_bytes());
            entry.ports = [a, b, c, d];
        }
    }

    /// `ipip`, `gre`, `minimal`; over UDP, `udp/ipip` and so on.
    pub fn name(&self) -> &'static str {
        match (self.encapsulation, self.udp) {
            (Encapsulation::IpInIp, None) => "ipip",
            (Encapsulation::Gre(_), None) => "gre",
            (Encapsulation::Minimal, None) => "minimal",
            (Encapsulation::IpInIp, Some(_)) => "udp/ipip",
            (Encapsulation::Gre(_), Some(_)) => "udp/gre",
            (Encapsulation::Minimal, Some(_)) => "udp/minimal",
        }
    }
}

impl fmt::Display for TunnelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Encapsulation, GreKeys, TunnelMode, UdpEnds};
    use mipd_common::maps::Tunnel;
    use proptest::prelude::*;

    pub fn any_mode() -> impl Strategy<Value = TunnelMode> {
        let keys = any::<Option<(u32, u32)>>();
        let keys = keys.prop_map(|keys| keys.map(|(send, receive)| GreKeys { send, receive }));
        let encapsulation =
            prop_oneof![Just(Encapsulation::IpInIp), Just(Encapsulation::Minimal), keys.prop_map(Encapsulation::Gre),];
        let udp = any::<Option<(u16, [u8; 4], u16)>>().prop_map(|udp| {
            udp.map(|(port, address, peer)| UdpEnds { port, peer: std::net::SocketAddrV4::new(address.into(), peer) })
        });
        (encapsulation, udp).prop_map(|(encapsulation, udp)| TunnelMode { encapsulation, udp })
    }

    proptest! {
        #[test]
        fn an_entry_of_the_table_says_what_was_written(mode in any_mode()) {
            let mut entry = Tunnel::default();
            mode.write_to(&mut entry);
            if let Some(udp) = mode.udp {
                entry.outer[16..].copy_from_slice(&udp.peer.ip().octets());
            }
            prop_assert_eq!(TunnelMode::of_entry(&entry), Some(mode));
            prop_assert_eq!(entry.overhead, mode.overhead());
        }
    }

    #[test]
    fn each_mode_costs_what_its_rfc_says() {
        let keys = Some(GreKeys { send: 1, receive: 2 });
        let udp = Some(UdpEnds { port: 434, peer: std::net::SocketAddrV4::new([192, 0, 2, 1].into(), 4000) });
        let cost = |encapsulation, udp| TunnelMode { encapsulation, udp }.overhead();
        assert_eq!(cost(Encapsulation::IpInIp, None), 20);
        assert_eq!(cost(Encapsulation::Gre(None), None), 24);
        assert_eq!(cost(Encapsulation::Gre(keys), None), 28);
        assert_eq!(cost(Encapsulation::Minimal, None), 20, "what goes IP in IP instead must fit");
        assert_eq!(cost(Encapsulation::IpInIp, udp), 32);
        assert_eq!(cost(Encapsulation::Gre(keys), udp), 40);
    }
}
