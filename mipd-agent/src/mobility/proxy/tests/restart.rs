//! What survives a restart of the agent.

use super::*;

fn restarted(scene: &Scene, later: Duration) -> Scene {
    let record = scene.proxy.record(scene.now, CLIENT).expect("there is something to persist");
    let record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let now = scene.at(later);
    let now = Now { instant: Instant(seconds(5)), wall: now.wall };
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
