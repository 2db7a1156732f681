//! What the programs that only measurements use (feature `bench` of `mipd-ebpf`) are told.

use crate::maps::Address;

/// How many bytes of a frame a source writes anew each time, at most: Ethernet and two IPv4 headers, in whole words.
pub const HEADERS_LENGTH: usize = 56;

/// What a source of frames sends: always the same headers, but for one address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The headers, from Ethernet on. The checksum of the IPv4 header whose address varies holds the folded
    /// one's-complement *sum* (not inverted) of the header's other fields, the address zero, network byte order.
    pub headers: [u8; HEADERS_LENGTH],
    /// The first of the addresses, network byte order.
    pub first: Address,
    /// How many there are. Each frame has one of them at random.
    pub count: u32,
    /// How far one is from the next.
    pub stride: u32,
    /// State of the random numbers; not zero. Written by the program.
    pub random: u32,
    /// Where the frames leave.
    pub ifindex: u32,
    /// Length of the frames.
    pub length: u32,
    /// One of [`source_kind`].
    pub kind: u32,
}

/// Values of [`Source::kind`]: where the address is.
pub mod source_kind {
    /// The destination.
    pub const DOWN: u32 = 0;
    /// The source; the Ethernet source ends with it.
    pub const UP: u32 = 1;
    /// The destination of a packet in a tunnel.
    pub const TUNNELLED_DOWN: u32 = 2;
    /// The source of a packet in a tunnel.
    pub const TUNNELLED_UP: u32 = 3;
}

/// Where a program sends every frame that it gets.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// Ethernet header that replaces the frame's.
    pub ethernet: [u8; 14],
    /// Zero.
    pub reserved: [u8; 2],
    /// Where the frames leave.
    pub ifindex: u32,
}

const _: () = assert!(size_of::<Source>() == 84 && size_of::<Target>() == 20);

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, no padding (the size above is the sum of the fields), every bit pattern is valid.
unsafe impl aya::Pod for Source {}
#[cfg(feature = "user")]
// SAFETY: as for `Source`.
unsafe impl aya::Pod for Target {}
