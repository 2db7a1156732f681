//! Agent advertisement and agent solicitation: ICMP messages (RFC 5944 §2.1, §2.2; RFC 1256).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use thiserror::Error;

use super::{
    checksum,
    extension::{Extension, Extensions, ParseError, Space, kind},
    types::{CareOfAddress, Lifetime},
};

/// Extension type: mobility agent advertisement (RFC 5944 §2.1.1).
pub const MOBILITY_AGENT: u8 = 16;
/// Extension type: prefix lengths (RFC 5944 §2.1.2).
pub const PREFIX_LENGTHS: u8 = 19;
/// Extension type: challenge (RFC 4721 §2).
pub const CHALLENGE: u8 = 24;
/// The non-skippable extension types of advertisements that mipd reads (RFC 5944 §1.8).
pub(super) const UNDERSTOOD: [u8; 3] = [MOBILITY_AGENT, PREFIX_LENGTHS, CHALLENGE];

/// The group of all systems: where advertisements go (RFC 5944 §2.3).
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// The group of all routers: where solicitations go (RFC 1256 §3).
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// The group of all mobility agents (RFC 5944 §2.3).
pub const ALL_MOBILITY_AGENTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 11);
/// The TTL of both messages (RFC 5944 §2.1, §2.2).
pub const TTL: u8 = 1;

/// The code of an advertisement whose sender routes common traffic too.
pub const CODE_ROUTES_COMMON_TRAFFIC: u8 = 0;
/// The code of an advertisement whose sender serves registered nodes only.
pub const CODE_NO_COMMON_TRAFFIC: u8 = 16;

const ROUTER_ADVERTISEMENT: u8 = 9;
const ROUTER_SOLICITATION: u8 = 10;
const FIXED_LENGTH: usize = 8;

/// Why an ICMP message is no valid advertisement or solicitation. All of them: drop it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DiscoveryError {
    /// Shorter than its fixed part or than its address entries.
    #[error("ICMP message shorter than it claims to be; drop it")]
    Truncated,
    /// Another ICMP type.
    #[error("ICMP type {0} is not the expected one; drop it")]
    WrongType(u8),
    /// Neither 0 nor, in an advertisement, 16.
    #[error("ICMP code {0} is not defined for this message; drop it")]
    WrongCode(u8),
    /// Wrong ICMP checksum.
    #[error("wrong ICMP checksum; drop it")]
    Checksum,
    /// An address entry shorter than two words.
    #[error("router address entries of {0} words, at least 2 are needed; drop it")]
    EntrySize(u8),
    /// An extension that must not be skipped, or one that is malformed.
    #[error("invalid extension: {0}")]
    Extension(#[from] ParseError),
}

/// The flags of a mobility agent (RFC 5944 §2.1.1, RFC 3024 §3.1, RFC 3519 §3.4, RFC 3543 §3.1, RFC 4857 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AgentFlags {
    /// R: register through a foreign agent even with a co-located care-of address.
    pub registration_required: bool,
    /// B: no new registrations.
    pub busy: bool,
    /// H: home agent on this link.
    pub home_agent: bool,
    /// F: foreign agent on this link.
    pub foreign_agent: bool,
    /// M: accepts minimal encapsulation.
    pub minimal_encapsulation: bool,
    /// G: accepts GRE.
    pub gre: bool,
    /// T: reverse tunnelling.
    pub reverse_tunnel: bool,
    /// U: UDP tunnelling.
    pub udp_tunnelling: bool,
    /// X: registration revocation.
    pub revocation: bool,
    /// I: regional registration.
    pub regional: bool,
}

impl AgentFlags {
    const REGISTRATION_REQUIRED: u16 = 0x8000;
    const BUSY: u16 = 0x4000;
    const HOME_AGENT: u16 = 0x2000;
    const FOREIGN_AGENT: u16 = 0x1000;
    const MINIMAL_ENCAPSULATION: u16 = 0x0800;
    const GRE: u16 = 0x0400;
    const REVERSE_TUNNEL: u16 = 0x0100;
    const UDP_TUNNELLING: u16 = 0x0080;
    const REVOCATION: u16 = 0x0040;
    const REGIONAL: u16 = 0x0020;

    /// The 16-bit word on the wire; reserved bits are zero.
    pub fn to_bits(self) -> u16 {
        let bit = |set: bool, mask: u16| if set { mask } else { 0 };
        bit(self.registration_required, Self::REGISTRATION_REQUIRED)
            | bit(self.busy, Self::BUSY)
            | bit(self.home_agent, Self::HOME_AGENT)
            | bit(self.foreign_agent, Self::FOREIGN_AGENT)
            | bit(self.minimal_encapsulation, Self::MINIMAL_ENCAPSULATION)
            | bit(self.gre, Self::GRE)
            | bit(self.reverse_tunnel, Self::REVERSE_TUNNEL)
            | bit(self.udp_tunnelling, Self::UDP_TUNNELLING)
            | bit(self.revocation, Self::REVOCATION)
            | bit(self.regional, Self::REGIONAL)
    }

    /// Reads the word; reserved bits are ignored.
    pub fn from_bits(bits: u16) -> Self {
        Self {
            registration_required: bits & Self::REGISTRATION_REQUIRED != 0,
            busy: bits & Self::BUSY != 0,
            home_agent: bits & Self::HOME_AGENT != 0,
            foreign_agent: bits & Self::FOREIGN_AGENT != 0,
            minimal_encapsulation: bits & Self::MINIMAL_ENCAPSULATION != 0,
            gre: bits & Self::GRE != 0,
            reverse_tunnel: bits & Self::REVERSE_TUNNEL != 0,
            udp_tunnelling: bits & Self::UDP_TUNNELLING != 0,
            revocation: bits & Self::REVOCATION != 0,
            regional: bits & Self::REGIONAL != 0,
        }
    }
}

/// A router advertisement that carries a mobility agent advertisement extension.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentAdvertisement {
    /// [`CODE_ROUTES_COMMON_TRAFFIC`] or [`CODE_NO_COMMON_TRAFFIC`].
    pub code: u8,
    /// For how many seconds the advertisement is valid; 0: the agent stops.
    pub lifetime: u16,
    /// Router addresses with their preference as a default router; `i32::MIN` = never.
    pub routers: Vec<(Ipv4Addr, i32)>,
    /// Counts the advertisements since the agent's start; after 0xffff comes 256.
    pub sequence: u16,
    /// The longest registration lifetime the agent accepts.
    pub registration_lifetime: Lifetime,
    /// What the agent is and offers.
    pub flags: AgentFlags,
    /// Care-of addresses on offer, the preferred one first.
    pub care_of_addresses: Vec<CareOfAddress>,
    /// One prefix length per router address, or none at all.
    pub prefix_lengths: Vec<u8>,
    /// The newest challenge (RFC 4721), if the agent uses them.
    pub challenge: Option<Vec<u8>>,
}

impl AgentAdvertisement {
    /// The subnets that the agent says it has addresses in (prefix-lengths extension, RFC 5944 §2.1.2).
    pub fn prefixes(&self) -> Vec<Ipv4Net> {
        let routers = self.routers.iter().zip(&self.prefix_lengths);
        routers
            .filter_map(|(router, length)| Ipv4Net::new(router.0, *length).ok())
            .map(|prefix| prefix.trunc())
            .collect()
    }

    /// Reads an ICMP message. `None`: a valid router advertisement of a router that is no mobility agent.
    pub fn parse(icmp: &[u8]) -> Result<Option<Self>, DiscoveryError> {
        let fixed = check(icmp, ROUTER_ADVERTISEMENT)?;
        let code = fixed[1];
        if ![CODE_ROUTES_COMMON_TRAFFIC, CODE_NO_COMMON_TRAFFIC].contains(&code) {
            return Err(DiscoveryError::WrongCode(code));
        }
        let entry_length = match fixed[5] {
            words @ 0..2 => return Err(DiscoveryError::EntrySize(words)),
            words => usize::from(words) * 4,
        };
        let extensions_at = FIXED_LENGTH + usize::from(fixed[4]) * entry_length;
        let entries = icmp.get(FIXED_LENGTH..extensions_at).ok_or(DiscoveryError::Truncated)?;
        let routers: Vec<_> = entries
            .chunks_exact(entry_length)
            .map(|entry| (Ipv4Addr::from(word(entry, 0)), i32::from_be_bytes(word(entry, 4))))
            .collect();

        let extensions = Extensions::parse(icmp, extensions_at, Space::Discovery)?;
        let first = |kind: u8| extensions.of_kind(kind).next();
        let Some(agent) = first(MOBILITY_AGENT) else { return Ok(None) };
        let prefix_lengths = match first(PREFIX_LENGTHS) {
            Some(prefixes) if prefixes.data.len() != routers.len() => return Err(malformed(&prefixes).into()),
            Some(prefixes) => prefixes.data.to_vec(),
            None => Vec::new(),
        };
        let half = |at: usize| u16::from_be_bytes([agent.data[at], agent.data[at + 1]]);
        Ok(Some(Self {
            code,
            lifetime: u16::from_be_bytes([fixed[6], fixed[7]]),
            routers,
            sequence: half(0),
            registration_lifetime: Lifetime(half(2)),
            flags: AgentFlags::from_bits(half(4)),
            care_of_addresses: agent.data[6..].chunks_exact(4).map(|at| CareOfAddress(word(at, 0).into())).collect(),
            prefix_lengths,
            challenge: first(CHALLENGE).map(|challenge| challenge.data.to_vec()),
        }))
    }

    /// The ICMP message, checksum included. At most 255 routers and prefix lengths, 62 care-of addresses and 255 bytes
    /// of challenge fit into their length fields; what exceeds them is left out.
    pub fn emit(&self) -> Vec<u8> {
        let routers = &self.routers[..self.routers.len().min(255)];
        let care_of_addresses = &self.care_of_addresses[..self.care_of_addresses.len().min(62)];
        let mut icmp = vec![ROUTER_ADVERTISEMENT, self.code, 0, 0, routers.len() as u8, 2];
        icmp.extend(self.lifetime.to_be_bytes());
        for (router, preference) in routers {
            icmp.extend(router.octets());
            icmp.extend(preference.to_be_bytes());
        }
        icmp.extend([MOBILITY_AGENT, 6 + 4 * care_of_addresses.len() as u8]);
        icmp.extend(self.sequence.to_be_bytes());
        icmp.extend(self.registration_lifetime.0.to_be_bytes());
        icmp.extend(self.flags.to_bits().to_be_bytes());
        for care_of_address in care_of_addresses {
            icmp.extend(care_of_address.0.octets());
        }
        for (kind, data) in
            [(PREFIX_LENGTHS, &self.prefix_lengths[..]), (CHALLENGE, self.challenge.as_deref().unwrap_or_default())]
        {
            let data = &data[..data.len().min(255)];
            if !data.is_empty() {
                icmp.extend([kind, data.len() as u8]);
                icmp.extend(data);
            }
        }
        if icmp.len() % 2 == 1 {
            icmp.push(kind::PADDING);
        }
        seal(icmp)
    }
}

/// A request to every agent on the link to advertise itself now (RFC 5944 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentSolicitation;

impl AgentSolicitation {
    /// Reads an ICMP message; whatever follows its eight bytes is ignored.
    pub fn parse(icmp: &[u8]) -> Result<Self, DiscoveryError> {
        match check(icmp, ROUTER_SOLICITATION)?[1] {
            0 => Ok(Self),
            code => Err(DiscoveryError::WrongCode(code)),
        }
    }

    /// The ICMP message, checksum included.
    pub fn emit(&self) -> Vec<u8> {
        seal(vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
    }
}

fn check(icmp: &[u8], expected: u8) -> Result<&[u8; FIXED_LENGTH], DiscoveryError> {
    let fixed = icmp.first_chunk().ok_or(DiscoveryError::Truncated)?;
    if fixed[0] != expected {
        return Err(DiscoveryError::WrongType(fixed[0]));
    }
    if checksum::internet(&[icmp]) == 0 { Ok(fixed) } else { Err(DiscoveryError::Checksum) }
}

fn seal(mut icmp: Vec<u8>) -> Vec<u8> {
    let checksum = checksum::internet(&[&icmp]);
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
    icmp
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

fn malformed(extension: &Extension<'_>) -> ParseError {
    ParseError::MalformedExtension { kind: extension.kind, offset: extension.offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REFERENCE: [u8; 32] = [
        0x09, 0x10, 0x05, 0x0d, 0x01, 0x02, 0x00, 0x09, 0x0a, 0x14, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0a,
        0x00, 0x00, 0x8c, 0xa0, 0x15, 0x00, 0x0a, 0x14, 0x00, 0x02, 0x13, 0x01, 0x18, 0x00,
    ];

    fn reference() -> AgentAdvertisement {
        AgentAdvertisement {
            code: CODE_NO_COMMON_TRAFFIC,
            lifetime: 9,
            routers: vec![(Ipv4Addr::new(10, 20, 0, 2), 0)],
            sequence: 0,
            registration_lifetime: Lifetime(36000),
            flags: AgentFlags { foreign_agent: true, gre: true, reverse_tunnel: true, ..AgentFlags::default() },
            care_of_addresses: vec![CareOfAddress(Ipv4Addr::new(10, 20, 0, 2))],
            prefix_lengths: vec![24],
            challenge: None,
        }
    }

    /// Replaces bytes and makes the checksum right again.
    fn altered(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut icmp = REFERENCE.to_vec();
        alter(&mut icmp);
        icmp[2..4].fill(0);
        seal(icmp)
    }

    #[test]
    fn the_reference_advertisement_parses_and_is_emitted_byte_for_byte() {
        assert_eq!(AgentAdvertisement::parse(&REFERENCE).unwrap(), Some(reference()));
        assert_eq!(reference().emit(), REFERENCE);
    }

    #[test]
    fn each_flag_has_the_bit_of_its_rfc() {
        let none = AgentFlags::default();
        for (flags, bits) in [
            (AgentFlags { registration_required: true, ..none }, 0x8000),
            (AgentFlags { busy: true, ..none }, 0x4000),
            (AgentFlags { home_agent: true, ..none }, 0x2000),
            (AgentFlags { foreign_agent: true, ..none }, 0x1000),
            (AgentFlags { minimal_encapsulation: true, ..none }, 0x0800),
            (AgentFlags { gre: true, ..none }, 0x0400),
            (AgentFlags { reverse_tunnel: true, ..none }, 0x0100),
            (AgentFlags { udp_tunnelling: true, ..none }, 0x0080),
            (AgentFlags { revocation: true, ..none }, 0x0040),
            (AgentFlags { regional: true, ..none }, 0x0020),
        ] {
            assert_eq!(flags.to_bits(), bits);
            assert_eq!(AgentFlags::from_bits(bits), flags);
        }
        assert_eq!(AgentFlags::from_bits(0x021f), none, "reserved bits are ignored");
    }

    #[test]
    fn a_router_without_the_mobility_extension_is_no_agent() {
        let plain = altered(|icmp| icmp.truncate(16));
        assert_eq!(AgentAdvertisement::parse(&plain), Ok(None));
        let only_prefixes = altered(|icmp| drop(icmp.drain(16..28)));
        assert_eq!(AgentAdvertisement::parse(&only_prefixes), Ok(None));
    }

    #[test]
    fn words_past_the_second_of_an_entry_are_skipped() {
        let wide = altered(|icmp| {
            icmp[5] = 3;
            icmp.splice(16..16, [1, 2, 3, 4]);
        });
        assert_eq!(AgentAdvertisement::parse(&wide), Ok(Some(reference())));
    }

    #[test]
    fn an_extension_that_must_not_be_skipped_refuses_the_advertisement() {
        let unknown = altered(|icmp| icmp.splice(31.., [20, 0]).for_each(drop));
        assert_eq!(
            AgentAdvertisement::parse(&unknown),
            Err(DiscoveryError::Extension(ParseError::UnknownNonSkippable(20)))
        );
        let skippable = altered(|icmp| icmp.splice(31.., [200, 1, 7]).for_each(drop));
        assert_eq!(AgentAdvertisement::parse(&skippable), Ok(Some(reference())));
    }

    #[test]
    fn prefix_lengths_must_match_the_routers() {
        let two = altered(|icmp| icmp.splice(28.., [19, 2, 24, 24]).for_each(drop));
        let malformed = DiscoveryError::Extension(ParseError::MalformedExtension { kind: 19, offset: 28 });
        assert_eq!(AgentAdvertisement::parse(&two), Err(malformed));
        let impossible = altered(|icmp| icmp[30] = 33);
        assert_eq!(AgentAdvertisement::parse(&impossible), Err(malformed));
    }

    #[test]
    fn damaged_advertisements_are_refused_with_the_reason() {
        let mut flipped = REFERENCE;
        flipped[9] ^= 1;
        assert_eq!(AgentAdvertisement::parse(&flipped), Err(DiscoveryError::Checksum));
        assert_eq!(AgentAdvertisement::parse(&REFERENCE[..7]), Err(DiscoveryError::Truncated));
        assert_eq!(AgentAdvertisement::parse(&altered(|icmp| icmp[1] = 1)), Err(DiscoveryError::WrongCode(1)));
        assert_eq!(AgentAdvertisement::parse(&altered(|icmp| icmp[5] = 1)), Err(DiscoveryError::EntrySize(1)));
        assert_eq!(AgentAdvertisement::parse(&altered(|icmp| icmp[4] = 9)), Err(DiscoveryError::Truncated));
        assert_eq!(AgentAdvertisement::parse(&AgentSolicitation.emit()), Err(DiscoveryError::WrongType(10)));
    }

    #[test]
    fn the_solicitation_is_the_one_of_rfc_1256() {
        let icmp = AgentSolicitation.emit();
        assert_eq!(icmp, [0x0a, 0x00, 0xf5, 0xff, 0, 0, 0, 0]);
        assert_eq!(AgentSolicitation::parse(&icmp), Ok(AgentSolicitation));
        assert_eq!(AgentSolicitation::parse(&icmp[..7]), Err(DiscoveryError::Truncated));
        assert_eq!(AgentSolicitation::parse(&REFERENCE), Err(DiscoveryError::WrongType(9)));
    }

    proptest! {
        #[test]
        fn advertisements_round_trip(
            routes in any::<bool>(), lifetime: u16, sequence: u16, registration: u16, bits: u16,
            routers in prop::collection::vec((any::<u32>(), any::<i32>(), 0u8..=32), 0..5),
            care_of in prop::collection::vec(any::<u32>(), 0..62),
            with_prefixes: bool,
            challenge in prop::option::of(prop::collection::vec(any::<u8>(), 4..40)),
        ) {
            let advertisement = AgentAdvertisement {
                code: if routes { 0 } else { 16 },
                lifetime,
                routers: routers.iter().map(|&(address, preference, _)| (address.into(), preference)).collect(),
                sequence,
                registration_lifetime: Lifetime(registration),
                flags: AgentFlags::from_bits(bits),
                care_of_addresses: care_of.into_iter().map(|address| CareOfAddress(address.into())).collect(),
                prefix_lengths: if with_prefixes { routers.iter().map(|router| router.2).collect() } else { vec![] },
                challenge,
            };
            let icmp = advertisement.emit();
            prop_assert_eq!(icmp.len() % 2, 0);
            prop_assert_eq!(AgentAdvertisement::parse(&icmp).unwrap(), Some(advertisement));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 4..120), entries in 0u8..4) {
            let _ = AgentSolicitation::parse(&bytes);
            bytes[0] = ROUTER_ADVERTISEMENT;
            bytes[1] = 0;
            if bytes.len() > 5 {
                bytes[4] = entries;
                bytes[5] = 2;
            }
            bytes[2..4].fill(0);
            let sealed = seal(bytes);
            prop_assert_ne!(AgentAdvertisement::parse(&sealed), Err(DiscoveryError::Checksum));
        }
    }
}
