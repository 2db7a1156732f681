//! A tunnel packet for one of our own addresses: what it is wrapped in, and what is inside.

use mipd_common::{
    maps::{
        Address, Counter,
        tunnel_flags::KEYED,
        tunnel_kind::{GRE, IP_IN_IP},
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, gre::KEY_LENGTH, gre::LENGTH, protocol},
};

use crate::{bytes::address, gre, hook::Hook, ipv4::Ipv4, surgery::Carried, verdict::Refusal};

/// Offset of what follows the outer header.
const OPENED: usize = ETHERNET_LENGTH + IPV4_LENGTH;

/// A tunnel packet, taken apart and consistent.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The outer header.
    pub outer: Ipv4<'a>,
    /// The packet inside.
    pub carried: Carried<'a>,
    /// One of `tunnel_kind`.
    kind: u8,
    /// Bits of `tunnel_flags`.
    flags: u8,
    /// The GRE key, memory order, with `KEYED`.
    key: u32,
}

/// Whether a packet of this protocol may carry another one.
#[inline(always)]
pub fn is_tunnel_protocol(protocol: u8) -> bool {
    matches!(protocol, protocol::IP_IN_IP | protocol::GRE)
}

impl<'a> Arrival<'a> {
    /// Takes a packet apart whose outer header lies behind the Ethernet header.
    #[inline(always)]
    pub fn of<H: Hook>(hook: H, outer: Ipv4<'a>) -> Result<Self, Refusal> {
        if !outer.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32)) {
            return Err(Refusal::Drop(Counter::DroppedShort));
        }
        // The agent's raw sockets get these two, whole.
        if !outer.is_plain() {
            return Err(Refusal::Slow(Counter::SlowOptions));
        }
        if outer.is_fragment() {
            return Err(Refusal::Slow(Counter::SlowFragment));
        }
        if !outer.checksum_is_valid() {
            return Err(Refusal::Drop(Counter::DroppedShort));
        }
        let frame = hook.frame();
        let (mut kind, mut flags, mut key, mut strip) = (IP_IN_IP, 0, 0, IPV4_LENGTH);
        if outer.protocol() != protocol::IP_IN_IP {
            kind = GRE;
            strip = IPV4_LENGTH + LENGTH;
            if let Some(value) = gre::read(frame, OPENED)? {
                key = value;
                flags = KEYED;
                strip = IPV4_LENGTH + LENGTH + KEY_LENGTH;
            }
        }
        let Some(inner) = frame.take_at::<IPV4_LENGTH>(ETHERNET_LENGTH + strip) else {
            return Err(Refusal::Drop(Counter::DroppedShort));
        };
        let packet = Ipv4(inner.part::<0, IPV4_LENGTH>());
        let payload = (outer.total_length() as u32).wrapping_sub(strip as u32);
        // The inner TTL must not have reached zero (RFC 2003 §3.1); the outer header vanishes, so this is the time to check
        // it. Padding is no payload.
        if (outer.total_length() as usize) < strip + IPV4_LENGTH
            || !packet.is_version_4()
            || !packet.lengths_fit(payload)
            || packet.ttl() == 0
        {
            return Err(Refusal::Drop(Counter::DroppedShort));
        }
        Ok(Self { outer, carried: Carried { packet, strip }, kind, flags, key })
    }

    /// The packet inside.
    #[inline(always)]
    pub fn inner(&self) -> Ipv4<'a> {
        self.carried.packet
    }

    /// Whether it is wrapped as agreed: kind, flags, and the key if there is to be one.
    #[inline(always)]
    pub fn is_agreed(&self, kind: u8, flags: u8, key: &Address) -> bool {
        self.kind == kind && self.flags == flags & KEYED && (self.flags & KEYED == 0 || self.key == address(key))
    }

    /// Whether it would go round: inside is a packet for the router that has wrapped it (RFC 2784 §3).
    #[inline(always)]
    pub fn is_loop(&self) -> bool {
        self.kind == GRE && self.inner().destination() == self.outer.source()
    }
}
