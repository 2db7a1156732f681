//! Entry points of the kernel programs.
#![no_std]
#![no_main]

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[aya_ebpf::macros::xdp]
pub fn pass(_ctx: aya_ebpf::programs::XdpContext) -> u32 {
    2
}
