//! Who may register what: algorithms, AAA, proxies, names, and how often strangers are told that they may not.

use super::*;
use crate::wire::{
    authentication::{Algorithm, MOBILE_AAA, append_generalized},
    challenge,
    nai::Nai,
    proxy_mode,
    registration::RegistrationReply,
};

fn kinds(transmit: &Transmit) -> Vec<u8> {
    RegistrationReply::parse(&transmit.payload).unwrap().1.iter().map(|extension| extension.kind).collect()
}

#[test]
fn a_wrong_authenticator_is_told_once_a_second_and_client() {
    let mut bench = Bench::new(config());
    let forged = signed(&request(bench.now()), &association(256, 66));
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&forged))), ReplyCode::HA_MOBILE_AUTHENTICATION);
    assert_eq!(bench.receive(&through_foreign_agent(&forged)), []);
    assert_eq!(bench.agent.counters().discarded.get(Discard::DenialLimited), 1);
    assert_eq!(bench.agent.violations().iter().count(), 2, "both are logged");
    bench.clock.advance(SECOND);
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&forged))), ReplyCode::HA_MOBILE_AUTHENTICATION);
}

#[test]
fn a_foreign_agent_that_signs_is_always_told_of_a_wrong_authenticator() {
    let mut bench = Bench::new(with_foreign_association());
    let mut forged = signed(&request(bench.now()), &association(256, 66));
    agents_key().sign(&mut forged, kind::FOREIGN_HOME_AUTHENTICATION);
    for _ in 0..3 {
        let actions = bench.receive(&through_foreign_agent(&forged));
        assert_eq!(denied(&actions), ReplyCode::HA_MOBILE_AUTHENTICATION);
        assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
        assert!(is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()));
    }
}

#[test]
fn an_authentic_client_gets_every_denial() {
    let mut bench = Bench::new(config());
    for _ in 0..3 {
        bench.clock.advance(Duration::from_millis(1));
        let mut request = request(bench.now());
        request.flags.gre = true;
        assert_eq!(denied(&bench.register(&request)), ReplyCode::HA_ENCAPSULATION);
    }
}

#[test]
fn where_any_algorithm_is_accepted_the_reply_uses_it_and_the_operator_is_told_now_and_then() {
    let clients = "10.0.0.0/8".parse().unwrap();
    let key = SecurityAssociation { accept_any_algorithm: true, ..client_key() };
    let mobile_home = Arc::new(MobileHomeAssociations::new([(clients, key)]).unwrap());
    let mut bench = Bench::new(Config { mobile_home, ..config() });
    let mut told = Vec::new();
    for algorithm in Algorithm::ALL {
        bench.clock.advance(SECOND);
        let theirs = SecurityAssociation { algorithm, ..client_key() };
        let message = signed(&request(bench.now()), &theirs);
        let actions = bench.receive(&through_foreign_agent(&message));
        assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &theirs), "{algorithm:?}");
        told.extend(actions.into_iter().filter(|action| matches!(action, Action::AlgorithmMatched { .. })));
    }
    let first = Action::AlgorithmMatched { home_address: HomeAddress(HOME), algorithm: Algorithm::HmacMd5 };
    assert_eq!(told, [first], "five requests within ten seconds");
    assert_eq!(bench.agent.counters().algorithm_matched, [1; 5]);
    assert!(bench.agent.counters().entries().contains(&("algorithm_matched_hmac_sha256".into(), 1)));
}

fn with_aaa(now: Now, key: &SecurityAssociation, times: usize) -> Vec<u8> {
    let mut message = signed(&request(now), &client_key());
    challenge::append_challenge(&mut message, &[7; 8]);
    for _ in 0..times {
        append_generalized(&mut message, MOBILE_AAA, key.spi, key.algorithm, &key.key);
    }
    message
}

#[test]
fn right_aaa_authentication_is_accepted_and_the_challenge_comes_back() {
    let mut bench = Bench::new(config());
    let message = with_aaa(bench.now(), &association(300, 2), 1);
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(read_reply(sent(&actions)).code.is_accepted());
    assert_eq!(kinds(sent(&actions)), [kind::MOBILE_HOME_AUTHENTICATION, kind::CHALLENGE]);
    let (_, extensions) = RegistrationReply::parse(&sent(&actions).payload).unwrap();
    assert_eq!(challenge::find(&extensions).unwrap().data, [7; 8]);
}

#[test]
fn wrong_unknown_or_repeated_aaa_authentication_gets_144() {
    for (key, times) in [(association(300, 99), 1), (association(301, 2), 1), (association(300, 2), 2)] {
        let code = denial(config(), |now| with_aaa(now, &key, times));
        assert_eq!(code, ReplyCode::HA_AAA_AUTHENTICATION);
    }
}

#[test]
fn aaa_authentication_does_not_replace_the_clients_own() {
    let mut bench = Bench::new(config());
    let mut message = unsigned(&request(bench.now()));
    let key = client_key();
    append_generalized(&mut message, MOBILE_AAA, key.spi, key.algorithm, &key.key);
    assert_eq!(bench.receive(&through_foreign_agent(&message)), []);
    assert_eq!(bench.agent.counters().discarded.get(Discard::MissingAuthentication), 1);
}

fn name() -> Nai {
    Nai::new("scanner7@warehouse.example").unwrap()
}

/// A client that gives its name only.
fn named(now: Now) -> Vec<u8> {
    let mut message =
        unsigned(&RegistrationRequest { home_address: HomeAddress(Ipv4Addr::UNSPECIFIED), ..request(now) });
    name().append(&mut message);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
}

#[test]
fn a_client_is_found_by_its_name_and_told_its_address() {
    let mut bench = Bench::new(Config { identities: [(name(), HomeAddress(HOME))].into(), ..config() });
    let message = named(bench.now());
    let actions = bench.receive(&through_foreign_agent(&message));
    let reply = read_reply(sent(&actions));
    assert!(reply.code.is_accepted());
    assert_eq!(reply.home_address, HomeAddress(HOME));
    assert_eq!(kinds(sent(&actions)), [kind::MOBILE_NODE_NAI, kind::MOBILE_HOME_AUTHENTICATION]);
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    assert_eq!(bench.care_of_address(), Some(CARE_OF));
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&message))), ReplyCode::HA_IDENTIFICATION, "a replay");
}

#[test]
fn a_name_that_nobody_has_is_silent() {
    assert_eq!(silence(config(), named), Discard::NoAssociation);
}

#[test]
fn a_request_from_no_hosts_address_is_silent() {
    let mut bench = Bench::new(config());
    let message = signed(&request(bench.now()), &client_key());
    for source in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        assert_eq!(bench.receive(&Received { source, ..through_foreign_agent(&message) }), []);
    }
    assert_eq!(bench.agent.counters().discarded.get(Discard::ImpossibleSource), 3);
}

fn with_proxies(range: &str) -> Config {
    // Only the proxy has a key: none of the clients does.
    let mobile_home = Arc::default();
    Config { proxies: Some(vec![range.parse().unwrap()]), mobile_home, ..with_foreign_association() }
}

/// What a proxy sends by its own authority.
fn by_proxy(now: Now, method: AuthenticationMethod, key: &SecurityAssociation) -> Vec<u8> {
    let mut message = unsigned(&request(now));
    proxy_mode::append_device(&mut message, CLIENT_MAC);
    method.append(&mut message);
    key.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

#[test]
fn a_proxy_may_register_by_its_own_authentication() {
    let mut bench = Bench::new(with_proxies("10.2.0.0/24"));
    let message = by_proxy(bench.now(), AuthenticationMethod::ForeignHome, &agents_key());
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(read_reply(sent(&actions)).code.is_accepted());
    assert_eq!(kinds(sent(&actions)), [kind::PROXY_NON_SKIPPABLE, kind::FOREIGN_HOME_AUTHENTICATION]);
    assert!(is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()));
    let binding = *bench.agent.binding(HomeAddress(HOME)).unwrap();
    assert_eq!((binding.device, binding.spi), (Some(CLIENT_MAC), None));
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&message))), ReplyCode::HA_IDENTIFICATION, "a replay");
    let (successor, _) = restarted(&bench, with_proxies("10.2.0.0/24"), SECOND);
    assert_eq!(successor.agent.binding(HomeAddress(HOME)).unwrap().device, Some(CLIENT_MAC));
}

/// The code of the denial to a proxy, checked to be signed for it.
fn proxy_denial(config: Config, method: AuthenticationMethod, key: &SecurityAssociation) -> ReplyCode {
    let mut bench = Bench::new(config);
    let message = by_proxy(bench.now(), method, key);
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()));
    denied(&actions)
}

#[test]
fn a_proxy_that_is_not_listed_gets_150_and_where_none_is_149() {
    let elsewhere = with_proxies("10.9.0.0/24");
    let none = Config { proxies: None, ..with_proxies("10.2.0.0/24") };
    let method = AuthenticationMethod::ForeignHome;
    assert_eq!(proxy_denial(elsewhere, method, &agents_key()), ReplyCode::HA_PROXY_PROHIBITED);
    assert_eq!(proxy_denial(none, method, &agents_key()), ReplyCode::HA_PROXY_UNSUPPORTED);
    let wrong = proxy_denial(with_proxies("10.2.0.0/24"), method, &association(1000, 66));
    assert_eq!(wrong, ReplyCode::HA_FOREIGN_AUTHENTICATION);
}

#[test]
fn other_methods_of_a_proxy_get_149() {
    for method in [AuthenticationMethod::IpSec, AuthenticationMethod::Other(9)] {
        let code = denial(Config { proxies: Some(vec!["10.2.0.0/24".parse().unwrap()]), ..config() }, |now| {
            let mut message = unsigned(&request(now));
            method.append(&mut message);
            client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
            message
        });
        assert_eq!(code, ReplyCode::HA_PROXY_UNSUPPORTED);
    }
}

#[test]
fn a_proxy_without_any_key_is_silent() {
    let alone = |now| {
        let mut message = unsigned(&request(now));
        AuthenticationMethod::ForeignHome.append(&mut message);
        message
    };
    let config = Config { proxies: Some(vec!["10.2.0.0/24".parse().unwrap()]), ..config() };
    assert_eq!(silence(config, alone), Discard::MissingAuthentication);
}
