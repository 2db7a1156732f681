//! Every message that we emit, and what others must read from it.

mod discovery;
mod extensions;
mod link_layer;
mod registration;
mod revocation;

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    authentication::Key,
    frame::{Link, emit_udp},
    ip::Datagram,
    types::Identification,
};
use mipd_common::mac::MacAddress;
use serde_json::Value;

pub const CLIENT_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x09]);
pub const AGENT_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x01]);
pub const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 151);
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 1);
pub const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);
/// 2022-01-28 13:48:00.5 UTC in NTP format.
pub const IDENTIFICATION: Identification = Identification(0xe59e_7290_8000_0000);
pub const KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// A frame, and what must be read from it.
pub struct Case {
    pub name: String,
    pub frame: Vec<u8>,
    /// By tshark: field → all of its values, sorted.
    pub tshark: Vec<(&'static str, Vec<String>)>,
    /// What tshark does not know of the message: its complaints, all of them.
    pub tshark_gaps: Vec<&'static str>,
    /// By Scapy: part of what `peer.py` answers.
    pub scapy: Value,
}

impl Case {
    fn new(name: impl Into<String>, frame: Vec<u8>, tshark: &[(&'static str, &[&str])], scapy: Value) -> Self {
        let owned = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let tshark = tshark.iter().map(|(field, values)| (*field, owned(values))).collect();
        Self { name: name.into(), frame, tshark, tshark_gaps: Vec::new(), scapy }
    }
}

pub fn all() -> Vec<Case> {
    let mut cases = discovery::cases();
    cases.extend(registration::cases());
    cases.extend(extensions::cases());
    cases.extend(revocation::cases());
    cases.extend(link_layer::cases());
    cases
}

pub fn key() -> Key {
    Key::from_hex(KEY).unwrap()
}

/// A message as the client sends it to the foreign agent.
pub fn from_client(payload: &[u8]) -> Vec<u8> {
    emit_udp(
        Link { destination: AGENT_MAC, source: CLIENT_MAC },
        &Datagram {
            source: HOME_ADDRESS,
            source_port: 4242,
            destination: CARE_OF_ADDRESS,
            destination_port: 434,
            ttl: 255,
            payload,
        },
    )
}

/// A message as the foreign agent sends it to the client.
pub fn to_client(payload: &[u8]) -> Vec<u8> {
    emit_udp(
        Link { destination: CLIENT_MAC, source: AGENT_MAC },
        &Datagram {
            source: CARE_OF_ADDRESS,
            source_port: 434,
            destination: HOME_ADDRESS,
            destination_port: 4242,
            ttl: 64,
            payload,
        },
    )
}

/// A message as one agent sends it to the other.
pub fn between_agents(payload: &[u8]) -> Vec<u8> {
    emit_udp(
        Link { destination: CLIENT_MAC, source: AGENT_MAC },
        &Datagram {
            source: HOME_AGENT,
            source_port: 434,
            destination: CARE_OF_ADDRESS,
            destination_port: 434,
            ttl: 64,
            payload,
        },
    )
}
