//! A tunnel packet for one of our own addresses: what it is wrapped in, and what is inside.

use mipd_common::{
    maps::{
        Address, Counter,
        tunnel_flags::{KEYED, UDP},
        tunnel_kind::{GRE, IP_IN_IP, MINIMAL},
    },
    packet::{
        ETHERNET_LENGTH, IPV4_LENGTH,
        gre::{KEY_LENGTH, LENGTH},
        protocol, udp,
    },
};

use crate::{
    bytes::{Bytes, address},
    gre,
    hook::Hook,
    ipv4::Ipv4,
    minimal,
    surgery::{Carried, Header},
    udp_tunnel,
    verdict::Refusal,
};

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
    /// The UDP source port, memory order, with `UDP`.
    port: u16,
}

/// Whether packets of this protocol carry other ones. Some of UDP do, too: [`udp_tunnel::is_tunnel_data`].
#[inline(always)]
pub fn is_tunnel_protocol(protocol: u8) -> bool {
    matches!(protocol, protocol::IP_IN_IP | protocol::GRE | protocol::MINIMAL)
}

impl<'a> Arrival<'a> {
    /// Takes a packet apart whose outer header lies behind the Ethernet header. `header` is place for an inner one that has to
    /// be made.
    #[inline(always)]
    pub fn of<H: Hook>(hook: H, outer: Ipv4<'a>, header: &'a mut Header) -> Result<Self, Refusal> {
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
        let mut this = Self { outer, carried: Carried::plain(outer), kind: IP_IN_IP, flags: 0, key: 0, port: 0 };
        let (mut strip, mut protocol) = (IPV4_LENGTH, outer.protocol());
        if protocol == protocol::UDP {
            (this.port, protocol) = udp_tunnel::read(frame, outer)?;
            this.flags = UDP;
            strip += udp::TUNNEL_LENGTH;
        }
        match protocol {
            protocol::IP_IN_IP => {}
            protocol::GRE => {
                this.kind = GRE;
                let key = gre::read(frame, ETHERNET_LENGTH + strip)?;
                strip += LENGTH;
                if let Some(key) = key {
                    this.key = key;
                    this.flags |= KEYED;
                    strip += KEY_LENGTH;
                }
            }
            protocol::MINIMAL => {
                let (packet, length) = minimal::read(frame, ETHERNET_LENGTH + strip, outer, header)?;
                this.kind = MINIMAL;
                this.carried = Carried { packet, strip: strip + length - IPV4_LENGTH, rebuilt: true };
                // The outer TTL is the packet's own.
                return if packet.ttl() == 0 { Err(Refusal::Drop(Counter::DroppedShort)) } else { Ok(this) };
            }
            _ => return Err(Refusal::Drop(Counter::DroppedEncapsulation)),
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
        this.carried = Carried { packet, strip, rebuilt: false };
        Ok(this)
    }

    /// The packet inside.
    #[inline(always)]
    pub fn inner(&self) -> Ipv4<'a> {
        self.carried.packet
    }

    /// Whether it is wrapped as agreed: kind, flags, key and source port if there are to be any.
    #[inline(always)]
    pub fn is_agreed(&self, kind: u8, flags: u8, key: &Address, port: Bytes<'_, 2>) -> bool {
        // What minimal encapsulation cannot carry comes IP-in-IP (RFC 2004 §1).
        (self.kind == kind || (kind == MINIMAL && self.kind == IP_IN_IP))
            && self.flags == flags & (KEYED | UDP)
            && (self.flags & KEYED == 0 || self.key == address(key))
            && (self.flags & UDP == 0 || self.port == port.half::<0>())
    }

    /// Whether it came over UDP: then both ends of the outer header must be those of the registration (RFC 3519 §4.3).
    #[inline(always)]
    pub fn is_over_udp(&self) -> bool {
        self.flags & UDP != 0
    }

    /// Whether a visitor may hand over what it has wrapped like this: IP-in-IP, or GRE without a key where the tunnel is
    /// GRE (RFC 3024 §5.2).
    #[inline(always)]
    pub fn is_delivery(&self, kind: u8) -> bool {
        self.flags == 0 && (self.kind == IP_IN_IP || (self.kind == GRE && kind == GRE))
    }

    /// Whether it would go round: inside is a packet for the router that has wrapped it (RFC 2784 §3).
    #[inline(always)]
    pub fn is_loop(&self) -> bool {
        self.kind == GRE && self.inner().destination() == self.outer.source()
    }
}
