//! The ordered checks of a Registration Request (RFC 5944 §3.7.2, RFC 3024 §3.3, §4.2, RFC 4433 §3, RFC 2794 §4).

use std::net::Ipv4Addr;

use super::{
    config::Config,
    counters::Discard,
    pending::is_host,
    signature::{Signer, spi_of, verify_client},
};
use crate::{
    mobility::{
        link::Received,
        reverse_tunnel,
        security::ViolationReason,
        tunnel::{Delivery, Encapsulation},
    },
    wire::{
        authentication::MOBILE_AAA,
        challenge,
        dynamic_home_agent::DynamicHomeAgent,
        extension::{Extension, Extensions, ParseError, kind},
        nai::Nai,
        registration::{RegistrationRequest, RequestFlags},
        types::{Lifetime, ReplyCode, Spi},
    },
};

/// What happens to a request that is not relayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Discard(Discard),
    Deny(ReplyCode),
    /// The client failed our own authentication: denied, and logged.
    Violation(ReplyCode, ViolationReason, Option<Spi>),
}

impl From<ReplyCode> for Refused {
    fn from(code: ReplyCode) -> Self {
        Self::Deny(code)
    }
}

/// A well-formed request whose sender is who it must be, as far as we can tell.
#[derive(Clone, Debug)]
pub(super) struct Identified<'a> {
    pub request: RegistrationRequest,
    pub extensions: Extensions<'a>,
    /// How much of the message is for the home agent: everything through the last extension that it authorizes by.
    pub end: usize,
    pub signer: Option<Signer>,
    pub nai: Option<Nai>,
}

/// Form and authentication.
pub(super) fn identify<'a>(
    config: &Config,
    received: &Received<'a>,
    parsed: Result<(RegistrationRequest, Extensions<'a>), ParseError>,
) -> Result<Identified<'a>, Refused> {
    let (request, extensions) = match parsed {
        Ok(parsed) => parsed,
        Err(ParseError::UnknownNonSkippable(_)) => return Err(Refused::Discard(Discard::UnknownExtension)),
        Err(_) => return Err(ReplyCode::FA_MALFORMED_REQUEST.into()),
    };
    let end = authorization_end(&extensions);
    if end.is_none() || (config.strict_flags && RequestFlags::has_reserved(received.payload[1])) {
        return Err(ReplyCode::FA_MALFORMED_REQUEST.into());
    }
    if !request.flags.co_located && extensions.of_kind(kind::REVOCATION_SUPPORT).next().is_some() {
        return Err(Refused::Discard(Discard::RevocationFromMobileNode));
    }
    let signer = verify_client(config, &extensions, request.home_address, end).map_err(|reason| {
        let spi = spi_of(&extensions, kind::MOBILE_FOREIGN_AUTHENTICATION);
        Refused::Violation(ReplyCode::FA_MOBILE_AUTHENTICATION, reason, spi)
    })?;
    let nai = Nai::find(&extensions);
    Ok(Identified { request, extensions, end: end.unwrap_or(RegistrationRequest::LENGTH), signer, nai })
}

impl Identified<'_> {
    /// Whether we would be the end of the tunnel: a registration with a care-of address of ours.
    pub fn through_us(&self) -> bool {
        self.request.lifetime != Lifetime::DEREGISTER && !self.request.flags.co_located
    }

    /// Everything that needs no memory and comes before what does. `Ok` is where to relay the request.
    pub fn check_addresses(&self, config: &Config, ttl: u8) -> Result<Ipv4Addr, ReplyCode> {
        let request = &self.request;
        if request.flags.reverse_tunnel && ttl != u8::MAX {
            return Err(ReplyCode::FA_TOO_DISTANT);
        }
        let home_agent = self.home_agent(config)?;
        let home_address = request.home_address.0;
        if home_address.is_unspecified() {
            if self.nai.is_none() {
                return Err(ReplyCode::FA_HOME_ADDRESS_REQUIRED);
            }
        } else if !is_host(home_address) || home_address == home_agent {
            return Err(ReplyCode::FA_MALFORMED_REQUEST);
        } else if config.own_addresses.contains(&home_address) {
            return Err(ReplyCode::FA_PROHIBITED);
        }
        if self.through_us() && !config.offers(request.care_of_address) {
            return Err(ReplyCode::FA_CARE_OF_ADDRESS);
        }
        if request.lifetime > config.maximum_lifetime {
            return Err(ReplyCode::FA_LIFETIME);
        }
        Ok(home_agent)
    }

    /// Where the request goes: a host elsewhere, since a request is never broadcast (RFC 4433 §3) nor tunnelled to us.
    fn home_agent(&self, config: &Config) -> Result<Ipv4Addr, ReplyCode> {
        let named = self.request.home_agent.0;
        let host = |address: Ipv4Addr| {
            if config.is_own_but_no_home_agent(address) || !is_host(address) {
                Err(ReplyCode::FA_INVALID_HOME_AGENT)
            } else {
                Ok(address)
            }
        };
        if !named.is_unspecified() && !named.is_broadcast() {
            return host(named);
        }
        let requested = DynamicHomeAgent::find(&self.extensions).map(|extension| extension.address);
        match requested.filter(|address| !address.is_unspecified() && !address.is_broadcast()) {
            Some(address) => host(address),
            None => Err(ReplyCode::FA_HOME_AGENT_REQUIRED),
        }
    }

    /// What the request asks of our end of the tunnel. `Ok` is the delivery style.
    pub fn check_tunnel(&self, config: &Config) -> Result<Delivery, ReplyCode> {
        if self.extensions.since(self.end).of_kind(kind::CRITICAL_VENDOR).next().is_some() {
            return Err(ReplyCode::FA_VENDOR_FROM_MOBILE);
        }
        let flags = self.request.flags;
        if self.through_us() && wanted(flags).is_none_or(|wanted| !config.encapsulations.contains(wanted)) {
            return Err(ReplyCode::FA_ENCAPSULATION);
        }
        let delivery = self.delivery(config)?;
        if !self.through_us() {
            return Ok(delivery);
        }
        if !flags.reverse_tunnel && config.udp_tunnel.is_some_and(|udp| udp.everything_translated) {
            return Err(ReplyCode::FA_REVERSE_TUNNEL_MANDATORY);
        }
        match config.reverse_tunnel.refuses(flags.reverse_tunnel) {
            Some(reverse_tunnel::Refusal::Mandatory) => Err(ReplyCode::FA_REVERSE_TUNNEL_MANDATORY),
            Some(reverse_tunnel::Refusal::Unavailable) => Err(ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE),
            None => Ok(delivery),
        }
    }

    /// The challenge that the request answers to, if it is protected by what must follow it (RFC 4721 §3.2).
    pub fn challenge(&self) -> Result<&[u8], Refused> {
        let challenge = challenge::find(&self.extensions).ok_or(ReplyCode::FA_MISSING_CHALLENGE)?;
        let signed = self.signer.is_some_and(|signer| signer.offset > challenge.offset);
        let authorized = self
            .extensions
            .since(challenge.end())
            .of_kind(kind::GENERALIZED_AUTHENTICATION)
            .any(|extension| extension.long_subtype() == MOBILE_AAA);
        let protected = signed || authorized;
        if protected { Ok(challenge.data) } else { Err(Refused::Discard(Discard::UnprotectedChallenge)) }
    }

    /// RFC 3024 §3.3: extension 130 comes behind the Mobile-Home authentication and before ours, and only with T.
    fn delivery(&self, config: &Config) -> Result<Delivery, ReplyCode> {
        let Some(extension) = self.extensions.of_kind(kind::ENCAPSULATING_DELIVERY).next() else {
            return Ok(Delivery::Direct);
        };
        let misplaced =
            extension.offset < self.end || self.signer.is_some_and(|signer| extension.offset > signer.offset);
        if misplaced || !self.request.flags.reverse_tunnel {
            return Err(ReplyCode::FA_MALFORMED_REQUEST);
        }
        if config.encapsulating_delivery { Ok(Delivery::Encapsulating) } else { Err(ReplyCode::FA_DELIVERY_STYLE) }
    }
}

/// The encapsulation that the flags ask for. `None` for both at once: nothing says which one the home agent would take.
pub(super) fn wanted(flags: RequestFlags) -> Option<Encapsulation> {
    match (flags.minimal_encapsulation, flags.gre) {
        (false, false) => Some(Encapsulation::IpInIp),
        (false, true) => Some(Encapsulation::Gre),
        (true, false) => Some(Encapsulation::Minimal),
        (true, true) => None,
    }
}

/// The end of the last authorization-enabling extension (RFC 5944 §3.7.2.2, RFC 4721 §5.1).
pub(super) fn authorization_end(extensions: &Extensions<'_>) -> Option<usize> {
    let authorizes = |extension: &Extension<'_>| match extension.kind {
        kind::MOBILE_HOME_AUTHENTICATION => true,
        kind::GENERALIZED_AUTHENTICATION => extension.long_subtype() == MOBILE_AAA,
        _ => false,
    };
    extensions.iter().filter(authorizes).last().map(|extension| extension.end())
}
