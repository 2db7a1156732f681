//! The home agent on a simulated clock.

mod authentication;
mod discovery;
mod downloaded;
mod encapsulation;
mod nonces;
mod properties;
mod revocation;
mod simultaneous;
mod udp_tunnel;
mod uncarried;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_common::mac::MacAddress;
use proptest::prelude::*;

use super::{Action, BindingRecord, Broadcasts, Config, Discard, Exit, HomeAgent, HomeSubnet};
use crate::{
    mobility::{
        fixtures::*,
        link::{Path, Received, Transmit},
        reverse_tunnel::ReverseTunnel,
        security::{
            MobileHomeAssociations, Peer, PeerAssociations, ReplayWindow, SecurityAssociation, ViolationReason,
        },
        time::Now,
        tunnel::{Delivery, TunnelMode},
    },
    wire::{
        extension::kind,
        proxy_mode::AuthenticationMethod,
        registration::{RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const NEW_CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);

fn config() -> Config {
    let clients = "10.0.0.0/8".parse().unwrap();
    let subnet = HomeSubnet { prefix: "10.1.0.0/24".parse().unwrap(), interface: HOME_LINK };
    Config {
        maximum_bindings: 100,
        mobile_home: Arc::new(
            MobileHomeAssociations::new([(clients, client_key()), (clients, association(300, 2))]).unwrap(),
        ),
        ..Config::new(HomeAgentAddress(HOME_AGENT), vec![subnet])
    }
}

fn with_foreign_association() -> Config {
    let associations = PeerAssociations::new([(Peer::Address(CARE_OF), agents_key())]).unwrap();
    Config { foreign_home: Arc::new(associations), ..config() }
}

/// A home agent on a simulated clock.
struct Bench {
    agent: HomeAgent,
    clock: Clock,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { agent: HomeAgent::new(config), clock: Clock::new() }
    }

    fn now(&self) -> Now {
        self.clock.0
    }

    fn receive(&mut self, received: &Received<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_datagram(self.clock.0, received, &mut actions);
        actions
    }

    /// A request through the foreign agent, authenticated by the client.
    fn register(&mut self, request: &RegistrationRequest) -> Vec<Action> {
        self.receive(&through_foreign_agent(&signed(request, &client_key())))
    }

    /// The same a second later, as renewals and moves are.
    fn register_later(&mut self, change: impl FnOnce(&mut RegistrationRequest)) -> Vec<Action> {
        self.clock.advance(SECOND);
        let mut request = request(self.now());
        change(&mut request);
        self.register(&request)
    }

    fn come_home(&mut self) -> Vec<Action> {
        self.clock.advance(SECOND);
        let message = signed(&deregistration(self.now()), &client_key());
        self.receive(&from_home_link(&message))
    }

    /// Runs the timers until nothing is due up to `duration` from now.
    fn run(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.clock.0.instant + duration;
        let mut actions = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.clock.advance_to(at);
            self.agent.handle_timeout(self.clock.0, &mut actions);
        }
        self.clock.advance_to(end);
        actions
    }

    fn care_of_address(&self) -> Option<Ipv4Addr> {
        self.agent.binding(HomeAddress(HOME)).map(|binding| binding.care_of_address.0)
    }
}

fn sent(actions: &[Action]) -> &Transmit {
    let mut sent = actions.iter().filter_map(|action| match action {
        Action::Send(transmit) => Some(transmit),
        _ => None,
    });
    let transmit = sent.next().expect("a datagram is sent");
    assert!(sent.next().is_none(), "only one datagram is sent");
    transmit
}

/// The code of the only action, a denial.
fn denied(actions: &[Action]) -> ReplyCode {
    assert!(matches!(actions, [Action::Send(_)]), "a denial changes nothing: {actions:?}");
    read_reply(sent(actions)).code
}

fn exit(care_of_address: Ipv4Addr) -> Exit {
    Exit {
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(care_of_address),
        tunnel: TunnelMode::default(),
        broadcasts: None,
    }
}

fn install(care_of_address: Ipv4Addr, reverse_tunnel: bool) -> Action {
    let mode = TunnelMode { reverse: reverse_tunnel.then_some(Delivery::Direct), ..TunnelMode::default() };
    let exits = vec![Exit { tunnel: mode, ..exit(care_of_address) }];
    Action::InstallBinding { home_address: HomeAddress(HOME), exits }
}

fn gratuitous_arp(mac: Option<MacAddress>) -> Action {
    Action::GratuitousArp { interface: HOME_LINK, address: HomeAddress(HOME), mac }
}

const REMOVED: Action = Action::RemoveBinding { home_address: HomeAddress(HOME) };
const CHANGED: Action = Action::BindingChanged { home_address: HomeAddress(HOME) };

#[test]
fn an_accepted_request_installs_the_binding_then_answers_then_announces() {
    let mut bench = Bench::new(config());
    let request = request(bench.now());
    let actions = bench.register(&request);
    let reply = read_reply(sent(&actions));
    assert_eq!(actions, [install(CARE_OF, false), Action::Send(sent(&actions).clone()), gratuitous_arp(None), CHANGED]);
    assert_eq!((reply.code, reply.lifetime), (ReplyCode::ACCEPTED_NO_SIMULTANEOUS, Lifetime(600)));
    assert_eq!(reply.identification, request.identification);
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    let binding = bench.agent.bindings().next().unwrap();
    assert_eq!(binding.expires, Some(bench.clock.0.instant + 600 * SECOND));
    assert_eq!(bench.agent.counters().registrations_accepted, 1);
}

#[test]
fn the_reply_goes_back_to_where_the_request_came_from() {
    let mut bench = Bench::new(config());
    let message = signed(&request(bench.now()), &client_key());
    let actions = bench.receive(&Received { source_port: 1434, ..through_foreign_agent(&message) });
    let transmit = sent(&actions);
    assert_eq!((transmit.source, transmit.source_port), (HOME_AGENT, 434));
    assert_eq!((transmit.destination, transmit.destination_port), (CARE_OF, 1434));
    assert_eq!(transmit.path, Path::Routed);
}

#[test]
fn a_lifetime_beyond_the_maximum_is_cut() {
    let mut bench = Bench::new(config());
    let actions = bench.register_later(|request| request.lifetime = Lifetime::INFINITE);
    assert_eq!(read_reply(sent(&actions)).lifetime, Lifetime(36_000));
}

#[test]
fn an_infinite_lifetime_never_expires() {
    let mut bench = Bench::new(Config { maximum_lifetime: Lifetime::INFINITE, ..config() });
    bench.register_later(|request| request.lifetime = Lifetime::INFINITE);
    assert_eq!(bench.agent.bindings().next().unwrap().expires, None);
    bench.run(10 * SECOND);
    assert_eq!(bench.agent.poll_timeout(), None);
    assert_eq!(bench.agent.binding_count(), 1);
}

#[test]
fn a_binding_expires_in_silence_when_its_time_has_come_and_not_before() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    bench.run(4 * SECOND);
    assert_eq!(bench.run(Duration::from_millis(595_999)), []);
    assert_eq!(bench.run(Duration::from_millis(1)), [REMOVED, CHANGED]);
    assert_eq!(bench.agent.binding_count(), 0);
    assert_eq!(bench.agent.counters().bindings_expired, 1);
}

#[test]
fn a_renewal_moves_the_expiry_and_nothing_else() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    bench.run(300 * SECOND);
    let actions = bench.register_later(|_| {});
    assert_eq!(actions, [Action::Send(sent(&actions).clone()), CHANGED]);
    assert_eq!(bench.run(599 * SECOND), []);
    assert_eq!(bench.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn a_move_replaces_the_binding_without_telling_the_home_link() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let actions = bench.register_later(|request| request.care_of_address = CareOfAddress(NEW_CARE_OF));
    assert_eq!(actions, [install(NEW_CARE_OF, false), Action::Send(sent(&actions).clone()), CHANGED]);
    assert_eq!(bench.agent.binding_count(), 1);
}

#[test]
fn asking_for_a_reverse_tunnel_on_renewal_changes_the_data_path() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let actions = bench.register_later(|request| request.flags.reverse_tunnel = true);
    assert_eq!(actions[0], install(CARE_OF, true));
}

#[test]
fn gratuitous_arps_follow_after_one_and_three_seconds() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    assert_eq!(bench.run(SECOND), [gratuitous_arp(None)]);
    assert_eq!(bench.run(2 * SECOND), [gratuitous_arp(None)]);
    assert_eq!(bench.run(500 * SECOND), []);
    assert_eq!(bench.agent.counters().gratuitous_arps_sent, 3);
}

#[test]
fn coming_home_is_answered_on_the_link_and_announced_with_the_clients_own_address() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let actions = bench.come_home();
    let transmit = sent(&actions).clone();
    assert_eq!(
        transmit.path,
        Path::Frame { interface: HOME_LINK, destination: CLIENT_MAC, source: None },
        "routing would lead into the tunnel"
    );
    assert_eq!((transmit.destination, transmit.destination_port), (HOME, CLIENT_PORT));
    let reply = read_reply(&transmit);
    assert_eq!((reply.code, reply.lifetime), (ReplyCode::ACCEPTED, Lifetime::DEREGISTER));
    let learned = Action::ClientMac { home_address: HomeAddress(HOME), mac: CLIENT_MAC };
    assert_eq!(actions, [learned, REMOVED, Action::Send(transmit), gratuitous_arp(Some(CLIENT_MAC)), CHANGED]);
    assert_eq!(bench.run(4 * SECOND), [gratuitous_arp(Some(CLIENT_MAC)), gratuitous_arp(Some(CLIENT_MAC))]);
}

#[test]
fn leaving_again_cancels_the_announcement_of_the_return() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    bench.come_home();
    bench.run(SECOND / 2);
    let actions = bench.register_later(|_| {});
    assert!(actions.contains(&gratuitous_arp(None)));
    assert_eq!(bench.run(4 * SECOND), [gratuitous_arp(None), gratuitous_arp(None)]);
}

#[test]
fn a_deregistration_without_a_binding_is_accepted() {
    let mut bench = Bench::new(config());
    let actions = bench.come_home();
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
    assert!(!actions.contains(&REMOVED));
}

#[test]
fn a_deregistration_through_a_foreign_agent_announces_nothing() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let actions = bench.register_later(|request| request.lifetime = Lifetime::DEREGISTER);
    assert_eq!(actions, [REMOVED, Action::Send(sent(&actions).clone()), CHANGED]);
    assert_eq!(sent(&actions).path, Path::Routed);
}

#[test]
fn a_deregistration_of_a_former_care_of_address_leaves_the_binding_alone() {
    let mut bench = Bench::new(config());
    bench.register_later(|request| request.care_of_address = CareOfAddress(NEW_CARE_OF));
    let actions = bench.register_later(|request| request.lifetime = Lifetime::DEREGISTER);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
    assert!(!actions.contains(&REMOVED));
    assert_eq!(bench.care_of_address(), Some(NEW_CARE_OF));
}

#[test]
fn a_request_on_the_home_link_with_a_strangers_source_is_answered_by_routing() {
    let mut bench = Bench::new(config());
    let message = signed(&deregistration(bench.now()), &client_key());
    let actions = bench.receive(&Received { source: CARE_OF, ..from_home_link(&message) });
    assert_eq!(sent(&actions).path, Path::Routed);
}

#[test]
fn replayed_request_gets_133_and_changes_nothing() {
    let mut bench = Bench::new(config());
    let old = request(bench.now());
    bench.register(&old);
    bench.register_later(|request| request.care_of_address = CareOfAddress(NEW_CARE_OF));
    assert_eq!(denied(&bench.register(&old)), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(bench.care_of_address(), Some(NEW_CARE_OF));
    assert_eq!(bench.agent.violations().iter().last().unwrap().reason, ViolationReason::BadIdentification);
}

#[test]
fn a_duplicate_does_not_extend_the_lifetime() {
    let mut bench = Bench::new(config());
    let request = request(bench.now());
    bench.register(&request);
    let expires = bench.agent.bindings().next().unwrap().expires;
    bench.clock.advance(5 * SECOND);
    assert_eq!(denied(&bench.register(&request)), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(bench.agent.bindings().next().unwrap().expires, expires);
}

#[test]
fn a_registration_replayed_after_the_return_home_gets_133() {
    let mut bench = Bench::new(config());
    let away = request(bench.now());
    bench.register(&away);
    bench.come_home();
    assert_eq!(denied(&bench.register(&away)), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(bench.care_of_address(), None);
}

#[test]
fn a_node_at_home_is_forgotten_when_no_replay_can_pass_the_window_any_more() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    bench.come_home();
    bench.run(13 * SECOND);
    assert!(bench.agent.record(bench.now(), HomeAddress(HOME)).is_some());
    assert_eq!(bench.run(SECOND), [CHANGED]);
    assert_eq!(bench.agent.record(bench.now(), HomeAddress(HOME)), None);
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn a_client_with_a_wrong_clock_is_told_ours_and_then_accepted() {
    let mut bench = Bench::new(config());
    let mut request = request(bench.now());
    request.identification = Identification(0x1000_0000_9abc_def0);
    let actions = bench.register(&request);
    assert_eq!(denied(&actions), ReplyCode::HA_IDENTIFICATION);
    let told = read_reply(sent(&actions)).identification;
    assert_eq!(told.seconds(), bench.now().wall.seconds());
    assert_eq!(told.low(), 0x9abc_def0);
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    request.identification = told;
    assert!(read_reply(sent(&bench.register(&request))).code.is_accepted());
}

#[test]
fn a_client_that_roams_between_clocks_ten_seconds_apart_needs_one_more_exchange() {
    let mut bench = Bench::new(config());
    let skewed = |now: Now, seconds: i64| RegistrationRequest {
        identification: Identification(now.wall.0.wrapping_add_signed(seconds << 32)),
        ..request(now)
    };
    let ahead = skewed(bench.now(), 5);
    assert!(read_reply(sent(&bench.register(&ahead))).code.is_accepted());

    bench.clock.advance(SECOND);
    let mut moved = skewed(bench.now(), -5);
    moved.care_of_address = CareOfAddress(NEW_CARE_OF);
    let actions = bench.register(&moved);
    assert_eq!(denied(&actions), ReplyCode::HA_IDENTIFICATION);
    let told = read_reply(sent(&actions)).identification;
    assert_eq!(told.seconds(), ahead.identification.seconds() + 1, "later than what was accepted");
    moved.identification = told;
    assert!(read_reply(sent(&bench.register(&moved))).code.is_accepted());
    assert_eq!(bench.care_of_address(), Some(NEW_CARE_OF));
}

#[test]
fn reserved_flags_are_ignored_unless_the_operator_is_strict() {
    for (strict_flags, expected) in [(false, ReplyCode::ACCEPTED_NO_SIMULTANEOUS), (true, ReplyCode::HA_MALFORMED)] {
        for bit in [0x04, 0x01] {
            let mut bench = Bench::new(Config { strict_flags, ..config() });
            let mut message = unsigned(&request(bench.now()));
            message[1] |= bit;
            client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
            assert_eq!(read_reply(sent(&bench.receive(&through_foreign_agent(&message)))).code, expected);
        }
    }
}

#[test]
fn registrations_go_on_across_the_wrap_of_2036() {
    let mut bench = Bench::new(config());
    bench.clock = Clock::at_seconds(u32::MAX - 1);
    let before = request(bench.now());
    bench.register(&before);
    for _ in 0..4 {
        assert!(read_reply(sent(&bench.register_later(|_| {}))).code.is_accepted());
    }
    assert!(bench.now().wall.0 < before.identification.0, "the clock has wrapped");
    assert_eq!(denied(&bench.register(&before)), ReplyCode::HA_IDENTIFICATION);
}

/// Sends a request that must be dropped, and returns the only reason counted.
fn silence(config: Config, message: impl FnOnce(Now) -> Vec<u8>) -> Discard {
    let mut bench = Bench::new(config);
    let message = message(bench.now());
    assert_eq!(bench.receive(&through_foreign_agent(&message)), []);
    let reasons: Vec<_> = bench.agent.counters().discarded.iter().collect();
    let [(reason, 1)] = reasons[..] else { panic!("one datagram, one reason: {reasons:?}") };
    reason
}

#[test]
fn request_without_association_is_silent() {
    let stranger = |now| RegistrationRequest { home_address: HomeAddress(Ipv4Addr::new(192, 0, 2, 1)), ..request(now) };
    assert_eq!(silence(config(), |now| signed(&stranger(now), &client_key())), Discard::NoAssociation);
}

#[test]
fn request_without_authentication_is_silent() {
    assert_eq!(silence(config(), |now| unsigned(&request(now))), Discard::MissingAuthentication);
}

#[test]
fn request_with_an_unknown_extension_that_must_not_be_skipped_is_silent() {
    let reason = silence(config(), |now| {
        let mut message = unsigned(&request(now));
        message.extend([77, 0]);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    });
    assert_eq!(reason, Discard::UnknownExtension);
}

#[test]
fn other_messages_and_fragments_of_requests_are_silent() {
    for message in [vec![], vec![1; 23], vec![3; 40], vec![0; 60]] {
        assert_eq!(silence(config(), |_| message), Discard::NotARequest);
    }
}

#[test]
fn a_foreign_agents_signature_that_we_cannot_check_is_silent() {
    let reason = silence(config(), |now| {
        let mut message = signed(&request(now), &client_key());
        agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
        message
    });
    assert_eq!(reason, Discard::StrangeForeignAgent);
}

/// The denial that a request gets from a fresh home agent, checked to be signed with the client's key.
fn denial(config: Config, message: impl FnOnce(Now) -> Vec<u8>) -> ReplyCode {
    let mut bench = Bench::new(config);
    let message = message(bench.now());
    let actions = bench.receive(&through_foreign_agent(&message));
    let code = denied(&actions);
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    assert_eq!(bench.agent.counters().denied.get(code), 1);
    assert_eq!(bench.agent.binding_count(), 0);
    assert_eq!(bench.agent.record(bench.now(), HomeAddress(HOME)), None, "nothing is remembered");
    code
}

fn denial_of(config: Config, change: impl FnOnce(&mut RegistrationRequest)) -> ReplyCode {
    denial(config, |now| {
        let mut request = request(now);
        change(&mut request);
        signed(&request, &client_key())
    })
}

#[test]
fn wrong_key_gets_131_signed_with_ours() {
    let code = denial(config(), |now| signed(&request(now), &association(256, 77)));
    assert_eq!(code, ReplyCode::HA_MOBILE_AUTHENTICATION);
}

#[test]
fn unknown_spi_gets_131_signed_with_the_primary_key() {
    let code = denial(config(), |now| signed(&request(now), &association(999, 1)));
    assert_eq!(code, ReplyCode::HA_MOBILE_AUTHENTICATION);
}

#[test]
fn two_authentication_extensions_get_131() {
    let code = denial(config(), |now| {
        let mut message = signed(&request(now), &client_key());
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    });
    assert_eq!(code, ReplyCode::HA_MOBILE_AUTHENTICATION);
}

#[test]
fn the_reply_is_signed_with_the_association_of_the_request() {
    let mut bench = Bench::new(config());
    let second = association(300, 2);
    let message = signed(&request(bench.now()), &second);
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &second));
}

#[test]
fn a_broken_extension_list_gets_134() {
    let code = denial(config(), |now| {
        let mut message = signed(&request(now), &client_key());
        message.extend([200, 9]);
        message
    });
    assert_eq!(code, ReplyCode::HA_MALFORMED);
}

#[test]
fn a_list_that_breaks_before_it_authenticates_anything_is_silent() {
    let broken_first = |now| {
        let mut message = unsigned(&request(now));
        message.extend([kind::ENCAPSULATING_DELIVERY, 1, 0]);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    };
    assert_eq!(silence(config(), broken_first), Discard::Malformed);
    let forged = |now| [signed(&request(now), &association(256, 66)), vec![200, 9]].concat();
    assert_eq!(silence(config(), forged), Discard::Malformed);
}

#[test]
fn an_overheard_request_gets_no_134_for_what_is_appended_to_it() {
    let mut bench = Bench::new(config());
    let message = signed(&request(bench.now()), &client_key());
    assert!(read_reply(sent(&bench.receive(&through_foreign_agent(&message)))).code.is_accepted());
    let broken = [message, vec![200, 9]].concat();
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&broken))), ReplyCode::HA_IDENTIFICATION);
}

#[test]
fn a_critical_vendor_extension_is_refused_by_whose_it_is() {
    const VENDOR: [u8; 10] = [38, 0, 0, 6, 0, 0, 0, 9, 0, 1];
    let of_client = denial(config(), |now| {
        let mut message = unsigned(&request(now));
        message.extend(VENDOR);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    });
    let of_foreign_agent = denial(config(), |now| [signed(&request(now), &client_key()), VENDOR.to_vec()].concat());
    assert_eq!(of_client, ReplyCode::HA_VENDOR_FROM_MOBILE);
    assert_eq!(of_foreign_agent, ReplyCode::HA_VENDOR_FROM_FOREIGN);
}

#[test]
fn a_care_of_address_that_cannot_end_a_tunnel_gets_134() {
    for address in ["0.0.0.0", "127.0.0.1", "224.0.0.11", "255.255.255.255", "10.1.0.100"] {
        let care_of_address = CareOfAddress(address.parse().unwrap());
        let code = denial_of(config(), |request| request.care_of_address = care_of_address);
        assert_eq!(code, ReplyCode::HA_MALFORMED, "{address}");
    }
}

#[test]
fn an_address_that_is_no_clients_gets_129() {
    for address in ["10.7.0.1", "10.1.0.0", "10.1.0.255", "10.1.0.1"] {
        let home_address = HomeAddress(address.parse().unwrap());
        let code = denial_of(config(), |request| request.home_address = home_address);
        assert_eq!(code, ReplyCode::HA_PROHIBITED, "{address}");
    }
}

#[test]
fn a_proxy_registration_gets_149() {
    let code = denial(config(), |now| {
        let mut message = unsigned(&request(now));
        AuthenticationMethod::ForeignHome.append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    });
    assert_eq!(code, ReplyCode::HA_PROXY_UNSUPPORTED);
}

#[test]
fn the_reverse_tunnel_policy_is_enforced_after_everything_else() {
    let off = || Config { reverse_tunnel: ReverseTunnel::Off, ..config() };
    let required = Config { reverse_tunnel: ReverseTunnel::Required, ..config() };
    assert_eq!(
        denial_of(off(), |request| request.flags.reverse_tunnel = true),
        ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE
    );
    assert_eq!(denial_of(required, |_| {}), ReplyCode::HA_REVERSE_TUNNEL_MANDATORY);
    let both = RequestFlags { reverse_tunnel: true, gre: true, ..RequestFlags::default() };
    assert_eq!(denial_of(off(), |request| request.flags = both), ReplyCode::HA_ENCAPSULATION);
}

#[test]
fn a_deregistration_is_not_refused_for_how_it_would_forward() {
    let mut bench = Bench::new(Config { reverse_tunnel: ReverseTunnel::Required, ..config() });
    bench.register_later(|request| request.flags.reverse_tunnel = true);
    let actions = bench.come_home();
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
}

#[test]
fn another_home_agents_request_gets_136_and_our_address() {
    let mut bench = Bench::new(config());
    let actions = bench.register_later(|request| request.home_agent = HomeAgentAddress(NEW_CARE_OF));
    assert_eq!(denied(&actions), ReplyCode::HA_UNKNOWN_AGENT);
    assert_eq!(read_reply(sent(&actions)).home_agent.0, HOME_AGENT);
}

#[test]
fn a_request_to_the_subnet_broadcast_gets_136_from_our_unicast_address() {
    let mut bench = Bench::new(config());
    let broadcast = Ipv4Addr::new(10, 1, 0, 255);
    for destination in [broadcast, Ipv4Addr::BROADCAST] {
        let mut request = request(bench.now());
        request.home_agent = HomeAgentAddress(broadcast);
        let message = signed(&request, &client_key());
        let actions = bench.receive(&Received { destination, ..through_foreign_agent(&message) });
        assert_eq!(denied(&actions), ReplyCode::HA_UNKNOWN_AGENT);
        assert_eq!(sent(&actions).source, HOME_AGENT);
        assert_eq!(read_reply(sent(&actions)).home_agent.0, HOME_AGENT);
    }
}

#[test]
fn each_home_subnet_may_have_its_own_address_of_ours() {
    let second = HomeAgentAddress(Ipv4Addr::new(10, 5, 0, 1));
    let client = HomeAddress(Ipv4Addr::new(10, 5, 0, 100));
    let mut config = Config { other_addresses: vec![second], ..config() };
    config.subnets.push(HomeSubnet { prefix: "10.5.0.0/24".parse().unwrap(), interface: ACCESS_LINK });
    let mut bench = Bench::new(config);
    let actions = bench.register_later(|request| {
        request.home_address = client;
        request.home_agent = HomeAgentAddress(NEW_CARE_OF);
    });
    assert_eq!(read_reply(sent(&actions)).home_agent, second, "the address on the client's own subnet");
    let actions = bench.register_later(|request| {
        request.home_address = client;
        request.home_agent = second;
    });
    assert!(read_reply(sent(&actions)).code.is_accepted());
    assert_eq!(bench.agent.bindings().next().unwrap().home_agent, second);
    assert!(actions.contains(&Action::GratuitousArp { interface: ACCESS_LINK, address: client, mac: None }));
}

#[test]
fn a_full_binding_table_refuses_newcomers_and_still_renews() {
    let mut bench = Bench::new(Config { maximum_bindings: 1, ..config() });
    bench.register_later(|_| {});
    let newcomer = HomeAddress(Ipv4Addr::new(10, 1, 0, 101));
    let actions = bench.register_later(|request| request.home_address = newcomer);
    assert_eq!(denied(&actions), ReplyCode::HA_RESOURCES);
    assert!(read_reply(sent(&bench.register_later(|_| {}))).code.is_accepted());
    bench.come_home();
    let actions = bench.register_later(|request| request.home_address = newcomer);
    assert!(read_reply(sent(&actions)).code.is_accepted());
}

#[test]
fn deregistrations_of_many_addresses_take_bounded_memory() {
    let mut bench = Bench::new(Config { maximum_bindings: 10, ..config() });
    let mut refused = 0;
    for host in 2..=200 {
        let address = Ipv4Addr::new(10, 1, 0, host);
        let mut request = deregistration(bench.now());
        request.home_address = HomeAddress(address);
        request.care_of_address = CareOfAddress(address);
        let code = read_reply(sent(&bench.register(&request))).code;
        refused += usize::from(code == ReplyCode::HA_RESOURCES);
    }
    assert_eq!(refused, 199 - 20);
}

#[test]
fn denied_renewal_keeps_the_old_binding() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let binding = *bench.agent.bindings().next().unwrap();
    let moved = |request: &mut RegistrationRequest| request.care_of_address = CareOfAddress(NEW_CARE_OF);
    bench.register_later(|request| {
        moved(request);
        request.flags.gre = true;
    });
    bench.clock.advance(SECOND);
    let mut forged = request(bench.now());
    moved(&mut forged);
    let forged = signed(&forged, &association(256, 66));
    assert_eq!(denied(&bench.receive(&through_foreign_agent(&forged))), ReplyCode::HA_MOBILE_AUTHENTICATION);
    assert_eq!(bench.agent.bindings().next(), Some(&binding));
}

#[test]
fn a_forged_deregistration_keeps_the_binding() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    bench.clock.advance(SECOND);
    let forged = signed(&deregistration(bench.now()), &association(256, 66));
    assert_eq!(denied(&bench.receive(&from_home_link(&forged))), ReplyCode::HA_MOBILE_AUTHENTICATION);
    assert_eq!(bench.care_of_address(), Some(CARE_OF));
}

/// What a foreign agent with an association adds.
fn countersigned(request: &RegistrationRequest, association: &SecurityAssociation) -> Vec<u8> {
    let mut message = signed(request, &client_key());
    association.sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
    message
}

#[test]
fn a_foreign_agent_with_an_association_must_sign_and_gets_a_signed_reply() {
    let mut bench = Bench::new(with_foreign_association());
    let message = countersigned(&request(bench.now()), &agents_key());
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(read_reply(sent(&actions)).code.is_accepted());
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
    assert!(is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()));
}

#[test]
fn a_foreign_agents_missing_wrong_or_misplaced_signature_gets_132() {
    let misplaced = |now| {
        let mut message = unsigned(&request(now));
        agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    };
    let messages: [fn(Now) -> Vec<u8>; 4] = [
        |now| signed(&request(now), &client_key()),
        |now| countersigned(&request(now), &association(1000, 8)),
        |now| countersigned(&request(now), &association(1001, 9)),
        misplaced,
    ];
    for message in messages {
        assert_eq!(denial(with_foreign_association(), message), ReplyCode::HA_FOREIGN_AUTHENTICATION);
    }
}

#[test]
fn another_source_is_no_way_around_the_foreign_agents_signature() {
    let mut bench = Bench::new(with_foreign_association());
    let message = signed(&request(bench.now()), &client_key());
    let actions = bench.receive(&Received { source: NEW_CARE_OF, ..through_foreign_agent(&message) });
    assert_eq!(denied(&actions), ReplyCode::HA_FOREIGN_AUTHENTICATION);
}

#[test]
fn a_deregistration_needs_no_foreign_agents_signature_and_gets_none() {
    let mut bench = Bench::new(with_foreign_association());
    let mut request = deregistration(bench.now());
    let actions = bench.register(&request);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
    assert!(!is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()));

    bench.clock.advance(SECOND);
    request.identification = bench.now().wall;
    let message = countersigned(&request, &agents_key());
    let actions = bench.receive(&through_foreign_agent(&message));
    assert!(is_signed(sent(&actions), kind::FOREIGN_HOME_AUTHENTICATION, &agents_key()), "an old agent that signs");
}

#[test]
fn the_operator_can_end_a_binding_once() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let mut actions = Vec::new();
    assert!(bench.agent.deregister(bench.clock.0, HomeAddress(HOME), &mut actions));
    assert_eq!(actions, [REMOVED, CHANGED]);
    assert!(!bench.agent.deregister(bench.clock.0, HomeAddress(HOME), &mut actions));
    assert_eq!(bench.run(3600 * SECOND), [CHANGED], "no repetition of the announcement, no expiry: only oblivion");
}

/// A successor of the agent, with the records as they come back from disk.
fn restarted(bench: &Bench, config: Config, after: Duration) -> (Bench, Vec<Action>) {
    let record = bench.agent.record(bench.now(), HomeAddress(HOME)).unwrap();
    let record: BindingRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let mut successor = Bench::new(config);
    successor.clock.0 = bench.now();
    successor.clock.advance(after);
    successor.clock.0.instant.0 = Duration::from_secs(5);
    let mut actions = Vec::new();
    successor.agent.restore(successor.clock.0, [record], &mut actions);
    (successor, actions)
}

#[test]
fn a_restart_keeps_binding_expiry_and_replay_protection() {
    let mut bench = Bench::new(config());
    let old = request(bench.now());
    bench.register(&old);
    let (mut successor, actions) = restarted(&bench, config(), 5 * SECOND);
    assert_eq!(actions, [install(CARE_OF, false)]);
    assert_eq!(denied(&successor.register(&old)), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(successor.run(594 * SECOND), []);
    assert_eq!(successor.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn a_binding_that_expired_during_the_restart_is_removed_from_the_data_path() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let (successor, actions) = restarted(&bench, config(), 600 * SECOND);
    assert_eq!(actions, [REMOVED, CHANGED]);
    assert_eq!(successor.agent.binding_count(), 0);
}

#[test]
fn a_binding_of_a_subnet_no_longer_served_is_removed() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let (successor, actions) = restarted(&bench, Config { subnets: Vec::new(), ..config() }, SECOND);
    assert_eq!(actions, [REMOVED, CHANGED]);
    assert_eq!(successor.agent.record(successor.now(), HomeAddress(HOME)), None);
}

#[test]
fn a_clock_set_back_during_the_restart_gives_no_extra_lifetime_and_locks_nobody_out() {
    let mut bench = Bench::new(config());
    bench.register_later(|_| {});
    let record = bench.agent.record(bench.now(), HomeAddress(HOME)).unwrap();
    let mut successor = Bench::new(config());
    successor.clock = Clock::at_seconds(bench.now().wall.seconds() - 86_400);
    successor.agent.restore(successor.clock.0, [record], &mut Vec::new());
    let expires = successor.agent.bindings().next().unwrap().expires;
    assert_eq!(expires, Some(successor.clock.0.instant + 600 * SECOND));

    let mut request = request(successor.now());
    let actions = successor.register(&request);
    assert_eq!(denied(&actions), ReplyCode::HA_IDENTIFICATION);
    request.identification = read_reply(sent(&actions)).identification;
    assert!(read_reply(sent(&successor.register(&request))).code.is_accepted());
}

#[test]
fn what_may_have_been_accepted_before_a_crash_is_refused_once_and_nobody_is_locked_out() {
    for ahead in [Duration::from_millis(1500), 86_400 * SECOND] {
        let mut bench = Bench::new(config());
        let lost = request(bench.now());
        let floor = bench.now().wall_at(bench.now().instant + ahead);
        bench.agent.refuse_up_to(Some(floor));
        let actions = bench.register(&lost);
        assert_eq!(denied(&actions), ReplyCode::HA_IDENTIFICATION, "its record got lost");
        assert!(read_reply(sent(&actions)).identification.since(floor) > 0);
        let mut request = request(bench.now());
        request.identification = read_reply(sent(&actions)).identification;
        assert!(read_reply(sent(&bench.register(&request))).code.is_accepted());
        assert_eq!(denied(&bench.register(&lost)), ReplyCode::HA_IDENTIFICATION);
    }
}

#[test]
fn the_return_home_is_remembered_across_a_restart() {
    let mut bench = Bench::new(config());
    let away = request(bench.now());
    bench.register(&away);
    bench.come_home();
    let (mut successor, actions) = restarted(&bench, config(), SECOND);
    assert_eq!(actions, []);
    assert_eq!(denied(&successor.register(&away)), ReplyCode::HA_IDENTIFICATION);
}

#[test]
fn many_bindings_expire_in_order() {
    let clients = 20_000_u32;
    let subnet = HomeSubnet { prefix: "10.0.0.0/8".parse().unwrap(), interface: HOME_LINK };
    let mut bench = Bench::new(Config { subnets: vec![subnet], maximum_bindings: clients as usize, ..config() });
    for client in 0..clients {
        let mut request = request(bench.now());
        request.home_address = HomeAddress(Ipv4Addr::from_bits(0x0a40_0000 + client));
        request.lifetime = Lifetime(100 + (client.wrapping_mul(7919) % 500) as u16);
        bench.register(&request);
    }
    assert_eq!(bench.agent.binding_count(), clients as usize);
    bench.run(100 * SECOND);
    let due = (0..clients).filter(|client| client.wrapping_mul(7919) % 500 == 0).count();
    assert_eq!(bench.agent.binding_count(), clients as usize - due);
    bench.run(500 * SECOND);
    assert_eq!(bench.agent.binding_count(), 0);
}

#[test]
fn the_violation_log_names_peer_spi_and_reason() {
    let mut bench = Bench::new(config());
    let message = signed(&request(bench.now()), &association(256, 77));
    bench.receive(&through_foreign_agent(&message));
    let violation = *bench.agent.violations().iter().next().unwrap();
    assert_eq!((violation.peer, violation.spi.unwrap().get()), (CARE_OF, 256));
    assert_eq!(violation.reason, ViolationReason::BadAuthenticator);
}

#[test]
fn a_violation_names_the_spi_of_the_extension_in_question() {
    let mut bench = Bench::new(with_foreign_association());
    let mut log_of = |extra: &[u8], sign: &dyn Fn(&mut Vec<u8>)| {
        let mut message = [signed(&request(bench.now()), &client_key()), extra.to_vec()].concat();
        sign(&mut message);
        bench.receive(&through_foreign_agent(&message));
        bench.clock.advance(SECOND);
        let violation = *bench.agent.violations().iter().last().unwrap();
        (violation.spi.map(Spi::get), violation.reason)
    };
    let foreign = |spi, byte| {
        move |message: &mut Vec<u8>| association(spi, byte).sign(message, kind::FOREIGN_HOME_AUTHENTICATION)
    };
    assert_eq!(log_of(&[], &foreign(1000, 66)), (Some(1000), ViolationReason::BadAuthenticator));
    assert_eq!(log_of(&[], &foreign(1001, 66)), (Some(1001), ViolationReason::BadSpi));
    assert_eq!(log_of(&[], &|_| {}), (None, ViolationReason::MissingExtension));
    let aaa = [36, 1, 0, 20, 0, 0, 3, 3].into_iter().chain([0; 16]).collect::<Vec<u8>>();
    assert_eq!(
        log_of(&aaa, &|message| agents_key().sign(message, kind::FOREIGN_HOME_AUTHENTICATION)),
        (Some(771), ViolationReason::BadSpi)
    );
}

#[test]
fn counters_have_a_row_per_code_and_reason() {
    let mut bench = Bench::new(config());
    bench.receive(&through_foreign_agent(&[]));
    bench.register_later(|request| request.flags.gre = true);
    let entries = bench.agent.counters().entries();
    for row in ["denied_139", "discarded_not_a_request", "registration_requests", "replies_sent"] {
        assert!(entries.contains(&(row.to_owned(), 1)), "{row}: {entries:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_change_anything(
        mut bytes in prop::collection::vec(any::<u8>(), 1..120),
        aimed in any::<bool>(),
        at_home in any::<bool>(),
    ) {
        let mut bench = Bench::new(with_foreign_association());
        bench.register(&deregistration(bench.now()));
        if aimed && bytes.len() >= 24 {
            bytes[..24].copy_from_slice(&unsigned(&request(bench.now())));
        }
        let received = if at_home { from_home_link(&bytes) } else { through_foreign_agent(&bytes) };
        let actions = bench.receive(&received);
        prop_assert!(matches!(actions[..], [] | [Action::Send(_)]));
        prop_assert_eq!(bench.agent.binding_count(), 0);
    }

    #[test]
    fn no_altered_request_is_ever_accepted(byte in 0_usize..46, mask in 1_u8..) {
        let mut bench = Bench::new(config());
        let mut message = signed(&request(bench.now()), &client_key());
        message[byte] ^= mask;
        let actions = bench.receive(&through_foreign_agent(&message));
        prop_assert!(matches!(actions[..], [] | [Action::Send(_)]));
        prop_assert_eq!(bench.agent.binding_count(), 0);
    }

    #[test]
    fn whatever_happens_the_bound_count_and_the_timers_agree_with_the_table(
        steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u16..40), 1..60),
    ) {
        let mut bench = Bench::new(Config { maximum_bindings: 3, ..config() });
        for (step, client, seconds) in steps {
            let home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, 100 + client));
            match step {
                0..3 => {
                    bench.register_later(|request| {
                        request.home_address = home_address;
                        request.lifetime = Lifetime(seconds);
                    });
                }
                3 => {
                    bench.agent.deregister(bench.clock.0, home_address, &mut Vec::new());
                }
                _ => {
                    bench.run(Duration::from_secs(seconds.into()));
                }
            }
            prop_assert_eq!(bench.agent.bindings().count(), bench.agent.binding_count());
            prop_assert!(bench.agent.binding_count() <= 3);
        }
        bench.run(Duration::from_secs(100));
        prop_assert_eq!(bench.agent.binding_count(), 0);
        prop_assert_eq!(bench.agent.poll_timeout(), None);
    }

    #[test]
    fn the_answer_to_a_wrong_clock_is_always_acceptable(own in any::<u64>(), sent in any::<u64>(), last in any::<u64>()) {
        let (own, sent) = (Identification(own), Identification(sent));
        let window = ReplayWindow::default();
        for last in [None, Some(Identification(last))] {
            let answer = ReplayWindow::resynchronisation(own, sent, last);
            let near = last.is_none_or(|last| last.since(own) < (5_i64 << 32) || last.since(own) > (7_i64 << 32));
            prop_assert_eq!(answer.low(), sent.low());
            if near {
                prop_assert!(window.check(own, answer, last).is_ok());
            }
        }
    }
}

#[test]
fn a_clock_set_back_brings_no_replay_of_a_forgotten_node_back() {
    let mut bench = Bench::new(config());
    let replayed = request(bench.now());
    bench.register(&replayed);
    bench.come_home();
    bench.run(60 * SECOND);
    assert_eq!(bench.agent.sizes(), (0, 0), "it is forgotten");
    bench.clock.0.wall = replayed.identification;
    assert_eq!(denied(&bench.register(&replayed)), ReplyCode::HA_IDENTIFICATION);
}
