//! The TC hooks: ingress and egress of Ethernet interfaces, egress of TUN devices.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L4_GRE, BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    cty::c_void,
    helpers::{
        bpf_clone_redirect, bpf_redirect, bpf_redirect_neigh, bpf_skb_adjust_room, bpf_skb_change_head,
        bpf_skb_change_tail, bpf_skb_pull_data,
    },
    programs::TcContext,
};
use mipd_common::{
    maps::Interface,
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, protocol},
};

use crate::{
    bytes::Frame,
    hook::{Hook, Layers},
    maps,
    surgery::Carried,
    verdict::{Fate, Verdict},
};

/// How many bytes the decisions look at: Ethernet, two IPv4 headers and all that may lie between them, and some.
const HEADERS: u32 = 96;

/// A packet at TC.
#[derive(Clone, Copy)]
pub struct Tc(*mut __sk_buff);

impl Tc {
    /// Makes sure that the headers lie in the linear part.
    #[inline(always)]
    fn linearise(self) {
        let (length, linear) = (self.length(), self.frame().length() as u32);
        if linear < HEADERS && linear < length {
            // A failure leaves too little to look at, and the decision says so.
            // SAFETY: the context is the kernel's.
            let _ = unsafe { bpf_skb_pull_data(self.0, if length < HEADERS { length } else { HEADERS }) };
        }
    }

    /// The firewall mark.
    #[inline(always)]
    pub fn firewall_mark(self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).mark }
    }

    /// Whether the packet was received, not made here.
    #[inline(always)]
    pub fn is_forwarded(self) -> bool {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).ingress_ifindex != 0 }
    }

    /// Puts room for an Ethernet header in front of a packet of a TUN device.
    #[inline(always)]
    pub fn prepend_ethernet(self) -> bool {
        // SAFETY: the context is the kernel's.
        unsafe { bpf_skb_change_head(self.0, ETHERNET_LENGTH as u32, 0) == 0 }
    }

    /// Sends a copy of the frame as it is now. The frame's bytes are to be looked at anew afterwards.
    #[inline(always)]
    pub fn send_copy(self, ifindex: u32) {
        // A copy that cannot be sent is lost, as any packet may be.
        // SAFETY: the context is the kernel's.
        let _ = unsafe { bpf_clone_redirect(self.0, ifindex, 0) };
    }

    #[inline(always)]
    fn adjust(self, bytes: i32, flags: u32) -> bool {
        let flags = (flags | BPF_F_ADJ_ROOM_FIXED_GSO) as u64;
        // SAFETY: the context is the kernel's.
        unsafe { bpf_skb_adjust_room(self.0, bytes, BPF_ADJ_ROOM_MAC, flags) == 0 }
    }
}

impl Hook for Tc {
    const XDP: bool = false;

    #[inline(always)]
    fn frame(self) -> Frame {
        let context = TcContext::new(self.0);
        Frame::new(context.data(), context.data_end())
    }

    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    fn is_tagged(self) -> bool {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).vlan_present != 0 }
    }

    #[inline(always)]
    fn largest_packet(self, carried: Carried<'_>) -> u32 {
        let packet = carried.packet;
        // SAFETY: the context is the kernel's.
        let segment = unsafe { (*self.0).gso_size };
        if segment == 0 {
            return packet.total_length() as u32;
        }
        let transport = match self.frame().take_at::<14>(carried.offset() + IPV4_LENGTH) {
            Some(tcp) if packet.protocol() == protocol::TCP => (tcp.byte::<12>() >> 4) as u32 * 4,
            _ => 8,
        };
        segment + IPV4_LENGTH as u32 + transport
    }

    #[inline(always)]
    fn resize(self, strip: usize, add: usize, layers: Layers) -> bool {
        if strip == add {
            return true;
        }
        if strip != 0 {
            return self.adjust(add as i32 - strip as i32, 0);
        }
        let transport = match layers {
            Layers::Ip => 0,
            Layers::Gre => BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
            Layers::Udp => BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        };
        // A buffer that has been encapsulated before keeps its note of the innermost headers.
        self.adjust(add as i32, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | transport) || self.adjust(add as i32, 0)
    }

    #[inline(always)]
    fn cut_and_grow(self, keep: usize, room: usize) -> bool {
        // SAFETY: the context is the kernel's.
        let cut = unsafe { bpf_skb_change_tail(self.0, keep as u32, 0) };
        cut == 0 && self.adjust(room as i32, 0)
    }

    #[inline(always)]
    fn is_segmented(self) -> bool {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).gso_size != 0 }
    }

    #[inline(always)]
    fn mark(self, mark: u32) {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.0).mark = mark }
    }

    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0.cast()
    }
}

/// Runs a decision and carries it out. A macro, since what is called directly is always inlined; behind a function that is
/// passed on, a large one would become a function of its own.
macro_rules! run {
    ($context:expr, $hook:expr, $decide:path) => {{
        let (packet, interface) = $crate::tc::begin($context);
        let verdict = match interface {
            Some(interface) => $decide(packet, interface),
            None => $crate::verdict::Verdict::pass(mipd_common::maps::Counter::PassedOther),
        };
        $crate::tc::finish(verdict, interface, $hook)
    }};
}
pub(crate) use run;

/// The packet, and what the agent says of the interface.
#[inline(always)]
pub fn begin(context: &TcContext) -> (Tc, Option<&'static Interface>) {
    let packet = Tc(context.skb.skb);
    packet.linearise();
    (packet, maps::interface(packet.ifindex()))
}

/// Counts a verdict and carries it out.
#[inline(always)]
pub fn finish(verdict: Verdict, interface: Option<&Interface>, hook: u32) -> i32 {
    verdict.count(interface, hook);
    match verdict.fate() {
        Fate::Pass => TC_ACT_UNSPEC,
        Fate::Drop => TC_ACT_SHOT as i32,
        // SAFETY: plain helper call.
        Fate::Transmit => unsafe { bpf_redirect(verdict.ifindex(), 0) as i32 },
        // SAFETY: plain helper call.
        Fate::Receive => unsafe { bpf_redirect(verdict.ifindex(), BPF_F_INGRESS as u64) as i32 },
        // SAFETY: plain helper call; no parameters means that the kernel looks up the next hop.
        Fate::Resolve => unsafe { bpf_redirect_neigh(verdict.ifindex(), core::ptr::null_mut(), 0, 0) as i32 },
    }
}
