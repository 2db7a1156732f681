//! Agent advertisements and solicitations.

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    advertisement::{ALL_ROUTERS, ALL_SYSTEMS, AgentAdvertisement, AgentFlags, AgentSolicitation, TTL},
    frame::{IcmpPacket, Link, emit_icmp, group_mac},
    types::{CareOfAddress, Lifetime},
};
use serde_json::{Value, json};

use super::{AGENT_MAC, CARE_OF_ADDRESS, Case, HOME_AGENT};

fn to_group(destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let link = Link { destination: group_mac(destination).unwrap(), source: AGENT_MAC };
    emit_icmp(link, &IcmpPacket { source: CARE_OF_ADDRESS, destination, ttl: TTL, message })
}

fn advertisement() -> AgentAdvertisement {
    AgentAdvertisement {
        code: 16,
        lifetime: 9,
        routers: vec![(CARE_OF_ADDRESS, 0)],
        sequence: 258,
        registration_lifetime: Lifetime(36000),
        flags: AgentFlags { foreign_agent: true, ..AgentFlags::default() },
        care_of_addresses: vec![CareOfAddress(CARE_OF_ADDRESS)],
        prefix_lengths: vec![24],
        challenge: None,
    }
}

/// Each flag alone, then all extensions at once, then the solicitation.
pub fn cases() -> Vec<Case> {
    // In the order of the bits. Regional registration (RFC 4857), 0x0020, counts as reserved in Wireshark.
    let flags = [
        (0x8000, "icmp.mip.r", "R"),
        (0x4000, "icmp.mip.b", "B"),
        (0x2000, "icmp.mip.h", "H"),
        (0x1000, "icmp.mip.f", "F"),
        (0x0800, "icmp.mip.m", "M"),
        (0x0400, "icmp.mip.g", "G"),
        (0x0100, "icmp.mip.rt", "T"),
        (0x0080, "icmp.mip.u", "U"),
        (0x0040, "icmp.mip.x", "X"),
        (0x0020, "icmp.mip.reserved", "I"),
    ];
    let mut cases = Vec::new();
    for (bits, _, letter) in flags {
        let advertisement = AgentAdvertisement { flags: AgentFlags::from_bits(bits), ..advertisement() };
        let names = flags.iter().filter(|(_, field, _)| *field != "icmp.mip.reserved");
        let fields: Vec<(&'static str, &[&str])> =
            names.map(|(bit, field, _)| (*field, if *bit == bits { &["1"][..] } else { &["0"] })).collect();
        let scapy: Value = flags
            .iter()
            .map(|(bit, _, letter)| ((*letter).to_owned(), json!(u8::from(*bit == bits))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let scapy = json!({"extensions": [scapy, {"type": 19}, {"type": 0}]});
        let name = format!("agent advertisement with {letter}");
        cases.push(Case::new(name, to_group(ALL_SYSTEMS, &advertisement.emit()), &fields, scapy));
    }
    let full = AgentAdvertisement {
        care_of_addresses: vec![CareOfAddress(CARE_OF_ADDRESS), CareOfAddress(HOME_AGENT)],
        challenge: Some(vec![0xab; 8]),
        ..advertisement()
    };
    cases.push(Case::new(
        "agent advertisement",
        to_group(ALL_SYSTEMS, &full.emit()),
        &[
            ("eth.dst", &["01:00:5e:00:00:01"]),
            ("ip.ttl", &["1"]),
            ("ip.checksum.status", &["1"]),
            ("icmp.type", &["9"]),
            ("icmp.code", &["16"]),
            ("icmp.checksum.status", &["1"]),
            ("icmp.lifetime", &["9"]),
            ("icmp.router_address", &["10.20.0.2"]),
            ("icmp.mip.type", &["0", "16", "19", "24"]),
            ("icmp.mip.seq", &["258"]),
            ("icmp.mip.life", &["36000"]),
            ("icmp.mip.coa", &["10.20.0.2", "10.91.7.1"]),
            ("icmp.mip.prefixlength", &["24"]),
            ("icmp.mip.challenge", &["ab:ab:ab:ab:ab:ab:ab:ab"]),
        ],
        json!({
            "eth": {"dst": "01:00:5e:00:00:01", "src": "02:00:00:00:00:01"},
            "ip": {"src": "10.20.0.2", "dst": "224.0.0.1", "ttl": 1, "proto": 1},
            "checksums": true,
            "icmp": {"type": 9, "code": 16},
            "advertisement": {"count": 1, "entry_size": 2, "lifetime": 9},
            "routers": [{"address": "10.20.0.2", "preference": 0}],
            "extensions": [
                {
                    "type": 16, "length": 14, "sequence": 258, "lifetime": 36000, "F": 1, "reserved": 0,
                    "care_of": ["10.20.0.2", "10.91.7.1"],
                },
                {"type": 19, "length": 1, "data": "18"},
                {"type": 24, "length": 8, "data": "abababababababab"},
                {"type": 0},
            ],
        }),
    ));
    cases.push(Case::new(
        "agent solicitation",
        to_group(ALL_ROUTERS, &AgentSolicitation.emit()),
        &[
            ("eth.dst", &["01:00:5e:00:00:02"]),
            ("ip.ttl", &["1"]),
            ("icmp.type", &["10"]),
            ("icmp.code", &["0"]),
            ("icmp.checksum.status", &["1"]),
        ],
        json!({
            "eth": {"dst": "01:00:5e:00:00:02"},
            "ip": {"dst": "224.0.0.2", "ttl": 1},
            "checksums": true,
            "icmp": {"type": 10, "code": 0, "unused": 0},
        }),
    ));
    cases
}
