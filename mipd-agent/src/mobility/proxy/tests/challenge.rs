//! Foreign agents that challenge (RFC 4721).

use super::*;
use crate::{
    mobility::security,
    wire::{authentication, challenge},
};

fn challenging() -> ForeignAgentInfo {
    ForeignAgentInfo { challenge: Some(vec![1; 8]), ..foreign_agent() }
}

fn with_aaa_key(config: Config) -> Config {
    let entries = [("10.1.0.0/24".parse().unwrap(), association(500))];
    Config { mobile_aaa: Arc::new(MobileHomeAssociations::new(entries).unwrap()), ..config }
}

fn scene(config: Config) -> Scene {
    let mut scene = Scene::with(config);
    scene.agent(Some(challenging()));
    scene.visit();
    scene
}

fn echoed(scene: &Scene) -> Option<u8> {
    let message = last_message(scene);
    let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
    challenge::find(&extensions).map(|challenge| challenge.data[0])
}

/// A reply of the foreign agent that brings a fresh challenge.
fn with_challenge(mut payload: Vec<u8>, byte: u8) -> Vec<u8> {
    challenge::append_challenge(&mut payload, &[byte; 8]);
    payload
}

fn hear(scene: &mut Scene, byte: u8) {
    scene.drive(|proxy, now, actions| proxy.challenge_heard(now, LOCAL_AGENT.0, &[byte; 8], actions));
}

#[test]
fn a_challenge_is_echoed_with_what_authenticates_it() {
    let aaa = scene(with_aaa_key(config()));
    let message = last_message(&aaa);
    assert_eq!(extension_kinds(&message), [32, 132, 36]);
    let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
    let last = extensions.iter().last().unwrap();
    assert_eq!(last.long_subtype(), authentication::MOBILE_AAA);
    assert!(authentication::verify(&message, &last, Algorithm::HmacMd5, &key()));
    let home_key = association(SPI);
    assert!(security::verify(&extensions, kind::MOBILE_HOME_AUTHENTICATION, |_| Some(&home_key)).is_valid());

    let foreign = scene(with_foreign_key(with_aaa_key(config())));
    assert_eq!(extension_kinds(&last_message(&foreign)), [32, 132, 33], "the foreign agent checks it itself");
}

#[test]
fn a_challenge_that_nothing_could_authenticate_is_not_echoed() {
    let mut scene = scene(config());
    assert_eq!(extension_kinds(&last_message(&scene)), [32]);
    scene.deny(ReplyCode::FA_MISSING_CHALLENGE);
    assert_eq!((scene.state(), scene.requests.len()), ("denied", 1));
}

#[test]
fn an_agent_that_does_not_challenge_gets_no_echo() {
    let mut scene = Scene::with(with_aaa_key(config()));
    scene.visit();
    assert_eq!(extension_kinds(&last_message(&scene)), [32]);
}

#[test]
fn the_challenge_in_a_denial_is_taken_at_once() {
    for code in [ReplyCode::FA_UNKNOWN_CHALLENGE, ReplyCode::FA_MISSING_CHALLENGE, ReplyCode::FA_STALE_CHALLENGE] {
        for config in [with_aaa_key(config()), with_foreign_key(config())] {
            let has_key = config.mobile_foreign.covers(LOCAL_AGENT.0);
            let mut scene = scene(config);
            let mut denial = with_challenge(plain(&scene.reply(code)), 7);
            if has_key {
                foreign_key().sign(&mut denial, kind::MOBILE_FOREIGN_AUTHENTICATION);
            }
            scene.deliver(&denial);
            assert_eq!(scene.sent_at(), [0, 0], "{code}");
            assert_eq!(echoed(&scene), Some(7), "{code}");
        }
    }
}

#[test]
fn without_a_challenge_in_the_denial_the_agent_is_asked_for_one() {
    for code in [ReplyCode::FA_UNKNOWN_CHALLENGE, ReplyCode::FA_STALE_CHALLENGE] {
        let mut scene = scene(with_aaa_key(config()));
        scene.take();
        scene.deny(code);
        assert_eq!(scene.take(), [Action::Solicit], "{code}");
        hear(&mut scene, 1);
        scene.advance(milliseconds(1));
        assert_eq!(scene.requests.len(), 1, "{code}: the same one again is of no use");
        hear(&mut scene, 2);
        scene.advance(milliseconds(1));
        assert_eq!(scene.requests.len(), 2, "{code}");
        assert_eq!(echoed(&scene), Some(2));
    }
}

#[test]
fn an_agent_that_demands_a_challenge_but_never_makes_one_is_asked_ever_less_often() {
    let mut scene = Scene::with(with_aaa_key(config()));
    scene.visit();
    scene.take();
    scene.deny(ReplyCode::FA_MISSING_CHALLENGE);
    scene.talk(seconds(60));
    let asked = scene.take().iter().filter(|action| **action == Action::Solicit).count();
    assert!((4..=7).contains(&asked), "{asked}");
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn the_next_request_echoes_the_challenge_of_the_last_reply() {
    let mut scene = scene(with_aaa_key(config()));
    assert_eq!(echoed(&scene), Some(1));
    scene.deliver(&with_challenge(signed(&scene.reply(ReplyCode::ACCEPTED)), 9));
    assert_eq!(scene.state(), "registered");
    scene.talk(seconds(540));
    assert_eq!(echoed(&scene), Some(9));
}

#[test]
fn an_unanswered_request_is_repeated_with_its_challenge_or_a_newer_one() {
    let mut scene = scene(with_aaa_key(config()));
    scene.talk(seconds(1));
    assert_eq!((scene.requests.len(), echoed(&scene)), (2, Some(1)), "still pending at the foreign agent");
    hear(&mut scene, 2);
    scene.talk(seconds(2));
    assert_eq!((scene.requests.len(), echoed(&scene)), (3, Some(2)));
}

#[test]
fn each_client_may_use_an_advertised_challenge() {
    let mut scene = scene(with_aaa_key(config()));
    let mac = MacAddress([2, 0, 0, 0, 0, 0x11]);
    scene.event(Event::Visitor { interface: RADIO, mac, address: [10, 1, 0, 101].into() });
    assert_eq!((scene.requests.len(), echoed(&scene)), (2, Some(1)));
}
