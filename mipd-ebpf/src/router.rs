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
    home_arp, home_encapsulate,
    hook::Hook,
    ipv4::Ipv4,
    maps,
    surgery::{self, Plan, Scratch},
    tunnel_arrival, udp_tunnel,
    verdict::Verdict,
    visitor_arp, visitor_uplink,
};

/// Decides about one frame and does what it takes.
#[inline(always)]
pub fn decide<H: Hook>(hook: H, interface: &Interface) -> Verdict {
    let mut scratch = Scratch::new();
    let plan = plan(hook, interface, &mut scratch);
    surgery::carry_out(hook, plan)
}

#[inline(always)]
fn plan<'a, H: Hook>(hook: H, interface: &Interface, scratch: &'a mut Scratch) -> Plan<'a> {
    let frame = hook.frame();
    let Some(ethernet) = frame.take::<ETHERNET_LENGTH>() else { return Plan::pass(Counter::PassedOther) };
    if hook.is_tagged() {
        return Plan::pass(Counter::PassedOther);
    }
    let ether_type = ethernet.half::<12>();
    if !H::XDP
        && ether_type == ether_type::ARP
        && interface.flags & ACCESS != 0
        && let Some(source) = maps::visitor_source(&ethernet.mac::<6>())
        && visitor_arp::is_spoofed(hook, source)
    {
        return Plan::drop(Counter::DroppedSpoofed);
    }
    if !H::XDP && ether_type == ether_type::ARP && interface.flags & HOME != 0 {
        return home_arp::decide(hook, interface).into();
    }
    if ether_type != ether_type::IPV4 {
        return Plan::pass(Counter::PassedOther);
    }
    let Some(headers) = frame.take::<{ ETHERNET_LENGTH + IPV4_LENGTH }>() else {
        return Plan::pass(Counter::PassedOther);
    };
    let packet = Ipv4(headers.part::<ETHERNET_LENGTH, IPV4_LENGTH>());
    if !packet.is_version_4() {
        return Plan::pass(Counter::PassedOther);
    }
    if !headers.mac_is::<0>(&interface.mac) {
        if !H::XDP && interface.flags & ACCESS != 0 && headers.byte::<0>() & 1 != 0 {
            return visitor_uplink::decide_group(hook, headers.mac::<6>(), packet);
        }
        return Plan::pass(Counter::PassedNotForUs);
    }
    let tunnelled = is_tunnel_protocol(packet.protocol()) && maps::is_own_address(packet.destination());
    let mut delivery = None;
    if interface.flags & ACCESS != 0 {
        if let Some(source) = maps::visitor_source(&headers.mac::<6>()) {
            if source.flags & ENCAPSULATING == 0 || !tunnelled {
                return visitor_uplink::decide(hook, interface, packet, source, scratch);
            }
            delivery = Some(source);
        }
    }
    if !tunnelled {
        let destination = packet.destination();
        if let Some(id) = maps::tunnel_id(destination) {
            return home_encapsulate::decide(hook, interface, packet, id);
        }
        if !maps::is_own_address(destination) {
            return Plan::pass(Counter::PassedNoTunnel);
        }
        if packet.protocol() != protocol::UDP || !udp_tunnel::is_tunnel_data(frame, packet) {
            return Plan::pass(Counter::PassedControl);
        }
    }
    tunnel_arrival::decide(hook, interface, packet, delivery, scratch)
}
