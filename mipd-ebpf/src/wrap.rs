//! Puts a packet into a tunnel.

use mipd_common::{
    maps::{
        Tunnel,
        tunnel_flags::KEYED,
        tunnel_kind::{GRE, IP_IN_IP},
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, OuterFields, gre},
};

use crate::{
    bytes::{Bytes, Frame},
    gre as header,
    hook::{Hook, Layers},
    ipv4::{Ipv4, hop},
    outer,
    surgery::Carried,
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
    if tunnel.kind == IP_IN_IP {
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
    let wrapping = Wrapping::new(carried.packet, tunnel);
    if !hook.resize(carried.strip, wrapping.length, wrapping.layers) {
        return Err(Failure::NoRoom);
    }
    let frame = hook.frame();
    let Some(ethernet) = frame.take::<ETHERNET_LENGTH>() else { return Err(Failure::Broken) };
    ethernet.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    let Some(inner) = frame.take_at::<IPV4_LENGTH>(ETHERNET_LENGTH + wrapping.length) else {
        return Err(Failure::Broken);
    };
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
    fields: OuterFields,
}

impl Wrapping {
    /// How `packet` goes into `tunnel`.
    #[inline(always)]
    pub fn new(packet: Ipv4<'_>, tunnel: &Tunnel) -> Self {
        let (length, layers) = match tunnel.kind {
            GRE if tunnel.flags & KEYED != 0 => (IPV4_LENGTH + gre::LENGTH + gre::KEY_LENGTH, Layers::Gre),
            GRE => (IPV4_LENGTH + gre::LENGTH, Layers::Gre),
            _ => (IPV4_LENGTH, Layers::Ip),
        };
        Self { length, layers, fields: outer::fields(packet, length) }
    }

    /// Writes the headers at `at`, where room has been made for them.
    #[inline(always)]
    pub fn write(self, frame: Frame, at: usize, tunnel: &Tunnel) -> bool {
        let Some(header) = frame.take_at::<IPV4_LENGTH>(at) else { return false };
        outer::write(header, tunnel, self.fields);
        match self.layers {
            Layers::Ip => true,
            Layers::Gre => header::write(frame, at + IPV4_LENGTH, tunnel),
        }
    }
}
