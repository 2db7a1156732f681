//! Keeps TCP connections from announcing segments that do not fit their tunnel ("MSS clamping"): the option of a SYN is
//! lowered on the way (RFC 9293 §3.7.1), so that nobody has to learn it from ICMP errors, which some networks lose.

use mipd_common::packet::{FRAGMENT, IPV4_LENGTH, Sum, TCP_LENGTH, checksum_after_change, protocol};

use crate::{bytes::Frame, ipv4::Ipv4};

const SYN: u8 = 0x02;
/// Kind and length of the option "maximum segment size", memory order.
const MAXIMUM_SEGMENT_SIZE: u16 = u16::from_ne_bytes([2, 4]);
const OPTION_LENGTH: usize = 4;

/// Lowers what `packet` announces to `limit`, if it is a TCP SYN that announces more; 0 = no limit. `at` is where the
/// packet begins in the frame. Costs anything else two comparisons.
///
/// Only the first option is looked at: all stacks put this one there. (A walk through all of them has the verifier do three
/// times its work.) Who does not do so has ICMP errors to learn from.
#[inline(always)]
pub fn apply(frame: Frame, at: usize, packet: Ipv4<'_>, limit: u16) {
    if packet.protocol() != protocol::TCP || limit == 0 {
        return;
    }
    let Some(tcp) = frame.take_at::<{ TCP_LENGTH + OPTION_LENGTH }>(at + IPV4_LENGTH) else { return };
    let length = packet.total_length().wrapping_sub(IPV4_LENGTH as u16);
    let announced = u16::from_be(tcp.half::<22>());
    if tcp.byte::<13>() & SYN == 0
        || tcp.half::<20>() != MAXIMUM_SEGMENT_SIZE
        || announced <= limit
        || ((tcp.byte::<12>() >> 4) as usize) * 4 < TCP_LENGTH + OPTION_LENGTH
        || (length as usize) < TCP_LENGTH + OPTION_LENGTH
        || !packet.is_plain()
        || packet.fragment_word() & FRAGMENT != 0
    {
        return;
    }
    tcp.set_half::<22>(limit.to_be());
    let checksum = tcp.half::<16>();
    if checksum != pseudo_header(packet, length) {
        tcp.set_half::<16>(checksum_after_change(checksum, announced.to_be(), limit.to_be()));
    }
}

/// The sum that a checksum field holds, not inverted, while the rest is left to the hardware (`CHECKSUM_PARTIAL`): it does
/// not depend on the segment, so that it stays. A finished checksum is mistaken for it once in 65,535 SYNs, which are then
/// sent again.
#[inline(always)]
fn pseudo_header(packet: Ipv4<'_>, length: u16) -> u16 {
    Sum::new(u16::from_ne_bytes([0, protocol::TCP]))
        .add(length.to_be())
        .add_pair(packet.source())
        .add_pair(packet.destination())
        .fold()
}
