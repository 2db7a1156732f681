//! ICMP errors about packets of visitors and stations, made from the packets themselves. Whatever the kernel made would be
//! routed to the home network, where the visitor is not, or where somebody else has its address.

use mipd_common::{
    maps::Counter,
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, Sum, ether_type, protocol, sum},
};

use crate::{
    bytes::Bytes,
    hook::{Hook, Layers},
    surgery::Carried,
    verdict::Verdict,
};

/// ICMP header.
const ICMP_LENGTH: usize = 8;
/// How much of a packet is quoted: its header and more than the eight bytes of RFC 792, so that nothing is cut off that a
/// checksum of the transport may still be put into. A shorter packet is filled up with zeros.
const QUOTED: usize = IPV4_LENGTH + 28;
const ANSWER: usize = IPV4_LENGTH + ICMP_LENGTH + QUOTED;
/// Type and code, memory order: destination unreachable, fragmentation needed.
const FRAGMENTATION_NEEDED: u16 = u16::from_ne_bytes([3, 4]);
/// Type and code, memory order: time exceeded in transit.
const TIME_EXCEEDED: u16 = u16::from_ne_bytes([11, 0]);
const ECHO_REQUEST: u8 = 8;
/// The fragment offset in its word.
const FRAGMENT_OFFSET: u16 = u16::from_ne_bytes([0x1f, 0xff]);
/// Version, header length, TOS "internetwork control" (RFC 1812 §4.3.2.5).
const VERSION_TOS: u16 = u16::from_ne_bytes([0x45, 0xc0]);
const TTL_ICMP: u16 = u16::from_ne_bytes([64, protocol::ICMP]);

/// Whether a packet may be answered by an error (RFC 1122 §3.2.2): no fragment but the first, no ICMP but a question.
#[inline(always)]
pub fn is_answerable<H: Hook>(hook: H, carried: Carried<'_>) -> bool {
    let packet = carried.packet;
    if packet.fragment_word() & FRAGMENT_OFFSET != 0 {
        return false;
    }
    packet.protocol() != protocol::ICMP
        || (packet.is_plain()
            && hook
                .frame()
                .take_at::<1>(carried.offset() + IPV4_LENGTH)
                .is_some_and(|icmp| icmp.byte::<0>() == ECHO_REQUEST))
}

/// What there is to say.
#[derive(Clone, Copy)]
pub struct Error {
    type_code: u16,
    mtu: u16,
    counter: Counter,
}

impl Error {
    /// "Fragmentation needed", with the MTU that was exceeded (RFC 1191).
    #[inline(always)]
    pub fn too_big(mtu: u16) -> Self {
        Self { type_code: FRAGMENTATION_NEEDED, mtu, counter: Counter::AnsweredTooBig }
    }

    /// "Time exceeded".
    #[inline(always)]
    pub fn expired() -> Self {
        Self { type_code: TIME_EXCEEDED, mtu: 0, counter: Counter::AnsweredTtl }
    }
}

/// Turns a packet into an error about it, from the address `from` (memory order) to its sender. TC only.
#[inline(always)]
pub fn answer<H: Hook>(hook: H, carried: Carried<'_>, from: u32, error: Error) -> Verdict {
    let to = carried.packet.source();
    let failed = Verdict::drop(Counter::DroppedError);
    if !hook.resize(carried.strip, 0, Layers::Ip)
        || !carried.put_back(hook.frame(), ETHERNET_LENGTH)
        || !hook.cut_and_grow(ETHERNET_LENGTH + QUOTED, IPV4_LENGTH + ICMP_LENGTH)
    {
        return failed;
    }
    let Some(frame) = hook.frame().take::<{ ETHERNET_LENGTH + ANSWER }>() else { return failed };
    let sender = frame.mac::<6>();
    frame.set_mac::<6>(frame.part::<0, 6>());
    frame.set_mac::<0>(Bytes::of(&sender.octets));
    frame.set_half::<12>(ether_type::IPV4);

    let header = frame.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>();
    header.set_half::<0>(VERSION_TOS);
    header.set_half::<2>((ANSWER as u16).to_be());
    header.set_word::<4>(0);
    header.set_half::<8>(TTL_ICMP);
    header.set_half::<10>(0);
    header.set_word::<12>(from);
    header.set_word::<16>(to);
    let words = [header.word::<0>(), header.word::<4>(), header.word::<8>(), header.word::<12>(), header.word::<16>()];
    header.set_half::<10>(sum(words).checksum());

    let message = frame.part_mut::<{ ETHERNET_LENGTH + IPV4_LENGTH }, { ICMP_LENGTH + QUOTED }>();
    message.set_half::<0>(error.type_code);
    message.set_half::<2>(0);
    message.set_half::<4>(0);
    message.set_half::<6>(error.mtu.to_be());
    let total = Sum::new(0)
        .add_pair(message.word::<0>())
        .add_pair(message.word::<4>())
        .add_pair(message.word::<8>())
        .add_pair(message.word::<12>())
        .add_pair(message.word::<16>())
        .add_pair(message.word::<20>())
        .add_pair(message.word::<24>())
        .add_pair(message.word::<28>())
        .add_pair(message.word::<32>())
        .add_pair(message.word::<36>())
        .add_pair(message.word::<40>())
        .add_pair(message.word::<44>())
        .add_pair(message.word::<48>())
        .add_pair(message.word::<52>());
    message.set_half::<2>(total.checksum());
    Verdict::transmit(error.counter, hook.ifindex())
}
