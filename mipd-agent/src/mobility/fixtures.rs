//! What the tests of both agents share: a clock, a client with its messages, and readers of answers.

use std::{net::Ipv4Addr, time::Duration};

use mipd_common::mac::MacAddress;

use super::{
    link::{InterfaceIndex, Received, Transmit},
    security::{SecurityAssociation, Verification, verify},
    time::{Instant, Now},
};
use crate::wire::{
    authentication::{Algorithm, Key},
    extension::kind,
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, Spi},
};

pub const HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
pub const CLIENT_MAC: MacAddress = MacAddress([2, 0, 0, 0, 1, 0x64]);
pub const CLIENT_PORT: u16 = 40_434;
pub const HOME_LINK: InterfaceIndex = InterfaceIndex(3);
pub const ACCESS_LINK: InterfaceIndex = InterfaceIndex(5);
pub const CORE_LINK: InterfaceIndex = InterfaceIndex(7);

/// Both clocks, moved by hand.
pub struct Clock(pub Now);

impl Clock {
    pub fn new() -> Self {
        Self::at_seconds(0xe5a1_b2c3)
    }

    pub fn at_seconds(seconds: u32) -> Self {
        let instant = Instant(Duration::from_secs(1000));
        Self(Now { instant, wall: Identification(u64::from(seconds) << 32 | 0x1234_5678) })
    }

    pub fn advance(&mut self, duration: Duration) {
        let instant = self.0.instant + duration;
        self.0 = Now { wall: self.0.wall_at(instant), instant };
    }

    pub fn advance_to(&mut self, instant: Instant) {
        self.advance(instant.since(self.0.instant));
    }
}

pub fn association(spi: u32, secret: u8) -> SecurityAssociation {
    SecurityAssociation::new(Spi::new(spi).unwrap(), Algorithm::HmacMd5, Key::from_bytes(vec![secret; 16]).unwrap())
}

/// The key that the client shares with its home agent.
pub fn client_key() -> SecurityAssociation {
    association(256, 1)
}

/// The key that the agents share.
pub fn agents_key() -> SecurityAssociation {
    association(1000, 9)
}

/// A request for ten minutes through the foreign agent, fresh at `now`.
pub fn request(now: Now) -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::default(),
        lifetime: Lifetime(600),
        home_address: HomeAddress(HOME),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(CARE_OF),
        identification: now.wall,
    }
}

/// What the client sends when it is home again.
pub fn deregistration(now: Now) -> RegistrationRequest {
    RegistrationRequest { lifetime: Lifetime::DEREGISTER, care_of_address: CareOfAddress(HOME), ..request(now) }
}

pub fn signed(request: &RegistrationRequest, association: &SecurityAssociation) -> Vec<u8> {
    let mut message = unsigned(request);
    association.sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
    message
}

pub fn unsigned(request: &RegistrationRequest) -> Vec<u8> {
    let mut message = Vec::new();
    request.emit(&mut message);
    message
}

/// As the home agent receives it from the foreign agent.
pub fn through_foreign_agent(payload: &[u8]) -> Received<'_> {
    Received {
        payload,
        source: CARE_OF,
        source_port: 434,
        destination: HOME_AGENT,
        destination_port: 434,
        ttl: 62,
        interface: CORE_LINK,
        source_mac: None,
    }
}

/// As the home agent receives it from the client on the home link.
pub fn from_home_link(payload: &[u8]) -> Received<'_> {
    Received {
        payload,
        source: HOME,
        source_port: CLIENT_PORT,
        destination: HOME_AGENT,
        destination_port: 434,
        ttl: 255,
        interface: HOME_LINK,
        source_mac: Some(CLIENT_MAC),
    }
}

/// As the foreign agent receives it from the client.
pub fn from_client(payload: &[u8]) -> Received<'_> {
    Received { destination: CARE_OF, interface: ACCESS_LINK, ..from_home_link(payload) }
}

/// The datagram at the other end.
pub fn arriving(transmit: &Transmit, interface: InterfaceIndex) -> Received<'_> {
    transmit.arrival(interface, None)
}

pub fn read_reply(transmit: &Transmit) -> RegistrationReply {
    RegistrationReply::parse(&transmit.payload).unwrap().0
}

/// Whether the reply carries exactly one valid extension of this type.
pub fn is_signed(transmit: &Transmit, kind: u8, association: &SecurityAssociation) -> bool {
    let (_, extensions) = RegistrationReply::parse(&transmit.payload).unwrap();
    matches!(
        verify(&extensions, kind, |spi| (spi == association.spi).then_some(association)),
        Verification::Valid { .. }
    )
}
