//! Encapsulations, GRE keys, broadcasts.

use super::*;
use crate::{
    mobility::tunnel::{Encapsulation, Encapsulations, GreKeys},
    wire::{gre_key::GreKey, registration::RegistrationReply},
};

fn offering(encapsulations: impl IntoIterator<Item = Encapsulation>) -> Config {
    Config { encapsulations: encapsulations.into_iter().collect::<Encapsulations>(), ..config() }
}

/// Which encapsulation a request with M, G and a GRE key gets.
fn negotiated(config: Config, minimal: bool, gre: bool, key: Option<u32>) -> Result<TunnelMode, ReplyCode> {
    let mut bench = Bench::new(config);
    let actions = bench.register_with_key(minimal, gre, key);
    match read_reply(sent(&actions)).code {
        code if code.is_accepted() => Ok(bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel),
        code => Err(code),
    }
}

impl Bench {
    fn register_with_key(&mut self, minimal: bool, gre: bool, key: Option<u32>) -> Vec<Action> {
        self.clock.advance(SECOND);
        let flags = RequestFlags { minimal_encapsulation: minimal, gre, ..RequestFlags::default() };
        let mut message = signed(&RegistrationRequest { flags, ..request(self.now()) }, &client_key());
        if let Some(key) = key {
            GreKey(key).append(&mut message);
        }
        self.receive(&through_foreign_agent(&message))
    }
}

fn key_in_reply(actions: &[Action]) -> Option<u32> {
    let (_, extensions) = RegistrationReply::parse(&sent(actions).payload).unwrap();
    GreKey::find(&extensions).map(|key| key.0)
}

#[test]
fn what_the_flags_ask_for_is_what_the_tunnel_gets() {
    use Encapsulation::{Gre, IpInIp, Minimal};
    for (offered, minimal, gre, expected) in [
        (&[IpInIp, Gre, Minimal][..], false, false, Ok(IpInIp)),
        (&[IpInIp, Gre, Minimal], true, false, Ok(Minimal)),
        (&[IpInIp, Gre, Minimal], false, true, Ok(Gre)),
        (&[IpInIp, Gre, Minimal], true, true, Ok(Gre)),
        (&[IpInIp, Minimal], true, true, Ok(Minimal)),
        (&[IpInIp], true, true, Err(ReplyCode::HA_ENCAPSULATION)),
        (&[IpInIp, Minimal], false, true, Err(ReplyCode::HA_ENCAPSULATION)),
        (&[IpInIp, Gre], true, false, Err(ReplyCode::HA_ENCAPSULATION)),
        (&[Gre], false, false, Err(ReplyCode::HA_ENCAPSULATION)),
    ] {
        let mode = negotiated(offering(offered.iter().copied()), minimal, gre, None);
        assert_eq!(mode.map(|tunnel| tunnel.encapsulation), expected, "{offered:?} M={minimal} G={gre}");
    }
}

#[test]
fn encapsulations_that_we_lack_get_139() {
    let none = RequestFlags::default();
    for flags in [RequestFlags { gre: true, ..none }, RequestFlags { minimal_encapsulation: true, ..none }] {
        assert_eq!(denial_of(config(), |request| request.flags = flags), ReplyCode::HA_ENCAPSULATION);
    }
}

#[test]
fn a_gre_key_before_the_clients_authentication_gets_134() {
    let code = denial(offering(Encapsulation::ALL), |now| {
        let mut message = unsigned(&request(now));
        GreKey(5).append(&mut message);
        client_key().sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        message
    });
    assert_eq!(code, ReplyCode::HA_MALFORMED);
}

#[test]
fn a_gre_key_without_gre_on_offer_gets_139() {
    for (minimal, gre) in [(false, false), (true, false), (false, true)] {
        let offered = offering([Encapsulation::IpInIp, Encapsulation::Minimal]);
        assert_eq!(negotiated(offered, minimal, gre, Some(5)), Err(ReplyCode::HA_ENCAPSULATION));
    }
}

#[test]
fn a_gre_key_asks_for_gre_and_each_end_sends_with_the_others() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    let actions = bench.register_with_key(false, false, Some(0x0102_0304));
    let ours = key_in_reply(&actions).unwrap();
    let mode = bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel;
    assert_eq!(mode.encapsulation, Encapsulation::Gre);
    assert_eq!(mode.gre_keys, Some(GreKeys { send: 0x0102_0304, receive: ours }));
    assert_ne!(ours, 0);
    assert_eq!(
        actions[0],
        Action::InstallBinding { home_address: HomeAddress(HOME), exits: vec![Exit { tunnel: mode, ..exit(CARE_OF) }] }
    );
    assert!(is_signed(sent(&actions), kind::MOBILE_HOME_AUTHENTICATION, &client_key()));
}

#[test]
fn our_key_stays_the_same_on_renewal_and_a_new_one_of_theirs_is_taken_over() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    let ours = key_in_reply(&bench.register_with_key(false, true, Some(7)));
    assert_eq!(key_in_reply(&bench.register_with_key(false, true, Some(8))), ours);
    assert_eq!(bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel.gre_keys.unwrap().send, 8);
}

#[test]
fn key_0_makes_our_key_hold_in_both_directions() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    let ours = key_in_reply(&bench.register_with_key(false, true, Some(0))).unwrap();
    assert_eq!(
        bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel.gre_keys,
        Some(GreKeys { send: ours, receive: ours })
    );
}

#[test]
fn gre_without_a_key_stays_without() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    let actions = bench.register_with_key(false, true, None);
    assert_eq!(key_in_reply(&actions), None);
    assert_eq!(bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel.gre_keys, None);
}

#[test]
fn a_deregistration_with_a_gre_key_is_not_refused_for_it() {
    let mut bench = Bench::new(config());
    let mut message =
        signed(&RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..request(bench.now()) }, &client_key());
    GreKey(5).append(&mut message);
    let actions = bench.receive(&through_foreign_agent(&message));
    assert_eq!(read_reply(sent(&actions)).code, ReplyCode::ACCEPTED);
}

#[test]
fn a_deregistration_with_a_key_is_answered_with_ours() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    let ours = key_in_reply(&bench.register_with_key(false, true, Some(7)));
    bench.clock.advance(SECOND);
    let request = RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..request(bench.now()) };
    let mut message = signed(&request, &client_key());
    GreKey(7).append(&mut message);
    assert_eq!(key_in_reply(&bench.receive(&through_foreign_agent(&message))), ours);
}

#[test]
fn a_restart_keeps_encapsulation_and_keys_and_drops_what_is_no_longer_offered() {
    let mut bench = Bench::new(offering(Encapsulation::ALL));
    bench.register_with_key(false, true, Some(7));
    let mode = bench.agent.binding(HomeAddress(HOME)).unwrap().tunnel;
    let (successor, _) = restarted(&bench, offering(Encapsulation::ALL), SECOND);
    assert_eq!(successor.agent.binding(HomeAddress(HOME)).unwrap().tunnel, mode);
    let (_, actions) = restarted(&bench, config(), SECOND);
    assert_eq!(actions, [REMOVED, CHANGED]);
}

#[test]
fn the_record_of_an_older_version_is_read_as_ip_in_ip() {
    let record = r#"{"home_address":"10.1.0.100","identification":16544894170174936695,"binding":{"home_agent":"10.1.0.1",
        "care_of_address":"10.2.0.1","flags":2,"lifetime_requested":600,"lifetime_granted":600,"spi":256,
        "source":"10.2.0.1","expires":null}}"#;
    let mut record: BindingRecord = serde_json::from_str(record).unwrap();
    let mut bench = Bench::new(config());
    record.binding.as_mut().unwrap().expires = Some(bench.now().wall_at(bench.now().instant + 60 * SECOND).0);
    let mut actions = Vec::new();
    bench.agent.restore(bench.clock.0, [record], &mut actions);
    assert_eq!(actions, [install(CARE_OF, true)]);
}

#[test]
fn broadcasts_are_forwarded_on_request_if_the_operator_lets_them() {
    let on = || Config { broadcast: true, ..config() };
    for (config, broadcast, co_located, expected) in [
        (config(), true, false, None),
        (on(), false, false, None),
        (on(), true, false, Some(Broadcasts::Nested)),
        (on(), true, true, Some(Broadcasts::Plain)),
    ] {
        let mut bench = Bench::new(config);
        let actions = bench.register_later(|request| {
            request.flags = RequestFlags { broadcast, co_located, ..RequestFlags::default() };
        });
        let Action::InstallBinding { exits, .. } = &actions[0] else { panic!("{actions:?}") };
        assert_eq!(exits[0].broadcasts, expected);
    }
}
