//! What two agents agree on about a tunnel: encapsulation, keys, UDP, delivery of reverse traffic.

use std::{fmt, net::SocketAddrV4, time::Duration};

use serde::{Deserialize, Serialize};

/// How a packet is wrapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// IP in IP (RFC 2003): what everybody must support, and what neither M nor G asks for.
    #[default]
    #[serde(rename = "ipip")]
    IpInIp,
    /// Generic routing encapsulation (RFC 2784): the G bit.
    Gre,
    /// Minimal encapsulation (RFC 2004): the M bit.
    Minimal,
}

impl Encapsulation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IpInIp, Self::Gre, Self::Minimal];

    /// Its IP protocol number.
    pub fn protocol(self) -> u8 {
        match self {
            Self::IpInIp => 4,
            Self::Gre => 47,
            Self::Minimal => 55,
        }
    }

    /// The encapsulation of an IP protocol number.
    pub fn from_protocol(protocol: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encapsulation| encapsulation.protocol() == protocol)
    }

    /// `ipip`, `gre` or `minimal`: as in the configuration and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::IpInIp => "ipip",
            Self::Gre => "gre",
            Self::Minimal => "minimal",
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of encapsulations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encapsulations(u8);

impl Encapsulations {
    /// IP in IP alone.
    pub const IP_IN_IP: Self = Self(1);

    /// Whether it is one of them.
    pub fn contains(self, encapsulation: Encapsulation) -> bool {
        self.0 & (1 << encapsulation as u8) != 0
    }

    /// All of them, in the order of [`Encapsulation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Encapsulation> {
        Encapsulation::ALL.into_iter().filter(move |encapsulation| self.contains(*encapsulation))
    }
}

impl FromIterator<Encapsulation> for Encapsulations {
    fn from_iter<I: IntoIterator<Item = Encapsulation>>(encapsulations: I) -> Self {
        Self(encapsulations.into_iter().fold(0, |set, encapsulation| set | 1 << encapsulation as u8))
    }
}

/// The GRE keys of a session (RFC 6245): each end sends with the key that the other one asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct GreKeys {
    /// To send with.
    pub send: u32,
    /// To expect in what is received.
    pub receive: u32,
}

/// How a visitor's packets for the reverse tunnel reach the foreign agent (RFC 3024 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Plain, to its link-layer address: everything goes into the tunnel.
    #[default]
    Direct,
    /// Encapsulated to the foreign agent; what is not encapsulated is routed as usual.
    Encapsulating,
}

/// The far end of a tunnel over UDP (RFC 3519).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct UdpTunnel {
    /// Address and port as seen from this side of the NAT.
    pub peer: SocketAddrV4,
    /// How long the end that is not the home agent may be silent.
    pub keepalive: Duration,
}

impl UdpTunnel {
    /// The keepalive interval unless the home agent sets one (RFC 3519 §4.9).
    pub const KEEPALIVE: Duration = Duration::from_secs(110);
    /// The shortest keepalive interval (RFC 3519 §4.9).
    pub const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(10);
}

/// Everything agreed on about a tunnel but its two addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TunnelMode {
    /// How packets are wrapped, in both directions.
    pub encapsulation: Encapsulation,
    /// The keys, with GRE, if agreed on.
    pub gre_keys: Option<GreKeys>,
    /// Over UDP, if a NAT is between.
    pub udp: Option<UdpTunnel>,
    /// The way back, if the visitor's own traffic goes through the tunnel (RFC 3024).
    pub reverse: Option<Delivery>,
}

impl TunnelMode {
    /// Whether there is a reverse tunnel.
    pub fn is_reverse(&self) -> bool {
        self.reverse.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Encapsulation, Encapsulations};

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        for bits in 0..8u8 {
            let members: Vec<_> = Encapsulation::ALL
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| bits & 1 << bit != 0)
                .map(|(_, e)| e)
                .collect();
            let set: Encapsulations = members.iter().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), members);
        }
        assert!(Encapsulations::IP_IN_IP.contains(Encapsulation::IpInIp));
    }

    #[test]
    fn every_encapsulation_is_found_by_its_protocol_number() {
        for encapsulation in Encapsulation::ALL {
            assert_eq!(Encapsulation::from_protocol(encapsulation.protocol()), Some(encapsulation));
        }
        assert_eq!(Encapsulation::from_protocol(6), None);
    }
}
