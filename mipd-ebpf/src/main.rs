//! Entry points of the kernel programs. Each takes a decision from one of the modules below, counts it once and turns it
//! into the kernel's verdict (`xdp::run`, `tc::run`).
//!
//! * Frames and bytes: [`bytes`], [`ipv4`], [`arp`]; maps: [`maps`]; verdicts: [`verdict`].
//! * The two hooks: [`hook`], [`xdp`], [`tc`].
//! * Tunnels: [`arrival`] takes a tunnel packet apart, [`wrap`] makes one ([`outer`]: the header that all have), [`gre`], [`minimal`]
//!   and [`udp_tunnel`] know their headers in both directions.
//! * Routers: [`router`] finds what a frame is; [`tunnel_arrival`], [`visitor_deliver`], [`reverse_decapsulate`],
//!   [`visitor_uplink`], [`visitor_arp`], [`home_arp`] are the paths; [`onward`] finds out where a packet goes, and [`surgery`] carries
//!   out what has been planned;
//!   [`tun_send`], [`tun_copies`] and [`tun_receive`] join them to the kernel's slow path; [`icmp_filter`] guards it, [`icmp_error`] answers in its place;
//!   [`segment_limit`] spares TCP that.
//! * Access points: [`radio`] finds what a frame is; [`station_ipv4`], [`station_arp`], [`newcomer`], [`punt`],
//!   [`uplink`] are the paths; [`sightings`] reports to the agent.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", allow(unstable_features), feature(asm_experimental_arch))]

mod arp;
mod arrival;
#[cfg(feature = "bench")]
mod bench;
mod bytes;
mod gre;
mod home_arp;
mod hook;
mod icmp_error;
mod icmp_filter;
mod ipv4;
mod maps;
mod minimal;
mod newcomer;
mod next_hop;
mod onward;
mod outer;
mod punt;
mod radio;
mod reverse_decapsulate;
mod router;
mod segment_limit;
mod sightings;
mod station_arp;
mod station_ipv4;
mod surgery;
mod tc;
mod tun_copies;
mod tun_receive;
mod tun_send;
mod tunnel_arrival;
mod udp_tunnel;
mod uplink;
mod verdict;
mod visitor_arp;
mod visitor_deliver;
mod visitor_uplink;
mod wrap;
mod xdp;

use aya_ebpf::{
    macros::{classifier, xdp as xdp_program},
    programs::{TcContext, XdpContext},
};
use mipd_common::maps::hook::{EGRESS, INGRESS};

/// Home agent and foreign agent, accelerated paths.
#[cfg(not(feature = "bench"))]
#[xdp_program]
#[inline(always)]
pub fn router_xdp(context: XdpContext) -> u32 {
    xdp::run(&context, router::decide)
}

/// Home agent and foreign agent, everything.
#[classifier]
#[inline(always)]
pub fn router_ingress(context: TcContext) -> i32 {
    tc::run!(&context, INGRESS, router::decide)
}

/// What must not leave a router.
#[classifier]
#[inline(always)]
pub fn router_egress(context: TcContext) -> i32 {
    tc::run!(&context, EGRESS, icmp_filter::decide)
}

/// Home agent's slow path into the tunnels: egress of `mip-home`.
#[classifier]
#[inline(always)]
pub fn home_tun_egress(context: TcContext) -> i32 {
    tc::run!(&context, EGRESS, tun_send::decide_home)
}

/// Foreign agent's slow path into the reverse tunnels: egress of `mip-visit`.
#[classifier]
#[inline(always)]
pub fn visit_tun_egress(context: TcContext) -> i32 {
    tc::run!(&context, EGRESS, tun_send::decide_visit)
}

/// Access point, accelerated path of registered visitors.
#[cfg(not(feature = "bench"))]
#[xdp_program]
#[inline(always)]
pub fn radio_xdp(context: XdpContext) -> u32 {
    xdp::run(&context, station_ipv4::decide_xdp)
}

/// Access point, uplink. Takes nothing: drivers transmit what `radio_xdp` redirects to them only while they have a program
/// of their own.
#[xdp_program]
pub fn uplink_xdp(_context: XdpContext) -> u32 {
    aya_ebpf::bindings::xdp_action::XDP_PASS
}

/// Access point, everything that stations send.
#[classifier]
#[inline(always)]
pub fn radio_ingress(context: TcContext) -> i32 {
    tc::run!(&context, INGRESS, radio::decide)
}

/// Access point: frames that the agent writes to the punt TAP.
#[classifier]
#[inline(always)]
pub fn punt_ingress(context: TcContext) -> i32 {
    tc::run!(&context, INGRESS, punt::decide)
}

/// Access point: frames that arrive by the wire.
#[classifier]
#[inline(always)]
pub fn uplink_ingress(context: TcContext) -> i32 {
    tc::run!(&context, INGRESS, uplink::decide)
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
