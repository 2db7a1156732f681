//! Home agent and foreign agent: what an Ethernet frame that arrives at a router is.

use mipd_common::{
    maps::{
        Counter, Interface,
        interface_flags::{ACCESS, HOME},
        visitor_flags::ENCAPSULATING,
    },
    packet::{ETHERNET_LENGTH, IPV4_LENGTH, ether_type, protocol},
};

use crate::{
    arrival::is_tunnel_protocol,
    home_arp,
    hook::Hook,
    ipv4::Ipv4,
    maps,
    onward::{Origin, Step},
    surgery::{self, Carried, Header, Plan, Scratch},
    tunnel_arrival, udp_tunnel,
    verdict::Verdict,
    visitor_arp, visitor_uplink,
};

/// Decides about one frame and does what it takes.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface) -> Verdict {
    let mut scratch = Scratch::new();
    let step = look(hook, interface, &mut scratch.header);
    let plan = step.plan(hook, interface, &mut scratch.next_hop);
    surgery::carry_out(hook, plan)
}

#[inline(always)]
fn look<'a, H: Hook>(hook: H, interface: &Interface, header: &'a mut Header) -> Step<'a> {
    let frame = hook.frame();
    let Some(ethernet) = frame.take::<ETHERNET_LENGTH>() else { return Step::pass(Counter::PassedOther) };
    if hook.is_tagged() {
        return Step::pass(Counter::PassedOther);
    }
    let ether_type = ethernet.half::<12>();
    if !H::XDP
        && ether_type == ether_type::ARP
        && interface.flags & ACCESS != 0
        && let Some(source) = maps::visitor_source(&ethernet.mac::<6>())
        && visitor_arp::is_spoofed(hook, source)
    {
        return Step::drop(Counter::DroppedSpoofed);
    }
    if !H::XDP && ether_type == ether_type::ARP && interface.flags & HOME != 0 {
        return Plan::from(home_arp::decide(hook, interface)).into();
    }
    if ether_type != ether_type::IPV4 {
        return Step::pass(Counter::PassedOther);
    }
    let Some(headers) = frame.take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
        return Step::pass(Counter::PassedOther);
    };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if !packet.is_version_4() {
        return Step::pass(Counter::PassedOther);
    }
    if !headers.mac_is::<0>(&interface.mac) {
        if !H::XDP && interface.flags & ACCESS != 0 && headers.byte::<0>() & 1 != 0 {
            return visitor_uplink::decide_group(hook, headers.mac::<6>(), packet);
        }
        return Step::pass(Counter::PassedNotForUs);
    }
    let over_udp = packet.protocol() == protocol::UDP && udp_tunnel::is_tunnel_data(frame, packet);
    let tunnelled = (over_udp || is_tunnel_protocol(packet.protocol())) && maps::is_own_address(packet.destination());
    let mut delivery = None;
    if interface.flags & ACCESS != 0
        && let Some(source) = maps::visitor_source(&headers.mac::<6>())
    {
        if !tunnelled || over_udp || source.flags & ENCAPSULATING == 0 {
            return visitor_uplink::decide(hook, packet, tunnelled, source);
        }
        delivery = Some(source);
    }
    if tunnelled {
        return tunnel_arrival::decide(hook, interface, packet, delivery, header);
    }
    Step::onward(Origin::Link, Carried::plain(packet), 0)
}
