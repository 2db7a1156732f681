//! What becomes of each denial.

use super::*;

fn denied(code: ReplyCode) -> Scene {
    let mut scene = Scene::new();
    scene.visit();
    scene.take();
    scene.deny(code);
    scene
}

#[test]
fn a_lifetime_too_long_is_replaced_by_the_one_offered() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = RegistrationReply { lifetime: Lifetime(90), ..scene.reply(ReplyCode::FA_LIFETIME) };
    scene.deliver(&plain(&reply));
    assert_eq!(scene.sent_at(), [0, 0]);
    assert_eq!(scene.last_request().lifetime, Lifetime(90));
    scene.accept();
    assert_eq!(scene.status().lifetime_granted, Some(Lifetime(90)));
}

#[test]
fn a_forged_denial_cannot_shorten_lifetimes_to_nothing() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = RegistrationReply { lifetime: Lifetime(0), ..scene.reply(ReplyCode::FA_LIFETIME) };
    scene.deliver(&plain(&reply));
    assert_eq!(scene.last_request().lifetime, Lifetime(10));
}

fn is_reverse(scene: &Scene) -> bool {
    scene.status().mode.is_some_and(|mode| mode.is_reverse())
}

fn mismatch(scene: &mut Scene, home_agent_seconds: u32) {
    let reply = scene.reply(ReplyCode::HA_IDENTIFICATION);
    let identification = Identification((u64::from(home_agent_seconds) << 32) | u64::from(reply.identification.low()));
    scene.deliver(&signed(&RegistrationReply { identification, ..reply }));
}

#[test]
fn after_an_identification_mismatch_the_home_agents_clock_is_used_at_once() {
    for theirs in [5_000, 0xe5a1_b2c3 - 40, 0xe5a1_b2c3 + 4000] {
        let mut scene = Scene::new();
        scene.visit();
        mismatch(&mut scene, theirs);
        assert_eq!(scene.sent_at(), [0, 0]);
        assert_eq!(scene.last_request().identification.seconds(), theirs);
        scene.accept();
        assert_eq!(scene.state(), "registered");
    }
}

#[test]
fn the_next_client_of_that_home_agent_profits_from_its_clock() {
    let mut scene = Scene::new();
    scene.visit();
    mismatch(&mut scene, 5000);
    let mac = MacAddress([2, 0, 0, 0, 0, 0x11]);
    scene.event(Event::Visitor { interface: RADIO, mac, address: [10, 1, 0, 101].into() });
    assert_eq!(scene.last_request().identification.seconds(), 5000);
}

#[test]
fn repeated_mismatches_are_answered_once_per_second() {
    let mut scene = Scene::new();
    scene.visit();
    let start = scene.now.wall.seconds();
    for second in 0..4 {
        mismatch(&mut scene, start + second);
        scene.talk(milliseconds(999));
        scene.advance(milliseconds(1));
    }
    assert_eq!(scene.sent_at(), [0, 0, 1000, 2000, 3000, 4000][..scene.requests.len()]);
    assert!(scene.requests.len() >= 5);
}

#[test]
fn a_second_mismatch_moves_the_identification_to_the_edge_of_the_window() {
    let mut scene = Scene::new();
    scene.visit();
    let start = scene.now.wall.seconds();
    mismatch(&mut scene, start);
    assert_eq!(scene.last_request().identification.seconds(), start);
    mismatch(&mut scene, start);
    scene.talk(seconds(1));
    assert_eq!(scene.sent_at(), [0, 0, 1000]);
    assert_eq!(scene.last_request().identification.seconds(), start + 7, "a second has passed since the answer");
}

#[test]
fn endless_mismatches_end_in_a_pause() {
    let mut scene = Scene::new();
    scene.visit();
    for _ in 0..30 {
        let wall = scene.now.wall.seconds();
        mismatch(&mut scene, wall);
        scene.talk(seconds(1));
    }
    assert!(scene.requests.len() <= 10, "{:?}", scene.sent_at());
    assert_eq!(scene.state(), "denied");
}

#[test]
fn an_unknown_home_agent_is_replaced_by_the_one_named() {
    let mut scene = Scene::new();
    scene.visit();
    let named = HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 2));
    let reply = RegistrationReply { home_agent: named, ..scene.reply(ReplyCode::HA_UNKNOWN_AGENT) };
    scene.deliver(&signed(&reply));
    assert_eq!(scene.last_request().home_agent, named);
    scene.accept();
    assert_eq!(scene.status().home_agent, Some(named));
}

#[test]
fn a_reverse_tunnel_that_is_unavailable_is_not_asked_for_again() {
    use ReplyCode as Code;
    for code in [
        Code::FA_REVERSE_TUNNEL_UNAVAILABLE,
        Code::HA_REVERSE_TUNNEL_UNAVAILABLE,
        Code::FA_MALFORMED_REQUEST,
        Code::HA_MALFORMED,
    ] {
        let mut scene = Scene::new();
        scene.agent(Some(tunnelling_agent()));
        scene.visit();
        assert!(scene.last_request().flags.reverse_tunnel);
        scene.deny(code);
        assert!(!scene.last_request().flags.reverse_tunnel, "{code}");
        scene.accept();
        assert!(!is_reverse(&scene));
    }
}

#[test]
fn a_required_reverse_tunnel_is_never_given_up() {
    let mut scene = Scene::with(Config { reverse_tunnel: ReverseTunnelPolicy::Require, ..config() });
    scene.agent(Some(tunnelling_agent()));
    scene.visit();
    scene.deny(ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE);
    scene.talk(seconds(60));
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.state(), "denied");
}

#[test]
fn a_mandatory_reverse_tunnel_is_asked_for_unless_policy_forbids() {
    for code in [ReplyCode::FA_REVERSE_TUNNEL_MANDATORY, ReplyCode::HA_REVERSE_TUNNEL_MANDATORY] {
        let mut scene = denied(code);
        assert!(scene.last_request().flags.reverse_tunnel, "{code}");
        scene.accept();
        assert!(is_reverse(&scene));

        let mut scene = Scene::with(Config { reverse_tunnel: ReverseTunnelPolicy::Never, ..config() });
        scene.visit();
        scene.deny(code);
        assert_eq!(scene.requests.len(), 1, "{code}");
    }
}

#[test]
fn after_an_invalid_care_of_address_the_next_one_is_tried_then_there_is_a_wait() {
    let addresses = [2, 3].map(|last| CareOfAddress(Ipv4Addr::new(10, 2, 0, last)));
    let mut scene = Scene::new();
    scene.agent(Some(ForeignAgentInfo { care_of_addresses: addresses.to_vec(), ..foreign_agent() }));
    scene.visit();
    assert_eq!(scene.last_request().care_of_address, addresses[0]);
    scene.deny(ReplyCode::FA_CARE_OF_ADDRESS);
    assert_eq!(scene.last_request().care_of_address, addresses[1]);
    scene.take();
    scene.deny(ReplyCode::FA_CARE_OF_ADDRESS);
    assert_eq!(scene.sent_at(), [0, 0]);
    assert_eq!(scene.take(), [Action::Solicit], "they may have changed");
    scene.advance(seconds(4));
    assert_eq!(scene.requests.len(), 3);
}

#[test]
fn after_an_invalid_care_of_address_the_one_of_a_fresh_advertisement_is_taken_at_once() {
    let mut scene = denied(ReplyCode::FA_CARE_OF_ADDRESS);
    let fresh = CareOfAddress(Ipv4Addr::new(10, 2, 0, 9));
    scene.agent(Some(ForeignAgentInfo { care_of_addresses: vec![fresh], ..foreign_agent() }));
    scene.advance(milliseconds(1));
    assert_eq!(scene.sent_at(), [0, 0]);
    assert_eq!(scene.last_request().care_of_address, fresh);
}

#[test]
fn temporary_denials_are_retried_with_growing_waits() {
    for code in [66, 78, 80, 81, 82, 88, 95, 130].map(ReplyCode) {
        let mut scene = Scene::new();
        scene.visit();
        while scene.now.instant < Instant(seconds(1020)) {
            if scene.status().last_code != Some(code) || scene.state() == "registering" {
                scene.deny(code);
            }
            scene.advance(milliseconds(500));
        }
        assert_eq!(scene.sent_at(), [0, 1000, 3000, 7000, 15000], "{code}");
    }
}

#[test]
fn authentication_failures_are_security_events_with_a_long_pause() {
    for code in [67, 68, 131, 132].map(ReplyCode) {
        let mut scene = denied(code);
        assert_eq!(scene.counters().security_events, 1, "{code}");
        assert_eq!(scene.state(), "denied");
        assert_eq!(scene.status().reason, Some(code.meaning()));
        scene.talk(seconds(59));
        assert_eq!(scene.requests.len(), 1, "{code}");
        scene.talk(seconds(2));
        assert_eq!(scene.requests.len(), 2, "{code}");
    }
}

#[test]
fn other_denials_are_reported_and_not_retried_soon() {
    for code in [2, 64, 65, 76, 79, 101, 128, 129, 135, 194, 255].map(ReplyCode) {
        let mut scene = denied(code);
        scene.talk(seconds(200));
        assert_eq!(scene.requests.len(), 1, "{code}");
        assert_eq!(scene.state(), "denied");
        assert_eq!(scene.counters().denied.get(code), 1);
        scene.talk(seconds(101));
        assert_eq!(scene.requests.len(), 2, "{code}");
    }
}

#[test]
fn a_home_agent_that_wants_no_proxy_is_left_alone_for_an_hour() {
    for code in [ReplyCode::HA_PROXY_UNSUPPORTED, ReplyCode::HA_PROXY_PROHIBITED] {
        let mut scene = denied(code);
        scene.talk(seconds(3599));
        assert_eq!(scene.requests.len(), 1, "{code}");
        assert_eq!(scene.state(), "denied");
    }
}

#[test]
fn requests_cannot_be_sent_from_nearer_so_a_distant_node_is_reported() {
    let mut scene = Scene::new();
    scene.visit();
    assert_eq!(transmits(&scene.take())[0].ttl, 255);
    scene.deny(ReplyCode::FA_TOO_DISTANT);
    assert_eq!((scene.state(), scene.requests.len()), ("denied", 1));
}

#[test]
fn a_home_agent_that_cannot_be_one_is_not_taken_from_a_denial() {
    for named in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 11), HOME_AGENT.0] {
        let mut scene = Scene::new();
        scene.visit();
        let reply =
            RegistrationReply { home_agent: HomeAgentAddress(named), ..scene.reply(ReplyCode::HA_UNKNOWN_AGENT) };
        scene.deliver(&signed(&reply));
        assert_eq!((scene.state(), scene.requests.len()), ("denied", 1), "{named}");
    }
}

#[test]
fn a_home_agents_denial_gives_up_the_held_packets_and_a_foreign_agents_does_not() {
    let mut scene = denied(ReplyCode::HA_PROHIBITED);
    assert_eq!(scene.take(), [Action::DropHeld { mac: CLIENT }]);
    let mut scene = denied(ReplyCode::FA_PROHIBITED);
    assert_eq!(scene.take(), []);
}

#[test]
fn a_valid_reply_to_a_request_that_a_foreign_agent_denied_still_counts() {
    for code in [ReplyCode::FA_PROHIBITED, ReplyCode::FA_RESOURCES] {
        let mut scene = denied(code);
        scene.accept();
        assert_eq!(scene.state(), "registered", "{code}");
    }
}

#[test]
fn a_home_agents_denial_is_final_for_its_request() {
    let mut scene = denied(ReplyCode::HA_PROHIBITED);
    scene.accept();
    assert_eq!(scene.state(), "denied");
    assert_eq!(scene.counters().discarded_duplicate, 1);
}

#[test]
fn no_denial_ends_a_registration_in_force() {
    for code in (64..=127).chain([128, 129, 130, 131, 132, 135, 149, 194]).map(ReplyCode) {
        let mut scene = Scene::registered();
        scene.talk(seconds(540));
        assert_eq!(scene.state(), "renewing");
        scene.take();
        let before = scene.status();
        scene.deny(code);
        let after = scene.status();
        assert_eq!(effects(scene.take()), [], "{code}");
        assert_eq!((after.expires, after.foreign_agent), (before.expires, before.foreign_agent), "{code}");
    }
}

#[test]
fn forged_denials_do_not_keep_a_renewal_from_being_repeated() {
    let mut scene = Scene::registered();
    scene.talk(seconds(540));
    scene.deny(ReplyCode::FA_MOBILE_AUTHENTICATION);
    scene.talk(seconds(3));
    assert_eq!(scene.sent_at(), [0, 540_000, 541_000, 543_000]);
    scene.accept();
    assert_eq!(scene.state(), "registered");
}

#[test]
fn what_a_denial_taught_is_forgotten_with_the_next_acceptance() {
    let mut scene = Scene::new();
    scene.agent(Some(tunnelling_agent()));
    scene.visit();
    scene.deny(ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE);
    scene.accept();
    scene.talk(seconds(540));
    assert!(scene.last_request().flags.reverse_tunnel, "whoever forged the denial has not won for ever");
}
