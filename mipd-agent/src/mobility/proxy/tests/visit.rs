//! A visitor is noticed, registered, forwarded, renewed.

use super::*;
use crate::mobility::security;

#[test]
fn a_visitor_is_held_announced_to_the_switches_and_registered() {
    let mut scene = Scene::new();
    scene.visit();
    let actions = scene.take();
    assert_eq!(actions[..2], [hold(), Action::UpdateSwitches { mac: CLIENT }]);
    assert_eq!(transmits(&actions).len(), 1);
    assert_eq!(actions.len(), 3);
    assert_eq!(scene.state(), "registering");
}

#[test]
fn the_request_goes_out_as_the_client_would_send_it() {
    let mut scene = Scene::new();
    scene.visit();
    let actions = scene.take();
    let transmit = transmits(&actions)[0];
    let path = Path::Frame { interface: UPLINK, destination: FOREIGN_AGENT, source: Some(CLIENT) };
    assert_eq!(transmit.path, path);
    assert_eq!((transmit.source, transmit.source_port), (HOME, PORT));
    assert_eq!((transmit.destination, transmit.destination_port), (LOCAL_AGENT.0, 434));
    assert_eq!(transmit.ttl, 255);
    let (request, extensions) = RegistrationRequest::parse(&transmit.payload).unwrap();
    assert_eq!(request.flags.to_bits(), 0);
    assert_eq!(request.lifetime, Lifetime(600));
    assert_eq!(request.home_address, HomeAddress(HOME));
    assert_eq!(request.home_agent, HOME_AGENT);
    assert_eq!(request.care_of_address, CareOfAddress(LOCAL_AGENT.0));
    assert_eq!(request.identification.seconds(), scene.now.wall.seconds());
    let associations = config().associations;
    let verification = security::verify(&extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
        associations.lookup(request.home_address, spi)
    });
    assert!(verification.is_valid());
    assert_eq!(extensions.iter().count(), 1);
}

#[test]
fn an_accepted_visitor_is_forwarded_and_its_held_packets_are_released() {
    let mut scene = Scene::new();
    scene.visit();
    scene.take();
    scene.advance(milliseconds(30));
    scene.accept();
    assert_eq!(scene.take(), [forward(), Action::ReleaseHeld { mac: CLIENT }, Action::ClientChanged { mac: CLIENT }]);
    let status = scene.status();
    assert_eq!(status.state, "registered");
    assert_eq!(status.registered_in, Some(milliseconds(30)));
    assert_eq!(status.expires, Some(Instant(seconds(1600))), "counted from the request");
    assert_eq!(status.foreign_agent, Some(LOCAL_AGENT.0));
    assert_eq!(status.lifetime_granted, Some(Lifetime(600)));
    assert_eq!(status.last_code, Some(ReplyCode::ACCEPTED));
}

#[test]
fn code_1_is_full_success() {
    let mut scene = Scene::new();
    scene.visit();
    scene.deny(ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
    assert_eq!(scene.state(), "registered");
}

#[test]
fn no_more_than_advertised_is_asked_for() {
    let mut scene = Scene::new();
    scene.agent(Some(ForeignAgentInfo { registration_lifetime: Lifetime(120), ..foreign_agent() }));
    scene.visit();
    assert_eq!(scene.last_request().lifetime, Lifetime(120));
}

#[test]
fn the_reverse_tunnel_follows_policy_and_advertisement() {
    use ReverseTunnelPolicy::{Never, Require, WhenOffered};
    for (policy, offered, asked) in [
        (Never, true, Some(false)),
        (WhenOffered, false, Some(false)),
        (WhenOffered, true, Some(true)),
        (Require, true, Some(true)),
        (Require, false, None),
    ] {
        let mut scene = Scene::with(Config { reverse_tunnel: policy, ..config() });
        scene.agent(Some(if offered { tunnelling_agent() } else { foreign_agent() }));
        scene.visit();
        let sent = scene.requests.last().map(|(_, request)| request.flags.reverse_tunnel);
        assert_eq!(sent, asked, "{policy:?}, offered: {offered}");
        assert_eq!(scene.counters().no_reverse_tunnel, u64::from(asked.is_none()));
    }
}

#[test]
fn more_than_asked_for_is_not_believed() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = RegistrationReply { lifetime: Lifetime(7200), ..scene.reply(ReplyCode::ACCEPTED) };
    scene.deliver(&signed(&reply));
    assert_eq!(scene.status().lifetime_granted, Some(Lifetime(600)));
}

#[test]
fn a_registration_granted_for_no_time_at_all_is_none() {
    let mut scene = Scene::new();
    scene.visit();
    scene.take();
    let reply = RegistrationReply { lifetime: Lifetime(0), ..scene.reply(ReplyCode::ACCEPTED) };
    scene.deliver(&signed(&reply));
    assert_eq!(scene.take(), []);
    assert_eq!(scene.status().foreign_agent, None);
}

#[test]
fn a_request_is_repeated_after_one_two_four_seconds_with_a_fresh_identification() {
    let mut scene = Scene::new();
    scene.visit();
    scene.advance(seconds(40));
    assert_eq!(scene.sent_at(), [0, 1000, 3000, 7000, 15000, 31000]);
    for pair in scene.requests.windows(2) {
        assert!(pair[1].1.identification.since(pair[0].1.identification) > 0);
    }
    assert_eq!(scene.counters().retransmissions, 5);
    assert_eq!(scene.status().attempts, 6);
}

#[test]
fn the_first_wait_is_twice_the_round_trip_if_that_is_long() {
    let mut scene = Scene::new();
    scene.visit();
    scene.advance(milliseconds(900));
    scene.accept();
    scene.talk(seconds(600));
    assert_eq!(scene.sent_at(), [0, 540_000, 541_900, 545_700, 553_300, 568_500, 598_900]);
}

#[test]
fn no_wait_is_longer_than_the_requested_lifetime() {
    let mut scene = Scene::with(Config { registration_lifetime: Lifetime(10), ..config() });
    scene.visit();
    scene.advance(seconds(60));
    assert_eq!(scene.sent_at(), [0, 1000, 3000, 7000, 15000, 25000, 35000, 45000, 55000]);
}

#[test]
fn renewal_is_due_a_minute_before_expiry_but_not_before_half_time() {
    for (lifetime, renewed_at) in [(600, 540_000), (120, 60_000), (100, 50_000), (20, 10_000)] {
        let mut scene = Scene::with(Config { registration_lifetime: Lifetime(lifetime), ..config() });
        scene.visit();
        scene.accept();
        scene.talk(milliseconds(renewed_at - 1));
        assert_eq!(scene.sent_at(), [0], "lifetime {lifetime}");
        scene.talk(milliseconds(1));
        assert_eq!(scene.sent_at(), [0, renewed_at], "lifetime {lifetime}");
        assert_eq!(scene.state(), "renewing");
        scene.take();
        scene.accept();
        assert_eq!(scene.take(), [Action::ClientChanged { mac: CLIENT }], "the data path stays as it is");
        assert_eq!(scene.state(), "registered");
    }
}

#[test]
fn an_infinite_registration_needs_no_renewal() {
    let mut scene = Scene::with(Config { registration_lifetime: Lifetime::INFINITE, ..config() });
    scene.agent(Some(ForeignAgentInfo { registration_lifetime: Lifetime::INFINITE, ..foreign_agent() }));
    scene.visit();
    scene.accept();
    scene.advance(seconds(100_000));
    assert_eq!(scene.status().expires, None);
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_registration_that_nobody_renews_expires_and_the_client_is_held_again() {
    let mut scene = Scene::registered();
    scene.talk(seconds(601));
    assert_eq!(scene.counters().expired, 1);
    assert_eq!(scene.state(), "registering");
    let effects = effects(scene.take());
    assert_eq!(effects, [Action::ClientChanged { mac: CLIENT }, hold()]);
    scene.talk(seconds(10));
    scene.accept();
    assert!(scene.take().contains(&forward()));
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_visitor_without_home_agent_or_association_is_left_alone_and_tried_again_later() {
    for (address, counter) in [([10, 9, 0, 5], "no_home_agent"), ([10, 8, 0, 5], "no_association")] {
        let mut scene = Scene::new();
        let visit = Event::Visitor { interface: RADIO, mac: CLIENT, address: address.into() };
        scene.event(visit);
        assert_eq!(scene.take(), [Action::DropHeld { mac: CLIENT }]);
        assert_eq!(scene.state(), "unserved");
        scene.advance(seconds(1));
        scene.event(visit);
        let counted = |scene: &Scene| scene.counters().iter().find(|count| count.name == counter).unwrap().value;
        assert_eq!(counted(&scene), 1, "not looked up with every frame");
        scene.take();
        scene.advance(seconds(30));
        assert_eq!(scene.take(), [Action::ForgetSeen { mac: CLIENT }], "its next frame is reported again");
        assert_eq!(scene.state(), "gone");
        assert_eq!(scene.requests.len(), 0);
    }
}

#[test]
fn a_new_subnet_map_serves_those_that_it_was_missing_for() {
    let mut scene = Scene::with(Config { subnet_map: SubnetMap::default(), ..config() });
    scene.visit();
    assert_eq!(scene.state(), "unserved");
    scene.drive(|proxy, now, actions| proxy.subnet_map_changed(now, config().subnet_map, actions));
    assert_eq!(scene.state(), "registering");
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_visitor_waits_two_seconds_for_a_foreign_agent() {
    let mut scene = Scene::new();
    scene.agent(None);
    scene.visit();
    assert_eq!(scene.take(), [hold(), Action::UpdateSwitches { mac: CLIENT }, Action::Solicit]);
    scene.advance(milliseconds(1900));
    assert_eq!(scene.state(), "awaiting_agent");
    scene.speak();
    scene.agent(Some(foreign_agent()));
    assert_eq!(scene.requests.len(), 1);

    let mut scene = Scene::new();
    scene.agent(None);
    scene.visit();
    scene.take();
    scene.advance(seconds(2));
    assert_eq!(scene.take(), [Action::RemoveStation { mac: CLIENT }, Action::DropHeld { mac: CLIENT }]);
    assert_eq!(scene.counters().no_foreign_agent, 1);
    scene.agent(Some(foreign_agent()));
    assert_eq!(scene.state(), "registering", "it was heard just now");
}

#[test]
fn a_foreign_agent_that_comes_late_serves_those_who_speak_then() {
    let mut scene = Scene::new();
    scene.agent(None);
    scene.visit();
    scene.advance(seconds(10));
    scene.take();
    scene.agent(Some(foreign_agent()));
    assert_eq!(scene.take(), [Action::ForgetSeen { mac: CLIENT }]);
    assert_eq!(scene.requests.len(), 0, "the client may be elsewhere");
}

#[test]
fn another_foreign_agent_gets_a_registration_and_the_old_one_serves_until_then() {
    let mut scene = Scene::registered();
    let mac = MacAddress([2, 0, 0, 0, 0, 0xfb]);
    let care_of_addresses = vec![CareOfAddress(Ipv4Addr::new(10, 2, 0, 2))];
    let other = ForeignAgentInfo { address: Ipv4Addr::new(10, 2, 0, 2), mac, care_of_addresses, ..foreign_agent() };
    scene.agent(Some(other));
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(effects(scene.take()), []);
    scene.accept();
    let forward = set(forwarded_to(mac));
    assert_eq!(scene.take(), [forward, Action::ClientChanged { mac: CLIENT }]);
}

#[test]
fn a_rebooted_foreign_agent_gets_a_new_registration() {
    let mut scene = Scene::registered();
    scene.agent(Some(ForeignAgentInfo { reboots: 1, ..foreign_agent() }));
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(scene.counters().agent_reboots, 1);
}

#[test]
fn more_advertisements_of_the_same_agent_change_nothing() {
    let mut scene = Scene::registered();
    for _ in 0..5 {
        scene.advance(milliseconds(100));
        scene.agent(Some(foreign_agent()));
    }
    assert_eq!(scene.take(), []);
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_lost_foreign_agent_does_not_end_a_registration_and_the_renewal_waits_for_it() {
    let mut scene = Scene::registered();
    scene.agent(None);
    scene.talk(seconds(550));
    assert_eq!(scene.state(), "registered");
    assert_eq!(scene.requests.len(), 1);
    scene.agent(Some(foreign_agent()));
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 2);
}

#[test]
fn many_clients_do_not_register_with_a_rebooted_agent_all_at_once() {
    let mut scene = Scene::new();
    for last in 1..=10 {
        let mac = MacAddress([2, 0, 0, 0, 1, last]);
        scene.event(Event::Visitor { interface: RADIO, mac, address: [10, 1, 0, last].into() });
        scene.accept();
    }
    scene.agent(Some(ForeignAgentInfo { reboots: 1, ..foreign_agent() }));
    scene.advance(milliseconds(100));
    let times: Vec<_> = scene.sent_at()[10..].to_vec();
    assert_eq!(times, (0..10).map(|place| place * 5).collect::<Vec<_>>());
}
