use std::time::Duration;

use super::network::{Network, address, home_agent};
use crate::mobility::{
    link::{Path, Transmit},
    subnet_map::Discard,
};

/// Longer than an access point that is gone is remembered, and all questions take.
const LONG: Duration = Duration::from_secs(90);

fn deserted() -> Network {
    let mut network = Network::new(&[1, 2]);
    (1..=4).for_each(|number| network.start(number));
    network.settle(4, Duration::from_secs(1));
    network.stop(4);
    network
}

#[test]
fn a_subnet_without_access_points_stays_while_its_home_agent_answers() {
    let mut network = deserted();
    network.alive.insert(home_agent(4).0);
    network.run(Duration::from_hours(2));
    assert!(network.is_settled(4));
    let counters = network.at(1).counters();
    assert!((8..30).contains(&counters.probes_answered), "{counters:?}");
    network.alive.clear();
    network.run(Duration::from_mins(11));
    assert!(network.is_settled(3));
}

#[test]
fn a_subnet_without_access_points_goes_when_its_home_agent_is_silent() {
    let mut network = deserted();
    network.run(LONG);
    assert!(network.is_settled(3));
    let counters = network.at(1).counters();
    assert_eq!((counters.entries_removed, counters.probes_sent), (1, 8), "four times by broadcast and by unicast");
    network.start(4);
    network.settle(4, Duration::from_secs(1));
}

#[test]
fn a_subnet_that_another_authoritative_access_point_hears_of_stays() {
    let mut network = deserted();
    network.start(4);
    network.settle(4, Duration::from_secs(1));
    // The first one believes that nobody is left there: 4 reports to the second, since the first does not hear it.
    network.cut_off.insert(address(4));
    network.run(Duration::from_secs(5));
    network.cut_off.clear();
    network.run(LONG);
    assert!(network.is_settled(4));
}

#[test]
fn only_an_answer_to_the_question_counts() {
    let mut network = deserted();
    network.run(Duration::from_secs(50));
    let stray = Transmit {
        payload: vec![3; 20],
        source: home_agent(4).0,
        source_port: 434,
        destination: address(1),
        destination_port: 6500,
        ttl: 64,
        path: Path::Routed,
    };
    network.deliver(&stray);
    network.run(LONG);
    assert!(network.is_settled(3));
    assert_eq!(network.at(1).counters().discarded.get(Discard::UnmatchedReply), 1);
}
