//! Clients whose addresses change, and clients that claim the same one.

use super::*;

const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);
const NEXT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);

fn uses(mac: MacAddress, address: Ipv4Addr) -> Event {
    Event::Visitor { interface: RADIO, mac, address }
}

fn state_of(scene: &Scene, mac: MacAddress) -> (&'static str, Option<&'static str>) {
    let client = scene.proxy.clients().find(|client| client.mac == mac);
    client.map_or(("gone", None), |client| (client.state, client.reason))
}

#[test]
fn a_stray_packet_does_not_cost_a_visitor_its_registration() {
    let mut scene = Scene::registered();
    for _ in 0..5 {
        scene.talk(seconds(1));
        scene.event(uses(CLIENT, [10, 77, 0, 1].into()));
    }
    assert_eq!((scene.state(), scene.requests.len()), ("registered", 1));
    assert_eq!(scene.counters().strays, 5, "asked each time whether it keeps its own, and it did");
    assert_eq!(scene.counters().readdressed, 0);
}

#[test]
fn a_visitor_that_does_not_answer_for_its_address_any_more_has_the_other_one() {
    let mut scene = Scene::registered();
    scene.attached = false;
    scene.talk(seconds(2));
    scene.event(uses(CLIENT, NEXT));
    assert_eq!(scene.requests.len(), 1, "asked first");
    scene.talk(seconds(1));
    scene.event(uses(CLIENT, NEXT));
    let last: Vec<_> =
        scene.requests[1..].iter().map(|(_, request)| (request.home_address.0, request.lifetime)).collect();
    assert_eq!(last, [(HOME, Lifetime::DEREGISTER), (NEXT, Lifetime(600))], "the old registration ends");
    assert_eq!(scene.counters().readdressed, 1);
}

#[test]
fn a_claim_of_a_dhcp_client_leaves_no_doubt() {
    let mut scene = Scene::registered();
    scene.talk(seconds(2));
    scene.event(Event::Claimed { interface: RADIO, mac: CLIENT, address: NEXT });
    assert_eq!(scene.last_request().home_address.0, NEXT);
    assert_eq!(scene.requests[1].1.lifetime, Lifetime::DEREGISTER);
}

#[test]
fn ten_thousand_addresses_of_one_station_are_one_client_and_few_requests() {
    let mut scene = Scene::registered();
    scene.attached = false;
    for number in 0..10_000_u32 {
        let address = Ipv4Addr::from(0x0a01_0002 + number % 250);
        let event = if number % 2 == 0 {
            uses(CLIENT, address)
        } else {
            Event::Claimed { interface: RADIO, mac: CLIENT, address }
        };
        scene.event(event);
        scene.talk(milliseconds(6));
    }
    assert_eq!(scene.proxy.clients().count(), 1);
    assert!(scene.proxy.sizes().1 <= 2);
    assert!(scene.counters().readdressed <= 12, "six in a minute: {}", scene.counters().readdressed);
    assert!(scene.counters().readdressing_refused > 4000);
    assert!(scene.requests.len() <= 90, "{} requests in a minute", scene.requests.len());
}

#[test]
fn the_first_of_two_clients_with_one_address_keeps_it_as_long_as_it_answers() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.take();
    for _ in 0..10 {
        scene.event(uses(OTHER, HOME));
        assert_eq!(state_of(&scene, OTHER), ("unserved", Some("another client here has its address")));
        scene.talk(seconds(1));
    }
    assert_eq!((scene.state(), scene.requests.len()), ("registered", 1));
    let told = Action::AddressInUse { mac: OTHER, holder: CLIENT, address: HomeAddress(HOME) };
    let actions = scene.take();
    let tellings = actions.iter().filter(|action| **action == told).count();
    assert_eq!((tellings as u64, scene.counters().address_in_use), (3, 3), "every four seconds");
    let touched = |action: &&Action| matches!(action, Action::SetStation { .. } | Action::Send(_));
    assert_eq!(actions.iter().find(touched), None);
}

#[test]
fn the_address_of_a_client_that_left_without_a_word_is_free_after_four_seconds() {
    let mut scene = Scene::registered();
    scene.attached = false;
    scene.event(uses(OTHER, HOME));
    let mut waited = Duration::ZERO;
    while state_of(&scene, OTHER).0 != "registering" {
        scene.advance(milliseconds(500));
        scene.event(uses(OTHER, HOME));
        waited += milliseconds(500);
    }
    assert!(waited <= seconds(5), "{waited:?}");
    assert_eq!(scene.state(), "gone");
}

#[test]
fn who_really_uses_an_address_has_it_before_one_that_is_only_remembered_by_it() {
    let mut scene = Scene::new();
    scene.attached = false;
    scene.event(Event::Associated { interface: RADIO, mac: CLIENT, address: HOME, just_now: true });
    scene.event(uses(OTHER, HOME));
    assert_eq!((scene.state(), state_of(&scene, OTHER).0), ("gone", "registering"));
}

#[test]
fn a_client_awaited_at_home_is_bridged_but_still_noticed_by_its_first_frame() {
    let associated = Event::Associated { interface: RADIO, mac: CLIENT, address: LOCAL, just_now: true };
    let mut scene = Scene::new();
    scene.event(associated);
    assert_eq!(scene.take()[..2], [set(StationState::Awaited), Action::ForgetSeen { mac: CLIENT }]);
    scene.come_home();
    assert!(scene.take().contains(&set(StationState::Local)));

    let mut scene = Scene::new();
    scene.event(associated);
    scene.visit();
    assert_eq!(
        (scene.state(), scene.last_request().home_address.0),
        ("registering", HOME),
        "it is a visitor after all"
    );
}
