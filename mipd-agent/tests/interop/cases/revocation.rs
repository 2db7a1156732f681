//! Registration revocation and its acknowledgement.

use mipd_agent::wire::{
    authentication::{self, Algorithm},
    extension::kind,
    revocation::{Revocation, RevocationAcknowledgement},
    types::{HomeAddress, HomeAgentAddress, Spi},
};
use serde_json::json;

use super::{CARE_OF_ADDRESS, Case, HOME_ADDRESS, HOME_AGENT, between_agents, key};

fn sealed(mut message: Vec<u8>) -> Vec<u8> {
    let (kind, spi) = (kind::FOREIGN_HOME_AUTHENTICATION, Spi::new(0x101).unwrap());
    authentication::append(&mut message, kind, spi, Algorithm::HmacMd5, &key());
    between_agents(&message)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (from_home_agent, inform) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut message = Vec::new();
        let (home_address, home_agent) = (HomeAddress(HOME_ADDRESS), HomeAgentAddress(HOME_AGENT));
        let (foreign_agent, identifier) = (CARE_OF_ADDRESS, 0xe5a1_b2c3);
        Revocation { from_home_agent, inform, home_address, home_agent, foreign_agent, identifier }.emit(&mut message);
        let flag = |set: bool| if set { "1" } else { "0" };
        cases.push(Case::new(
            format!("revocation with A={} I={}", flag(from_home_agent), flag(inform)),
            sealed(message),
            &[
                ("udp.checksum.status", &["1"]),
                ("mip.type", &["7"]),
                ("mip.rev.a", &[flag(from_home_agent)]),
                ("mip.rev.i", &[flag(inform)]),
                ("mip.homeaddr", &["10.91.7.151"]),
                ("mip.rev.hda", &["10.91.7.1"]),
                ("mip.rev.fda", &["10.20.0.2"]),
                ("mip.revid", &["3852579523"]),
                ("mip.ext.type", &["34"]),
                ("mip.auth.spi", &["0x00000101"]),
            ],
            json!({
                "message": {
                    "type": 7, "A": u8::from(from_home_agent), "I": u8::from(inform), "reserved2": 0,
                    "homeaddr": "10.91.7.151", "hda": "10.91.7.1", "fda": "10.20.0.2", "id": 0xe5a1_b2c3_u32,
                },
                "extensions": [{"type": 34, "length": 20, "spi": 0x101}],
            }),
        ));
    }
    for inform in [false, true] {
        let mut message = Vec::new();
        let (home_address, identifier) = (HomeAddress(HOME_ADDRESS), 0xe5a1_b2c3);
        RevocationAcknowledgement { inform, home_address, identifier }.emit(&mut message);
        let flag = if inform { "1" } else { "0" };
        cases.push(Case::new(
            format!("revocation acknowledgement with I={flag}"),
            sealed(message),
            &[
                ("mip.type", &["15"]),
                ("mip.ack.i", &[flag]),
                ("mip.homeaddr", &["10.91.7.151"]),
                ("mip.revid", &["3852579523"]),
                ("mip.ext.type", &["34"]),
            ],
            json!({
                "message": {
                    "type": 15, "I": u8::from(inform), "reserved2": 0, "homeaddr": "10.91.7.151", "id": 0xe5a1_b2c3_u32,
                },
                "extensions": [{"type": 34, "spi": 0x101}],
            }),
        ));
    }
    cases
}
