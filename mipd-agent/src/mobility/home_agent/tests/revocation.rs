//! Revocation (RFC 3543).

use super::*;
use crate::mobility::security::verify;
use crate::wire::{
    registration::{MessageType, RegistrationReply, message_type},
    revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
};

/// The foreign agent's clock.
const FOREIGN_CLOCK: u32 = 5000;

fn config_with_revocation() -> Config {
    let peers = [CARE_OF, NEW_CARE_OF].map(|peer| (Peer::Address(peer), agents_key()));
    Config { foreign_home: Arc::new(PeerAssociations::new(peers).unwrap()), ..config() }
}

/// What a foreign agent adds that supports revocation.
fn with_support(request: &RegistrationRequest, inform: bool) -> Vec<u8> {
    let mut message = signed(request, &client_key());
    RevocationSupport { inform, timestamp: FOREIGN_CLOCK }.append(&mut message);
    agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

fn via(care_of_address: Ipv4Addr, payload: &[u8]) -> Received<'_> {
    Received { source: care_of_address, ..through_foreign_agent(payload) }
}

impl Bench {
    /// A registration through a foreign agent that supports revocation.
    fn visit(&mut self, care_of_address: Ipv4Addr, inform: bool) -> Vec<Action> {
        let request = RegistrationRequest { care_of_address: CareOfAddress(care_of_address), ..request(self.now()) };
        let message = with_support(&request, inform);
        self.receive(&via(care_of_address, &message))
    }

    fn visited(inform: bool) -> Self {
        let mut bench = Self::new(config_with_revocation());
        bench.visit(CARE_OF, inform);
        bench.run(5 * SECOND);
        bench
    }

    fn acknowledge(&mut self, identifier: u32, association: &SecurityAssociation) -> Vec<Action> {
        let mut message = Vec::new();
        let home_address = HomeAddress(HOME);
        RevocationAcknowledgement { inform: false, home_address, identifier }.emit(&mut message);
        association.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
        self.receive(&through_foreign_agent(&message))
    }

    pub(super) fn discarded(&self, reason: Discard) -> u64 {
        self.agent.counters().discarded.get(reason)
    }
}

/// The revocations among what is sent, where they go, and that they are signed.
fn revocations(actions: &[Action]) -> Vec<(Ipv4Addr, Revocation)> {
    let transmits = actions.iter().filter_map(|action| match action {
        Action::Send(transmit) => Some(transmit),
        _ => None,
    });
    let revocations = transmits.filter(|transmit| message_type(&transmit.payload) == Some(MessageType::Revocation));
    revocations
        .map(|transmit| {
            let (revocation, extensions) = Revocation::parse(&transmit.payload).unwrap();
            let key = agents_key();
            let verification = verify(&extensions, kind::FOREIGN_HOME_AUTHENTICATION, |_| Some(&key));
            assert!(verification.is_valid());
            assert_eq!((transmit.source, transmit.source_port, transmit.destination_port), (HOME_AGENT, 434, 434));
            (transmit.destination, revocation)
        })
        .collect()
}

fn support_in_reply(actions: &[Action]) -> Option<RevocationSupport> {
    let transmit = actions.iter().find_map(|action| match action {
        Action::Send(transmit) if message_type(&transmit.payload) == Some(MessageType::RegistrationReply) => {
            Some(transmit)
        }
        _ => None,
    });
    let (_, extensions) = RegistrationReply::parse(&transmit.unwrap().payload).unwrap();
    RevocationSupport::find(&extensions).map(|(_, support)| support)
}

#[test]
fn support_is_answered_if_the_foreign_agent_signed_it_and_never_unasked() {
    let mut bench = Bench::new(config_with_revocation());
    let clock = bench.now().wall.seconds();
    let expected = RevocationSupport { inform: true, timestamp: clock };
    assert_eq!(support_in_reply(&bench.visit(CARE_OF, true)), Some(expected));

    let unasked = |now| countersigned(&request(now), &agents_key());
    let after_the_signature = |now| {
        let mut message = countersigned(&request(now), &agents_key());
        RevocationSupport { inform: false, timestamp: 1 }.append(&mut message);
        message
    };
    let of_the_client = |now| {
        let mut message = unsigned(&request(now));
        RevocationSupport { inform: false, timestamp: 1 }.append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
        message
    };
    for message in [unasked as fn(Now) -> Vec<u8>, after_the_signature, of_the_client] {
        let mut bench = Bench::new(config_with_revocation());
        let message = message(bench.now());
        assert_eq!(support_in_reply(&bench.receive(&through_foreign_agent(&message))), None);
    }
    let mut bench = Bench::new(config());
    let mut message = signed(&request(bench.now()), &client_key());
    RevocationSupport { inform: false, timestamp: 1 }.append(&mut message);
    assert_eq!(support_in_reply(&bench.receive(&through_foreign_agent(&message))), None, "without an association");
    let mut bench = Bench::new(Config { revocation: false, ..config_with_revocation() });
    assert_eq!(support_in_reply(&bench.visit(CARE_OF, true)), None);
}

#[test]
fn the_old_foreign_agent_is_told_at_once_when_the_client_moves() {
    let mut bench = Bench::visited(true);
    let actions = bench.visit(NEW_CARE_OF, true);
    let [(destination, revocation)] = revocations(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(destination, CARE_OF);
    let expected = Revocation {
        from_home_agent: true,
        inform: false,
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        foreign_agent: CARE_OF,
        identifier: bench.now().wall.seconds(),
    };
    assert_eq!(revocation, expected);
}

#[test]
fn a_move_within_a_second_of_the_registration_is_told_when_that_second_is_over() {
    let mut bench = Bench::new(config_with_revocation());
    bench.visit(CARE_OF, false);
    bench.clock.advance(SECOND / 4);
    assert_eq!(revocations(&bench.visit(NEW_CARE_OF, false)), []);
    assert_eq!(revocations(&bench.run(SECOND * 3 / 4)).len(), 1);
}

#[test]
fn a_revocation_is_repeated_with_fresh_identifiers_and_doubling_waits() {
    let mut bench = Bench::visited(false);
    let mut sent = revocations(&bench.visit(NEW_CARE_OF, false));
    for wait in [1, 2, 4, 8, 16, 32] {
        assert_eq!(revocations(&bench.run(Duration::from_millis(wait * 1000 - 1))), []);
        sent.extend(revocations(&bench.run(Duration::from_millis(1))));
    }
    assert_eq!(sent.len(), 7);
    assert!(sent.is_sorted_by(|(_, earlier), (_, later)| earlier.identifier < later.identifier));
    assert_eq!(revocations(&bench.run(400 * SECOND)), []);
    assert_eq!(bench.agent.counters().revocations_abandoned, 1);
}

#[test]
fn a_revocation_ends_with_the_lifetime_of_its_binding() {
    let mut bench = Bench::new(config_with_revocation());
    let request = RegistrationRequest { lifetime: Lifetime(10), ..request(bench.now()) };
    let message = with_support(&request, false);
    bench.receive(&through_foreign_agent(&message));
    bench.run(5 * SECOND);
    let mut sent = revocations(&bench.visit(NEW_CARE_OF, false));
    sent.extend(revocations(&bench.run(100 * SECOND)));
    assert_eq!(sent.len(), 3, "at 5, 6 and 8 seconds, but not at 12");
}

#[test]
fn an_acknowledgement_of_any_of_them_ends_the_repetition() {
    let mut bench = Bench::visited(false);
    let first = revocations(&bench.visit(NEW_CARE_OF, false))[0].1.identifier;
    bench.run(SECOND);
    assert_eq!(bench.acknowledge(first, &agents_key()), []);
    assert_eq!(revocations(&bench.run(100 * SECOND)), []);
    assert_eq!(bench.agent.counters().revocations_acknowledged, 1);
}

#[test]
fn an_acknowledgement_of_nothing_or_without_the_right_key_ends_nothing() {
    let mut bench = Bench::visited(false);
    let first = revocations(&bench.visit(NEW_CARE_OF, false))[0].1.identifier;
    bench.acknowledge(first + 1, &agents_key());
    assert_eq!(bench.discarded(Discard::StrangeAcknowledgement), 1);
    bench.acknowledge(first, &association(1000, 66));
    bench.acknowledge(first, &association(1001, 9));
    assert_eq!(bench.discarded(Discard::UnauthenticRevocation), 2);
    assert_eq!(revocations(&bench.run(SECOND)).len(), 1);
}

#[test]
fn a_client_that_returns_is_not_revoked() {
    let mut bench = Bench::visited(false);
    let revoked = revocations(&bench.visit(NEW_CARE_OF, false))[0].1.identifier;
    bench.clock.advance(SECOND / 2);
    let actions = bench.visit(CARE_OF, false);
    assert!(support_in_reply(&actions).unwrap().timestamp >= revoked, "what is still under way is old");
    let to_the_first = |(destination, _): &(Ipv4Addr, Revocation)| *destination == CARE_OF;
    assert_eq!(revocations(&bench.run(100 * SECOND)).iter().filter(|sent| to_the_first(sent)).count(), 0);
}

#[test]
fn a_return_home_is_told_and_a_deregistration_through_the_foreign_agent_is_not() {
    let mut bench = Bench::visited(false);
    let actions = bench.come_home();
    assert_eq!(revocations(&actions).len(), 1);

    let mut bench = Bench::visited(false);
    let request = RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..request(bench.now()) };
    assert_eq!(revocations(&bench.register(&request)), []);
}

#[test]
fn the_operators_end_is_told_and_the_client_may_be_informed() {
    for inform in [false, true] {
        let mut bench = Bench::visited(inform);
        let mut actions = Vec::new();
        bench.agent.deregister(bench.clock.0, HomeAddress(HOME), &mut actions);
        let [(CARE_OF, revocation)] = revocations(&actions)[..] else { panic!("{actions:?}") };
        assert_eq!(revocation.inform, inform);
    }
}

#[test]
fn an_expiry_is_not_told() {
    let mut bench = Bench::visited(false);
    assert_eq!(revocations(&bench.run(700 * SECOND)), []);
    assert_eq!(bench.agent.binding_count(), 0);
}

fn revocation() -> Revocation {
    Revocation {
        from_home_agent: false,
        inform: true,
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        foreign_agent: CARE_OF,
        identifier: FOREIGN_CLOCK + 1,
    }
}

fn from_foreign_agent(revocation: &Revocation, association: &SecurityAssociation) -> Vec<u8> {
    let mut message = Vec::new();
    revocation.emit(&mut message);
    association.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

#[test]
fn a_foreign_agents_revocation_ends_the_binding_and_is_acknowledged() {
    let mut bench = Bench::visited(true);
    let message = from_foreign_agent(&revocation(), &agents_key());
    let actions = bench.receive(&Received { source_port: 5434, ..through_foreign_agent(&message) });
    let [REMOVED, Action::Send(transmit), CHANGED] = &actions[..] else { panic!("{actions:?}") };
    let (acknowledgement, extensions) = RevocationAcknowledgement::parse(&transmit.payload).unwrap();
    let expected =
        RevocationAcknowledgement { inform: true, home_address: HomeAddress(HOME), identifier: FOREIGN_CLOCK + 1 };
    assert_eq!(acknowledgement, expected);
    assert_eq!((transmit.source, transmit.source_port), (HOME_AGENT, 434));
    assert_eq!((transmit.destination, transmit.destination_port), (CARE_OF, 5434));
    let key = agents_key();
    assert!(verify(&extensions, kind::FOREIGN_HOME_AUTHENTICATION, |_| Some(&key)).is_valid());
    assert_eq!(bench.agent.binding_count(), 0);
    assert_eq!(bench.agent.counters().bindings_revoked, 1);
    assert_eq!(bench.receive(&through_foreign_agent(&message)), [], "the same again is silent");
}

#[test]
fn a_foreign_agent_that_missed_our_acknowledgement_gets_another_as_long_as_it_may_ask() {
    let mut bench = Bench::visited(true);
    bench.receive(&through_foreign_agent(&from_foreign_agent(&revocation(), &agents_key())));
    let again = |bench: &mut Bench, identifier, association: &SecurityAssociation| {
        let message = from_foreign_agent(&Revocation { identifier, ..revocation() }, association);
        bench.receive(&through_foreign_agent(&message))
    };
    bench.run(SECOND);
    let actions = again(&mut bench, FOREIGN_CLOCK + 2, &agents_key());
    let [Action::Send(transmit)] = &actions[..] else { panic!("{actions:?}") };
    let (acknowledgement, _) = RevocationAcknowledgement::parse(&transmit.payload).unwrap();
    assert_eq!(acknowledgement.identifier, FOREIGN_CLOCK + 2);
    assert_eq!(bench.agent.counters().acknowledgements_repeated, 1);

    assert_eq!(again(&mut bench, FOREIGN_CLOCK + 2, &agents_key()), [], "seen already");
    assert_eq!(again(&mut bench, FOREIGN_CLOCK + 3, &association(1000, 66)), []);
    let message = from_foreign_agent(&Revocation { identifier: FOREIGN_CLOCK + 3, ..revocation() }, &agents_key());
    assert_eq!(bench.receive(&via(NEW_CARE_OF, &message)), [], "from elsewhere");

    bench.run(590 * SECOND);
    assert!(matches!(again(&mut bench, FOREIGN_CLOCK + 4, &agents_key())[..], [Action::Send(_)]));
    bench.run(10 * SECOND);
    assert_eq!(again(&mut bench, FOREIGN_CLOCK + 5, &agents_key()), [], "the binding would have expired by now");
    assert_eq!(bench.agent.poll_timeout(), None, "and nothing is remembered");
}

#[test]
fn a_new_registration_is_not_ended_by_what_the_foreign_agent_repeats_of_the_old_one() {
    let mut bench = Bench::visited(true);
    bench.receive(&through_foreign_agent(&from_foreign_agent(&revocation(), &agents_key())));
    bench.run(SECOND);
    let message = countersigned(&request(bench.now()), &agents_key());
    bench.receive(&through_foreign_agent(&message));
    let late = from_foreign_agent(&Revocation { identifier: FOREIGN_CLOCK + 2, ..revocation() }, &agents_key());
    assert_eq!(bench.receive(&through_foreign_agent(&late)), [], "this one is not revocable");
    assert_eq!(bench.agent.binding_count(), 1);
}

#[test]
fn a_revocation_with_anything_wrong_is_silent_and_changes_nothing() {
    let good = revocation();
    let key = agents_key();
    let cases = [
        (Revocation { from_home_agent: true, ..good }, key.clone(), Discard::ReflectedRevocation),
        (Revocation { home_address: HomeAddress(CARE_OF), ..good }, key.clone(), Discard::NothingToRevoke),
        (Revocation { home_agent: HomeAgentAddress(CARE_OF), ..good }, key.clone(), Discard::NothingToRevoke),
        (Revocation { foreign_agent: NEW_CARE_OF, ..good }, key.clone(), Discard::NothingToRevoke),
        (Revocation { identifier: FOREIGN_CLOCK, ..good }, key.clone(), Discard::OldRevocation),
        (Revocation { identifier: FOREIGN_CLOCK - 9, ..good }, key, Discard::OldRevocation),
        (good, association(1000, 66), Discard::UnauthenticRevocation),
        (good, association(1001, 9), Discard::UnauthenticRevocation),
    ];
    for (revocation, association, reason) in cases {
        let mut bench = Bench::visited(true);
        let message = from_foreign_agent(&revocation, &association);
        assert_eq!(bench.receive(&through_foreign_agent(&message)), [], "{reason:?}");
        assert_eq!((bench.discarded(reason), bench.agent.binding_count()), (1, 1), "{reason:?}");
    }
    let mut bench = Bench::visited(true);
    let message = from_foreign_agent(&good, &agents_key());
    assert_eq!(bench.receive(&via(NEW_CARE_OF, &message)), [], "from another address than the care-of address");
    assert_eq!(bench.receive(&through_foreign_agent(&message[..30])), []);
    assert_eq!(bench.discarded(Discard::MalformedRevocation), 1);
}

#[test]
fn a_binding_that_was_never_agreed_to_be_revocable_is_not() {
    let mut bench = Bench::new(config_with_revocation());
    let message = countersigned(&request(bench.now()), &agents_key());
    bench.receive(&through_foreign_agent(&message));
    let revocation = from_foreign_agent(&revocation(), &agents_key());
    assert_eq!(bench.receive(&through_foreign_agent(&revocation)), []);
    bench.run(5 * SECOND);
    assert_eq!(revocations(&bench.visit(NEW_CARE_OF, false)), []);
}

#[test]
fn what_was_agreed_on_survives_a_restart() {
    let bench = Bench::visited(true);
    let (mut successor, _) = restarted(&bench, config_with_revocation(), SECOND);
    successor.clock.advance(SECOND);
    assert_eq!(revocations(&successor.visit(NEW_CARE_OF, true)).len(), 1);
}

#[test]
fn on_a_box_with_both_roles_an_acknowledgement_finds_the_one_that_waits_for_it() {
    let mut bench = Bench::visited(false);
    let mut message = Vec::new();
    RevocationAcknowledgement { inform: false, home_address: HomeAddress(HOME), identifier: 1 }.emit(&mut message);
    assert!(!bench.agent.awaits_acknowledgement(&through_foreign_agent(&message)));
    bench.visit(NEW_CARE_OF, false);
    assert!(bench.agent.awaits_acknowledgement(&through_foreign_agent(&message)));
    assert!(!bench.agent.awaits_acknowledgement(&via(NEW_CARE_OF, &message)));
}
