//! From the home agent: checking a Registration Reply, and relaying it (RFC 5944 §3.7.3).

use std::sync::Arc;

use super::{
    Action, Deadline, ForeignAgent, config::Config, counters::Discard, pending::PendingRegistration,
    request::authorization_end, visitor::VisitorEntry,
};
use crate::{
    mobility::{
        link::Received,
        security::{Verification, Violation, ViolationReason, verify},
        time::Now,
    },
    wire::{
        extension::{Extensions, ParseError, kind},
        registration::RegistrationReply,
        types::{Lifetime, ReplyCode},
    },
};

impl ForeignAgent {
    /// A datagram that answers a relayed request: to a care-of address, port 434.
    ///
    /// A reply that is refused ends nothing: the pending registration stays until a valid one comes or its time is up, so
    /// that whoever can forge a reply still cannot end a registration.
    pub fn handle_reply(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let Ok(reply) = RegistrationReply::parse_fixed(received.payload) else {
            self.counters.discarded.add(Discard::NotAReply);
            return;
        };
        self.counters.replies_received += 1;
        let key = (reply.home_address, reply.identification.low());
        let Some(pending) = self.pending.get(key).copied() else {
            self.counters.discarded.add(Discard::Unsolicited);
            return;
        };
        let config = Arc::clone(&self.config);
        let checked = match RegistrationReply::parse(received.payload) {
            Ok((_, extensions)) => self.check_reply(now, &config, received, &pending, &reply, &extensions),
            Err(ParseError::UnknownNonSkippable(_)) => {
                self.counters.discarded.add(Discard::UnknownExtension);
                return;
            }
            Err(_) => Err(ReplyCode::FA_MALFORMED_REPLY),
        };
        match checked {
            Ok(end) => {
                self.take_pending(key);
                self.apply(now, &config, &pending, &reply, actions);
                self.relay_reply(&config, &pending, &received.payload[..end], actions);
            }
            Err(code) => self.deny_pending(now, key, code, actions),
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
        if let Err(reason) = check_foreign_authentication(config, pending, extensions) {
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
        if reply.home_agent.0.is_unspecified() {
            return Err(ReplyCode::FA_MISSING_HOME_AGENT);
        }
        if reply.code.is_accepted() && reply.home_agent != pending.request.home_agent {
            return Err(ReplyCode::FA_MALFORMED_REPLY);
        }
        let end = match authorization_end(extensions) {
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
        let current = self.visitors.get(&(request.home_agent, request.home_address)).copied();
        for overtaken in self.pending.overtaken_by(request) {
            self.take_pending(overtaken);
        }
        let granted = reply.lifetime.min(request.lifetime).min(config.maximum_lifetime);
        if granted == Lifetime::DEREGISTER {
            self.counters.deregistrations_accepted += 1;
            let all = request.care_of_address.0 == request.home_address.0;
            if all || current.is_some_and(|current| current.care_of_address == request.care_of_address) {
                self.remove(request.home_agent, request.home_address, actions);
            }
        } else {
            self.counters.registrations_accepted += 1;
            if let Some(care_of_address) = pending.care_of_address {
                self.install(VisitorEntry::new(now, pending, care_of_address, granted, current.as_ref()), actions);
            }
        }
    }

    fn relay_reply(
        &mut self,
        config: &Config,
        pending: &PendingRegistration,
        message: &[u8],
        actions: &mut Vec<Action>,
    ) {
        let home_address = pending.request.home_address;
        let mut payload = message.to_vec();
        if let Some(association) = config.mobile_foreign.primary(home_address.0) {
            association.sign(&mut payload, kind::MOBILE_FOREIGN_AUTHENTICATION);
        }
        self.counters.replies_relayed += 1;
        actions.push(Action::Send(pending.requester.transmit(home_address, payload)));
    }

    /// Adds or replaces a visitor. The data path hears of it only if it must do something else than before.
    pub(super) fn install(&mut self, visitor: VisitorEntry, actions: &mut Vec<Action>) {
        let VisitorEntry { home_address, home_agent, care_of_address, requester, reverse_tunnel, .. } = visitor;
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
                reverse_tunnel,
            });
        }
        actions.push(Action::VisitorChanged { home_agent, home_address });
    }
}

/// RFC 5944 §3.7.3.1: with an association, exactly one valid type 34. It may be missing when the *request* was a
/// deregistration; the reply's own lifetime, which anybody can write, is no excuse.
fn check_foreign_authentication(
    config: &Config,
    pending: &PendingRegistration,
    extensions: &Extensions<'_>,
) -> Result<(), ViolationReason> {
    let home_agent = pending.request.home_agent.0;
    if !config.foreign_home.covers(home_agent) {
        return Ok(());
    }
    let signed = authorization_end(extensions).unwrap_or(RegistrationReply::LENGTH);
    let select = |spi| config.foreign_home.lookup(home_agent, spi);
    match verify(extensions, kind::FOREIGN_HOME_AUTHENTICATION, select) {
        Verification::Valid { offset, .. } if offset >= signed => Ok(()),
        Verification::Absent if !is_signed_request(config, pending) => Ok(()),
        Verification::Absent => Err(ViolationReason::MissingExtension),
        Verification::UnknownSpi => Err(ViolationReason::BadSpi),
        _ => Err(ViolationReason::BadAuthenticator),
    }
}

/// Whether the relayed request carried type 34, so that the reply must.
fn is_signed_request(config: &Config, pending: &PendingRegistration) -> bool {
    pending.request.lifetime != Lifetime::DEREGISTER && config.offers(pending.request.care_of_address)
}
