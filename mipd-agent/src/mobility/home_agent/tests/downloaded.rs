//! Clients whose associations a server knows.

use super::*;
use crate::mobility::security::radius::{Outcome, Unresolved};

const OTHER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);

/// One that knows only [`OTHER`] by itself.
fn asking() -> Config {
    let configured = MobileHomeAssociations::new([(OTHER.into(), client_key())]).unwrap();
    Config { mobile_home: Arc::new(configured.with_downloads()), ..config() }
}

fn needed(address: Ipv4Addr) -> Action {
    Action::AssociationsNeeded { home_address: HomeAddress(address) }
}

impl Bench {
    fn told(&mut self, address: Ipv4Addr, outcome: Option<&Outcome>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.take_associations(self.clock.0, HomeAddress(address), outcome, &mut actions);
        actions
    }

    fn grant(&mut self, address: Ipv4Addr, association: SecurityAssociation) -> Vec<Action> {
        self.told(address, Some(&Ok([association].into())))
    }

    fn refuse(&mut self, address: Ipv4Addr, why: Unresolved) -> Vec<Action> {
        self.told(address, Some(&Err(why)))
    }
}

#[test]
fn a_request_waits_for_its_association_and_is_then_answered() {
    let mut bench = Bench::new(asking());
    let request = request(bench.now());
    assert_eq!(bench.register(&request), [needed(HOME)]);
    assert_eq!((bench.agent.counters().registration_requests, bench.agent.counters().requests_parked), (0, 1));
    bench.clock.advance(SECOND);
    let actions = bench.grant(HOME, client_key());
    let reply = sent(&actions);
    assert!(read_reply(reply).code.is_accepted());
    assert!(is_signed(reply, kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    assert_eq!(bench.care_of_address(), Some(CARE_OF));
    assert_eq!(bench.agent.counters().registration_requests, 1);
    assert_eq!(bench.grant(HOME, client_key()), [], "answered once");
}

#[test]
fn of_each_client_the_last_request_waits() {
    let mut bench = Bench::new(asking());
    bench.register_later(|request| request.care_of_address = CareOfAddress(CARE_OF));
    bench.register_later(|request| request.care_of_address = CareOfAddress(NEW_CARE_OF));
    let actions = bench.grant(HOME, client_key());
    assert_eq!(actions[0], install(NEW_CARE_OF, false));
    assert_eq!(bench.agent.counters().registrations_accepted, 1);
}

#[test]
fn a_client_that_waits_delays_no_other() {
    let mut bench = Bench::new(asking());
    let waiting = request(bench.now());
    bench.register(&waiting);
    for other in [OTHER, Ipv4Addr::new(10, 1, 0, 102)] {
        bench.grant(other, client_key());
        let actions = bench.register(&RegistrationRequest { home_address: HomeAddress(other), ..waiting });
        let replies: Vec<_> = actions.iter().filter(|action| matches!(action, Action::Send(_))).collect();
        assert_eq!(replies.len(), 1, "{other}");
    }
    assert_eq!(bench.care_of_address(), None);
}

#[test]
fn a_rejected_client_gets_silence_as_one_without_association() {
    for why in [Unresolved::Rejected, Unresolved::WithoutAssociation] {
        let mut bench = Bench::new(asking());
        let request = request(bench.now());
        bench.register(&request);
        assert_eq!(bench.refuse(HOME, why), []);
        assert_eq!(bench.discarded(Discard::NoAssociation), 1);
        let violation = bench.agent.violations().iter().next().unwrap();
        assert_eq!(violation.reason, ViolationReason::NoAssociation);
    }
}

#[test]
fn without_an_answer_there_is_silence_and_nobody_is_accused() {
    for why in [Unresolved::Unanswered, Unresolved::Overloaded] {
        let mut bench = Bench::new(asking());
        let request = request(bench.now());
        bench.register(&request);
        assert_eq!(bench.refuse(HOME, why), []);
        assert_eq!(bench.discarded(Discard::AssociationUnavailable), 1);
        assert_eq!(bench.agent.violations().iter().len(), 0);
        assert_eq!(bench.register(&request), [needed(HOME)], "the next request asks again");
    }
}

#[test]
fn a_renewal_is_answered_at_once_and_tells_that_the_association_is_in_use() {
    let mut bench = Bench::new(asking());
    bench.grant(HOME, client_key());
    for _ in 0..3 {
        let actions = bench.register_later(|_| {});
        assert!(actions.contains(&needed(HOME)));
        assert!(read_reply(sent(&actions)).code.is_accepted());
    }
    assert_eq!(bench.agent.counters().requests_parked, 0);
}

#[test]
fn a_changed_key_counts_from_when_it_was_downloaded() {
    let mut bench = Bench::new(asking());
    bench.grant(HOME, client_key());
    bench.register_later(|_| {});
    bench.grant(HOME, association(256, 77));
    let actions = bench.register_later(|_| {});
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::HA_MOBILE_AUTHENTICATION);
}

#[test]
fn what_has_expired_or_was_rejected_later_is_asked_for_again_and_the_binding_stays() {
    for outcome in [None, Some(Err(Unresolved::Rejected))] {
        let mut bench = Bench::new(asking());
        bench.grant(HOME, client_key());
        bench.register_later(|_| {});
        assert_eq!(bench.told(HOME, outcome.as_ref()), []);
        assert_eq!(bench.care_of_address(), Some(CARE_OF));
        assert_eq!(bench.register_later(|_| {}), [needed(HOME)]);
    }
}

#[test]
fn nobody_is_asked_about_requests_that_cannot_be_answered_anyway() {
    let mut bench = Bench::new(asking());
    let elsewhere = HomeAddress([10, 77, 0, 1].into());
    let request = RegistrationRequest { home_address: elsewhere, ..request(bench.now()) };
    assert_eq!(bench.register(&request), []);
    assert_eq!(bench.discarded(Discard::NoAssociation), 1, "an address of no home subnet");
    let request = super::request(bench.now());
    assert_eq!(bench.receive(&through_foreign_agent(&unsigned(&request))), []);
    assert_eq!(bench.discarded(Discard::NoAssociation), 2, "no authentication to check");
}

#[test]
fn so_many_clients_wait_at_most() {
    let subnet = HomeSubnet { prefix: "10.1.0.0/16".parse().unwrap(), interface: HOME_LINK };
    let mut bench = Bench::new(Config { subnets: vec![subnet], ..asking() });
    let addresses = (0..1030u16).map(|number| {
        let [high, low] = (number + 0x200).to_be_bytes();
        Ipv4Addr::new(10, 1, high, low)
    });
    for address in addresses.clone() {
        let request = RegistrationRequest { home_address: HomeAddress(address), ..request(bench.now()) };
        assert_eq!(bench.register(&request), [needed(address)]);
    }
    assert_eq!((bench.agent.counters().requests_parked, bench.discarded(Discard::TooManyParked)), (1024, 6));
    let answered = addresses.filter(|address| !bench.grant(*address, client_key()).is_empty());
    assert_eq!(answered.count(), 100 + 924, "bindings up to the limit, denials beyond");
}

#[test]
fn a_binding_outlives_a_restart_before_its_association_is_downloaded_again() {
    let mut bench = Bench::new(asking());
    bench.grant(HOME, client_key());
    bench.register_later(|_| {});
    let record = bench.agent.record(bench.now(), HomeAddress(HOME)).unwrap();
    let mut restarted = Bench::new(asking());
    restarted.clock.0 = bench.clock.0;
    let mut actions = Vec::new();
    restarted.agent.restore(restarted.clock.0, [record], &mut actions);
    assert_eq!(restarted.care_of_address(), Some(CARE_OF));
    assert_eq!(restarted.register_later(|_| {}), [needed(HOME)]);
}

#[test]
fn the_server_may_narrow_the_replay_window_but_not_widen_it() {
    for (told, behind, accepted) in [(2, 3, false), (2, 1, true), (60, 6, true), (60, 8, false)] {
        let mut bench = Bench::new(asking());
        let narrow = SecurityAssociation { replay_window: Some(SECOND * told), ..client_key() };
        bench.grant(HOME, narrow);
        let request = request(bench.now());
        bench.clock.advance(SECOND * behind);
        let code = read_reply(sent(&bench.register(&request))).code;
        assert_eq!(code.is_accepted(), accepted, "{told} s told, {behind} s behind: {code:?}");
    }
}
