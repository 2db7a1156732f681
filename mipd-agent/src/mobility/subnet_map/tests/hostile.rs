use std::{net::Ipv4Addr, time::Duration};

use super::network::{Network, address, key};
use crate::{
    mobility::{
        link::{Path, Transmit},
        subnet_map::{Discard, Exchange},
    },
    wire::{
        authentication::Key,
        subnet_map::{Body, Digest, Entry, Header, Nonce, PORT, emit},
    },
};

fn settled() -> Network {
    let mut network = Network::new(&[1, 2]);
    (1..=5).for_each(|number| network.start(number));
    network.settle(5, Duration::from_secs(1));
    network.run(Duration::from_secs(1));
    network
}

fn datagram(payload: Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr) -> Transmit {
    let (source_port, destination_port) = (PORT, PORT);
    Transmit { payload, source, source_port, destination, destination_port, ttl: 64, path: Path::Routed }
}

fn header(sender: Ipv4Addr) -> Header {
    Header { sender, to: Nonce(1), from: Nonce(2), sequence: 9, acknowledged: 0 }
}

fn forged_entries() -> Body {
    let entry = Entry {
        network: Ipv4Addr::new(10, 3, 0, 0),
        prefix_length: 24,
        home_agent: Ipv4Addr::new(10, 3, 0, 66),
        removed: false,
        origin: address(1),
        version: u64::MAX,
    };
    Body::Entries { first: true, last: true, entries: vec![entry] }
}

fn maps(network: &Network) -> Vec<crate::mobility::subnet_map::SubnetMap> {
    network.access_points.values().map(Exchange::map).collect()
}

#[test]
fn an_entry_with_a_foreign_key_changes_nothing_and_is_counted() {
    let mut network = settled();
    let before = maps(&network);
    let foreign = Key::from_bytes(vec![1; 16]).unwrap();
    for destination in [1, 3] {
        let payload = emit(&header(address(2)), &forged_entries(), &foreign);
        network.deliver(&datagram(payload, address(2), address(destination)));
        assert_eq!(network.at(destination).counters().discarded.get(Discard::Authenticator), 1);
    }
    network.run(Duration::from_secs(30));
    assert_eq!(maps(&network), before);
}

#[test]
fn an_entry_with_the_right_key_but_of_no_session_changes_nothing() {
    let mut network = settled();
    let before = maps(&network);
    for (source, destination) in [(2, 1), (1, 3), (9, 1)] {
        let discarded = |network: &Network| network.at(destination).counters().discarded.get(Discard::Session);
        let so_far = discarded(&network);
        let payload = emit(&header(address(source)), &forged_entries(), &key());
        network.deliver(&datagram(payload, address(source), address(destination)));
        assert_eq!(discarded(&network), so_far + 1, "from {source} to {destination}");
    }
    assert_eq!(maps(&network), before);
}

#[test]
fn everything_ever_said_said_again_changes_nothing() {
    let mut network = settled();
    network.stop(4);
    network.run(Duration::from_secs(90));
    assert!(network.is_settled(4), "the home agent of the fourth is gone");
    let everything = std::mem::take(&mut network.sent);
    let before = maps(&network);
    let members = network.at(1).status().members;
    for transmit in everything.iter().filter(|transmit| transmit.destination_port == PORT) {
        network.deliver(transmit);
    }
    assert_eq!(maps(&network), before);
    network.run(Duration::from_secs(30));
    assert_eq!(maps(&network), before);
    assert_eq!(network.at(1).status().members, members, "a replayed hello is no member");
    let discarded = &network.at(1).counters().discarded;
    assert!(discarded.get(Discard::Session) > 0 && discarded.get(Discard::Replayed) > 0, "{discarded:?}");
}

#[test]
fn a_message_for_one_is_not_taken_by_another_nor_from_another_address() {
    let mut network = settled();
    let before = maps(&network);
    let everything = std::mem::take(&mut network.sent);
    for transmit in everything.iter().filter(|transmit| transmit.destination_port == PORT) {
        let elsewhere = if transmit.destination == address(1) { address(2) } else { address(1) };
        network.deliver(&Transmit { destination: elsewhere, ..transmit.clone() });
        network.deliver(&Transmit { source: address(77), ..transmit.clone() });
    }
    network.run(Duration::from_secs(30));
    assert_eq!(maps(&network), before);
    assert!(network.at(1).counters().discarded.get(Discard::Sender) > 0);
}

#[test]
fn an_access_point_that_is_not_authoritative_grants_no_sessions() {
    let mut network = settled();
    let hello = Header { to: Nonce(0), sequence: 0, ..header(address(4)) };
    network.deliver(&datagram(emit(&hello, &Body::Hello, &key()), address(4), address(3)));
    assert_eq!(network.at(3).counters().discarded.get(Discard::Unexpected), 1);
}

#[test]
fn members_are_limited_and_those_that_never_report_are_forgotten() {
    let mut network = settled();
    network.access_points.get_mut(&address(1)).unwrap().config.maximum_members = 6;
    for number in 100..110 {
        let hello = Header { to: Nonce(0), sequence: 0, ..header(address(number)) };
        network.deliver(&datagram(emit(&hello, &Body::Hello, &key()), address(number), address(1)));
    }
    assert_eq!(network.at(1).peers.len(), 6);
    assert_eq!(network.at(1).counters().discarded.get(Discard::TooManyMembers), 8);
    network.run(Duration::from_secs(40));
    assert_eq!(network.at(1).peers.len(), 4);
}

#[test]
fn a_member_cannot_send_entries_nor_compare() {
    let mut network = settled();
    let before = maps(&network);
    // Whoever has the key can be a member; only the listed ones can be more.
    let hello = Header { to: Nonce(0), sequence: 0, ..header(address(40)) };
    network.deliver(&datagram(emit(&hello, &Body::Hello, &key()), address(40), address(1)));
    let welcome = network.sent.iter().rev().find(|sent| sent.destination == address(40)).unwrap();
    let (welcome, _) = crate::wire::subnet_map::parse(&welcome.payload, &key()).unwrap();
    for (sequence, body) in [(1, forged_entries()), (2, Body::Comparison { digest: Digest(1) })] {
        let header = Header { sender: address(40), to: welcome.from, from: welcome.to, sequence, acknowledged: 0 };
        network.deliver(&datagram(emit(&header, &body, &key()), address(40), address(1)));
    }
    assert_eq!(network.at(1).counters().discarded.get(Discard::Unexpected), 2);
    assert_eq!(maps(&network), before);
}
