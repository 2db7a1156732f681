//! The checks of a request's authentication extensions and its Identification (RFC 5944 §3.8.2.1, §5.7).

use super::{
    counters::Discard,
    node::Node,
    request::{Examination, Offence, Refused, Verdict, deny},
    signers::{Layout, Signer, Signers},
};
use crate::{
    mobility::security::{
        Nonce, Nonces, ReplayProtection, ReplayWindow, SecurityAssociation, Verification, ViolationReason, verify,
        verify_generalized,
    },
    wire::{
        authentication::MOBILE_AAA,
        extension::kind,
        proxy_mode::AuthenticationMethod,
        registration::RegistrationRequest,
        types::{ReplyCode, Spi},
    },
};

/// RFC 5944 §3.8.2.1: without an authentication extension, silence.
const MISSING: Refused<'static> = Refused {
    verdict: Verdict::Discard(Discard::MissingAuthentication),
    violation: Some(Offence::new(kind::MOBILE_HOME_AUTHENTICATION, ViolationReason::MissingExtension)),
    must_be_answered: false,
};

impl<'k> Examination<'k, '_> {
    /// Authenticators first, then the Identification, then the foreign agent's authenticator; of a proxy that registers
    /// with its own alone, that one first.
    pub(super) fn authenticate(&self, signers: &mut Signers<'k>) -> Result<(Layout, bool), Refused<'k>> {
        let Layout { signed, foreign } = self.authenticate_sender(signers)?;
        let is_repeated = self.check_identification(*signers)?;
        if signers.by_proxy {
            return Ok((Layout { signed, foreign }, is_repeated));
        }
        let foreign = self.check_foreign_authentication(signers, signed)?;
        self.check_aaa_authentication().map_err(|reason| Refused {
            verdict: Verdict::Deny(ReplyCode::HA_AAA_AUTHENTICATION, *signers),
            violation: Some(Offence::new(kind::GENERALIZED_AUTHENTICATION, reason)),
            must_be_answered: true,
        })?;
        Ok((Layout { signed, foreign }, is_repeated))
    }

    /// The client's authenticator, or that of a proxy that registers with its own alone.
    pub(super) fn authenticate_sender(&self, signers: &mut Signers<'k>) -> Result<Layout, Refused<'k>> {
        if !self.is_proxys_own() {
            return Ok(Layout { signed: self.check_mobile_authentication(signers)?, foreign: None });
        }
        signers.by_proxy = true;
        signers.mobile = None;
        let signed = RegistrationRequest::LENGTH;
        let foreign = self.check_foreign_authentication(signers, signed)?;
        if foreign.is_none() {
            return Err(MISSING);
        }
        signers.is_authentic = true;
        Ok(Layout { signed, foreign })
    }

    /// Whether it is a proxy's that has no key of the client (RFC 5563 §6.1).
    pub(super) fn is_proxys_own(&self) -> bool {
        AuthenticationMethod::find(&self.petition.extensions) == Some(AuthenticationMethod::ForeignHome)
            && !self.petition.has(kind::MOBILE_HOME_AUTHENTICATION)
    }

    /// Every reply to a foreign agent with an association is signed for it; to a deregistration only if that was.
    pub(super) fn foreign_signer(&self) -> Option<Signer<'k>> {
        if !self.petition.registers() && !self.petition.has(kind::FOREIGN_HOME_AUTHENTICATION) {
            return None;
        }
        self.petition.foreign_agent().and_then(|peer| self.config.foreign_home.primary(peer)).map(Signer::from)
    }

    /// The end of the extension that authenticates the request.
    fn check_mobile_authentication(&self, signers: &mut Signers<'k>) -> Result<usize, Refused<'k>> {
        let reason = match verify(&self.petition.extensions, kind::MOBILE_HOME_AUTHENTICATION, |spi| {
            self.config.mobile_home.lookup(self.petition.home_address, spi)
        }) {
            Verification::Valid { association, algorithm, end, .. } => {
                signers.mobile = Some(Signer { association, algorithm });
                signers.is_authentic = true;
                return Ok(end);
            }
            Verification::Absent => return Err(MISSING),
            Verification::UnknownSpi if self.is_probe() => {
                return Err(Refused::of(Verdict::Probe(*signers)));
            }
            Verification::Wrong(association) => {
                signers.mobile = Some(association.into());
                ViolationReason::BadAuthenticator
            }
            Verification::Repeated => ViolationReason::BadAuthenticator,
            Verification::UnknownSpi => ViolationReason::BadSpi,
        };
        Err(Refused {
            verdict: Verdict::Deny(ReplyCode::HA_MOBILE_AUTHENTICATION, *signers),
            violation: Some(Offence::new(kind::MOBILE_HOME_AUTHENTICATION, reason)),
            // RFC 5944 §3.8.2.1: with a valid type 34 it must be, otherwise it may be.
            must_be_answered: self.verify_foreign_authentication().is_valid(),
        })
    }

    /// Whether it only repeats a request that was accepted; otherwise it is new.
    pub(super) fn check_identification(&self, signers: Signers<'k>) -> Result<bool, Refused<'k>> {
        let request = &self.petition.request;
        let node = self.nodes.get(self.petition.home_address);
        let authenticated_by =
            if signers.by_proxy { kind::FOREIGN_HOME_AUTHENTICATION } else { kind::MOBILE_HOME_AUTHENTICATION };
        let mismatch = Refused {
            verdict: Verdict::Deny(ReplyCode::HA_IDENTIFICATION, signers),
            violation: Some(Offence::new(authenticated_by, ViolationReason::BadIdentification)),
            must_be_answered: true,
        };
        match signers.replay_protection() {
            ReplayProtection::Timestamps => {
                // A longer one than ours would outlast our memory of the node.
                let own = self.config.replay_window;
                let told = signers.mobile.and_then(|signer| signer.association.replay_window);
                let window = ReplayWindow { window: told.map_or(own, |told| told.min(own)) };
                let last = self.nodes.last(self.petition.home_address);
                window.check(self.now.wall, request.identification, last).map(|()| false).map_err(|_| mismatch)
            }
            ReplayProtection::Nonces => {
                // A nonce that cannot be remembered would be wrong again next time.
                self.check_memory().map_err(|code| deny(code, signers))?;
                match Nonces::judge(node.and_then(|node| node.nonces.as_ref()), request.identification) {
                    Nonce::Right => Ok(false),
                    Nonce::Repeated if node.is_some_and(|node| self.is_in_force(node)) => Ok(true),
                    Nonce::Repeated | Nonce::Wrong => Err(mismatch),
                }
            }
        }
    }

    /// Whether what the request asks for is what it got when it came first.
    fn is_in_force(&self, node: &Node) -> bool {
        let request = &self.petition.request;
        let binding = node.binding_at(request.care_of_address);
        if self.petition.registers() {
            binding.is_some_and(|binding| {
                (binding.identification, binding.flags, binding.lifetime_requested)
                    == (request.identification, request.flags, request.lifetime)
            })
        } else if self.petition.ends_all() {
            !node.is_away()
        } else {
            binding.is_none()
        }
    }

    fn verify_foreign_authentication(&self) -> Verification<'k> {
        verify(&self.petition.extensions, kind::FOREIGN_HOME_AUTHENTICATION, |spi| {
            self.petition.foreign_agent().and_then(|peer| self.config.foreign_home.lookup(peer, spi))
        })
    }

    /// RFC 5944 §3.8.2.1: an association with the foreign agent makes type 34 mandatory, except on deregistrations;
    /// without one, type 34 must not be there. Says where it starts.
    fn check_foreign_authentication(
        &self,
        signers: &mut Signers<'k>,
        signed: usize,
    ) -> Result<Option<usize>, Refused<'k>> {
        let shared = self.petition.foreign_agent().is_some_and(|peer| self.config.foreign_home.covers(peer));
        let offence = |reason| Some(Offence::new(kind::FOREIGN_HOME_AUTHENTICATION, reason));
        let reason = match self.verify_foreign_authentication() {
            Verification::Valid { association, algorithm, offset, .. } if offset >= signed => {
                signers.foreign = Some(Signer { association, algorithm });
                return Ok(Some(offset));
            }
            Verification::Absent if !shared || !self.petition.registers() => return Ok(None),
            Verification::Absent => ViolationReason::MissingExtension,
            _ if !shared => {
                return Err(Refused {
                    violation: offence(ViolationReason::NoAssociation),
                    ..Refused::of(Verdict::Discard(Discard::StrangeForeignAgent))
                });
            }
            Verification::UnknownSpi => ViolationReason::BadSpi,
            _ => ViolationReason::BadAuthenticator,
        };
        Err(Refused {
            verdict: Verdict::Deny(ReplyCode::HA_FOREIGN_AUTHENTICATION, *signers),
            violation: offence(reason),
            must_be_answered: signers.is_authentic,
        })
    }

    /// MN-AAA authentication (RFC 4721 §5), if there is any, is checked with the keys that we share with the client: there
    /// is no AAA server behind us. It never takes the place of the Mobile-Home authentication, since no reply could be
    /// made without that. The CHAP style (SPI 2) is not supported.
    fn check_aaa_authentication(&self) -> Result<(), ViolationReason> {
        let select = |spi: Spi| -> Option<&SecurityAssociation> {
            self.config.mobile_home.lookup(self.petition.home_address, spi)
        };
        match verify_generalized(&self.petition.extensions, MOBILE_AAA, select) {
            Verification::Absent | Verification::Valid { .. } => Ok(()),
            Verification::UnknownSpi => Err(ViolationReason::BadSpi),
            Verification::Wrong(_) | Verification::Repeated => Err(ViolationReason::BadAuthenticator),
        }
    }
}
