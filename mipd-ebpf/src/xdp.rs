//! The XDP hook.

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    cty::c_void,
    helpers::{bpf_redirect, bpf_xdp_adjust_head},
    programs::XdpContext,
};
use mipd_common::maps::{Counter, Interface, hook};

use crate::{
    bytes::Frame,
    hook::{Hook, Layers},
    maps,
    surgery::Carried,
    verdict::{Fate, Verdict},
};

/// A frame at XDP.
#[derive(Clone, Copy)]
pub struct Xdp(*mut xdp_md);

impl Hook for Xdp {
    const XDP: bool = true;

    #[inline(always)]
    fn frame(self) -> Frame {
        let context = XdpContext::new(self.0);
        Frame::new(context.data(), context.data_end())
    }

    #[inline(always)]
    fn length(self) -> u32 {
        self.frame().length() as u32
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        XdpContext::new(self.0).ingress_ifindex() as u32
    }

    #[inline(always)]
    fn is_tagged(self) -> bool {
        false
    }

    #[inline(always)]
    fn largest_packet(self, carried: Carried<'_>) -> u32 {
        carried.packet.total_length() as u32
    }

    #[inline(always)]
    fn resize(self, strip: usize, add: usize, _layers: Layers) -> bool {
        // SAFETY: the context is the kernel's.
        strip == add || unsafe { bpf_xdp_adjust_head(self.0, strip as i32 - add as i32) == 0 }
    }

    #[inline(always)]
    fn cut_and_grow(self, _keep: usize, _room: usize) -> bool {
        false
    }

    #[inline(always)]
    fn is_segmented(self) -> bool {
        false
    }

    #[inline(always)]
    fn mark(self, _mark: u32) {}

    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0.cast()
    }
}

/// Runs a decision and carries it out.
#[inline(always)]
pub fn run(context: &XdpContext, decide: impl FnOnce(Xdp, &Interface) -> Verdict) -> u32 {
    let frame = Xdp(context.ctx);
    let interface = maps::interface(frame.ifindex());
    let verdict = match interface {
        Some(interface) => decide(frame, interface),
        None => Verdict::pass(Counter::PassedOther),
    };
    verdict.count(interface, hook::XDP);
    match verdict.fate() {
        Fate::Pass => xdp_action::XDP_PASS,
        Fate::Drop => xdp_action::XDP_DROP,
        // SAFETY: plain helper call.
        Fate::Transmit => unsafe { bpf_redirect(verdict.ifindex(), 0) as u32 },
        Fate::Receive | Fate::Resolve => xdp_action::XDP_ABORTED,
    }
}
