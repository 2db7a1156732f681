//! ARP, and what tells switches where a client is.

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    arp::ArpPacket,
    frame::{Link, layer_2_update},
};
use serde_json::json;

use super::{AGENT_MAC, CLIENT_MAC, Case, HOME_ADDRESS, HOME_AGENT};

pub fn cases() -> Vec<Case> {
    let request = ArpPacket::request(CLIENT_MAC, HOME_ADDRESS, HOME_AGENT);
    vec![
        Case::new(
            "ARP request",
            request.emit_broadcast(),
            &[
                ("eth.dst", &["ff:ff:ff:ff:ff:ff"]),
                ("arp.opcode", &["1"]),
                ("arp.src.hw_mac", &["02:00:00:00:00:09"]),
                ("arp.src.proto_ipv4", &["10.91.7.151"]),
                ("arp.dst.hw_mac", &["00:00:00:00:00:00"]),
                ("arp.dst.proto_ipv4", &["10.91.7.1"]),
            ],
            json!({
                "eth": {"dst": "ff:ff:ff:ff:ff:ff"},
                "arp": {
                    "op": 1, "hwsrc": "02:00:00:00:00:09", "psrc": "10.91.7.151", "hwdst": "00:00:00:00:00:00",
                    "pdst": "10.91.7.1",
                },
            }),
        ),
        Case::new(
            "ARP reply",
            request.reply(AGENT_MAC).emit(Link { destination: CLIENT_MAC, source: AGENT_MAC }),
            &[
                ("arp.opcode", &["2"]),
                ("arp.src.hw_mac", &["02:00:00:00:00:01"]),
                ("arp.src.proto_ipv4", &["10.91.7.1"]),
                ("arp.dst.hw_mac", &["02:00:00:00:00:09"]),
                ("arp.dst.proto_ipv4", &["10.91.7.151"]),
            ],
            json!({"arp": {"op": 2, "hwsrc": "02:00:00:00:00:01", "psrc": "10.91.7.1", "hwdst": "02:00:00:00:00:09"}}),
        ),
        Case::new(
            "ARP probe",
            ArpPacket::request(CLIENT_MAC, Ipv4Addr::UNSPECIFIED, HOME_ADDRESS).emit_broadcast(),
            &[("arp.isprobe", &["1"]), ("arp.dst.proto_ipv4", &["10.91.7.151"])],
            json!({"arp": {"op": 1, "psrc": "0.0.0.0", "pdst": "10.91.7.151"}}),
        ),
        Case::new(
            "gratuitous ARP, request form",
            ArpPacket::gratuitous_request(CLIENT_MAC, HOME_ADDRESS).emit_broadcast(),
            &[("arp.opcode", &["1"]), ("arp.isgratuitous", &["1"])],
            json!({"arp": {"op": 1, "psrc": "10.91.7.151", "pdst": "10.91.7.151"}}),
        ),
        Case::new(
            "gratuitous ARP, reply form",
            ArpPacket::gratuitous_reply(CLIENT_MAC, HOME_ADDRESS).emit_broadcast(),
            &[("arp.opcode", &["2"]), ("arp.isgratuitous", &["1"]), ("arp.dst.hw_mac", &["02:00:00:00:00:09"])],
            json!({"arp": {"op": 2, "psrc": "10.91.7.151", "pdst": "10.91.7.151", "hwdst": "02:00:00:00:00:09"}}),
        ),
        Case::new(
            "layer 2 update",
            layer_2_update(CLIENT_MAC),
            &[
                ("eth.src", &["02:00:00:00:00:09"]),
                ("eth.len", &["6"]),
                ("llc.dsap", &["0x00"]),
                ("llc.ssap", &["0x01"]),
                ("llc.ssap.cr", &["1"]),
                ("llc.control", &["0x00af"]),
                ("basicxid.llc.xid.format", &["0x81"]),
                ("basicxid.llc.xid.types", &["0x01"]),
            ],
            json!({"eth": {"src": "02:00:00:00:00:09", "len": 6}, "llc": {"dsap": 0, "ssap": 1, "ctrl": 0xaf}}),
        ),
    ]
}
