//! The table: every family of cases and where its packets run. Each is a test.
//!
//! Router cases run at XDP and at TC. A case says what each of them does with the packet, or why it does not run there.

use std::fmt::Write as _;

use mipd_common::maps::hook;
use mipd_lab::packets::bench;

use crate::case::{Answer, Case};
use crate::rig::Rig;
use crate::{
    away_clients, decapsulation, delivery, encapsulation, gre, home_arp, icmp_filter, isolation, minimal, radio,
    reverse_tunnel, rig, routing, segments, tunnel_devices, udp_tunnels, uplink, visitors,
};

/// A program at its hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Name of the program in the object.
    pub program: &'static str,
    /// The hook it counts for.
    pub hook: u32,
    /// It is attached to a tunnel device: to this one of the box.
    pub tunnel: Option<usize>,
}

const fn place(program: &'static str, hook: u32) -> Place {
    Place { program, hook, tunnel: None }
}

const fn tunnel(program: &'static str, device: usize) -> Place {
    Place { program, hook: hook::EGRESS, tunnel: Some(device) }
}

/// Home agent and foreign agent, what arrives.
const ROUTER: &[Place] = &[place("router_xdp", hook::XDP), place("router_ingress", hook::INGRESS)];
/// Home agent and foreign agent, what leaves.
const ROUTER_EGRESS: &[Place] = &[place("router_egress", hook::EGRESS)];
/// Home agent, what its kernel sends to away clients. Packets begin with the IP header, and with an Ethernet header where
/// they are forwarded.
const HOME_TUNNEL: &[Place] = &[tunnel("home_tun_egress", 0)];
/// Foreign agent, what its kernel sends to home agents.
const VISIT_TUNNEL: &[Place] = &[tunnel("visit_tun_egress", 1)];
/// Access point, what stations send, accelerated.
const RADIO_XDP: &[Place] = &[place("radio_xdp", hook::XDP)];
/// Access point, what stations send.
const RADIO: &[Place] = &[place("radio_ingress", hook::INGRESS)];
/// Access point, what the agent sends.
const PUNT: &[Place] = &[place("punt_ingress", hook::INGRESS)];
/// Access point, what arrives by the wire.
const UPLINK: &[Place] = &[place("uplink_ingress", hook::INGRESS)];

/// A family of cases.
pub struct Family {
    /// The sentence that its cases prove.
    pub name: &'static str,
    /// Where they run.
    pub places: &'static [Place],
    /// The cases.
    pub cases: Vec<Case>,
}

macro_rules! families {
    ($(#[test] fn $name:ident() at $places:ident: $cases:path;)+) => {
        /// The whole table.
        pub fn families() -> Vec<Family> {
            vec![$(Family { name: stringify!($name), places: $places, cases: $cases() },)+]
        }

        $(#[test]
        fn $name() {
            check(&Family { name: stringify!($name), places: $places, cases: $cases() });
        })+
    };
}

families! {
    #[test]
    fn packets_for_away_clients_go_to_them() at ROUTER: away_clients::cases;
    #[test]
    fn every_encapsulation_takes_packets_to_away_clients() at ROUTER: encapsulation::down;
    #[test]
    fn every_encapsulation_takes_packets_back_to_home_agents() at ROUTER: encapsulation::up;
    #[test]
    fn every_encapsulation_brings_packets_to_visitors() at ROUTER: decapsulation::down;
    #[test]
    fn every_encapsulation_brings_packets_back_from_away_clients() at ROUTER: decapsulation::back;
    #[test]
    fn gre_headers_must_be_as_agreed() at ROUTER: gre::cases;
    #[test]
    fn minimal_headers_must_be_right() at ROUTER: minimal::cases;
    #[test]
    fn tunnels_over_udp_must_be_as_agreed() at ROUTER: udp_tunnels::cases;
    #[test]
    fn requests_for_away_clients_are_answered_and_nothing_else() at ROUTER: home_arp::cases;
    #[test]
    fn packets_come_back_through_reverse_tunnels() at ROUTER: reverse_tunnel::cases;
    #[test]
    fn tunnelled_packets_reach_visitors() at ROUTER: visitors::down;
    #[test]
    fn what_visitors_send_goes_where_it_may() at ROUTER: visitors::up;
    #[test]
    fn nothing_for_a_visitor_that_the_kernel_does_not_know_is_left_to_it() at ROUTER: isolation::unknown_to_the_kernel;
    #[test]
    fn visitors_are_told_what_cannot_go_into_their_reverse_tunnel() at ROUTER: isolation::told_to_visitors;
    #[test]
    fn a_visitors_arp_speaks_for_itself_alone_at_the_foreign_agent() at ROUTER: isolation::claims;
    #[test]
    fn a_visitors_arp_speaks_for_itself_alone_at_the_access_point() at RADIO: isolation::claims_by_radio;
    #[test]
    fn what_visitors_wrap_goes_into_the_reverse_tunnel() at ROUTER: delivery::up_wrapped;
    #[test]
    fn wrapped_broadcasts_and_multicasts_go_into_the_reverse_tunnel_as_they_are() at ROUTER: delivery::up_groups;
    #[test]
    fn broadcasts_and_multicasts_that_come_home_are_the_agents() at ROUTER: delivery::home;
    #[test]
    fn an_access_point_wraps_whatever_the_visitor_sends() at RADIO: delivery::by_radio;
    #[test]
    fn xdp_leaves_what_an_access_point_wraps_to_tc() at RADIO_XDP: delivery::by_accelerated_radio;
    #[test]
    fn the_kernels_routes_are_followed() at ROUTER: routing::cases;
    #[test]
    fn a_connection_announces_no_segments_that_do_not_fit_its_tunnel() at ROUTER: segments::forwarded;
    #[test]
    fn nor_does_one_of_the_kernel_to_an_away_client() at HOME_TUNNEL: segments::home;
    #[test]
    fn nor_does_one_that_the_kernel_sends_to_a_home_agent() at VISIT_TUNNEL: segments::visit;
    #[test]
    fn the_kernels_packets_for_away_clients_are_tunnelled() at HOME_TUNNEL: tunnel_devices::home;
    #[test]
    fn the_kernels_packets_for_home_agents_are_tunnelled() at VISIT_TUNNEL: tunnel_devices::visit;
    #[test]
    fn unreachables_about_our_tunnels_stay_here() at ROUTER_EGRESS: icmp_filter::cases;
    #[test]
    fn xdp_forwards_registered_visitors_and_nothing_else() at RADIO_XDP: radio::accelerated;
    #[test]
    fn visitors_on_hold_are_treated_as_specified() at RADIO: radio::on_hold;
    #[test]
    fn registered_visitors_are_treated_as_specified() at RADIO: radio::registered;
    #[test]
    fn local_stations_are_bridged_untouched() at RADIO: radio::local_stations;
    #[test]
    fn unknown_stations_are_noticed() at RADIO: radio::newcomers;
    #[test]
    fn registration_replies_go_to_the_agent_and_all_else_to_the_bridge() at UPLINK: uplink::replies;
    #[test]
    fn answers_to_relayed_dhcp_requests_go_to_the_agent() at UPLINK: uplink::dhcp_answers;
    #[test]
    fn moves_and_announcements_are_reported() at UPLINK: uplink::sightings;
    #[test]
    fn broadcasts_that_the_home_agent_wrapped_reach_the_visitor_unwrapped() at UPLINK: uplink::broadcasts;
    #[test]
    fn frames_of_the_agent_go_back_to_the_stations_radio() at PUNT: uplink::reinjected;
}

/// Runs the cases of a family at all its places, and reports every one that differs.
fn check(family: &Family) {
    if !bench::privileged() {
        return;
    }
    let failures = rig::with(|rig| failures(rig, family)).unwrap();
    assert!(failures.is_empty(), "{}:\n{failures}", family.name);
}

fn failures(rig: &mut Rig, family: &Family) -> String {
    let mut failures = String::new();
    for case in &family.cases {
        let world = case.world();
        for &place in family.places {
            let Answer::Expect(expect) = case.answer(place.hook) else { continue };
            if !case.can_run(place.hook) {
                println!("{}: this kernel is too old for it in {}", case.description, place.program);
                continue;
            }
            let checked = rig.check(place, &world, &case.packet, case.buffer, &expect);
            let differences = checked.unwrap_or_else(|error| format!("  {error:#}\n"));
            if !differences.is_empty() {
                writeln!(failures, "{}, in {}", case.description, place.program).unwrap();
                failures.push_str(&differences);
            }
        }
    }
    failures
}
