use super::*;
use crate::wire::{
    authentication::{Algorithm, MOBILE_AAA, append_generalized},
    dynamic_home_agent::{DynamicHomeAgent, Purpose},
    nai::Nai,
};

#[test]
fn a_request_is_relayed_unchanged_from_the_care_of_address() {
    let mut bench = Bench::new(config());
    let message = signed(&bench.fresh(), &client_key());
    let actions = bench.receive(&from_client(&message));
    let transmit = sent(&actions);
    assert_eq!(transmit.payload, message);
    assert_eq!((transmit.source, transmit.source_port), (CARE_OF, 434));
    assert_eq!((transmit.destination, transmit.destination_port), (HOME_AGENT, 434));
    assert_eq!(transmit.path, Path::Routed);
    assert_eq!(bench.agent.pending().count(), 1);
    assert!(bench.visitor().is_none(), "nobody is a visitor before the home agent says so");
}

#[test]
fn what_follows_the_authorization_is_for_us_and_not_relayed() {
    let mut bench = Bench::new(with_mobile_association());
    let message = signed(&bench.fresh(), &client_key());
    let mut extended = [message.clone(), vec![200, 2, 1, 2]].concat();
    visitor_key().sign(&mut extended, kind::MOBILE_FOREIGN_AUTHENTICATION);
    assert_eq!(sent(&bench.receive(&from_client(&extended))).payload, message);
}

#[test]
fn an_imitation_of_a_pending_request_does_not_redirect_the_reply() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let message = signed(&request, &client_key());
    assert_eq!(bench.receive(&Received { source_mac: Some(OTHER_MAC), ..from_client(&message) }), []);
    assert_eq!(bench.agent.counters().discarded.get(Discard::Imitation), 1);
    assert_eq!(bench.accept(&request)[0], install(CLIENT_MAC, ACCESS_LINK, false));
}

#[test]
fn a_repeated_request_is_relayed_again_and_takes_no_second_place() {
    let mut bench = Bench::new(Config { maximum_pending: 1, ..config() });
    let request = bench.ask(|_| {});
    bench.clock.advance(SECOND);
    let message = signed(&request, &client_key());
    assert_eq!(sent(&bench.receive(&from_client(&message))).path, Path::Routed);
    assert_eq!(bench.agent.pending().count(), 1);
    assert_eq!(bench.run(6 * SECOND + SECOND / 2), [], "the time runs from the last relay");
}

#[test]
fn poorly_formed_requests_get_70() {
    let broken = |request: &RegistrationRequest| [signed(request, &client_key()), vec![200, 9]].concat();
    assert_eq!(denial_of_bytes(config(), broken), ReplyCode::FA_MALFORMED_REQUEST);
    assert_eq!(denial_of_bytes(config(), unsigned), ReplyCode::FA_MALFORMED_REQUEST, "nothing authorizes it");
    for address in ["127.0.0.1", "224.0.0.1", "10.1.0.1"] {
        let address = HomeAddress(address.parse().unwrap());
        assert_eq!(denial_of(config(), |request| request.home_address = address), ReplyCode::FA_MALFORMED_REQUEST);
    }
}

#[test]
fn a_home_address_that_is_ours_gets_65() {
    let code = denial_of(config(), |request| request.home_address = HomeAddress(CARE_OF));
    assert_eq!(code, ReplyCode::FA_PROHIBITED);
}

#[test]
fn a_reverse_tunnel_over_more_than_one_hop_gets_76() {
    let far = |request: &mut RegistrationRequest, received: &mut Received<'_>| {
        request.flags.reverse_tunnel = true;
        received.ttl = 254;
    };
    assert_eq!(denial(config(), far), ReplyCode::FA_TOO_DISTANT);
    let mut bench = Bench::new(config());
    let message = signed(&bench.fresh(), &client_key());
    let actions = bench.receive(&Received { ttl: 1, ..from_client(&message) });
    assert_eq!(sent(&actions).path, Path::Routed, "without T any TTL will do");
}

#[test]
fn our_own_address_as_home_agent_gets_194_unless_we_are_one() {
    let ours = HomeAgentAddress(Ipv4Addr::new(10, 0, 2, 2));
    assert_eq!(denial_of(config(), |request| request.home_agent = ours), ReplyCode::FA_INVALID_HOME_AGENT);
    let mut bench = Bench::new(Config { own_home_agents: vec![ours.0], ..config() });
    bench.ask(|request| request.home_agent = ours);
}

#[test]
fn a_home_agent_that_is_no_host_is_never_sent_to() {
    for (address, expected) in [
        ("0.0.0.0", ReplyCode::FA_HOME_AGENT_REQUIRED),
        ("255.255.255.255", ReplyCode::FA_HOME_AGENT_REQUIRED),
        ("224.0.0.11", ReplyCode::FA_INVALID_HOME_AGENT),
        ("127.0.0.1", ReplyCode::FA_INVALID_HOME_AGENT),
    ] {
        let address = HomeAgentAddress(address.parse().unwrap());
        assert_eq!(denial_of(config(), |request| request.home_agent = address), expected, "{address}");
    }
}

#[test]
fn a_client_without_a_home_address_gets_96_by_ip_broadcast() {
    let mut bench = Bench::new(config());
    let mut request = bench.fresh();
    request.home_address = HomeAddress(Ipv4Addr::UNSPECIFIED);
    let actions = bench.receive(&from_client(&signed(&request, &client_key())));
    assert_eq!(told(&actions), ReplyCode::FA_HOME_ADDRESS_REQUIRED);
    assert_eq!(sent(&actions).destination, Ipv4Addr::BROADCAST);
}

#[test]
fn a_care_of_address_that_is_not_ours_gets_77() {
    let other = CareOfAddress(Ipv4Addr::new(10, 3, 0, 1));
    assert_eq!(denial_of(config(), |request| request.care_of_address = other), ReplyCode::FA_CARE_OF_ADDRESS);
}

#[test]
fn a_lifetime_beyond_the_maximum_gets_69_and_the_maximum() {
    let mut bench = Bench::new(config());
    let mut request = bench.fresh();
    request.lifetime = Lifetime(36_001);
    let actions = bench.receive(&from_client(&signed(&request, &client_key())));
    assert_eq!(told(&actions), ReplyCode::FA_LIFETIME);
    assert_eq!(read_reply(sent(&actions)).lifetime, Lifetime(36_000));
}

#[test]
fn encapsulations_that_we_lack_get_72() {
    let none = RequestFlags::default();
    for flags in [RequestFlags { gre: true, ..none }, RequestFlags { minimal_encapsulation: true, ..none }] {
        assert_eq!(denial_of(config(), |request| request.flags = flags), ReplyCode::FA_ENCAPSULATION);
    }
}

#[test]
fn extensions_for_us_that_we_do_not_support_get_their_codes() {
    let with = |extension: &'static [u8]| {
        move |request: &RegistrationRequest| [signed(request, &client_key()), extension.to_vec()].concat()
    };
    let encapsulating = |request: &RegistrationRequest| {
        let flags = RequestFlags { reverse_tunnel: true, ..request.flags };
        [signed(&RegistrationRequest { flags, ..*request }, &client_key()), vec![130, 0]].concat()
    };
    assert_eq!(denial_of_bytes(config(), encapsulating), ReplyCode::FA_DELIVERY_STYLE);
    let vendor = denial_of_bytes(config(), with(&[38, 0, 0, 6, 0, 0, 0, 9, 0, 1]));
    assert_eq!(vendor, ReplyCode::FA_VENDOR_FROM_MOBILE);
}

#[test]
fn the_reverse_tunnel_policy_is_enforced_after_everything_else() {
    let off = || Config { reverse_tunnel: ReverseTunnel::Off, ..config() };
    let required = Config { reverse_tunnel: ReverseTunnel::Required, ..config() };
    let wanted = |request: &mut RegistrationRequest| request.flags.reverse_tunnel = true;
    assert_eq!(denial_of(off(), wanted), ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE);
    assert_eq!(denial_of(required, |_| {}), ReplyCode::FA_REVERSE_TUNNEL_MANDATORY);
    let both = RequestFlags { reverse_tunnel: true, gre: true, ..RequestFlags::default() };
    assert_eq!(denial_of(off(), |request| request.flags = both), ReplyCode::FA_ENCAPSULATION);
}

#[test]
fn a_client_has_five_pending_registrations_and_no_more() {
    let mut bench = Bench::new(config());
    for _ in 0..5 {
        bench.ask(|_| {});
    }
    let message = signed(&bench.fresh(), &client_key());
    assert_eq!(told(&bench.receive(&from_client(&message))), ReplyCode::FA_RESOURCES);
    let other = Received { source_mac: Some(OTHER_MAC), ..from_client(&message) };
    assert_eq!(sent(&bench.receive(&other)).path, Path::Routed, "another client has its own five");
    bench.run(7 * SECOND);
    bench.ask(|_| {});
}

#[test]
fn a_full_pending_list_gets_66() {
    let mut bench = Bench::new(Config { maximum_pending: 2, ..config() });
    for host in [1, 2] {
        bench.ask(|request| request.home_address = HomeAddress(Ipv4Addr::new(10, 1, 7, host)));
    }
    let message = signed(&bench.fresh(), &client_key());
    assert_eq!(told(&bench.receive(&from_client(&message))), ReplyCode::FA_RESOURCES);
    assert!(bench.agent.is_busy());
}

#[test]
fn a_full_visitor_list_refuses_newcomers_and_still_renews() {
    let mut bench = Bench::new(Config { maximum_visitors: 1, ..config() });
    bench.register();
    let mut newcomer = bench.fresh();
    newcomer.home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, 101));
    let actions = bench.receive(&from_client(&signed(&newcomer, &client_key())));
    assert_eq!(told(&actions), ReplyCode::FA_RESOURCES);
    bench.register();
}

#[test]
fn denials_are_limited_to_one_a_second_per_client() {
    let mut bench = Bench::new(config());
    let refused = |bench: &mut Bench, mac| {
        let mut request = bench.fresh();
        request.flags.gre = true;
        let message = signed(&request, &client_key());
        bench.receive(&Received { source_mac: Some(mac), ..from_client(&message) }).len()
    };
    assert_eq!(refused(&mut bench, CLIENT_MAC), 1);
    assert_eq!(refused(&mut bench, CLIENT_MAC), 0);
    assert_eq!(refused(&mut bench, OTHER_MAC), 1);
    bench.clock.advance(SECOND);
    assert_eq!(refused(&mut bench, CLIENT_MAC), 1);
    assert_eq!(bench.agent.counters().denials_suppressed, 1);
    assert_eq!(bench.agent.counters().denied.get(ReplyCode::FA_ENCAPSULATION), 4);
}

#[test]
fn with_an_association_the_client_must_sign_for_us_and_gets_signed_replies() {
    let mut bench = Bench::new(with_mobile_association());
    let request = bench.fresh();
    let mut message = signed(&request, &client_key());
    visitor_key().sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
    assert_eq!(sent(&bench.receive(&from_client(&message))).path, Path::Routed);
    let actions = bench.accept(&request);
    assert!(is_signed(sent(&actions), kind::MOBILE_FOREIGN_AUTHENTICATION, &visitor_key()));
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
}

#[test]
fn a_client_that_fails_our_authentication_gets_67_signed_and_is_logged() {
    let keys: [&[SecurityAssociation]; 4] =
        [&[], &[association(2000, 21)], &[association(2001, 20)], &[visitor_key(), visitor_key()]];
    for keys in keys {
        let mut bench = Bench::new(with_mobile_association());
        let mut message = signed(&bench.fresh(), &client_key());
        for key in keys {
            key.sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
        }
        let actions = bench.receive(&from_client(&message));
        assert_eq!(told(&actions), ReplyCode::FA_MOBILE_AUTHENTICATION);
        assert!(is_signed(sent(&actions), kind::MOBILE_FOREIGN_AUTHENTICATION, &visitor_key()));
        let violations: Vec<_> = bench.agent.violations().iter().map(|violation| violation.spi).collect();
        assert_eq!(violations, [keys.first().map(|key| key.spi)]);
    }
}

#[test]
fn with_an_association_the_home_agent_gets_our_signature_last() {
    let mut bench = Bench::new(with_home_association());
    let request = bench.fresh();
    let message = signed(&request, &client_key());
    let mut expected = message.clone();
    agents_key().sign(&mut expected, kind::FOREIGN_HOME_AUTHENTICATION);
    assert_eq!(sent(&bench.receive(&from_client(&message))).payload, expected);

    let deregistration = signed(&deregistration(bench.now()), &client_key());
    bench.run(8 * SECOND);
    assert_eq!(sent(&bench.receive(&from_client(&deregistration))).payload, deregistration, "not on these");
}

#[test]
fn what_does_not_come_from_a_host_on_an_access_interface_is_silent() {
    let good = |request: &RegistrationRequest| signed(request, &client_key());
    let cases: [fn(&mut Received<'_>); 3] = [
        |received| received.interface = CORE_LINK,
        |received| received.source_mac = None,
        |received| received.source_mac = Some(MacAddress::BROADCAST),
    ];
    for case in cases {
        assert_eq!(silence(case, good), Discard::NotFromAnAccessInterface);
    }
}

#[test]
fn messages_that_must_be_ignored_are_silent() {
    assert_eq!(silence(|_| {}, |_| vec![1; 23]), Discard::NotARequest);
    let unknown = |request: &RegistrationRequest| [signed(request, &client_key()), vec![77, 0]].concat();
    assert_eq!(silence(|_| {}, unknown), Discard::UnknownExtension);
    let revocation =
        |request: &RegistrationRequest| [signed(request, &client_key()), vec![137, 6, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(silence(|_| {}, revocation), Discard::RevocationFromMobileNode);
}

#[test]
fn a_co_located_client_is_relayed_and_never_a_visitor() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|request| {
        request.flags.co_located = true;
        request.care_of_address = CareOfAddress(Ipv4Addr::new(10, 2, 0, 77));
    });
    assert_eq!(told(&bench.accept(&request)), ReplyCode::ACCEPTED);
    assert!(bench.visitor().is_none());
}

#[test]
fn on_a_box_with_both_roles_only_what_goes_through_us_is_ours() {
    let agent = ForeignAgent::new(Config { own_home_agents: vec![CARE_OF], ..config() }, 1);
    let now = Clock::new().0;
    let own = RegistrationRequest { home_agent: HomeAgentAddress(CARE_OF), ..request(now) };
    let straight = RegistrationRequest { home_agent: HomeAgentAddress(CARE_OF), ..deregistration(now) };
    assert!(agent.takes(&from_client(&unsigned(&request(now)))), "a visitor from elsewhere");
    assert!(agent.takes(&from_client(&unsigned(&own))), "a visitor from another subnet of this box");
    assert!(agent.takes(&from_client(&unsigned(&deregistration(now)))), "to its home agent elsewhere");
    assert!(!agent.takes(&from_client(&unsigned(&straight))), "a client that is home");
    assert!(!agent.takes(&from_client(&[])));
}

/// The message with the NAI among the extensions that the home agent authenticates.
fn with_nai(request: &RegistrationRequest, nai: &str) -> Vec<u8> {
    let mut message = unsigned(request);
    Nai::new(nai).unwrap().append(&mut message);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
}

fn nameless(bench: &mut Bench) -> RegistrationRequest {
    RegistrationRequest { home_address: HomeAddress(Ipv4Addr::UNSPECIFIED), ..bench.fresh() }
}

#[test]
fn a_client_without_a_home_address_is_known_by_its_identifier_until_it_has_one() {
    let mut bench = Bench::new(config());
    let request = nameless(&mut bench);
    for nai in ["a@example", "b@example"] {
        assert_eq!(sent(&bench.receive(&from_client(&with_nai(&request, nai)))).path, Path::Routed);
    }
    assert_eq!(bench.agent.pending().count(), 2, "equal but for the identifier");
    let mut reply = Vec::new();
    RegistrationReply { home_address: HomeAddress(HOME), ..reply_to(&request) }.emit(&mut reply);
    Nai::new("b@example").unwrap().append(&mut reply);
    client_key().sign(&mut reply, kind::MOBILE_HOME_AUTHENTICATION);
    let actions = bench.answer(&reply);
    assert_eq!(actions[0], install(CLIENT_MAC, ACCESS_LINK, false));
    assert_eq!(sent(&actions).destination, HOME, "the address it now has");
    assert_eq!(bench.agent.pending().map(|pending| pending.nai.clone()).collect::<Vec<_>>(), [Nai::new("a@example")]);
}

#[test]
fn a_denial_of_a_client_without_a_home_address_reaches_it_by_ip_broadcast() {
    let mut bench = Bench::new(config());
    let request = nameless(&mut bench);
    bench.receive(&from_client(&with_nai(&request, "a@example")));
    let mut reply = Vec::new();
    RegistrationReply { code: ReplyCode::HA_PROHIBITED, ..reply_to(&request) }.emit(&mut reply);
    Nai::new("a@example").unwrap().append(&mut reply);
    client_key().sign(&mut reply, kind::MOBILE_HOME_AUTHENTICATION);
    let actions = bench.answer(&reply);
    assert_eq!(told(&actions), ReplyCode::HA_PROHIBITED);
    assert_eq!(sent(&actions).destination, Ipv4Addr::BROADCAST);
}

#[test]
fn a_request_without_a_home_agent_goes_to_the_one_it_asks_for() {
    for asked in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        let mut bench = Bench::new(config());
        let request = RegistrationRequest { home_agent: HomeAgentAddress(asked), ..bench.fresh() };
        let mut message = unsigned(&request);
        DynamicHomeAgent { purpose: Purpose::Requested, address: HOME_AGENT }.append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        let actions = bench.receive(&from_client(&message));
        assert_eq!(sent(&actions).destination, HOME_AGENT);
        assert_eq!(sent(&actions).payload, message, "what the client authenticated is not touched");
        let assigned = RegistrationReply { home_agent: HomeAgentAddress(HOME_AGENT), ..reply_to(&request) };
        assert_eq!(bench.answer(&signed_reply(&assigned))[0], install(CLIENT_MAC, ACCESS_LINK, false));
    }
}

#[test]
fn an_asked_for_home_agent_that_is_none_gets_90_and_one_that_is_ours_194() {
    let asking = |address: Ipv4Addr| {
        move |request: &RegistrationRequest| {
            let request = RegistrationRequest { home_agent: HomeAgentAddress(Ipv4Addr::UNSPECIFIED), ..*request };
            let mut message = unsigned(&request);
            DynamicHomeAgent { purpose: Purpose::Requested, address }.append(&mut message);
            client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
            message
        }
    };
    for nobody in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        assert_eq!(denial_of_bytes(config(), asking(nobody)), ReplyCode::FA_HOME_AGENT_REQUIRED);
    }
    assert_eq!(denial_of_bytes(config(), asking(CARE_OF)), ReplyCode::FA_INVALID_HOME_AGENT);
}

#[test]
fn reserved_flags_are_ignored_unless_the_operator_is_strict() {
    let strict = || Config { strict_flags: true, ..config() };
    for reserved in [0x01, 0x04] {
        let with = |request: &RegistrationRequest| {
            let mut message = unsigned(request);
            message[1] |= reserved;
            client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
            message
        };
        assert_eq!(denial_of_bytes(strict(), with), ReplyCode::FA_MALFORMED_REQUEST);
        let mut bench = Bench::new(config());
        let message = with(&bench.fresh());
        assert_eq!(sent(&bench.receive(&from_client(&message))).payload, message);
    }
}

#[test]
fn only_an_extension_that_authorizes_bounds_what_is_relayed() {
    let mut bench = Bench::new(config());
    let message = signed(&bench.fresh(), &client_key());
    let key = client_key();
    let mut extended = message.clone();
    append_generalized(&mut extended, MOBILE_AAA, key.spi, key.algorithm, &key.key);
    let authorized = extended.clone();
    append_generalized(&mut extended, 3, key.spi, key.algorithm, &key.key);
    assert_eq!(sent(&bench.receive(&from_client(&extended))).payload, authorized);
}

#[test]
fn with_any_algorithm_accepted_the_client_is_answered_in_its_own() {
    for algorithm in Algorithm::ALL {
        let lenient = SecurityAssociation { accept_any_algorithm: true, ..visitor_key() };
        let mut bench = Bench::new(Config { mobile_foreign: sharing(HOME, lenient), ..config() });
        let request = bench.fresh();
        let mut message = signed(&request, &client_key());
        visitor_key().sign_with(algorithm, &mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
        bench.receive(&from_client(&message));
        let its_own = SecurityAssociation { algorithm, ..visitor_key() };
        assert!(is_signed(sent(&bench.accept(&request)), kind::MOBILE_FOREIGN_AUTHENTICATION, &its_own));
        let deviations = u64::from(algorithm != Algorithm::HmacMd5);
        assert_eq!(bench.agent.counters().authenticated_by_other_algorithm, deviations);
    }
}

#[test]
fn a_signature_for_us_among_what_the_home_agent_authenticates_is_misplaced() {
    let mut bench = Bench::new(with_mobile_association());
    let mut message = unsigned(&bench.fresh());
    visitor_key().sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    assert_eq!(told(&bench.receive(&from_client(&message))), ReplyCode::FA_MOBILE_AUTHENTICATION);
}

/// Each step makes the request fail one more check, an earlier one than all before: it gets that one's code.
#[test]
fn the_checks_come_in_the_documented_order() {
    let config = Config {
        reverse_tunnel: ReverseTunnel::Off,
        maximum_pending: 0,
        mobile_foreign: sharing(HOME, visitor_key()),
        ..config()
    };
    let mut bench = Bench::new(Config { maximum_pending: 20, ..config.clone() });
    let mut message = RegistrationRequest {
        flags: RequestFlags { reverse_tunnel: true, ..RequestFlags::default() },
        ..bench.fresh()
    };
    let mut ttl = 255;
    let mut tail = Vec::new();
    let mut steps = Vec::new();
    let mut get = |bench: &mut Bench, message: &RegistrationRequest, tail: &[u8], ttl: u8, sign: bool| {
        bench.clock.advance(SECOND);
        let mut bytes = [signed(message, &client_key()), tail.to_vec()].concat();
        if sign {
            visitor_key().sign(&mut bytes, kind::MOBILE_FOREIGN_AUTHENTICATION);
        }
        steps.push(told(&bench.receive(&Received { ttl, ..from_client(&bytes) })).0);
    };
    get(&mut bench, &message, &tail, ttl, true);
    tail.extend([130, 0]);
    get(&mut bench, &message, &tail, ttl, true);
    message.flags.gre = true;
    get(&mut bench, &message, &tail, ttl, true);
    let mut bench = Bench::new(config);
    get(&mut bench, &message, &tail, ttl, true);
    message.lifetime = Lifetime(40_000);
    get(&mut bench, &message, &tail, ttl, true);
    message.care_of_address = CareOfAddress(HOME_AGENT);
    get(&mut bench, &message, &tail, ttl, true);
    message.home_agent = HomeAgentAddress(Ipv4Addr::UNSPECIFIED);
    get(&mut bench, &message, &tail, ttl, true);
    message.home_agent = HomeAgentAddress(CARE_OF);
    get(&mut bench, &message, &tail, ttl, true);
    ttl = 64;
    get(&mut bench, &message, &tail, ttl, true);
    get(&mut bench, &message, &tail, ttl, false);
    tail.extend([200, 9]);
    get(&mut bench, &message, &tail, ttl, false);
    assert_eq!(steps, [74, 79, 72, 66, 69, 77, 90, 194, 76, 67, 70]);
}

#[test]
fn a_home_agent_that_insists_gets_deregistrations_signed_too() {
    let insisting = SecurityAssociation { sign_deregistrations: true, ..agents_key() };
    let mut bench = Bench::new(Config { foreign_home: sharing(HOME_AGENT, insisting), ..config() });
    let request = RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..bench.fresh() };
    let message = signed(&request, &client_key());
    let mut expected = message.clone();
    agents_key().sign(&mut expected, kind::FOREIGN_HOME_AUTHENTICATION);
    assert_eq!(sent(&bench.receive(&from_client(&message))).payload, expected);
    assert_eq!(told(&bench.accept(&request)), ReplyCode::FA_HOME_AUTHENTICATION, "then the answer must be, too");
}

#[test]
fn nobody_waits_longer_for_the_home_agent_than_the_lifetime_asked_for() {
    let mut bench = Bench::new(config());
    bench.ask(|request| request.lifetime = Lifetime(3));
    assert_eq!(bench.run(Duration::from_millis(2_999)), []);
    assert_eq!(told(&bench.run(Duration::from_millis(1))), ReplyCode::FA_TIMEOUT);
}
