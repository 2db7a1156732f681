//! Whether the client is still there, and what happens when it is not.

use super::*;

fn probes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::ProbeAttachment { .. })).count()
}

fn dismissal() -> [Action; 4] {
    [
        Action::RemoveStation { mac: CLIENT },
        Action::ForgetSeen { mac: CLIENT },
        Action::ClientChanged { mac: CLIENT },
        Action::DropHeld { mac: CLIENT },
    ]
}

#[test]
fn a_silent_client_is_asked_after_a_second_in_its_home_agents_name() {
    let mut scene = Scene::registered();
    scene.attached = false;
    scene.advance(milliseconds(999));
    assert_eq!(scene.take(), []);
    scene.advance(milliseconds(1));
    let probe = Action::ProbeAttachment {
        mac: CLIENT,
        interface: RADIO,
        address: HomeAddress(HOME),
        sender_address: HOME_AGENT.0,
    };
    assert_eq!(scene.take(), [probe]);
}

#[test]
fn a_client_that_leaves_three_questions_unanswered_is_forgotten_silently() {
    let mut scene = Scene::registered();
    scene.attached = false;
    scene.advance(milliseconds(3999));
    assert_eq!(probes(&scene.take()), 3);
    scene.advance(milliseconds(1));
    assert_eq!(scene.take(), dismissal());
    assert_eq!(scene.requests.len(), 1, "no deregistration, ever");
    assert_eq!(scene.counters().departed, 1);
    assert_eq!(scene.proxy.poll_timeout(), None);
}

#[test]
fn an_answering_client_is_asked_ever_less_often() {
    let mut scene = Scene::registered();
    scene.advance(seconds(500));
    let count = probes(&scene.take());
    assert!((10..=14).contains(&count), "{count}");
    assert_eq!(scene.state(), "registered");
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_talking_client_is_never_asked() {
    let mut scene = Scene::registered();
    scene.talk(seconds(100));
    assert_eq!(scene.take(), []);
}

#[test]
fn no_renewal_is_sent_for_a_client_that_does_not_answer_first() {
    let mut scene = Scene::registered();
    scene.advance(seconds(530));
    scene.take();
    scene.attached = false;
    scene.advance(seconds(60));
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_silent_but_attached_client_is_asked_and_then_renewed() {
    let mut scene = Scene::registered();
    scene.advance(seconds(540));
    assert_eq!(scene.sent_at(), [0, 540_000]);
    let actions = scene.take();
    let last_probe = actions.iter().rposition(|action| matches!(action, Action::ProbeAttachment { .. })).unwrap();
    assert!(matches!(actions[last_probe + 1], Action::Send(_)), "the answer triggers the request");
}

#[test]
fn no_retransmission_is_sent_for_a_client_that_has_gone() {
    let mut scene = Scene::new();
    scene.visit();
    scene.attached = false;
    scene.advance(seconds(30));
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.state(), "gone");
    assert!(scene.take().contains(&Action::DropHeld { mac: CLIENT }));
}

#[test]
fn a_client_behind_another_access_point_is_forgotten_silently() {
    let mut scene = Scene::registered();
    scene.event(Event::Moved { mac: CLIENT });
    assert_eq!(scene.take(), dismissal());
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.counters().moved, 1);
    scene.visit();
    assert_eq!(scene.requests.len(), 2, "when it comes back it is registered at once");
}

#[test]
fn a_client_that_disassociates_is_forgotten_silently() {
    let mut scene = Scene::registered();
    scene.event(Event::Left { mac: CLIENT });
    assert_eq!(scene.take(), dismissal());
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_client_that_returns_from_an_unwatched_absence_is_registered_again_while_forwarded() {
    let mut scene = Scene::registered();
    scene.advance(seconds(20));
    scene.take();
    scene.attached = false;
    scene.advance(milliseconds(2500));
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    let actions = scene.take();
    assert_eq!(transmits(&actions).len(), 1);
    assert_eq!(effects(actions), [Action::UpdateSwitches { mac: CLIENT }]);
    assert_eq!(scene.status().foreign_agent, Some(LOCAL_AGENT.0), "the registration in force stays");
}

#[test]
fn a_client_that_missed_a_question_is_registered_again() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.attached = false;
    scene.advance(milliseconds(1500));
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    assert_eq!(scene.sent_at(), [0, 11_500]);
}

#[test]
fn the_kernels_time_stamp_alone_gives_a_return_away() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.attached = false;
    scene.advance(milliseconds(1700));
    scene.speak();
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    assert_eq!(scene.sent_at(), [0, 11_700], "once, whichever news comes first");
}

#[test]
fn a_client_that_answered_during_its_silence_is_not_registered_again() {
    let mut scene = Scene::registered();
    for _ in 0..20 {
        scene.advance(milliseconds(1900));
        scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    }
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn a_client_that_comes_back_right_after_a_question_that_it_missed_is_registered_again() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.attached = false;
    scene.advance(milliseconds(1100));
    scene.attached = true;
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    scene.advance(milliseconds(200));
    assert_eq!(scene.sent_at(), [0, 11_300]);
}

#[test]
fn an_answer_that_is_first_reported_as_a_return_causes_no_registration() {
    let mut scene = Scene::registered();
    scene.attached = false;
    for _ in 0..10 {
        let due = scene.proxy.poll_timeout().unwrap();
        scene.advance(due.since(scene.now.instant));
        scene.advance(milliseconds(4));
        scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
        scene.event(Event::Attached { mac: CLIENT });
    }
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn returns_cause_at_most_one_registration_in_five_seconds_but_none_is_dropped() {
    let mut scene = Scene::registered();
    scene.attached = false;
    for _ in 0..10 {
        scene.advance(milliseconds(1600));
        scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
        if scene.state() == "renewing" {
            scene.accept();
        }
    }
    for pair in scene.sent_at().windows(2) {
        assert!(pair[1] - pair[0] >= 5000, "{:?}", scene.sent_at());
    }
    let before = scene.requests.len();
    assert!(before >= 3, "{:?}", scene.sent_at());
    scene.attached = true;
    for _ in 0..12 {
        scene.talk(milliseconds(500));
        if scene.state() == "renewing" {
            scene.accept();
        }
    }
    assert_eq!(scene.requests.len(), before + 1, "the last return's registration was only put off");
}

#[test]
fn a_client_that_returns_before_it_is_registered_is_not_made_to_wait() {
    let mut scene = Scene::new();
    scene.visit();
    scene.attached = false;
    scene.advance(milliseconds(1500));
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    assert_eq!(scene.sent_at(), [0, 1500], "the retransmission was due, but the client not there");
}

#[test]
fn a_return_during_a_registration_is_not_forgotten() {
    let mut scene = Scene::new();
    scene.visit();
    scene.talk(seconds(1));
    scene.attached = false;
    scene.advance(milliseconds(1500));
    scene.event(Event::Returned { mac: CLIENT, interface: RADIO });
    scene.accept();
    scene.talk(milliseconds(4000));
    assert_eq!(scene.sent_at(), [0, 1000, 6000], "the answered request may have been overtaken elsewhere");
}

#[test]
fn a_client_on_another_radio_of_the_same_access_point_is_followed_without_a_registration() {
    let mut scene = Scene::registered();
    scene.advance(milliseconds(200));
    scene.event(Event::Visitor { interface: OTHER_RADIO, mac: CLIENT, address: HOME });
    let station = forwarded_to(FOREIGN_AGENT);
    assert_eq!(scene.take(), [Action::SetStation { mac: CLIENT, station, interface: OTHER_RADIO }]);
    assert_eq!(scene.requests.len(), 1);
}

/// On the other radio, 10.1.0.0/16 is another home network.
fn two_networks() -> (Config, HomeAgentAddress) {
    let other_agent = HomeAgentAddress(Ipv4Addr::new(10, 1, 2, 1));
    let map = SubnetMap::from_entries([(other_agent, Ipv4Addr::new(255, 255, 0, 0))]).unwrap();
    (Config { radio_subnet_maps: [(OTHER_RADIO, map)].into(), ..config() }, other_agent)
}

#[test]
fn clients_with_the_same_address_on_radios_of_different_home_networks_have_different_home_agents() {
    let (config, other_agent) = two_networks();
    let mut scene = Scene::with(config);
    scene.visit();
    assert_eq!(scene.last_request().home_agent, HOME_AGENT);
    let mac = MacAddress([2, 0, 0, 0, 0, 0x11]);
    scene.event(Event::Visitor { interface: OTHER_RADIO, mac, address: HOME });
    assert_eq!(scene.last_request().home_agent, other_agent, "though the other entry's prefix is longer");
    assert_eq!(scene.proxy.clients().count(), 2);
}

#[test]
fn a_client_that_changes_to_the_radio_of_another_home_network_is_noticed_anew() {
    for returned in [false, true] {
        let (config, other_agent) = two_networks();
        let mut scene = Scene::with(config);
        scene.visit();
        scene.accept();
        scene.take();
        let visitor = Event::Visitor { interface: OTHER_RADIO, mac: CLIENT, address: HOME };
        scene.event(if returned { Event::Returned { interface: OTHER_RADIO, mac: CLIENT } } else { visitor });
        assert!(scene.take().contains(&Action::RemoveStation { mac: CLIENT }));
        assert_eq!((scene.requests.len(), scene.proxy.clients().count()), (1, 0));
        scene.event(visitor);
        assert_eq!(scene.last_request().home_agent, other_agent);
    }
}

#[test]
fn a_visitor_that_is_reported_twice_is_registered_once() {
    let mut scene = Scene::new();
    scene.visit();
    scene.take();
    scene.visit();
    assert_eq!(scene.take(), []);
}
