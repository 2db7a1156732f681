//! Small campuses, short enough for every test run. `cargo xtask simulate` runs large ones and many seeds.

use mipd_simulation::{Failure, Scenario, Summary, World};

fn run(scenario: Scenario) -> Result<Summary, Box<Failure>> {
    World::new(scenario).run()
}

fn short(seed: u64) -> Scenario {
    Scenario { minutes: 6, ..Scenario::small(seed) }
}

#[test]
fn every_property_holds_on_small_campuses() {
    for seed in 1..=8 {
        let summary = run(short(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(summary.accepted > 20 && summary.checks > 50, "seed {seed}: {summary}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_bit() {
    let scenario = short(3);
    let first = run(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    let second = run(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(first, second);
    let other = run(Scenario { seed: 5, ..scenario }).unwrap_or_else(|failure| panic!("{failure}"));
    assert_ne!(first.trace, other.trace);
}

#[test]
fn one_client_goes_the_same_way_without_the_others() {
    let scenario = short(4);
    let alone = run(Scenario { only_client: Some(7), ..scenario }).unwrap_or_else(|failure| panic!("{failure}"));
    let all = run(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(alone.moves > 0 && alone.moves < all.moves);
    assert!(alone.requests < all.requests);
}

#[test]
fn hostile_messages_and_faults_happen() {
    let summary = run(short(6)).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(summary.attacks > 0 && summary.faults > 0, "{summary}");
}
