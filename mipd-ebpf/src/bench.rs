//! Programs that only measurements use: a source and a sink of frames, the least that a program can do between them, and
//! programs that do nothing, the floor of every measurement.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "shared with the real programs, which need more of it")]
mod bytes;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, map, xdp},
    maps::{Array, PerCpuArray},
    programs::{TcContext, XdpContext},
};
use mipd_common::{
    bench::{HEADERS_LENGTH, Source, Target},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, Sum},
};

use crate::bytes::{Bytes, BytesMut, Frame};

#[map]
static SOURCE: Array<Source> = Array::with_max_entries(1, 0);
#[map]
static TARGET: Array<Target> = Array::with_max_entries(1, 0);
#[map]
static SUNK: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Does nothing, at XDP.
#[xdp]
pub fn empty_xdp(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Does nothing, at TC.
#[classifier]
pub fn empty_tc(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// Packets to one of many addresses.
#[xdp]
pub fn send_plain(context: XdpContext) -> u32 {
    send::<ETHERNET_LENGTH, 16, false>(&context)
}

/// Packets from one of many addresses and its Ethernet address, which ends with it.
#[xdp]
pub fn send_uplink(context: XdpContext) -> u32 {
    send::<ETHERNET_LENGTH, 12, true>(&context)
}

/// Packets in a tunnel, to one of many addresses.
#[xdp]
pub fn send_tunnelled(context: XdpContext) -> u32 {
    send::<{ ETHERNET_LENGTH + IPV4_LENGTH }, 16, false>(&context)
}

/// Packets in a tunnel, from one of many addresses.
#[xdp]
pub fn send_tunnelled_uplink(context: XdpContext) -> u32 {
    send::<{ ETHERNET_LENGTH + IPV4_LENGTH }, 12, false>(&context)
}

/// Counts frames and drops them.
#[xdp]
pub fn sink(_context: XdpContext) -> u32 {
    if let Some(sunk) = SUNK.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's own.
        unsafe { *sunk = (*sunk).wrapping_add(1) };
    }
    xdp_action::XDP_DROP
}

/// Forwards frames and does nothing else, at XDP.
#[xdp]
pub fn redirect_xdp(context: XdpContext) -> u32 {
    let frame = Frame::new(context.data(), context.data_end());
    match (frame.take::<ETHERNET_LENGTH>(), TARGET.get(0)) {
        (Some(header), Some(target)) => redirect(header, target) as u32,
        _ => xdp_action::XDP_ABORTED,
    }
}

/// Forwards frames and does nothing else, at TC.
#[classifier]
pub fn redirect_tc(context: TcContext) -> i32 {
    let frame = Frame::new(context.data(), context.data_end());
    match (frame.take::<ETHERNET_LENGTH>(), TARGET.get(0)) {
        (Some(header), Some(target)) => redirect(header, target) as i32,
        _ => TC_ACT_SHOT as i32,
    }
}

#[inline(always)]
fn redirect(header: BytesMut<ETHERNET_LENGTH>, target: &Target) -> i64 {
    header.set_ethernet::<0>(Bytes::of(&target.ethernet));
    // SAFETY: plain helper call.
    unsafe { bpf_redirect(target.ifindex, 0) }
}

/// Ethernet and IPv4 header, in whole words.
const PLAIN: usize = 36;

macro_rules! copy_words {
    ($to:expr, $from:expr, $($at:literal)+) => { $($to.set_word::<$at>($from.word::<$at>());)+ };
}

/// Writes the headers of a frame anew, for the box before has changed them, and sends it. The IPv4 header at `AT`, the
/// last one, has one of the addresses at `FIELD`; with `MAC` the Ethernet source ends with it.
#[inline(always)]
fn send<const AT: usize, const FIELD: usize, const MAC: bool>(context: &XdpContext) -> u32 {
    let frame = Frame::new(context.data(), context.data_end());
    let (Some(headers), Some(source)) = (frame.take::<PLAIN>(), SOURCE.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: there is one source, on one CPU.
    let source = unsafe { &mut *source };
    let address = next_address(source);
    let template = Bytes::of(&source.headers);
    copy_words!(headers, template, 0 4 8 12 16 20 24 28 32);
    if AT > ETHERNET_LENGTH {
        let Some(rest) = frame.take_at::<{ HEADERS_LENGTH - PLAIN }>(PLAIN) else { return xdp_action::XDP_ABORTED };
        let template = template.part::<PLAIN, { HEADERS_LENGTH - PLAIN }>();
        copy_words!(rest, template, 0 4 8 12 16);
    }
    let Some(header) = frame.take_at::<IPV4_LENGTH>(AT) else { return xdp_action::XDP_ABORTED };
    header.set_half::<10>(Sum::new(header.half::<10>()).add_pair(address).checksum());
    header.set_word::<FIELD>(address);
    if MAC {
        headers.set_word::<8>(address);
    }
    // SAFETY: plain helper call.
    unsafe { bpf_redirect(source.ifindex, 0) as u32 }
}

/// One of the addresses at random (Marsaglia's xorshift), memory order.
#[inline(always)]
fn next_address(source: &mut Source) -> u32 {
    let mut random = source.random;
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    source.random = random;
    let index = ((random as u64 * source.count as u64) >> 32) as u32;
    u32::from_be_bytes(source.first).wrapping_add(index).to_be()
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
