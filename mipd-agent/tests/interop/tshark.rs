//! Wireshark's dissectors read every message that we emit.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::cases::{self, from_client};

const EXPERT_WARNING: u64 = 0x60_0000;

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
    let is_complaint = |name: &&String| {
        name.starts_with("_ws.malformed")
            || *name == "data"
            || name.contains("Unknown")
            || *name == "mip.data_not_dissected"
    };
    let mut complaints: Vec<_> = fields.keys().filter(is_complaint).cloned().chain(messages).collect();
    complaints.sort();
    complaints
}

#[test]
fn tshark_decodes_every_message_we_emit() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("emitted.pcap");
    let cases = cases::all();
    fs::write(&capture, pcap(cases.iter().map(|case| &case.frame))).unwrap();
    let Some(packets) = dissect(&capture) else {
        eprintln!("SKIPPED: tshark_decodes_every_message_we_emit: tshark is not installed");
        return;
    };
    assert_eq!(packets.len(), cases.len());
    for (case, packet) in cases.iter().zip(&packets) {
        assert_eq!(complaints(packet), case.tshark_gaps, "{}: {packet:#?}", case.name);
        for (field, expected) in &case.tshark {
            let found = packet.get(*field).unwrap_or_else(|| panic!("{}: no {field} in {packet:#?}", case.name));
            assert_eq!(found, expected, "{}: {field}", case.name);
        }
    }
}

#[test]
fn tshark_complains_about_a_wrong_checksum_and_a_cut_message() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("broken.pcap");
    let good = cases::all().into_iter().find(|case| case.name == "registration request").unwrap().frame;
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    let cut = from_client(&good[42..72]);
    fs::write(&capture, pcap([&good, &damaged, &cut])).unwrap();
    let Some(packets) = dissect(&capture) else {
        eprintln!("SKIPPED: tshark_complains_about_a_wrong_checksum_and_a_cut_message: tshark is not installed");
        return;
    };
    let complained: Vec<bool> = packets.iter().map(|packet| !complaints(packet).is_empty()).collect();
    assert_eq!(complained, [false, true, true]);
}
