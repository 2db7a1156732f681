//! Registrations whose other side is Scapy: each role takes and gives what a stranger understands.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mipd_agent::{
    mobility::{
        discovery::Listener,
        foreign_agent::{self, ForeignAgent},
        home_agent::{self, HomeAgent},
        link::{InterfaceIndex, Received, Transmit},
        proxy::{self, Event, ForeignAgentInfo, Proxy},
        reverse_tunnel::ReverseTunnel,
        security::{MobileHomeAssociations, Peer as With, PeerAssociations, SecurityAssociation},
        subnet_map::SubnetMap,
        time::{Instant, Now},
    },
    wire::{
        advertisement::ALL_SYSTEMS,
        authentication::Algorithm,
        frame::{IcmpPacket, Link, emit_udp},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Spi},
    },
};
use mipd_common::mac::MacAddress;
use serde_json::{Value, json};

use super::{
    built::{build, request, sign},
    peer::{Peer, hex, name_of, unhex},
};
use crate::cases::{self, KEY};

const HOME: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 151);
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 1);
const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);
const CLIENT_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);
const AGENT_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const ACCESS: InterfaceIndex = InterfaceIndex(5);
const CORE: InterfaceIndex = InterfaceIndex(7);
/// SPIs of the three associations.
const MOBILE_HOME: u32 = 256;
const MOBILE_FOREIGN: u32 = 512;
const FOREIGN_HOME: u32 = 768;

/// The moment of the requests that `built` has built.
fn now() -> Now {
    Now { instant: Instant(Duration::from_secs(1000)), wall: Identification(0xe5a1_b2c3_1234_5678) }
}

fn association(spi: u32, algorithm: Algorithm) -> SecurityAssociation {
    SecurityAssociation::new(Spi::new(spi).unwrap(), algorithm, cases::key())
}

fn mobile_home(algorithm: Algorithm) -> Arc<MobileHomeAssociations> {
    let clients = ("10.91.7.0/24".parse().unwrap(), association(MOBILE_HOME, algorithm));
    Arc::new(MobileHomeAssociations::new([clients]).unwrap())
}

fn shared(with: Ipv4Addr, spi: u32, algorithm: Algorithm) -> Arc<PeerAssociations> {
    Arc::new(PeerAssociations::new([(With::Address(with), association(spi, algorithm))]).unwrap())
}

fn home_agent(algorithm: Algorithm) -> HomeAgent {
    let subnet = home_agent::HomeSubnet { prefix: "10.91.7.0/24".parse().unwrap(), interface: InterfaceIndex(3) };
    HomeAgent::new(home_agent::Config {
        reverse_tunnel: ReverseTunnel::Offered,
        mobile_home: mobile_home(algorithm),
        foreign_home: shared(CARE_OF, FOREIGN_HOME, algorithm),
        ..home_agent::Config::new(HomeAgentAddress(AGENT), vec![subnet])
    })
}

fn foreign_agent(algorithm: Algorithm) -> ForeignAgent {
    let access = foreign_agent::AccessInterface { interface: ACCESS, address: CARE_OF };
    ForeignAgent::new(
        foreign_agent::Config {
            reverse_tunnel: ReverseTunnel::Offered,
            mobile_foreign: shared(HOME, MOBILE_FOREIGN, algorithm),
            foreign_home: shared(AGENT, FOREIGN_HOME, algorithm),
            ..foreign_agent::Config::new(CareOfAddress(CARE_OF), vec![access])
        },
        1,
    )
}

/// As Scapy's node sends it to the foreign agent.
fn from_client(payload: &[u8]) -> Received<'_> {
    Received {
        payload,
        source: HOME,
        source_port: 4242,
        destination: CARE_OF,
        destination_port: 434,
        ttl: 255,
        interface: ACCESS,
        source_mac: Some(CLIENT_MAC),
    }
}

fn arriving(transmit: &Transmit) -> Received<'_> {
    transmit.arrival(CORE, None)
}

/// What Scapy reads, and which authentication extensions hold for Python.
fn read(peer: &mut Peer, transmit: &Transmit, algorithm: Algorithm) -> (Value, Value) {
    let frame = emit_udp(Link { destination: AGENT_MAC, source: CLIENT_MAC }, &transmit.datagram());
    let decoded = peer.ask(&json!({"op": "decode", "frame": hex(&frame)}));
    let message = hex(&transmit.payload);
    let verified = peer.ask(&json!({"op": "verify", "message": message, "algorithm": name_of(algorithm), "key": KEY}));
    (decoded, verified["holds"].clone())
}

fn foreign_agent_sends(actions: Vec<foreign_agent::Action>) -> Transmit {
    let mut sent = actions.into_iter().filter_map(|action| match action {
        foreign_agent::Action::Send(transmit) => Some(transmit),
        _ => None,
    });
    sent.next().expect("the foreign agent sends nothing")
}

fn home_agent_sends(actions: Vec<home_agent::Action>) -> Transmit {
    let mut sent = actions.into_iter().filter_map(|action| match action {
        home_agent::Action::Send(transmit) => Some(transmit),
        _ => None,
    });
    sent.next().expect("the home agent sends nothing")
}

#[test]
fn a_mobile_node_of_scapys_registers_through_both_agents_with_every_algorithm() {
    let Some(mut peer) = Peer::start() else { return };
    for algorithm in Algorithm::ALL {
        let (mut home_agent, mut foreign_agent) = (home_agent(algorithm), foreign_agent(algorithm));
        let signatures = json!([sign(32, MOBILE_HOME, algorithm), sign(33, MOBILE_FOREIGN, algorithm)]);
        let (_, message) = build(&mut peer, &request(0x02), &signatures);
        let mut actions = Vec::new();
        foreign_agent.handle_request(now(), &from_client(&message), &mut actions);
        let relayed = foreign_agent_sends(actions);
        let (decoded, holds) = read(&mut peer, &relayed, algorithm);
        assert_eq!(decoded["ip"]["src"], json!(CARE_OF));
        assert_eq!(decoded["message"]["coaddr"], json!(CARE_OF));
        assert_eq!(holds, json!({"32": true, "34": true}), "{algorithm:?}: {decoded:#}");

        let mut actions = Vec::new();
        home_agent.handle_datagram(now(), &arriving(&relayed), &mut actions);
        let answer = home_agent_sends(actions);
        let (decoded, holds) = read(&mut peer, &answer, algorithm);
        assert!(decoded["message"]["code"].as_u64().is_some_and(|code| code <= 1), "{algorithm:?}: {decoded:#}");
        assert_eq!(holds, json!({"32": true, "34": true}));
        assert!(home_agent.binding(HomeAddress(HOME)).is_some());

        let mut actions = Vec::new();
        foreign_agent.handle_reply(now(), &arriving(&answer), &mut actions);
        let (decoded, holds) = read(&mut peer, &foreign_agent_sends(actions), algorithm);
        assert_eq!(decoded["ip"]["dst"], json!(HOME));
        assert_eq!(decoded["udp"]["dport"], 4242);
        assert_eq!(decoded["message"]["lifetime"], 600);
        assert_eq!(decoded["message"]["id"], 0xe5a1_b2c3_1234_5678_u64);
        assert_eq!(holds, json!({"32": true, "33": true}));
        assert!(foreign_agent.visitor(HomeAgentAddress(AGENT), HomeAddress(HOME)).is_some());
    }
}

#[test]
fn our_agents_refuse_what_scapy_signs_with_another_algorithm() {
    let Some(mut peer) = Peer::start() else { return };
    let signature = json!([sign(32, MOBILE_HOME, Algorithm::Md5PrefixSuffix)]);
    let (_, message) = build(&mut peer, &request(0), &signature);
    let mut home_agent = home_agent(Algorithm::HmacMd5);
    let mut actions = Vec::new();
    let received = Received { destination: AGENT, interface: InterfaceIndex(3), ..from_client(&message) };
    home_agent.handle_datagram(now(), &received, &mut actions);
    let (decoded, holds) = read(&mut peer, &home_agent_sends(actions), Algorithm::HmacMd5);
    assert_eq!((&decoded["message"]["code"], holds), (&json!(131), json!({"32": true})));
    assert_eq!(home_agent.binding_count(), 0);
}

#[test]
fn our_proxy_registers_with_agents_of_scapys() {
    let Some(mut peer) = Peer::start() else { return };
    for algorithm in Algorithm::ALL {
        let now = now();
        // Scapy's foreign agent makes itself known.
        let advertisement = peer.ask(&json!({
            "op": "advertise", "lifetime": 30, "routers": [CARE_OF],
            "agent": {"F": 1, "T": 1, "sequence": 7, "lifetime": 36_000, "care_of": [CARE_OF]},
        }));
        let mut listener = Listener::new([10, 20, 0, 11].into(), 1);
        let icmp = unhex(&advertisement["icmp"]);
        let packet = IcmpPacket { source: CARE_OF, destination: ALL_SYSTEMS, ttl: 1, message: &icmp };
        listener.handle_advertisement(now.instant, AGENT_MAC, &packet, &mut Vec::new());
        let agent = listener.foreign_agent().expect("the listener takes Scapy's advertisement");
        assert_eq!(agent.advertisement.sequence, 7);

        let mut proxy = Proxy::new(
            proxy::Config {
                subnet_map: SubnetMap::from_entries([(HomeAgentAddress(AGENT), [255, 255, 255, 0].into())]).unwrap(),
                associations: mobile_home(algorithm),
                ..proxy::Config::new(InterfaceIndex(2), vec!["10.20.0.0/24".parse().unwrap()])
            },
            1,
        );
        let mut actions = Vec::new();
        proxy.agents_changed(now, vec![ForeignAgentInfo::from(agent)], Vec::new(), &mut actions);
        proxy.handle_event(now, Event::Visitor { interface: ACCESS, mac: CLIENT_MAC, address: HOME }, &mut actions);
        let sent = actions.iter().find_map(|action| match action {
            proxy::Action::Send(transmit) => Some(transmit.clone()),
            _ => None,
        });
        let sent = sent.expect("the proxy asks");
        let (decoded, holds) = read(&mut peer, &sent, algorithm);
        assert_eq!(holds, json!({"32": true}), "{decoded:#}");
        let asked = &decoded["message"];
        assert_eq!((&asked["type"], &asked["coaddr"], &asked["haaddr"]), (&json!(1), &json!(CARE_OF), &json!(AGENT)));

        let granted =
            json!({"type": 3, "code": 0, "lifetime": 300, "homeaddr": HOME, "haaddr": AGENT, "id": asked["id"]});
        let (_, reply) = build(&mut peer, &granted, &json!([sign(32, MOBILE_HOME, algorithm)]));
        let received = Received {
            payload: &reply,
            source: CARE_OF,
            source_port: 434,
            destination: HOME,
            destination_port: sent.source_port,
            ttl: 255,
            interface: InterfaceIndex(2),
            source_mac: Some(AGENT_MAC),
        };
        proxy.handle_reply(now, &received, &mut Vec::new());
        let client = proxy.clients().next().unwrap();
        assert_eq!((client.state, client.lifetime_granted.map(|lifetime| lifetime.0)), ("registered", Some(300)));
    }
}
