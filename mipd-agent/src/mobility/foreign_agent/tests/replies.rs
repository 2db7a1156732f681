use super::*;
use crate::wire::{authentication::Algorithm, nai::Nai};

#[test]
fn silence_of_the_home_agent_gets_78_after_seven_seconds() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|_| {});
    assert_eq!(bench.run(Duration::from_millis(6_999)), []);
    assert_eq!(told(&bench.run(Duration::from_millis(1))), ReplyCode::FA_TIMEOUT);
    assert_eq!(bench.agent.counters().requests_timed_out, 1);
    assert!(bench.visitor().is_some());
    assert_eq!(bench.accept(&request), [], "too late");
}

#[test]
fn unsolicited_reply_is_silent() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    for reply in [
        RegistrationReply { identification: Identification(request.identification.0 ^ 1), ..reply_to(&request) },
        RegistrationReply { home_address: HomeAddress(Ipv4Addr::new(10, 1, 0, 101)), ..reply_to(&request) },
    ] {
        assert_eq!(bench.answer(&signed_reply(&reply)), []);
    }
    bench.accept(&request);
    assert_eq!(bench.accept(&request), [], "the same reply again");
    assert_eq!(bench.agent.counters().discarded.get(Discard::Unsolicited), 3);
}

#[test]
fn only_the_low_half_of_the_identification_matters_to_a_reply() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let mut reply = reply_to(&request);
    reply.identification = Identification(u64::from(request.identification.low()));
    assert!(matches!(bench.answer(&signed_reply(&reply))[..], [Action::InstallVisitor { .. }, ..]));
}

#[test]
fn a_reply_overtaken_by_a_newer_one_does_not_bring_the_visitor_back() {
    let mut bench = Bench::new(config());
    let first = bench.ask(|_| {});
    let second = bench.ask(|request| request.lifetime = Lifetime::DEREGISTER);
    bench.accept(&second);
    assert_eq!(bench.accept(&first), []);
    assert!(bench.visitor().is_none());
}

#[test]
fn an_acceptance_captured_with_its_request_does_not_replace_a_newer_registration() {
    let old = Duration::from_mins(1);
    for lifetime in [Lifetime(600), Lifetime::DEREGISTER] {
        let mut bench = Bench::new(config());
        let mut captured = bench.fresh();
        captured.lifetime = lifetime;
        bench.clock.advance(old);
        let latest = bench.register();
        let before = *bench.visitor().unwrap();
        for replayed in [captured, RegistrationRequest { lifetime, ..latest }] {
            let message = signed(&replayed, &client_key());
            bench.receive(&Received { source_mac: Some(OTHER_MAC), ..from_client(&message) });
            assert_eq!(bench.accept(&replayed), []);
            assert_eq!(*bench.visitor().unwrap(), before);
        }
        assert_eq!(bench.agent.counters().discarded.get(Discard::Replayed), 2);
        let request = bench.ask(|_| {});
        assert_eq!(read_reply(sent(&bench.accept(&request))).code, ReplyCode::ACCEPTED, "a newer one counts");
    }
}

#[test]
fn a_client_whose_clock_was_set_back_is_told_so_and_registers_when_its_entry_is_gone() {
    let mut bench = Bench::new(config());
    bench.register();
    let set_back = |request: &mut RegistrationRequest| request.identification.0 -= 3600 << 32;
    let request = bench.ask(set_back);
    let denial = RegistrationReply { code: ReplyCode::HA_IDENTIFICATION, ..reply_to(&request) };
    assert_eq!(told(&bench.answer(&signed_reply(&denial))), ReplyCode::HA_IDENTIFICATION);
    bench.run(600 * SECOND);
    let request = bench.ask(set_back);
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().identification, request.identification);
}

#[test]
fn with_nonces_or_anything_else_that_is_no_time_the_order_of_identifications_means_nothing() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|request| request.identification.0 -= 3600 << 32);
    let mut reply = reply_to(&request);
    reply.identification.0 ^= 0x1234_5678 << 32;
    bench.answer(&signed_reply(&reply));
    assert_eq!(bench.visitor().unwrap().identification, request.identification);

    let mut bench = Bench::new(config());
    let counter = |request: &mut RegistrationRequest| request.identification = Identification(7);
    for _ in 0..2 {
        let request = bench.ask(counter);
        assert_eq!(read_reply(sent(&bench.accept(&request))).code, ReplyCode::ACCEPTED);
    }
}

#[test]
fn a_home_agent_that_fails_our_authentication_gets_the_client_68_and_the_right_reply_still_counts() {
    let keys: [&[SecurityAssociation]; 4] =
        [&[], &[association(1000, 8)], &[association(1001, 9)], &[agents_key(), agents_key()]];
    for keys in keys {
        let mut bench = Bench::new(with_home_association());
        let request = bench.ask(|_| {});
        let reply = signed_reply(&reply_to(&request));
        let mut wrong = reply.clone();
        for key in keys {
            key.sign(&mut wrong, kind::FOREIGN_HOME_AUTHENTICATION);
        }
        assert_eq!(told(&bench.answer(&wrong)), ReplyCode::FA_HOME_AUTHENTICATION);
        assert!(bench.visitor().is_none());
        let mut right = reply.clone();
        agents_key().sign(&mut right, kind::FOREIGN_HOME_AUTHENTICATION);
        let actions = bench.answer(&right);
        assert_eq!(sent(&actions).payload, reply, "ours is taken off");
        assert!(bench.visitor().is_some());
    }
}

#[test]
fn a_reply_that_calls_itself_a_deregistration_is_no_way_around_our_authentication() {
    let mut bench = Bench::new(with_home_association());
    let request = bench.ask(|_| {});
    let forged = signed_reply(&RegistrationReply { lifetime: Lifetime::DEREGISTER, ..reply_to(&request) });
    assert_eq!(told(&bench.answer(&forged)), ReplyCode::FA_HOME_AUTHENTICATION);
    assert_eq!(bench.agent.violations().iter().next().unwrap().reason, ViolationReason::MissingExtension);
}

#[test]
fn a_deregistration_may_be_answered_without_a_signature_for_us_but_not_with_a_wrong_one() {
    let mut bench = Bench::new(with_home_association());
    let request = bench.ask(|request| request.lifetime = Lifetime::DEREGISTER);
    let reply = signed_reply(&reply_to(&request));
    let mut wrong = reply.clone();
    association(1000, 8).sign(&mut wrong, kind::FOREIGN_HOME_AUTHENTICATION);
    assert_eq!(told(&bench.answer(&wrong)), ReplyCode::FA_HOME_AUTHENTICATION);
    assert_eq!(told(&bench.answer(&reply)), ReplyCode::ACCEPTED);
}

#[test]
fn poorly_formed_replies_get_71_beside_what_the_home_agent_said_and_change_nothing() {
    let request = Bench::new(config()).fresh();
    let elsewhere = RegistrationReply { home_agent: HomeAgentAddress(CARE_OF), ..reply_to(&request) };
    let broken = [signed_reply(&reply_to(&request)), vec![200, 9]].concat();
    for reply in [signed_reply(&elsewhere), broken] {
        let mut bench = Bench::new(config());
        bench.ask(|_| {});
        assert_eq!(refused(&bench.answer(&reply)), (ReplyCode::ACCEPTED, ReplyCode::FA_MALFORMED_REPLY));
        assert!(bench.visitor().is_none());
        bench.accept(&request);
        assert!(bench.visitor().is_some(), "a valid one still counts");
    }
}

#[test]
fn a_reply_of_which_the_client_could_authenticate_nothing_gets_71_alone() {
    let request = Bench::new(config()).fresh();
    let mut unsigned = Vec::new();
    reply_to(&request).emit(&mut unsigned);
    let mut broken_first = [&unsigned[..], &[kind::REVOCATION_SUPPORT, 1, 0]].concat();
    client_key().sign(&mut broken_first, kind::MOBILE_HOME_AUTHENTICATION);
    for reply in [unsigned, broken_first] {
        let mut bench = Bench::new(config());
        bench.ask(|_| {});
        assert_eq!(told(&bench.answer(&reply)), ReplyCode::FA_MALFORMED_REPLY);
        assert!(bench.visitor().is_none());
    }
}

#[test]
fn of_a_broken_reply_nothing_is_relayed_that_an_associated_home_agent_has_not_signed_for_us() {
    let mut bench = Bench::new(with_home_association());
    let request = bench.ask(|_| {});
    let reply = signed_reply(&reply_to(&request));
    let unsigned = [&reply[..], &[200, 9]].concat();
    assert_eq!(told(&bench.answer(&unsigned)), ReplyCode::FA_MALFORMED_REPLY);
    assert_eq!(bench.agent.violations().iter().count(), 0, "the signature may have been behind the break");
    bench.clock.advance(SECOND);
    let mut signed = reply;
    agents_key().sign(&mut signed, kind::FOREIGN_HOME_AUTHENTICATION);
    signed.extend([200, 9]);
    assert_eq!(refused(&bench.answer(&signed)), (ReplyCode::ACCEPTED, ReplyCode::FA_MALFORMED_REPLY));
}

#[test]
fn a_denial_of_the_home_agents_keeps_its_code_when_it_is_refused() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let denial = signed_reply(&RegistrationReply { code: ReplyCode::HA_RESOURCES, ..reply_to(&request) });
    let broken = [denial, vec![200, 9]].concat();
    assert_eq!(refused(&bench.answer(&broken)), (ReplyCode::HA_RESOURCES, ReplyCode::FA_MALFORMED_REPLY));
}

#[test]
fn a_refused_renewal_leaves_the_visitor_as_it_is() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    let request = bench.ask(|_| {});
    let broken = [signed_reply(&reply_to(&request)), vec![200, 9]].concat();
    assert_eq!(refused(&bench.answer(&broken)).1, ReplyCode::FA_MALFORMED_REPLY);
    assert_eq!(*bench.visitor().unwrap(), before);
}

#[test]
fn a_reply_without_a_home_agent_gets_98() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let reply = RegistrationReply { home_agent: HomeAgentAddress(Ipv4Addr::UNSPECIFIED), ..reply_to(&request) };
    let expected = (ReplyCode::ACCEPTED, ReplyCode::FA_MISSING_HOME_AGENT);
    assert_eq!(refused(&bench.answer(&signed_reply(&reply))), expected);
}

#[test]
fn a_denial_of_ours_is_not_repeated_as_a_timeout() {
    let mut bench = Bench::new(with_home_association());
    let request = bench.ask(|_| {});
    bench.answer(&signed_reply(&reply_to(&request)));
    assert_eq!(bench.run(10 * SECOND), []);
    assert_eq!(bench.agent.pending().count(), 0);
}

#[test]
fn an_unreachable_home_agent_is_reported_by_what_is_unreachable() {
    for (kind, code) in [
        (Unreachable::Network, ReplyCode::FA_HOME_NETWORK_UNREACHABLE),
        (Unreachable::Host, ReplyCode::FA_HOME_AGENT_HOST_UNREACHABLE),
        (Unreachable::Port, ReplyCode::FA_HOME_AGENT_PORT_UNREACHABLE),
        (Unreachable::Other, ReplyCode::FA_HOME_AGENT_UNREACHABLE),
    ] {
        let mut bench = Bench::new(config());
        let request = bench.ask(|_| {});
        let (other, quoted) = (unsigned(&bench.fresh()), unsigned(&request));
        let mut revocation = vec![7];
        revocation.resize(20, 0);
        let mut actions = Vec::new();
        bench.agent.handle_unreachable(bench.clock.0, CARE_OF, kind, &quoted, &mut actions);
        bench.agent.handle_unreachable(bench.clock.0, HOME_AGENT, kind, &other, &mut actions);
        bench.agent.handle_unreachable(bench.clock.0, HOME_AGENT, kind, &revocation, &mut actions);
        assert_eq!(actions, [], "another home agent, another request, something else");
        bench.agent.handle_unreachable(bench.clock.0, HOME_AGENT, kind, &quoted, &mut actions);
        assert_eq!(told(&actions), code);
        bench.accept(&request);
        assert!(bench.visitor().is_some(), "ICMP can be forged: a valid reply still counts");
    }
}

#[test]
fn a_request_to_the_agents_multicast_address_is_answered_from_our_own() {
    let mut bench = Bench::new(config());
    let request = bench.fresh();
    let message = signed(&request, &client_key());
    bench.receive(&Received { destination: Ipv4Addr::new(224, 0, 0, 11), ttl: 1, ..from_client(&message) });
    assert_eq!(sent(&bench.accept(&request)).source, CARE_OF);
}

#[test]
fn counters_have_a_row_per_code_and_reason() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    bench.answer(&signed_reply(&RegistrationReply { code: ReplyCode::HA_RESOURCES, ..reply_to(&request) }));
    bench.accept(&request);
    bench.ask(|_| {});
    bench.run(7 * SECOND);
    let entries = bench.agent.counters().entries();
    for row in ["denied_by_home_agent_130", "discarded_unsolicited", "denied_78", "requests_timed_out"] {
        assert!(entries.contains(&(row.to_owned(), 1)), "{row}: {entries:?}");
    }
}

#[test]
fn a_reply_that_names_not_what_the_request_named_gets_97_or_99() {
    let nai = Nai::new("a@example").unwrap();
    let ask = |bench: &mut Bench, home_address: Ipv4Addr| {
        let request = RegistrationRequest { home_address: HomeAddress(home_address), ..bench.fresh() };
        let mut message = unsigned(&request);
        nai.append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        assert_eq!(sent(&bench.receive(&from_client(&message))).path, Path::Routed);
        request
    };
    let answer = |bench: &mut Bench, reply: &RegistrationReply, nai: Option<&Nai>| {
        let mut message = Vec::new();
        reply.emit(&mut message);
        if let Some(nai) = nai {
            nai.append(&mut message);
        }
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        bench.answer(&message)
    };
    let mut bench = Bench::new(config());
    let request = ask(&mut bench, HOME);
    let expected = (ReplyCode::ACCEPTED, ReplyCode::FA_MISSING_NAI);
    assert_eq!(refused(&answer(&mut bench, &reply_to(&request), None)), expected);

    let mut bench = Bench::new(config());
    let request = ask(&mut bench, Ipv4Addr::UNSPECIFIED);
    let assigned = RegistrationReply { home_address: HomeAddress(HOME), ..reply_to(&request) };
    assert_eq!(refused(&answer(&mut bench, &assigned, None)), expected);

    let mut bench = Bench::new(config());
    let request = ask(&mut bench, Ipv4Addr::UNSPECIFIED);
    let denial = answer(&mut bench, &reply_to(&request), Some(&nai));
    assert_eq!(refused(&denial), (ReplyCode::ACCEPTED, ReplyCode::FA_MISSING_HOME_ADDRESS));
    assert_eq!(answer(&mut bench, &assigned, Some(&Nai::new("b@example").unwrap())), [], "another client's");
}

#[test]
fn a_critical_vendor_extension_for_us_from_the_home_agent_gets_101() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let reply = [signed_reply(&reply_to(&request)), vec![38, 0, 0, 6, 0, 0, 0, 9, 0, 1]].concat();
    assert_eq!(refused(&bench.answer(&reply)), (ReplyCode::ACCEPTED, ReplyCode::FA_VENDOR_FROM_HOME));
    assert!(bench.visitor().is_none());
}

#[test]
fn a_home_address_that_nobody_elsewhere_can_have_is_not_taken_from_a_reply() {
    for address in [CARE_OF, HOME_AGENT, Ipv4Addr::LOCALHOST] {
        let mut bench = Bench::new(config());
        let nai = Nai::new("a@example").unwrap();
        let request = RegistrationRequest { home_address: HomeAddress(Ipv4Addr::UNSPECIFIED), ..bench.fresh() };
        let mut message = unsigned(&request);
        nai.append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        bench.receive(&from_client(&message));
        let mut reply = Vec::new();
        RegistrationReply { home_address: HomeAddress(address), ..reply_to(&request) }.emit(&mut reply);
        nai.append(&mut reply);
        client_key().sign(&mut reply, kind::MOBILE_HOME_AUTHENTICATION);
        assert_eq!(refused(&bench.answer(&reply)), (ReplyCode::ACCEPTED, ReplyCode::FA_MALFORMED_REPLY));
        assert_eq!(bench.agent.visitors().count(), 0);
    }
}

#[test]
fn a_home_agent_may_use_any_algorithm_where_any_is_accepted_and_no_other_elsewhere() {
    for lenient in [false, true] {
        for algorithm in Algorithm::ALL {
            let shared = SecurityAssociation { accept_any_algorithm: lenient, ..agents_key() };
            let mut bench = Bench::new(Config { foreign_home: sharing(HOME_AGENT, shared), ..config() });
            let request = bench.ask(|_| {});
            let mut reply = signed_reply(&reply_to(&request));
            agents_key().sign_with(algorithm, &mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
            bench.answer(&reply);
            assert_eq!(bench.visitor().is_some(), lenient || algorithm == Algorithm::HmacMd5, "{algorithm:?}");
        }
    }
}

#[test]
fn an_error_that_quotes_too_little_concerns_everybody_with_that_home_agent() {
    let mut bench = Bench::new(config());
    bench.ask(|_| {});
    let elsewhere = HomeAgentAddress(Ipv4Addr::new(172, 16, 0, 1));
    bench.ask(|request| request.home_agent = elsewhere);
    let mut actions = Vec::new();
    bench.agent.handle_unreachable(bench.clock.0, HOME_AGENT, Unreachable::Host, &[1, 0, 2], &mut actions);
    assert_eq!(read_reply(sent(&actions)).home_agent, HomeAgentAddress(HOME_AGENT));
    assert_eq!(told(&actions), ReplyCode::FA_HOME_AGENT_HOST_UNREACHABLE);
}
