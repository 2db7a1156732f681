//! Dynamic home agent discovery, and answers to strangers who look for home agents.

use super::*;
use crate::wire::registration::RegistrationReply;

const SUBNET_BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 255);

/// What an access point sends that knows no client of the subnet: an unknown address, key and SPI.
fn probe(now: Now) -> Vec<u8> {
    let request = RegistrationRequest {
        home_address: HomeAddress(Ipv4Addr::new(192, 0, 2, 1)),
        home_agent: HomeAgentAddress(SUBNET_BROADCAST),
        ..request(now)
    };
    signed(&request, &association(4711, 5))
}

fn is_unsigned(transmit: &Transmit) -> bool {
    RegistrationReply::parse(&transmit.payload).unwrap().1.iter().next().is_none()
}

#[test]
fn a_strangers_search_gets_136_and_our_address_on_that_subnet() {
    let second = HomeAgentAddress(Ipv4Addr::new(10, 5, 0, 1));
    let mut config = Config { other_addresses: vec![second], ..config() };
    config.subnets.push(HomeSubnet { prefix: "10.5.0.0/24".parse().unwrap(), interface: ACCESS_LINK });
    for (destination, expected) in
        [(SUBNET_BROADCAST, HOME_AGENT), (Ipv4Addr::new(10, 5, 0, 255), second.0), (Ipv4Addr::BROADCAST, HOME_AGENT)]
    {
        let mut bench = Bench::new(config.clone());
        let message = probe(bench.now());
        let actions = bench.receive(&Received { destination, ..through_foreign_agent(&message) });
        assert_eq!(denied(&actions), ReplyCode::HA_UNKNOWN_AGENT);
        let reply = read_reply(sent(&actions));
        assert_eq!((sent(&actions).source, reply.home_agent.0), (expected, expected));
        assert_eq!(reply.identification.low(), bench.now().wall.low());
        assert!(is_unsigned(sent(&actions)), "there is no key to sign with");
        assert_eq!(bench.agent.counters().probes_answered, 1);
        assert_eq!(bench.agent.violations().iter().count(), 0);
    }
}

#[test]
fn a_search_with_an_unknown_spi_of_a_known_client_is_answered_with_the_clients_key() {
    let mut bench = Bench::new(config());
    let message = signed(&request(bench.now()), &association(4711, 5));
    let actions = bench.receive(&Received { destination: SUBNET_BROADCAST, ..through_foreign_agent(&message) });
    assert_eq!(denied(&actions), ReplyCode::HA_UNKNOWN_AGENT);
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
}

#[test]
fn a_search_without_authentication_is_silent() {
    let mut bench = Bench::new(config());
    let message = unsigned(&request(bench.now()));
    assert_eq!(bench.receive(&Received { destination: SUBNET_BROADCAST, ..through_foreign_agent(&message) }), []);
    assert_eq!(bench.agent.counters().discarded.get(Discard::MissingAuthentication), 1);
}

#[test]
fn strangers_get_ten_answers_a_second_together() {
    let mut bench = Bench::new(config());
    let message = probe(bench.now());
    let answers = |bench: &mut Bench, attempts: usize| {
        let received = Received { destination: SUBNET_BROADCAST, ..through_foreign_agent(&message) };
        (0..attempts).filter(|_| !bench.receive(&received).is_empty()).count()
    };
    assert_eq!(answers(&mut bench, 100), 10);
    assert_eq!(bench.agent.counters().discarded.get(Discard::ProbeLimited), 90);
    bench.clock.advance(SECOND / 2);
    assert_eq!(answers(&mut bench, 100), 5);
}

#[test]
fn strangers_get_the_same_answers_from_our_own_address_where_that_is_switched_on() {
    let mut bench = Bench::new(Config { answers_unicast_probes: true, ..config() });
    let message = probe(bench.now());
    let received = through_foreign_agent(&message);
    assert_eq!(denied(&bench.receive(&received)), ReplyCode::HA_UNKNOWN_AGENT);
    let answered = (1..100).filter(|_| !bench.receive(&received).is_empty()).count();
    assert_eq!(answered, 9, "ten a second together");
}

#[test]
fn strangers_get_no_answer_from_our_own_address_nor_where_it_is_switched_off() {
    let mut bench = Bench::new(config());
    let message = probe(bench.now());
    assert_eq!(bench.receive(&through_foreign_agent(&message)), []);
    let mut silent = Bench::new(Config { answers_probes: false, ..config() });
    assert_eq!(silent.receive(&Received { destination: SUBNET_BROADCAST, ..through_foreign_agent(&message) }), []);
    assert_eq!(silent.agent.counters().discarded.get(Discard::NoAssociation), 1);
}
