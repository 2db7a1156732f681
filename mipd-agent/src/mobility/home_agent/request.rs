//! The home agent's checks of a Registration Request, in their order (RFC 5944 §3.8.2.1, RFC 3024 §3.4).

use super::{
    config::Config,
    counters::Discard,
    negotiation::{self, Terms},
    node::Nodes,
    petition::Petition,
    signers::{Layout, Signer, Signers},
};
use crate::{
    mobility::{security::ViolationReason, time::Now},
    wire::{
        extension::{Extensions, ParseError, kind},
        proxy_mode::AuthenticationMethod,
        registration::RequestFlags,
        types::{CareOfAddress, HomeAddress, ReplyCode},
    },
};

/// The outcome for a request that is not accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'k> {
    /// What happens to it.
    pub verdict: Verdict<'k>,
    /// What to log if it was a security violation.
    pub violation: Option<Offence>,
    /// Whether a denial is sent however many were sent before.
    pub must_be_answered: bool,
}

impl<'k> Refused<'k> {
    /// Without a violation, and without a duty to answer.
    pub fn of(verdict: Verdict<'k>) -> Self {
        Self { verdict, violation: None, must_be_answered: false }
    }
}

/// A security violation, and by which type of extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offence {
    pub extension: u8,
    pub reason: ViolationReason,
}

impl Offence {
    pub const fn new(extension: u8, reason: ViolationReason) -> Self {
        Self { extension, reason }
    }
}

/// Silence or a denial.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'k> {
    /// No answer.
    Discard(Discard),
    /// A reply with this code.
    Deny(ReplyCode, Signers<'k>),
    /// Somebody looks for home agents, and may be told that we are one (code 136), but not too often.
    Probe(Signers<'k>),
}

/// The outcome for a request that is accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted<'k> {
    pub signers: Signers<'k>,
    pub terms: Terms,
    /// With nonces: it was accepted before, and only the answer is repeated.
    pub is_repeated: bool,
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
        let primary = self.config.mobile_home.primary(self.petition.home_address);
        let mut signers = Signers {
            mobile: primary.map(Signer::from),
            foreign: self.foreign_signer(),
            is_authentic: false,
            by_proxy: false,
        };
        if primary.is_none() && !self.is_proxys_own() {
            return Err(if self.is_probe() || self.config.answers_unicast_probes {
                Refused::of(Verdict::Probe(signers))
            } else {
                Refused {
                    violation: Some(Offence::new(kind::MOBILE_HOME_AUTHENTICATION, ViolationReason::NoAssociation)),
                    ..Refused::of(Verdict::Discard(Discard::NoAssociation))
                }
            });
        }
        match self.petition.broken {
            None => {}
            Some(ParseError::UnknownNonSkippable(_)) => {
                return Err(Refused::of(Verdict::Discard(Discard::UnknownExtension)));
            }
            Some(_) => return Err(self.refuse_broken(signers)),
        }
        let (layout, is_repeated) = self.authenticate(&mut signers)?;
        let terms = self.judge(layout).map_err(|code| deny(code, signers))?;
        Ok(Granted { signers, terms, is_repeated })
    }

    /// Code 134 for a broken list of extensions, but only if what precedes the break authenticates the request: whoever
    /// overheard a request could otherwise have us sign a denial of it.
    fn refuse_broken(&self, mut signers: Signers<'k>) -> Refused<'k> {
        let found = self.authenticate_sender(&mut signers).and_then(|_| self.check_identification(signers));
        match found {
            Ok(_) => deny(ReplyCode::HA_MALFORMED, signers),
            Err(refused) if signers.is_authentic => refused,
            Err(refused) => Refused {
                // What is missing may be behind the break.
                violation: refused.violation.filter(|offence| offence.reason != ViolationReason::MissingExtension),
                ..Refused::of(Verdict::Discard(Discard::Malformed))
            },
        }
    }

    /// Whether somebody looks for home agents, and need not share an association with us to be answered.
    pub(super) fn is_probe(&self) -> bool {
        self.config.answers_probes && self.config.is_group(self.petition.received.destination)
    }

    /// What an authentic request is answered: what was agreed on, or the code of the first rule that it breaks. What only
    /// matters to forwarding is not asked of a deregistration.
    fn judge(&self, layout: Layout) -> Result<Terms, ReplyCode> {
        let Petition { received, request, extensions, .. } = self.petition;
        if self.config.is_group(received.destination) || !self.config.is_own(request.home_agent) {
            return Err(ReplyCode::HA_UNKNOWN_AGENT);
        }
        if self.config.strict_flags && RequestFlags::has_reserved(received.payload[1]) {
            return Err(ReplyCode::HA_MALFORMED);
        }
        if self.petition.registers() && !is_tunnel_end(request.care_of_address, self.petition.home_address) {
            return Err(ReplyCode::HA_MALFORMED);
        }
        if !self.config.serves(self.petition.home_address) {
            return Err(ReplyCode::HA_PROHIBITED);
        }
        if let Some(code) = vendor_refusal(extensions, layout) {
            return Err(code);
        }
        self.check_proxy()?;
        self.check_room()?;
        if self.petition.registers() {
            negotiation::negotiate(self.config, self.petition, layout)
        } else {
            Ok(Terms::default())
        }
    }

    /// Proxies (RFC 5563) are allowed by address. What they say of `IPsec` we cannot check.
    fn check_proxy(&self) -> Result<(), ReplyCode> {
        match (AuthenticationMethod::find(&self.petition.extensions), &self.config.proxies) {
            (None, _) => Ok(()),
            (Some(AuthenticationMethod::ForeignHome), Some(allowed)) => {
                let source = self.petition.received.source;
                let is_allowed = allowed.iter().any(|range| range.contains(source));
                if is_allowed { Ok(()) } else { Err(ReplyCode::HA_PROXY_PROHIBITED) }
            }
            _ => Err(ReplyCode::HA_PROXY_UNSUPPORTED),
        }
    }

    /// Nodes without a binding, of which Identifications are remembered, have a limit of their own.
    pub(super) fn check_memory(&self) -> Result<(), ReplyCode> {
        let is_known = self.nodes.get(self.petition.home_address).is_some();
        if is_known || self.nodes.len() < self.config.maximum_bindings.saturating_mul(2) {
            Ok(())
        } else {
            Err(ReplyCode::HA_RESOURCES)
        }
    }

    fn check_room(&self) -> Result<(), ReplyCode> {
        self.check_memory()?;
        let request = &self.petition.request;
        let maximum = self.config.maximum_bindings;
        let node = self.nodes.get(self.petition.home_address);
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
fn vendor_refusal(extensions: &Extensions<'_>, layout: Layout) -> Option<ReplyCode> {
    let extension = extensions.of_kind(kind::CRITICAL_VENDOR).next()?;
    Some(if layout.is_from_mobile_node(extension.offset) {
        ReplyCode::HA_VENDOR_FROM_MOBILE
    } else {
        ReplyCode::HA_VENDOR_FROM_FOREIGN
    })
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

/// A denial; to an authentic request it must be sent.
pub(super) fn deny(code: ReplyCode, signers: Signers<'_>) -> Refused<'_> {
    Refused { must_be_answered: signers.is_authentic, ..Refused::of(Verdict::Deny(code, signers)) }
}
