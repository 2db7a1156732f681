//! A client at home.

use super::*;

fn tell_gateway() -> Action {
    Action::TellClientGateway {
        mac: CLIENT,
        interface: RADIO,
        client_address: HomeAddress(LOCAL),
        gateway_address: LOCAL_AGENT,
        gateway_mac: HOME_AGENT_MAC,
    }
}

fn at_home() -> Scene {
    let mut scene = Scene::new();
    scene.come_home();
    scene.accept();
    scene.take();
    scene
}

fn home_agent_announces(scene: &mut Scene, mac: MacAddress) {
    scene.event(Event::Announced { mac, address: LOCAL });
}

#[test]
fn a_client_that_comes_home_is_announced_and_told_its_gateway_before_it_is_deregistered() {
    let mut scene = Scene::new();
    scene.come_home();
    let actions = scene.take();
    let announcement = Action::AnnounceOnUplink { mac: CLIENT, address: HomeAddress(LOCAL) };
    let listen = Action::ForgetSeen { mac: HOME_AGENT_MAC };
    assert_eq!(actions[..4], [set(StationState::Local), announcement, tell_gateway(), listen]);
    assert_eq!(actions.len(), 5);
    let transmit = transmits(&actions)[0];
    let path = Path::Frame { interface: UPLINK, destination: HOME_AGENT_MAC, source: Some(CLIENT) };
    assert_eq!(transmit.path, path);
    assert_eq!((transmit.source, transmit.destination, transmit.ttl), (LOCAL, LOCAL_AGENT.0, 255));
    let request = scene.last_request();
    assert_eq!(request.lifetime, Lifetime::DEREGISTER);
    assert_eq!(request.care_of_address.0, LOCAL);
    assert_eq!(request.home_address.0, LOCAL);
    assert_eq!(request.home_agent, LOCAL_AGENT);
    assert_eq!(scene.state(), "returning");
}

#[test]
fn an_accepted_deregistration_settles_the_client_and_nothing_is_sent_any_more() {
    let mut scene = Scene::new();
    scene.come_home();
    scene.take();
    scene.accept();
    assert_eq!(scene.take(), [Action::ClientChanged { mac: CLIENT }]);
    assert_eq!(scene.state(), "at_home");
    scene.talk(seconds(1000));
    assert_eq!(scene.take(), []);
}

#[test]
fn a_client_at_home_that_is_behind_another_access_point_is_let_go_silently() {
    for settled in [false, true] {
        let mut scene = Scene::new();
        scene.come_home();
        if settled {
            scene.accept();
        }
        scene.take();
        let before = scene.requests.len();
        scene.event(Event::Moved { mac: CLIENT });
        let actions = scene.take();
        assert_eq!(actions[..2], [Action::RemoveStation { mac: CLIENT }, Action::ForgetSeen { mac: CLIENT }]);
        scene.advance(seconds(1000));
        assert_eq!(scene.requests.len(), before, "whoever has the client speaks for it now");
        scene.come_home();
        assert_eq!(scene.requests.len(), before + 1, "and when it is back, it is announced and deregistered again");
    }
}

#[test]
fn a_local_client_without_association_is_nobodys_business() {
    let mut scene = Scene::new();
    scene.event(Event::Local { interface: RADIO, mac: CLIENT, address: [10, 2, 0, 200].into() });
    assert_eq!(scene.take(), []);
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_local_client_whose_home_agent_is_elsewhere_is_nobodys_business() {
    let own_subnets = vec!["10.2.0.0/24".parse().unwrap(), "10.1.0.96/27".parse().unwrap()];
    let mut scene = Scene::with(Config { own_subnets, ..config() });
    scene.event(Event::Local { interface: RADIO, mac: CLIENT, address: HOME });
    assert_eq!(scene.take(), []);
}

#[test]
fn the_deregistration_is_repeated_until_accepted() {
    let mut scene = Scene::new();
    scene.come_home();
    scene.talk(seconds(16));
    assert_eq!(scene.sent_at(), [0, 1000, 3000, 7000, 15000]);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn a_deregistration_is_not_repeated_for_a_client_that_has_gone() {
    let mut scene = Scene::new();
    scene.come_home();
    scene.advance(seconds(30));
    assert_eq!(scene.sent_at(), [0, 1000], "while it was heard within three seconds");
    assert_eq!(scene.state(), "gone");
    assert!(scene.take().contains(&Action::ForgetSeen { mac: CLIENT }));
}

#[test]
fn a_mismatch_at_home_is_resynchronised() {
    let mut scene = Scene::new();
    scene.come_home();
    let reply = scene.reply(ReplyCode::HA_IDENTIFICATION);
    let identification = Identification((7777 << 32) | u64::from(reply.identification.low()));
    scene.deliver(&signed(&RegistrationReply { identification, ..reply }));
    assert_eq!(scene.sent_at(), [0, 0]);
    assert_eq!(scene.last_request().identification.seconds(), 7777);
}

#[test]
fn a_foreign_agents_code_means_nothing_at_home() {
    let mut scene = Scene::new();
    scene.come_home();
    scene.deny(ReplyCode::FA_PROHIBITED);
    scene.talk(seconds(2));
    assert_eq!(scene.sent_at(), [0, 1000]);
}

#[test]
fn a_return_waits_for_the_home_agents_first_advertisement() {
    let mut scene = Scene::new();
    scene.drive(|proxy, now, actions| proxy.agents_changed(now, vec![], vec![], actions));
    scene.come_home();
    assert_eq!(scene.take(), [set(StationState::Local)]);
    scene.advance(milliseconds(800));
    scene.agent(None);
    assert_eq!(scene.requests.len(), 1);
    assert!(scene.take().contains(&tell_gateway()));
}

#[test]
fn a_client_that_registers_elsewhere_is_forgotten_and_noticed_when_it_comes_back() {
    let mut scene = at_home();
    home_agent_announces(&mut scene, HOME_AGENT_MAC);
    assert_eq!(
        scene.take(),
        [
            Action::RemoveStation { mac: CLIENT },
            Action::ForgetSeen { mac: CLIENT },
            Action::ClientChanged { mac: CLIENT }
        ]
    );
    assert_eq!(scene.state(), "away");
    scene.advance(seconds(20));
    scene.come_home();
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(scene.state(), "returning");
}

#[test]
fn after_an_interruption_of_the_uplink_a_client_at_home_is_asked_and_deregistered_again_if_it_is_there() {
    let mut scene = at_home();
    scene.drive(Proxy::link_changed);
    let forgotten = [
        Action::RemoveStation { mac: CLIENT },
        Action::ForgetSeen { mac: CLIENT },
        Action::ClientChanged { mac: CLIENT },
    ];
    let actions = scene.take();
    assert_eq!(actions[..3], forgotten);
    assert_eq!(actions[3..], [tell_gateway()], "its answer has it noticed again");
    scene.advance(seconds(10));
    assert_eq!((scene.requests.len(), scene.take()), (1, vec![]), "one that has gone is left alone");
    scene.come_home();
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn an_interruption_of_the_uplink_is_nothing_to_a_visitor() {
    let mut scene = Scene::registered();
    scene.drive(Proxy::link_changed);
    assert_eq!(scene.take(), []);
    assert_eq!(scene.state(), "registered");
}

#[test]
fn the_home_agents_announcement_of_the_return_is_not_taken_for_a_departure() {
    let mut scene = at_home();
    home_agent_announces(&mut scene, CLIENT);
    assert_eq!(scene.take(), []);
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn a_late_announcement_of_the_earlier_absence_only_causes_another_deregistration() {
    let mut scene = Scene::new();
    scene.come_home();
    home_agent_announces(&mut scene, HOME_AGENT_MAC);
    scene.take();
    scene.come_home();
    assert_eq!(scene.requests.len(), 2);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn announcements_cannot_make_the_access_point_flood_the_home_agent() {
    let mut scene = at_home();
    for _ in 0..100 {
        scene.advance(milliseconds(100));
        home_agent_announces(&mut scene, MacAddress([2, 0, 0, 0, 0, 0x66]));
        scene.come_home();
    }
    assert!(scene.requests.len() <= 13, "{}", scene.requests.len());
}

#[test]
fn an_announcement_of_a_visitors_address_is_a_conflict_and_ends_nothing() {
    let mut scene = Scene::registered();
    scene.event(Event::Announced { mac: MacAddress([2, 0, 0, 0, 0, 0x66]), address: HOME });
    assert_eq!(scene.take(), []);
    assert_eq!(scene.counters().address_conflicts, 1);
}

#[test]
fn a_client_at_home_that_was_silent_for_long_counts_as_new() {
    let mut scene = at_home();
    scene.talk(seconds(400));
    scene.advance(seconds(299));
    assert_eq!(scene.state(), "at_home");
    scene.advance(seconds(2));
    assert_eq!(scene.state(), "gone");
    assert!(scene.take().contains(&Action::ForgetSeen { mac: CLIENT }));
}

#[test]
fn a_visitor_with_a_local_address_has_become_local_and_its_registration_ends() {
    let mut scene = Scene::registered();
    scene.event(Event::Local { interface: RADIO, mac: CLIENT, address: [10, 2, 0, 200].into() });
    let actions = scene.take();
    assert!(actions.contains(&Action::RemoveStation { mac: CLIENT }));
    assert!(actions.contains(&Action::ClientChanged { mac: CLIENT }));
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    assert_eq!(scene.counters().turned_local, 1);
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_visitor_that_gives_its_address_up_is_deregistered_at_its_care_of_address() {
    let mut scene = Scene::registered();
    let registered = scene.last_request();
    scene.event(Event::Surrendered { mac: CLIENT });
    assert!(scene.take().contains(&Action::RemoveStation { mac: CLIENT }));
    let request = scene.last_request();
    assert_eq!(request.lifetime, Lifetime::DEREGISTER);
    assert_eq!((request.home_address, request.care_of_address), (registered.home_address, registered.care_of_address));
    assert_eq!((scene.counters().surrendered, scene.state()), (1, "gone"));
}

#[test]
fn an_address_given_up_right_after_two_requests_is_deregistered_all_the_same() {
    let mut scene = Scene::registered();
    scene.agent([ForeignAgentInfo { reboots: 1, ..foreign_agent() }]);
    scene.advance(milliseconds(1));
    scene.accept();
    let requests = scene.requests.len();
    assert_eq!(requests, 2);
    scene.event(Event::Surrendered { mac: CLIENT });
    assert_eq!((scene.requests.len(), scene.last_request().lifetime), (requests + 1, Lifetime::DEREGISTER));
}

#[test]
fn one_that_was_never_registered_gives_its_address_up_in_silence() {
    let mut scene = Scene::new();
    scene.visit();
    let requests = scene.requests.len();
    scene.event(Event::Surrendered { mac: CLIENT });
    assert_eq!((scene.requests.len(), scene.state()), (requests, "gone"));
}

#[test]
fn a_client_at_home_has_no_visitors_address_to_give_up() {
    let mut scene = at_home();
    scene.event(Event::Surrendered { mac: CLIENT });
    assert_eq!((scene.counters().surrendered, scene.state()), (0, "at_home"));
}
