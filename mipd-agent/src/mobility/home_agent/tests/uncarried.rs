//! Registrations that the data path has no room for.

use super::*;

/// What the home agent does when the data path cannot carry the client's binding.
fn refuse(bench: &mut Bench) -> Vec<Action> {
    let mut actions = Vec::new();
    bench.agent.cannot_carry(bench.clock.0, HomeAddress(HOME), &mut actions);
    actions
}

const CHANGED: Action = Action::BindingChanged { home_address: HomeAddress(HOME) };

#[test]
fn a_first_registration_gets_130_and_leaves_nothing_behind() {
    let mut bench = Bench::new(config());
    let request = request(bench.now());
    let accepted = bench.register(&request);
    assert!(accepted.iter().any(|action| matches!(action, Action::InstallBinding { .. })));
    let actions = refuse(&mut bench);
    let denial = sent(&actions).clone();
    let reply = read_reply(&denial);
    assert_eq!((reply.code, reply.lifetime), (ReplyCode::HA_RESOURCES, Lifetime::DEREGISTER));
    assert_eq!(reply.identification, request.identification);
    assert!(is_signed(&denial, kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    assert_eq!(actions, [Action::Send(denial), CHANGED]);
    assert_eq!(bench.agent.binding_count(), 0);
    assert_eq!(bench.agent.counters().registrations_accepted, 0);
    assert_eq!(bench.agent.counters().denied.get(ReplyCode::HA_RESOURCES), 1);
    assert_eq!(bench.agent.counters().replies_sent, 1);
    assert!(bench.run(60 * SECOND).iter().all(|action| *action == CHANGED), "neither announced nor expired");
    assert_eq!(bench.agent.sizes(), (0, 0));
}

#[test]
fn a_move_that_cannot_be_carried_keeps_the_old_binding_and_its_expiry() {
    let mut bench = Bench::new(with_foreign_association());
    let first = request(bench.now());
    bench.receive(&through_foreign_agent(&signed_twice(&first)));
    let before = *bench.agent.binding(HomeAddress(HOME)).expect("registered");
    bench.clock.advance(SECOND);
    let mut moved = request(bench.now());
    moved.care_of_address = CareOfAddress(NEW_CARE_OF);
    let message = signed(&moved, &client_key());
    bench.receive(&Received { source: NEW_CARE_OF, ..through_foreign_agent(&message) });
    assert_eq!(bench.care_of_address(), Some(NEW_CARE_OF));
    let actions = refuse(&mut bench);
    let transmit = sent(&actions);
    assert_eq!((read_reply(transmit).code, transmit.destination), (ReplyCode::HA_RESOURCES, NEW_CARE_OF));
    assert_eq!(bench.agent.binding(HomeAddress(HOME)), Some(&before));
    assert_eq!(bench.agent.binding_count(), 1);
    let later = bench.run(599 * SECOND);
    assert!(later.iter().any(|action| matches!(action, Action::RemoveBinding { .. })), "it expires when it would have");
    assert!(later.iter().all(|action| !matches!(action, Action::Send(_))), "nobody was told that it had ended");
}

#[test]
fn a_request_that_was_refused_for_want_of_room_is_not_accepted_when_it_comes_again() {
    let mut bench = Bench::new(config());
    let request = request(bench.now());
    bench.register(&request);
    refuse(&mut bench);
    assert_eq!(read_reply(sent(&bench.register(&request))).code, ReplyCode::HA_IDENTIFICATION);
    let accepted = bench.register_later(|_| {});
    assert_eq!(read_reply(sent(&accepted)).code, ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
    assert_eq!(bench.agent.binding_count(), 1);
}

#[test]
fn without_a_registration_a_binding_that_cannot_be_carried_ends() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    // Something else has happened since.
    bench.run(SECOND);
    let actions = refuse(&mut bench);
    assert_eq!(actions, [Action::RemoveBinding { home_address: HomeAddress(HOME) }, CHANGED]);
    assert_eq!(refuse(&mut bench), []);
}

/// By the client, and by the foreign agent, which offers revocation.
fn signed_twice(request: &RegistrationRequest) -> Vec<u8> {
    let mut message = signed(request, &client_key());
    crate::wire::revocation::RevocationSupport { inform: false, timestamp: 7 }.append(&mut message);
    agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}
