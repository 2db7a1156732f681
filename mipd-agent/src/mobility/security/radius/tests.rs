//! The client against servers that are played by hand.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::{Action, Config, Counters, Outcome, RadiusClient, Server, ServerIndex, Unresolved};
use crate::{
    mobility::{security::SecurityAssociation, time::Instant},
    wire::{
        authentication::{Algorithm, Key},
        radius::{NasIdentifier, UserPassword},
        types::HomeAddress,
    },
};

const PRIMARY: ServerIndex = ServerIndex(0);
const SECONDARY: ServerIndex = ServerIndex(1);
const SECRETS: [&str; 2] = ["first secret", "second secret"];
const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const CHALLENGE: u8 = 11;

/// A request on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Request {
    server: ServerIndex,
    packet: Vec<u8>,
}

struct Bench {
    client: RadiusClient,
    now: Instant,
    sent: Vec<Request>,
    resolved: Vec<(HomeAddress, Outcome)>,
    withdrawn: Vec<HomeAddress>,
    failed: Vec<ServerIndex>,
    returned: Vec<ServerIndex>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let servers = SECRETS.map(|secret| Server { secret: Key::from_bytes(secret.into()).unwrap() });
        let mut config = Config::new(
            servers.into(),
            UserPassword::new("cisco".into()).unwrap(),
            NasIdentifier::new("ha".into()).unwrap(),
        );
        change(&mut config);
        Self {
            client: RadiusClient::new(config, [7; 32]),
            now: Instant(Duration::from_secs(1000)),
            sent: Vec::new(),
            resolved: Vec::new(),
            withdrawn: Vec::new(),
            failed: Vec::new(),
            returned: Vec::new(),
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut RadiusClient, Instant, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        act(&mut self.client, self.now, &mut actions);
        for action in actions {
            match action {
                Action::Send { server, packet } => self.sent.push(Request { server, packet }),
                Action::Resolved { home_address, outcome } => self.resolved.push((home_address, outcome)),
                Action::Withdrawn { home_address } => self.withdrawn.push(home_address),
                Action::ServerFailed { server } => self.failed.push(server),
                Action::ServerReturned { server } => self.returned.push(server),
            }
        }
    }

    fn look_up(&mut self, home_address: HomeAddress) {
        self.act(|client, now, actions| client.look_up(now, home_address, actions));
    }

    /// Looks the client up, which must make the client send one request.
    fn ask(&mut self, home_address: HomeAddress) -> Request {
        self.sent.clear();
        self.look_up(home_address);
        assert_eq!(self.sent.len(), 1, "one request");
        self.sent[0].clone()
    }

    fn deliver(&mut self, server: ServerIndex, datagram: &[u8]) {
        self.act(|client, now, actions| client.handle_datagram(now, server, datagram, actions));
    }

    fn answer(&mut self, request: &Request, code: u8, attributes: &[u8]) {
        self.deliver(request.server, &response(request, code, attributes));
    }

    /// Lets time pass, and the client act whenever it wants to.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.act(RadiusClient::handle_timeout);
        }
        self.now = end;
    }

    fn outcome(&mut self) -> (HomeAddress, Outcome) {
        assert_eq!(self.resolved.len(), 1, "one outcome: {:?}", self.resolved);
        self.resolved.remove(0)
    }

    fn spis(&mut self) -> Vec<u32> {
        let (_, outcome) = self.outcome();
        outcome.unwrap().iter().map(|association| association.spi.get()).collect()
    }

    fn counters(&self) -> Counters {
        self.client.counters().clone()
    }
}

fn home(last: u16) -> HomeAddress {
    let [high, low] = last.to_be_bytes();
    HomeAddress(Ipv4Addr::new(10, 1, high, low))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 2 + value.len() as u8], value].concat()
}

fn pair(text: &str) -> Vec<u8> {
    let sub = attribute(1, text.as_bytes());
    attribute(26, &[[0, 0, 0, 9].as_slice(), &sub].concat())
}

/// The usual grant.
fn grant(spi: u32) -> Vec<u8> {
    pair(&format!("mobileip:spi#0=spi {spi:x} key hex 000102030405060708090a0b0c0d0e0f"))
}

fn session_timeout(seconds: u32) -> Vec<u8> {
    attribute(27, &seconds.to_be_bytes())
}

/// What the asked server answers.
fn response(request: &Request, code: u8, attributes: &[u8]) -> Vec<u8> {
    response_with_secret(request, SECRETS[request.server.0], code, attributes)
}

fn response_with_secret(request: &Request, secret: &str, code: u8, attributes: &[u8]) -> Vec<u8> {
    let authenticator = &request.packet[4..20];
    let list = [attribute(80, &[0; 16]).as_slice(), attributes].concat();
    let length = (20 + list.len() as u16).to_be_bytes();
    let mut packet = [[code, request.packet[1]].as_slice(), &length, authenticator, &list].concat();
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&packet);
    packet[22..38].copy_from_slice(&mac.finalize().into_bytes());
    seal(&mut packet, secret);
    packet
}

/// Replaces the request's authenticator, which the packet holds so far.
fn seal(packet: &mut [u8], secret: &str) {
    let digest = Md5::digest([&*packet, secret.as_bytes()].concat());
    packet[4..20].copy_from_slice(&digest);
}

#[test]
fn an_accepted_client_is_resolved_and_then_answered_from_the_cache() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    assert_eq!(request.server, PRIMARY);
    assert!(request.packet.windows(8).any(|window| window == b"10.1.0.7"));
    assert!(bench.resolved.is_empty());
    bench.answer(&request, ACCEPT, &grant(0x100));
    let (home_address, outcome) = bench.outcome();
    let expected = SecurityAssociation::new(
        crate::wire::types::Spi::new(0x100).unwrap(),
        Algorithm::Md5PrefixSuffix,
        Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap(),
    );
    assert_eq!((home_address, outcome), (home(7), Ok(Arc::from([expected]))));

    bench.sent.clear();
    bench.pass(seconds(600));
    bench.look_up(home(7));
    assert_eq!(bench.spis(), [0x100]);
    assert!(bench.sent.is_empty(), "no second request");
    assert_eq!((bench.counters().access_requests, bench.counters().cache_hits), (1, 1));
}

#[test]
fn associations_come_in_the_order_of_their_numbers_and_what_is_no_association_is_counted() {
    let mut bench = Bench::new(|config| config.default_algorithm = Algorithm::HmacMd5);
    let request = bench.ask(home(7));
    let key = "key hex 000102030405060708090a0b0c0d0e0f";
    let attributes = [
        pair(&format!("mobileip:spi#2=spi 300 {key} replay timestamp within 20")),
        pair(&format!("mobileip:spi#0=spi 100 {key} algorithm md5 mode prefix-suffix")),
        pair("ip:addr-pool=first"),
        pair("mobileip:spi#3=spi 400 key ascii secret"),
        pair(&format!("mobileip:spi#4=spi 100 {key}")),
        attribute(26, &[0, 0, 0, 9, 1, 77]),
        pair(&format!("mobileip:spi#1=spi 200 {key}")),
    ];
    bench.answer(&request, ACCEPT, &attributes.concat());
    let (_, outcome) = bench.outcome();
    let found: Vec<_> = outcome
        .unwrap()
        .iter()
        .map(|association| (association.spi.get(), association.algorithm, association.replay_window))
        .collect();
    assert_eq!(
        found,
        [
            (0x100, Algorithm::Md5PrefixSuffix, None),
            (0x200, Algorithm::HmacMd5, None),
            (0x300, Algorithm::HmacMd5, Some(seconds(20))),
        ]
    );
    assert_eq!((bench.counters().pairs_ignored, bench.counters().associations_downloaded), (3, 3));
}

#[test]
fn a_client_has_at_most_eight_associations() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    bench.answer(&request, ACCEPT, &(0..12).flat_map(|step| grant(0x100 + step)).collect::<Vec<_>>());
    assert_eq!(bench.spis().len(), 8);
    assert_eq!(bench.counters().pairs_ignored, 4);
}

#[test]
fn a_rejected_client_is_not_asked_about_again_for_a_while() {
    let mut bench = Bench::new(|config| config.negative_cache_lifetime = seconds(60));
    let request = bench.ask(home(7));
    bench.answer(&request, REJECT, &[]);
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Rejected)));
    bench.sent.clear();
    bench.pass(seconds(59));
    bench.look_up(home(7));
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Rejected)));
    assert!(bench.sent.is_empty());
    bench.pass(seconds(2));
    bench.ask(home(7));
    let counters = bench.counters();
    assert_eq!((counters.access_rejects, counters.negative_cache_hits, counters.access_requests), (1, 1, 2));
}

#[test]
fn a_challenge_and_an_accept_without_association_are_refusals() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    bench.answer(&request, CHALLENGE, &[]);
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Rejected)));
    let request = bench.ask(home(8));
    bench.answer(&request, ACCEPT, &pair("mobileip:spi#0=spi 100 key hex 00"));
    assert_eq!(bench.outcome(), (home(8), Err(Unresolved::WithoutAssociation)));
    let counters = bench.counters();
    assert_eq!((counters.access_challenges, counters.accepts_without_association), (1, 1));
}

#[test]
fn a_request_is_sent_again_unchanged_and_then_passed_to_the_secondary() {
    let mut bench = Bench::new(|_| {});
    let first = bench.ask(home(7));
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.sent.len(), 1);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.sent[1], first);
    bench.pass(Duration::from_millis(1999));
    assert_eq!(bench.sent.len(), 2);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.failed, [PRIMARY]);
    let second = bench.sent[2].clone();
    assert_eq!(second.server, SECONDARY);
    assert_ne!(second.packet[4..20], first.packet[4..20], "a new authenticator");
    bench.answer(&second, ACCEPT, &grant(0x100));
    assert_eq!(bench.spis(), [0x100]);
    let counters = bench.counters();
    assert_eq!(
        (counters.access_requests, counters.access_retransmissions, counters.timeouts, counters.failovers),
        (2, 1, 1, 1)
    );
}

#[test]
fn a_dead_primary_is_passed_over_until_one_request_finds_it_back() {
    let mut bench = Bench::new(|config| config.dead_time = seconds(60));
    bench.look_up(home(1));
    bench.pass(seconds(3));
    let on_secondary = bench.sent.last().unwrap().clone();
    bench.answer(&on_secondary, REJECT, &[]);
    bench.pass(seconds(59));
    let on_secondary = bench.ask(home(3));
    assert_eq!(on_secondary.server, SECONDARY, "still dead");
    bench.answer(&on_secondary, REJECT, &[]);
    bench.pass(seconds(1));

    let probe = bench.ask(home(4));
    assert_eq!(probe.server, PRIMARY);
    let other = bench.ask(home(5));
    assert_ne!(other.server, PRIMARY, "one probe at a time");
    bench.answer(&probe, ACCEPT, &grant(0x100));
    assert_eq!(bench.returned, [PRIMARY]);
    assert_eq!(bench.ask(home(6)).server, PRIMARY);
    assert_eq!(bench.counters().servers_returned, 1);
}

#[test]
fn a_failed_probe_leaves_the_primary_dead_for_another_while() {
    let mut bench = Bench::new(|config| config.dead_time = seconds(60));
    bench.look_up(home(1));
    bench.pass(seconds(3));
    let on_secondary = bench.sent.last().unwrap().clone();
    bench.answer(&on_secondary, REJECT, &[]);
    bench.pass(seconds(61));
    assert_eq!(bench.ask(home(2)).server, PRIMARY);
    bench.pass(seconds(3));
    assert_eq!(bench.sent.last().unwrap().server, SECONDARY);
    assert_eq!(bench.ask(home(3)).server, SECONDARY);
    assert_eq!(bench.failed, [PRIMARY], "told once");
}

#[test]
fn a_server_that_answers_others_is_not_dead_for_losing_one_request() {
    let mut bench = Bench::new(|_| {});
    bench.ask(home(1));
    bench.pass(seconds(2));
    let other = bench.ask(home(2));
    bench.answer(&other, REJECT, &[]);
    bench.pass(seconds(1));
    assert_eq!(bench.sent.last().unwrap().server, SECONDARY, "the lost one is passed on");
    assert!(bench.failed.is_empty());
    assert_eq!(bench.ask(home(3)).server, PRIMARY);
}

#[test]
fn with_a_wrong_secret_answers_are_dropped_and_the_secondary_is_asked() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    bench.deliver(PRIMARY, &response_with_secret(&request, "another secret", ACCEPT, &grant(0x100)));
    bench.deliver(PRIMARY, &response_with_secret(&request, "another secret", REJECT, &[]));
    assert!(bench.resolved.is_empty());
    assert_eq!(bench.counters().bad_authenticators, 2);
    bench.pass(seconds(3));
    let request = bench.sent.last().unwrap().clone();
    assert_eq!(request.server, SECONDARY);
    bench.answer(&request, ACCEPT, &grant(0x200));
    assert_eq!(bench.spis(), [0x200]);
}

#[test]
fn an_accept_without_message_authenticator_counts_only_if_allowed() {
    for require in [true, false] {
        let mut bench = Bench::new(|config| config.require_message_authenticator = require);
        let request = bench.ask(home(7));
        let list = grant(0x100);
        let length = (20 + list.len() as u16).to_be_bytes();
        let mut packet = [[ACCEPT, request.packet[1]].as_slice(), &length, &request.packet[4..20], &list].concat();
        seal(&mut packet, SECRETS[0]);
        bench.deliver(PRIMARY, &packet);
        assert_eq!(bench.resolved.len(), usize::from(!require));
        assert_eq!(bench.counters().missing_message_authenticators, u64::from(require));
    }
}

#[test]
fn malformed_unexpected_and_late_answers_are_dropped_and_counted() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    let good = response(&request, ACCEPT, &grant(0x100));
    bench.deliver(PRIMARY, &good[..good.len() - 1]);
    assert_eq!(bench.counters().malformed_access_responses, 1);
    bench.deliver(SECONDARY, &good);
    bench.deliver(ServerIndex(9), &good);
    let mut other = good.clone();
    other[1] = other[1].wrapping_add(1);
    bench.deliver(PRIMARY, &other);
    assert_eq!(bench.counters().unexpected_responses, 3);
    bench.pass(seconds(3));
    bench.deliver(PRIMARY, &good);
    assert_eq!(bench.counters().unexpected_responses, 4, "given up at the primary");
    assert!(bench.resolved.is_empty());
    let request = bench.sent.last().unwrap().clone();
    bench.answer(&request, REJECT, &[]);
    bench.answer(&request, ACCEPT, &grant(0x100));
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Rejected)));
    assert_eq!(bench.counters().unexpected_responses, 5, "a duplicate");
}

#[test]
fn when_no_server_answers_the_client_is_left_alone_for_a_short_while() {
    let mut bench = Bench::new(|_| {});
    bench.look_up(home(7));
    bench.pass(seconds(6));
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Unanswered)));
    assert_eq!(bench.failed, [PRIMARY, SECONDARY]);
    assert_eq!((bench.sent.len(), bench.counters().unanswered), (4, 1));
    bench.pass(seconds(9));
    bench.look_up(home(7));
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Unanswered)));
    bench.pass(seconds(2));
    let request = bench.ask(home(7));
    assert_eq!(request.server, PRIMARY, "all are dead: the first one found dead");
    bench.answer(&request, ACCEPT, &grant(0x100));
    assert_eq!(bench.spis(), [0x100]);
    assert_eq!(bench.returned, [PRIMARY]);
}

#[test]
fn look_ups_of_one_client_make_one_request() {
    let mut bench = Bench::new(|_| {});
    let request = bench.ask(home(7));
    bench.look_up(home(7));
    bench.look_up(home(7));
    assert_eq!((bench.sent.len(), bench.counters().look_ups_merged), (1, 2));
    bench.answer(&request, ACCEPT, &grant(0x100));
    assert_eq!(bench.spis(), [0x100]);
}

#[test]
fn a_client_whose_question_is_slow_delays_no_other() {
    let mut bench = Bench::new(|_| {});
    bench.ask(home(1));
    for other in 2..50 {
        let request = bench.ask(home(other));
        bench.answer(&request, ACCEPT, &grant(0x100));
        assert_eq!(bench.outcome().0, home(other));
    }
}

#[test]
fn so_many_requests_are_outstanding_at_most_and_the_others_wait_in_order() {
    let mut bench = Bench::new(|config| {
        config.maximum_outstanding = 3;
        config.maximum_waiting = 2;
    });
    for client in 1..=6 {
        bench.look_up(home(client));
    }
    assert_eq!(bench.sent.len(), 3);
    assert_eq!(bench.outcome(), (home(6), Err(Unresolved::Overloaded)));
    let first = bench.sent[0].clone();
    bench.answer(&first, ACCEPT, &grant(0x100));
    assert_eq!(bench.sent.len(), 4, "the next one's turn");
    assert!(bench.sent[3].packet.windows(8).any(|window| window == b"10.1.0.4"));
    bench.look_up(home(7));
    assert_eq!((bench.counters().look_ups_queued, bench.counters().look_ups_refused), (3, 1));
}

#[test]
fn a_look_up_does_not_wait_for_its_turn_for_ever() {
    let mut bench = Bench::new(|config| {
        config.maximum_outstanding = 1;
        config.timeout = seconds(30);
    });
    bench.look_up(home(1));
    bench.look_up(home(2));
    bench.pass(seconds(5));
    assert_eq!(bench.outcome(), (home(2), Err(Unresolved::Overloaded)));
    let request = bench.sent[0].clone();
    bench.answer(&request, REJECT, &[]);
    assert_eq!(bench.sent.len(), 1, "it does not wait any more");
}

#[test]
fn servers_are_asked_so_many_times_per_second_at_most() {
    let mut bench = Bench::new(|config| {
        config.requests_per_second = 10;
        config.maximum_outstanding = 256;
    });
    for client in 0..40 {
        bench.look_up(home(client));
    }
    assert_eq!(bench.sent.len(), 10);
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.counters().access_requests, 19);
    bench.pass(seconds(3));
    assert!(bench.counters().access_requests >= 40);
    assert!(bench.resolved.is_empty(), "the queue was short enough");
}

#[test]
fn all_identifiers_of_a_server_can_be_in_use_and_none_twice() {
    let mut bench = Bench::new(|config| {
        config.requests_per_second = 10_000;
        config.maximum_outstanding = 256;
    });
    for client in 0..300 {
        bench.look_up(home(client));
    }
    assert_eq!(bench.sent.len(), 256);
    let identifiers: BTreeSet<u8> = bench.sent.iter().map(|request| request.packet[1]).collect();
    assert_eq!(identifiers.len(), 256);
    let request = bench.sent[200].clone();
    bench.answer(&request, ACCEPT, &grant(0x100));
    assert_eq!(bench.outcome().0, home(200));
    assert_eq!(bench.sent.last().unwrap().packet[1], request.packet[1], "the only free one");
}

#[test]
fn associations_in_use_are_downloaded_anew_in_the_background_before_they_expire() {
    let mut bench = Bench::new(|config| config.cache_lifetime = seconds(100));
    let request = bench.ask(home(7));
    bench.answer(&request, ACCEPT, &grant(0x100));
    bench.resolved.clear();
    bench.pass(seconds(74));
    bench.sent.clear();
    bench.look_up(home(7));
    assert!(bench.sent.is_empty());
    bench.pass(seconds(1));
    bench.resolved.clear();
    let refresh = bench.ask(home(7));
    assert_eq!(bench.spis(), [0x100], "no waiting");
    bench.look_up(home(7));
    assert_eq!(bench.sent.len(), 1, "one refresh");
    bench.resolved.clear();
    bench.answer(&refresh, ACCEPT, &grant(0x200));
    assert_eq!(bench.spis(), [0x200]);
    bench.pass(seconds(99));
    assert!(bench.withdrawn.is_empty(), "the lifetime starts anew");
    bench.pass(seconds(1));
    assert_eq!(bench.withdrawn, [home(7)]);
    assert_eq!((bench.counters().refreshes, bench.counters().associations_expired), (1, 1));
}

#[test]
fn unused_associations_expire_without_a_request() {
    let mut bench = Bench::new(|config| config.cache_lifetime = seconds(100));
    let request = bench.ask(home(7));
    bench.answer(&request, ACCEPT, &grant(0x100));
    bench.sent.clear();
    bench.pass(seconds(100));
    assert_eq!((bench.withdrawn.as_slice(), bench.sent.len()), ([home(7)].as_slice(), 0));
    assert_eq!(bench.client.downloaded().count(), 0);
}

#[test]
fn a_refresh_that_nobody_answers_takes_nothing_away_before_the_lifetime_ends() {
    let mut bench = Bench::new(|config| config.cache_lifetime = seconds(100));
    let request = bench.ask(home(7));
    bench.answer(&request, ACCEPT, &grant(0x100));
    bench.pass(seconds(80));
    bench.ask(home(7));
    bench.resolved.clear();
    bench.pass(seconds(6));
    assert!(bench.resolved.is_empty() && bench.withdrawn.is_empty());
    bench.sent.clear();
    bench.look_up(home(7));
    assert_eq!(bench.spis(), [0x100]);
    assert!(bench.sent.is_empty(), "not so soon again");
    bench.pass(seconds(10));
    bench.ask(home(7));
    bench.resolved.clear();
    bench.pass(seconds(4));
    assert_eq!(bench.withdrawn, [home(7)]);
    bench.pass(seconds(2));
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Unanswered)));
}

#[test]
fn a_rejected_refresh_takes_the_associations_away() {
    let mut bench = Bench::new(|config| config.cache_lifetime = seconds(100));
    let request = bench.ask(home(7));
    bench.answer(&request, ACCEPT, &grant(0x100));
    bench.pass(seconds(80));
    let refresh = bench.ask(home(7));
    bench.resolved.clear();
    bench.answer(&refresh, REJECT, &[]);
    assert_eq!(bench.outcome(), (home(7), Err(Unresolved::Rejected)));
    assert_eq!(bench.client.downloaded().count(), 0);
}

#[test]
fn the_server_may_say_how_long_associations_are_kept_within_reason() {
    for (told, kept) in [(300, 300), (0, 10), (u32::MAX, 86_400)] {
        let mut bench = Bench::new(|_| {});
        let request = bench.ask(home(7));
        bench.answer(&request, ACCEPT, &[grant(0x100), session_timeout(told)].concat());
        let row = bench.client.downloaded().next().unwrap();
        assert_eq!((row.home_address, row.server, row.associations.len()), (home(7), PRIMARY, 1));
        assert_eq!(row.expires.since(bench.now), seconds(kept));
    }
}

#[test]
fn the_client_used_least_recently_makes_room_and_refusals_displace_no_associations() {
    let mut bench = Bench::new(|config| config.maximum_cached = 2);
    for client in [1, 2] {
        let request = bench.ask(home(client));
        bench.answer(&request, ACCEPT, &grant(0x100));
    }
    bench.look_up(home(1));
    for client in [11, 12, 13] {
        let request = bench.ask(home(client));
        bench.answer(&request, REJECT, &[]);
    }
    assert!(bench.withdrawn.is_empty());
    let request = bench.ask(home(3));
    bench.answer(&request, ACCEPT, &grant(0x100));
    assert_eq!(bench.withdrawn, [home(2)]);
    let counters = bench.counters();
    assert_eq!((counters.associations_evicted, counters.refusals_evicted), (1, 1));
}

#[derive(Clone, Debug)]
enum Step {
    LookUp(u16),
    Answer { of: usize, code: u8, spi: u32 },
    Noise(usize, Vec<u8>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u16..12).prop_map(Step::LookUp),
        3 => (any::<usize>(), prop_oneof![Just(ACCEPT), Just(REJECT)], 0x100u32..0x104)
            .prop_map(|(of, code, spi)| Step::Answer { of, code, spi }),
        1 => (0usize..3, prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(server, bytes)| Step::Noise(server, bytes)),
        3 => (0u64..40_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn every_look_up_is_answered_and_nothing_grows_without_bound(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::new(|config| {
            config.maximum_outstanding = 3;
            config.maximum_waiting = 2;
            config.maximum_cached = 4;
            config.cache_lifetime = seconds(60);
        });
        let mut open = BTreeSet::new();
        for step in steps {
            match step {
                Step::LookUp(client) => {
                    open.insert(home(client));
                    bench.look_up(home(client));
                }
                Step::Answer { of, code, spi } => {
                    let Some(request) = bench.sent.get(of % bench.sent.len().max(1)).cloned() else { continue };
                    bench.answer(&request, code, &grant(spi));
                }
                Step::Noise(server, bytes) => bench.deliver(ServerIndex(server), &bytes),
                Step::Pass(milliseconds) => bench.pass(Duration::from_millis(milliseconds)),
            }
            for (home_address, _) in bench.resolved.drain(..) {
                open.remove(&home_address);
            }
            prop_assert!(bench.client.servers.outstanding() <= 3);
            prop_assert!(bench.client.waiting.len() <= 2);
            prop_assert!(bench.client.pending.len() <= 5);
            prop_assert!(bench.client.associations.iter().len() <= 4 && bench.client.refusals.iter().len() <= 4);
        }
        bench.pass(seconds(20));
        for (home_address, _) in bench.resolved.drain(..) {
            open.remove(&home_address);
        }
        prop_assert!(open.is_empty(), "no answer about {open:?}");
        bench.pass(Duration::from_hours(25));
        prop_assert!(bench.client.pending.is_empty() && bench.client.servers.outstanding() == 0);
        prop_assert_eq!(bench.client.poll_timeout(), None);
    }
}
