//! Tunnels over UDP (RFC 3519): for those behind an address translator.

use mipd_common::{
    maps::{Counter, Tunnel},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, udp},
};

use crate::{
    bytes::{Bytes, Frame},
    ipv4::Ipv4,
    verdict::Refusal,
};

/// Where the UDP header of a frame begins.
const AT: usize = ETHERNET_LENGTH + IPV4_LENGTH;

/// Whether the UDP packet behind the Ethernet header carries another one. Everything else at the port of Mobile IP is control
/// traffic, and so is what only the kernel can look into.
#[inline(always)]
pub fn is_tunnel_data(frame: Frame, packet: Ipv4<'_>) -> bool {
    packet.is_plain()
        && !packet.is_fragment()
        && frame
            .take_at::<{ udp::TUNNEL_LENGTH }>(AT)
            .is_some_and(|header| header.half::<2>() == udp::MOBILE_IP_PORT && header.byte::<8>() == udp::TUNNEL_DATA)
}

/// Reads the headers behind `outer`: the source port, memory order, and the protocol of what is inside.
#[inline(always)]
pub fn read(frame: Frame, outer: Ipv4<'_>) -> Result<(u16, u8), Refusal> {
    let Some(header) = frame.take_at::<{ udp::TUNNEL_LENGTH }>(AT) else {
        return Err(Refusal::Drop(Counter::DroppedShort));
    };
    if u16::from_be(header.half::<4>()) != outer.total_length().wrapping_sub(IPV4_LENGTH as u16) {
        return Err(Refusal::Drop(Counter::DroppedShort));
    }
    // RFC 1122 §4.1.3.4: it must be right. The kernel verifies it on the way to the agent's socket.
    if header.half::<6>() != 0 {
        return Err(Refusal::Slow(Counter::SlowUdpChecksum));
    }
    Ok((header.half::<0>(), header.byte::<9>()))
}

/// Writes the headers of packets into `tunnel` behind the outer header, which is complete and lies at `at` of a frame.
/// `protocol` is that of what is inside.
#[inline(always)]
pub fn write(frame: Frame, at: usize, tunnel: &Tunnel, protocol: u8) -> bool {
    let Some(headers) = frame.take_at::<{ IPV4_LENGTH + udp::TUNNEL_LENGTH }>(at) else { return false };
    let length = Ipv4(headers.part::<0, IPV4_LENGTH>()).total_length().wrapping_sub(IPV4_LENGTH as u16);
    let header = headers.part_mut::<IPV4_LENGTH, { udp::TUNNEL_LENGTH }>();
    header.set_word::<0>(Bytes::of(&tunnel.ports).word::<0>());
    header.set_half::<4>(length.to_be());
    header.set_half::<6>(0);
    header.set_half::<8>(u16::from_ne_bytes([udp::TUNNEL_DATA, protocol]));
    header.set_half::<10>(0);
    true
}
