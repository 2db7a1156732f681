//! From the home agent: checking a Registration Reply, and relaying it (RFC 5944 §3.7.3).

use std::sync::Arc;

use super::{
    Action, Deadline, ForeignAgent,
    check::authorization_end,
    config::Config,
    counters::Discard,
    pending::{PendingId, PendingRegistration, is_host},
    signature::{reason, sign_for_client},
    visitor::VisitorEntry,
};
use crate::{
    mobility::{
        link::Received,
        security::{Verification, Violation, ViolationReason, verify},
        time::Now,
    },
    wire::{
        extension::{Extensions, ParseError, kind},
        nai::Nai,
        registration::RegistrationReply,
        types::{HomeAgentAddress, Lifetime, ReplyCode},
    },
};

impl ForeignAgent {
    /// A datagram that answers a relayed request: to a care-of address, port 434.
    ///
    /// A reply that is refused ends nothing: the pending registration stays until a valid one comes or its time is up, so
    /// that whoever can forge a reply still cannot end a registration.
    pub fn handle_reply(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let parsed = RegistrationReply::parse(received.payload);
        let fixed = match &parsed {
            Ok((reply, extensions)) => Ok((*reply, Nai::find(extensions))),
            Err(ParseError::Truncated | ParseError::WrongType) => Err(()),
            Err(_) => RegistrationReply::parse_fixed(received.payload).map(|reply| (reply, None)).map_err(|_| ()),
        };
        let Ok((reply, nai)) = fixed else {
            self.counters.discarded.add(Discard::NotAReply);
            return;
        };
        self.counters.replies_received += 1;
        let found = self.pending.answered_by(&reply, nai.as_ref());
        let Some((id, pending)) = found.and_then(|id| Some((id, self.pending.get(id)?.clone()))) else {
            self.counters.discarded.add(Discard::Unsolicited);
            return;
        };
        let config = Arc::clone(&self.config);
        let checked = match parsed {
            Ok((_, extensions)) => self.check_reply(now, &config, received, &pending, &reply, &extensions),
            Err(ParseError::UnknownNonSkippable(_)) => {
                self.counters.discarded.add(Discard::UnknownExtension);
                return;
            }
            Err(_) => Err(ReplyCode::FA_MALFORMED_REPLY),
        };
        match checked {
            Ok(end) => {
                self.take_pending(id);
                self.apply(now, &config, &pending, &reply, actions);
                self.relay_reply(&config, &pending, &reply, &received.payload[..end], actions);
            }
            Err(code) => self.deny_pending(now, id, code, actions),
        }
    }

    /// All checks. `Ok` is how much of the message is to be relayed: everything through what the client authenticates.
    fn check_reply(
        &mut self,
        now: Now,
        config: &Config,
        received: &Received<'_>,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        extensions: &Extensions<'_>,
    ) -> Result<usize, ReplyCode> {
        let end = authorization_end(extensions);
        match check_foreign_authentication(config, pending, extensions, end) {
            Ok(deviates) => self.counters.authenticated_by_other_algorithm += u64::from(deviates),
            Err(reason) => {
                self.violations.push(Violation {
                    at: now,
                    peer: received.source,
                    home_address: reply.home_address,
                    spi: None,
                    identification: reply.identification,
                    reason,
                });
                return Err(ReplyCode::FA_HOME_AUTHENTICATION);
            }
        }
        check_names(config, pending, reply, extensions)?;
        let end = match end {
            Some(end) => end,
            None if reply.code.is_from_home_agent() => return Err(ReplyCode::FA_MALFORMED_REPLY),
            None => RegistrationReply::LENGTH,
        };
        let mut for_us = extensions.iter().filter(|extension| extension.offset >= end);
        if for_us.any(|extension| extension.kind == kind::CRITICAL_VENDOR) {
            return Err(ReplyCode::FA_VENDOR_FROM_HOME);
        }
        Ok(end)
    }

    /// Brings visitor list and data path up to date (RFC 5944 §3.7.3.2). Older requests of the same node are
    /// over with it, whatever their replies, still under way, may say.
    fn apply(
        &mut self,
        now: Now,
        config: &Config,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        actions: &mut Vec<Action>,
    ) {
        if !reply.code.is_accepted() {
            self.counters.denied_by_home_agent.add(reply.code);
            return;
        }
        let request = &pending.request;
        let current = self.visitors.get(&(reply.home_agent, reply.home_address)).copied();
        for overtaken in self.pending.overtaken_by(pending) {
            self.take_pending(overtaken);
        }
        let granted = reply.lifetime.min(request.lifetime).min(config.maximum_lifetime);
        if granted == Lifetime::DEREGISTER {
            self.counters.deregistrations_accepted += 1;
            let all = request.care_of_address.0 == request.home_address.0;
            if all || current.is_some_and(|current| current.care_of_address == request.care_of_address) {
                self.remove(reply.home_agent, reply.home_address, actions);
            }
        } else {
            self.counters.registrations_accepted += 1;
            if let Some(care_of_address) = pending.care_of_address {
                let visitor = VisitorEntry::new(now, pending, reply, care_of_address, granted, current.as_ref());
                self.install(visitor, actions);
            }
        }
    }

    fn relay_reply(
        &mut self,
        config: &Config,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        message: &[u8],
        actions: &mut Vec<Action>,
    ) {
        let mut payload = message.to_vec();
        sign_for_client(config, pending.request.home_address, pending.signer, &mut payload);
        self.counters.replies_relayed += 1;
        actions.push(Action::Send(pending.requester.transmit(reply.home_address, payload)));
    }

    /// Adds or replaces a visitor. The data path hears of it only if it must do something else than before.
    pub(super) fn install(&mut self, visitor: VisitorEntry, actions: &mut Vec<Action>) {
        let VisitorEntry { home_address, home_agent, care_of_address, requester, tunnel, .. } = visitor;
        let key = visitor.key();
        match visitor.expires {
            Some(expires) => self.deadlines.set(Deadline::Visitor(key), expires),
            None => self.deadlines.clear(Deadline::Visitor(key)),
        }
        let replaced = self.visitors.insert(key, visitor);
        if !replaced.is_some_and(|replaced| replaced.forwards_like(&visitor)) {
            actions.push(Action::InstallVisitor {
                home_address,
                home_agent,
                care_of_address,
                mac: requester.mac,
                interface: requester.interface,
                tunnel,
            });
        }
        actions.push(Action::VisitorChanged { home_agent, home_address });
    }

    pub(super) fn take_pending(&mut self, id: PendingId) -> Option<PendingRegistration> {
        self.deadlines.clear(Deadline::Pending(id));
        self.pending.remove(id)
    }

    /// Denies a pending registration without ending it.
    pub(super) fn deny_pending(&mut self, now: Now, id: PendingId, code: ReplyCode, actions: &mut Vec<Action>) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        pending.denied = true;
        let addressee = pending.addressee();
        self.deny(now, &addressee, code, actions);
    }
}

/// RFC 2794 §4: what the client sent names of, the reply names. A denial of a client without a home address has none to
/// name. An accepted registration is one with the home agent that was asked, if one was.
fn check_names(
    config: &Config,
    pending: &PendingRegistration,
    reply: &RegistrationReply,
    extensions: &Extensions<'_>,
) -> Result<(), ReplyCode> {
    if pending.nai.is_some() && Nai::find(extensions).is_none() {
        return Err(ReplyCode::FA_MISSING_NAI);
    }
    if reply.home_agent.0.is_unspecified() {
        return Err(ReplyCode::FA_MISSING_HOME_AGENT);
    }
    if !reply.code.is_accepted() {
        return Ok(());
    }
    if reply.home_address.0.is_unspecified() {
        return Err(ReplyCode::FA_MISSING_HOME_ADDRESS);
    }
    let asked = pending.request.home_agent;
    let right_home_agent = if is_host(asked.0) {
        reply.home_agent == asked
    } else {
        is_host(reply.home_agent.0) && !config.is_own_but_no_home_agent(reply.home_agent.0)
    };
    let home_address = reply.home_address.0;
    let possible = is_host(home_address)
        && !config.own_addresses.contains(&home_address)
        && reply.home_agent != HomeAgentAddress(home_address);
    if right_home_agent && possible { Ok(()) } else { Err(ReplyCode::FA_MALFORMED_REPLY) }
}

/// RFC 5944 §3.7.3.1: with an association, exactly one valid type 34. It may be missing when the *request* was a
/// deregistration; the reply's own lifetime, which anybody can write, is no excuse. `Ok` is whether another algorithm than
/// the association's was accepted.
fn check_foreign_authentication(
    config: &Config,
    pending: &PendingRegistration,
    extensions: &Extensions<'_>,
    authorization_end: Option<usize>,
) -> Result<bool, ViolationReason> {
    let home_agent = pending.relayed_to;
    if !config.foreign_home.covers(home_agent) {
        return Ok(false);
    }
    let select = |spi| config.foreign_home.lookup(home_agent, spi);
    match verify(extensions, kind::FOREIGN_HOME_AUTHENTICATION, select) {
        Verification::Valid { offset, association, algorithm, .. }
            if offset >= authorization_end.unwrap_or(RegistrationReply::LENGTH) =>
        {
            Ok(algorithm != association.algorithm)
        }
        Verification::Absent if !is_signed_request(config, pending) => Ok(false),
        other => Err(reason(other)),
    }
}

/// Whether the relayed request carried type 34, so that the reply must.
fn is_signed_request(config: &Config, pending: &PendingRegistration) -> bool {
    pending.request.lifetime != Lifetime::DEREGISTER && config.offers(pending.request.care_of_address)
}
