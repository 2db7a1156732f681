//! Home agent: packets of away clients come back through the reverse tunnel and are routed on (RFC 3024 §5.2).

use mipd_common::{
    maps::{
        COPIES_LENGTH, Counter, Tunnel,
        tunnel_kind::{COPIES, DIRECT},
    },
    packet::protocol,
};

use crate::{
    arrival::Arrival,
    bytes::Bytes,
    ipv4::is_group,
    maps,
    onward::{Origin, Step},
};

/// A tunnelled packet for no visitor of ours.
#[inline(always)]
pub fn decide<'a>(arrival: Arrival<'a>) -> Step<'a> {
    let carried = arrival.carried;
    let Some(id) = maps::tunnel_id(carried.packet.source()) else { return Step::drop(Counter::DroppedNoVisitor) };
    // RFC 3024 §5.2: the outer source must be the care-of address that the inner source has registered.
    match judge(id, &arrival) {
        Way::Right => {}
        Way::Form => return Step::drop(Counter::DroppedEncapsulation),
        Way::End => return Step::drop(Counter::DroppedTunnelSource),
    }
    if is_group(carried.packet.destination()) {
        return Step::pass(Counter::SlowGroup);
    }
    // What it announces is sent into the tunnel to this client.
    let segment_limit = match maps::tunnel(id) {
        Some(tunnel) if carried.packet.protocol() == protocol::TCP => tunnel.segment_limit,
        _ => 0,
    };
    Step::onward(Origin::ReverseTunnel, carried, segment_limit)
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
