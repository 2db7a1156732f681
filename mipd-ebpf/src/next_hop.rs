//! Plain routing of a packet to an arbitrary destination: the kernel's routing table, asked from the program.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Route},
    helpers::bpf_fib_lookup,
};
use mipd_common::{
    maps::{
        Counter, Interface,
        interface_flags::{FAST, XDP_TARGET},
    },
    packet::{ETHERNET_LENGTH, ether_type},
};

use crate::{
    bytes::{Bytes, BytesMut},
    hook::Hook,
    maps,
    surgery::Carried,
};

const AF_INET: u8 = 2;

/// Where a packet goes next. Aligned so that it can be cleared word by word.
#[repr(align(8))]
pub struct NextHop {
    route: Route,
}

impl NextHop {
    /// The outgoing interface.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        self.route.ifindex
    }

    /// Writes the Ethernet header.
    #[inline(always)]
    pub fn write(&self, header: BytesMut<ETHERNET_LENGTH>) {
        // They lie on the stack, where the verifier wants words aligned on every machine.
        header.set_halves::<0>(Bytes::of(&self.route.dmac).halves());
        header.set_halves::<6>(Bytes::of(&self.route.smac).halves());
        header.set_half::<12>(ether_type::IPV4);
    }
}

/// All zero. Not by `zeroed`, which becomes a call of `memset`: a program with functions is more than the compilers of BPF
/// in some boards' kernels can do.
#[inline(always)]
fn cleared(place: &mut MaybeUninit<NextHop>) -> &mut NextHop {
    let words = place.as_mut_ptr().cast::<u64>();
    let mut word = 0;
    while word < size_of::<NextHop>() / size_of::<u64>() {
        // SAFETY: within the place, which is aligned for it.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
    // SAFETY: integers and arrays of integers, for which zero is a value; the size is a multiple of the alignment.
    unsafe { place.assume_init_mut() }
}

/// Looks up the way for a packet, as if it were received on the hook's interface. `Err`: why the fast path cannot take it.
#[inline(always)]
pub fn find<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    carried: Carried<'_>,
    place: &'a mut MaybeUninit<NextHop>,
) -> Result<&'a NextHop, Counter> {
    let packet = carried.packet;
    if interface.flags & FAST == 0 {
        return Err(Counter::SlowFastPathOff);
    }
    if !packet.is_plain() {
        return Err(Counter::SlowOptions);
    }
    if packet.ttl() <= 1 {
        return Err(Counter::SlowTtl);
    }
    let length = hook.largest_packet(carried);
    let NextHop { route } = cleared(place);
    route.family = AF_INET;
    route.l4_protocol = packet.protocol();
    route.__bindgen_anon_1.tot_len = if length > u16::MAX as u32 { u16::MAX } else { length as u16 };
    route.__bindgen_anon_2.tos = packet.tos();
    route.__bindgen_anon_3.ipv4_src = packet.source();
    route.__bindgen_anon_4.ipv4_dst = packet.destination();
    route.ifindex = hook.ifindex();
    // SAFETY: the context is the kernel's and the parameters have the size given.
    let result = unsafe { bpf_fib_lookup(hook.context(), route, size_of::<Route>() as i32, 0) };
    if result == BPF_FIB_LKUP_RET_FRAG_NEEDED as i64 {
        return Err(Counter::SlowTooBig);
    }
    if result != BPF_FIB_LKUP_RET_SUCCESS as i64 {
        return Err(Counter::SlowUnresolved);
    }
    if H::XDP && maps::interface(route.ifindex).is_none_or(|out| out.flags & XDP_TARGET == 0) {
        return Err(Counter::SlowNotXdpTarget);
    }
    // SAFETY: written above.
    Ok(unsafe { place.assume_init_ref() })
}
