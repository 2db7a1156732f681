//! An IPv4 header as the programs look at it.

use mipd_common::packet::{FRAGMENT, IPV4_LENGTH, Sum, VERSION_4_IHL_5, checksum_after_hop, sum};

use crate::bytes::{Bytes, BytesMut};

/// The first 20 bytes of an IPv4 packet.
#[derive(Clone, Copy)]
pub struct Ipv4<'a>(pub Bytes<'a, IPV4_LENGTH>);

impl Ipv4<'_> {
    /// Whether the version is 4.
    #[inline(always)]
    pub fn is_version_4(self) -> bool {
        self.0.byte::<0>() >> 4 == 4
    }

    /// Whether there are no options.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self.0.byte::<0>() == VERSION_4_IHL_5
    }

    /// Header length in bytes: a multiple of four up to 60.
    #[inline(always)]
    pub fn header_length(self) -> u16 {
        ((self.0.byte::<0>() & 0x0f) as u16) * 4
    }

    /// Type of service.
    #[inline(always)]
    pub fn tos(self) -> u8 {
        self.0.byte::<1>()
    }

    /// Total length in bytes.
    #[inline(always)]
    pub fn total_length(self) -> u16 {
        u16::from_be(self.0.half::<2>())
    }

    /// Flags and fragment offset, memory order.
    #[inline(always)]
    pub fn fragment_word(self) -> u16 {
        self.0.half::<6>()
    }

    /// Whether this is a piece of a packet.
    #[inline(always)]
    pub fn is_fragment(self) -> bool {
        self.fragment_word() & FRAGMENT != 0
    }

    /// Time to live.
    #[inline(always)]
    pub fn ttl(self) -> u8 {
        self.0.byte::<8>()
    }

    /// Protocol of the payload.
    #[inline(always)]
    pub fn protocol(self) -> u8 {
        self.0.byte::<9>()
    }

    /// Source address, memory order.
    #[inline(always)]
    pub fn source(self) -> u32 {
        self.0.word::<12>()
    }

    /// Destination address, memory order.
    #[inline(always)]
    pub fn destination(self) -> u32 {
        self.0.word::<16>()
    }

    /// Whether the lengths make sense in a packet of at most `available` bytes. Frames may be padded, so the total length
    /// may be smaller.
    #[inline(always)]
    pub fn lengths_fit(self, available: u32) -> bool {
        let (header, total) = (self.header_length(), self.total_length());
        header >= IPV4_LENGTH as u16 && total >= header && total as u32 <= available
    }

    /// The sum of a header without options.
    #[inline(always)]
    pub fn sum(self) -> Sum {
        sum([self.0.word::<0>(), self.0.word::<4>(), self.0.word::<8>(), self.0.word::<12>(), self.0.word::<16>()])
    }

    /// Whether the checksum of a header without options is right (RFC 1812 §5.2.2).
    #[inline(always)]
    pub fn checksum_is_valid(self) -> bool {
        self.sum().fold() == 0xffff
    }

    /// Writes the header elsewhere.
    #[inline(always)]
    pub fn copy_to(self, place: BytesMut<IPV4_LENGTH>) {
        place.set_word::<0>(self.0.word::<0>());
        place.set_word::<4>(self.0.word::<4>());
        place.set_word::<8>(self.0.word::<8>());
        place.set_word::<12>(self.0.word::<12>());
        place.set_word::<16>(self.0.word::<16>());
    }
}

/// Whether an address (memory order) is multicast, reserved or broadcast: 224.0.0.0 and above.
#[inline(always)]
pub fn is_group(address: u32) -> bool {
    address.to_ne_bytes()[0] >= 224
}

/// Whether an address (memory order) is link-local (RFC 3927): 169.254.0.0/16.
#[inline(always)]
pub fn is_link_local(address: u32) -> bool {
    address & u32::from_ne_bytes([255, 255, 0, 0]) == u32::from_ne_bytes([169, 254, 0, 0])
}

/// Whether nobody may use an address (memory order) as its source on a link: 0/8, 127/8, 224/3.
#[inline(always)]
pub fn is_no_host(address: u32) -> bool {
    let first = address.to_ne_bytes()[0];
    first == 0 || first == 127 || first >= 224
}

/// Undoes what forwarding is about to do to a header: one hop more. A full TTL goes round through zero.
#[inline(always)]
pub fn unhop(header: BytesMut<IPV4_LENGTH>) {
    header.set_byte::<8>(header.byte::<8>().wrapping_add(1));
    // The complement of a sum from which 0x0100 is taken.
    header.set_half::<10>(!checksum_after_hop(!header.half::<10>()));
}

/// Does to a header what forwarding does: one hop less (RFC 1812 §5.3.1). The TTL must not be zero.
#[inline(always)]
pub fn hop(header: BytesMut<IPV4_LENGTH>) {
    header.set_byte::<8>(header.byte::<8>().wrapping_sub(1));
    header.set_half::<10>(checksum_after_hop(header.half::<10>()));
}
