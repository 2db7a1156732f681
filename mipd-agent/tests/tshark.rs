//! An independent decoder reads every message that we emit.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use mipd_agent::wire::{
    advertisement::{
        ALL_ROUTERS, ALL_SYSTEMS, AgentAdvertisement, AgentFlags, AgentSolicitation, CODE_NO_COMMON_TRAFFIC, TTL,
    },
    arp::ArpPacket,
    authentication::{self, Algorithm, Key},
    extension::kind,
    frame::{IcmpPacket, Link, emit_icmp, emit_udp, group_mac, layer_2_update},
    ip::Datagram,
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi},
};
use mipd_common::mac::MacAddress;
use serde_json::Value;

const CLIENT_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x09]);
const AGENT_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x01]);
const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 151);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 91, 7, 1);
const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);
/// 2022-01-28 13:48:00.5 UTC in NTP format.
const IDENTIFICATION: Identification = Identification(0xe59e_7290_8000_0000);

const EXPERT_WARNING: u64 = 0x60_0000;

/// A frame and what must be read from it: field → all of its values, sorted.
struct Case {
    name: &'static str,
    frame: Vec<u8>,
    fields: Vec<(&'static str, Vec<&'static str>)>,
}

fn cases() -> Vec<Case> {
    let mut cases = discovery();
    cases.extend(registration());
    cases.extend(link_layer());
    cases
}

fn discovery() -> Vec<Case> {
    let group = |destination| Link { destination: group_mac(destination).unwrap(), source: AGENT_MAC };
    let advertisement = AgentAdvertisement {
        code: CODE_NO_COMMON_TRAFFIC,
        lifetime: 9,
        routers: vec![(CARE_OF_ADDRESS, 0)],
        sequence: 258,
        registration_lifetime: Lifetime(36000),
        flags: AgentFlags {
            registration_required: true,
            home_agent: true,
            foreign_agent: true,
            gre: true,
            reverse_tunnel: true,
            ..AgentFlags::default()
        },
        care_of_addresses: vec![CareOfAddress(CARE_OF_ADDRESS), CareOfAddress(HOME_AGENT)],
        prefix_lengths: vec![24],
        challenge: Some(vec![0xab; 8]),
    };
    vec![
        Case {
            name: "agent advertisement",
            frame: emit_icmp(
                group(ALL_SYSTEMS),
                &IcmpPacket {
                    source: CARE_OF_ADDRESS,
                    destination: ALL_SYSTEMS,
                    ttl: TTL,
                    message: &advertisement.emit(),
                },
            ),
            fields: vec![
                ("eth.dst", vec!["01:00:5e:00:00:01"]),
                ("ip.ttl", vec!["1"]),
                ("ip.checksum.status", vec!["1"]),
                ("icmp.type", vec!["9"]),
                ("icmp.code", vec!["16"]),
                ("icmp.checksum.status", vec!["1"]),
                ("icmp.lifetime", vec!["9"]),
                ("icmp.router_address", vec!["10.20.0.2"]),
                ("icmp.mip.type", vec!["0", "16", "19", "24"]),
                ("icmp.mip.seq", vec!["258"]),
                ("icmp.mip.life", vec!["36000"]),
                ("icmp.mip.r", vec!["1"]),
                ("icmp.mip.b", vec!["0"]),
                ("icmp.mip.h", vec!["1"]),
                ("icmp.mip.f", vec!["1"]),
                ("icmp.mip.m", vec!["0"]),
                ("icmp.mip.g", vec!["1"]),
                ("icmp.mip.rt", vec!["1"]),
                ("icmp.mip.u", vec!["0"]),
                ("icmp.mip.coa", vec!["10.20.0.2", "10.91.7.1"]),
                ("icmp.mip.prefixlength", vec!["24"]),
                ("icmp.mip.challenge", vec!["ab:ab:ab:ab:ab:ab:ab:ab"]),
            ],
        },
        Case {
            name: "agent solicitation",
            frame: emit_icmp(
                group(ALL_ROUTERS),
                &IcmpPacket {
                    source: CARE_OF_ADDRESS,
                    destination: ALL_ROUTERS,
                    ttl: TTL,
                    message: &AgentSolicitation.emit(),
                },
            ),
            fields: vec![
                ("eth.dst", vec!["01:00:5e:00:00:02"]),
                ("ip.ttl", vec!["1"]),
                ("icmp.type", vec!["10"]),
                ("icmp.code", vec!["0"]),
                ("icmp.checksum.status", vec!["1"]),
            ],
        },
    ]
}

fn registration() -> Vec<Case> {
    let key = Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
    let protect = |message: &mut Vec<u8>, kind, spi| {
        authentication::append(message, kind, Spi::new(spi).unwrap(), Algorithm::HmacMd5, &key);
    };

    let mut request = Vec::new();
    RegistrationRequest {
        flags: RequestFlags { simultaneous: true, broadcast: true, reverse_tunnel: true, ..RequestFlags::default() },
        lifetime: Lifetime(1800),
        home_address: HomeAddress(HOME_ADDRESS),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(CARE_OF_ADDRESS),
        identification: IDENTIFICATION,
    }
    .emit(&mut request);
    protect(&mut request, kind::MOBILE_HOME_AUTHENTICATION, 0x100);
    protect(&mut request, kind::MOBILE_FOREIGN_AUTHENTICATION, 0x200);
    protect(&mut request, kind::FOREIGN_HOME_AUTHENTICATION, 0x300);

    let mut reply = Vec::new();
    RegistrationReply {
        code: ReplyCode::HA_IDENTIFICATION,
        lifetime: Lifetime(600),
        home_address: HomeAddress(HOME_ADDRESS),
        home_agent: HomeAgentAddress(HOME_AGENT),
        identification: IDENTIFICATION,
    }
    .emit(&mut reply);
    protect(&mut reply, kind::MOBILE_HOME_AUTHENTICATION, 0x100);

    vec![
        Case {
            name: "registration request",
            frame: emit_udp(
                Link { destination: AGENT_MAC, source: CLIENT_MAC },
                &Datagram {
                    source: HOME_ADDRESS,
                    source_port: 4242,
                    destination: CARE_OF_ADDRESS,
                    destination_port: 434,
                    ttl: 255,
                    payload: &request,
                },
            ),
            fields: vec![
                ("eth.src", vec!["02:00:00:00:00:09"]),
                ("ip.src", vec!["10.91.7.151"]),
                ("ip.dst", vec!["10.20.0.2"]),
                ("ip.ttl", vec!["255"]),
                ("ip.checksum.status", vec!["1"]),
                ("udp.srcport", vec!["4242"]),
                ("udp.dstport", vec!["434"]),
                ("udp.checksum.status", vec!["1"]),
                ("mip.type", vec!["1"]),
                ("mip.s", vec!["1"]),
                ("mip.b", vec!["1"]),
                ("mip.d", vec!["0"]),
                ("mip.m", vec!["0"]),
                ("mip.g", vec!["0"]),
                ("mip.v", vec!["0"]),
                ("mip.t", vec!["1"]),
                ("mip.x", vec!["0"]),
                ("mip.life", vec!["1800"]),
                ("mip.homeaddr", vec!["10.91.7.151"]),
                ("mip.haaddr", vec!["10.91.7.1"]),
                ("mip.coa", vec!["10.20.0.2"]),
                ("mip.ident", vec!["Jan 28, 2022 13:48:00.500000000 UTC"]),
                ("mip.ext.type", vec!["32", "33", "34"]),
                ("mip.ext.len", vec!["20", "20", "20"]),
                ("mip.auth.spi", vec!["0x00000100", "0x00000200", "0x00000300"]),
            ],
        },
        Case {
            name: "registration reply",
            frame: emit_udp(
                Link { destination: CLIENT_MAC, source: AGENT_MAC },
                &Datagram {
                    source: CARE_OF_ADDRESS,
                    source_port: 434,
                    destination: HOME_ADDRESS,
                    destination_port: 4242,
                    ttl: 64,
                    payload: &reply,
                },
            ),
            fields: vec![
                ("ip.checksum.status", vec!["1"]),
                ("udp.checksum.status", vec!["1"]),
                ("mip.type", vec!["3"]),
                ("mip.code", vec!["133"]),
                ("mip.life", vec!["600"]),
                ("mip.homeaddr", vec!["10.91.7.151"]),
                ("mip.haaddr", vec!["10.91.7.1"]),
                ("mip.ext.type", vec!["32"]),
                ("mip.auth.spi", vec!["0x00000100"]),
            ],
        },
    ]
}

fn link_layer() -> Vec<Case> {
    let request = ArpPacket::request(CLIENT_MAC, HOME_ADDRESS, HOME_AGENT);
    vec![
        Case {
            name: "ARP request",
            frame: request.emit_broadcast(),
            fields: vec![
                ("eth.dst", vec!["ff:ff:ff:ff:ff:ff"]),
                ("arp.opcode", vec!["1"]),
                ("arp.src.hw_mac", vec!["02:00:00:00:00:09"]),
                ("arp.src.proto_ipv4", vec!["10.91.7.151"]),
                ("arp.dst.hw_mac", vec!["00:00:00:00:00:00"]),
                ("arp.dst.proto_ipv4", vec!["10.91.7.1"]),
            ],
        },
        Case {
            name: "ARP reply",
            frame: request.reply(AGENT_MAC).emit(Link { destination: CLIENT_MAC, source: AGENT_MAC }),
            fields: vec![
                ("arp.opcode", vec!["2"]),
                ("arp.src.hw_mac", vec!["02:00:00:00:00:01"]),
                ("arp.src.proto_ipv4", vec!["10.91.7.1"]),
                ("arp.dst.hw_mac", vec!["02:00:00:00:00:09"]),
                ("arp.dst.proto_ipv4", vec!["10.91.7.151"]),
            ],
        },
        Case {
            name: "ARP probe",
            frame: ArpPacket::request(CLIENT_MAC, Ipv4Addr::UNSPECIFIED, HOME_ADDRESS).emit_broadcast(),
            fields: vec![("arp.isprobe", vec!["1"]), ("arp.dst.proto_ipv4", vec!["10.91.7.151"])],
        },
        Case {
            name: "gratuitous ARP, request form",
            frame: ArpPacket::gratuitous_request(CLIENT_MAC, HOME_ADDRESS).emit_broadcast(),
            fields: vec![("arp.opcode", vec!["1"]), ("arp.isgratuitous", vec!["1"])],
        },
        Case {
            name: "gratuitous ARP, reply form",
            frame: ArpPacket::gratuitous_reply(CLIENT_MAC, HOME_ADDRESS).emit_broadcast(),
            fields: vec![
                ("arp.opcode", vec!["2"]),
                ("arp.isgratuitous", vec!["1"]),
                ("arp.dst.hw_mac", vec!["02:00:00:00:00:09"]),
            ],
        },
        Case {
            name: "layer 2 update",
            frame: layer_2_update(CLIENT_MAC),
            fields: vec![
                ("eth.src", vec!["02:00:00:00:00:09"]),
                ("eth.len", vec!["6"]),
                ("llc.dsap", vec!["0x00"]),
                ("llc.ssap", vec!["0x01"]),
                ("llc.ssap.cr", vec!["1"]),
                ("llc.control", vec!["0x00af"]),
                ("basicxid.llc.xid.format", vec!["0x81"]),
                ("basicxid.llc.xid.types", vec!["0x01"]),
            ],
        },
    ]
}

/// A capture file of Ethernet frames, one a second, in the classic pcap format.
fn pcap<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    const LINKTYPE_ETHERNET: u32 = 1;
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    for half in [2u16, 4] {
        file.extend(half.to_le_bytes());
    }
    for word in [0, 0, 65535, LINKTYPE_ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in (0u32..).zip(frames) {
        for word in [second, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The packets of a capture as tshark sees them, each flattened; `None` without tshark.
fn dissect(capture: &Path) -> Option<Vec<HashMap<String, Vec<String>>>> {
    let output = Command::new("tshark")
        .args(["-n", "-T", "json", "--no-duplicate-keys", "-o", "ip.check_checksum:TRUE", "-o"])
        .args(["udp.check_checksum:TRUE", "-r"])
        .arg(capture)
        // Neither the user's preferences nor the local time zone.
        .env("HOME", capture.parent().unwrap())
        .env("XDG_CONFIG_HOME", capture.parent().unwrap())
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "tshark failed: {}", String::from_utf8_lossy(&output.stderr));
    let packets: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flat = packets.as_array().unwrap().iter().map(|packet| {
        let mut fields: HashMap<String, Vec<String>> = HashMap::new();
        flatten("", &packet["_source"]["layers"], &mut fields);
        for values in fields.values_mut() {
            values.sort();
        }
        fields
    });
    Some(flat.collect())
}

fn flatten(name: &str, value: &Value, fields: &mut HashMap<String, Vec<String>>) {
    match value {
        Value::Object(members) => {
            fields.entry(name.into()).or_default();
            members.iter().for_each(|(name, value)| flatten(name, value, fields));
        }
        Value::Array(values) => values.iter().for_each(|value| flatten(name, value, fields)),
        Value::String(text) => fields.entry(name.into()).or_default().push(text.clone()),
        other => fields.entry(name.into()).or_default().push(other.to_string()),
    }
}

/// Whatever tshark holds against a packet.
fn complaints(fields: &HashMap<String, Vec<String>>) -> Vec<String> {
    let warned = fields
        .get("_ws.expert.severity")
        .is_some_and(|severities| severities.iter().any(|severity| severity.parse::<u64>().unwrap() >= EXPERT_WARNING));
    let messages = fields.get("_ws.expert.message").filter(|_| warned).cloned().unwrap_or_default();
    let layers = fields.keys().filter(|name| name.starts_with("_ws.malformed") || *name == "data").cloned();
    layers.chain(messages).collect()
}

#[test]
fn tshark_decodes_every_message_we_emit() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("emitted.pcap");
    let cases = cases();
    fs::write(&capture, pcap(cases.iter().map(|case| &case.frame))).unwrap();
    let Some(packets) = dissect(&capture) else {
        eprintln!("SKIPPED: tshark_decodes_every_message_we_emit: tshark is not installed");
        return;
    };
    assert_eq!(packets.len(), cases.len());
    for (case, packet) in cases.iter().zip(&packets) {
        assert_eq!(complaints(packet), Vec::<String>::new(), "{}: {packet:#?}", case.name);
        for (field, expected) in &case.fields {
            let found = packet.get(*field).unwrap_or_else(|| panic!("{}: no {field} in {packet:#?}", case.name));
            assert_eq!(found, expected, "{}: {field}", case.name);
        }
    }
}

#[test]
fn tshark_complains_about_a_wrong_checksum_and_a_cut_message() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("broken.pcap");
    let good = cases().into_iter().find(|case| case.name == "registration request").unwrap().frame;
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    let cut = emit_udp(
        Link { destination: AGENT_MAC, source: CLIENT_MAC },
        &Datagram {
            source: HOME_ADDRESS,
            source_port: 4242,
            destination: CARE_OF_ADDRESS,
            destination_port: 434,
            ttl: 255,
            payload: &good[42..72],
        },
    );
    fs::write(&capture, pcap([&good, &damaged, &cut])).unwrap();
    let Some(packets) = dissect(&capture) else {
        eprintln!("SKIPPED: tshark_complains_about_a_wrong_checksum_and_a_cut_message: tshark is not installed");
        return;
    };
    let complained: Vec<bool> = packets.iter().map(|packet| !complaints(packet).is_empty()).collect();
    assert_eq!(complained, [false, true, true]);
}
