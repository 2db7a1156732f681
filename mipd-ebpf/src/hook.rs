//! What the decisions need from the place where a program is attached. XDP and TC share everything above this line and
//! differ only in the surgery below it.

use aya_ebpf::cty::c_void;

use crate::{bytes::Frame, surgery::Carried};

/// What is put in front of a packet, for those who cut large buffers into segments.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Layers {
    /// An IPv4 header.
    Ip,
    /// An IPv4 header and one of GRE.
    Gre,
    /// An IPv4 header and one of UDP, and whatever follows.
    Udp,
}

/// A packet at an Ethernet hook.
pub trait Hook: Copy {
    /// Whether this is the XDP hook, which does the accelerated paths only and leaves the rest to TC.
    const XDP: bool;

    /// The linear part of the frame, from the Ethernet header.
    fn frame(self) -> Frame;
    /// Length of the whole frame.
    fn length(self) -> u32;
    /// The interface that it came in by.
    fn ifindex(self) -> u32;
    /// Whether a VLAN tag lies outside the frame.
    fn is_tagged(self) -> bool;
    /// Length of the largest packet: one buffer may hold several TCP segments.
    fn largest_packet(self, carried: Carried<'_>) -> u32;
    /// Replaces the first `strip` bytes behind the Ethernet header by room for `add` bytes of `layers`; contents of both
    /// headers are undefined afterwards. `false`: it cannot be done, and nothing has changed.
    fn resize(self, strip: usize, add: usize, layers: Layers) -> bool;
    /// Cuts the frame off behind its first `keep` bytes, and makes room for `room` bytes behind the Ethernet header. `false`:
    /// it is spoilt. TC only.
    fn cut_and_grow(self, keep: usize, room: usize) -> bool;
    /// Sets the firewall mark. Nothing at XDP.
    fn mark(self, mark: u32);
    /// Whether one buffer holds several segments.
    fn is_segmented(self) -> bool;
    /// The context, for helpers of both hooks.
    fn context(self) -> *mut c_void;
}
