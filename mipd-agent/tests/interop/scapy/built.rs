//! Messages built by Scapy, read by our codec.

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    authentication::{self, Algorithm},
    challenge,
    dynamic_home_agent::{DynamicHomeAgent, Purpose},
    extension::{Extensions, kind},
    foreign_agent_error,
    frame::parse_udp,
    gre_key::GreKey,
    nai::Nai,
    proxy_mode::{self, AccessTechnology, AuthenticationMethod},
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi},
    udp_tunnel::{TunnelData, UdpTunnelReply, UdpTunnelRequest},
};
use mipd_common::mac::MacAddress;
use serde_json::{Value, json};

use super::peer::{Peer, name_of, unhex};
use crate::cases::{self, KEY};

const HOME: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 151);
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 1);
const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);

/// A frame to port 434 with a message, and the message.
pub fn build(peer: &mut Peer, message: &Value, extensions: &Value) -> (Vec<u8>, Vec<u8>) {
    let built = peer.ask(&json!({
        "op": "build",
        "eth": {"src": "02:00:00:00:00:09", "dst": "02:00:00:00:00:01"},
        "ip": {"src": "10.91.7.151", "dst": "10.20.0.2", "ttl": 255},
        "udp": {"sport": 4242, "dport": 434},
        "message": message,
        "extensions": extensions,
    }));
    let (frame, message) = (unhex(&built["frame"]), unhex(&built["message"]));
    // Headers and checksums of Scapy's are right for us, too.
    let (link, datagram) = parse_udp(&frame, false).unwrap();
    assert_eq!(link.source, MacAddress([2, 0, 0, 0, 0, 9]));
    assert_eq!((datagram.source, datagram.source_port, datagram.destination_port), (HOME, 4242, 434));
    assert_eq!((datagram.ttl, datagram.payload), (255, &message[..]));
    (frame, message)
}

/// A request by Scapy's names.
pub fn request(flags: u8) -> Value {
    json!({
        "type": 1, "flags": flags, "lifetime": 600, "homeaddr": HOME, "haaddr": AGENT, "coaddr": CARE_OF,
        "id": 0xe5a1_b2c3_1234_5678_u64,
    })
}

/// An authentication extension that `peer.py` computes.
pub fn sign(kind: u8, spi: u32, algorithm: Algorithm) -> Value {
    json!({"sign": kind, "spi": spi, "algorithm": name_of(algorithm), "key": KEY})
}

#[test]
fn requests_of_scapy_with_any_flags_are_read() {
    let Some(mut peer) = Peer::start() else { return };
    for bits in 0..=u8::MAX {
        let (_, message) = build(&mut peer, &request(bits), &json!([]));
        let (request, extensions) = RegistrationRequest::parse(&message).unwrap();
        let flags = RequestFlags {
            simultaneous: bits & 128 != 0,
            broadcast: bits & 64 != 0,
            co_located: bits & 32 != 0,
            minimal_encapsulation: bits & 16 != 0,
            gre: bits & 8 != 0,
            reverse_tunnel: bits & 2 != 0,
        };
        let expected = RegistrationRequest {
            flags,
            lifetime: Lifetime(600),
            home_address: HomeAddress(HOME),
            home_agent: HomeAgentAddress(AGENT),
            care_of_address: CareOfAddress(CARE_OF),
            identification: Identification(0xe5a1_b2c3_1234_5678),
        };
        assert_eq!((request, extensions.iter().count()), (expected, 0));
    }
}

#[test]
fn every_extension_of_scapy_is_read() {
    let Some(mut peer) = Peer::start() else { return };
    let extensions = json!([
        {"extension": "Nai", "nai": "user@realm"},
        {"extension": "ProxyMethod"},
        {"extension": "GreKey", "key": 0x0102_0304},
        {"extension": "UdpTunnelRequest", "F": 1, "R": 1, "encapsulation": 55},
        {"extension": "UdpTunnelReply", "code": 64, "F": 1, "keepalive": 110},
        {"extension": "RevocationSupport", "I": 1, "timestamp": 77},
        {"extension": "Challenge", "challenge": "hex:0102030405"},
        {"extension": "ForeignAgentError", "status": 68},
        {"extension": "DynamicHomeAgent", "subtype": 2, "address": AGENT},
        {"extension": "ProxyDevice", "mac": "02:00:00:00:00:09"},
        {"extension": "ProxyTechnology", "technology": 2},
        {"extension": "NormalVendor", "vendor": 9, "vendor_type": 1, "value": "hex:00"},
        {"extension": "CriticalVendor", "vendor": 9, "vendor_type": 1, "value": "hex:00"},
        {"extension": "EncapsulatingDelivery"},
        {"extension": "Other", "type": 200, "data": "hex:0102"},
        {"extension": "Padding0"},
    ]);
    let (_, message) = build(&mut peer, &request(0), &extensions);
    let (_, found) = RegistrationRequest::parse(&message).unwrap();
    let kinds: Vec<u8> = found.iter().map(|extension| extension.kind).collect();
    assert_eq!(kinds, [131, 47, 48, 144, 44, 137, 132, 45, 139, 147, 147, 134, 38, 130, 200]);
    assert_eq!(Nai::find(&found), Nai::new("user@realm"));
    assert_eq!(AuthenticationMethod::find(&found), Some(AuthenticationMethod::ForeignHome));
    assert_eq!(GreKey::find(&found), Some(GreKey(0x0102_0304)));
    let tunnel = UdpTunnelRequest { forced: true, through_foreign_agent: true, encapsulation: 55, reserved: 0 };
    assert_eq!(UdpTunnelRequest::find(&found).map(|(_, request)| request), Some(tunnel));
    let tunnel = UdpTunnelReply { code: UdpTunnelReply::DECLINE, forced: true, keepalive_interval: 110 };
    assert_eq!(UdpTunnelReply::find(&found), Some(tunnel));
    let support = RevocationSupport { inform: true, timestamp: 77 };
    assert_eq!(RevocationSupport::find(&found).map(|(_, support)| support), Some(support));
    assert_eq!(challenge::find(&found).map(|found| found.data), Some(&[1, 2, 3, 4, 5][..]));
    assert_eq!(foreign_agent_error::find(&found), Some(ReplyCode::FA_HOME_AUTHENTICATION));
    let redirected = DynamicHomeAgent { purpose: Purpose::Redirected, address: AGENT };
    assert_eq!(DynamicHomeAgent::find(&found), Some(redirected));
    assert_eq!(proxy_mode::find_device(&found), Some(MacAddress([2, 0, 0, 0, 0, 9])));
    assert_eq!(AccessTechnology::find(&found), Some(AccessTechnology::WirelessLan));
}

#[test]
fn replies_revocations_and_tunnel_data_of_scapy_are_read() {
    let Some(mut peer) = Peer::start() else { return };
    let reply = json!({"type": 3, "code": 133, "lifetime": 7, "homeaddr": HOME, "haaddr": AGENT, "id": 99});
    let (_, message) = build(&mut peer, &reply, &json!([]));
    let expected = RegistrationReply {
        code: ReplyCode::HA_IDENTIFICATION,
        lifetime: Lifetime(7),
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(AGENT),
        identification: Identification(99),
    };
    assert_eq!(RegistrationReply::parse(&message).unwrap().0, expected);

    let revocation = json!({"type": 7, "A": 1, "I": 1, "homeaddr": HOME, "hda": AGENT, "fda": CARE_OF, "id": 5});
    let (_, message) = build(&mut peer, &revocation, &json!([sign(34, 257, Algorithm::HmacMd5)]));
    let expected = Revocation {
        from_home_agent: true,
        inform: true,
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(AGENT),
        foreign_agent: CARE_OF,
        identifier: 5,
    };
    let (found, extensions) = Revocation::parse(&message).unwrap();
    assert_eq!((found, verified(&message, &extensions, Algorithm::HmacMd5)), (expected, vec![true]));

    let (_, message) = build(&mut peer, &json!({"type": 15, "I": 1, "homeaddr": HOME, "id": 5}), &json!([]));
    let expected = RevocationAcknowledgement { inform: true, home_address: HomeAddress(HOME), identifier: 5 };
    assert_eq!(RevocationAcknowledgement::parse(&message).unwrap().0, expected);

    let (_, message) = build(&mut peer, &json!({"type": 4, "nexthdr": 47}), &json!([]));
    assert_eq!(TunnelData::parse(&message), Some((TunnelData { next_header: 47 }, &[][..])));
}

/// Which authentication extensions hold with the tests' key.
fn verified(message: &[u8], extensions: &Extensions<'_>, algorithm: Algorithm) -> Vec<bool> {
    extensions.iter().map(|each| authentication::verify(message, &each, algorithm, &cases::key())).collect()
}

#[test]
fn authenticators_of_python_are_right_for_their_own_algorithm_only() {
    let Some(mut peer) = Peer::start() else { return };
    for algorithm in Algorithm::ALL {
        let kinds = [
            kind::MOBILE_HOME_AUTHENTICATION,
            kind::GENERALIZED_AUTHENTICATION,
            kind::MOBILE_FOREIGN_AUTHENTICATION,
            kind::FOREIGN_HOME_AUTHENTICATION,
        ];
        let signatures = kinds.map(|kind| sign(kind, 0x1234_5678, algorithm));
        let (_, message) = build(&mut peer, &request(2), &json!(signatures));
        let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
        for extension in &extensions {
            assert_eq!(authentication::spi(&extension), Spi::new(0x1234_5678));
        }
        for other in Algorithm::ALL {
            assert_eq!(verified(&message, &extensions, other), [algorithm == other; 4], "{algorithm:?} {other:?}");
        }
    }
}
