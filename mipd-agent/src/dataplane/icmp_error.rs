//! ICMP errors from inside a tunnel: what they say, and what the sender of the packet inside is told (RFC 2003 §4).

use std::{borrow::Cow, net::Ipv4Addr};

use crate::wire::{
    checksum,
    ip::{Ipv4, PROTOCOL_ICMP, PROTOCOL_UDP},
};

const IP_IN_IP: u8 = 4;
const GRE: u8 = 47;
const MINIMAL: u8 = 55;
const HEADER: usize = 20;
/// Of the packet in question, an error quotes its header and so much at least (RFC 792).
const QUOTED_DATA: usize = 8;
/// An error is no larger than this (RFC 1812 §4.3.2.3).
const LARGEST: usize = 576;
const ICMP_HEADER: usize = 8;
const TTL: u8 = 64;

const UNREACHABLE: u8 = 3;
const NETWORK: u8 = 0;
const HOST: u8 = 1;
const TOO_BIG: u8 = 4;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// The types of ICMP errors that routers send about packets in a tunnel.
pub(super) const TYPES: [u8; 4] = [UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM];

/// What an error complains of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// No way to the other end's network (3/0), or the other end does not know the protocol of the tunnel (3/2).
    Unreachable,
    /// No way to the other end (3/1), or another one of type 3.
    HostUnreachable,
    /// 3/3, which says nothing of the packet inside.
    PortUnreachable,
    /// 3/4 with the MTU of the link; 0 = it does not tell.
    TooBig { mtu: u16 },
    /// 3/5, though no packet of ours has a source route.
    SourceRouteFailed,
    /// Type 4.
    SourceQuench,
    /// Type 5.
    Redirect,
    /// Type 11: the tunnel is longer than our TTL, or goes round.
    TimeExceeded,
    /// Type 12: the byte at this offset is wrong.
    ParameterProblem { pointer: u8 },
}

/// An ICMP error about a packet that left here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct IcmpError<'a> {
    /// Who sent it.
    pub reporter: Ipv4Addr,
    /// What it complains of.
    pub cause: Cause,
    /// The packet that it complains of.
    pub quoted: Quoted<'a>,
}

/// The beginning of a packet: its whole header, and at least eight bytes more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Quoted<'a>(Cow<'a, [u8]>);

impl<'a> IcmpError<'a> {
    /// Reads an IPv4 packet. `None` if it is no ICMP error, is damaged, or quotes too little.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv4::parse(packet).ok().filter(|ip| ip.protocol == PROTOCOL_ICMP)?;
        let (header, quoted) = ip.payload.split_first_chunk::<ICMP_HEADER>()?;
        if checksum::internet(&[ip.payload]) != 0 {
            return None;
        }
        let [kind, code, _, _, pointer, words, high, low] = *header;
        let cause = match (kind, code) {
            (UNREACHABLE, 0 | 2) => Cause::Unreachable,
            (UNREACHABLE, 3) => Cause::PortUnreachable,
            (UNREACHABLE, TOO_BIG) => Cause::TooBig { mtu: u16::from_be_bytes([high, low]) },
            (UNREACHABLE, 5) => Cause::SourceRouteFailed,
            (UNREACHABLE, _) => Cause::HostUnreachable,
            (SOURCE_QUENCH, _) => Cause::SourceQuench,
            (REDIRECT, _) => Cause::Redirect,
            (TIME_EXCEEDED, _) => Cause::TimeExceeded,
            (PARAMETER_PROBLEM, _) => Cause::ParameterProblem { pointer },
            _ => return None,
        };
        // RFC 4884 §4: what is quoted may be followed by extensions; then its length is told, in words.
        let has_length = matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM) && words != 0;
        let quoted = if has_length { quoted.get(..usize::from(words) * 4).unwrap_or(quoted) } else { quoted };
        Some(Self { reporter: ip.source, cause, quoted: Quoted::new(quoted)? })
    }
}

impl<'a> Quoted<'a> {
    fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Option<Self> {
        let quoted = Self(bytes.into());
        let first = *quoted.0.first()?;
        let whole = first >> 4 == 4 && quoted.header_length() >= HEADER;
        (whole && quoted.0.len() >= quoted.header_length() + QUOTED_DATA).then_some(quoted)
    }

    /// Length of its header, bytes.
    pub fn header_length(&self) -> usize {
        usize::from(self.0[0] & 0x0f) * 4
    }

    /// Total length of the packet, not only of what is quoted.
    pub fn total_length(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Protocol of its payload.
    pub fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// Its source address.
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[12], self.0[13], self.0[14], self.0[15])
    }

    /// Its destination address.
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[16], self.0[17], self.0[18], self.0[19])
    }

    /// Source and destination port, of a UDP datagram.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let [a, b, c, d, ..] = *self.data().first_chunk::<QUOTED_DATA>()?;
        (self.protocol() == PROTOCOL_UDP).then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Whether its protocol is one that packets in a tunnel have.
    pub fn is_tunnelled(&self) -> bool {
        matches!(self.protocol(), IP_IN_IP | GRE | MINIMAL | PROTOCOL_UDP)
    }

    fn data(&self) -> &[u8] {
        &self.0[self.header_length()..]
    }

    fn is_fragment_but_the_first(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x1fff != 0
    }

    /// The packet inside, as far as it is quoted; `None` if that is too little.
    pub fn inner(&self) -> Option<Quoted<'_>> {
        if self.is_fragment_but_the_first() {
            return None;
        }
        match self.protocol() {
            PROTOCOL_UDP => {
                // RFC 3519 §3.3: UDP header, then type, next header and two reserved bytes.
                let (header, inside) = self.data().split_first_chunk::<12>()?;
                (header[8] == 4).then_some(())?;
                self.unwrap(header[9], inside, 12)
            }
            protocol => self.unwrap(protocol, self.data(), 0),
        }
    }

    /// What is in `data`, which is of this protocol and begins `around` bytes behind the header.
    fn unwrap<'b>(&self, protocol: u8, data: &'b [u8], around: u16) -> Option<Quoted<'b>> {
        match protocol {
            IP_IN_IP => Quoted::new(data),
            GRE => {
                // RFC 2784 §2.1, RFC 2890 §2: a word each for checksum, key and sequence number.
                let flags = *data.first()?;
                let words = 1 + usize::from(flags >> 7) + usize::from(flags >> 5 & 1) + usize::from(flags >> 4 & 1);
                Quoted::new(data.get(words * 4..)?)
            }
            MINIMAL => self.unwrap_minimal(data, around).and_then(Quoted::new),
            _ => None,
        }
    }

    /// The original packet of one in minimal encapsulation (RFC 2004 §3): its header is the outer one with some fields
    /// changed.
    fn unwrap_minimal(&self, data: &[u8], around: u16) -> Option<Vec<u8>> {
        let (forwarding, mut rest) = data.split_first_chunk::<8>()?;
        let [protocol, flags, _, _, destination @ ..] = *forwarding;
        let mut header = self.0[..self.header_length()].to_vec();
        let mut taken = around + 8;
        if flags & 0x80 != 0 {
            let (source, payload) = rest.split_first_chunk::<4>()?;
            header[12..16].copy_from_slice(source);
            (rest, taken) = (payload, taken + 4);
        }
        let length = self.total_length().checked_sub(taken)?;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[9] = protocol;
        header[16..20].copy_from_slice(&destination);
        checksum::seal_ipv4(&mut header);
        Some([&header, rest].concat())
    }

    /// Whether the byte at this offset was copied from the header of the packet inside, where it is at the same offset.
    fn is_copied(&self, offset: u8) -> bool {
        match self.protocol() {
            // All but length, protocol, checksum and addresses, and what depends on them.
            MINIMAL => matches!(offset, 0 | 1 | 4..=8) || (20..self.header_length()).contains(&offset.into()),
            // Type of service, and the "don't fragment" bit.
            _ => matches!(offset, 1 | 6),
        }
    }

    /// Whether nobody is to be sent an error about it (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7).
    pub fn is_exempt(&self) -> bool {
        let is_error = self.protocol() == PROTOCOL_ICMP
            && matches!(
                self.data().first(),
                None | Some(&(UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM))
            );
        let [first, ..] = self.source().octets();
        let is_no_host = first == 0 || first == 127 || first >= 224;
        let to_many = self.destination().is_multicast() || self.destination().is_broadcast();
        is_error || is_no_host || to_many || self.is_fragment_but_the_first()
    }
}

/// What the sender of a packet is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    kind: u8,
    code: u8,
    rest: [u8; 4],
}

impl Answer {
    /// What is told the sender of `inner` when an error says `cause` of the packet around it, by the table of RFC 2003
    /// §4. `inner_mtu` is what the tunnel takes; `at_home` says that the destination is on a network of our own.
    pub fn to(cause: Cause, outer: &Quoted<'_>, inner: &Quoted<'_>, inner_mtu: u16, at_home: bool) -> Option<Self> {
        let unreachable = |code| Some(Self { kind: UNREACHABLE, code, rest: [0; 4] });
        if inner.is_exempt() {
            return None;
        }
        match cause {
            Cause::Unreachable => unreachable(if at_home { HOST } else { NETWORK }),
            Cause::HostUnreachable | Cause::TimeExceeded => unreachable(HOST),
            // The sender would not know what is wrong with one that fits.
            Cause::TooBig { .. } if inner.total_length() > inner_mtu => {
                let [high, low] = inner_mtu.to_be_bytes();
                Some(Self { kind: UNREACHABLE, code: TOO_BIG, rest: [0, 0, high, low] })
            }
            Cause::ParameterProblem { pointer } if outer.is_copied(pointer) => {
                Some(Self { kind: PARAMETER_PROBLEM, code: 0, rest: [pointer, 0, 0, 0] })
            }
            Cause::TooBig { .. }
            | Cause::ParameterProblem { .. }
            | Cause::PortUnreachable
            | Cause::SourceRouteFailed
            | Cause::SourceQuench
            | Cause::Redirect => None,
        }
    }

    /// The whole IPv4 packet, to the sender of `inner`.
    pub fn emit(self, from: Ipv4Addr, inner: &Quoted<'_>) -> Vec<u8> {
        let Self { kind, code, rest } = self;
        let quoted =
            &inner.0[..inner.0.len().min(usize::from(inner.total_length())).min(LARGEST - HEADER - ICMP_HEADER)];
        let mut message = Vec::with_capacity(ICMP_HEADER + quoted.len());
        message.extend([kind, code, 0, 0]);
        message.extend(rest);
        message.extend(quoted);
        let checksum = checksum::internet(&[&message]);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut packet = Vec::with_capacity(HEADER + message.len());
        Ipv4 { source: from, destination: inner.source(), ttl: TTL, protocol: PROTOCOL_ICMP, payload: &message }
            .emit(&mut packet);
        packet
    }
}

#[cfg(test)]
mod tests;
