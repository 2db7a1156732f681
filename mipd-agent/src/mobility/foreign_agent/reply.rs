//! From the home agent: checking a Registration Reply, and relaying it (RFC 5944 §3.7.3).

use std::{sync::Arc, time::Duration};

use super::{
    Action, Deadline, ForeignAgent, challenge,
    check::authorization_end,
    config::Config,
    counters::Discard,
    pending::{PendingId, PendingRegistration, is_host},
    revocation::Revocable,
    signature::{reason, sign_for_client, spi_of},
    tunnel::KEYLESS_TIME,
    uncarried::Unconfirmed,
    visitor::{Agreement, VisitorEntry},
};
use crate::{
    mobility::{
        link::Received,
        security::{Verification, Violation, ViolationReason, verify},
        time::Now,
    },
    wire::{
        challenge::{Challenge, append_challenge, find as challenge_in},
        extension::{Extensions, ParseError, kind},
        foreign_agent_error::append_error,
        nai::Nai,
        registration::RegistrationReply,
        types::{HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

/// Longer than any registration that ends lasts.
const DAY: Duration = Duration::from_hours(24);

/// A reply as far as it can be read.
struct Answer<'a> {
    reply: RegistrationReply,
    /// All of them, or those before the place where the list is broken.
    extensions: Extensions<'a>,
    is_broken: bool,
}

impl<'a> Answer<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Discard> {
        let (parsed, is_broken) = match RegistrationReply::parse(message) {
            Err(ParseError::MalformedExtension { offset, .. }) => (RegistrationReply::parse(&message[..offset]), true),
            parsed => (parsed, false),
        };
        match parsed {
            Ok((reply, extensions)) => Ok(Self { reply, extensions, is_broken }),
            Err(ParseError::UnknownNonSkippable(_)) => Err(Discard::UnknownExtension),
            Err(_) => Err(Discard::NotAReply),
        }
    }
}

/// Why a reply is refused, and what of it the client gets all the same.
struct Refused<'a> {
    code: ReplyCode,
    /// The home agent's answer through its Mobile-Home authentication.
    relayed: Option<&'a [u8]>,
}

impl From<ReplyCode> for Refused<'_> {
    /// Nothing of it.
    fn from(code: ReplyCode) -> Self {
        Self { code, relayed: None }
    }
}

impl ForeignAgent {
    /// A datagram that answers a relayed request: to a care-of address, port 434.
    ///
    /// A reply that is refused ends nothing: the pending registration stays until a valid one comes or its time is up, so
    /// that whoever can forge a reply still cannot end a registration.
    pub fn handle_reply(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        self.unconfirmed = None;
        let read = Answer::read(received.payload);
        self.counters.replies_received += u64::from(!matches!(read, Err(Discard::NotAReply)));
        let answer = match read {
            Ok(answer) => answer,
            Err(discard) => {
                self.counters.discarded.add(discard);
                return;
            }
        };
        let reply = answer.reply;
        let found = self.pending.answered_by(&reply, Nai::find(&answer.extensions).as_ref());
        let Some((id, pending)) = found.and_then(|id| Some((id, self.pending.get(id)?.clone()))) else {
            self.counters.discarded.add(Discard::Unsolicited);
            return;
        };
        let config = Arc::clone(&self.config);
        match self.check_reply(now, &config, received, &pending, &answer) {
            Ok(_) if self.is_replayed(now, &pending, &reply) => self.counters.discarded.add(Discard::Replayed),
            Ok(for_us) => {
                self.take_pending(id);
                let challenge = self.apply(now, &config, &pending, &reply, &for_us, actions);
                let challenge = challenge.or_else(|| self.offer_challenge(&pending.addressee()));
                self.relay_reply(&config, &pending, &reply, for_the_client(&for_us), challenge, actions);
            }
            Err(Refused { code, relayed: Some(message) }) => {
                self.refuse_reply(now, id, &reply, message, code, actions);
            }
            Err(Refused { code, relayed: None }) => self.deny_pending(now, id, code, actions),
        }
    }

    /// All checks that end in a denial. `Ok` is what is for us: everything behind what the client authenticates.
    ///
    /// What the home agent has answered the client gets even so, with our code beside it (RFC 4636 §3), but nothing that is
    /// not authentic between the agents, where they share an association, and nothing that the client cannot authenticate.
    fn check_reply<'a>(
        &mut self,
        now: Now,
        config: &Config,
        received: &Received<'_>,
        pending: &PendingRegistration,
        answer: &Answer<'a>,
    ) -> Result<Extensions<'a>, Refused<'a>> {
        let Answer { reply, extensions, is_broken } = answer;
        let end = authorization_end(extensions);
        match check_foreign_authentication(config, pending, extensions, end) {
            Ok(deviates) => self.counters.authenticated_by_other_algorithm += u64::from(deviates),
            // What authenticates it may be behind the break.
            Err(_) if *is_broken => return Err(ReplyCode::FA_MALFORMED_REPLY.into()),
            Err(reason) => {
                self.violations.push(Violation {
                    at: now,
                    peer: received.source,
                    home_address: reply.home_address,
                    spi: spi_of(extensions, kind::FOREIGN_HOME_AUTHENTICATION),
                    identification: reply.identification,
                    reason,
                });
                return Err(ReplyCode::FA_HOME_AUTHENTICATION.into());
            }
        }
        let coded_by_home_agent = reply.code.is_from_home_agent();
        let authentic = end.filter(|_| coded_by_home_agent).map(|end| &extensions.message()[..end]);
        let refused = |code| Refused { code, relayed: authentic };
        if *is_broken {
            return Err(refused(ReplyCode::FA_MALFORMED_REPLY));
        }
        check_names(config, pending, reply, extensions).map_err(refused)?;
        let end = match end {
            Some(end) => end,
            None if coded_by_home_agent => return Err(ReplyCode::FA_MALFORMED_REPLY.into()),
            None => RegistrationReply::LENGTH,
        };
        let for_us = extensions.since(end);
        if for_us.of_kind(kind::CRITICAL_VENDOR).next().is_some() {
            return Err(refused(ReplyCode::FA_VENDOR_FROM_HOME));
        }
        if returns_another_challenge(pending, &for_us) {
            return Err(refused(ReplyCode::FA_CHALLENGE_FROM_HOME));
        }
        Ok(for_us)
    }

    /// Whether a request that is no newer than the visitor's is said to be accepted. With timestamps a home agent accepts
    /// none but newer ones, so somebody must have captured both; with nonces the reply does not have the Identification of
    /// the request.
    fn is_replayed(&self, now: Now, pending: &PendingRegistration, reply: &RegistrationReply) -> bool {
        let asked = pending.request.identification;
        let current = self.visitors.get(&(reply.home_agent, reply.home_address)).map(|visitor| visitor.identification);
        reply.code.is_accepted()
            && reply.identification == asked
            && current.is_some_and(|current| is_timestamp(now, current) && asked.since(current) <= 0)
    }

    /// Brings visitor list and data path up to date (RFC 5944 §3.7.3.2). Older requests of the same node are
    /// over with it, whatever their replies, still under way, may say. Returns the challenge that the visitor was given.
    fn apply(
        &mut self,
        now: Now,
        config: &Config,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        for_us: &Extensions<'_>,
        actions: &mut Vec<Action>,
    ) -> Option<Challenge> {
        if !reply.code.is_accepted() {
            self.counters.denied_by_home_agent.add(reply.code);
            let keys_refused = reply.code == ReplyCode::HA_ENCAPSULATION && pending.proposal.gre_key.is_some();
            if keys_refused && !pending.request.flags.gre {
                self.forgo_keys(now, pending);
            }
            return None;
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
            return None;
        }
        self.counters.registrations_accepted += 1;
        let care_of_address = pending.care_of_address?;
        let agreement = Agreement {
            care_of_address,
            tunnel: pending.agrees_on(reply, for_us),
            revocation: Revocable::agreed(pending.proposal.revocation, for_us),
            challenge: self.challenges.is_some().then(|| challenge::fresh(&mut self.random)),
        };
        let visitor = VisitorEntry::new(now, pending, reply, agreement, granted, current.as_ref());
        self.stop_revoking(visitor.key());
        if self.install(now, visitor, actions) {
            self.unconfirmed = Some(Unconfirmed { visitor, previous: current, addressee: pending.addressee() });
        }
        visitor.challenge
    }

    /// The home agent seems not to know GRE keys.
    pub(super) fn forgo_keys(&mut self, now: Now, pending: &PendingRegistration) {
        if self.keyless.insert(pending.relayed_to) {
            self.deadlines.set(Deadline::Keyless(pending.relayed_to), now.instant + KEYLESS_TIME);
        }
    }

    fn relay_reply(
        &mut self,
        config: &Config,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        message: &[u8],
        challenge: Option<Challenge>,
        actions: &mut Vec<Action>,
    ) {
        let mut payload = message.to_vec();
        if let Some(challenge) = challenge {
            append_challenge(&mut payload, &challenge);
        }
        sign_for_client(config, pending.request.home_address, pending.signer, &mut payload);
        self.counters.replies_relayed += 1;
        actions.push(Action::Send(pending.requester.transmit(reply.home_address, payload)));
    }

    /// The client gets what the home agent said, and beside it that we do not agree (RFC 4636 §3, RFC 4721 §3.4).
    fn refuse_reply(
        &mut self,
        now: Now,
        id: PendingId,
        reply: &RegistrationReply,
        message: &[u8],
        code: ReplyCode,
        actions: &mut Vec<Action>,
    ) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        pending.denied = true;
        let pending = pending.clone();
        self.counters.denied.add(code);
        if !self.limiter.admit(now.instant, pending.requester.mac) {
            self.counters.denials_suppressed += 1;
            return;
        }
        let mut message = message.to_vec();
        append_error(&mut message, code);
        let challenge = self.offer_challenge(&pending.addressee());
        let config = Arc::clone(&self.config);
        self.relay_reply(&config, &pending, reply, &message, challenge, actions);
    }

    /// Adds or replaces a visitor. The data path hears of it only if it must do something else than before; says whether it
    /// must.
    pub(super) fn install(&mut self, now: Now, visitor: VisitorEntry, actions: &mut Vec<Action>) -> bool {
        let VisitorEntry { home_address, home_agent, care_of_address, requester, tunnel, .. } = visitor;
        let key = visitor.key();
        match visitor.expires {
            Some(expires) => self.deadlines.set(Deadline::Visitor(key), expires),
            None => self.deadlines.clear(Deadline::Visitor(key)),
        }
        let replaced = self.visitors.insert(key, visitor);
        self.follow_udp_tunnel(now, replaced.as_ref(), &visitor);
        let changes = !replaced.is_some_and(|replaced| replaced.forwards_like(&visitor));
        if changes {
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
        changes
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

/// Whether the Identification is the time, by and large: other styles of replay protection put anything there.
fn is_timestamp(now: Now, identification: Identification) -> bool {
    identification.since(now.wall).unsigned_abs() >> 32 < DAY.as_secs()
}

/// Everything before what is for us.
fn for_the_client<'a>(for_us: &Extensions<'a>) -> &'a [u8] {
    &for_us.message()[..for_us.start()]
}

/// Whether the home agent returns a challenge, but not the one that it got (RFC 4721 §3.4).
fn returns_another_challenge(pending: &PendingRegistration, for_us: &Extensions<'_>) -> bool {
    let returned = challenge_in(for_us);
    let own = pending.challenge.as_deref();
    own.is_some() && returned.is_some_and(|returned| own != Some(returned.data))
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
        Verification::Absent if !pending.signed => Ok(false),
        other => Err(reason(other)),
    }
}
