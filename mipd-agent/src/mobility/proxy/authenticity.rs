//! Whether a reply is authentic: exactly one valid extension 32 if it has a home agent's code, exactly one valid
//! extension 33 if we share something with the foreign agent (RFC 5944 §3.6.2.1).

use std::net::Ipv4Addr;

use super::{
    client::{Client, Exchange},
    registration::Registrar,
};
use crate::{
    mobility::{
        security::{self, Verification, Violation, ViolationReason},
        time::Now,
    },
    wire::{
        authentication::{self, Algorithm},
        extension::{Extensions, kind},
        registration::RegistrationReply,
    },
};

/// What of an authentic reply can be believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authentic<'a> {
    /// Where the mobile-foreign authentication begins; what follows it is nobody's word.
    end: Option<usize>,
    /// The foreign agent's next challenge.
    pub challenge: Option<&'a [u8]>,
}

impl Authentic<'_> {
    /// Whether an extension at this offset is to be regarded.
    pub fn covers(&self, offset: usize) -> bool {
        self.end.is_none_or(|end| offset < end)
    }
}

/// Where an authentication extension begins, and with which algorithm it was found valid.
type Found = (usize, Algorithm);

impl Registrar {
    /// `None`: not authentic; counted, and kept for the operator.
    pub fn authenticate<'a>(
        &mut self,
        now: Now,
        client: &mut Client,
        exchange: &Exchange,
        source: Ipv4Addr,
        reply: &RegistrationReply,
        extensions: &Extensions<'a>,
    ) -> Option<Authentic<'a>> {
        let agent = exchange.plan.agent.address;
        let mut home = None;
        if reply.code.is_from_home_agent() {
            let verification = security::verify(extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
                self.config.associations.lookup(reply.home_address, spi)
            });
            home = match found(&verification) {
                Ok(found) => Some(found),
                Err(reason) => {
                    *match verification {
                        Verification::UnknownSpi => &mut self.counters.discarded_spi,
                        Verification::Wrong(_) => &mut self.counters.discarded_authenticator,
                        _ => &mut self.counters.discarded_unauthenticated,
                    } += 1;
                    return self.suspect(now, source, reply, extensions, kind::MOBILE_HOME_AUTHENTICATION, reason);
                }
            };
        }
        let mut end = None;
        if client.is_visitor() && self.config.mobile_foreign.covers(agent) {
            let verification = security::verify(extensions, kind::MOBILE_FOREIGN_AUTHENTICATION, |spi| {
                self.config.mobile_foreign.lookup(agent, spi)
            });
            // It protects what is before it, so it has to be behind the home agent's.
            let is_behind = |(offset, _): Found| home.is_none_or(|(home, _)| offset > home);
            match found(&verification) {
                Ok(found) if is_behind(found) => end = Some(found.0),
                result => {
                    self.counters.discarded_foreign_authentication += 1;
                    let reason = result.err().unwrap_or(ViolationReason::BadAuthenticator);
                    return self.suspect(now, source, reply, extensions, kind::MOBILE_FOREIGN_AUTHENTICATION, reason);
                }
            }
        }
        if let Some((_, algorithm)) = home {
            let configured = self.config.associations.primary(reply.home_address).map(|known| known.algorithm);
            self.counters.other_algorithm += u64::from(configured != Some(algorithm));
            client.algorithm = Some(algorithm);
        }
        let mut authentic = Authentic { end, challenge: None };
        let challenges = extensions.of_kind(kind::CHALLENGE).filter(|challenge| authentic.covers(challenge.offset));
        authentic.challenge = challenges.last().map(|challenge| challenge.data);
        Some(authentic)
    }

    fn suspect<'a>(
        &mut self,
        now: Now,
        source: Ipv4Addr,
        reply: &RegistrationReply,
        extensions: &Extensions<'_>,
        kind: u8,
        reason: ViolationReason,
    ) -> Option<Authentic<'a>> {
        self.counters.security_events += 1;
        let mut authenticators = extensions.of_kind(kind);
        self.violations.push(Violation {
            at: now,
            peer: source,
            home_address: reply.home_address,
            spi: authenticators.next().and_then(|extension| authentication::spi(&extension)),
            identification: reply.identification,
            reason,
        });
        None
    }
}

fn found(verification: &Verification<'_>) -> Result<Found, ViolationReason> {
    match verification {
        Verification::Valid { offset, algorithm, .. } => Ok((*offset, *algorithm)),
        Verification::Absent => Err(ViolationReason::MissingExtension),
        Verification::UnknownSpi => Err(ViolationReason::BadSpi),
        Verification::Repeated | Verification::Wrong(_) => Err(ViolationReason::BadAuthenticator),
    }
}
