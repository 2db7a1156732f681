//! Revocation (RFC 3543).

use super::*;
use crate::wire::revocation::{Revocation, RevocationAcknowledgement, RevocationSupport};

fn revoking() -> Config {
    Config {
        revocation: Some(crate::mobility::foreign_agent::RevocationPolicy { inform: true }),
        ..with_home_association()
    }
}

/// The home agent's clock, by an epoch of its own.
const ITS_TIME: u32 = 5000;

fn support_in(actions: &[Action]) -> Option<RevocationSupport> {
    let (_, extensions) = RegistrationRequest::parse(&sent(actions).payload).unwrap();
    RevocationSupport::find(&extensions).map(|(_, support)| support)
}

impl Bench {
    /// A visitor whose registration both agents can revoke. Returns our timestamp.
    fn revocable(&mut self, inform: bool) -> u32 {
        let request = self.fresh();
        let actions = self.receive(&from_client(&signed(&request, &client_key())));
        let own = support_in(&actions).unwrap().timestamp;
        let mut reply = signed_reply(&reply_to(&request));
        RevocationSupport { inform, timestamp: ITS_TIME }.append(&mut reply);
        agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
        self.answer(&reply);
        assert!(self.visitor().unwrap().revocation.is_some());
        own
    }

    fn hear(&mut self, received: &Received<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_revocation(self.clock.0, received, &mut actions);
        actions
    }

    fn drop_visitor(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let home_agent = HomeAgentAddress(HOME_AGENT);
        assert!(self.agent.remove_visitor(self.clock.0, home_agent, HomeAddress(HOME), &mut actions));
        actions
    }
}

fn revocation(identifier: u32) -> Revocation {
    Revocation {
        from_home_agent: true,
        inform: false,
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        foreign_agent: CARE_OF,
        identifier,
    }
}

fn signed_revocation(revocation: &Revocation, key: &SecurityAssociation) -> Vec<u8> {
    let mut message = Vec::new();
    revocation.emit(&mut message);
    key.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

fn acknowledgement(identifier: u32, inform: bool, key: &SecurityAssociation) -> Vec<u8> {
    let mut message = Vec::new();
    RevocationAcknowledgement { inform, home_address: HomeAddress(HOME), identifier }.emit(&mut message);
    key.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

fn read_revocation(transmit: &Transmit) -> Revocation {
    Revocation::parse(&transmit.payload).unwrap().0
}

#[test]
fn support_is_offered_where_an_association_protects_it_and_nowhere_else() {
    let mut bench = Bench::new(revoking());
    let message = signed(&bench.fresh(), &client_key());
    let actions = bench.receive(&from_client(&message));
    let support = support_in(&actions).unwrap();
    assert_eq!(support, RevocationSupport { inform: true, timestamp: bench.now().wall.seconds() });
    let mut expected = message;
    support.append(&mut expected);
    agents_key().sign(&mut expected, kind::FOREIGN_HOME_AUTHENTICATION);
    assert_eq!(sent(&actions).payload, expected, "before our signature");

    for config in [with_home_association(), Config { foreign_home: Arc::default(), ..revoking() }] {
        let mut bench = Bench::new(config);
        let message = signed(&bench.fresh(), &client_key());
        assert_eq!(support_in(&bench.receive(&from_client(&message))), None);
    }
    let mut bench = Bench::new(revoking());
    let farewell = RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..bench.fresh() };
    let message = signed(&farewell, &client_key());
    assert_eq!(support_in(&bench.receive(&from_client(&message))), None);
}

#[test]
fn a_registration_is_revocable_only_if_both_agents_say_so() {
    let mut bench = Bench::new(revoking());
    let request = bench.ask(|_| {});
    let mut reply = signed_reply(&reply_to(&request));
    agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
    bench.answer(&reply);
    assert_eq!(bench.visitor().unwrap().revocation, None);
    assert_eq!(bench.hear(&from_home_agent(&signed_revocation(&revocation(6000), &agents_key()))), []);
    assert_eq!(bench.drop_visitor(), [REMOVED, CHANGED]);
    assert_eq!(bench.run(60 * SECOND), []);
}

#[test]
fn a_revocation_by_the_home_agent_ends_the_visit_and_is_acknowledged_the_way_it_came() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    let message = signed_revocation(&revocation(ITS_TIME + 1), &agents_key());
    let actions = bench.hear(&Received { source_port: 3434, ..from_home_agent(&message) });
    assert_eq!(actions[..2], [REMOVED, CHANGED]);
    let transmit = sent(&actions);
    assert_eq!(transmit.payload, acknowledgement(ITS_TIME + 1, false, &agents_key()));
    assert_eq!((transmit.source, transmit.source_port), (CARE_OF, 434));
    assert_eq!((transmit.destination, transmit.destination_port), (HOME_AGENT, 3434));
    assert!(bench.visitor().is_none());
    assert!(!actions.iter().any(|action| matches!(action, Action::Inform { .. })));
}

#[test]
fn the_client_is_informed_if_the_home_agent_wants_it_and_both_agreed_to_it() {
    for (agreed, wanted) in [(true, true), (true, false), (false, true)] {
        let mut bench = Bench::new(revoking());
        bench.revocable(agreed);
        let message = signed_revocation(&Revocation { inform: wanted, ..revocation(ITS_TIME + 1) }, &agents_key());
        let actions = bench.hear(&from_home_agent(&message));
        let informed = actions.iter().any(|action| matches!(action, Action::Inform { elsewhere: false, .. }));
        assert_eq!(informed, agreed && wanted);
        assert_eq!(sent(&actions).payload, acknowledgement(ITS_TIME + 1, agreed && wanted, &agents_key()));
    }
}

#[test]
fn a_revocation_that_is_not_exactly_right_is_silent_and_ends_nothing() {
    let right = revocation(ITS_TIME + 1);
    let good = signed_revocation(&right, &agents_key());
    let elsewhere = Ipv4Addr::new(10, 9, 9, 9);
    let spoiled = |change: fn(&mut Revocation)| {
        let mut spoiled = right;
        change(&mut spoiled);
        signed_revocation(&spoiled, &agents_key())
    };
    let unsigned = good[..Revocation::LENGTH].to_vec();
    let cases: [(Vec<u8>, Ipv4Addr, Ipv4Addr, Discard); 11] = [
        (spoiled(|revocation| revocation.from_home_agent = false), HOME_AGENT, CARE_OF, Discard::ReflectedRevocation),
        (spoiled(|revocation| revocation.home_address.0 = CARE_OF), HOME_AGENT, CARE_OF, Discard::UnmatchedRevocation),
        (spoiled(|revocation| revocation.home_agent.0 = CARE_OF), HOME_AGENT, CARE_OF, Discard::UnmatchedRevocation),
        (spoiled(|revocation| revocation.foreign_agent = HOME), HOME_AGENT, CARE_OF, Discard::UnmatchedRevocation),
        (good.clone(), elsewhere, CARE_OF, Discard::UnmatchedRevocation),
        (good.clone(), HOME_AGENT, elsewhere, Discard::UnmatchedRevocation),
        (spoiled(|revocation| revocation.identifier = ITS_TIME), HOME_AGENT, CARE_OF, Discard::OldRevocation),
        (signed_revocation(&right, &association(1000, 8)), HOME_AGENT, CARE_OF, Discard::UnauthenticRevocation),
        (unsigned, HOME_AGENT, CARE_OF, Discard::UnauthenticRevocation),
        (good[..19].to_vec(), HOME_AGENT, CARE_OF, Discard::MalformedRevocation),
        ([&good[..], &[77, 0]].concat(), HOME_AGENT, CARE_OF, Discard::UnknownExtension),
    ];
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    for (message, source, destination, expected) in cases {
        let before = bench.agent.counters().discarded.get(expected);
        let received = Received { source, destination, ..from_home_agent(&message) };
        assert_eq!(bench.hear(&received), [], "{expected:?}");
        assert_eq!(bench.agent.counters().discarded.get(expected), before + 1, "{expected:?}");
        assert!(bench.visitor().is_some(), "{expected:?}");
    }
    assert_eq!(bench.agent.violations().iter().len(), 2);
    bench.hear(&from_home_agent(&good));
    assert!(bench.visitor().is_none());
}

#[test]
fn a_home_agent_that_missed_the_acknowledgement_gets_another_and_a_replay_none() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    let first = signed_revocation(&revocation(ITS_TIME + 1), &agents_key());
    let second = signed_revocation(&revocation(ITS_TIME + 3), &agents_key());
    bench.hear(&from_home_agent(&first));
    bench.clock.advance(SECOND);
    assert_eq!(bench.hear(&from_home_agent(&first)), [], "seen already");
    let actions = bench.hear(&from_home_agent(&second));
    assert_eq!(actions, [Action::Send(sent(&actions).clone())]);
    assert_eq!(sent(&actions).payload, acknowledgement(ITS_TIME + 3, false, &agents_key()));
    assert_eq!(bench.hear(&from_home_agent(&second)), []);
    bench.run(600 * SECOND);
    let late = signed_revocation(&revocation(ITS_TIME + 900), &agents_key());
    assert_eq!(bench.hear(&from_home_agent(&late)), [], "forgotten with the lifetime");
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn a_revocation_of_the_registration_before_does_not_end_a_newer_one() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    bench.hear(&from_home_agent(&signed_revocation(&revocation(ITS_TIME - 1), &agents_key())));
    assert!(bench.visitor().is_some());
}

#[test]
fn a_visitor_that_the_operator_drops_is_revoked_until_the_home_agent_acknowledges() {
    let mut bench = Bench::new(revoking());
    let own = bench.revocable(true);
    assert_eq!(bench.drop_visitor(), [REMOVED, CHANGED], "not within a second of the registration");
    let mut actions = bench.run(SECOND);
    let first = sent(&actions).clone();
    assert_eq!((first.source, first.destination, first.destination_port), (CARE_OF, HOME_AGENT, 434));
    let mut last = read_revocation(&first);
    assert_eq!(last, Revocation { from_home_agent: false, inform: true, identifier: last.identifier, ..revocation(0) });
    assert!(last.identifier > own);
    for wait in [1, 2, 4, 8] {
        assert_eq!(bench.run(Duration::from_millis(wait * 1000 - 1)), []);
        actions = bench.run(Duration::from_millis(1));
        let next = read_revocation(sent(&actions));
        assert!(next.identifier > last.identifier, "fresh");
        last = next;
    }
    let message = acknowledgement(last.identifier, true, &agents_key());
    let received = from_home_agent(&message);
    assert!(bench.agent.awaits_acknowledgement(&received));
    let actions = bench.hear(&received);
    assert!(matches!(actions[..], [Action::Inform { elsewhere: true, mac: CLIENT_MAC, .. }]), "{actions:?}");
    assert_eq!(bench.run(3600 * SECOND), []);
    assert!(!bench.agent.awaits_acknowledgement(&received));
    assert_eq!(bench.agent.counters().revocations_confirmed, 1);
}

#[test]
fn an_acknowledgement_that_is_not_exactly_right_is_dropped() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    bench.drop_visitor();
    let identifier = read_revocation(sent(&bench.run(SECOND))).identifier;
    let good = acknowledgement(identifier, true, &agents_key());
    let cases = [
        (acknowledgement(identifier + 1, true, &agents_key()), HOME_AGENT, CARE_OF, Discard::UnmatchedAcknowledgement),
        (good.clone(), CARE_OF, CARE_OF, Discard::UnmatchedAcknowledgement),
        (good.clone(), HOME_AGENT, HOME, Discard::UnmatchedAcknowledgement),
        (acknowledgement(identifier, true, &association(1000, 8)), HOME_AGENT, CARE_OF, Discard::UnauthenticRevocation),
        (good[..12].to_vec(), HOME_AGENT, CARE_OF, Discard::UnauthenticRevocation),
        (good[..11].to_vec(), HOME_AGENT, CARE_OF, Discard::MalformedRevocation),
    ];
    for (message, source, destination, expected) in cases {
        let before = bench.agent.counters().discarded.get(expected);
        let received = Received { source, destination, ..from_home_agent(&message) };
        assert_eq!(bench.hear(&received), []);
        assert_eq!(bench.agent.counters().discarded.get(expected), before + 1, "{expected:?}");
    }
    assert!(matches!(bench.run(SECOND)[..], [Action::Send(_)]), "still revoking");
}

#[test]
fn an_acknowledgement_of_an_earlier_transmission_will_do() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    bench.drop_visitor();
    let first = read_revocation(sent(&bench.run(SECOND))).identifier;
    bench.run(3 * SECOND);
    bench.hear(&from_home_agent(&acknowledgement(first, false, &agents_key())));
    assert_eq!(bench.run(600 * SECOND), []);
    assert_eq!(bench.agent.counters().revocations_confirmed, 1);
}

#[test]
fn a_home_agent_that_never_acknowledges_the_end_of_an_endless_registration_is_given_up() {
    let mut bench = Bench::new(Config { maximum_lifetime: Lifetime::INFINITE, ..revoking() });
    let mut request = bench.fresh();
    request.lifetime = Lifetime::INFINITE;
    bench.receive(&from_client(&signed(&request, &client_key())));
    let mut reply = signed_reply(&reply_to(&request));
    RevocationSupport { inform: true, timestamp: ITS_TIME }.append(&mut reply);
    agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
    bench.answer(&reply);
    assert_eq!(bench.visitor().unwrap().expires, None);
    bench.drop_visitor();
    assert_eq!(bench.run(3600 * SECOND).len(), 10);
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn revocations_never_outlive_the_registration() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    bench.drop_visitor();
    let sent = bench.run(600 * SECOND).len();
    assert_eq!(sent, 10, "after 1, 2, 4, … 512 s");
    assert_eq!(bench.agent.poll_timeout(), None);
    assert_eq!(bench.agent.counters().revocations_unanswered, 1);
}

#[test]
fn a_client_that_registers_again_is_not_revoked_any_more() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    bench.drop_visitor();
    let request = bench.ask(|_| {});
    assert_eq!(bench.run(SECOND), [], "not while the home agent is asked");
    let mut reply = signed_reply(&reply_to(&request));
    agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
    bench.answer(&reply);
    assert_eq!(bench.run(500 * SECOND), []);
    assert!(bench.visitor().is_some());
}

#[test]
fn a_visitor_stays_revocable_over_a_restart() {
    let mut bench = Bench::new(revoking());
    bench.revocable(true);
    let (mut successor, _) = visitors::restarted(&bench, revoking(), SECOND);
    let message = signed_revocation(&revocation(ITS_TIME + 1), &agents_key());
    successor.hear(&from_home_agent(&message));
    assert!(successor.visitor().is_none());
}

proptest! {
    #[test]
    fn no_altered_revocation_ends_anything(byte in 0_usize..42, mask in 1_u8..) {
        let mut bench = Bench::new(revoking());
        bench.revocable(true);
        let mut message = signed_revocation(&revocation(ITS_TIME + 1), &agents_key());
        message[byte] ^= mask;
        bench.hear(&from_home_agent(&message));
        prop_assert!(bench.visitor().is_some());
        bench.hear(&from_home_agent(&message));
    }
}
