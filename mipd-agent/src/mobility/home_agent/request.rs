//! The home agent's checks of a Registration Request, in their order (RFC 5944 §3.8.2.1, RFC 3024 §3.4).

use std::net::Ipv4Addr;

use super::{
    config::Config,
    counters::Discard,
    negotiation::{self, Terms},
    node::Nodes,
};
use crate::{
    mobility::{
        link::Received,
        security::{ReplayWindow, SecurityAssociation, Verification, ViolationReason, verify},
        time::Now,
    },
    wire::{
        authentication::{self, Algorithm},
        extension::{Extensions, ParseError, kind},
        registration::RegistrationRequest,
        types::{CareOfAddress, HomeAddress, Lifetime, ReplyCode, Spi},
    },
};

/// A request as it was received, taken apart once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Petition<'a> {
    pub received: &'a Received<'a>,
    pub request: RegistrationRequest,
    /// Empty if the list is broken.
    pub extensions: Extensions<'a>,
    /// What is wrong with the list of extensions.
    pub broken: Option<ParseError>,
}

impl<'a> Petition<'a> {
    pub fn parse(received: &'a Received<'a>) -> Result<Self, Discard> {
        let (parsed, broken) = match RegistrationRequest::parse(received.payload) {
            Err(error @ (ParseError::MalformedExtension { .. } | ParseError::UnknownNonSkippable(_))) => {
                // What precedes the list is enough to refuse it.
                let fixed = received.payload.get(..RegistrationRequest::LENGTH).unwrap_or_default();
                (RegistrationRequest::parse(fixed), Some(error))
            }
            parsed => (parsed, None),
        };
        let (request, extensions) = parsed.map_err(|_| Discard::NotARequest)?;
        Ok(Self { received, request, extensions, broken })
    }

    /// Whether it asks for a binding, rather than for the end of one.
    pub fn registers(&self) -> bool {
        self.request.lifetime != Lifetime::DEREGISTER
    }

    pub fn has(&self, kind: u8) -> bool {
        self.extensions.of_kind(kind).next().is_some()
    }

    /// The SPI of its mobile-home authentication.
    pub fn spi(&self) -> Option<Spi> {
        let extension = self.extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).next()?;
        authentication::spi(&extension)
    }

    /// The foreign agent that it came through, by the address that selects its association: the care-of address, which is
    /// also the IP source (RFC 5944 §3.8.2.1); for a deregistration, which may name any care-of address, the IP source.
    /// `None` for a request sent without a foreign agent.
    pub fn foreign_agent(&self) -> Option<Ipv4Addr> {
        if self.received.source == self.request.home_address.0 || self.request.flags.co_located {
            None
        } else if self.registers() {
            Some(self.request.care_of_address.0)
        } else {
            Some(self.received.source)
        }
    }
}

/// What an authentication extension is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub association: &'a SecurityAssociation,
    /// Its own, or with [`SecurityAssociation::accept_any_algorithm`] the one that the peer uses.
    pub algorithm: Algorithm,
}

impl<'a> From<&'a SecurityAssociation> for Signer<'a> {
    fn from(association: &'a SecurityAssociation) -> Self {
        Self { association, algorithm: association.algorithm }
    }
}

impl Signer<'_> {
    pub fn sign(&self, message: &mut Vec<u8>, kind: u8) {
        self.association.sign_with(self.algorithm, message, kind);
    }
}

/// What the reply is signed with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signers<'a> {
    /// The Mobile-Home authentication.
    pub mobile: Signer<'a>,
    /// The Foreign-Home authentication.
    pub foreign: Option<Signer<'a>>,
}

/// The outcome for a request that is not accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// What happens to it.
    pub verdict: Verdict<'a>,
    /// What to log if it was a security violation.
    pub violation: Option<ViolationReason>,
}

/// Silence or a denial.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'a> {
    /// No answer.
    Discard(Discard),
    /// A reply with this code.
    Deny(ReplyCode, Signers<'a>),
}

/// The outcome for a request that is accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted<'a> {
    pub signers: Signers<'a>,
    pub terms: Terms,
}

/// A request under examination. What it results in borrows from the configuration (`'k`) alone.
pub(super) struct Examination<'k, 'p> {
    pub config: &'k Config,
    pub nodes: &'p Nodes,
    pub now: Now,
    pub petition: &'p Petition<'p>,
}

impl<'k> Examination<'k, '_> {
    /// All checks.
    pub fn run(&self) -> Result<Granted<'k>, Refused<'k>> {
        let Some(primary) = self.config.mobile_home.primary(self.petition.request.home_address) else {
            return Err(Refused {
                verdict: Verdict::Discard(Discard::NoAssociation),
                violation: Some(ViolationReason::NoAssociation),
            });
        };
        let mut signers = Signers { mobile: primary.into(), foreign: self.foreign_signer() };
        match self.petition.broken {
            None => {}
            Some(ParseError::UnknownNonSkippable(_)) => {
                return Err(Refused { verdict: Verdict::Discard(Discard::UnknownExtension), violation: None });
            }
            Some(_) => return Err(deny(ReplyCode::HA_MALFORMED, signers)),
        }
        let signed = self.check_mobile_authentication(&mut signers)?;
        self.check_identification(signers)?;
        self.check_foreign_authentication(&mut signers, signed)?;
        self.judge(signed).map(|terms| Granted { signers, terms }).map_err(|code| deny(code, signers))
    }

    /// Every reply to a foreign agent with an association is signed for it; to a deregistration only if that was.
    fn foreign_signer(&self) -> Option<Signer<'k>> {
        if !self.petition.registers() && !self.petition.has(kind::FOREIGN_HOME_AUTHENTICATION) {
            return None;
        }
        self.petition.foreign_agent().and_then(|peer| self.config.foreign_home.primary(peer)).map(Signer::from)
    }

    /// The end of the extension that authenticates the request.
    fn check_mobile_authentication(&self, signers: &mut Signers<'k>) -> Result<usize, Refused<'k>> {
        let home_address = self.petition.request.home_address;
        let violation = match verify(&self.petition.extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
            self.config.mobile_home.lookup(home_address, spi)
        }) {
            Verification::Valid { association, algorithm, end, .. } => {
                signers.mobile = Signer { association, algorithm };
                return Ok(end);
            }
            Verification::Absent => {
                return Err(Refused {
                    verdict: Verdict::Discard(Discard::MissingAuthentication),
                    violation: Some(ViolationReason::MissingExtension),
                });
            }
            Verification::Wrong(association) => {
                signers.mobile = association.into();
                ViolationReason::BadAuthenticator
            }
            Verification::Repeated => ViolationReason::BadAuthenticator,
            Verification::UnknownSpi => ViolationReason::BadSpi,
        };
        Err(Refused {
            verdict: Verdict::Deny(ReplyCode::HA_MOBILE_AUTHENTICATION, *signers),
            violation: Some(violation),
        })
    }

    fn check_identification(&self, signers: Signers<'k>) -> Result<(), Refused<'k>> {
        let window = ReplayWindow { window: self.config.replay_window };
        let request = &self.petition.request;
        let last = self.nodes.last(request.home_address);
        window.check(self.now.wall, request.identification, last).map_err(|_| Refused {
            verdict: Verdict::Deny(ReplyCode::HA_IDENTIFICATION, signers),
            violation: Some(ViolationReason::BadIdentification),
        })
    }

    /// RFC 5944 §3.8.2.1: an association with the foreign agent makes type 34 mandatory, except on deregistrations;
    /// without one, type 34 must not be there.
    fn check_foreign_authentication(&self, signers: &mut Signers<'k>, signed: usize) -> Result<(), Refused<'k>> {
        let peer = self.petition.foreign_agent();
        let shared = peer.is_some_and(|peer| self.config.foreign_home.covers(peer));
        let verification = verify(&self.petition.extensions, kind::FOREIGN_HOME_AUTHENTICATION, |spi| {
            peer.and_then(|peer| self.config.foreign_home.lookup(peer, spi))
        });
        let violation = match verification {
            Verification::Valid { association, algorithm, offset, .. } if offset >= signed => {
                signers.foreign = Some(Signer { association, algorithm });
                return Ok(());
            }
            Verification::Absent if !shared || !self.petition.registers() => return Ok(()),
            Verification::Absent => ViolationReason::MissingExtension,
            _ if !shared => {
                return Err(Refused {
                    verdict: Verdict::Discard(Discard::StrangeForeignAgent),
                    violation: Some(ViolationReason::NoAssociation),
                });
            }
            Verification::UnknownSpi => ViolationReason::BadSpi,
            _ => ViolationReason::BadAuthenticator,
        };
        Err(Refused {
            verdict: Verdict::Deny(ReplyCode::HA_FOREIGN_AUTHENTICATION, *signers),
            violation: Some(violation),
        })
    }

    /// What an authentic request is answered: what was agreed on, or the code of the first rule that it breaks. What only
    /// matters to forwarding is not asked of a deregistration.
    fn judge(&self, signed: usize) -> Result<Terms, ReplyCode> {
        let Petition { received, request, extensions, .. } = self.petition;
        if self.config.is_group(received.destination) || !self.config.is_own(request.home_agent) {
            return Err(ReplyCode::HA_UNKNOWN_AGENT);
        }
        if self.petition.registers() && !is_tunnel_end(request.care_of_address, request.home_address) {
            return Err(ReplyCode::HA_MALFORMED);
        }
        if !self.config.serves(request.home_address) {
            return Err(ReplyCode::HA_PROHIBITED);
        }
        if let Some(code) = vendor_refusal(extensions, signed) {
            return Err(code);
        }
        if self.petition.has(kind::PROXY_NON_SKIPPABLE) {
            return Err(ReplyCode::HA_PROXY_UNSUPPORTED);
        }
        self.check_room()?;
        if self.petition.registers() {
            negotiation::negotiate(self.config, self.petition)
        } else {
            Ok(Terms::default())
        }
    }

    /// Nodes without a binding, of which Identifications are remembered, have a limit of their own.
    fn check_room(&self) -> Result<(), ReplyCode> {
        let request = &self.petition.request;
        let maximum = self.config.maximum_bindings;
        let node = self.nodes.get(request.home_address);
        if node.is_none() && self.nodes.len() >= maximum.saturating_mul(2) {
            return Err(ReplyCode::HA_RESOURCES);
        }
        if !self.petition.registers() {
            return Ok(());
        }
        let bindings = node.map_or(0, |node| node.bindings().len());
        let renews = node.is_some_and(|node| node.binding_at(request.care_of_address).is_some());
        let adds = !renews && (bindings == 0 || self.config.keeps_others(request.flags));
        if adds && bindings >= self.config.simultaneous_bindings {
            return Err(ReplyCode::HA_TOO_MANY_BINDINGS);
        }
        if adds && self.nodes.binding_count() >= maximum {
            return Err(ReplyCode::HA_RESOURCES);
        }
        Ok(())
    }
}

/// We know no vendor's critical extension; a denial says whose it was (RFC 3115 §2.1).
fn vendor_refusal(extensions: &Extensions<'_>, signed: usize) -> Option<ReplyCode> {
    let extension = extensions.of_kind(kind::CRITICAL_VENDOR).next()?;
    Some(if extension.offset < signed { ReplyCode::HA_VENDOR_FROM_MOBILE } else { ReplyCode::HA_VENDOR_FROM_FOREIGN })
}

/// Whether packets can be tunnelled there without coming straight back.
fn is_tunnel_end(care_of_address: CareOfAddress, home_address: HomeAddress) -> bool {
    let address = care_of_address.0;
    address != home_address.0
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
}

fn deny(code: ReplyCode, signers: Signers<'_>) -> Refused<'_> {
    Refused { verdict: Verdict::Deny(code, signers), violation: None }
}
