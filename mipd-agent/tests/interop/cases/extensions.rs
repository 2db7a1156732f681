//! A request or reply with each extension that we append.

use mipd_agent::wire::{
    authentication::{self, Algorithm, MOBILE_AAA},
    challenge::append_challenge,
    dynamic_home_agent::{DynamicHomeAgent, Purpose},
    extension::{self, kind},
    foreign_agent_error::append_error,
    gre_key::GreKey,
    nai::Nai,
    proxy_mode::{AccessTechnology, AuthenticationMethod, append_device},
    revocation::RevocationSupport,
    types::{ReplyCode, Spi},
    udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
};
use serde_json::{Value, json};

use super::{
    CLIENT_MAC, Case, HOME_AGENT, from_client, key,
    registration::{reply, request},
    to_client,
};

pub fn cases() -> Vec<Case> {
    let mut cases = authentications();
    cases.extend(others());
    cases
}

/// A case whose message is a request.
fn in_request(
    name: &str,
    append: impl FnOnce(&mut Vec<u8>),
    tshark: &[(&'static str, &[&str])],
    extension: &Value,
) -> Case {
    let mut message = request(0);
    append(&mut message);
    Case::new(name, from_client(&message), tshark, json!({"checksums": true, "extensions": [extension]}))
}

/// A case whose message is a reply.
fn in_reply(
    name: &str,
    append: impl FnOnce(&mut Vec<u8>),
    tshark: &[(&'static str, &[&str])],
    extension: &Value,
) -> Case {
    let mut message = reply(ReplyCode::ACCEPTED);
    append(&mut message);
    Case::new(name, to_client(&message), tshark, json!({"checksums": true, "extensions": [extension]}))
}

/// Each authentication extension with each digest.
fn authentications() -> Vec<Case> {
    let spi = Spi::new(0x1234_5678).unwrap();
    let mut cases = Vec::new();
    for algorithm in Algorithm::ALL {
        let length = 4 + algorithm.authenticator_length();
        let text = length.to_string();
        for kind in
            [kind::MOBILE_HOME_AUTHENTICATION, kind::MOBILE_FOREIGN_AUTHENTICATION, kind::FOREIGN_HOME_AUTHENTICATION]
        {
            cases.push(in_request(
                &format!("authentication extension {kind} with {algorithm:?}"),
                |message| authentication::append(message, kind, spi, algorithm, &key()),
                &[("mip.ext.type", &[&kind.to_string()]), ("mip.ext.len", &[&text]), ("mip.auth.spi", &["0x12345678"])],
                &json!({"type": kind, "length": length, "spi": 0x1234_5678}),
            ));
        }
        cases.push(in_request(
            &format!("generalized authentication with {algorithm:?}"),
            |message| authentication::append_generalized(message, MOBILE_AAA, spi, algorithm, &key()),
            &[
                ("mip.ext.type", &["36"]),
                ("mip.ext.auth.subtype", &["1"]),
                ("mip.ext.len", &[&text]),
                ("mip.auth.spi", &["0x12345678"]),
            ],
            &json!({"type": 36, "subtype": 1, "length": length, "spi": 0x1234_5678}),
        ));
    }
    cases
}

fn others() -> Vec<Case> {
    let tunnel = UdpTunnelRequest {
        forced: true,
        through_foreign_agent: false,
        encapsulation: 47,
        ..UdpTunnelRequest::default()
    };
    let mut gre_key = in_request(
        "GRE key",
        |message| GreKey(0x0102_0304).append(message),
        &[],
        &json!({"type": 48, "subtype": 0, "length": 4, "key": 0x0102_0304}),
    );
    // Wireshark does not know RFC 6245: it takes the sub-type for a length, and what follows for an extension of type 0.
    gre_key.tshark_gaps = vec!["Extension: Unknown Extension 0", "Extension: Unknown Extension 48"];
    vec![
        gre_key,
        in_request(
            "UDP tunnel request",
            |message| tunnel.append(message),
            &[
                ("mip.ext.type", &["144"]),
                ("mip.ext.len", &["6"]),
                ("mip.ext.utrq.subtype", &["0"]),
                ("mip.ext.utrq.f", &["1"]),
                ("mip.ext.utrq.r", &["0"]),
                ("mip.ext.utrq.encaptype", &["47"]),
                ("mip.ext.utrq.reserved3", &["0x0000"]),
            ],
            &json!({"type": 144, "length": 6, "subtype": 0, "F": 1, "R": 0, "encapsulation": 47, "reserved3": 0}),
        ),
        in_request(
            "UDP tunnel request through a foreign agent",
            |message| UdpTunnelRequest { forced: false, through_foreign_agent: true, ..tunnel }.append(message),
            &[("mip.ext.utrq.f", &["0"]), ("mip.ext.utrq.r", &["1"])],
            &json!({"type": 144, "F": 0, "R": 1}),
        ),
        in_reply(
            "UDP tunnel reply",
            |message| {
                UdpTunnelReply { code: UdpTunnelReply::DECLINE, forced: true, keepalive_interval: 110 }.append(message);
            },
            &[
                ("mip.ext.type", &["44"]),
                ("mip.ext.utrp.subtype", &["0"]),
                ("mip.ext.utrp.code", &["64"]),
                ("mip.ext.utrp.f", &["1"]),
                ("mip.ext.utrp.keepalive", &["110"]),
            ],
            &json!({"type": 44, "length": 6, "subtype": 0, "code": 64, "F": 1, "keepalive": 110}),
        ),
        in_request(
            "revocation support",
            |message| RevocationSupport { inform: true, timestamp: 0x0102_0304 }.append(message),
            &[("mip.ext.type", &["137"]), ("mip.ext.rev.i", &["1"]), ("mip.ext.rev.tstamp", &["16909060"])],
            &json!({"type": 137, "length": 6, "I": 1, "reserved": 0, "timestamp": 0x0102_0304}),
        ),
        in_reply(
            "revocation support without inform",
            |message| RevocationSupport { inform: false, timestamp: 7 }.append(message),
            &[("mip.ext.rev.i", &["0"]), ("mip.ext.rev.tstamp", &["7"])],
            &json!({"type": 137, "I": 0, "timestamp": 7}),
        ),
        in_request(
            "challenge",
            |message| append_challenge(message, &[0xab; 8]),
            &[("mip.ext.type", &["132"]), ("mip.extension", &["ab:ab:ab:ab:ab:ab:ab:ab"])],
            &json!({"type": 132, "length": 8, "challenge": "abababababababab"}),
        ),
        in_request(
            "NAI",
            |message| Nai::new("scanner7@warehouse.example").unwrap().append(message),
            &[("mip.ext.type", &["131"]), ("mip.nai", &["scanner7@warehouse.example"])],
            &json!({"type": 131, "length": 26, "nai": "scanner7@warehouse.example"}),
        ),
        in_reply(
            "foreign agent error",
            |message| append_error(message, ReplyCode::FA_HOME_AUTHENTICATION),
            // Wireshark names it and shows its bytes.
            &[("mip.ext.type", &["45"]), ("mip.ext.len", &["2"]), ("mip.extension", &["00:44"])],
            &json!({"type": 45, "length": 2, "subtype": 0, "status": 68}),
        ),
        in_request(
            "requested home agent",
            |message| DynamicHomeAgent { purpose: Purpose::Requested, address: HOME_AGENT }.append(message),
            &[("mip.ext.type", &["139"]), ("mip.ext.dynha.subtype", &["1"]), ("mip.ext.dynha.ha", &["10.91.7.1"])],
            &json!({"type": 139, "length": 5, "subtype": 1, "address": "10.91.7.1"}),
        ),
        in_reply(
            "redirected home agent",
            |message| DynamicHomeAgent { purpose: Purpose::Redirected, address: HOME_AGENT }.append(message),
            &[("mip.ext.dynha.subtype", &["2"]), ("mip.ext.dynha.ha", &["10.91.7.1"])],
            &json!({"type": 139, "subtype": 2, "address": "10.91.7.1"}),
        ),
        in_request(
            "proxy authentication method",
            |message| AuthenticationMethod::ForeignHome.append(message),
            &[
                ("mip.ext.type", &["47"]),
                ("mip.ext.pmipv4nonskipext.subtype", &["1"]),
                ("mip.ext.pmipv4nonskipext.pernodeauthmethod", &["1"]),
            ],
            &json!({"type": 47, "subtype": 1, "length": 1, "method": 1}),
        ),
        in_request(
            "device of a proxy's client",
            |message| append_device(message, CLIENT_MAC),
            // Wireshark leaves the address itself out.
            &[
                ("mip.ext.type", &["147"]),
                ("mip.ext.len", &["8"]),
                ("mip.ext.pmipv4skipext.subtype", &["2"]),
                ("mip.ext.pmipv4skipext.deviceid_type", &["1"]),
            ],
            &json!({"type": 147, "length": 8, "subtype": 2, "id_type": 1, "mac": "02:00:00:00:00:09"}),
        ),
        in_request(
            "access technology of a proxy's client",
            |message| AccessTechnology::WirelessLan.append(message),
            &[("mip.ext.pmipv4skipext.subtype", &["4"]), ("mip.ext.pmipv4skipext.accesstechnology_type", &["2"])],
            &json!({"type": 147, "length": 2, "subtype": 4, "technology": 2}),
        ),
        in_request(
            "encapsulating delivery style",
            |message| extension::append(message, kind::ENCAPSULATING_DELIVERY, &[]),
            &[("mip.ext.type", &["130"]), ("mip.ext.len", &["0"])],
            &json!({"type": 130, "length": 0}),
        ),
    ]
}
