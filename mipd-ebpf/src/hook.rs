//! What the decisions need from the place where a program is attached. XDP and TC share everything above this line and
//! differ only in the surgery below it.

use aya_ebpf::cty::c_void;

use crate::{bytes::Frame, ipv4::Ipv4};

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
    /// Length of the largest IP packet in it: `packet` begins at `AT`; one buffer may hold several TCP segments.
    fn largest_packet<const AT: usize>(self, packet: Ipv4<'_>) -> u32;
    /// Makes room for an IPv4 header behind the Ethernet header, whose contents are undefined afterwards. `false`: no
    /// room, and nothing has changed.
    fn grow(self) -> bool;
    /// Removes the IPv4 header behind the Ethernet header, whose contents are undefined afterwards. `false`: nothing has
    /// changed.
    fn shrink(self) -> bool;
    /// Sets the firewall mark. Nothing at XDP.
    fn mark(self, mark: u32);
    /// The context, for helpers of both hooks.
    fn context(self) -> *mut c_void;
}
