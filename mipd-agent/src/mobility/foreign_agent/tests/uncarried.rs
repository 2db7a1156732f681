//! Visitors that the data path has no room for.

use super::*;

fn refuse(bench: &mut Bench) -> Vec<Action> {
    let mut actions = Vec::new();
    bench.agent.cannot_carry(bench.clock.0, HomeAgentAddress(HOME_AGENT), HomeAddress(HOME), &mut actions);
    actions
}

#[test]
fn a_new_visitor_gets_66_instead_of_the_home_agents_acceptance() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    bench.accept(&request);
    let actions = refuse(&mut bench);
    let denial = sent(&actions).clone();
    let reply = read_reply(&denial);
    assert_eq!((reply.code, reply.identification), (ReplyCode::FA_RESOURCES, request.identification));
    assert_eq!(denial.path, to_client());
    assert_eq!(actions, [REMOVED, CHANGED, Action::Send(denial)]);
    assert_eq!(bench.agent.sizes(), (0, 0, 0));
    let counters = bench.agent.counters();
    assert_eq!((counters.registrations_accepted, counters.replies_relayed), (0, 0));
    assert_eq!(counters.denied.get(ReplyCode::FA_RESOURCES), 1);
}

#[test]
fn a_visitor_that_cannot_be_moved_stays_where_it_was_and_as_long() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    bench.clock.advance(300 * SECOND);
    let request = bench.fresh();
    let message = signed(&request, &client_key());
    bench.receive(&Received { source_mac: Some(OTHER_MAC), ..from_client(&message) });
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().requester.mac, OTHER_MAC);
    let actions = refuse(&mut bench);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::FA_RESOURCES);
    assert_eq!(actions, [CHANGED, Action::Send(sent(&actions).clone())]);
    assert_eq!(bench.visitor(), Some(&before));
    assert_eq!(bench.run(299 * SECOND), []);
    assert_eq!(bench.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn without_a_registration_a_visitor_that_cannot_be_carried_leaves() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|_| {});
    bench.accept(&request);
    assert_eq!(refuse(&mut bench), [REMOVED, CHANGED], "a renewal has changed nothing that could fail");
    assert_eq!(refuse(&mut bench), []);
}
