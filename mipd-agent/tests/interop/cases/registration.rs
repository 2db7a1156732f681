//! Registration requests with each flag, replies with each code, and tunnelled data.

use mipd_agent::wire::{
    authentication::{self, Algorithm},
    extension::kind,
    ip::Ipv4,
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime, ReplyCode, Spi},
    udp_tunnel::TunnelData,
};
use serde_json::json;

use super::{
    CARE_OF_ADDRESS, Case, HOME_ADDRESS, HOME_AGENT, IDENTIFICATION, between_agents, from_client, key, to_client,
};

/// The fixed part of a request.
pub fn request(flags: u8) -> Vec<u8> {
    let mut message = Vec::new();
    RegistrationRequest {
        flags: RequestFlags::from_bits(flags),
        lifetime: Lifetime(1800),
        home_address: HomeAddress(HOME_ADDRESS),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(CARE_OF_ADDRESS),
        identification: IDENTIFICATION,
    }
    .emit(&mut message);
    message
}

/// The fixed part of a reply.
pub fn reply(code: ReplyCode) -> Vec<u8> {
    let mut message = Vec::new();
    RegistrationReply {
        code,
        lifetime: Lifetime(600),
        home_address: HomeAddress(HOME_ADDRESS),
        home_agent: HomeAgentAddress(HOME_AGENT),
        identification: IDENTIFICATION,
    }
    .emit(&mut message);
    message
}

fn protect(message: &mut Vec<u8>, kind: u8, spi: u32) {
    authentication::append(message, kind, Spi::new(spi).unwrap(), Algorithm::HmacMd5, &key());
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![full_request()];
    cases.extend(requests_with_each_flag());
    let codes = (0..=u8::MAX).map(ReplyCode).filter(|code| code.meaning() != "unknown code");
    cases.extend(codes.map(reply_with));
    cases.push(tunnel_data());
    cases
}

fn full_request() -> Case {
    let mut message = request(0xc2);
    protect(&mut message, kind::MOBILE_HOME_AUTHENTICATION, 0x100);
    protect(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION, 0x200);
    protect(&mut message, kind::FOREIGN_HOME_AUTHENTICATION, 0x300);
    Case::new(
        "registration request",
        from_client(&message),
        &[
            ("eth.src", &["02:00:00:00:00:09"]),
            ("ip.src", &["10.91.7.151"]),
            ("ip.dst", &["10.20.0.2"]),
            ("ip.ttl", &["255"]),
            ("ip.checksum.status", &["1"]),
            ("udp.srcport", &["4242"]),
            ("udp.dstport", &["434"]),
            ("udp.checksum.status", &["1"]),
            ("mip.type", &["1"]),
            ("mip.life", &["1800"]),
            ("mip.homeaddr", &["10.91.7.151"]),
            ("mip.haaddr", &["10.91.7.1"]),
            ("mip.coa", &["10.20.0.2"]),
            ("mip.ident", &["Jan 28, 2022 13:48:00.500000000 UTC"]),
            ("mip.ext.type", &["32", "33", "34"]),
            ("mip.ext.len", &["20", "20", "20"]),
            ("mip.auth.spi", &["0x00000100", "0x00000200", "0x00000300"]),
        ],
        json!({
            "eth": {"src": "02:00:00:00:00:09", "dst": "02:00:00:00:00:01"},
            "ip": {"src": "10.91.7.151", "dst": "10.20.0.2", "ttl": 255, "proto": 17},
            "udp": {"sport": 4242, "dport": 434},
            "checksums": true,
            "message": {
                "type": 1, "flags": 0xc2, "lifetime": 1800, "homeaddr": "10.91.7.151", "haaddr": "10.91.7.1",
                "coaddr": "10.20.0.2", "id": IDENTIFICATION.0,
            },
            "extensions": [
                {"type": 32, "length": 20, "spi": 0x100},
                {"type": 33, "length": 20, "spi": 0x200},
                {"type": 34, "length": 20, "spi": 0x300},
            ],
        }),
    )
}

fn requests_with_each_flag() -> impl Iterator<Item = Case> {
    // RFC 5944's r and RFC 3024's former V share a bit, which we send as zero, as we do x.
    let flags = [
        (0x80, "mip.s"),
        (0x40, "mip.b"),
        (0x20, "mip.d"),
        (0x10, "mip.m"),
        (0x08, "mip.g"),
        (0x04, "mip.v"),
        (0x02, "mip.t"),
        (0x01, "mip.x"),
    ];
    flags.into_iter().map(move |(sent, name)| {
        let expected = sent & !0x05;
        let fields: Vec<(&'static str, &[&str])> =
            flags.iter().map(|(bit, field)| (*field, if *bit == expected { &["1"][..] } else { &["0"] })).collect();
        let scapy = json!({"message": {"type": 1, "flags": expected}, "extensions": []});
        Case::new(format!("registration request with {name}"), from_client(&request(sent)), &fields, scapy)
    })
}

fn reply_with(code: ReplyCode) -> Case {
    let mut message = reply(code);
    protect(&mut message, kind::MOBILE_HOME_AUTHENTICATION, 0x100);
    Case::new(
        format!("registration reply with {code}"),
        to_client(&message),
        &[
            ("ip.checksum.status", &["1"]),
            ("udp.checksum.status", &["1"]),
            ("mip.type", &["3"]),
            ("mip.code", &[&code.0.to_string()]),
            ("mip.life", &["600"]),
            ("mip.homeaddr", &["10.91.7.151"]),
            ("mip.haaddr", &["10.91.7.1"]),
            ("mip.ident", &["Jan 28, 2022 13:48:00.500000000 UTC"]),
            ("mip.ext.type", &["32"]),
            ("mip.auth.spi", &["0x00000100"]),
        ],
        json!({
            "ip": {"src": "10.20.0.2", "dst": "10.91.7.151"},
            "udp": {"sport": 434, "dport": 4242},
            "checksums": true,
            "message": {
                "type": 3, "code": code.0, "lifetime": 600, "homeaddr": "10.91.7.151", "haaddr": "10.91.7.1",
                "id": IDENTIFICATION.0,
            },
            "extensions": [{"type": 32, "length": 20, "spi": 0x100}],
        }),
    )
}

fn tunnel_data() -> Case {
    let mut message = Vec::new();
    TunnelData { next_header: 4 }.append(&mut message);
    Ipv4 { source: HOME_AGENT, destination: HOME_ADDRESS, ttl: 63, protocol: 253, payload: &[] }.emit(&mut message);
    Case::new(
        "tunnel data",
        between_agents(&message),
        &[
            ("mip.type", &["4"]),
            ("mip.nattt.nexthdr", &["4"]),
            ("mip.nattt.reserved", &["0x0000"]),
            // The packet inside comes as a second IP layer.
            ("ip.ttl", &["63", "64"]),
        ],
        json!({
            "message": {"type": 4, "nexthdr": 4, "res": 0},
            "inner": {"src": "10.91.7.1", "dst": "10.91.7.151", "ttl": 63, "proto": 253},
        }),
    )
}
