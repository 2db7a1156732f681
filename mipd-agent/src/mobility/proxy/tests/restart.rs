//! What survives a restart of the agent.

use super::*;
use crate::mobility::tunnel::{Delivery, Encapsulation};

fn restarted(scene: &Scene, later: Duration) -> Scene {
    let record = scene.proxy.record(scene.now, CLIENT).expect("there is something to persist");
    let record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    revived(record, scene.at(later).wall)
}

/// A new run of the agent that finds the record.
fn revived(record: ClientRecord, wall: Identification) -> Scene {
    let now = Now { instant: Instant(seconds(5)), wall };
    let mut restarted =
        Scene { proxy: Proxy::new(config(), 8), now, actions: vec![], attached: true, requests: vec![] };
    restarted.drive(|proxy, now, actions| proxy.restore(now, [record], actions));
    restarted
}

#[test]
fn a_registered_client_is_forwarded_again_at_once_and_registered_again_once_it_is_heard() {
    let mut before = Scene::registered();
    before.talk(seconds(100));
    let mut scene = restarted(&before, seconds(50));
    assert_eq!(scene.take(), [forward()]);
    let remaining = scene.status().expires.unwrap().since(scene.now.instant);
    assert!((449_900..=450_000).contains(&remaining.as_millis()), "{remaining:?}");
    scene.agent(Some(foreign_agent()));
    assert_eq!(scene.requests.len(), 0, "it has not been heard yet");
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 1, "it was asked and answered");
    assert!(scene.last_request().identification.since(before.last_request().identification) > 0);
}

#[test]
fn a_client_that_left_during_the_restart_is_forgotten_silently() {
    let mut scene = restarted(&Scene::registered(), seconds(1));
    scene.attached = false;
    scene.agent(Some(foreign_agent()));
    scene.advance(seconds(10));
    assert_eq!(scene.requests.len(), 0);
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_client_that_left_before_the_agent_was_known_again_is_not_registered_here() {
    let mut scene = restarted(&Scene::registered(), seconds(1));
    scene.advance(milliseconds(1));
    scene.attached = false;
    scene.advance(milliseconds(300));
    scene.agent(Some(foreign_agent()));
    scene.advance(seconds(10));
    assert_eq!(scene.requests.len(), 0, "it would take the client from the access point that it has gone to");
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_registration_that_ran_out_meanwhile_is_not_taken_up() {
    let mut scene = restarted(&Scene::registered(), seconds(601));
    let mac = CLIENT;
    assert_eq!(
        scene.take(),
        [Action::RemoveStation { mac }, Action::ForgetSeen { mac }, Action::ClientChanged { mac }]
    );
    assert_eq!(scene.state(), "gone");
}

#[test]
fn a_client_at_home_is_noticed_anew_after_a_restart() {
    let mut before = Scene::new();
    before.come_home();
    before.accept();
    let mut scene = restarted(&before, seconds(1));
    assert!(scene.take().contains(&Action::RemoveStation { mac: CLIENT }));
    assert_eq!(scene.state(), "gone");
}

#[test]
fn there_is_nothing_to_persist_of_a_client_that_is_not_served() {
    let mut scene = Scene::new();
    assert_eq!(scene.proxy.record(scene.now, CLIENT), None);
    scene.visit();
    assert_eq!(scene.proxy.record(scene.now, CLIENT), None);
    scene.accept();
    assert!(scene.proxy.record(scene.now, CLIENT).is_some());
    scene.event(Event::Moved { mac: CLIENT });
    assert_eq!(scene.proxy.record(scene.now, CLIENT), None);
}

#[test]
fn a_wall_clock_that_was_set_back_makes_no_registration_last_longer_than_it_was_granted_for() {
    let before = Scene::registered();
    let record = before.proxy.record(before.now, CLIENT).unwrap();
    let an_hour_ago = Identification(before.now.wall.0 - (3600 << 32));
    let scene = revived(record.clone(), an_hour_ago);
    assert_eq!(scene.status().expires, Some(scene.now.instant + seconds(600)));

    let endless = RegistrationRecord { expires: None, ..record.registration.clone().unwrap() };
    let scene = revived(ClientRecord { registration: Some(endless), ..record }, before.now.wall);
    assert_eq!(scene.state(), "gone", "a finite lifetime must have an end");
}

#[test]
fn an_infinite_registration_survives_without_an_end() {
    let mut before = Scene::with(Config { registration_lifetime: Lifetime::INFINITE, ..config() });
    before.agent(Some(ForeignAgentInfo { registration_lifetime: Lifetime::INFINITE, ..foreign_agent() }));
    before.visit();
    before.accept();
    let scene = restarted(&before, seconds(1_000_000));
    assert_eq!(scene.status().lifetime_granted, Some(Lifetime::INFINITE));
    assert_eq!(scene.status().expires, None);
}

#[test]
fn what_was_agreed_on_survives() {
    let mut before =
        Scene::with(Config { encapsulations: vec![Encapsulation::Gre], delivery: Delivery::Encapsulating, ..config() });
    let flags = AgentFlags { gre: true, ..tunnelling_agent().flags };
    before.agent(Some(ForeignAgentInfo { flags, ..foreign_agent() }));
    before.visit();
    before.accept();
    let mode = restarted(&before, seconds(1)).status().mode;
    assert_eq!(mode, before.status().mode);
    assert_eq!(mode.unwrap().encapsulation, Encapsulation::Gre);
    assert_eq!(mode.unwrap().reverse, Some(Delivery::Encapsulating));
}

#[test]
fn the_record_of_an_older_version_is_still_understood() {
    let record = r#"{"mac":[2,0,0,0,0,16],"interface":3,"home_address":"10.1.0.100","home_agent":"10.1.0.1",
        "identification":16547622123456789,"registration":{"foreign_agent":"10.2.0.1",
        "foreign_agent_mac":[2,0,0,0,0,250],"care_of_address":"10.2.0.1","reverse_tunnel":true,"lifetime":600,
        "expires":4294967296000}}"#;
    let scene = revived(serde_json::from_str(record).unwrap(), Identification(900 << 32));
    let status = scene.status();
    assert_eq!(status.expires, Some(scene.now.instant + seconds(100)));
    let mode = status.mode.unwrap();
    assert_eq!((mode.encapsulation, mode.reverse), (Encapsulation::IpInIp, Some(Delivery::Direct)));
}

#[test]
fn a_radio_is_found_again_by_its_name() {
    let before = Scene::registered();
    let record = before.proxy.record(before.now, CLIENT).unwrap();
    let relocated = |name: Option<&str>| {
        let record = ClientRecord { interface_name: name.map(str::to_owned), ..record.clone() };
        let found = record.relocated(|name| (name == "wlan1").then_some(OTHER_RADIO));
        let mut scene = revived(found, before.now.wall);
        (scene.state() != "gone", scene.take().into_iter().next())
    };
    let forward_on = |interface| {
        let station = forwarded_to(FOREIGN_AGENT);
        Some(Action::SetStation { mac: CLIENT, station, interface })
    };
    assert_eq!(relocated(Some("wlan1")), (true, forward_on(OTHER_RADIO)));
    assert_eq!(relocated(None), (true, forward_on(RADIO)), "from an older version");
    assert_eq!(relocated(Some("wlan9")), (false, Some(Action::RemoveStation { mac: CLIENT })), "the radio is no more");
}
