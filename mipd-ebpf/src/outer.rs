//! Writes the outer header of a tunnel (RFC 2003 §3.1) from its template.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use mipd_common::{
    maps::Tunnel,
    packet::{DONT_FRAGMENT, IPV4_LENGTH, OuterFields, Sum, VERSION_4_IHL_5, protocol},
};

use crate::{
    bytes::{Bytes, BytesMut},
    ipv4::Ipv4,
};

/// Version and header length, without TOS.
const VERSION: u16 = u16::from_ne_bytes([VERSION_4_IHL_5, 0]);
/// TTL and protocol of a wrapper.
const TTL_IP_IN_IP: u16 = u16::from_ne_bytes([64, protocol::IP_IN_IP]);

/// The fields that the outer header takes from an inner packet to which the tunnel adds `overhead` bytes, read before the
/// packet is changed.
#[inline(always)]
pub fn fields(inner: Ipv4<'_>, overhead: usize) -> OuterFields {
    let fragment_word = inner.fragment_word();
    let identification = if fragment_word & DONT_FRAGMENT == 0 {
        // SAFETY: plain helper call.
        unsafe { bpf_get_prandom_u32() as u16 }
    } else {
        0
    };
    OuterFields::new(inner.tos(), inner.total_length(), overhead as u16, fragment_word, identification)
}

/// Writes the header.
#[inline(always)]
pub fn write(header: BytesMut<IPV4_LENGTH>, tunnel: &Tunnel, fields: OuterFields) {
    let template = Bytes::of(&tunnel.outer);
    write_with(header, tunnel, fields, template.half::<8>(), template.half::<10>());
}

/// Writes the header with another protocol than the template has.
#[inline(always)]
pub fn write_as(header: BytesMut<IPV4_LENGTH>, tunnel: &Tunnel, fields: OuterFields, protocol: u8) {
    let template = Bytes::of(&tunnel.outer);
    let ttl_protocol = u16::from_ne_bytes([template.byte::<8>(), protocol]);
    let partial = Sum::new(template.half::<10>()).add(!template.half::<8>()).add(ttl_protocol).fold();
    write_with(header, tunnel, fields, ttl_protocol, partial);
}

#[inline(always)]
fn write_with(header: BytesMut<IPV4_LENGTH>, tunnel: &Tunnel, fields: OuterFields, ttl_protocol: u16, partial: u16) {
    let template = Bytes::of(&tunnel.outer);
    header.set_half::<0>(fields.version_tos);
    header.set_half::<2>(fields.total_length);
    header.set_half::<4>(fields.identification);
    header.set_half::<6>(fields.flags);
    header.set_half::<8>(ttl_protocol);
    header.set_half::<10>(fields.checksum(partial));
    header.set_word::<12>(template.word::<12>());
    header.set_word::<16>(template.word::<16>());
}

/// Writes the header of an IP-in-IP packet between two addresses (memory order), without a template.
#[inline(always)]
pub fn write_between(header: BytesMut<IPV4_LENGTH>, source: u32, destination: u32, fields: OuterFields) {
    let base = Sum::new(VERSION).add(TTL_IP_IN_IP).add_pair(source).add_pair(destination).fold();
    header.set_half::<0>(fields.version_tos);
    header.set_half::<2>(fields.total_length);
    header.set_half::<4>(fields.identification);
    header.set_half::<6>(fields.flags);
    header.set_half::<8>(TTL_IP_IN_IP);
    header.set_half::<10>(fields.checksum(base));
    header.set_word::<12>(source);
    header.set_word::<16>(destination);
}
