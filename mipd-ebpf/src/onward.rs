//! Routers: where a packet goes on to, once its own path has found nothing wrong with it: into the tunnel to an away client
//! (RFC 5944 §4.2.3), into a reverse tunnel (RFC 3024), to the next hop of a route. All paths meet here, so that this is compiled
//! into each program once.

use core::mem::MaybeUninit;

use mipd_common::{
    maps::{
        Counter, Interface, Tunnel,
        interface_flags::FAST,
        tunnel_flags::{ADJACENT, XDP_TARGET},
        tunnel_kind::{COPIES, DIRECT, MINIMAL},
    },
    packet::{DONT_FRAGMENT, ETHERNET_LENGTH},
};

use crate::{
    bytes::Bytes,
    hook::Hook,
    icmp_error, maps,
    next_hop::{self, NextHop},
    surgery::{Carried, Plan},
    tun_receive,
    verdict::{Refusal, Verdict},
};

/// Where a packet comes from that is to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Origin {
    /// From a link, as it is: the home agent's business if it is for an away client, and else the kernel's.
    Link,
    /// From a visitor without reverse tunnel.
    Visitor,
    /// From a visitor with one.
    VisitorAway,
    /// From an away client, out of the reverse tunnel (RFC 3024 §5.2).
    ReverseTunnel,
}

/// What has been found out about a packet: all, or that it is to go on.
///
/// No enum with contents, for the reason that [`Verdict`] has none.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    plan: Plan<'a>,
    /// The packet that is to go on; otherwise the plan stands.
    carried: Option<Carried<'a>>,
    origin: Origin,
    /// The reverse tunnel.
    tunnel: u32,
    /// Largest segment that it may announce, wherever it goes; 0 = whatever it does.
    segment_limit: u16,
}

impl<'a> From<Plan<'a>> for Step<'a> {
    #[inline(always)]
    fn from(plan: Plan<'a>) -> Self {
        Self { plan, carried: None, origin: Origin::Link, tunnel: 0, segment_limit: 0 }
    }
}

impl<'a> Step<'a> {
    /// To be passed to the kernel (or the next program), untouched.
    #[inline(always)]
    pub fn pass(counter: Counter) -> Self {
        Plan::pass(counter).into()
    }

    /// To be dropped.
    #[inline(always)]
    pub fn drop(counter: Counter) -> Self {
        Plan::drop(counter).into()
    }

    /// To go on to its destination.
    #[inline(always)]
    pub fn onward(origin: Origin, carried: Carried<'a>, segment_limit: u16) -> Self {
        Self { carried: Some(carried), origin, segment_limit, ..Self::drop(Counter::DroppedError) }
    }

    /// To go into reverse tunnel `id`.
    #[inline(always)]
    pub fn into_reverse_tunnel(carried: Carried<'a>, id: u32) -> Self {
        Self { tunnel: id, ..Self::onward(Origin::VisitorAway, carried, 0) }
    }

    /// Finds the way of a packet that is to go on. `place` is for the route, if one has to be looked up.
    #[inline(always)]
    pub fn plan<H: Hook>(self, hook: H, interface: &Interface, place: &'a mut MaybeUninit<NextHop>) -> Plan<'a> {
        let Some(carried) = self.carried else { return self.plan };
        let destination = carried.packet.destination();
        let away = self.origin == Origin::VisitorAway;
        let id = if away { Some(self.tunnel) } else { maps::tunnel_id(destination) };
        let reason = match id {
            Some(id) => match self.tunnel_plan(hook, interface, carried, id) {
                Ok(plan) => return plan.limited(carried, self.segment_limit),
                Err(Refusal::Drop(reason)) => return Plan::drop(reason),
                Err(Refusal::Slow(reason)) => reason,
            },
            None if self.origin == Origin::Link => {
                let own = maps::is_own_address(destination);
                return Plan::pass(if own { Counter::PassedControl } else { Counter::PassedNoTunnel });
            }
            None => match next_hop::find(hook, interface, carried, place) {
                Ok(next_hop) => {
                    let visitor = self.origin == Origin::Visitor;
                    let counter = if visitor { Counter::VisitorForwarded } else { Counter::ReverseDecapsulated };
                    return Plan::route(counter, carried, next_hop).limited(carried, self.segment_limit);
                }
                Err(_) if self.origin == Origin::ReverseTunnel && maps::is_home_broadcast(destination) => {
                    return Plan::pass(Counter::SlowGroup);
                }
                Err(reason) => reason,
            },
        };
        self.slow_plan(hook, carried, reason).limited(carried, self.segment_limit)
    }

    /// Into tunnel `id`.
    #[inline(always)]
    fn tunnel_plan<H: Hook>(
        self,
        hook: H,
        interface: &Interface,
        carried: Carried<'a>,
        id: u32,
    ) -> Result<Plan<'a>, Refusal> {
        // Whoever else is here has looked at the lengths before.
        if self.origin == Origin::Link
            && !carried.packet.lengths_fit(hook.length().wrapping_sub(ETHERNET_LENGTH as u32))
        {
            return Err(Refusal::Drop(Counter::DroppedShort));
        }
        let tunnel = maps::tunnel(id).ok_or(Refusal::Slow(Counter::SlowUnresolved))?;
        let back = self.origin == Origin::VisitorAway;
        if !back {
            check(carried, tunnel)?;
        }
        check_path(hook, interface, carried, tunnel)?;
        Ok(if back {
            Plan::encapsulate(Counter::ReverseEncapsulated, carried, tunnel)
        } else {
            Plan::to_away_client(carried, tunnel)
        })
    }

    /// What the program cannot do, the kernel does, for `reason`. XDP leaves everything to TC.
    #[inline(always)]
    fn slow_plan<H: Hook>(self, hook: H, carried: Carried<'a>, reason: Counter) -> Plan<'a> {
        if H::XDP || matches!(self.origin, Origin::Link | Origin::Visitor) {
            return Plan::pass(reason);
        }
        let router = maps::router();
        if self.origin == Origin::ReverseTunnel {
            return tun_receive::hand_over::<H>(router.map(|router| router.home_tun), carried, reason);
        }
        if let Some(tunnel) = maps::tunnel(self.tunnel)
            && let Some(answer) = answer(hook, carried, tunnel)
        {
            return answer.into();
        }
        // On the visit device, where the mark leads.
        let Some(router) = router else { return Plan::drop(Counter::DroppedError) };
        hook.mark(router.mark | self.tunnel);
        if carried.strip == 0 {
            return Plan::pass(Counter::SlowMarked);
        }
        // The kernel receives it as if it had come plain.
        tun_receive::hand_over::<H>(Some(router.visit_tun), carried, Counter::SlowMarked)
    }
}

/// Whether a packet may go into the tunnel to an away client.
#[inline(always)]
fn check(carried: Carried<'_>, tunnel: &Tunnel) -> Result<(), Refusal> {
    let source = carried.packet.source();
    // RFC 2003 §4: a packet from the tunnel's exit, or from ourselves, that arrives to be forwarded is going round.
    if maps::is_own_address(source) || (tunnel.kind != DIRECT && source == Bytes::of(&tunnel.outer).word::<16>()) {
        return Err(Refusal::Drop(Counter::DroppedLoop));
    }
    // Minimal encapsulation makes the header anew, so this is the last time that a wrong checksum can be seen.
    if tunnel.kind == MINIMAL && carried.packet.is_plain() && !carried.rebuilt && !carried.packet.checksum_is_valid() {
        return Err(Refusal::Drop(Counter::DroppedShort));
    }
    Ok(())
}

/// Whether the program can put a packet into `tunnel`.
#[inline(always)]
fn check_path<H: Hook>(hook: H, interface: &Interface, carried: Carried<'_>, tunnel: &Tunnel) -> Result<(), Refusal> {
    let reason = if interface.flags & FAST == 0 {
        Counter::SlowFastPathOff
    } else if !carried.packet.is_plain() {
        Counter::SlowOptions
    } else if carried.packet.ttl() <= 1 {
        Counter::SlowTtl
    } else if hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        Counter::SlowTooBig
    } else if tunnel.flags & ADJACENT == 0 {
        if tunnel.kind == COPIES { Counter::SlowCopies } else { Counter::SlowUnresolved }
    } else if H::XDP && tunnel.flags & XDP_TARGET == 0 {
        Counter::SlowNotXdpTarget
    } else {
        return Ok(());
    };
    Err(Refusal::Slow(reason))
}

/// What a visitor is told. The kernel's word would be routed to its home address, which may lead anywhere, or to another
/// visitor.
#[inline(always)]
fn answer<H: Hook>(hook: H, carried: Carried<'_>, tunnel: &Tunnel) -> Option<Verdict> {
    let packet = carried.packet;
    let error = if packet.ttl() <= 1 {
        if !icmp_error::is_answerable(hook, carried) {
            return Some(Verdict::drop(Counter::DroppedTtl));
        }
        icmp_error::Error::expired()
    } else if packet.fragment_word() & DONT_FRAGMENT != 0 && hook.largest_packet(carried) > tunnel.inner_mtu as u32 {
        icmp_error::Error::too_big(tunnel.inner_mtu)
    } else {
        return None;
    };
    Some(icmp_error::answer(hook, carried, Bytes::of(&tunnel.outer).word::<12>(), error))
}
