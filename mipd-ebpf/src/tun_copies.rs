//! The slow path of a client with several care-of addresses at the same time: a copy into each tunnel (RFC 5944 §3.8.2.2).

use mipd_common::{
    maps::{COPIES_LENGTH, Counter, Tunnel, tunnel_flags::ADJACENT, tunnel_kind::DIRECT},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{bytes::Bytes, hook::Hook, ipv4::Ipv4, maps, outer, tc::Tc, verdict::Verdict};

/// Sends a packet that leaves by `mip-home`. A tunnel without a known next hop gets no copy: the kernel could find it for
/// one frame only, and the agent is about to.
#[inline(always)]
pub fn send(hook: Tc, packet: Ipv4<'_>, copies: &Tunnel) -> Verdict {
    if !hook.is_segmented() && packet.total_length() > copies.inner_mtu {
        return Verdict::drop(Counter::DroppedTooBig);
    }
    let fields = outer::fields(packet);
    // RFC 2003 §4; packets made here go into the tunnels whatever their source.
    let guarded = if hook.is_forwarded() { packet.source() } else { 0 };
    if !hook.prepend_ethernet() {
        return Verdict::drop(Counter::DroppedError);
    }
    // Straight to a client whose care-of address is our own, before there is an outer header.
    for index in 0..COPIES_LENGTH {
        let Some(tunnel) = part(copies, index) else { continue };
        if tunnel.kind == DIRECT {
            let Some(header) = hook.frame().take::<ETHERNET_LENGTH>() else {
                return Verdict::drop(Counter::DroppedError);
            };
            header.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
            hook.send_copy(tunnel.ifindex);
        }
    }
    if !hook.grow() {
        return Verdict::drop(Counter::DroppedError);
    }
    // The frame itself is the last copy, so each one leaves when the next one is about to take its place.
    let mut ready = 0;
    for index in 0..COPIES_LENGTH {
        let Some(tunnel) = part(copies, index) else { continue };
        if tunnel.kind == DIRECT || Bytes::of(&tunnel.outer).word::<16>() == guarded {
            continue;
        }
        if ready != 0 {
            hook.send_copy(ready);
        }
        let Some(headers) = hook.frame().take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
            return Verdict::drop(Counter::DroppedError);
        };
        headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
        outer::write(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), tunnel, fields);
        ready = tunnel.ifindex;
    }
    if ready == 0 {
        return Verdict::drop(Counter::DroppedUnresolved);
    }
    Verdict::transmit(Counter::EncapsulatedCopies, ready)
}

/// A tunnel whose next hop is known.
#[inline(always)]
fn part(copies: &Tunnel, index: usize) -> Option<&'static Tunnel> {
    let id = copies.part(index);
    if id == 0 {
        return None;
    }
    maps::tunnel(id).filter(|tunnel| tunnel.flags & ADJACENT != 0)
}
