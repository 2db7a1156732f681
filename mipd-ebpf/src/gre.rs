//! Generic routing encapsulation (RFC 2784), with key (RFC 2890).

use mipd_common::{
    maps::{Counter, Tunnel, tunnel_flags::KEYED},
    packet::{
        ether_type,
        gre::{CHECKSUM, KEY, LENGTH, REFUSED, SEQUENCE},
    },
};

use crate::{
    bytes::{Bytes, Frame},
    verdict::Refusal,
};

/// The header at `at` of a frame: the key if there is one.
#[inline(always)]
pub fn read(frame: Frame, at: usize) -> Result<Option<u32>, Refusal> {
    let Some(header) = frame.take_at::<LENGTH>(at) else { return Err(Refusal::Drop(Counter::DroppedShort)) };
    let flags = header.half::<0>();
    if flags & REFUSED != 0 || header.half::<2>() != ether_type::IPV4 {
        return Err(Refusal::Drop(Counter::DroppedEncapsulation));
    }
    // Whoever asked for these two sees to them: the agent's raw socket gets the packet, whole.
    if flags & (CHECKSUM | SEQUENCE) != 0 {
        return Err(Refusal::Slow(Counter::SlowGreOptions));
    }
    if flags & KEY == 0 {
        return Ok(None);
    }
    match frame.take_at::<{ 2 * LENGTH }>(at) {
        Some(header) => Ok(Some(header.word::<LENGTH>())),
        None => Err(Refusal::Drop(Counter::DroppedShort)),
    }
}

/// Writes the header of packets into `tunnel` at `at` of a frame.
#[inline(always)]
pub fn write(frame: Frame, at: usize, tunnel: &Tunnel) -> bool {
    let keyed = tunnel.flags & KEYED != 0;
    let Some(header) = frame.take_at::<LENGTH>(at) else { return false };
    header.set_half::<0>(if keyed { KEY } else { 0 });
    header.set_half::<2>(ether_type::IPV4);
    if keyed {
        let Some(header) = frame.take_at::<{ 2 * LENGTH }>(at) else { return false };
        header.set_word::<LENGTH>(Bytes::of(&tunnel.send_key).word::<0>());
    }
    true
}
