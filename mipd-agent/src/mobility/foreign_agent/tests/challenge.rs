//! Foreign agent challenges (RFC 4721).

use super::*;
use crate::wire::{
    authentication::{MOBILE_AAA, append_generalized},
    challenge::{Challenge, append_challenge},
    foreign_agent_error,
};

fn challenging() -> Config {
    Config { challenge_window: Some(2), ..config() }
}

/// The request with a challenge and the authentication by an AAA server behind it.
fn responding(request: &RegistrationRequest, challenge: &[u8]) -> Vec<u8> {
    let mut message = signed(request, &client_key());
    append_challenge(&mut message, challenge);
    let key = client_key();
    append_generalized(&mut message, MOBILE_AAA, key.spi, key.algorithm, &key.key);
    message
}

impl Bench {
    fn advertise(&mut self) -> Challenge {
        self.agent.renew_challenge(ACCESS_LINK).unwrap()
    }

    fn respond(&mut self, challenge: &[u8]) -> (RegistrationRequest, Vec<Action>) {
        let request = self.fresh();
        let actions = self.receive(&from_client(&responding(&request, challenge)));
        (request, actions)
    }

    fn refused(&mut self, challenge: &[u8]) -> ReplyCode {
        self.clock.advance(SECOND);
        told(&self.respond(challenge).1)
    }
}

fn is_relayed(actions: &[Action]) -> bool {
    sent(actions).path == Path::Routed
}

/// The challenge at the end of a reply to the client.
fn offered(actions: &[Action]) -> Vec<u8> {
    let (_, extensions) = RegistrationReply::parse(&sent(actions).payload).unwrap();
    let all: Vec<_> = extensions.of_kind(kind::CHALLENGE).collect();
    let [challenge] = all[..] else { panic!("one challenge: {all:?}") };
    challenge.data.to_vec()
}

#[test]
fn without_the_setting_there_are_no_challenges() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.agent.renew_challenge(ACCESS_LINK), None);
    assert_eq!(bench.agent.challenge(ACCESS_LINK), None);
    let request = bench.ask(|_| {});
    let actions = bench.accept(&request);
    assert_eq!(sent(&actions).payload, signed_reply(&reply_to(&request)));
}

#[test]
fn a_challenge_and_its_response_are_relayed_untouched() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    assert_eq!(bench.agent.challenge(ACCESS_LINK), Some(challenge), "repeated for who asks");
    let request = bench.fresh();
    let message = responding(&request, &challenge);
    assert_eq!(sent(&bench.receive(&from_client(&message))).payload, message);
}

#[test]
fn a_missing_challenge_gets_105_and_an_unknown_one_104_and_a_used_one_106() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let request = bench.fresh();
    assert_eq!(told(&bench.receive(&from_client(&signed(&request, &client_key())))), ReplyCode::FA_MISSING_CHALLENGE);
    assert_eq!(bench.refused(&[1, 2, 3, 4, 5, 6, 7, 8]), ReplyCode::FA_UNKNOWN_CHALLENGE);
    let (request, actions) = bench.respond(&challenge);
    assert!(is_relayed(&actions));
    bench.accept(&request);
    assert_eq!(bench.refused(&challenge), ReplyCode::FA_STALE_CHALLENGE);
    bench.advertise();
    bench.advertise();
    let next = bench.fresh();
    let other = RegistrationRequest { home_address: HomeAddress(Ipv4Addr::new(10, 1, 0, 101)), ..next };
    bench.clock.advance(SECOND);
    let late = bench.receive(&from_client(&responding(&other, &challenge)));
    assert_eq!(told(&late), ReplyCode::FA_UNKNOWN_CHALLENGE, "two newer ones have pushed it out of the window");
}

#[test]
fn a_repetition_is_relayed_again_while_the_request_is_pending_if_all_else_is_alike() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    assert!(is_relayed(&bench.respond(&challenge).1));
    assert!(is_relayed(&bench.respond(&challenge).1), "only the Identification differs");
    let mut different = bench.fresh();
    different.lifetime = Lifetime(300);
    let actions = bench.receive(&from_client(&responding(&different, &challenge)));
    assert_eq!(told(&actions), ReplyCode::FA_STALE_CHALLENGE);
    bench.run(8 * SECOND);
    assert_eq!(bench.refused(&challenge), ReplyCode::FA_STALE_CHALLENGE, "nothing is pending any more");
}

#[test]
fn a_challenge_that_nothing_protects_is_silent() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let request = bench.fresh();
    let mut naked = signed(&request, &client_key());
    append_challenge(&mut naked, &challenge);
    assert_eq!(bench.receive(&from_client(&naked)), []);

    let mut before = signed(&request, &client_key());
    let key = client_key();
    append_generalized(&mut before, MOBILE_AAA, key.spi, key.algorithm, &key.key);
    append_challenge(&mut before, &challenge);
    assert_eq!(bench.receive(&from_client(&before)), []);

    let mut unverifiable = signed(&request, &client_key());
    append_challenge(&mut unverifiable, &challenge);
    visitor_key().sign(&mut unverifiable, kind::MOBILE_FOREIGN_AUTHENTICATION);
    assert_eq!(bench.receive(&from_client(&unverifiable)), [], "signed for us by a stranger");
    assert_eq!(bench.agent.counters().discarded.get(Discard::UnprotectedChallenge), 3);
}

#[test]
fn with_an_association_the_clients_signature_for_us_protects_the_challenge_which_is_not_relayed() {
    let mut bench = Bench::new(Config { mobile_foreign: sharing(HOME, visitor_key()), ..challenging() });
    let challenge = bench.advertise();
    let request = bench.fresh();
    let relayed = signed(&request, &client_key());
    let mut message = relayed.clone();
    append_challenge(&mut message, &challenge);
    visitor_key().sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
    assert_eq!(sent(&bench.receive(&from_client(&message))).payload, relayed);
    let actions = bench.accept(&request);
    assert!(is_signed(sent(&actions), kind::MOBILE_FOREIGN_AUTHENTICATION, &visitor_key()), "the new one too");
    assert_ne!(offered(&actions), challenge);
}

#[test]
fn every_reply_has_a_challenge_that_the_client_can_use_next() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let (request, _) = bench.respond(&challenge);
    let from_acceptance = offered(&bench.accept(&request));
    bench.run(300 * SECOND);
    for _ in 0..3 {
        bench.advertise();
    }
    let (request, actions) = bench.respond(&from_acceptance);
    assert!(is_relayed(&actions), "kept as long as the visitor");
    let denial = RegistrationReply { code: ReplyCode::HA_IDENTIFICATION, ..reply_to(&request) };
    let from_denial = offered(&bench.answer(&signed_reply(&denial)));
    assert_eq!(bench.refused(&from_acceptance), ReplyCode::FA_STALE_CHALLENGE);
    let (request, actions) = bench.respond(&from_denial);
    assert!(is_relayed(&actions));
    bench.accept(&request);
    assert!(bench.visitor().is_some());
}

#[test]
fn a_denial_of_ours_repeats_the_newest_challenge_and_takes_no_memory() {
    let mut bench = Bench::new(challenging());
    let newest = bench.advertise();
    for host in 1..=50 {
        let mut request = bench.fresh();
        request.home_address = HomeAddress(Ipv4Addr::new(10, 1, 7, host));
        bench.clock.advance(SECOND);
        let actions = bench.receive(&from_client(&signed(&request, &client_key())));
        assert_eq!(offered(&actions), newest);
    }
    assert!(is_relayed(&bench.respond(&newest).1), "and does not retire it");
}

#[test]
fn a_stranger_who_fails_does_not_use_a_challenge_up() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let mut spoiled = bench.fresh();
    spoiled.flags.gre = true;
    let actions = bench.receive(&from_client(&responding(&spoiled, &challenge)));
    assert_eq!(told(&actions), ReplyCode::FA_ENCAPSULATION);
    assert!(is_relayed(&bench.respond(&challenge).1));
}

#[test]
fn a_home_agent_that_returns_another_challenge_keeps_its_code_and_gets_109_beside_it() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let (request, _) = bench.respond(&challenge);
    let reply = signed_reply(&reply_to(&request));
    let mut wrong = reply.clone();
    append_challenge(&mut wrong, &[9; 8]);
    let actions = bench.answer(&wrong);
    assert_eq!(told(&actions), ReplyCode::ACCEPTED);
    let transmit = sent(&actions);
    assert_eq!(transmit.payload[..reply.len()], reply, "what the client authenticates");
    let (_, extensions) = RegistrationReply::parse(&transmit.payload).unwrap();
    assert_eq!(foreign_agent_error::find(&extensions), Some(ReplyCode::FA_CHALLENGE_FROM_HOME));
    assert!(bench.visitor().is_none());

    let mut right = reply;
    append_challenge(&mut right, &challenge);
    bench.answer(&right);
    assert!(bench.visitor().is_some(), "a forged reply ends nothing");
}

#[test]
fn a_visitors_challenge_survives_a_restart() {
    let mut bench = Bench::new(challenging());
    let challenge = bench.advertise();
    let (request, _) = bench.respond(&challenge);
    let kept = offered(&bench.accept(&request));
    let (mut successor, _) = visitors::restarted(&bench, challenging(), SECOND);
    successor.clock.0.instant = bench.now().instant;
    assert!(is_relayed(&successor.respond(&kept).1));
}

#[test]
fn challenges_come_from_the_seed_and_differ() {
    let list = |seed| {
        let mut agent = ForeignAgent::new(challenging(), seed);
        (0..4).map(|_| agent.renew_challenge(ACCESS_LINK).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(list(1), list(1));
    assert_ne!(list(1), list(2));
    assert_ne!(list(1)[0], list(1)[1]);
}

proptest! {
    #[test]
    fn no_challenge_is_ever_accepted_twice_from_one_node(steps in prop::collection::vec((0_u8..4, any::<prop::sample::Index>()), 1..60)) {
        let mut bench = Bench::new(challenging());
        let mut known: Vec<Vec<u8>> = vec![bench.advertise().to_vec()];
        let mut used: Vec<Vec<u8>> = Vec::new();
        for (what, which) in steps {
            bench.clock.advance(SECOND);
            if what == 0 {
                known.push(bench.advertise().to_vec());
                continue;
            }
            let challenge = which.get(&known).clone();
            let (request, actions) = bench.respond(&challenge);
            let actions = if is_relayed(&actions) {
                prop_assert!(!used.contains(&challenge), "accepted twice");
                used.push(challenge);
                let code = if what == 1 { ReplyCode::HA_RESOURCES } else { ReplyCode::ACCEPTED };
                bench.answer(&signed_reply(&RegistrationReply { code, ..reply_to(&request) }))
            } else {
                actions
            };
            known.push(offered(&actions));
        }
    }
}
