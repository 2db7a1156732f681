//! Minimal encapsulation (RFC 2004): the addresses that the tunnel needs take the place of the original ones, which go into
//! a short header of their own. Everything else of the original header stays, its TTL too.

use mipd_common::{
    maps::{Counter, Tunnel},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, Sum},
};

use crate::{
    bytes::{Bytes, Frame},
    ipv4::Ipv4,
    surgery::Header,
    verdict::Refusal,
};

/// Length of the header without the original source.
const SHORT: usize = 8;
/// Length of the header with the original source.
const LONG: usize = 12;
/// The bit that says so.
const SOURCE_PRESENT: u8 = 0x80;

/// How long the header of `packet` is in `tunnel`: whoever makes the tunnel does not repeat itself.
#[inline(always)]
pub fn length(packet: Ipv4<'_>, tunnel: &Tunnel) -> usize {
    if packet.source() == Bytes::of(&tunnel.outer).word::<12>() { SHORT } else { LONG }
}

/// Reads the header at `at` of a frame, behind `outer`, and makes the original IPv4 header in `place`. Returns that one and
/// the length of what was read.
#[inline(always)]
pub fn read<'a>(frame: Frame, at: usize, outer: Ipv4<'_>, place: &'a mut Header) -> Result<(Ipv4<'a>, usize), Refusal> {
    const SHORTENED: Refusal = Refusal::Drop(Counter::DroppedShort);
    let header = frame.take_at::<SHORT>(at).ok_or(SHORTENED)?;
    let mut total = Sum::new(0).add_pair(header.word::<0>()).add_pair(header.word::<4>());
    let (mut source, mut length) = (outer.source(), SHORT);
    if header.byte::<1>() & SOURCE_PRESENT != 0 {
        source = frame.take_at::<LONG>(at).ok_or(SHORTENED)?.word::<8>();
        total = total.add_pair(source);
        length = LONG;
    }
    let stripped = at - ETHERNET_LENGTH - IPV4_LENGTH + length;
    if total.fold() != 0xffff || (outer.total_length() as usize) < IPV4_LENGTH + stripped {
        return Err(SHORTENED);
    }
    let original = place.bytes();
    original.set_half::<0>(outer.0.half::<0>());
    original.set_half::<2>(outer.total_length().wrapping_sub(stripped as u16).to_be());
    original.set_word::<4>(outer.0.word::<4>());
    original.set_half::<8>(u16::from_ne_bytes([outer.ttl(), header.byte::<0>()]));
    original.set_half::<10>(0);
    original.set_word::<12>(source);
    original.set_word::<16>(header.word::<4>());
    original.set_half::<10>(Ipv4(*original).sum().checksum());
    Ok((Ipv4(*original), length))
}

/// Writes the headers of a packet into `tunnel`: the outer one at `at` of a frame, with `protocol` in it, and the short one at
/// `next`. The original one lies at `original`; both may be written over it.
#[inline(always)]
pub fn write(frame: Frame, at: usize, next: usize, original: usize, tunnel: &Tunnel, protocol: u8) -> bool {
    let (Some(outer), Some(original)) = (frame.take_at::<IPV4_LENGTH>(at), frame.take_at::<IPV4_LENGTH>(original))
    else {
        return false;
    };
    let packet = Ipv4(*original);
    let (source, destination) = (packet.source(), packet.destination());
    let template = Bytes::of(&tunnel.outer);
    let long = length(packet, tunnel) == LONG;
    let first = u16::from_ne_bytes([packet.protocol(), if long { SOURCE_PRESENT } else { 0 }]);
    let total = Sum::new(first).add_pair(destination);
    let total = if long { total.add_pair(source) } else { total };
    let added = next - at - IPV4_LENGTH + if long { LONG } else { SHORT };
    let total_length = packet.total_length().wrapping_add(added as u16).to_be();
    let ttl_protocol = u16::from_ne_bytes([packet.ttl(), protocol]);

    outer.set_half::<0>(packet.0.half::<0>());
    outer.set_half::<2>(total_length);
    outer.set_word::<4>(packet.0.word::<4>());
    outer.set_half::<8>(ttl_protocol);
    outer.set_half::<10>(0);
    outer.set_word::<12>(template.word::<12>());
    outer.set_word::<16>(template.word::<16>());
    outer.set_half::<10>(Ipv4(*outer).sum().checksum());

    let Some(header) = frame.take_at::<SHORT>(next) else { return false };
    header.set_half::<0>(first);
    header.set_half::<2>(total.checksum());
    header.set_word::<4>(destination);
    if long {
        let Some(header) = frame.take_at::<LONG>(next) else { return false };
        header.set_word::<8>(source);
    }
    true
}
