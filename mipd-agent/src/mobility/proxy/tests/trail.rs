//! Why did her call drop? What an operator finds in a client's trail.

use super::*;
use crate::mobility::proxy::{Departure, NoticedBy, Step};

/// The trail's steps, each without its numbers.
fn story(scene: &Scene) -> Vec<&'static str> {
    let trail = scene.proxy.trails().of(CLIENT).expect("a trail");
    trail.entries().map(|entry| name(&entry.step)).collect()
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Noticed { is_local: false, .. } => "noticed abroad",
        Step::Noticed { is_local: true, .. } => "noticed at home",
        Step::Returned => "returned",
        Step::AssociationAsked => "association asked",
        Step::AssociationTold => "association told",
        Step::HomeAgentFound { .. } => "home agent found",
        Step::Unserved { reason } => reason,
        Step::AgentAwaited => "agent awaited",
        Step::AgentChanged { .. } => "agent changed",
        Step::Dismissed { .. } => "dismissed",
        Step::Requested { is_repeated: false, .. } => "requested",
        Step::Requested { is_repeated: true, .. } => "requested again",
        Step::Answered { code, .. } if code.is_accepted() => "accepted",
        Step::Answered { code, .. } => code.meaning(),
        Step::Forwarded { .. } => "forwarded",
        Step::Renewed { .. } => "renewed",
        Step::HeldReleased { .. } => "held packets released",
        Step::HeldDropped { .. } => "held packets dropped",
        Step::Expired => "expired",
        Step::Asked { .. } => "asked",
        Step::Announced => "announced",
        Step::AtHome { .. } => "at home",
        Step::Gone { why: Departure::Silent } => "gone silent",
        Step::Gone { why: Departure::Moved } => "gone elsewhere",
        Step::Gone { .. } => "gone",
    }
}

#[test]
fn a_visit_is_told_from_the_first_packet_to_the_departure() {
    let mut scene = Scene::new();
    scene.visit();
    scene.advance(milliseconds(8));
    scene.accept();
    scene.proxy.held_released(scene.now, CLIENT, 3);
    let begin = ["noticed abroad", "home agent found", "requested", "accepted", "forwarded", "held packets released"];
    assert_eq!(story(&scene), begin);
    scene.event(Event::Moved { mac: CLIENT });
    assert_eq!(story(&scene), [&begin[..], &["gone elsewhere"]].concat(), "and is kept when the client is gone");

    let trail = scene.proxy.trails().of(CLIENT).unwrap();
    let entries: Vec<_> = trail.entries().collect();
    let Step::Noticed { by: NoticedBy::Use, interface: RADIO, address: HomeAddress(HOME), .. } = entries[0].step else {
        panic!("{:?}", entries[0]);
    };
    let Step::Answered { round_trip, .. } = entries[3].step else { panic!("{:?}", entries[3]) };
    assert_eq!(round_trip, milliseconds(8));
    assert!(entries[3].wall.since(entries[2].wall) > 0);
}

#[test]
fn a_client_that_falls_silent_was_asked_three_times() {
    let mut scene = Scene::registered();
    scene.attached = false;
    scene.advance(seconds(10));
    let told = story(&scene);
    assert_eq!(told[told.len() - 2..], ["asked", "gone silent"], "{told:?}");
    let asked = scene.proxy.trails().of(CLIENT).unwrap().entries().find_map(|entry| match entry.step {
        Step::Asked { times } => Some(times),
        _ => None,
    });
    assert_eq!(asked, Some(3));
}

#[test]
fn an_hour_of_an_idle_client_leaves_one_step() {
    let mut scene = Scene::registered();
    let before = story(&scene).len();
    for _ in 0..6 {
        let renewal = scene.requests.len();
        while scene.requests.len() == renewal {
            scene.advance(seconds(10));
        }
        scene.accept();
    }
    let told = story(&scene);
    assert_eq!(told[before..], ["renewed"], "{told:?}");
}

#[test]
fn who_cannot_be_served_is_told_why() {
    let mut scene = Scene::new();
    scene.event(Event::Visitor { interface: RADIO, mac: CLIENT, address: [10, 7, 0, 9].into() });
    scene.proxy.held_dropped(scene.now, CLIENT, 1);
    assert_eq!(story(&scene), ["noticed abroad", "no home agent in the subnet map", "held packets dropped"]);
}

#[test]
fn a_client_that_comes_home_is_announced_first_and_then_deregistered() {
    let mut scene = Scene::new();
    scene.come_home();
    scene.accept();
    assert_eq!(story(&scene), ["noticed at home", "announced", "requested", "accepted", "at home"]);
}
