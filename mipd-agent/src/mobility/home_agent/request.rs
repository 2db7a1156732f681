//! The home agent's checks of a Registration Request, in their order (RFC 5944 §3.8.2.1, RFC 3024 §3.4).

use std::net::Ipv4Addr;

use super::{config::Config, counters::Discard};
use crate::{
    mobility::{
        link::Received,
        reverse_tunnel,
        security::{
            MobileHomeAssociations, PeerAssociations, ReplayWindow, SecurityAssociation, Verification, ViolationReason,
            verify,
        },
        time::Now,
    },
    wire::{
        extension::{Extensions, ParseError, kind},
        registration::RegistrationRequest,
        types::{CareOfAddress, Identification, Lifetime, ReplyCode},
    },
};

/// What is already known of the node that sent the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The last Identification accepted from it.
    pub last: Option<Identification>,
    /// Whether there is room for what it asks.
    pub room: bool,
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
    /// A reply with this code, authenticated with this association.
    Deny(ReplyCode, &'a SecurityAssociation),
}

/// The associations that all answers to one request are made with.
pub(super) struct Associations<'a> {
    pub mobile_home: &'a MobileHomeAssociations,
    pub foreign_home: &'a PeerAssociations,
}

/// A request under examination.
pub(super) struct Examination<'a> {
    pub config: &'a Config,
    pub associations: Associations<'a>,
    pub now: Now,
    pub received: &'a Received<'a>,
    pub request: RegistrationRequest,
    pub known: Known,
}

impl<'a> Examination<'a> {
    /// All checks; `Ok` is the association that authenticated the request.
    pub fn run(&self) -> Result<&'a SecurityAssociation, Refused<'a>> {
        let Some(primary) = self.associations.mobile_home.primary(self.request.home_address) else {
            return Err(Refused {
                verdict: Verdict::Discard(Discard::NoAssociation),
                violation: Some(ViolationReason::NoAssociation),
            });
        };
        let extensions = match RegistrationRequest::parse(self.received.payload) {
            Ok((_, extensions)) => extensions,
            Err(ParseError::UnknownNonSkippable(_)) => return Err(discard(Discard::UnknownExtension)),
            Err(_) => return Err(deny(ReplyCode::HA_MALFORMED, primary)),
        };
        let (association, signed) = self.check_mobile_authentication(&extensions, primary)?;
        self.check_identification(association)?;
        self.check_foreign_authentication(&extensions, association, signed)?;
        let code = self.refusal().or_else(|| vendor_refusal(&extensions, signed));
        code.map_or(Ok(association), |code| Err(deny(code, association)))
    }

    /// The association and the end of the extension that it authenticated.
    fn check_mobile_authentication(
        &self,
        extensions: &Extensions<'_>,
        primary: &'a SecurityAssociation,
    ) -> Result<(&'a SecurityAssociation, usize), Refused<'a>> {
        let home_address = self.request.home_address;
        let (signer, violation) = match verify(extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
            self.associations.mobile_home.lookup(home_address, spi)
        }) {
            Verification::Valid { association, end, .. } => return Ok((association, end)),
            Verification::Absent => {
                return Err(Refused {
                    verdict: Verdict::Discard(Discard::MissingAuthentication),
                    violation: Some(ViolationReason::MissingExtension),
                });
            }
            Verification::Wrong(association) => (association, ViolationReason::BadAuthenticator),
            Verification::Repeated => (primary, ViolationReason::BadAuthenticator),
            Verification::UnknownSpi => (primary, ViolationReason::BadSpi),
        };
        Err(Refused { verdict: Verdict::Deny(ReplyCode::HA_MOBILE_AUTHENTICATION, signer), violation: Some(violation) })
    }

    fn check_identification(&self, association: &'a SecurityAssociation) -> Result<(), Refused<'a>> {
        let window = ReplayWindow { window: self.config.replay_window };
        window.check(self.now.wall, self.request.identification, self.known.last).map_err(|_| Refused {
            verdict: Verdict::Deny(ReplyCode::HA_IDENTIFICATION, association),
            violation: Some(ViolationReason::BadIdentification),
        })
    }

    /// RFC 5944 §3.8.2.1: an association with the foreign agent makes type 34 mandatory, except on deregistrations;
    /// without one, type 34 must not be there.
    fn check_foreign_authentication(
        &self,
        extensions: &Extensions<'_>,
        association: &'a SecurityAssociation,
        signed: usize,
    ) -> Result<(), Refused<'a>> {
        let peer = foreign_agent(self.received, &self.request);
        let shared = peer.is_some_and(|peer| self.associations.foreign_home.covers(peer));
        let verification = verify(extensions, kind::FOREIGN_HOME_AUTHENTICATION, |spi| {
            peer.and_then(|peer| self.associations.foreign_home.lookup(peer, spi))
        });
        let violation = match verification {
            Verification::Valid { offset, .. } if offset >= signed => return Ok(()),
            Verification::Absent if !shared || self.request.lifetime == Lifetime::DEREGISTER => return Ok(()),
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
            verdict: Verdict::Deny(ReplyCode::HA_FOREIGN_AUTHENTICATION, association),
            violation: Some(violation),
        })
    }

    /// The code of the first rule that an authentic request breaks. Reverse tunnelling comes last (RFC 3024 §3.4), and
    /// what only matters to forwarding is not asked of a deregistration.
    fn refusal(&self) -> Option<ReplyCode> {
        let request = &self.request;
        if self.config.is_group(self.received.destination) || !self.config.is_own(request.home_agent) {
            return Some(ReplyCode::HA_UNKNOWN_AGENT);
        }
        let registers = request.lifetime != Lifetime::DEREGISTER;
        if registers && !is_tunnel_end(request.care_of_address, request) {
            return Some(ReplyCode::HA_MALFORMED);
        }
        if !self.config.serves(request.home_address) {
            return Some(ReplyCode::HA_PROHIBITED);
        }
        if !self.known.room {
            return Some(ReplyCode::HA_RESOURCES);
        }
        if !registers {
            return None;
        }
        if request.flags.minimal_encapsulation || request.flags.gre {
            return Some(ReplyCode::HA_ENCAPSULATION);
        }
        self.config.reverse_tunnel.refuses(request.flags.reverse_tunnel).map(|refusal| match refusal {
            reverse_tunnel::Refusal::Mandatory => ReplyCode::HA_REVERSE_TUNNEL_MANDATORY,
            reverse_tunnel::Refusal::Unavailable => ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE,
        })
    }
}

/// The foreign agent that a request came through, by the address that selects its association: the care-of address, which
/// is also the IP source (RFC 5944 §3.8.2.1); for a deregistration, which may name any care-of address, the IP source.
/// `None` for a request sent without a foreign agent.
pub(super) fn foreign_agent(received: &Received<'_>, request: &RegistrationRequest) -> Option<Ipv4Addr> {
    if received.source == request.home_address.0 || request.flags.co_located {
        None
    } else if request.lifetime == Lifetime::DEREGISTER {
        Some(received.source)
    } else {
        Some(request.care_of_address.0)
    }
}

/// We know no vendor's critical extension; a denial says whose it was (RFC 3115 §2.1).
fn vendor_refusal(extensions: &Extensions<'_>, signed: usize) -> Option<ReplyCode> {
    let extension = extensions.of_kind(kind::CRITICAL_VENDOR).next()?;
    Some(if extension.offset < signed { ReplyCode::HA_VENDOR_FROM_MOBILE } else { ReplyCode::HA_VENDOR_FROM_FOREIGN })
}

/// Whether packets can be tunnelled there without coming straight back.
fn is_tunnel_end(care_of_address: CareOfAddress, request: &RegistrationRequest) -> bool {
    let address = care_of_address.0;
    address != request.home_address.0
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
}

fn deny(code: ReplyCode, association: &SecurityAssociation) -> Refused<'_> {
    Refused { verdict: Verdict::Deny(code, association), violation: None }
}

fn discard<'a>(reason: Discard) -> Refused<'a> {
    Refused { verdict: Verdict::Discard(reason), violation: None }
}
