//! Clients whose associations a server knows.

use super::*;
use crate::mobility::security::radius::{Outcome, Unresolved};

const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);
/// The one client that is known without asking.
const OTHER_HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);

fn asking() -> Scene {
    let configured = MobileHomeAssociations::new([(OTHER_HOME.into(), association(SPI))]).unwrap();
    Scene::with(Config { associations: Arc::new(configured.with_downloads()), ..config() })
}

fn needed(address: Ipv4Addr) -> Action {
    Action::AssociationsNeeded { home_address: HomeAddress(address) }
}

impl Scene {
    fn told(&mut self, address: Ipv4Addr, outcome: Option<&Outcome>) {
        self.drive(|proxy, now, actions| proxy.take_associations(now, HomeAddress(address), outcome, actions));
    }

    fn grant(&mut self, address: Ipv4Addr) {
        self.told(address, Some(&Ok([association(SPI)].into())));
    }

    fn refuse(&mut self, address: Ipv4Addr, why: Unresolved) {
        self.told(address, Some(&Err(why)));
    }

    fn asked(&self, address: Ipv4Addr) -> usize {
        self.actions.iter().filter(|action| **action == needed(address)).count()
    }
}

/// A visitor that is registered with what was downloaded.
fn registered() -> Scene {
    let mut scene = asking();
    scene.visit();
    scene.grant(HOME);
    scene.accept();
    scene.take();
    scene
}

#[test]
fn a_visitor_is_held_until_its_association_is_downloaded_and_then_registered() {
    let mut scene = asking();
    scene.visit();
    assert_eq!(scene.take(), [hold(), needed(HOME)]);
    assert_eq!(scene.state(), "awaiting_association");
    scene.talk(seconds(5));
    assert!(scene.requests.is_empty());
    scene.grant(HOME);
    assert_eq!(scene.state(), "registering");
    scene.accept();
    assert_eq!(scene.state(), "registered");
    assert!(scene.take().contains(&forward()));
}

#[test]
fn a_visitor_that_waits_delays_no_other() {
    let mut scene = asking();
    scene.visit();
    scene.event(Event::Visitor { interface: RADIO, mac: OTHER, address: OTHER_HOME });
    assert_eq!(scene.last_request().home_address.0, OTHER_HOME);
    scene.accept();
    let other = scene.proxy.clients().find(|client| client.mac == OTHER).unwrap();
    assert_eq!((other.state, scene.state()), ("registered", "awaiting_association"));
}

#[test]
fn a_rejected_visitor_is_not_served_and_asked_about_again_after_a_while() {
    for why in [Unresolved::Rejected, Unresolved::WithoutAssociation] {
        let mut scene = asking();
        scene.visit();
        scene.refuse(HOME, why);
        assert_eq!((scene.state(), scene.status().reason), ("unserved", Some("no security association")));
        assert_eq!(scene.counters().no_association, 1);
        assert!(scene.take().contains(&Action::DropHeld { mac: CLIENT }));
        scene.talk(milliseconds(29_500));
        assert_eq!(scene.asked(HOME), 0);
        scene.talk(seconds(1));
        assert_eq!((scene.state(), scene.asked(HOME)), ("awaiting_association", 1));
        assert!(scene.requests.is_empty());
    }
}

#[test]
fn a_visitor_about_whom_no_server_answers_is_left_alone_for_a_while_and_told_apart() {
    for why in [Unresolved::Unanswered, Unresolved::Overloaded] {
        let mut scene = asking();
        scene.visit();
        scene.refuse(HOME, why);
        assert_eq!((scene.state(), scene.status().reason), ("unserved", Some("no RADIUS server answers")));
        assert_eq!((scene.counters().no_association, scene.counters().no_association_server), (0, 1));
        scene.take();
        scene.talk(seconds(31));
        assert_eq!(scene.asked(HOME), 1);
        scene.grant(HOME);
        assert_eq!(scene.state(), "registering");
    }
}

#[test]
fn a_visitor_does_not_wait_for_an_answer_for_ever() {
    let mut scene = asking();
    scene.visit();
    scene.talk(seconds(61));
    assert_eq!(scene.state(), "unserved");
}

#[test]
fn a_visitor_that_leaves_while_it_waits_is_forgotten() {
    let mut scene = asking();
    scene.visit();
    scene.event(Event::Left { mac: CLIENT });
    assert_eq!(scene.state(), "gone");
    scene.take();
    scene.grant(HOME);
    assert_eq!(scene.take(), []);
}

#[test]
fn a_renewal_tells_that_the_association_is_in_use() {
    let mut scene = registered();
    scene.talk(seconds(600));
    let renewals = scene.requests.len() - 1;
    assert!(renewals > 0);
    assert_eq!(scene.asked(HOME), renewals, "one for each");
}

#[test]
fn a_renewal_whose_association_has_expired_waits_for_it_while_the_registration_holds() {
    let mut scene = registered();
    scene.told(HOME, None);
    while scene.asked(HOME) == 0 {
        scene.talk(seconds(10));
    }
    assert_eq!((scene.requests.len(), scene.state()), (1, "registered"));
    scene.grant(HOME);
    scene.talk(milliseconds(500));
    assert_eq!(scene.requests.len(), 2);
    scene.accept();
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_client_rejected_later_is_served_as_long_as_its_registration_lasts() {
    let mut scene = registered();
    scene.refuse(HOME, Unresolved::Rejected);
    for _ in 0..70 {
        let asked = scene.asked(HOME);
        scene.talk(seconds(10));
        if scene.asked(HOME) > asked {
            scene.refuse(HOME, Unresolved::Rejected);
        }
    }
    assert_eq!(scene.requests.len(), 1, "nothing to sign another request with");
    assert_eq!(scene.counters().expired, 1);
    assert!(matches!(scene.state(), "unserved" | "awaiting_association"), "{}", scene.state());
    assert!(scene.asked(HOME) < 40, "no request per second: {}", scene.asked(HOME));
}

#[test]
fn a_client_that_comes_home_is_bridged_and_deregistered_once_its_association_is_downloaded() {
    let mut scene = asking();
    scene.come_home();
    assert_eq!(scene.take(), [needed(LOCAL)]);
    assert_eq!(scene.state(), "awaiting_association");
    scene.grant(LOCAL);
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    scene.accept();
    assert_eq!(scene.state(), "at_home");
}

#[test]
fn a_local_client_that_a_server_rejects_is_nobodys_business() {
    let mut scene = asking();
    scene.come_home();
    scene.take();
    scene.refuse(LOCAL, Unresolved::Rejected);
    assert_eq!((scene.state(), scene.take()), ("gone", vec![]));
}

#[test]
fn a_local_client_about_whom_no_server_answers_is_noticed_anew_later() {
    let mut scene = asking();
    scene.come_home();
    scene.take();
    scene.refuse(LOCAL, Unresolved::Unanswered);
    scene.talk(seconds(31));
    assert_eq!((scene.state(), scene.take()), ("gone", vec![Action::ForgetSeen { mac: CLIENT }]));
}

#[test]
fn a_local_client_that_waits_makes_room_for_others() {
    let mut scene = asking();
    for number in 0..40 {
        let mac = MacAddress([2, 1, 0, 0, 0, number]);
        scene.event(Event::Local { interface: RADIO, mac, address: [10, 2, 0, 100 + number].into() });
    }
    assert!(scene.proxy.clients().count() <= 16);
    scene.visit();
    assert_eq!(scene.state(), "awaiting_association");
}

#[test]
fn a_restored_client_is_renewed_with_an_association_that_is_downloaded_again() {
    let scene = registered();
    let record = scene.proxy.record(scene.now, CLIENT).unwrap();
    let mut restarted = asking();
    restarted.now = scene.now;
    restarted.drive(|proxy, now, actions| proxy.restore(now, [record], actions));
    restarted.speak();
    assert_eq!((restarted.state(), restarted.asked(HOME)), ("registered", 1));
    restarted.grant(HOME);
    restarted.talk(milliseconds(500));
    assert_eq!(restarted.requests.len(), 1);
}
