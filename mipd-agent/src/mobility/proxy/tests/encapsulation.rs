//! Which encapsulation and delivery style is asked for, and what remains of it.

use super::*;
use crate::mobility::tunnel::{
    Delivery,
    Encapsulation::{self, Gre, IpInIp, Minimal},
};

fn offering(gre: bool, minimal_encapsulation: bool) -> ForeignAgentInfo {
    let flags = AgentFlags { gre, minimal_encapsulation, reverse_tunnel: true, ..foreign_agent().flags };
    ForeignAgentInfo { flags, ..foreign_agent() }
}

fn scene(wanted: &[Encapsulation], agent: ForeignAgentInfo) -> Scene {
    let mut scene = Scene::with(Config { encapsulations: wanted.to_vec(), ..config() });
    scene.agent(Some(agent));
    scene.visit();
    scene
}

fn asked(scene: &Scene) -> (bool, bool) {
    let flags = scene.last_request().flags;
    (flags.gre, flags.minimal_encapsulation)
}

#[test]
fn the_most_wanted_encapsulation_that_the_agent_advertises_is_asked_for() {
    for (wanted, gre, minimal, expected) in [
        (&[IpInIp, Gre][..], true, true, IpInIp),
        (&[Gre, Minimal, IpInIp], true, true, Gre),
        (&[Gre, Minimal, IpInIp], false, true, Minimal),
        (&[Gre, Minimal, IpInIp], false, false, IpInIp),
        (&[Minimal, Gre], true, true, Minimal),
        (&[Minimal], true, false, IpInIp),
        (&[], true, true, IpInIp),
    ] {
        let mut scene = scene(wanted, offering(gre, minimal));
        assert_eq!(asked(&scene), (expected == Gre, expected == Minimal), "{wanted:?} {gre} {minimal}");
        scene.accept();
        assert_eq!(scene.status().mode.unwrap().encapsulation, expected);
    }
}

#[test]
fn an_unavailable_encapsulation_is_dropped_and_asked_for_again_only_after_an_acceptance() {
    for code in [ReplyCode::FA_ENCAPSULATION, ReplyCode::HA_ENCAPSULATION, ReplyCode::HA_UDP_ENCAPSULATION] {
        let mut scene = scene(&[Gre, Minimal], offering(true, true));
        scene.deny(code);
        assert_eq!(scene.sent_at(), [0, 0], "{code}");
        assert_eq!(asked(&scene), (false, false), "{code}");
        scene.accept();
        assert_eq!(scene.status().mode.unwrap().encapsulation, IpInIp);
        scene.talk(seconds(540));
        assert_eq!(asked(&scene), (true, false), "{code}: whoever forged the denial has not won for ever");
    }
}

#[test]
fn an_unavailable_encapsulation_that_was_not_asked_for_is_reported() {
    for code in [ReplyCode::FA_ENCAPSULATION, ReplyCode::HA_ENCAPSULATION, ReplyCode::HA_UDP_ENCAPSULATION] {
        let mut scene = scene(&[IpInIp], offering(true, true));
        scene.deny(code);
        assert_eq!((scene.state(), scene.requests.len()), ("denied", 1), "{code}");
    }
}

fn encapsulating() -> Scene {
    let mut scene = Scene::with(with_foreign_key(Config { delivery: Delivery::Encapsulating, ..config() }));
    scene.agent(Some(offering(false, false)));
    scene.visit();
    scene
}

#[test]
fn encapsulating_delivery_is_asked_for_behind_the_home_agents_authentication_and_only_with_a_reverse_tunnel() {
    let scene = encapsulating();
    assert_eq!(extension_kinds(&last_message(&scene)), [32, 130, 33]);
    let mut scene = Scene::with(Config { delivery: Delivery::Encapsulating, ..config() });
    scene.visit();
    assert_eq!(extension_kinds(&last_message(&scene)), [32], "this agent has no reverse tunnels");
}

#[test]
fn a_delivery_style_that_is_not_supported_is_dropped_and_the_reverse_tunnel_stays() {
    let mut scene = encapsulating();
    let mut denial = plain(&scene.reply(ReplyCode::FA_DELIVERY_STYLE));
    foreign_key().sign(&mut denial, kind::MOBILE_FOREIGN_AUTHENTICATION);
    scene.deliver(&denial);
    assert_eq!(extension_kinds(&last_message(&scene)), [32, 33]);
    assert!(scene.last_request().flags.reverse_tunnel);
}

#[test]
fn broadcasts_are_asked_for_only_where_they_can_be_unwrapped() {
    for broadcasts in [false, true] {
        let mut scene = Scene::with(Config { broadcasts, ..config() });
        scene.visit();
        assert_eq!(scene.last_request().flags.broadcast, broadcasts);
    }
}

#[test]
fn a_proxy_never_asks_for_simultaneous_bindings_nor_says_that_it_decapsulates() {
    let mut scene = Scene::with(Config { broadcasts: true, encapsulations: vec![Gre], ..config() });
    scene.agent(Some(offering(true, true)));
    scene.visit();
    let flags = scene.last_request().flags;
    assert!(!flags.simultaneous && !flags.co_located);
}
