//! Home agent: packets of away clients come back through the reverse tunnel and are routed on (RFC 3024 §5.2).

use mipd_common::{
    maps::{
        COPIES_LENGTH, Counter, Interface, Tunnel,
        tunnel_kind::{COPIES, DIRECT, IP_IN_IP},
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    bytes::Bytes,
    home_encapsulate::{self, TUNNELLED},
    hook::Hook,
    ipv4::{Ipv4, hop},
    maps, next_hop, outer, tun_receive,
    verdict::{Refusal, Verdict},
};

const INNER: usize = ETHERNET_LENGTH + IPV4_LENGTH;

/// A tunnelled packet for no visitor of ours.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface, outer: Ipv4<'_>, inner: Ipv4<'_>) -> Verdict {
    let Some(id) = maps::tunnel_id(inner.source()) else { return Verdict::drop(Counter::DroppedNoVisitor) };
    // RFC 3024 §5.2: the outer source must be the care-of address that the inner source has registered.
    if !is_exit(id, outer.source()) {
        return Verdict::drop(Counter::DroppedTunnelSource);
    }
    if let Some(onward) = maps::tunnel_id(inner.destination()) {
        return to_away_client(hook, interface, inner, onward);
    }
    match next_hop::find::<H, INNER>(hook, interface, inner) {
        Ok(next_hop) => {
            if !hook.shrink() {
                return Verdict::pass(Counter::SlowNoHeadroom);
            }
            let Some(headers) = hook.frame().take::<INNER>() else { return Verdict::drop(Counter::DroppedError) };
            next_hop.write(headers.part_mut::<0, ETHERNET_LENGTH>());
            hop(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>());
            Verdict::transmit(Counter::ReverseDecapsulated, next_hop.ifindex())
        }
        Err(reason) => slow(hook, reason),
    }
}

/// Both ends are away: out of one tunnel, into the other. The outer header is replaced where it stands.
#[inline(always)]
fn to_away_client<H: Hook>(hook: H, interface: &Interface, inner: Ipv4<'_>, id: u32) -> Verdict {
    let Some(tunnel) = maps::tunnel(id) else { return slow(hook, Counter::SlowUnresolved) };
    match home_encapsulate::check::<H, INNER>(hook, interface, inner, tunnel) {
        Ok(()) if tunnel.kind == DIRECT => {
            if hook.shrink() {
                home_encapsulate::deliver_direct(hook, tunnel)
            } else {
                Verdict::pass(Counter::SlowNoHeadroom)
            }
        }
        Ok(()) => {
            let fields = outer::fields(inner);
            let Some(headers) = hook.frame().take::<TUNNELLED>() else { return Verdict::drop(Counter::DroppedError) };
            headers.set_ethernet::<0>(Bytes::of(&tunnel.ethernet));
            outer::write(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>(), tunnel, fields);
            hop(headers.part_mut::<INNER, IPV4_LENGTH>());
            Verdict::transmit(Counter::Encapsulated, tunnel.ifindex)
        }
        Err(Refusal::Slow(reason)) => slow(hook, reason),
        Err(Refusal::Drop(reason)) => Verdict::drop(reason),
    }
}

/// TC decapsulates for the kernel.
#[inline(always)]
fn slow<H: Hook>(hook: H, reason: Counter) -> Verdict {
    tun_receive::hand_over(hook, maps::router().map(|router| router.home_tun), reason)
}

/// Whether the tunnel ends at this address (memory order), or one of several does.
#[inline(always)]
fn is_exit(id: u32, address: u32) -> bool {
    let Some(tunnel) = maps::tunnel(id) else { return false };
    if tunnel.kind == COPIES {
        return (0..COPIES_LENGTH).any(|index| {
            let part = tunnel.part(index);
            part != 0 && maps::tunnel(part).is_some_and(|tunnel| ends_at(tunnel, address))
        });
    }
    ends_at(tunnel, address)
}

#[inline(always)]
fn ends_at(tunnel: &Tunnel, address: u32) -> bool {
    tunnel.kind == IP_IN_IP && Bytes::of(&tunnel.outer).word::<16>() == address
}
