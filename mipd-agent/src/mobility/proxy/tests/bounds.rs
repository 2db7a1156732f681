//! Limits: how many clients, how often they may change.

use super::*;

fn station(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 9, last])
}

fn visit(scene: &mut Scene, last: u8) {
    scene.event(Event::Visitor { interface: RADIO, mac: station(last), address: [10, 1, 0, last].into() });
}

#[test]
fn a_full_access_point_refuses_further_clients() {
    let mut scene = Scene::with(Config { maximum_clients: 3, ..config() });
    for last in 1..=5 {
        visit(&mut scene, last);
    }
    assert_eq!(scene.proxy.clients().count(), 3);
    assert_eq!(scene.counters().refused_full, 2);
    assert_eq!(scene.requests.len(), 3);
    assert_eq!(scene.take().last(), Some(&Action::DropHeld { mac: station(5) }));
}

#[test]
fn clients_that_cannot_be_served_make_room_for_those_that_can() {
    let mut scene = Scene::with(Config { maximum_clients: 3, ..config() });
    for last in 1..=3 {
        scene.event(Event::Visitor { interface: RADIO, mac: station(last), address: [10, 9, 0, last].into() });
    }
    visit(&mut scene, 4);
    assert_eq!(scene.counters().evicted, 1);
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.proxy.clients().count(), 3);
}

#[test]
fn another_foreign_address_ends_the_old_registration_and_starts_a_new_one() {
    let mut scene = Scene::registered();
    scene.event(Event::Claimed { interface: RADIO, mac: CLIENT, address: [10, 7, 0, 9].into() });
    assert_eq!(scene.last_request().lifetime, Lifetime::DEREGISTER);
    assert_eq!(scene.state(), "unserved", "no home agent for that one");
    assert!(scene.take().contains(&Action::RemoveStation { mac: CLIENT }));
    let other = Ipv4Addr::new(10, 1, 0, 101);
    scene.event(Event::Visitor { interface: RADIO, mac: CLIENT, address: other });
    assert_eq!(scene.last_request().home_address, HomeAddress(other));
    assert_eq!(scene.counters().readdressed, 2);
}

#[test]
fn a_station_that_keeps_changing_its_address_is_ignored() {
    let mut scene = Scene::registered();
    for last in 1..=50 {
        scene.event(Event::Claimed { interface: RADIO, mac: CLIENT, address: [10, 1, 0, last].into() });
    }
    assert_eq!(scene.counters().readdressed, 6);
    assert_eq!(scene.counters().readdressing_refused, 44);
    assert!(scene.requests.len() <= 3, "and the pace of requests is kept across changes");
}

#[test]
fn addresses_that_no_client_has_are_ignored() {
    let mut scene = Scene::new();
    for address in ["0.0.0.0", "127.0.0.1", "169.254.3.4", "224.0.0.1", "255.255.255.255", "240.0.0.1"] {
        scene.event(Event::Visitor { interface: RADIO, mac: CLIENT, address: address.parse().unwrap() });
    }
    scene.event(Event::Visitor { interface: RADIO, mac: MacAddress::BROADCAST, address: HOME });
    assert_eq!(scene.counters().invalid_address, 7);
    assert_eq!(scene.proxy.clients().count(), 0);
}

#[test]
fn a_paused_proxy_stops_silently_and_serves_nobody_until_resumed() {
    let mut scene = Scene::registered();
    scene.drive(Proxy::pause);
    assert!(scene.take().contains(&Action::RemoveStation { mac: CLIENT }));
    scene.visit();
    scene.come_home();
    assert_eq!(scene.requests.len(), 1);
    scene.proxy.resume();
    scene.visit();
    assert_eq!(scene.requests.len(), 2);
}
