//! An XDP program that passes everything. Virtual Ethernet drops what XDP redirects to it unless its peer runs a program,
//! so the lab puts this one at the ends of its wires; measurements take it as their floor.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action::XDP_PASS, macros::xdp, programs::XdpContext};

/// Passes every frame.
#[xdp]
pub fn pass(_context: XdpContext) -> u32 {
    XDP_PASS
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
