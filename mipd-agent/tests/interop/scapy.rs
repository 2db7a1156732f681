//! Scapy and Python's `hmac` and `hashlib` read what we emit, and build what we must accept.

mod agents;
mod built;
mod peer;

use mipd_agent::wire::{
    authentication::{self, Algorithm, Key},
    extension::kind,
    types::Spi,
};
use serde_json::{Value, json};

use self::peer::{Peer, hex, name_of, unhex};
use crate::cases;

/// Where `found` differs from what is `wanted` of it: objects may have further members, lists may not.
fn difference(wanted: &Value, found: &Value, path: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(_)) => {
            wanted.iter().find_map(|(name, wanted)| difference(wanted, &found[name], &format!("{path}/{name}")))
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            pairs.into_iter().find_map(|(at, (wanted, found))| difference(wanted, found, &format!("{path}/{at}")))
        }
        _ => (wanted != found).then(|| format!("{path}: {found}, not {wanted}")),
    }
}

#[test]
fn scapy_decodes_every_message_we_emit() {
    let Some(mut peer) = Peer::start() else { return };
    for case in cases::all() {
        let found = peer.ask(&json!({"op": "decode", "frame": hex(&case.frame)}));
        assert_eq!(difference(&case.scapy, &found, ""), None, "{}: {found:#}", case.name);
    }
}

#[test]
fn scapy_sees_a_wrong_checksum() {
    let Some(mut peer) = Peer::start() else { return };
    let mut frame = cases::all().into_iter().find(|case| case.name == "registration request").unwrap().frame;
    assert_eq!(peer.ask(&json!({"op": "decode", "frame": hex(&frame)}))["checksums"], true);
    frame[60] ^= 1;
    assert_eq!(peer.ask(&json!({"op": "decode", "frame": hex(&frame)}))["checksums"], false);
}

#[test]
fn pythons_hmac_and_hashlib_compute_the_same_authenticators() {
    let Some(mut peer) = Peer::start() else { return };
    let spi = Spi::new(0x1234_5678).unwrap();
    // Keys shorter and longer than the digests' block of 64 bytes, which HMAC treats differently.
    let keys = [1, 16, 20, 63, 64, 65, 200].map(|length| (0..length).map(|at: u8| at ^ 0x5a).collect::<Vec<_>>());
    let messages = (0..8_usize).map(|length| vec![length as u8; length * 37]);
    for message in messages {
        for key in &keys {
            for algorithm in Algorithm::ALL {
                let mut signed = message.clone();
                let secret = Key::from_bytes(key.clone()).unwrap();
                authentication::append(&mut signed, kind::MOBILE_HOME_AUTHENTICATION, spi, algorithm, &secret);
                let (protected, ours) = signed.split_at(message.len() + 6);
                let name = name_of(algorithm);
                let question =
                    json!({"op": "authenticator", "algorithm": name, "key": hex(key), "protected": hex(protected)});
                let theirs = peer.ask(&question);
                assert_eq!(unhex(&theirs["authenticator"]), ours, "{name} with a key of {} bytes", key.len());
            }
        }
    }
}
