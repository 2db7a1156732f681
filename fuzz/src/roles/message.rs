//! Registration messages as somebody with a key, or without one, may send them.

use std::net::Ipv4Addr;

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::{security::SecurityAssociation, time::Now},
    wire::{
        challenge,
        dynamic_home_agent::{DynamicHomeAgent, Purpose},
        extension::{self, kind},
        foreign_agent_error,
        gre_key::GreKey,
        nai::Nai,
        proxy_mode::{self, AccessTechnology, AuthenticationMethod},
        registration::{RegistrationReply, RegistrationRequest, RequestFlags},
        revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};
use mipd_common::mac::MacAddress;

use super::association;

/// The home agent.
pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The foreign agent that shares a key with it.
pub const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
/// A foreign agent that shares none.
pub const OTHER_FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);
/// How many clients there are; one more address is nobody's.
pub const CLIENTS: u8 = 4;

/// The key that all clients share with their home agent.
pub fn mobile_home() -> SecurityAssociation {
    association(256, 1)
}

/// The key that clients share with the foreign agent.
pub fn mobile_foreign() -> SecurityAssociation {
    association(512, 2)
}

/// The key that the agents share.
pub fn foreign_home() -> SecurityAssociation {
    association(768, 3)
}

/// A client's home address. The last one is of a strange network, and now and then there is none.
pub fn home_address(number: u8) -> HomeAddress {
    HomeAddress(match number % (CLIENTS + 2) {
        CLIENTS => Ipv4Addr::new(192, 0, 2, 1),
        number if number > CLIENTS => Ipv4Addr::UNSPECIFIED,
        number => Ipv4Addr::new(10, 1, 0, 100 + number),
    })
}

/// A client's Ethernet address.
pub fn mac(number: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 1, number % (CLIENTS + 1)])
}

/// An address that a message may name as agent or care-of address.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Place {
    HomeAgent,
    ForeignAgent,
    OtherForeignAgent,
    /// The client itself.
    Home,
    Unspecified,
    Broadcast,
    SubnetBroadcast,
    Group,
    Elsewhere(u8),
}

impl Place {
    /// The address.
    pub fn address(self, home_address: HomeAddress) -> Ipv4Addr {
        match self {
            Self::HomeAgent => HOME_AGENT,
            Self::ForeignAgent => FOREIGN_AGENT,
            Self::OtherForeignAgent => OTHER_FOREIGN_AGENT,
            Self::Home => home_address.0,
            Self::Unspecified => Ipv4Addr::UNSPECIFIED,
            Self::Broadcast => Ipv4Addr::BROADCAST,
            Self::SubnetBroadcast => Ipv4Addr::new(10, 1, 0, 255),
            Self::Group => Ipv4Addr::new(224, 0, 0, 11),
            Self::Elsewhere(last) => Ipv4Addr::new(10, 7, 0, last),
        }
    }
}

/// An Identification.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Freshness {
    /// Of this moment.
    Now,
    /// Some sixteenths of a second off.
    Skewed(i8),
    /// That of the message before.
    Repeated,
    Any(u64),
}

impl Freshness {
    /// The number, after `last`.
    pub fn identification(self, now: Now, last: Identification) -> Identification {
        match self {
            Self::Now => now.wall,
            Self::Skewed(sixteenths) => Identification(now.wall.0.wrapping_add_signed(i64::from(sixteenths) << 28)),
            Self::Repeated => last,
            Self::Any(value) => Identification(value),
        }
    }
}

/// An authentication extension.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signature {
    None,
    Good,
    Twice,
    WrongKey,
    WrongSpi,
}

impl Signature {
    /// Appends it. Gives the message up to the first signature with the known key, if there is one.
    fn append(self, message: &mut Vec<u8>, kind: u8, known: &SecurityAssociation) -> Option<Vec<u8>> {
        match self {
            Self::None => {}
            Self::Good => known.sign(message, kind),
            Self::Twice => {
                known.sign(message, kind);
                let once = message.clone();
                known.sign(message, kind);
                return Some(once);
            }
            Self::WrongKey => association(known.spi.get(), 99).sign(message, kind),
            Self::WrongSpi => association(9999, 1).sign(message, kind),
        }
        (self == Self::Good).then(|| message.clone())
    }
}

/// Another extension.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Extra {
    GreKey(u32),
    Nai(u8),
    Challenge([u8; 8]),
    Error(u8),
    DynamicHomeAgent(bool, Place),
    TunnelRequest { forced: bool, through: bool, encapsulation: u8, reserved: bool },
    TunnelReply { code: u8, forced: bool, interval: u16 },
    Revocation { inform: bool, timestamp: u32 },
    Method(u8),
    Device([u8; 6]),
    Technology(bool),
    EncapsulatingDelivery,
    Vendor(u8),
    CriticalVendor(u8),
    Padding,
    Any { kind: u8, data: [u8; 4] },
}

impl Extra {
    fn append(self, message: &mut Vec<u8>) {
        match self {
            Self::GreKey(key) => GreKey(key).append(message),
            Self::Nai(number) => {
                if let Some(nai) = Nai::new(format!("user{}@realm", number % 3)) {
                    nai.append(message);
                }
            }
            Self::Challenge(bytes) => challenge::append_challenge(message, &bytes),
            Self::Error(code) => foreign_agent_error::append_error(message, ReplyCode(code)),
            Self::DynamicHomeAgent(requested, place) => {
                let purpose = if requested { Purpose::Requested } else { Purpose::Redirected };
                DynamicHomeAgent { purpose, address: place.address(home_address(0)) }.append(message);
            }
            Self::TunnelRequest { forced, through, encapsulation, reserved } => UdpTunnelRequest {
                forced,
                through_foreign_agent: through,
                encapsulation: [0, 4, 47, 55, encapsulation][usize::from(encapsulation % 5)],
                reserved: reserved.into(),
            }
            .append(message),
            Self::TunnelReply { code, forced, interval } => {
                UdpTunnelReply { code, forced, keepalive_interval: interval }.append(message);
            }
            Self::Revocation { inform, timestamp } => RevocationSupport { inform, timestamp }.append(message),
            Self::Method(method) => match method % 3 {
                0 => AuthenticationMethod::ForeignHome,
                1 => AuthenticationMethod::IpSec,
                _ => AuthenticationMethod::Other(method),
            }
            .append(message),
            Self::Device(device) => proxy_mode::append_device(message, MacAddress(device)),
            Self::Technology(wireless) => {
                if wireless { AccessTechnology::WirelessLan } else { AccessTechnology::Ethernet }.append(message);
            }
            Self::EncapsulatingDelivery => extension::append(message, kind::ENCAPSULATING_DELIVERY, &[]),
            Self::Vendor(value) => {
                extension::append(message, kind::NORMAL_VENDOR, &[0, 0, 0, 0, 0, 9, 0, 1, value]);
            }
            Self::CriticalVendor(value) => {
                extension::append_long(message, kind::CRITICAL_VENDOR, 0, &[0, 0, 0, 9, 0, 1, value]);
            }
            Self::Padding => message.push(kind::PADDING),
            Self::Any { kind, data } => extension::append(message, kind, &data),
        }
    }
}

/// What happens to a message on its way.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    None,
    Flipped { at: u16, bit: u8 },
    Cut(u16),
    Longer(u8),
}

impl Damage {
    fn apply(self, message: &mut Vec<u8>) {
        let length = message.len();
        match self {
            Self::None => {}
            Self::Flipped { at, bit } => {
                if let Some(byte) = message.get_mut(usize::from(at) % length.max(1)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Cut(at) => message.truncate(usize::from(at) % length.max(1)),
            Self::Longer(count) => message.resize(length + usize::from(count), count),
        }
    }
}

/// The extensions of a message in the order of RFC 5944 §3.7.2.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Tail {
    pub before: [Option<Extra>; 2],
    pub mobile_home: Signature,
    pub after: [Option<Extra>; 2],
    pub mobile_foreign: Signature,
    pub last: Option<Extra>,
    pub foreign_home: Signature,
    pub damage: Damage,
}

/// Whose signatures still hold when a message arrives.
#[derive(Clone, Copy, Debug)]
pub struct Authentic {
    /// The mobile node's key was used, and what it protects is unharmed.
    pub from_mobile_node: bool,
    /// The same for the agents' key.
    pub from_agent: bool,
}

impl Tail {
    /// Appends everything, then does the damage.
    pub fn append(&self, message: &mut Vec<u8>) -> Authentic {
        self.before.into_iter().flatten().for_each(|extra| extra.append(message));
        let by_mobile_node = self.mobile_home.append(message, kind::MOBILE_HOME_AUTHENTICATION, &mobile_home());
        self.after.into_iter().flatten().for_each(|extra| extra.append(message));
        let _ = self.mobile_foreign.append(message, kind::MOBILE_FOREIGN_AUTHENTICATION, &mobile_foreign());
        self.last.into_iter().for_each(|extra| extra.append(message));
        let by_agent = self.foreign_home.append(message, kind::FOREIGN_HOME_AUTHENTICATION, &foreign_home());
        self.damage.apply(message);
        let holds = |signed: Option<Vec<u8>>| signed.is_some_and(|signed| message.starts_with(&signed));
        Authentic { from_mobile_node: holds(by_mobile_node), from_agent: holds(by_agent) }
    }
}

/// A request.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Request {
    pub client: u8,
    pub flags: u8,
    pub lifetime: u16,
    pub home_agent: Place,
    pub care_of_address: Place,
    pub identification: Freshness,
    pub tail: Tail,
}

impl Request {
    /// The message, after one with Identification `last`.
    pub fn build(&self, now: Now, last: Identification) -> (RegistrationRequest, Vec<u8>, Authentic) {
        let home_address = home_address(self.client);
        let request = RegistrationRequest {
            flags: RequestFlags::from_bits(self.flags),
            lifetime: Lifetime(self.lifetime),
            home_address,
            home_agent: HomeAgentAddress(self.home_agent.address(home_address)),
            care_of_address: CareOfAddress(self.care_of_address.address(home_address)),
            identification: self.identification.identification(now, last),
        };
        let mut message = Vec::new();
        request.emit(&mut message);
        let authentic = self.tail.append(&mut message);
        (request, message, authentic)
    }
}

/// A reply to a request that was seen.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Reply {
    pub code: Code,
    pub lifetime: u16,
    /// Something else than the request's home address.
    pub other_home: Option<u8>,
    pub other_agent: Option<Place>,
    /// Whether the low half of the Identification is the request's, and what the high half is.
    pub matches: bool,
    pub high: Option<i8>,
    pub tail: Tail,
}

/// A reply's code: the usual ones more often.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Code {
    Accepted,
    AcceptedNoSimultaneous,
    Identification,
    Any(u8),
}

impl Reply {
    /// The message.
    pub fn build(&self, to: &RegistrationRequest) -> (RegistrationReply, Vec<u8>, Authentic) {
        let home_address = self.other_home.map_or(to.home_address, home_address);
        let low = if self.matches { to.identification.low() } else { !to.identification.low() };
        let high = to.identification.seconds().wrapping_add_signed(self.high.unwrap_or(0).into());
        let reply = RegistrationReply {
            code: match self.code {
                Code::Accepted => ReplyCode::ACCEPTED,
                Code::AcceptedNoSimultaneous => ReplyCode::ACCEPTED_NO_SIMULTANEOUS,
                Code::Identification => ReplyCode::HA_IDENTIFICATION,
                Code::Any(code) => ReplyCode(code),
            },
            lifetime: Lifetime(self.lifetime),
            home_address,
            home_agent: self.other_agent.map_or(to.home_agent, |place| HomeAgentAddress(place.address(home_address))),
            identification: Identification(u64::from(high) << 32 | u64::from(low)),
        };
        let mut message = Vec::new();
        reply.emit(&mut message);
        let authentic = self.tail.append(&mut message);
        (reply, message, authentic)
    }
}

/// A revocation or its acknowledgement.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Revoking {
    pub acknowledges: bool,
    pub client: u8,
    pub from_home_agent: bool,
    pub inform: bool,
    pub home_agent: Place,
    pub foreign_agent: Place,
    pub identifier: u32,
    pub tail: Tail,
}

impl Revoking {
    /// The message. Acknowledgements copy the identifier of the revocation that was sent, if there is one.
    pub fn build(&self, sent: Option<u32>) -> (Vec<u8>, Authentic) {
        let home_address = home_address(self.client);
        let mut message = Vec::new();
        if self.acknowledges {
            let identifier = sent.unwrap_or(self.identifier);
            RevocationAcknowledgement { inform: self.inform, home_address, identifier }.emit(&mut message);
        } else {
            Revocation {
                from_home_agent: self.from_home_agent,
                inform: self.inform,
                home_address,
                home_agent: HomeAgentAddress(self.home_agent.address(home_address)),
                foreign_agent: self.foreign_agent.address(home_address),
                identifier: self.identifier,
            }
            .emit(&mut message);
        }
        let authentic = self.tail.append(&mut message);
        (message, authentic)
    }
}
