use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_common::mac::MacAddress;
use proptest::prelude::*;

use super::{AccessInterface, Action, Config, Discard, ForeignAgent, Unreachable, VisitorRecord};
use crate::{
    mobility::{
        fixtures::*,
        link::{InterfaceIndex, Path, Received, Transmit},
        reverse_tunnel::ReverseTunnel,
        security::{Peer, PeerAssociations, SecurityAssociation, ViolationReason},
        time::Now,
    },
    wire::{
        extension::kind,
        registration::{RegistrationReply, RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const OTHER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 9, 9]);

fn config() -> Config {
    Config {
        interfaces: vec![AccessInterface { interface: ACCESS_LINK, address: CARE_OF }],
        own_addresses: vec![CARE_OF, Ipv4Addr::new(10, 0, 2, 2)],
        own_home_agents: Vec::new(),
        care_of_addresses: vec![CareOfAddress(CARE_OF)],
        maximum_lifetime: Lifetime(36_000),
        reverse_tunnel: ReverseTunnel::Offered,
        pending_timeout: Duration::from_secs(7),
        maximum_pending: 20,
        maximum_pending_per_client: 5,
        maximum_visitors: 100,
        mobile_foreign: Arc::new(PeerAssociations::default()),
        foreign_home: Arc::new(PeerAssociations::default()),
    }
}

fn sharing(peer: Ipv4Addr, association: SecurityAssociation) -> Arc<PeerAssociations> {
    Arc::new(PeerAssociations::new([(Peer::Address(peer), association)]).unwrap())
}

fn with_home_association() -> Config {
    Config { foreign_home: sharing(HOME_AGENT, agents_key()), ..config() }
}

/// The key that the client shares with the foreign agent.
fn visitor_key() -> SecurityAssociation {
    association(2000, 20)
}

fn with_mobile_association() -> Config {
    Config { mobile_foreign: sharing(HOME, visitor_key()), ..config() }
}

/// A foreign agent on a simulated clock.
struct Bench {
    agent: ForeignAgent,
    clock: Clock,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { agent: ForeignAgent::new(config), clock: Clock::new() }
    }

    fn now(&self) -> Now {
        self.clock.0
    }

    fn fresh(&mut self) -> RegistrationRequest {
        self.clock.advance(Duration::from_millis(1));
        request(self.now())
    }

    fn receive(&mut self, received: &Received<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_request(self.clock.0, received, &mut actions);
        actions
    }

    /// The client asks; the foreign agent must relay.
    fn ask(&mut self, change: impl FnOnce(&mut RegistrationRequest)) -> RegistrationRequest {
        let mut request = self.fresh();
        change(&mut request);
        let actions = self.receive(&from_client(&signed(&request, &client_key())));
        assert_eq!(sent(&actions).path, Path::Routed);
        request
    }

    fn answer(&mut self, payload: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        self.agent.handle_reply(self.clock.0, &from_home_agent(payload), &mut actions);
        actions
    }

    /// The home agent accepts for as long as was asked.
    fn accept(&mut self, request: &RegistrationRequest) -> Vec<Action> {
        self.answer(&signed_reply(&reply_to(request)))
    }

    fn register(&mut self) -> RegistrationRequest {
        let request = self.ask(|_| {});
        self.accept(&request);
        assert!(self.visitor().is_some());
        request
    }

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

    fn visitor(&self) -> Option<&super::VisitorEntry> {
        self.agent.visitor(HomeAgentAddress(HOME_AGENT), HomeAddress(HOME))
    }
}

fn from_home_agent(payload: &[u8]) -> Received<'_> {
    Received { source: HOME_AGENT, destination: CARE_OF, ..through_foreign_agent(payload) }
}

fn reply_to(request: &RegistrationRequest) -> RegistrationReply {
    RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: request.lifetime,
        home_address: request.home_address,
        home_agent: request.home_agent,
        identification: request.identification,
    }
}

fn signed_reply(reply: &RegistrationReply) -> Vec<u8> {
    let mut message = Vec::new();
    reply.emit(&mut message);
    client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
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

fn to_client() -> Path {
    Path::Frame { interface: ACCESS_LINK, destination: CLIENT_MAC, source: None }
}

/// The code of the only action, a reply to the client.
fn told(actions: &[Action]) -> ReplyCode {
    assert!(matches!(actions, [Action::Send(_)]), "only a reply: {actions:?}");
    let transmit = sent(actions);
    assert_eq!(transmit.path, to_client());
    assert_eq!((transmit.source, transmit.source_port), (CARE_OF, 434));
    assert_eq!(transmit.destination_port, CLIENT_PORT);
    read_reply(transmit).code
}

fn install(mac: MacAddress, interface: InterfaceIndex, reverse_tunnel: bool) -> Action {
    Action::InstallVisitor {
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(CARE_OF),
        mac,
        interface,
        reverse_tunnel,
    }
}

const REMOVED: Action =
    Action::RemoveVisitor { home_address: HomeAddress(HOME), home_agent: HomeAgentAddress(HOME_AGENT) };
const CHANGED: Action =
    Action::VisitorChanged { home_agent: HomeAgentAddress(HOME_AGENT), home_address: HomeAddress(HOME) };

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
fn an_accepted_reply_installs_the_visitor_and_then_reaches_the_client() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|request| request.flags.reverse_tunnel = true);
    let reply = signed_reply(&reply_to(&request));
    let actions = bench.answer(&reply);
    let transmit = sent(&actions).clone();
    assert_eq!(actions, [install(CLIENT_MAC, ACCESS_LINK, true), CHANGED, Action::Send(transmit.clone())]);
    assert_eq!(transmit.payload, reply);
    assert_eq!(transmit.path, to_client());
    assert_eq!((transmit.source, transmit.destination), (CARE_OF, HOME));
    assert_eq!((transmit.source_port, transmit.destination_port), (434, CLIENT_PORT));
    assert_eq!(bench.agent.pending().count(), 0);
}

#[test]
fn the_visitor_stays_for_the_least_of_all_lifetimes_and_leaves_in_silence() {
    for (asked, granted, stays) in [(600, 600, 600), (600, 300, 300), (600, 900, 600)] {
        let mut bench = Bench::new(config());
        let request = bench.ask(|request| request.lifetime = Lifetime(asked));
        bench.answer(&signed_reply(&RegistrationReply { lifetime: Lifetime(granted), ..reply_to(&request) }));
        assert_eq!(bench.run(Duration::from_millis(stays * 1000 - 1)), []);
        assert_eq!(bench.run(Duration::from_millis(1)), [REMOVED, CHANGED]);
        assert_eq!(bench.agent.poll_timeout(), None);
    }
}

#[test]
fn a_renewal_moves_the_expiry_and_leaves_the_data_path_alone() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.run(300 * SECOND);
    let request = bench.ask(|_| {});
    let actions = bench.accept(&request);
    assert_eq!(actions, [CHANGED, Action::Send(sent(&actions).clone())]);
    assert_eq!(bench.run(599 * SECOND), []);
    assert_eq!(bench.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn a_visitor_that_reappears_with_another_address_is_moved_only_by_an_accepted_reply() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    let request = bench.fresh();
    let message = signed(&request, &client_key());
    bench.receive(&Received { source_mac: Some(OTHER_MAC), ..from_client(&message) });
    assert_eq!(bench.visitor(), Some(&before));
    let actions = bench.accept(&request);
    assert_eq!(actions[0], install(OTHER_MAC, ACCESS_LINK, false));
}

#[test]
fn denied_renewal_keeps_the_visitor() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    let request = bench.ask(|_| {});
    let denial = RegistrationReply { code: ReplyCode::HA_IDENTIFICATION, ..reply_to(&request) };
    assert_eq!(told(&bench.answer(&signed_reply(&denial))), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(bench.visitor(), Some(&before));
    assert_eq!(bench.agent.pending().count(), 0);
}

#[test]
fn an_accepted_deregistration_removes_the_visitor_and_nothing_else_does() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|request| request.lifetime = Lifetime::DEREGISTER);
    assert!(bench.visitor().is_some());
    let actions = bench.accept(&request);
    assert_eq!(actions, [REMOVED, CHANGED, Action::Send(sent(&actions).clone())]);
    assert_eq!(bench.agent.counters().deregistrations_accepted, 1);
}

#[test]
fn a_deregistration_of_a_former_care_of_address_is_relayed_from_ours_and_leaves_the_visitor() {
    let mut bench = Bench::new(config());
    bench.register();
    let mut request = bench.fresh();
    request.lifetime = Lifetime::DEREGISTER;
    request.care_of_address = CareOfAddress(Ipv4Addr::new(10, 3, 0, 1));
    let actions = bench.receive(&from_client(&signed(&request, &client_key())));
    assert_eq!(sent(&actions).source, CARE_OF);
    bench.accept(&request);
    assert!(bench.visitor().is_some());
}

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
fn a_client_whose_clock_was_set_back_can_still_renew() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|request| request.identification.0 -= 3600 << 32);
    assert_eq!(read_reply(sent(&bench.accept(&request))).code, ReplyCode::ACCEPTED);
    assert_eq!(bench.visitor().unwrap().identification, request.identification);
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

/// The denial that a request gets from a fresh foreign agent.
fn denial(config: Config, received: impl FnOnce(&mut RegistrationRequest, &mut Received<'_>)) -> ReplyCode {
    let mut bench = Bench::new(config);
    let mut request = bench.fresh();
    let mut template = from_client(&[]);
    received(&mut request, &mut template);
    let message = signed(&request, &client_key());
    let actions = bench.receive(&Received { payload: &message, ..template });
    let code = told(&actions);
    let reply = read_reply(sent(&actions));
    assert_eq!(
        (reply.home_address, reply.home_agent, reply.identification),
        (request.home_address, request.home_agent, request.identification)
    );
    assert_eq!(bench.agent.counters().denied.get(code), 1);
    assert_eq!(bench.agent.pending().count(), 0);
    code
}

fn denial_of(config: Config, change: impl FnOnce(&mut RegistrationRequest)) -> ReplyCode {
    denial(config, |request, _| change(request))
}

fn denial_of_bytes(config: Config, message: impl FnOnce(&RegistrationRequest) -> Vec<u8>) -> ReplyCode {
    let mut bench = Bench::new(config);
    let message = message(&bench.fresh());
    let code = told(&bench.receive(&from_client(&message)));
    assert_eq!(bench.agent.pending().count(), 0);
    code
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
    assert_eq!(denial_of_bytes(config(), with(&[130, 0])), ReplyCode::FA_DELIVERY_STYLE);
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
        assert_eq!(bench.agent.violations().iter().len(), 1);
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
fn poorly_formed_replies_get_71_and_change_nothing() {
    let request = Bench::new(config()).fresh();
    let unsigned = {
        let mut message = Vec::new();
        reply_to(&request).emit(&mut message);
        message
    };
    let elsewhere = RegistrationReply { home_agent: HomeAgentAddress(CARE_OF), ..reply_to(&request) };
    let broken = [signed_reply(&reply_to(&request)), vec![200, 9]].concat();
    for reply in [unsigned, signed_reply(&elsewhere), broken] {
        let mut bench = Bench::new(config());
        bench.ask(|_| {});
        assert_eq!(told(&bench.answer(&reply)), ReplyCode::FA_MALFORMED_REPLY);
        assert!(bench.visitor().is_none());
    }
}

#[test]
fn a_reply_without_a_home_agent_gets_98() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|_| {});
    let reply = RegistrationReply { home_agent: HomeAgentAddress(Ipv4Addr::UNSPECIFIED), ..reply_to(&request) };
    assert_eq!(told(&bench.answer(&signed_reply(&reply))), ReplyCode::FA_MISSING_HOME_AGENT);
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
        let mut actions = Vec::new();
        bench.agent.handle_unreachable(bench.clock.0, HomeAgentAddress(CARE_OF), kind, &mut actions);
        assert_eq!(actions, [], "another home agent");
        bench.agent.handle_unreachable(bench.clock.0, HomeAgentAddress(HOME_AGENT), kind, &mut actions);
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

/// What a datagram is dropped for.
fn silence(received: impl FnOnce(&mut Received<'_>), message: impl FnOnce(&RegistrationRequest) -> Vec<u8>) -> Discard {
    let mut bench = Bench::new(config());
    let message = message(&bench.fresh());
    let mut template = from_client(&[]);
    received(&mut template);
    assert_eq!(bench.receive(&Received { payload: &message, ..template }), []);
    let reasons: Vec<_> = bench.agent.counters().discarded.iter().collect();
    let [(reason, 1)] = reasons[..] else { panic!("one datagram, one reason: {reasons:?}") };
    reason
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
fn equal_home_addresses_of_two_home_networks_are_two_visitors() {
    let mut bench = Bench::new(config());
    bench.register();
    let elsewhere = HomeAgentAddress(Ipv4Addr::new(172, 16, 0, 1));
    let request = bench.ask(|request| request.home_agent = elsewhere);
    bench.accept(&request);
    assert_eq!(bench.agent.visitors().count(), 2);
    let mut actions = Vec::new();
    assert!(bench.agent.remove_visitor(elsewhere, HomeAddress(HOME), &mut actions));
    assert!(!bench.agent.remove_visitor(elsewhere, HomeAddress(HOME), &mut actions));
    assert!(bench.visitor().is_some());
}

#[test]
fn on_a_box_with_both_roles_only_what_goes_through_us_is_ours() {
    let agent = ForeignAgent::new(Config { own_home_agents: vec![CARE_OF], ..config() });
    let now = Clock::new().0;
    let own = RegistrationRequest { home_agent: HomeAgentAddress(CARE_OF), ..request(now) };
    let straight = RegistrationRequest { home_agent: HomeAgentAddress(CARE_OF), ..deregistration(now) };
    assert!(agent.takes(&from_client(&unsigned(&request(now)))), "a visitor from elsewhere");
    assert!(agent.takes(&from_client(&unsigned(&own))), "a visitor from another subnet of this box");
    assert!(agent.takes(&from_client(&unsigned(&deregistration(now)))), "to its home agent elsewhere");
    assert!(!agent.takes(&from_client(&unsigned(&straight))), "a client that is home");
    assert!(!agent.takes(&from_client(&[])));
}

/// A successor of the agent, with the record as it comes back from disk.
fn restarted(bench: &Bench, config: Config, after: Duration) -> (Bench, Vec<Action>) {
    let record = bench.agent.record(bench.now(), HomeAgentAddress(HOME_AGENT), HomeAddress(HOME)).unwrap();
    let record: VisitorRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let mut successor = Bench::new(config);
    successor.clock.0 = bench.now();
    successor.clock.advance(after);
    successor.clock.0.instant.0 = Duration::from_secs(5);
    let mut actions = Vec::new();
    successor.agent.restore(successor.clock.0, [record], &mut actions);
    (successor, actions)
}

#[test]
fn a_restart_keeps_visitors_and_their_expiry() {
    let mut bench = Bench::new(config());
    bench.register();
    let (mut successor, actions) = restarted(&bench, config(), 100 * SECOND);
    assert_eq!(actions, [install(CLIENT_MAC, ACCESS_LINK, false), CHANGED]);
    assert_eq!(successor.run(499 * SECOND), []);
    assert_eq!(successor.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn visitors_that_expired_or_lost_their_place_during_a_restart_are_removed_from_the_data_path() {
    let mut bench = Bench::new(config());
    bench.register();
    for (config, after) in [
        (config(), 600 * SECOND),
        (Config { interfaces: Vec::new(), ..config() }, SECOND),
        (Config { care_of_addresses: Vec::new(), ..config() }, SECOND),
        (Config { maximum_visitors: 0, ..config() }, SECOND),
    ] {
        let (successor, actions) = restarted(&bench, config, after);
        assert_eq!(actions, [REMOVED, CHANGED]);
        assert!(successor.visitor().is_none());
    }
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

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_make_a_visitor(
        mut bytes in prop::collection::vec(any::<u8>(), 1..120),
        aimed in any::<bool>(),
    ) {
        let mut bench = Bench::new(with_home_association());
        let request = bench.ask(|_| {});
        let mut reply = bytes.clone();
        if aimed && bytes.len() >= 24 {
            bytes[..24].copy_from_slice(&unsigned(&bench.fresh()));
            reply[..20].copy_from_slice(&signed_reply(&reply_to(&request))[..20]);
        }
        bench.receive(&from_client(&bytes));
        let actions = bench.answer(&reply);
        prop_assert!(matches!(actions[..], [] | [Action::Send(_)]));
        prop_assert_eq!(bench.agent.visitors().count(), 0);
        prop_assert!(bench.agent.pending().count() <= 2);
    }

    #[test]
    fn no_altered_reply_of_an_associated_home_agent_is_accepted(byte in 0_usize..64, mask in 1_u8..) {
        let mut bench = Bench::new(with_home_association());
        let request = bench.ask(|_| {});
        let mut reply = signed_reply(&reply_to(&request));
        agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
        reply[byte] ^= mask;
        bench.answer(&reply);
        prop_assert!(bench.visitor().is_none());
    }

    #[test]
    fn a_flood_of_requests_takes_bounded_memory_and_leaves_nothing_behind(
        floods in prop::collection::vec((any::<u32>(), any::<u8>(), 0_u16..3), 1..200),
    ) {
        let mut bench = Bench::new(config());
        for (home, mac, lifetime) in floods {
            let mut request = bench.fresh();
            request.home_address = HomeAddress(home.into());
            request.lifetime = Lifetime(lifetime);
            let message = signed(&request, &client_key());
            let mac = MacAddress([2, 0, 0, 0, 0, mac]);
            bench.receive(&Received { source_mac: Some(mac), ..from_client(&message) });
            prop_assert!(bench.agent.pending().count() <= 20);
        }
        bench.run(7 * SECOND);
        prop_assert_eq!(bench.agent.pending().count(), 0);
        prop_assert_eq!(bench.agent.poll_timeout(), None);
    }
}
