//! Negotiation of encapsulation, GRE keys, UDP tunnels and delivery style.

use std::net::SocketAddrV4;

use super::*;
use crate::{
    mobility::{
        foreign_agent::{GreKeyPolicy, UdpTunnelling},
        tunnel::{Encapsulation, Encapsulations, GreKeys, UdpTunnel},
    },
    wire::{
        echo::{self, Through},
        extension::Extensions,
        gre_key::GreKey,
        ip::Ipv4,
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};

fn everything() -> Config {
    Config {
        encapsulations: Encapsulation::ALL.into_iter().collect::<Encapsulations>(),
        encapsulating_delivery: true,
        gre_key: GreKeyPolicy::WithGre,
        ..config()
    }
}

fn with_udp(udp: UdpTunnelling) -> Config {
    Config { udp_tunnel: Some(udp), ..everything() }
}

const TRANSLATED_AT_TIMES: UdpTunnelling = UdpTunnelling { forced: false, everything_translated: false };

fn relayed(actions: &[Action]) -> (RegistrationRequest, Extensions<'_>) {
    let transmit = sent(actions);
    assert_eq!(transmit.path, Path::Routed);
    RegistrationRequest::parse(&transmit.payload).unwrap()
}

/// The client asks with these flags; what the home agent gets.
fn ask(bench: &mut Bench, change: impl FnOnce(&mut RegistrationRequest)) -> (RegistrationRequest, Vec<Action>) {
    let mut request = bench.fresh();
    change(&mut request);
    let actions = bench.receive(&from_client(&signed(&request, &client_key())));
    (request, actions)
}

fn key_in(actions: &[Action]) -> Option<u32> {
    GreKey::find(&relayed(actions).1).map(|key| key.0)
}

/// The home agent accepts and says this for us.
fn accepted(request: &RegistrationRequest, for_us: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut reply = signed_reply(&reply_to(request));
    for_us(&mut reply);
    reply
}

fn gre(request: &mut RegistrationRequest) {
    request.flags.gre = true;
}

#[test]
fn each_encapsulation_that_we_have_is_relayed_and_installed() {
    for (encapsulation, flags) in [
        (Encapsulation::IpInIp, RequestFlags::default()),
        (Encapsulation::Gre, RequestFlags { gre: true, ..RequestFlags::default() }),
        (Encapsulation::Minimal, RequestFlags { minimal_encapsulation: true, ..RequestFlags::default() }),
    ] {
        let mut bench = Bench::new(Config { gre_key: GreKeyPolicy::Never, ..everything() });
        let request = bench.ask(|request| request.flags = flags);
        bench.accept(&request);
        assert_eq!(bench.visitor().unwrap().tunnel, TunnelMode { encapsulation, ..TunnelMode::default() });
    }
}

#[test]
fn both_encapsulations_at_once_get_72_since_nothing_says_which_wins() {
    let both = RequestFlags { gre: true, minimal_encapsulation: true, ..RequestFlags::default() };
    assert_eq!(denial_of(everything(), |request| request.flags = both), ReplyCode::FA_ENCAPSULATION);
}

#[test]
fn a_deregistration_and_a_co_located_client_need_no_encapsulation_of_ours() {
    let mut bench = Bench::new(config());
    bench.ask(|request| (request.flags.gre, request.lifetime) = (true, Lifetime::DEREGISTER));
    bench.ask(|request| (request.flags.gre, request.flags.co_located) = (true, true));
}

#[test]
fn the_key_comes_behind_the_client_and_before_our_signature_and_each_end_gets_its_own() {
    let mut bench = Bench::new(Config { foreign_home: sharing(HOME_AGENT, agents_key()), ..everything() });
    let (request, actions) = ask(&mut bench, gre);
    let (_, extensions) = relayed(&actions);
    let kinds: Vec<_> = extensions.iter().map(|extension| extension.kind).collect();
    let expected = [kind::MOBILE_HOME_AUTHENTICATION, kind::GRE_KEY, kind::FOREIGN_HOME_AUTHENTICATION];
    assert_eq!(kinds, expected);
    let receive = key_in(&actions).unwrap();
    assert_ne!(receive, 0, "0 would mean one key for both directions");
    let mut reply = accepted(&request, |reply| GreKey(77).append(reply));
    agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
    let actions = bench.answer(&reply);
    let tunnel = bench.visitor().unwrap().tunnel;
    assert_eq!(tunnel.encapsulation, Encapsulation::Gre);
    assert_eq!(tunnel.gre_keys, Some(GreKeys { send: 77, receive }));
    assert_eq!(sent(&actions).payload, signed_reply(&reply_to(&request)), "the key is not the client's");
}

#[test]
fn every_request_of_a_session_with_keys_names_the_same_key_the_last_one_too() {
    let mut bench = Bench::new(everything());
    let (request, actions) = ask(&mut bench, gre);
    let key = key_in(&actions);
    bench.answer(&accepted(&request, |reply| GreKey(77).append(reply)));
    let (renewal, actions) = ask(&mut bench, gre);
    assert_eq!(key_in(&actions), key);
    let actions = bench.answer(&accepted(&renewal, |reply| GreKey(77).append(reply)));
    assert!(!actions.iter().any(|action| matches!(action, Action::InstallVisitor { .. })), "nothing is different");
    let (_, actions) = ask(&mut bench, |request| (request.flags.gre, request.lifetime) = (true, Lifetime::DEREGISTER));
    assert_eq!(key_in(&actions), key);
}

#[test]
fn two_sessions_have_two_keys() {
    let mut bench = Bench::new(everything());
    let (_, one) = ask(&mut bench, gre);
    let (_, other) = ask(&mut bench, |request| {
        gre(request);
        request.home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, 101));
    });
    assert_ne!(key_in(&one), key_in(&other));
}

#[test]
fn a_home_agent_that_names_no_key_gets_packets_without_one() {
    let mut bench = Bench::new(everything());
    let (request, actions) = ask(&mut bench, gre);
    assert!(key_in(&actions).is_some());
    bench.accept(&request);
    let tunnel = bench.visitor().unwrap().tunnel;
    assert_eq!((tunnel.encapsulation, tunnel.gre_keys), (Encapsulation::Gre, None));
}

#[test]
fn a_key_that_we_did_not_ask_for_is_ignored() {
    let mut bench = Bench::new(Config { gre_key: GreKeyPolicy::Never, ..everything() });
    let (request, actions) = ask(&mut bench, gre);
    assert_eq!(key_in(&actions), None);
    bench.answer(&accepted(&request, |reply| GreKey(77).append(reply)));
    assert_eq!(bench.visitor().unwrap().tunnel.gre_keys, None);
}

#[test]
fn a_home_agent_that_stays_silent_is_asked_without_a_key_for_ten_minutes() {
    let mut bench = Bench::new(everything());
    let (_, actions) = ask(&mut bench, gre);
    assert!(key_in(&actions).is_some());
    assert_eq!(told(&bench.run(7 * SECOND)), ReplyCode::FA_TIMEOUT);
    let (request, actions) = ask(&mut bench, gre);
    assert_eq!(key_in(&actions), None);
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().tunnel.encapsulation, Encapsulation::Gre);
    bench.run(601 * SECOND);
    let (_, actions) = ask(&mut bench, gre);
    assert!(key_in(&actions).is_some());
}

#[test]
fn silence_about_a_session_that_has_keys_does_not_take_them_away() {
    let mut bench = Bench::new(everything());
    let (request, _) = ask(&mut bench, gre);
    bench.answer(&accepted(&request, |reply| GreKey(77).append(reply)));
    ask(&mut bench, gre);
    bench.run(7 * SECOND);
    assert!(key_in(&ask(&mut bench, gre).1).is_some());
}

#[test]
fn gre_that_only_we_asked_for_and_the_home_agent_refuses_is_not_asked_for_again() {
    let mut bench = Bench::new(Config { gre_key: GreKeyPolicy::Always, ..everything() });
    let (request, actions) = ask(&mut bench, |_| {});
    assert!(key_in(&actions).is_some());
    let denial = RegistrationReply { code: ReplyCode::HA_ENCAPSULATION, ..reply_to(&request) };
    bench.answer(&signed_reply(&denial));
    let (request, actions) = ask(&mut bench, |_| {});
    assert_eq!(key_in(&actions), None);
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().tunnel.encapsulation, Encapsulation::IpInIp);
}

#[test]
fn a_key_makes_it_gre_even_without_the_flag() {
    let mut bench = Bench::new(Config { gre_key: GreKeyPolicy::Always, ..everything() });
    let (request, _) = ask(&mut bench, |_| {});
    bench.answer(&accepted(&request, |reply| GreKey(77).append(reply)));
    assert_eq!(bench.visitor().unwrap().tunnel.encapsulation, Encapsulation::Gre);
}

fn encapsulating(bench: &mut Bench, reverse_tunnel: bool) -> (RegistrationRequest, Vec<Action>) {
    let mut request = bench.fresh();
    request.flags.reverse_tunnel = reverse_tunnel;
    let message = [signed(&request, &client_key()), vec![130, 0]].concat();
    let actions = bench.receive(&from_client(&message));
    (request, actions)
}

#[test]
fn encapsulating_delivery_is_consumed_and_installed() {
    let mut bench = Bench::new(everything());
    let (request, actions) = encapsulating(&mut bench, true);
    assert_eq!(sent(&actions).payload, signed(&request, &client_key()));
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().tunnel.reverse, Some(Delivery::Encapsulating));
}

#[test]
fn encapsulating_delivery_without_a_reverse_tunnel_or_in_the_wrong_place_gets_70() {
    let mut bench = Bench::new(everything());
    assert_eq!(told(&encapsulating(&mut bench, false).1), ReplyCode::FA_MALFORMED_REQUEST);

    let before_the_client_signs = |request: &RegistrationRequest| {
        let flags = RequestFlags { reverse_tunnel: true, ..request.flags };
        let mut message = [unsigned(&RegistrationRequest { flags, ..*request }), vec![130, 0]].concat();
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    };
    assert_eq!(denial_of_bytes(everything(), before_the_client_signs), ReplyCode::FA_MALFORMED_REQUEST);

    let behind_its_signature_for_us = |request: &RegistrationRequest| {
        let flags = RequestFlags { reverse_tunnel: true, ..request.flags };
        let mut message = signed(&RegistrationRequest { flags, ..*request }, &client_key());
        visitor_key().sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
        [message, vec![130, 0]].concat()
    };
    let config = Config { mobile_foreign: sharing(HOME, visitor_key()), ..everything() };
    assert_eq!(denial_of_bytes(config, behind_its_signature_for_us), ReplyCode::FA_MALFORMED_REQUEST);
}

#[test]
fn a_udp_tunnel_is_asked_for_by_us_from_the_care_of_address_and_only_where_we_are_its_end() {
    let udp = UdpTunnelling { forced: true, everything_translated: false };
    let mut bench = Bench::new(with_udp(udp));
    let (_, actions) = ask(&mut bench, |_| {});
    assert_eq!(sent(&actions).source, CARE_OF);
    let (_, asked) = UdpTunnelRequest::find(&relayed(&actions).1).unwrap();
    let expected = UdpTunnelRequest { forced: true, through_foreign_agent: false, encapsulation: 4, reserved: 0 };
    assert_eq!(asked, expected);
    let (_, actions) = ask(&mut bench, |request| request.flags.co_located = true);
    assert_eq!(UdpTunnelRequest::find(&relayed(&actions).1), None, "D = 1");
    let (_, actions) = ask(&mut bench, |request| request.lifetime = Lifetime::DEREGISTER);
    assert_eq!(UdpTunnelRequest::find(&relayed(&actions).1), None, "no tunnel any more");
}

#[test]
fn what_is_inside_the_udp_tunnel_is_named() {
    for (flags, protocol) in [
        (RequestFlags { gre: true, ..RequestFlags::default() }, 47),
        (RequestFlags { minimal_encapsulation: true, ..RequestFlags::default() }, 55),
    ] {
        let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
        let (_, actions) = ask(&mut bench, |request| request.flags = flags);
        assert_eq!(UdpTunnelRequest::find(&relayed(&actions).1).unwrap().1.encapsulation, protocol);
    }
}

#[test]
fn a_udp_tunnel_is_what_the_home_agent_assents_to_and_nothing_else() {
    for (code, seconds, expected) in [
        (UdpTunnelReply::ASSENT, 0, Some(110)),
        (UdpTunnelReply::ASSENT, 30, Some(30)),
        (UdpTunnelReply::ASSENT, 3, Some(10)),
        (UdpTunnelReply::DECLINE, 30, None),
    ] {
        let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
        let (request, _) = ask(&mut bench, |_| {});
        let answer = UdpTunnelReply { code, forced: false, keepalive_interval: seconds };
        bench.answer(&accepted(&request, |reply| answer.append(reply)));
        let peer = SocketAddrV4::new(HOME_AGENT, 434);
        let udp = expected.map(|seconds| UdpTunnel { peer, keepalive: Duration::from_secs(seconds) });
        assert_eq!(bench.visitor().unwrap().tunnel.udp, udp, "{code} {seconds}");
    }
    let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
    let (request, _) = ask(&mut bench, |_| {});
    bench.accept(&request);
    assert_eq!(bench.visitor().unwrap().tunnel.udp, None, "no answer is no assent");

    let mut bench = Bench::new(everything());
    let (request, _) = ask(&mut bench, |_| {});
    let assent = UdpTunnelReply { code: UdpTunnelReply::ASSENT, forced: false, keepalive_interval: 0 };
    bench.answer(&accepted(&request, |reply| assent.append(reply)));
    assert_eq!(bench.visitor().unwrap().tunnel.udp, None, "we did not ask");
}

#[test]
fn behind_a_nat_that_translates_everything_a_reverse_tunnel_is_mandatory() {
    let udp = UdpTunnelling { forced: false, everything_translated: true };
    assert_eq!(denial_of(with_udp(udp), |_| {}), ReplyCode::FA_REVERSE_TUNNEL_MANDATORY);
    let mut bench = Bench::new(with_udp(udp));
    bench.ask(|request| request.flags.reverse_tunnel = true);
}

#[test]
fn a_silent_udp_tunnel_is_kept_alive_and_a_used_one_needs_no_help() {
    let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
    let (request, _) = ask(&mut bench, |request| request.lifetime = Lifetime(3600));
    let assent = UdpTunnelReply { code: UdpTunnelReply::ASSENT, forced: false, keepalive_interval: 0 };
    bench.answer(&accepted(&request, |reply| assent.append(reply)));
    assert_eq!(bench.run(Duration::from_millis(109_999)), []);
    bench.agent.tunnel_used(bench.now(), CareOfAddress(CARE_OF), HomeAgentAddress(HOME_AGENT));
    assert_eq!(bench.run(Duration::from_millis(109_999)), [], "something was sent");
    let actions = bench.run(Duration::from_millis(1));
    let transmit = sent(&actions);
    assert_eq!((transmit.source, transmit.source_port), (CARE_OF, 434), "as its registrations");
    assert_eq!((transmit.destination, transmit.destination_port), (HOME_AGENT, 434));
    assert_eq!(transmit.payload, echo::request(IN_IP, CARE_OF, HOME_AGENT, 1));
    let answer = answer(&transmit.payload);
    bench.agent.handle_tunnel_data(bench.clock.0, &Received { source_port: 4000, ..from_home_agent(&answer) });
    assert_eq!(bench.agent.counters().discarded.get(Discard::UnexpectedTunnelData), 1, "another port");
    bench.agent.handle_tunnel_data(bench.clock.0, &from_home_agent(&answer));
    assert_eq!(bench.agent.counters().keepalives_answered, 1);
    assert_eq!(bench.run(Duration::from_millis(109_999)), []);
    let actions = bench.run(Duration::from_millis(1));
    assert_eq!(sent(&actions).payload, echo::request(IN_IP, CARE_OF, HOME_AGENT, 2));
}

const IN_IP: Through = Through { next_header: 4, gre_key: None };

/// The echo reply: what the request is, with addresses exchanged.
fn answer(request: &[u8]) -> Vec<u8> {
    let ip = Ipv4::parse(&request[4..]).unwrap();
    let mut icmp = ip.payload.to_vec();
    icmp[0] = 0;
    // The sum of all words stays the same.
    icmp[2] += 8;
    let mut answer = request[..4].to_vec();
    Ipv4 { source: ip.destination, destination: ip.source, payload: &icmp, ..ip }.emit(&mut answer);
    answer
}

#[test]
fn a_udp_tunnel_without_an_answer_has_its_visitors_register_again() {
    let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
    let (request, _) = ask(&mut bench, |request| request.lifetime = Lifetime(3600));
    let assent = UdpTunnelReply { code: UdpTunnelReply::ASSENT, forced: false, keepalive_interval: 0 };
    bench.answer(&accepted(&request, |reply| assent.append(reply)));
    let actions = bench.run(145 * SECOND);
    let expected =
        Action::Inform { interface: ACCESS_LINK, mac: CLIENT_MAC, home_address: HomeAddress(HOME), elsewhere: false };
    assert!(matches!(&actions[..], [Action::Send(_), Action::Send(_), Action::Send(_), last] if *last == expected));
    assert_eq!(bench.agent.counters().tunnels_lost, 1);
}

#[test]
fn a_udp_tunnel_without_visitors_is_not_kept_alive() {
    let mut bench = Bench::new(with_udp(TRANSLATED_AT_TIMES));
    let (request, _) = ask(&mut bench, |request| request.lifetime = Lifetime(100));
    let assent = UdpTunnelReply { code: UdpTunnelReply::ASSENT, forced: false, keepalive_interval: 0 };
    bench.answer(&accepted(&request, |reply| assent.append(reply)));
    assert_eq!(bench.run(101 * SECOND), [REMOVED, CHANGED]);
    assert_eq!(bench.agent.poll_timeout(), None);
}
