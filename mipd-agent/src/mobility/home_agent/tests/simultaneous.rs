//! Simultaneous bindings (the S bit).

use super::*;

const THIRD: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);

fn several() -> Bench {
    Bench::new(Config { simultaneous_bindings: 2, ..config() })
}

impl Bench {
    fn register_at(&mut self, care_of_address: Ipv4Addr, simultaneous: bool, seconds: u16) -> Vec<Action> {
        self.register_later(|request| {
            request.flags.simultaneous = simultaneous;
            request.care_of_address = CareOfAddress(care_of_address);
            request.lifetime = Lifetime(seconds);
        })
    }

    fn care_of_addresses(&self) -> Vec<Ipv4Addr> {
        self.agent.bindings().map(|binding| binding.care_of_address.0).collect()
    }
}

fn installed(care_of_addresses: &[Ipv4Addr]) -> Action {
    let exits = care_of_addresses.iter().map(|address| exit(*address)).collect();
    Action::InstallBinding { home_address: HomeAddress(HOME), exits }
}

#[test]
fn with_s_both_places_get_every_packet_and_the_code_is_0() {
    let mut bench = several();
    assert_eq!(read_reply(sent(&bench.register_at(CARE_OF, true, 600))).code, ReplyCode::ACCEPTED);
    let actions = bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
    assert_eq!(actions[0], installed(&[CARE_OF, NEW_CARE_OF]));
    assert_eq!(bench.agent.binding_count(), 2);
}

#[test]
fn without_s_the_new_place_replaces_all_others() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(bench.register_at(THIRD, false, 600)[0], installed(&[THIRD]));
    assert_eq!(bench.care_of_addresses(), [THIRD]);
    bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(bench.register_at(NEW_CARE_OF, false, 600)[0], installed(&[NEW_CARE_OF]), "a renewal without S, too");
}

#[test]
fn one_place_more_than_allowed_gets_135_and_changes_nothing() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(denied(&bench.register_at(THIRD, true, 600)), ReplyCode::HA_TOO_MANY_BINDINGS);
    assert_eq!(bench.care_of_addresses(), [CARE_OF, NEW_CARE_OF]);
    assert!(read_reply(sent(&bench.register_at(CARE_OF, true, 600))).code.is_accepted(), "a renewal is no new place");
}

#[test]
fn where_it_is_unsupported_s_is_ignored_and_code_1_says_so() {
    let mut bench = Bench::new(config());
    bench.register_at(CARE_OF, true, 600);
    let actions = bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
    assert_eq!(bench.care_of_addresses(), [NEW_CARE_OF]);
}

#[test]
fn each_binding_expires_by_itself() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 100);
    bench.register_at(NEW_CARE_OF, true, 200);
    bench.run(4 * SECOND);
    assert_eq!(bench.run(95 * SECOND), [installed(&[NEW_CARE_OF]), CHANGED]);
    assert_eq!(bench.run(101 * SECOND), [REMOVED, CHANGED]);
    assert_eq!(bench.agent.counters().bindings_expired, 2);
}

#[test]
fn a_deregistration_ends_the_binding_it_names_or_all() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(bench.register_at(CARE_OF, true, 0)[0], installed(&[NEW_CARE_OF]));
    bench.register_at(CARE_OF, true, 600);
    assert!(bench.come_home().contains(&REMOVED));
    assert_eq!(bench.agent.binding_count(), 0);
}

#[test]
fn the_operator_ends_all() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    let mut actions = Vec::new();
    assert!(bench.agent.deregister(bench.clock.0, HomeAddress(HOME), &mut actions));
    assert_eq!(actions, [REMOVED, CHANGED]);
    assert_eq!(bench.agent.counters().bindings_removed, 2);
}

#[test]
fn a_restart_keeps_all_places() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    let (successor, actions) = restarted(&bench, Config { simultaneous_bindings: 2, ..config() }, SECOND);
    assert_eq!(actions, [installed(&[CARE_OF, NEW_CARE_OF])]);
    assert_eq!(successor.care_of_addresses(), [CARE_OF, NEW_CARE_OF]);
}

#[test]
fn a_restart_that_no_longer_allows_several_keeps_the_latest() {
    let mut bench = several();
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    let (_, actions) = restarted(&bench, config(), SECOND);
    assert_eq!(actions, [installed(&[NEW_CARE_OF]), CHANGED]);
}

#[test]
fn the_table_counts_bindings_rather_than_clients() {
    let mut bench = Bench::new(Config { simultaneous_bindings: 3, maximum_bindings: 2, ..config() });
    bench.register_at(CARE_OF, true, 600);
    bench.register_at(NEW_CARE_OF, true, 600);
    assert_eq!(denied(&bench.register_at(THIRD, true, 600)), ReplyCode::HA_RESOURCES);
    assert!(read_reply(sent(&bench.register_at(THIRD, false, 600))).code.is_accepted(), "this one replaces");
}
