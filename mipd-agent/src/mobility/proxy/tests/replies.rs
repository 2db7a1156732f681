//! Which replies count (RFC 5944 §3.6.2.1).

use super::*;

/// Delivers `payload` to a registering client; nothing may come of it but one count of `counter`.
fn discarded(counter: &str, payload: impl FnOnce(&Scene) -> Vec<u8>) {
    let mut scene = Scene::new();
    scene.visit();
    scene.take();
    let payload = payload(&scene);
    scene.deliver(&payload);
    assert_eq!(scene.take(), [], "{counter}");
    assert_eq!(scene.state(), "registering", "{counter}");
    let counted: Vec<_> =
        scene.counters().iter().filter(|count| count.name.starts_with("discarded") && count.value > 0).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!((&*counted[0].name, counted[0].value), (counter, 1));
    scene.accept();
    assert_eq!(scene.state(), "registered", "the right reply still counts after {counter}");
}

#[test]
fn a_truncated_reply_is_discarded() {
    discarded("discarded_malformed", |scene| plain(&scene.reply(ReplyCode::ACCEPTED))[..19].to_vec());
}

#[test]
fn a_reply_with_a_broken_extension_is_discarded() {
    discarded("discarded_malformed", |scene| {
        let mut payload = signed(&scene.reply(ReplyCode::ACCEPTED));
        payload.pop();
        payload
    });
}

#[test]
fn a_reply_with_an_unknown_extension_that_may_not_be_skipped_is_discarded() {
    discarded("discarded_unknown_extension", |scene| {
        let mut payload = signed(&scene.reply(ReplyCode::ACCEPTED));
        payload.extend([77, 0]);
        payload
    });
}

#[test]
fn a_reply_about_somebody_else_is_discarded() {
    discarded("discarded_unsolicited", |scene| {
        let home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, 101));
        signed(&RegistrationReply { home_address, ..scene.reply(ReplyCode::ACCEPTED) })
    });
}

#[test]
fn a_reply_with_another_identification_is_discarded() {
    discarded("discarded_identification", |scene| {
        let reply = scene.reply(ReplyCode::ACCEPTED);
        let identification = Identification(reply.identification.0 ^ 1);
        signed(&RegistrationReply { identification, ..reply })
    });
}

#[test]
fn a_reply_from_another_home_agent_is_discarded() {
    discarded("discarded_home_agent", |scene| {
        signed(&RegistrationReply { home_agent: LOCAL_AGENT, ..scene.reply(ReplyCode::ACCEPTED) })
    });
}

#[test]
fn an_acceptance_without_authentication_is_discarded() {
    discarded("discarded_unauthenticated", |scene| plain(&scene.reply(ReplyCode::ACCEPTED)));
}

#[test]
fn a_home_agents_denial_without_authentication_is_discarded() {
    discarded("discarded_unauthenticated", |scene| plain(&scene.reply(ReplyCode::HA_PROHIBITED)));
}

#[test]
fn a_reply_with_two_authenticators_is_discarded() {
    discarded("discarded_unauthenticated", |scene| {
        let mut payload = signed(&scene.reply(ReplyCode::ACCEPTED));
        let association = SecurityAssociation::new(Spi::new(SPI).unwrap(), Algorithm::HmacMd5, key());
        association.sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);
        payload
    });
}

#[test]
fn a_reply_with_an_unknown_spi_is_discarded() {
    discarded("discarded_spi", |scene| signed_with(&scene.reply(ReplyCode::ACCEPTED), SPI + 1, key()));
}

#[test]
fn a_reply_with_a_wrong_key_is_discarded_and_remembered_as_a_violation() {
    let wrong = || Key::from_bytes(vec![9; 16]).unwrap();
    discarded("discarded_authenticator", |scene| signed_with(&scene.reply(ReplyCode::ACCEPTED), SPI, wrong()));

    let mut scene = Scene::new();
    scene.visit();
    let forged = signed_with(&scene.reply(ReplyCode::ACCEPTED), SPI, wrong());
    scene.deliver(&forged);
    assert_eq!(scene.counters().security_events, 1);
    let violation = scene.proxy.violations().iter().next().unwrap();
    assert_eq!(violation.home_address, HomeAddress(HOME));
    assert_eq!(violation.spi, Spi::new(SPI));
}

#[test]
fn only_the_latest_request_can_be_answered() {
    let mut scene = Scene::new();
    scene.visit();
    let late = signed(&scene.reply(ReplyCode::ACCEPTED));
    scene.advance(seconds(1));
    assert_eq!(scene.requests.len(), 2);
    scene.deliver(&late);
    assert_eq!(scene.counters().discarded_identification, 1);
    scene.accept();
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_second_copy_of_a_reply_changes_nothing() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = signed(&scene.reply(ReplyCode::ACCEPTED));
    scene.deliver(&reply);
    let status = scene.status();
    scene.take();
    scene.advance(milliseconds(700));
    scene.deliver(&reply);
    assert_eq!(scene.take(), []);
    assert_eq!(scene.status(), status);
    assert_eq!(scene.counters().discarded_duplicate, 1);
}

#[test]
fn a_reply_after_the_client_has_gone_is_discarded() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = signed(&scene.reply(ReplyCode::ACCEPTED));
    scene.event(Event::Left { mac: CLIENT });
    scene.take();
    scene.deliver(&reply);
    assert_eq!(scene.take(), []);
    assert_eq!(scene.counters().discarded_unsolicited, 1);
}

#[test]
fn two_visitors_with_the_same_address_get_their_own_replies() {
    let other_home = (HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 2)), Ipv4Addr::new(255, 255, 255, 0));
    let radio_subnet_maps = [(OTHER_RADIO, SubnetMap::from_entries([other_home]).unwrap())].into();
    let mut scene = Scene::with(Config { radio_subnet_maps, ..config() });
    scene.visit();
    let first = signed(&scene.reply(ReplyCode::ACCEPTED));
    let other = MacAddress([2, 0, 0, 0, 0, 0x11]);
    scene.event(Event::Visitor { interface: OTHER_RADIO, mac: other, address: HOME });
    let second = signed(&scene.reply(ReplyCode::ACCEPTED));
    scene.take();
    scene.deliver(&second);
    assert!(scene.take().contains(&Action::ReleaseHeld { mac: other }));
    scene.deliver(&first);
    assert!(scene.take().contains(&Action::ReleaseHeld { mac: CLIENT }));
}
