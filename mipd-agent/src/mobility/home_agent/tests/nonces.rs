//! Nonces (RFC 5944 §5.7.2).

use super::*;
use crate::mobility::security::ReplayProtection;

fn key() -> SecurityAssociation {
    SecurityAssociation { replay: ReplayProtection::Nonces, ..client_key() }
}

fn with_nonces() -> Config {
    let clients = "10.0.0.0/8".parse().unwrap();
    Config { mobile_home: Arc::new(MobileHomeAssociations::new([(clients, key())]).unwrap()), ..config() }
}

/// A client that keeps to the rule: the next request's high half is the last reply's.
struct Client {
    bench: Bench,
    nonce: u32,
    low: u32,
}

impl Client {
    fn new(config: Config) -> Self {
        Self { bench: Bench::new(config), nonce: 0xbad0_0bad, low: 0 }
    }

    fn request(&mut self) -> RegistrationRequest {
        self.low += 1;
        let identification = Identification(u64::from(self.nonce) << 32 | u64::from(self.low));
        RegistrationRequest { identification, ..request(self.bench.now()) }
    }

    fn send(&mut self, request: &RegistrationRequest) -> (ReplyCode, Vec<Action>) {
        let actions = self.bench.register(request);
        let reply = read_reply(sent(&actions));
        assert_eq!(reply.identification.low(), request.identification.low());
        assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
        self.nonce = reply.identification.seconds();
        (reply.code, actions)
    }

    fn register(&mut self) -> ReplyCode {
        let request = self.request();
        self.send(&request).0
    }

    fn registered() -> Self {
        let mut client = Self::new(with_nonces());
        client.register();
        client.register();
        assert_eq!(client.bench.agent.binding_count(), 1);
        client
    }
}

#[test]
fn a_wrong_nonce_gets_133_with_a_fresh_one_that_is_then_right() {
    let mut client = Client::new(with_nonces());
    assert_eq!(client.register(), ReplyCode::HA_IDENTIFICATION);
    assert_ne!(client.nonce, 0xbad0_0bad);
    for _ in 0..3 {
        let before = client.nonce;
        assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
        assert_ne!(client.nonce, before, "a new one in each reply");
    }
}

#[test]
fn denials_bring_a_new_nonce_too_and_use_the_old_one_up() {
    let mut client = Client::registered();
    let used = client.request();
    let refused = RegistrationRequest { flags: RequestFlags { gre: true, ..used.flags }, ..used };
    assert_eq!(client.send(&refused).0, ReplyCode::HA_ENCAPSULATION);
    let fresh = client.nonce;
    assert_ne!(fresh, used.identification.seconds());
    assert_eq!(client.send(&used).0, ReplyCode::HA_IDENTIFICATION);
    assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
}

#[test]
fn a_forged_request_uses_no_nonce_up() {
    let mut client = Client::registered();
    let forged = client.request();
    let actions = client.bench.receive(&through_foreign_agent(&signed(&forged, &association(256, 66))));
    assert_eq!(denied(&actions), ReplyCode::HA_MOBILE_AUTHENTICATION);
    assert_eq!(read_reply(sent(&actions)).identification, forged.identification);
    assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
}

#[test]
fn a_retransmission_is_answered_the_same_way_and_gains_no_lifetime() {
    let mut client = Client::registered();
    let request = client.request();
    let (code, actions) = client.send(&request);
    let first = read_reply(sent(&actions));
    let expires = client.bench.agent.binding(HomeAddress(HOME)).unwrap().expires;
    client.bench.clock.advance(5 * SECOND);
    let (again, actions) = client.send(&request);
    let second = read_reply(sent(&actions));
    assert_eq!((again, second.identification), (code, first.identification));
    assert_eq!(second.lifetime, Lifetime(595), "what is left");
    assert_eq!(client.bench.agent.binding(HomeAddress(HOME)).unwrap().expires, expires);
    assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
}

#[test]
fn a_registration_replayed_after_its_binding_ended_gets_133() {
    let mut client = Client::registered();
    let request = client.request();
    client.send(&request);
    client.bench.agent.deregister(client.bench.clock.0, HomeAddress(HOME), &mut Vec::new());
    assert_eq!(client.send(&request).0, ReplyCode::HA_IDENTIFICATION);
    assert_eq!(client.bench.agent.binding_count(), 0);
}

#[test]
fn a_repeated_identification_with_other_contents_gets_133() {
    let mut client = Client::registered();
    let request = client.request();
    client.send(&request);
    let moved = RegistrationRequest { care_of_address: CareOfAddress(NEW_CARE_OF), ..request };
    assert_eq!(client.send(&moved).0, ReplyCode::HA_IDENTIFICATION);
    assert_eq!(client.bench.care_of_address(), Some(CARE_OF));
}

#[test]
fn a_repeated_return_home_announces_no_link_layer_address() {
    let mut client = Client::registered();
    let home = RegistrationRequest {
        lifetime: Lifetime::DEREGISTER,
        care_of_address: CareOfAddress(HOME),
        ..client.request()
    };
    let message = signed(&home, &client_key());
    assert!(client.bench.receive(&from_home_link(&message)).contains(&gratuitous_arp(Some(CLIENT_MAC))));
    let replayed = Received { source_mac: Some(MacAddress([2; 6])), ..from_home_link(&message) };
    let actions = client.bench.receive(&replayed);
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
    assert_eq!(actions, [Action::Send(sent(&actions).clone()), CHANGED]);
}

#[test]
fn nonces_survive_a_restart() {
    let mut client = Client::registered();
    let (successor, _) = restarted(&client.bench, with_nonces(), SECOND);
    client.bench = successor;
    assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
}

#[test]
fn nonces_whose_record_may_be_old_are_forgotten_so_that_no_replay_passes() {
    let mut client = Client::registered();
    let mut old = client.bench.agent.record(client.bench.now(), HomeAddress(HOME)).unwrap();
    let captured = client.request();
    assert_eq!(client.send(&captured).0, ReplyCode::ACCEPTED_NO_SIMULTANEOUS);
    // Killed before that was written.
    old.forget_nonces();
    client.bench.agent = HomeAgent::new(with_nonces());
    client.bench.agent.restore(client.bench.now(), [old], &mut Vec::new());
    assert_eq!(client.send(&captured).0, ReplyCode::HA_IDENTIFICATION);
    assert_eq!(client.register(), ReplyCode::ACCEPTED_NO_SIMULTANEOUS, "with the nonce of the denial");
}

#[test]
fn nodes_that_only_ever_got_133_are_forgotten() {
    let mut client = Client::new(with_nonces());
    client.register();
    assert_eq!(client.bench.run(14 * SECOND), [CHANGED]);
    assert_eq!(client.bench.agent.record(client.bench.now(), HomeAddress(HOME)), None);
}
