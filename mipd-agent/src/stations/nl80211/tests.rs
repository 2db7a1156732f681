//! A watch on a simulated clock, and the kernel's messages as bytes.

use proptest::prelude::*;

use super::*;
use crate::io::nl80211::read;

const RADIO: u32 = 7;
const FAMILY: u16 = 0x1c;
const FIRST: MacAddress = MacAddress([2, 0, 0, 0, 3, 0]);
const SECOND: MacAddress = MacAddress([2, 0, 0, 0, 4, 0]);

fn at(milliseconds: u64) -> Instant {
    Instant(Duration::from_millis(milliseconds))
}

fn message(command: Command, mac: MacAddress, authorized: Option<bool>) -> StationMessage {
    StationMessage { command, interface: Some(RADIO), mac: Some(mac), authorized }
}

fn new(mac: MacAddress) -> Heard {
    Heard::Event(message(Command::NewStation, mac, None))
}

fn gone(mac: MacAddress) -> Heard {
    Heard::Event(message(Command::DelStation, mac, None))
}

struct Scene {
    watch: Watch,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let (watch, first) = Watch::begin(at(0), RADIO, Counters::default());
        assert_eq!(first, Output::List);
        Self { watch, now: at(0) }
    }

    /// The first list, of nobody, was told.
    fn watching() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.list(&[]), [Output::Tell(News::Stations(vec![]))]);
        scene
    }

    fn hear(&mut self, heard: &Heard) -> Vec<Output> {
        let mut out = Vec::new();
        self.watch.hear(self.now, heard, &mut out);
        out
    }

    fn list(&mut self, stations: &[(MacAddress, bool)]) -> Vec<Output> {
        for &(mac, authorized) in stations {
            let listed = Heard::Listed(message(Command::NewStation, mac, Some(authorized)));
            assert_eq!(self.hear(&listed), []);
        }
        self.hear(&Heard::ListEnd { interrupted: false })
    }

    /// Waits for the watch to ask for a list.
    fn wait(&mut self) -> Duration {
        let before = self.now;
        self.now = self.watch.poll_timeout();
        let mut out = Vec::new();
        self.watch.handle_timeout(self.now, &mut out);
        assert_eq!(out, [Output::List]);
        self.now.since(before)
    }
}

fn told(news: News) -> [Output; 1] {
    [Output::Tell(news)]
}

#[test]
fn a_new_station_is_told_when_it_is_authorized_and_not_before() {
    let mut scene = Scene::watching();
    assert_eq!(scene.hear(&new(FIRST)), []);
    assert_eq!(scene.wait(), Duration::from_millis(20));
    assert_eq!(scene.list(&[(FIRST, false)]), [], "associated, but not authorized yet");
    assert_eq!(scene.wait(), Duration::from_millis(20));
    assert_eq!(scene.list(&[(FIRST, true)]), told(News::Associated(FIRST)));
    assert_eq!(scene.wait(), COMPARE, "nobody is waited for");
    assert_eq!(scene.list(&[(FIRST, true)]), []);
    assert_eq!(scene.hear(&gone(FIRST)), told(News::Disassociated(FIRST)));
    assert_eq!(scene.hear(&gone(FIRST)), []);
}

#[test]
fn a_station_that_is_told_with_its_flag_needs_no_list() {
    let mut scene = Scene::watching();
    let event = Heard::Event(message(Command::NewStation, FIRST, Some(true)));
    assert_eq!(scene.hear(&event), told(News::Associated(FIRST)));
    assert_eq!(scene.wait(), COMPARE);
}

#[test]
fn a_station_that_is_never_authorized_is_given_up() {
    let mut scene = Scene::watching();
    scene.hear(&new(FIRST));
    let mut lists = 0;
    while scene.wait() < COMPARE {
        assert_eq!(scene.list(&[(FIRST, false)]), []);
        lists += 1;
    }
    assert!((70..=90).contains(&lists), "{lists}");
    assert_eq!(scene.watch.counters().nl80211_unauthorized, 1);
    assert_eq!(scene.list(&[(FIRST, true)]), told(News::Associated(FIRST)), "better late than never");
}

#[test]
fn who_is_there_at_the_start_is_a_list_and_not_an_arrival() {
    let mut scene = Scene::new();
    let first = scene.list(&[(SECOND, true), (FIRST, true), (MacAddress([2, 0, 0, 0, 5, 0]), false)]);
    assert_eq!(first, told(News::Stations(vec![FIRST, SECOND])));
    assert_eq!(scene.watch.counters().nl80211_lists, 1);
}

#[test]
fn a_station_that_leaves_while_it_is_listed_is_not_told_to_be_there() {
    let mut scene = Scene::watching();
    scene.hear(&new(FIRST));
    scene.wait();
    scene.hear(&Heard::Listed(message(Command::NewStation, FIRST, Some(true))));
    assert_eq!(scene.hear(&gone(FIRST)), []);
    assert_eq!(scene.list(&[]), []);
}

#[test]
fn a_station_that_is_new_a_second_time_has_associated_anew() {
    let mut scene = Scene::watching();
    scene.hear(&new(FIRST));
    scene.wait();
    scene.list(&[(FIRST, true)]);
    assert_eq!(scene.hear(&new(FIRST)), [], "that it had left was lost");
    scene.wait();
    assert_eq!(scene.list(&[(FIRST, true)]), told(News::Associated(FIRST)));
}

#[test]
fn what_was_lost_is_found_by_the_next_list() {
    let mut scene = Scene::watching();
    assert_eq!(scene.hear(&Heard::Lost), []);
    assert_eq!(scene.wait(), Duration::ZERO);
    assert_eq!(scene.list(&[(FIRST, true)]), told(News::Associated(FIRST)));
    scene.hear(&Heard::Lost);
    scene.wait();
    assert_eq!(scene.list(&[]), told(News::Disassociated(FIRST)));
    assert_eq!(scene.watch.counters().nl80211_lost, 2);
}

#[test]
fn a_list_that_was_disturbed_is_made_again() {
    let mut scene = Scene::new();
    assert_eq!(scene.hear(&Heard::ListEnd { interrupted: true }), []);
    assert_eq!(scene.wait(), OFTEN);
    assert_eq!(scene.list(&[]), told(News::Stations(vec![])));
}

#[test]
fn a_kernel_that_refuses_or_does_not_answer_ends_the_watch() {
    let mut scene = Scene::new();
    let refusal = Heard::Refused("no wireless interface".into());
    assert_eq!(scene.hear(&refusal), [Output::End("no wireless interface".into())]);
    let mut scene = Scene::new();
    let mut out = Vec::new();
    scene.watch.handle_timeout(at(2000), &mut out);
    assert_eq!(out, [Output::End("the kernel does not list the stations".into())]);
}

#[test]
fn other_radios_and_nonsense_change_nothing() {
    let mut scene = Scene::watching();
    let other = StationMessage { interface: Some(RADIO + 1), ..message(Command::NewStation, FIRST, Some(true)) };
    let nobody = StationMessage { mac: None, ..message(Command::NewStation, FIRST, Some(true)) };
    for heard in [
        Heard::Event(other),
        Heard::Event(nobody),
        Heard::Event(message(Command::NewStation, MacAddress::BROADCAST, Some(true))),
        Heard::Event(message(Command::Other(60), FIRST, None)),
        Heard::Malformed,
    ] {
        assert_eq!(scene.hear(&heard), []);
    }
    assert_eq!((scene.watch.poll_timeout(), scene.watch.counters().nl80211_malformed), (at(30_000), 3));
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [(4 + value.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn netlink(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
    bytes.extend([sequence.to_ne_bytes(), 0u32.to_ne_bytes()].concat());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `NEW_STATION` with what mac80211 puts in, in its order.
fn station(command: u8, sequence: u32, mask: u32, set: u32) -> Vec<u8> {
    let nested = |kind: u16, value: &[u8]| attribute(kind + 0x8000, value);
    let flags = attribute(17, &[mask.to_ne_bytes(), set.to_ne_bytes()].concat());
    let info = [
        attribute(16, &12u32.to_ne_bytes()),
        attribute(1, &40u32.to_ne_bytes()),
        attribute(7, &[0xd0]),
        nested(8, &attribute(5, &60u32.to_ne_bytes())),
        flags,
    ];
    let attributes = [
        attribute(3, &RADIO.to_ne_bytes()),
        attribute(6, &FIRST.0),
        attribute(46, &5u32.to_ne_bytes()),
        nested(21, &info.concat()),
    ];
    netlink(FAMILY, 2, sequence, &[vec![command, 1, 0, 0], attributes.concat()].concat())
}

#[test]
fn messages_of_the_kernel_are_read() {
    let authorized = 0xae;
    let datagram =
        [station(19, 0, 0xfe, authorized), station(19, 9, 0xfe, authorized & !2), station(20, 0, 0, 0)].concat();
    assert_eq!(
        read(&datagram, FAMILY, 9),
        [
            Heard::Event(message(Command::NewStation, FIRST, Some(true))),
            Heard::Listed(message(Command::NewStation, FIRST, Some(false))),
            Heard::Event(message(Command::DelStation, FIRST, None)),
        ]
    );
    let done = netlink(3, 2, 9, &0u32.to_ne_bytes());
    assert_eq!(read(&done, FAMILY, 9), [Heard::ListEnd { interrupted: false }]);
    let disturbed = netlink(3, 0x12, 9, &0u32.to_ne_bytes());
    assert_eq!(read(&disturbed, FAMILY, 9), [Heard::ListEnd { interrupted: true }]);
    let refused = |errno: i32| {
        let payload = [(-errno).to_ne_bytes().to_vec(), netlink(FAMILY, 0x301, 9, &[])].concat();
        read(&netlink(2, 0, 9, &payload), FAMILY, 9)
    };
    assert_eq!(refused(libc::ENODEV), [Heard::Refused("no wireless interface".into())]);
    assert_eq!(refused(libc::EOPNOTSUPP), [Heard::Refused("its driver lists no stations".into())]);
    assert_eq!(read(&station(19, 8, 0xfe, 2), FAMILY, 9), [], "the answer to an earlier question");
    assert_eq!(read(&station(19, 0, 0xfe, 2), FAMILY + 1, 9), [], "another family");
}

#[test]
fn a_request_names_the_radio() {
    use netlink_packet_core::Emitable;
    let message = StationMessage::list(RADIO);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    assert_eq!(bytes, attribute(3, &RADIO.to_ne_bytes()));
}

proptest! {
    #[test]
    fn no_bytes_whatsoever_make_it_panic_or_grow(
        cut in 0usize..400,
        changes in prop::collection::vec((0usize..400, any::<u8>()), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = [station(19, 0, 0xfe, 2), station(19, 9, 0xfe, 2), noise].concat();
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut).max(16));
        let mut scene = Scene::watching();
        for heard in read(&bytes, FAMILY, 9) {
            prop_assert!(scene.hear(&heard).len() <= 1);
        }
        prop_assert!(scene.watch.waiting.len() <= 2 && scene.watch.authorized.len() <= 2);
    }
}
