use std::time::Duration;

use proptest::prelude::*;

use super::network::{Network, address, home_agent};
use crate::{
    mobility::subnet_map::{Exchange, exchange::PERIOD},
    wire::types::{HomeAddress, HomeAgentAddress},
};

const SECOND: Duration = Duration::from_secs(1);

/// Fifty access points, three of them authoritative.
fn campus() -> Network {
    let mut network = Network::new(&[1, 2, 3]);
    (1..=50).for_each(|number| network.start(number));
    network
}

#[test]
fn fifty_access_points_know_all_subnets_within_a_second_of_the_last_join() {
    let mut network = campus();
    let took = network.settle(50, SECOND);
    assert!(took <= SECOND, "{took:?}");
    network.start(51);
    network.settle(51, SECOND);
    let found = network.at(20).map().home_agent(HomeAddress("10.51.0.77".parse().unwrap()));
    assert_eq!(found, Some(HomeAgentAddress(home_agent(51).0)));
}

#[test]
fn thirty_percent_loss_only_takes_longer() {
    let mut network = Network::new(&[1, 2, 3]);
    network.loss = 0.3;
    (1..=50).for_each(|number| network.start(number));
    network.settle(50, 3 * PERIOD);
}

#[test]
fn tables_that_were_apart_for_a_minute_are_equal_within_one_comparison_period() {
    let mut network = campus();
    network.settle(50, SECOND);
    network.alive = (1..=62).map(|number| home_agent(number).0).collect();
    network.cut_off = [2, 3, 20, 21, 22].into_iter().map(address).collect();
    network.run(Duration::from_secs(20));
    network.start(61);
    network.cut_off.insert(address(62));
    network.start(62);
    network.run(Duration::from_secs(40));
    assert_eq!(network.at(1).map().len(), 51);
    assert_eq!(network.at(2).map().len(), 51);
    assert_eq!(network.at(20).map().len(), 51, "those cut off from the first one report to the second");
    network.cut_off.clear();
    network.settle(52, PERIOD + 2 * SECOND);
}

#[test]
fn what_was_removed_on_one_side_of_a_split_does_not_come_back_from_the_other() {
    let mut network = Network::new(&[1, 2]);
    (1..=4).for_each(|number| network.start(number));
    network.settle(4, SECOND);
    network.stop(4);
    network.cut_off.insert(address(2));
    network.run(Duration::from_secs(90));
    assert_eq!(network.at(1).map().len(), 3, "its home agent did not answer");
    assert_eq!(network.at(2).map().len(), 4);
    network.cut_off.clear();
    network.settle(3, PERIOD + 2 * SECOND);
}

#[test]
fn the_next_authoritative_access_point_serves_until_the_first_one_is_back() {
    let mut network = campus();
    network.settle(50, SECOND);
    assert_eq!(network.at(20).status().authority, Some(address(1)));
    network.stop(1);
    network.run(PERIOD + 4 * SECOND);
    assert_eq!(network.at(20).status().authority, Some(address(2)));
    network.start(61);
    network.settle(51, 3 * SECOND);
    network.start(1);
    network.run(PERIOD + 2 * SECOND);
    assert_eq!(network.at(20).status().authority, Some(address(1)));
    network.settle(51, SECOND);
}

#[test]
fn without_any_authoritative_access_point_the_last_table_goes_on_serving() {
    let mut network = campus();
    network.settle(50, SECOND);
    (1..=3).for_each(|number| network.stop(number));
    network.run(Duration::from_mins(10));
    assert_eq!(network.at(20).status().authority, None);
    assert_eq!(network.at(20).map().len(), 50);
    network.start(3);
    network.run(Duration::from_secs(20));
    assert_eq!(network.at(20).status().authority, Some(address(3)));
}

#[test]
fn a_home_agent_with_a_new_address_replaces_the_old_one_everywhere() {
    let mut network = campus();
    network.settle(50, SECOND);
    let (_, subnet) = home_agent(30);
    let successor = "10.30.0.2".parse().unwrap();
    network.drive(30, |exchange, now, actions| exchange.own_home_agent(now, Some((successor, subnet)), actions));
    network.run(SECOND);
    assert!(network.is_settled(50));
    let found = network.at(9).map().home_agent(HomeAddress("10.30.0.77".parse().unwrap()));
    assert_eq!(found, Some(HomeAgentAddress(successor)));
}

#[test]
fn two_access_points_that_hear_different_home_agents_do_not_quarrel() {
    let mut network = Network::new(&[1]);
    (1..=2).for_each(|number| network.start(number));
    network.settle(2, SECOND);
    let (home_agent, subnet) = home_agent(2);
    let other = "10.2.0.2".parse().unwrap();
    network.start(3);
    network.drive(3, |exchange, now, actions| exchange.own_home_agent(now, Some((other, subnet)), actions));
    network.run(5 * PERIOD);
    let before = network.at(1).counters().entries_new;
    network.run(20 * PERIOD);
    assert_eq!(network.at(1).counters().entries_new, before, "{home_agent} and {other}");
}

#[test]
fn a_cleared_table_is_filled_again() {
    let mut network = campus();
    network.settle(50, SECOND);
    network.drive(20, Exchange::clear);
    assert_eq!(network.at(20).map().len(), 0);
    network.settle(50, SECOND);
}

#[test]
fn a_large_table_comes_in_many_datagrams_in_spite_of_loss() {
    let mut network = Network::new(&[1, 2]);
    network.start(1);
    for number in 0..5_000u32 {
        let subnet = ipnet::Ipv4Net::new((0xac10_0000 + number * 16).into(), 28).unwrap();
        let agent = (0xac10_0001 + number * 16).into();
        network.drive(1, |exchange, now, actions| exchange.own_home_agent(now, Some((agent, subnet)), actions));
    }
    network.loss = 0.1;
    network.start(2);
    network.start(3);
    network.settle(5_003, Duration::from_mins(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn tables_are_equal_after_any_order_of_restarts(restarts in proptest::collection::vec((1u8..=8, 0u64..4_000), 1..12), loss in 0.0..0.3) {
        let mut network = Network::new(&[1, 2, 3]);
        (1..=8).for_each(|number| network.start(number));
        network.loss = loss;
        for (number, pause) in restarts {
            network.stop(number);
            network.run(Duration::from_millis(pause));
            network.start(number);
        }
        network.settle(8, 6 * PERIOD);
    }
}
