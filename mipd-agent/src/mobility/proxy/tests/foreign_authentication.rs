//! Mobile-foreign authentication (RFC 5944 §3.5.3).

use super::*;
use crate::mobility::security;

fn scene() -> Scene {
    let mut scene = Scene::with(with_foreign_key(config()));
    scene.visit();
    scene
}

fn double_signed(reply: &RegistrationReply) -> Vec<u8> {
    let mut payload = if reply.code.is_from_home_agent() { signed(reply) } else { plain(reply) };
    foreign_key().sign(&mut payload, kind::MOBILE_FOREIGN_AUTHENTICATION);
    payload
}

#[test]
fn a_request_ends_with_the_authentication_for_the_foreign_agent() {
    let scene = scene();
    let message = last_message(&scene);
    assert_eq!(extension_kinds(&message), [32, 33]);
    let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
    let key = foreign_key();
    assert!(security::verify(&extensions, kind::MOBILE_FOREIGN_AUTHENTICATION, |_| Some(&key)).is_valid());
}

#[test]
fn only_agents_that_we_share_something_with_get_it() {
    let entries = [(Peer::Address(Ipv4Addr::new(10, 2, 0, 9)), foreign_key())];
    let mobile_foreign = Arc::new(PeerAssociations::new(entries).unwrap());
    let mut scene = Scene::with(Config { mobile_foreign, ..config() });
    scene.visit();
    assert_eq!(extension_kinds(&last_message(&scene)), [32]);
    scene.accept();
    assert_eq!(scene.state(), "registered", "nor is it asked of them");
}

#[test]
fn a_deregistration_at_home_has_no_foreign_agent_to_convince() {
    let mut scene = Scene::with(with_foreign_key(config()));
    scene.come_home();
    assert_eq!(extension_kinds(&last_message(&scene)), [32]);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn replies_with_it_count() {
    let mut registered = scene();
    registered.deliver(&double_signed(&registered.reply(ReplyCode::ACCEPTED)));
    assert_eq!(registered.state(), "registered");

    let mut denied = scene();
    denied.deliver(&double_signed(&denied.reply(ReplyCode::FA_PROHIBITED)));
    assert_eq!(denied.state(), "denied");
}

#[test]
fn replies_without_exactly_one_valid_one_behind_the_home_agents_are_discarded() {
    let wrong_key =
        SecurityAssociation::new(foreign_key().spi, Algorithm::HmacMd5, Key::from_bytes(vec![9; 16]).unwrap());
    let with = |code: ReplyCode, keys: &[SecurityAssociation], scene: &Scene| {
        let reply = scene.reply(code);
        let mut payload = if code.is_from_home_agent() { signed(&reply) } else { plain(&reply) };
        for key in keys {
            key.sign(&mut payload, kind::MOBILE_FOREIGN_AUTHENTICATION);
        }
        payload
    };
    for code in [ReplyCode::ACCEPTED, ReplyCode::HA_PROHIBITED, ReplyCode::FA_PROHIBITED] {
        for keys in [vec![], vec![wrong_key.clone()], vec![association(401)], vec![foreign_key(), foreign_key()]] {
            let mut scene = scene();
            let payload = with(code, &keys, &scene);
            scene.take();
            scene.deliver(&payload);
            assert_eq!(scene.take(), [], "{code}");
            assert_eq!(scene.state(), "registering");
            assert_eq!(scene.counters().discarded_foreign_authentication, 1);
            assert_eq!(scene.counters().security_events, 1);
            assert_eq!(scene.proxy.violations().iter().count(), 1);
        }
    }
    let mut scene = scene();
    let mut payload = plain(&scene.reply(ReplyCode::ACCEPTED));
    foreign_key().sign(&mut payload, kind::MOBILE_FOREIGN_AUTHENTICATION);
    association(SPI).sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);
    scene.deliver(&payload);
    assert_eq!(scene.state(), "registering", "it protects nothing of the home agent's");
}

#[test]
fn what_was_added_behind_it_is_nobodys_word() {
    let mut scene = scene();
    let mut payload = double_signed(&scene.reply(ReplyCode::ACCEPTED));
    payload.extend([kind::FOREIGN_AGENT_ERROR, 2, 0, 66]);
    scene.deliver(&payload);
    assert_eq!(scene.state(), "registered");
}
