//! Programs that only measurements use (feature `bench`): a source and a sink of frames; the least that a program can do
//! between them; programs that do nothing, the floor of every measurement; and the real decisions, with the packet restored
//! afterwards, so that they can be run many times.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::{bpf_redirect, bpf_xdp_adjust_head},
    macros::{classifier, map, xdp as xdp_program},
    maps::{Array, HashMap, PerCpuArray},
    programs::{TcContext, XdpContext},
};
use mipd_common::{
    bench::{HEADERS_LENGTH, Source, Target, source_kind},
    maps::{Mac, Tunnel},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, Sum, ether_type},
};

use crate::{
    bytes::{Bytes, BytesMut, Frame},
    ipv4::{Ipv4, hop},
    outer, router, station_ipv4, xdp,
};

#[map]
static SOURCE: Array<Source> = Array::with_max_entries(1, 0);
#[map]
static TARGET: Array<Target> = Array::with_max_entries(1, 0);
#[map]
static SUNK: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static LEAST_SLOTS: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static LEAST_TUNNELS: Array<Tunnel> = Array::with_max_entries(1, 0);
#[map]
static LEAST_STATIONS: HashMap<Mac, Target> = HashMap::with_max_entries(1, 0);

/// Does nothing, at XDP.
#[xdp_program]
pub fn empty_xdp(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Does nothing, at TC.
#[classifier]
pub fn empty_tc(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// Sends frames.
#[xdp_program]
pub fn send(context: XdpContext) -> u32 {
    let Some(source) = SOURCE.get(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: plain helper call.
    restore(&context, unsafe { bpf_redirect(source.ifindex, 0) as u32 })
}

/// Counts frames and drops them.
#[xdp_program]
pub fn sink(_context: XdpContext) -> u32 {
    if let Some(sunk) = SUNK.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's own.
        unsafe { *sunk = (*sunk).wrapping_add(1) };
    }
    xdp_action::XDP_DROP
}

/// Forwards frames and does nothing else, at XDP.
#[xdp_program]
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

/// The least that encapsulates: one look-up by the low bits of the address, a template, no checks but those that the verifier
/// wants, nothing counted.
#[xdp_program]
pub fn least_encapsulate(context: XdpContext) -> u32 {
    run_least_encapsulate(&context)
}

#[inline(always)]
fn run_least_encapsulate(context: &XdpContext) -> u32 {
    encapsulate(context, |address| LEAST_SLOTS.get(u32::from_be(address) & 0x000f_ffff).copied())
}

#[inline(always)]
fn encapsulate(context: &XdpContext, tunnel_id: impl FnOnce(u32) -> Option<u32>) -> u32 {
    let Some(headers) = Frame::new(context.data(), context.data_end()).take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>()
    else {
        return xdp_action::XDP_PASS;
    };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if headers.half::<12>() != ether_type::IPV4 || !packet.is_plain() || packet.ttl() <= 1 {
        return xdp_action::XDP_PASS;
    }
    let Some(id) = tunnel_id(packet.destination()) else { return xdp_action::XDP_PASS };
    let Some(tunnel) = LEAST_TUNNELS.get(id) else { return xdp_action::XDP_PASS };
    let fields = outer::fields(packet, IPV4_LENGTH);
    // SAFETY: the context is the kernel's.
    if unsafe { bpf_xdp_adjust_head(context.ctx, -(IPV4_LENGTH as i32)) } != 0 {
        return xdp_action::XDP_ABORTED;
    }
    let Some(headers) = Frame::new(context.data(), context.data_end()).take::<{ ETHERNET_LENGTH + 2 * IPV4_LENGTH }>()
    else {
        return xdp_action::XDP_ABORTED;
    };
    headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
    outer::write(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), tunnel, fields);
    hop(headers.part_mut::<{ ETHERNET_LENGTH + IPV4_LENGTH }, IPV4_LENGTH>());
    // SAFETY: plain helper call.
    unsafe { bpf_redirect(tunnel.ifindex, 0) as u32 }
}

/// The least that an access point could do: one look-up by Ethernet address.
#[xdp_program]
pub fn least_rewrite(context: XdpContext) -> u32 {
    run_least_rewrite(&context)
}

#[inline(always)]
fn run_least_rewrite(context: &XdpContext) -> u32 {
    let Some(header) = Frame::new(context.data(), context.data_end()).take::<ETHERNET_LENGTH>() else {
        return xdp_action::XDP_PASS;
    };
    // SAFETY: nobody changes it meanwhile.
    let Some(target) = (unsafe { LEAST_STATIONS.get(header.mac::<6>()) }) else { return xdp_action::XDP_PASS };
    header.set_mac::<0>(Bytes::of(&target.ethernet).part::<0, 6>());
    // SAFETY: plain helper call.
    unsafe { bpf_redirect(target.ifindex, 0) as u32 }
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

/// Writes a frame's headers. The IPv4 header at `AT`, the last one, has one of the addresses at `FIELD`; with `MAC` the
/// Ethernet source ends with it.
#[inline(always)]
fn write_headers<const AT: usize, const FIELD: usize, const MAC: bool>(context: &XdpContext) -> Option<()> {
    let frame = Frame::new(context.data(), context.data_end());
    let headers = frame.take::<PLAIN>()?;
    // SAFETY: there is one source, on one CPU.
    let source = unsafe { &mut *SOURCE.get_ptr_mut(0)? };
    let address = next_address(source);
    let template = Bytes::of(&source.headers);
    copy_words!(headers, template, 0 4 8 12 16 20 24 28 32);
    if AT > ETHERNET_LENGTH {
        let rest = frame.take_at::<{ HEADERS_LENGTH - PLAIN }>(PLAIN)?;
        let template = template.part::<PLAIN, { HEADERS_LENGTH - PLAIN }>();
        copy_words!(rest, template, 0 4 8 12 16);
    }
    let header = frame.take_at::<IPV4_LENGTH>(AT)?;
    header.set_half::<10>(Sum::new(header.half::<10>()).add_pair(address).checksum());
    header.set_word::<FIELD>(address);
    if MAC {
        headers.set_word::<8>(address);
    }
    Some(())
}

/// Makes a frame what it was before, but of another client: its length, then its headers.
#[inline(always)]
fn restore(context: &XdpContext, verdict: u32) -> u32 {
    let Some(source) = SOURCE.get(0) else { return xdp_action::XDP_ABORTED };
    let grown = (context.data_end() - context.data()) as i32 - source.length as i32;
    // SAFETY: the context is the kernel's.
    if unsafe { bpf_xdp_adjust_head(context.ctx, grown) } != 0 {
        return xdp_action::XDP_ABORTED;
    }
    let written = match source.kind {
        source_kind::DOWN => write_headers::<ETHERNET_LENGTH, 16, false>(context),
        source_kind::UP => write_headers::<ETHERNET_LENGTH, 12, true>(context),
        source_kind::TUNNELLED_DOWN => write_headers::<{ ETHERNET_LENGTH + IPV4_LENGTH }, 16, false>(context),
        _ => write_headers::<{ ETHERNET_LENGTH + IPV4_LENGTH }, 12, false>(context),
    };
    if written.is_none() { xdp_action::XDP_ABORTED } else { verdict }
}

macro_rules! repeatable {
    ($($name:ident = |$context:ident| $decide:expr;)+) => {
        $(#[doc = "A program that restores the packet."]
        #[xdp_program]
        #[inline(always)]
        pub fn $name(context: XdpContext) -> u32 {
            let $context = &context;
            let verdict = $decide;
            restore($context, verdict)
        })+
    };
}

repeatable! {
    repeat_nothing = |_context| xdp_action::XDP_PASS;
    repeat_router = |context| xdp::run(context, router::decide);
    repeat_radio = |context| xdp::run(context, station_ipv4::decide_xdp);
    repeat_least_encapsulate = |context| run_least_encapsulate(context);
    repeat_least_rewrite = |context| run_least_rewrite(context);
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
    u32::from_be_bytes(source.first).wrapping_add(index.wrapping_mul(source.stride)).to_be()
}
