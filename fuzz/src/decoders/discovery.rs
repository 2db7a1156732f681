//! Agent advertisements and solicitations.

use mipd_agent::wire::{
    advertisement::{AgentAdvertisement, AgentFlags, AgentSolicitation},
    types::{CareOfAddress, Lifetime},
};

use super::checksum;

/// An ICMP message: as it is, and with its checksum made right, since few would come through otherwise.
pub fn check(data: &[u8]) {
    read(data);
    if data.len() >= 4 {
        let mut sealed = data.to_vec();
        sealed[2..4].fill(0);
        let sum = checksum(&sealed);
        sealed[2..4].copy_from_slice(&sum);
        read(&sealed);
    }
}

fn read(icmp: &[u8]) {
    if let Ok(Some(advertisement)) = AgentAdvertisement::parse(icmp) {
        let emitted = advertisement.emit();
        assert_eq!(emitted.len() % 2, 0, "an ICMP message of odd length");
        let again = AgentAdvertisement::parse(&emitted);
        assert_eq!(again.as_ref(), Ok(&Some(advertisement)), "read {icmp:02x?}, wrote {emitted:02x?}");
    }
    if AgentSolicitation::parse(icmp).is_ok() {
        assert_eq!(AgentSolicitation::parse(&AgentSolicitation.emit()), Ok(AgentSolicitation));
    }
}

/// An advertisement with everything, one with little, and a solicitation.
pub fn seeds() -> Vec<Vec<u8>> {
    let full = AgentAdvertisement {
        code: 16,
        lifetime: 9,
        routers: vec![([10, 2, 0, 1].into(), 0), ([10, 2, 0, 2].into(), i32::MIN)],
        sequence: 300,
        registration_lifetime: Lifetime(36_000),
        flags: AgentFlags::from_bits(0xffff),
        care_of_addresses: vec![CareOfAddress([10, 2, 0, 1].into()), CareOfAddress([10, 2, 0, 3].into())],
        prefix_lengths: vec![24, 25],
        challenge: Some(vec![7; 8]),
    };
    let plain = AgentAdvertisement {
        code: 0,
        routers: Vec::new(),
        care_of_addresses: Vec::new(),
        prefix_lengths: Vec::new(),
        challenge: None,
        ..full.clone()
    };
    vec![full.emit(), plain.emit(), AgentSolicitation.emit()]
}
