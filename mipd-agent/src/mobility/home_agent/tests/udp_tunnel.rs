//! Tunnels over UDP (RFC 3519).

use std::net::SocketAddrV4;

use super::*;
use crate::{
    mobility::{
        home_agent::{Keepalive, UdpTunnelling},
        tunnel::{Encapsulation, UdpTunnel},
    },
    wire::{
        registration::RegistrationReply,
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};

/// Where the NAT puts the foreign agent.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const OUTSIDE_PORT: u16 = 61_000;

fn allowed(forced: bool) -> Config {
    let keepalive = Duration::from_secs(110);
    let encapsulations = [Encapsulation::IpInIp, Encapsulation::Gre].into_iter().collect();
    Config { udp_tunnel: Some(UdpTunnelling { forced, keepalive }), encapsulations, ..config() }
}

fn wanted() -> UdpTunnelRequest {
    UdpTunnelRequest::default()
}

/// As a foreign agent adds it.
fn with_extension(now: Now, extension: UdpTunnelRequest) -> Vec<u8> {
    let mut message = signed(&request(now), &client_key());
    extension.append(&mut message);
    message
}

/// As a co-located client puts it.
fn co_located(now: Now, extension: UdpTunnelRequest, flags: RequestFlags) -> Vec<u8> {
    let flags = RequestFlags { co_located: true, ..flags };
    let mut message = unsigned(&RegistrationRequest { flags, ..request(now) });
    extension.append(&mut message);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
}

fn translated(payload: &[u8]) -> Received<'_> {
    Received { source: OUTSIDE, source_port: OUTSIDE_PORT, ..through_foreign_agent(payload) }
}

fn reply_extension(actions: &[Action]) -> Option<UdpTunnelReply> {
    UdpTunnelReply::find(&RegistrationReply::parse(&sent(actions).payload).unwrap().1)
}

fn udp(bench: &Bench) -> Option<UdpTunnel> {
    bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel.udp
}

fn outcome(
    config: Config,
    received: impl FnOnce(&[u8]) -> Received<'_>,
    message: impl FnOnce(Now) -> Vec<u8>,
) -> ReplyCode {
    let mut bench = Bench::new(config);
    let message = message(bench.now());
    read_reply(sent(&bench.receive(&received(&message)))).code
}

#[test]
fn behind_a_nat_the_tunnel_goes_to_the_address_and_port_that_were_seen() {
    let mut bench = Bench::new(allowed(false));
    let message = with_extension(bench.now(), wanted());
    let actions = bench.receive(&translated(&message));
    let expected = UdpTunnelReply { code: UdpTunnelReply::ASSENT, forced: false, keepalive_interval: 110 };
    assert_eq!(reply_extension(&actions), Some(expected));
    assert_eq!((sent(&actions).destination, sent(&actions).destination_port), (OUTSIDE, OUTSIDE_PORT));
    let peer = SocketAddrV4::new(OUTSIDE, OUTSIDE_PORT);
    assert_eq!(udp(&bench), Some(UdpTunnel { peer, keepalive: Duration::from_secs(110) }));
    assert!(matches!(&actions[0], Action::InstallBinding { exits, .. } if exits[0].tunnel.udp == udp(&bench)));
}

#[test]
fn without_a_nat_it_is_declined_and_the_binding_is_plain() {
    let mut bench = Bench::new(allowed(true));
    let message = with_extension(bench.now(), UdpTunnelRequest { encapsulation: 47, ..wanted() });
    let actions = bench.receive(&through_foreign_agent(&message));
    assert_eq!(reply_extension(&actions).unwrap().code, UdpTunnelReply::DECLINE);
    assert_eq!((udp(&bench), actions[0].clone()), (None, install(CARE_OF, false)));
}

#[test]
fn a_request_that_does_not_mention_udp_gets_no_answer_about_it() {
    let mut bench = Bench::new(allowed(true));
    let actions = bench.register(&request(bench.now()));
    assert_eq!((reply_extension(&actions), udp(&bench)), (None, None));
}

#[test]
fn force_is_obeyed_where_the_operator_lets_it_and_refused_with_129_elsewhere() {
    let forced = UdpTunnelRequest { forced: true, ..wanted() };
    let mut bench = Bench::new(allowed(true));
    let message = with_extension(bench.now(), forced);
    let actions = bench.receive(&through_foreign_agent(&message));
    let reply = reply_extension(&actions).unwrap();
    assert_eq!((reply.code, reply.forced), (UdpTunnelReply::ASSENT, true));
    for config in [allowed(false), config()] {
        let code = outcome(config, through_foreign_agent, |now| with_extension(now, forced));
        assert_eq!(code, ReplyCode::HA_PROHIBITED);
    }
}

#[test]
fn a_nat_where_udp_is_not_allowed_gets_129() {
    assert_eq!(outcome(config(), translated, |now| with_extension(now, wanted())), ReplyCode::HA_PROHIBITED);
}

#[test]
fn misplaced_or_malformed_requests_for_udp_get_134() {
    let reserved = UdpTunnelRequest { reserved: 1, ..wanted() };
    let through_foreign_agent = UdpTunnelRequest { through_foreign_agent: true, ..wanted() };
    let before_the_authentication = |now| {
        let mut message = unsigned(&request(now));
        wanted().append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    };
    let co_located_after_it = |now| {
        let flags = RequestFlags { co_located: true, ..RequestFlags::default() };
        let mut message = signed(&RegistrationRequest { flags, ..request(now) }, &client_key());
        wanted().append(&mut message);
        message
    };
    for message in [
        Box::new(move |now| with_extension(now, reserved)) as Box<dyn FnOnce(Now) -> Vec<u8>>,
        Box::new(move |now| with_extension(now, through_foreign_agent)),
        Box::new(before_the_authentication),
        Box::new(co_located_after_it),
    ] {
        assert_eq!(outcome(allowed(true), translated, message), ReplyCode::HA_MALFORMED);
    }
}

#[test]
fn a_request_for_udp_after_the_foreign_agents_signature_gets_134() {
    let mut config = allowed(true);
    config.foreign_home = with_foreign_association().foreign_home;
    let code = outcome(config, translated, |now| {
        let mut message = countersigned(&request(now), &agents_key());
        wanted().append(&mut message);
        message
    });
    assert_eq!(code, ReplyCode::HA_MALFORMED);
}

#[test]
fn an_encapsulation_that_we_lack_gets_142_and_one_that_we_have_is_used() {
    for protocol in [55, 6] {
        let extension = UdpTunnelRequest { encapsulation: protocol, ..wanted() };
        let code = outcome(allowed(true), translated, |now| with_extension(now, extension));
        assert_eq!(code, ReplyCode::HA_UDP_ENCAPSULATION);
    }
    let mut bench = Bench::new(allowed(true));
    let message = with_extension(bench.now(), UdpTunnelRequest { encapsulation: 47, ..wanted() });
    bench.receive(&translated(&message));
    assert_eq!(bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel.encapsulation, Encapsulation::Gre);
}

#[test]
fn a_co_located_client_gets_its_answer_under_its_own_authentication() {
    let mut bench = Bench::new(allowed(false));
    let message = co_located(bench.now(), wanted(), RequestFlags::default());
    let actions = bench.receive(&translated(&message));
    let (_, extensions) = RegistrationReply::parse(&sent(&actions).payload).unwrap();
    let kinds: Vec<_> = extensions.iter().map(|extension| extension.kind).collect();
    assert_eq!(kinds, [kind::UDP_TUNNEL_REPLY, kind::MOBILE_HOME_AUTHENTICATION]);
}

fn keepalive(source: Ipv4Addr, port: u16) -> Keepalive {
    Keepalive {
        source: SocketAddrV4::new(source, port),
        home_agent: HomeAgentAddress(HOME_AGENT),
        home_address: HomeAddress(HOME),
    }
}

/// A co-located client that registered through a foreign agent (R).
fn waiting() -> Bench {
    let mut bench = Bench::new(allowed(false));
    let extension = UdpTunnelRequest { through_foreign_agent: true, ..wanted() };
    let message = co_located(bench.now(), extension, RequestFlags::default());
    let actions = bench.receive(&translated(&message));
    assert_eq!(actions[0], Action::InstallBinding { home_address: HomeAddress(HOME), exits: vec![] });
    bench
}

#[test]
fn a_client_behind_a_foreign_agent_is_sent_nothing_before_its_first_keepalive() {
    let mut bench = waiting();
    let mut actions = Vec::new();
    bench.agent.handle_keepalive(keepalive(OUTSIDE, 50_000), &mut actions);
    assert_eq!(udp(&bench).unwrap().peer, SocketAddrV4::new(OUTSIDE, 50_000));
    assert!(
        matches!(&actions[..], [Action::InstallBinding { exits, .. }, changed] if exits.len() == 1 && *changed == CHANGED)
    );
    actions.clear();
    bench.agent.handle_keepalive(keepalive(OUTSIDE, 50_001), &mut actions);
    assert_eq!(
        (actions, udp(&bench).unwrap().peer.port()),
        (vec![], 50_000),
        "the address of later ones is not followed"
    );
}

#[test]
fn a_keepalive_from_elsewhere_opens_nothing() {
    let mut bench = waiting();
    let mut actions = Vec::new();
    bench.agent.handle_keepalive(keepalive(CARE_OF, 50_000), &mut actions);
    bench
        .agent
        .handle_keepalive(Keepalive { home_address: HomeAddress(OUTSIDE), ..keepalive(OUTSIDE, 1) }, &mut actions);
    assert_eq!(actions, []);
    assert_eq!(bench.agent.counters().discarded.get(Discard::StrangeKeepalive), 2);
}

#[test]
fn an_open_tunnel_stays_open_on_renewal() {
    let mut bench = waiting();
    bench.agent.handle_keepalive(keepalive(OUTSIDE, 50_000), &mut Vec::new());
    bench.clock.advance(SECOND);
    let extension = UdpTunnelRequest { through_foreign_agent: true, ..wanted() };
    let message = co_located(bench.now(), extension, RequestFlags::default());
    let actions = bench.receive(&translated(&message));
    assert_eq!(actions, [Action::Send(sent(&actions).clone()), CHANGED]);
    assert_eq!(udp(&bench).unwrap().peer.port(), 50_000);
}

#[test]
fn a_restart_keeps_the_far_end_and_the_waiting() {
    let bench = waiting();
    let (mut successor, actions) = restarted(&bench, allowed(false), SECOND);
    assert_eq!(actions, [Action::InstallBinding { home_address: HomeAddress(HOME), exits: vec![] }]);
    assert_eq!(udp(&successor), udp(&bench));
    successor.agent.handle_keepalive(keepalive(OUTSIDE, 50_000), &mut Vec::new());
    assert_eq!(udp(&successor).unwrap().peer.port(), 50_000);
}
