//! Home agent: packets of away clients come back through the reverse tunnel and are routed on (RFC 3024 §5.2).

use core::mem::MaybeUninit;

use mipd_common::{
    maps::{
        COPIES_LENGTH, Counter, Interface, Tunnel,
        tunnel_kind::{COPIES, DIRECT},
    },
    packet::protocol,
};

use crate::{
    arrival::Arrival,
    bytes::Bytes,
    home_encapsulate,
    hook::Hook,
    ipv4::is_group,
    maps,
    next_hop::{self, NextHop},
    surgery::{Carried, Plan},
    tun_receive,
    verdict::Refusal,
};

/// A tunnelled packet for no visitor of ours.
#[inline(always)]
pub fn decide<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    arrival: Arrival<'a>,
    place: &'a mut MaybeUninit<NextHop>,
) -> Plan<'a> {
    let carried = arrival.carried;
    let Some(id) = maps::tunnel_id(carried.packet.source()) else { return Plan::drop(Counter::DroppedNoVisitor) };
    // RFC 3024 §5.2: the outer source must be the care-of address that the inner source has registered.
    match judge(id, &arrival) {
        Way::Right => {}
        Way::Form => return Plan::drop(Counter::DroppedEncapsulation),
        Way::End => return Plan::drop(Counter::DroppedTunnelSource),
    }
    if is_group(carried.packet.destination()) {
        return Plan::pass(Counter::SlowGroup);
    }
    // What it announces is sent into the tunnel to this client.
    let segment_limit = match maps::tunnel(id) {
        Some(tunnel) if carried.packet.protocol() == protocol::TCP => tunnel.segment_limit,
        _ => 0,
    };
    let reason = match maps::tunnel_id(carried.packet.destination()) {
        Some(onward) => match to_away_client(hook, interface, carried, onward) {
            Ok(plan) => return plan.limited(carried, segment_limit),
            Err(reason) => reason,
        },
        None => match next_hop::find(hook, interface, carried, place) {
            Ok(next_hop) => {
                return Plan::route(Counter::ReverseDecapsulated, carried, next_hop).limited(carried, segment_limit);
            }
            Err(_) if maps::is_home_broadcast(carried.packet.destination()) => return Plan::pass(Counter::SlowGroup),
            Err(reason) => reason,
        },
    };
    tun_receive::hand_over::<H>(maps::router().map(|router| router.home_tun), carried, reason)
        .limited(carried, segment_limit)
}

/// Both ends are away: out of one tunnel, into the other.
#[inline(always)]
fn to_away_client<'a, H: Hook>(
    hook: H,
    interface: &Interface,
    carried: Carried<'a>,
    id: u32,
) -> Result<Plan<'a>, Counter> {
    let Some(tunnel) = maps::tunnel(id) else { return Err(Counter::SlowUnresolved) };
    match home_encapsulate::check(hook, interface, carried, tunnel) {
        Ok(()) => Ok(Plan::to_away_client(carried, tunnel)),
        Err(Refusal::Slow(reason)) => Err(reason),
        Err(Refusal::Drop(reason)) => Ok(Plan::drop(reason)),
    }
}

/// How a packet came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
enum Way {
    /// From nowhere that its sender has registered.
    End,
    /// In another form than agreed.
    Form,
    /// As agreed.
    Right,
}

/// Whether a packet came out of tunnel `id`, or out of one of several.
#[inline(always)]
fn judge(id: u32, arrival: &Arrival<'_>) -> Way {
    let Some(tunnel) = maps::tunnel(id) else { return Way::End };
    if tunnel.kind != COPIES {
        return judge_one(tunnel, arrival);
    }
    let mut way = Way::End;
    for index in 0..COPIES_LENGTH {
        let part = tunnel.part(index);
        if part != 0
            && let Some(tunnel) = maps::tunnel(part)
        {
            way = way.max(judge_one(tunnel, arrival));
        }
    }
    way
}

#[inline(always)]
fn judge_one(tunnel: &Tunnel, arrival: &Arrival<'_>) -> Way {
    let template = Bytes::of(&tunnel.outer);
    if tunnel.kind == DIRECT || tunnel.kind == COPIES || template.word::<16>() != arrival.outer.source() {
        Way::End
    } else if arrival.is_agreed(tunnel.kind, tunnel.flags, &tunnel.receive_key, Bytes::of(&tunnel.ports).part::<2, 2>())
        && (!arrival.is_over_udp() || template.word::<12>() == arrival.outer.destination())
    {
        Way::Right
    } else {
        Way::Form
    }
}
