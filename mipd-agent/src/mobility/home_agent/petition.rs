//! A Registration Request as it was received.

use std::net::Ipv4Addr;

use super::{config::Config, counters::Discard};
use crate::{
    mobility::link::Received,
    wire::{
        authentication,
        extension::{Extensions, ParseError},
        nai::Nai,
        registration::RegistrationRequest,
        types::{HomeAddress, Lifetime, Spi},
    },
};

/// A request, taken apart once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Petition<'a> {
    pub received: &'a Received<'a>,
    pub request: RegistrationRequest,
    /// The client: as the request says, or else as its name tells us; 0.0.0.0 if neither does.
    pub home_address: HomeAddress,
    /// All of them, or those before the place where the list is broken.
    pub extensions: Extensions<'a>,
    /// What is wrong with the list of extensions.
    pub broken: Option<ParseError>,
}

impl<'a> Petition<'a> {
    pub fn parse(config: &Config, received: &'a Received<'a>) -> Result<Self, Discard> {
        let source = received.source;
        if source.is_unspecified() || source.is_multicast() || source.is_broadcast() {
            return Err(Discard::ImpossibleSource);
        }
        let (parsed, broken) = match RegistrationRequest::parse(received.payload) {
            Err(error @ ParseError::MalformedExtension { offset, .. }) => {
                (RegistrationRequest::parse(&received.payload[..offset]), Some(error))
            }
            Err(error @ ParseError::UnknownNonSkippable(_)) => {
                // What precedes the list is enough to discard it.
                (RegistrationRequest::parse(&received.payload[..RegistrationRequest::LENGTH]), Some(error))
            }
            parsed => (parsed, None),
        };
        let (request, extensions) = parsed.map_err(|_| Discard::NotARequest)?;
        let mut home_address = request.home_address;
        if home_address.0.is_unspecified() && !config.identities.is_empty() {
            let named = Nai::find(&extensions).and_then(|nai| config.identities.get(&nai));
            home_address = named.copied().unwrap_or(home_address);
        }
        Ok(Self { received, request, home_address, extensions, broken })
    }

    /// Whether it asks for a binding, rather than for the end of one.
    pub fn registers(&self) -> bool {
        self.request.lifetime != Lifetime::DEREGISTER
    }

    /// Whether a deregistration is of all bindings.
    pub fn ends_all(&self) -> bool {
        self.request.care_of_address.0 == self.home_address.0
    }

    pub fn has(&self, kind: u8) -> bool {
        self.extensions.of_kind(kind).next().is_some()
    }

    /// The SPI of its first authentication extension of this type.
    pub fn spi(&self, kind: u8) -> Option<Spi> {
        let extension = self.extensions.of_kind(kind).next()?;
        authentication::spi(&extension)
    }

    /// The foreign agent that it came through, by the address that selects its association: the care-of address, which is
    /// also the IP source (RFC 5944 §3.8.2.1); for a deregistration, which may name any care-of address, the IP source.
    /// `None` for a request sent without a foreign agent.
    pub fn foreign_agent(&self) -> Option<Ipv4Addr> {
        if self.received.source == self.home_address.0 || self.request.flags.co_located {
            None
        } else if self.registers() {
            Some(self.request.care_of_address.0)
        } else {
            Some(self.received.source)
        }
    }
}
