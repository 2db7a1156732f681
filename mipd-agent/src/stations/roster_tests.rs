//! What the roster makes of what several sources tell.

use std::collections::BTreeMap;

use super::*;

const RADIO: InterfaceIndex = InterfaceIndex(3);
const OTHER_RADIO: InterfaceIndex = InterfaceIndex(4);
const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x10]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 77);

use Source::{FirstPacket, Hostapd, Nl80211};

/// A roster on a simulated clock, a second per notice.
struct Scene {
    roster: Roster,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let configured = BTreeMap::from([(OTHER, Ipv4Addr::new(10, 1, 0, 101))]);
        let memory = Memory::new(8, Duration::from_hours(24), configured);
        let roster = Roster::new(vec!["10.2.0.0/24".parse().unwrap()], 8, memory);
        Self { roster, now: Instant(Duration::from_secs(1000)) }
    }

    /// A scene in which the client's address is remembered, and it is not here.
    fn remembering() -> Self {
        let mut scene = Self::new();
        scene.uses(RADIO, CLIENT, ADDRESS);
        scene.tell(FirstPacket, RADIO, News::Moved(CLIENT));
        scene
    }

    fn tell(&mut self, source: Source, interface: InterfaceIndex, news: News) -> Vec<Event> {
        self.outcomes(source, interface, news)
            .into_iter()
            .filter_map(|outcome| if let Outcome::Tell(event) = outcome { Some(event) } else { None })
            .collect()
    }

    fn outcomes(&mut self, source: Source, interface: InterfaceIndex, news: News) -> Vec<Outcome> {
        let mut out = Vec::new();
        self.now = self.now + Duration::from_secs(1);
        self.roster.take(self.now, &Notice { source, interface, news }, &mut out);
        self.learn(out)
    }

    /// The proxy agrees with every address.
    fn learn(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let mut out = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Learn(mac, address) => self.roster.learn(self.now, mac, address, &mut out),
                other => out.push(other),
            }
        }
        out
    }

    fn uses(&mut self, interface: InterfaceIndex, mac: MacAddress, address: Ipv4Addr) -> Vec<Event> {
        self.tell(FirstPacket, interface, News::Used { mac, address })
    }

    fn lists(&mut self, source: Source, stations: &[MacAddress]) -> Vec<Event> {
        self.tell(source, RADIO, News::Stations(stations.to_vec()))
    }
}

fn associated(interface: InterfaceIndex) -> Event {
    Event::Associated { interface, mac: CLIENT, address: ADDRESS, just_now: true }
}

fn visitor(interface: InterfaceIndex) -> Event {
    Event::Visitor { interface, mac: CLIENT, address: ADDRESS }
}

const LEFT: Event = Event::Left { mac: CLIENT };

#[test]
fn the_first_packet_alone_is_enough() {
    let mut scene = Scene::new();
    assert_eq!(scene.uses(RADIO, CLIENT, ADDRESS), [visitor(RADIO)]);
    assert_eq!(scene.uses(RADIO, OTHER, LOCAL), [Event::Local { interface: RADIO, mac: OTHER, address: LOCAL }]);
    let station = scene.roster.station(CLIENT).unwrap();
    assert_eq!(station.sources().collect::<Vec<_>>(), [FirstPacket]);
    assert_eq!(scene.tell(FirstPacket, RADIO, News::Moved(CLIENT)), [Event::Moved { mac: CLIENT }]);
    assert_eq!(scene.roster.station(CLIENT), None);
}

#[test]
fn each_source_alone_begins_with_the_remembered_address() {
    for source in [Hostapd, Nl80211] {
        let mut scene = Scene::remembering();
        assert_eq!(scene.lists(source, &[]), []);
        assert_eq!(scene.tell(source, RADIO, News::Associated(CLIENT)), [associated(RADIO)], "{source:?}");
        assert_eq!(scene.tell(source, RADIO, News::Disassociated(CLIENT)), [LEFT], "{source:?}");
        assert_eq!(scene.tell(source, RADIO, News::Associated(CLIENT)), [associated(RADIO)], "{source:?}");
    }
}

#[test]
fn an_association_of_a_station_without_a_known_address_waits_for_its_first_packet() {
    let mut scene = Scene::new();
    scene.lists(Hostapd, &[]);
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(CLIENT)), []);
    assert_eq!(scene.uses(RADIO, CLIENT, ADDRESS), [visitor(RADIO)]);
    let told: Vec<_> = scene.roster.station(CLIENT).unwrap().sources().collect();
    assert_eq!(told, [Hostapd, FirstPacket]);
}

#[test]
fn a_configured_client_has_its_address_before_it_was_ever_seen() {
    let mut scene = Scene::new();
    scene.lists(Hostapd, &[]);
    let event =
        Event::Associated { interface: RADIO, mac: OTHER, address: Ipv4Addr::new(10, 1, 0, 101), just_now: true };
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(OTHER)), [event]);
}

#[test]
fn several_sources_that_say_the_same_are_one_in_any_order() {
    for (first, second) in [(Hostapd, Nl80211), (Nl80211, Hostapd)] {
        let mut scene = Scene::remembering();
        scene.lists(first, &[]);
        scene.lists(second, &[]);
        let mut events = scene.tell(first, RADIO, News::Associated(CLIENT));
        events.extend(scene.tell(second, RADIO, News::Associated(CLIENT)));
        assert_eq!(events, [associated(RADIO)], "{first:?} first");
        let mut events = scene.tell(first, RADIO, News::Disassociated(CLIENT));
        events.extend(scene.tell(second, RADIO, News::Disassociated(CLIENT)));
        assert_eq!(events, [LEFT], "{first:?} first");
    }
}

#[test]
fn what_the_one_not_in_charge_tells_late_does_not_undo_newer_news() {
    let mut scene = Scene::remembering();
    scene.lists(Nl80211, &[]);
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.tell(Hostapd, RADIO, News::Disassociated(CLIENT));
    assert_eq!(scene.tell(Nl80211, RADIO, News::Associated(CLIENT)), [], "of the association that is over");
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    assert_eq!(scene.tell(Nl80211, RADIO, News::Disassociated(CLIENT)), [], "of the association before");
    assert!(scene.roster.station(CLIENT).is_some());
    assert_eq!(scene.roster.counters().not_in_charge, 2);
}

#[test]
fn nl80211_takes_over_while_hostapd_cannot_be_reached() {
    let mut scene = Scene::remembering();
    scene.lists(Nl80211, &[]);
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    assert_eq!(scene.roster.in_charge(RADIO), Some(Hostapd));
    assert_eq!(scene.tell(Hostapd, RADIO, News::Unreachable), []);
    assert_eq!(scene.roster.in_charge(RADIO), Some(Nl80211));
    assert_eq!(scene.tell(Nl80211, RADIO, News::Associated(CLIENT)), [], "the same association");
    assert_eq!(scene.tell(Nl80211, RADIO, News::Disassociated(CLIENT)), [LEFT]);
}

#[test]
fn a_second_association_told_by_the_same_source_is_a_new_one() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(CLIENT)), [associated(RADIO)]);
}

#[test]
fn a_station_on_two_radios_is_behind_the_one_that_told_last() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, OTHER_RADIO, News::Stations(vec![]));
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    assert_eq!(scene.tell(Hostapd, OTHER_RADIO, News::Associated(CLIENT)), [associated(OTHER_RADIO)]);
    assert_eq!(scene.tell(Hostapd, RADIO, News::Disassociated(CLIENT)), [], "it has left that one long ago");
    assert_eq!(scene.roster.counters().outdated, 1);
    assert_eq!(scene.uses(OTHER_RADIO, CLIENT, ADDRESS), [visitor(OTHER_RADIO)]);
    assert_eq!(scene.lists(Hostapd, &[]), [], "it is not missing from the list of the radio that it has left");
}

#[test]
fn a_frame_right_after_the_disassociation_is_a_late_one_where_somebody_would_tell_of_a_new_association() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.tell(Hostapd, RADIO, News::Disassociated(CLIENT));
    let late = scene.outcomes(FirstPacket, RADIO, News::Used { mac: CLIENT, address: ADDRESS });
    assert_eq!(late, [Outcome::ReportAgain(CLIENT)]);
    assert_eq!(scene.roster.station(CLIENT), None);
    scene.now = scene.now + LATE;
    assert_eq!(scene.uses(RADIO, CLIENT, ADDRESS), [visitor(RADIO)], "whoever goes on talking is here");
    scene.tell(Hostapd, RADIO, News::Disassociated(CLIENT));
    assert_eq!(scene.uses(OTHER_RADIO, CLIENT, ADDRESS), [visitor(OTHER_RADIO)], "another radio knows better");
    scene.tell(Hostapd, OTHER_RADIO, News::Disassociated(CLIENT));
    assert_eq!(scene.uses(OTHER_RADIO, CLIENT, ADDRESS), [visitor(OTHER_RADIO)], "nobody is in charge there");
}

#[test]
fn an_association_after_an_early_first_frame_begins_with_the_address_of_that_frame() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.tell(Hostapd, RADIO, News::Disassociated(CLIENT));
    let address = Ipv4Addr::new(10, 1, 0, 200);
    assert_eq!(scene.uses(RADIO, CLIENT, address), [], "it has come back, but its association is not told yet");
    let event = Event::Associated { interface: RADIO, mac: CLIENT, address, just_now: true };
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(CLIENT)), [event]);
}

#[test]
fn hostapd_may_restart_while_its_clients_stay() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.tell(Hostapd, RADIO, News::Unreachable);
    assert_eq!(scene.lists(Hostapd, &[CLIENT]), [], "nothing has happened");
    scene.tell(Hostapd, RADIO, News::Unreachable);
    assert_eq!(scene.lists(Hostapd, &[]), [LEFT], "it left in between");
    assert_eq!(scene.roster.counters().absent, 1);
}

#[test]
fn a_station_noticed_by_its_packets_alone_does_not_leave_because_a_list_lacks_it() {
    let mut scene = Scene::new();
    scene.uses(RADIO, CLIENT, ADDRESS);
    assert_eq!(scene.lists(Hostapd, &[]), []);
    assert!(scene.roster.station(CLIENT).is_some());
}

#[test]
fn who_is_found_to_be_associated_at_the_start_is_not_taken_for_just_arrived() {
    let mut scene = Scene::remembering();
    let event = Event::Associated { interface: RADIO, mac: CLIENT, address: ADDRESS, just_now: false };
    assert_eq!(scene.lists(Nl80211, &[CLIENT]), [event]);
    assert_eq!(scene.lists(Hostapd, &[CLIENT]), [], "known by now");
    assert_eq!(scene.roster.station(CLIENT).and_then(Station::associated_by), Some(Hostapd));
}

#[test]
fn a_lease_counts_for_a_station_without_an_address_and_for_nobody_else() {
    let mut scene = Scene::new();
    let mut out = Vec::new();
    scene.roster.take_lease(scene.now, CLIENT, ADDRESS, &mut out);
    assert_eq!((out.len(), scene.roster.sizes()), (0, (0, 0)), "no station of ours");
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.roster.take_lease(scene.now, CLIENT, ADDRESS, &mut out);
    let claimed = Event::Claimed { interface: RADIO, mac: CLIENT, address: ADDRESS };
    assert_eq!(out, [Outcome::Tell(claimed), Outcome::Learn(CLIENT, ADDRESS)]);
    scene.learn(std::mem::take(&mut out));
    scene.roster.take_lease(scene.now, CLIENT, LOCAL, &mut out);
    assert_eq!(out, [], "it has an address; if that changes, it will say so itself");
    assert_eq!(scene.roster.memory().address(scene.now, CLIENT), Some(ADDRESS));
}

#[test]
fn a_radio_that_is_gone_takes_its_stations_along() {
    let mut scene = Scene::remembering();
    scene.lists(Hostapd, &[]);
    scene.tell(Hostapd, RADIO, News::Associated(CLIENT));
    scene.roster.forget_radio(RADIO);
    assert_eq!((scene.roster.station(CLIENT), scene.roster.in_charge(RADIO)), (None, None));
}

#[test]
fn nonsense_is_counted_and_remembered_of_nobody() {
    let mut scene = Scene::new();
    scene.lists(Hostapd, &[MacAddress::BROADCAST]);
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(MacAddress::BROADCAST)), []);
    scene.uses(RADIO, CLIENT, Ipv4Addr::LOCALHOST);
    scene.uses(RADIO, MacAddress::BROADCAST, ADDRESS);
    assert_eq!((scene.roster.sizes(), scene.roster.counters().senseless), ((0, 0), 3));
}

#[test]
fn who_is_served_is_forgotten_for_no_crowd() {
    let mut scene = Scene::new();
    scene.uses(RADIO, CLIENT, ADDRESS);
    scene.roster.serve(CLIENT);
    let crowd = |scene: &mut Scene| {
        for number in 0..100 {
            scene.uses(RADIO, MacAddress([2, 0, 0, 1, 0, number]), Ipv4Addr::new(10, 1, 1, number));
        }
    };
    crowd(&mut scene);
    assert_eq!(scene.roster.sizes(), (8, 8));
    assert!(scene.roster.station(CLIENT).is_some());
    assert_eq!(scene.roster.memory().address(scene.now, CLIENT), Some(ADDRESS));
    scene.roster.release(scene.now, CLIENT);
    crowd(&mut scene);
    assert_eq!((scene.roster.station(CLIENT), scene.roster.sizes()), (None, (8, 8)));
}

#[test]
fn ten_thousand_stations_and_addresses_take_no_more_room_than_there_is() {
    let mut scene = Scene::new();
    scene.lists(Hostapd, &[]);
    for number in 0..10_000_u32 {
        let [.., a, b] = number.to_be_bytes();
        let mac = MacAddress([2, 0, 0, 1, a, b]);
        scene.tell(Hostapd, RADIO, News::Associated(mac));
        scene.uses(RADIO, mac, Ipv4Addr::from(0x0a01_0000 + number));
        scene.uses(RADIO, CLIENT, Ipv4Addr::from(0x0a02_0000 + number));
    }
    assert_eq!(scene.roster.sizes(), (8, 8));
    assert_eq!(scene.roster.recency.len(), 8);
    assert!(scene.roster.counters().forgotten > 9_000);
    assert!(scene.roster.station(CLIENT).is_some(), "who is heard all the time is not forgotten");
}

#[test]
fn an_address_given_up_is_not_what_the_station_comes_back_with() {
    let mut scene = Scene::new();
    scene.uses(RADIO, CLIENT, ADDRESS);
    let mut out = Vec::new();
    scene.roster.surrender(scene.now, CLIENT, ADDRESS, &mut out);
    assert_eq!(out, [Outcome::MemoryChanged(CLIENT)]);
    assert_eq!(scene.tell(Hostapd, RADIO, News::Associated(CLIENT)), []);
    scene.roster.surrender(scene.now, CLIENT, ADDRESS, &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_frame_by_an_address_that_was_just_given_up_is_a_late_one_and_a_new_claim_to_it_is_not() {
    let mut scene = Scene::new();
    scene.uses(RADIO, CLIENT, ADDRESS);
    scene.roster.surrender(scene.now, CLIENT, ADDRESS, &mut Vec::new());
    let used = News::Used { mac: CLIENT, address: ADDRESS };
    assert_eq!(scene.outcomes(FirstPacket, RADIO, used.clone()), [Outcome::ReportAgain(CLIENT)]);
    let claimed = scene.tell(Source::Dhcp, RADIO, used);
    assert_eq!(claimed, [Event::Claimed { interface: RADIO, mac: CLIENT, address: ADDRESS }]);
    assert_eq!(scene.uses(RADIO, CLIENT, ADDRESS), [visitor(RADIO)], "it has it again");
    scene.roster.surrender(scene.now, CLIENT, ADDRESS, &mut Vec::new());
    scene.now = scene.now + LATE;
    assert_eq!(scene.uses(RADIO, CLIENT, ADDRESS), [visitor(RADIO)], "whoever goes on using it has it");
}
