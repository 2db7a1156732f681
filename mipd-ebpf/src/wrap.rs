//! Puts a packet into a tunnel.

use mipd_common::{
    maps::{
        Tunnel,
        tunnel_flags::{KEYED, UDP},
        tunnel_kind::{GRE, IP_IN_IP, MINIMAL},
    },
    packet::{
        ETHERNET_LENGTH, IPV4_LENGTH, OuterFields,
        gre::{KEY_LENGTH, LENGTH},
        protocol, udp,
    },
};

use crate::{
    bytes::{Bytes, Frame},
    gre,
    hook::{Hook, Layers},
    ipv4::{Ipv4, hop},
    minimal, outer,
    surgery::Carried,
    udp_tunnel,
};

/// Ethernet and two IPv4 headers.
pub const TUNNELLED: usize = ETHERNET_LENGTH + 2 * IPV4_LENGTH;

/// Why a packet was not put into a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no room; nothing has changed.
    NoRoom,
    /// The frame is not what it was made to be.
    Broken,
}

/// Wraps what an Ethernet frame carries, in place of what it arrived in, one hop on. The tunnel's next hop is known.
#[inline(always)]
pub fn put_on<H: Hook>(hook: H, carried: Carried<'_>, tunnel: &Tunnel) -> Result<(), Failure> {
    if tunnel.kind == IP_IN_IP && tunnel.flags & UDP == 0 && !carried.rebuilt {
        let fields = outer::fields(carried.packet, IPV4_LENGTH);
        if !hook.resize(carried.strip, IPV4_LENGTH, Layers::Ip) {
            return Err(Failure::NoRoom);
        }
        let Some(headers) = hook.frame().take::<TUNNELLED>() else { return Err(Failure::Broken) };
        headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
        outer::write(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), tunnel, fields);
        hop(headers.part_mut::<{ ETHERNET_LENGTH + IPV4_LENGTH }, IPV4_LENGTH>());
        return Ok(());
    }
    let wrapping = Wrapping::new(hook, carried.packet, tunnel);
    if !hook.resize(carried.strip, wrapping.length, wrapping.layers) {
        return Err(Failure::NoRoom);
    }
    let frame = hook.frame();
    let Some(ethernet) = frame.take::<ETHERNET_LENGTH>() else { return Err(Failure::Broken) };
    ethernet.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    let Some(inner) = frame.take_at::<IPV4_LENGTH>(ETHERNET_LENGTH + wrapping.length) else {
        return Err(Failure::Broken);
    };
    if carried.rebuilt {
        carried.packet.copy_to(inner);
    }
    hop(inner);
    if wrapping.write(frame, ETHERNET_LENGTH, tunnel) { Ok(()) } else { Err(Failure::Broken) }
}

/// What is put in front of a packet, known before the packet changes.
#[derive(Clone, Copy)]
pub struct Wrapping {
    /// Bytes added.
    pub length: usize,
    /// Which headers they are.
    pub layers: Layers,
    /// The encapsulation in the end: one of [`protocol`].
    protocol: u8,
    fields: OuterFields,
}

impl Wrapping {
    /// How `packet` goes into `tunnel`.
    #[inline(always)]
    pub fn new<H: Hook>(hook: H, packet: Ipv4<'_>, tunnel: &Tunnel) -> Self {
        let (mut length, mut layers, mut protocol) = (IPV4_LENGTH, Layers::Ip, protocol::IP_IN_IP);
        if tunnel.kind == GRE {
            length = IPV4_LENGTH + LENGTH + if tunnel.flags & KEYED == 0 { 0 } else { KEY_LENGTH };
            layers = Layers::Gre;
            protocol = protocol::GRE;
        }
        // RFC 2004 §1 excludes fragments, options are better off inside, segments must be cut by the kernel, which does not know
        // this one, and a wrong checksum must not become right.
        if tunnel.kind == MINIMAL
            && packet.is_plain()
            && !packet.is_fragment()
            && !hook.is_segmented()
            && packet.checksum_is_valid()
        {
            length = minimal::length(packet, tunnel);
            protocol = protocol::MINIMAL;
        }
        if tunnel.flags & UDP != 0 {
            length += udp::TUNNEL_LENGTH;
            layers = Layers::Udp;
        }
        Self { length, layers, protocol, fields: outer::fields(packet, length) }
    }

    /// Writes the headers at `at`, where room has been made for them in front of the packet.
    #[inline(always)]
    pub fn write(self, frame: Frame, at: usize, tunnel: &Tunnel) -> bool {
        let Some(header) = frame.take_at::<IPV4_LENGTH>(at) else { return false };
        let (mut next, mut protocol) = (at + IPV4_LENGTH, self.protocol);
        if tunnel.flags & UDP != 0 {
            next += udp::TUNNEL_LENGTH;
            protocol = protocol::UDP;
        }
        if self.protocol == protocol::MINIMAL {
            // Goes first: it reads what the others write over.
            if !minimal::write(frame, at, next, at + self.length, tunnel, protocol) {
                return false;
            }
        } else {
            outer::write_as(header, tunnel, self.fields, protocol);
            if self.protocol == protocol::GRE && !gre::write(frame, next, tunnel) {
                return false;
            }
        }
        tunnel.flags & UDP == 0 || udp_tunnel::write(frame, at, tunnel, self.protocol)
    }
}
