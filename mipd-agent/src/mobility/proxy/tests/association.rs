//! Registrations that begin as the client associates, with the address that it is remembered by.

use super::*;

fn associated(address: Ipv4Addr, just_now: bool) -> Event {
    Event::Associated { interface: RADIO, mac: CLIENT, address, just_now }
}

fn probes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::ProbeAttachment { .. })).count()
}

#[test]
fn a_visitor_is_registered_before_it_has_said_anything() {
    let mut scene = Scene::new();
    scene.event(associated(HOME, true));
    assert_eq!(scene.sent_at(), [0]);
    assert_eq!(effects(scene.take()), [hold(), Action::UpdateSwitches { mac: CLIENT }]);
    scene.accept();
    assert_eq!(scene.state(), "registered");
    assert_eq!(effects(scene.take())[0], forward());
    assert_eq!(scene.counters().assumed, 1);
}

#[test]
fn an_address_that_nobody_was_seen_to_use_is_registered_for_a_minute_at_a_time_and_asked_for() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(associated(HOME, true));
    assert_eq!(scene.last_request().lifetime, Lifetime(60));
    scene.accept();
    assert_eq!(probes(&scene.take()), 1, "is it yours?");
    scene.talk(milliseconds(30_500));
    assert_eq!(scene.sent_at(), [0, 30_000], "it talks, but nobody knows by which address");
    assert_eq!(scene.last_request().lifetime, Lifetime(60));
    scene.attached = true;
    scene.accept();
    scene.talk(milliseconds(30_000));
    assert_eq!(scene.last_request().lifetime, Lifetime(600), "it has answered for its address");
}

#[test]
fn the_first_packet_confirms_the_address() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(associated(HOME, true));
    scene.visit();
    scene.accept();
    assert_eq!(probes(&scene.take()), 0);
    scene.talk(milliseconds(30_500));
    assert_eq!(scene.last_request().lifetime, Lifetime(600));
    assert_eq!(scene.requests.len(), 2);
}

#[test]
fn a_client_that_has_another_address_by_now_is_registered_with_that_one() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(associated(HOME, true));
    scene.accept();
    let address = Ipv4Addr::new(10, 1, 0, 101);
    scene.event(Event::Visitor { interface: RADIO, mac: CLIENT, address });
    assert_eq!(scene.last_request().home_address.0, address);
    assert_eq!(scene.counters().readdressed, 1);
    scene.event(Event::Local { interface: RADIO, mac: CLIENT, address: LOCAL });
    scene.talk(seconds(1));
    assert_eq!((scene.last_request().home_address.0, scene.state()), (LOCAL, "returning"));
}

#[test]
fn an_association_without_any_traffic_ends_by_itself() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(associated(HOME, true));
    scene.accept();
    scene.advance(seconds(10));
    assert_eq!(scene.state(), "gone");
    assert_eq!(scene.requests.len(), 1, "and not a word to any agent: it may be elsewhere");
    assert_eq!(scene.proxy.poll_timeout(), None);
}

#[test]
fn a_client_that_associates_again_may_have_been_elsewhere() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.event(associated(Ipv4Addr::new(10, 1, 0, 7), true));
    assert_eq!(scene.sent_at(), [0, 10_000]);
    assert_eq!(scene.last_request().home_address.0, HOME, "what it was seen to use is better known");
    assert_eq!(scene.last_request().lifetime, Lifetime(600));
    assert_eq!(scene.state(), "renewing");
}

#[test]
fn a_client_that_goes_to_and_fro_is_registered_anew_at_each_association_as_fast_as_requests_may_go() {
    let mut scene = Scene::registered();
    for _ in 0..4 {
        scene.advance(milliseconds(400));
        scene.event(associated(HOME, true));
        scene.advance(milliseconds(10));
        scene.accept();
    }
    scene.talk(seconds(3));
    let sent = scene.sent_at();
    assert_eq!(sent[..2], [0, 400], "twice at once");
    assert!(sent.windows(3).all(|three| three[2] - three[0] >= 1000), "and then once per second: {sent:?}");
    let last_association = 4 * 400 + 3 * 10;
    assert!(sent.iter().any(|at| (last_association..last_association + 1500).contains(at)), "{sent:?}");
    scene.accept();
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_client_that_associates_at_home_is_announced_and_deregistered_at_once_and_again() {
    let mut scene = Scene::new();
    scene.event(associated(LOCAL, true));
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
    scene.advance(seconds(10));
    scene.take();
    scene.event(associated(LOCAL, true));
    let announcement = Action::AnnounceOnUplink { mac: CLIENT, address: HomeAddress(LOCAL) };
    assert!(scene.take().contains(&announcement));
    assert_eq!((scene.requests.len(), scene.state()), (2, "returning"));
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn who_is_found_to_be_associated_is_asked_before_anything_is_sent_for_it() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(associated(HOME, false));
    scene.advance(milliseconds(10));
    assert_eq!(probes(&scene.take()), 1);
    assert_eq!(scene.requests.len(), 0);
    scene.event(Event::Attached { mac: CLIENT });
    assert_eq!(scene.last_request().lifetime, Lifetime(600), "it has answered for its address");

    let mut scene = Scene::new();
    scene.event(associated(LOCAL, false));
    assert_eq!((scene.take(), scene.state()), (vec![], "gone"), "at home its first frame is early enough");
}

#[test]
fn a_list_of_who_is_associated_changes_nothing_for_known_clients() {
    let mut scene = Scene::registered();
    scene.event(associated(HOME, false));
    scene.event(associated(Ipv4Addr::new(10, 1, 0, 7), false));
    assert_eq!((scene.take(), scene.requests.len()), (vec![], 1));
}

#[test]
fn a_client_that_left_and_comes_back_is_registered_again_at_once() {
    let mut scene = Scene::registered();
    scene.event(Event::Left { mac: CLIENT });
    assert_eq!(scene.state(), "gone");
    scene.advance(seconds(5));
    scene.event(associated(HOME, true));
    assert_eq!(scene.sent_at(), [0, 5000]);
}

#[test]
fn a_silent_client_is_left_alone_no_longer_than_the_idle_timeout() {
    let idle = |timeout: Duration| {
        let mut scene = Scene::with(Config { idle_timeout: timeout, ..config() });
        scene.visit();
        scene.accept();
        scene.advance(seconds(300));
        scene.attached = false;
        scene.take();
        let before = scene.now.instant;
        while scene.state() != "gone" {
            scene.advance(milliseconds(500));
        }
        scene.now.instant.since(before)
    };
    assert!(idle(seconds(2)) <= seconds(6));
    assert!(idle(seconds(20)) > seconds(6) && idle(seconds(20)) <= seconds(24));
}
