//! A foreign agent refuses what the home agent has accepted (RFC 4636).

use super::*;

fn refused(reply: &RegistrationReply, status: u8) -> Vec<u8> {
    let mut payload = signed(reply);
    payload.extend([kind::FOREIGN_AGENT_ERROR, 2, 0, status]);
    payload
}

#[test]
fn a_refused_acceptance_is_no_registration_and_the_home_agent_is_told() {
    for code in [ReplyCode::ACCEPTED, ReplyCode::ACCEPTED_NO_SIMULTANEOUS] {
        let mut scene = Scene::new();
        scene.visit();
        scene.take();
        let first = scene.last_request();
        scene.deliver(&refused(&scene.reply(code), 66));
        assert_eq!(effects(scene.take()), []);
        assert_eq!(scene.status().foreign_agent, None);
        assert_eq!(scene.counters().refused_after_acceptance, 1);
        assert_eq!(scene.status().last_code, Some(ReplyCode::FA_RESOURCES));
        let deregistration = scene.last_request();
        assert_eq!(deregistration.lifetime, Lifetime::DEREGISTER);
        assert_eq!(deregistration.care_of_address, first.care_of_address, "that one alone");
        assert!(deregistration.identification.since(first.identification) > 0);
        assert_eq!(scene.counters().deregistrations_sent, 1);

        scene.accept();
        assert_eq!(scene.counters().deregistrations_accepted, 1);
        assert_eq!(scene.status().foreign_agent, None);
        scene.talk(seconds(1));
        assert_eq!(scene.requests.len(), 3, "then it is tried again");
        assert_eq!(scene.last_request().lifetime, Lifetime(600));
        scene.accept();
        assert_eq!(scene.state(), "registered");
    }
}

#[test]
fn an_acceptance_refused_for_the_home_agent_that_it_names_is_taken_back_at_ours() {
    for (named, status) in [(Ipv4Addr::UNSPECIFIED, 98), (Ipv4Addr::new(10, 1, 0, 9), 71)] {
        let mut scene = Scene::new();
        scene.visit();
        let asked = scene.last_request().home_agent;
        let reply = RegistrationReply { home_agent: HomeAgentAddress(named), ..scene.reply(ReplyCode::ACCEPTED) };
        scene.deliver(&refused(&reply, status));
        assert_eq!(scene.counters().refused_after_acceptance, 1);
        let deregistration = scene.last_request();
        assert_eq!((deregistration.lifetime, deregistration.home_agent), (Lifetime::DEREGISTER, asked));
    }
}

#[test]
fn a_denial_that_names_another_home_agent_is_discarded_whatever_the_foreign_agent_adds() {
    let mut scene = Scene::new();
    scene.visit();
    let another = HomeAgentAddress(Ipv4Addr::new(10, 1, 0, 9));
    let reply = RegistrationReply { home_agent: another, ..scene.reply(ReplyCode::HA_PROHIBITED) };
    scene.deliver(&refused(&reply, 71));
    assert_eq!((scene.counters().discarded_home_agent, scene.state()), (1, "registering"));
}

#[test]
fn a_deregistration_that_the_pace_does_not_allow_yet_follows_later() {
    let mut scene = Scene::new();
    scene.visit();
    let reply = RegistrationReply { lifetime: Lifetime(90), ..scene.reply(ReplyCode::FA_LIFETIME) };
    scene.deliver(&plain(&reply));
    scene.deliver(&refused(&scene.reply(ReplyCode::ACCEPTED), 66));
    assert_eq!(scene.requests.len(), 2);
    scene.talk(milliseconds(1000));
    assert_eq!(scene.sent_at()[2], 1000);
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    scene.talk(milliseconds(1000));
    assert_eq!(scene.last_request().lifetime, Lifetime(90));
}

#[test]
fn a_refused_renewal_leaves_the_registration_in_force_and_nobody_is_told() {
    let mut scene = Scene::registered();
    scene.talk(seconds(540));
    scene.take();
    let before = scene.status();
    scene.deliver(&refused(&scene.reply(ReplyCode::ACCEPTED), 66));
    assert_eq!(scene.take(), [], "the deregistration would end what is in force");
    assert_eq!((scene.status().expires, scene.status().foreign_agent), (before.expires, before.foreign_agent));
    scene.talk(seconds(2));
    assert_eq!(scene.last_request().lifetime, Lifetime(600));
    assert!(scene.requests.len() > 2);
}

#[test]
fn a_refusal_for_want_of_authentication_is_a_security_event_with_a_pause() {
    let mut scene = Scene::new();
    scene.visit();
    scene.deliver(&refused(&scene.reply(ReplyCode::ACCEPTED), 68));
    assert_eq!(scene.counters().security_events, 1);
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    scene.talk(seconds(59));
    assert_eq!(scene.requests.len(), 2);
    scene.talk(seconds(2));
    assert_eq!(scene.last_request().lifetime, Lifetime(600));
}

#[test]
fn after_a_refusal_another_foreign_agent_is_tried() {
    let mut scene = Scene::new();
    let other = Ipv4Addr::new(10, 2, 0, 2);
    scene.agent([foreign_agent(), agents::second_agent()]);
    scene.visit();
    scene.deliver(&refused(&scene.reply(ReplyCode::ACCEPTED), 68));
    scene.take();
    scene.talk(seconds(1));
    assert_eq!(transmits(&scene.take())[0].destination, other);
}

#[test]
fn nothing_comes_of_the_answer_to_a_deregistration() {
    for code in [ReplyCode::HA_IDENTIFICATION, ReplyCode::HA_PROHIBITED, ReplyCode::FA_PROHIBITED] {
        let mut scene = Scene::new();
        scene.visit();
        scene.deliver(&refused(&scene.reply(ReplyCode::ACCEPTED), 66));
        scene.take();
        scene.deny(code);
        assert_eq!(scene.take(), [], "{code}");
        scene.talk(seconds(1));
        assert_eq!(scene.last_request().lifetime, Lifetime(600), "{code}");
    }
}

#[test]
fn a_denial_with_a_refusal_is_the_home_agents_denial() {
    let mut scene = Scene::new();
    scene.visit();
    scene.deliver(&refused(&scene.reply(ReplyCode::HA_PROHIBITED), 66));
    assert_eq!(scene.status().last_code, Some(ReplyCode::HA_PROHIBITED));
    assert_eq!(scene.requests.len(), 1);
}
