//! From the client: the ordered checks of a Registration Request, and relaying it (RFC 5944 §3.7.2, RFC 3024 §3.3).

use std::sync::Arc;

use super::{
    Action, Deadline, ForeignAgent,
    config::Config,
    counters::Discard,
    pending::{self, PendingRegistration, Requester, is_host},
};
use crate::{
    mobility::{
        link::{Path, Received, Transmit},
        reverse_tunnel,
        security::{Verification, Violation, ViolationReason, verify},
        time::Now,
    },
    wire::{
        extension::{Extensions, ParseError, kind},
        registration::RegistrationRequest,
        types::{HomeAddress, Lifetime, ReplyCode},
    },
};

/// The port of registrations (RFC 5944 §3.3).
const PORT: u16 = 434;
const TTL: u8 = 64;

/// What happens to a request that is not relayed.
enum Refused {
    Discard(Discard),
    Deny(ReplyCode),
    /// The client failed our own authentication: denied, and logged.
    Violation(ReplyCode, ViolationReason),
}

impl From<ReplyCode> for Refused {
    fn from(code: ReplyCode) -> Self {
        Self::Deny(code)
    }
}

impl ForeignAgent {
    /// A datagram to port 434 from the access side.
    pub fn handle_request(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let Ok(request) = RegistrationRequest::parse_fixed(received.payload) else {
            self.counters.discarded.add(Discard::NotARequest);
            return;
        };
        self.counters.requests_received += 1;
        let config = Arc::clone(&self.config);
        let Some(requester) = requester(&config, received) else {
            self.counters.discarded.add(Discard::NotFromAnAccessInterface);
            return;
        };
        match self.check(&config, received, &requester, &request) {
            Ok(end) => self.relay(now, &config, requester, &request, &received.payload[..end], actions),
            Err(Refused::Discard(reason)) => self.counters.discarded.add(reason),
            Err(Refused::Deny(code)) => self.deny(now, &requester, &request, code, actions),
            Err(Refused::Violation(code, reason)) => {
                self.violations.push(Violation {
                    at: now,
                    peer: received.source,
                    home_address: request.home_address,
                    spi: None,
                    identification: request.identification,
                    reason,
                });
                self.deny(now, &requester, &request, code, actions);
            }
        }
    }

    /// All checks. `Ok` is how much of the message is to be relayed: everything through the last extension that the home
    /// agent authorizes by, and nothing after it.
    fn check(
        &self,
        config: &Config,
        received: &Received<'_>,
        requester: &Requester,
        request: &RegistrationRequest,
    ) -> Result<usize, Refused> {
        let extensions = match RegistrationRequest::parse(received.payload) {
            Ok((_, extensions)) => extensions,
            Err(ParseError::UnknownNonSkippable(_)) => return Err(Refused::Discard(Discard::UnknownExtension)),
            Err(_) => return Err(ReplyCode::FA_MALFORMED_REQUEST.into()),
        };
        let registers = request.lifetime != Lifetime::DEREGISTER;
        let through_us = registers && !request.flags.co_located;

        if !request.flags.co_located && extensions.of_kind(kind::REVOCATION_SUPPORT).next().is_some() {
            return Err(Refused::Discard(Discard::RevocationFromMobileNode));
        }
        check_mobile_authentication(config, &extensions, request.home_address)?;
        if request.flags.reverse_tunnel && received.ttl != u8::MAX {
            return Err(ReplyCode::FA_TOO_DISTANT.into());
        }
        check_addresses(config, request)?;
        let end = authorization_end(&extensions).ok_or(ReplyCode::FA_MALFORMED_REQUEST)?;
        if through_us && !config.offers(request.care_of_address) {
            return Err(ReplyCode::FA_CARE_OF_ADDRESS.into());
        }
        if request.lifetime > config.maximum_lifetime {
            return Err(ReplyCode::FA_LIFETIME.into());
        }
        self.check_room(config, requester, request)?;
        if through_us && (request.flags.minimal_encapsulation || request.flags.gre) {
            return Err(ReplyCode::FA_ENCAPSULATION.into());
        }
        let mut for_us = extensions.iter().filter(|extension| extension.offset >= end);
        if for_us.clone().any(|extension| extension.kind == kind::CRITICAL_VENDOR) {
            return Err(ReplyCode::FA_VENDOR_FROM_MOBILE.into());
        }
        if for_us.any(|extension| extension.kind == kind::ENCAPSULATING_DELIVERY) {
            return Err(ReplyCode::FA_DELIVERY_STYLE.into());
        }
        if through_us {
            match config.reverse_tunnel.refuses(request.flags.reverse_tunnel) {
                Some(reverse_tunnel::Refusal::Mandatory) => {
                    return Err(ReplyCode::FA_REVERSE_TUNNEL_MANDATORY.into());
                }
                Some(reverse_tunnel::Refusal::Unavailable) => {
                    return Err(ReplyCode::FA_REVERSE_TUNNEL_UNAVAILABLE.into());
                }
                None => {}
            }
        }
        Ok(end)
    }

    /// A repeated request takes the place it has; one that another client already sent is not taken over.
    fn check_room(&self, config: &Config, requester: &Requester, request: &RegistrationRequest) -> Result<(), Refused> {
        if let Some(pending) = self.pending.get(pending::key(request)) {
            let same = pending.requester.mac == requester.mac;
            return if same { Ok(()) } else { Err(Refused::Discard(Discard::Imitation)) };
        }
        let known = self.visitors.contains_key(&(request.home_agent, request.home_address));
        let arrives = !known && request.lifetime != Lifetime::DEREGISTER;
        let full = self.pending.len() >= config.maximum_pending
            || self.pending.of_client(requester.mac) >= config.maximum_pending_per_client
            || (arrives && self.visitors.len() + self.pending.len() >= config.maximum_visitors);
        if full { Err(ReplyCode::FA_RESOURCES.into()) } else { Ok(()) }
    }

    fn relay(
        &mut self,
        now: Now,
        config: &Config,
        requester: Requester,
        request: &RegistrationRequest,
        message: &[u8],
        actions: &mut Vec<Action>,
    ) {
        let named = Some(request.care_of_address).filter(|address| config.offers(*address));
        let Some(source) = named.or_else(|| config.care_of_addresses.first().copied()) else {
            self.deny(now, &requester, request, ReplyCode::FA_CARE_OF_ADDRESS, actions);
            return;
        };
        let mut payload = message.to_vec();
        if named.is_some()
            && request.lifetime != Lifetime::DEREGISTER
            && let Some(association) = config.foreign_home.primary(request.home_agent.0)
        {
            association.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
        }
        self.pending.insert(PendingRegistration {
            request: *request,
            requester,
            care_of_address: named.filter(|_| !request.flags.co_located),
            relayed_at: now.instant,
            denied: false,
        });
        self.deadlines.set(Deadline::Pending(pending::key(request)), now.instant + config.pending_timeout);
        self.counters.requests_relayed += 1;
        actions.push(Action::Send(Transmit {
            payload,
            source: source.0,
            source_port: PORT,
            destination: request.home_agent.0,
            destination_port: PORT,
            ttl: TTL,
            path: Path::Routed,
        }));
    }
}

/// `None` if the datagram did not come from a host on an access interface.
fn requester(config: &Config, received: &Received<'_>) -> Option<Requester> {
    let access = config.access(received.interface)?;
    let mac = received.source_mac.filter(|mac| !mac.is_multicast())?;
    let own = config.own_addresses.contains(&received.destination);
    let agent = if own { received.destination } else { access.address };
    Some(Requester {
        mac,
        interface: received.interface,
        port: received.source_port,
        agent,
        agent_port: received.destination_port,
    })
}

/// RFC 5944 §3.7.2.1: with an association, exactly one valid type 33.
fn check_mobile_authentication(
    config: &Config,
    extensions: &Extensions<'_>,
    home_address: HomeAddress,
) -> Result<(), Refused> {
    if !config.mobile_foreign.covers(home_address.0) {
        return Ok(());
    }
    let select = |spi| config.mobile_foreign.lookup(home_address.0, spi);
    let reason = match verify(extensions, kind::MOBILE_FOREIGN_AUTHENTICATION, select) {
        Verification::Valid { .. } => return Ok(()),
        Verification::Absent => ViolationReason::MissingExtension,
        Verification::UnknownSpi => ViolationReason::BadSpi,
        Verification::Repeated | Verification::Wrong(_) => ViolationReason::BadAuthenticator,
    };
    Err(Refused::Violation(ReplyCode::FA_MOBILE_AUTHENTICATION, reason))
}

/// Home agent and home address must be hosts elsewhere: a request is never broadcast (RFC 4433 §3), nor tunnelled to us.
fn check_addresses(config: &Config, request: &RegistrationRequest) -> Result<(), ReplyCode> {
    let (home_agent, home_address) = (request.home_agent, request.home_address);
    if config.is_own_but_no_home_agent(home_agent) {
        return Err(ReplyCode::FA_INVALID_HOME_AGENT);
    }
    if home_agent.0.is_unspecified() || home_agent.0.is_broadcast() {
        return Err(ReplyCode::FA_HOME_AGENT_REQUIRED);
    }
    if !is_host(home_agent.0) {
        return Err(ReplyCode::FA_INVALID_HOME_AGENT);
    }
    if home_address.0.is_unspecified() {
        return Err(ReplyCode::FA_HOME_ADDRESS_REQUIRED);
    }
    if !is_host(home_address.0) || home_address.0 == home_agent.0 {
        return Err(ReplyCode::FA_MALFORMED_REQUEST);
    }
    if config.own_addresses.contains(&home_address.0) {
        return Err(ReplyCode::FA_PROHIBITED);
    }
    Ok(())
}

/// The end of the last authorization-enabling extension (RFC 5944 §3.7.2.2).
pub(super) fn authorization_end(extensions: &Extensions<'_>) -> Option<usize> {
    let authorizes = |kind| matches!(kind, kind::MOBILE_HOME_AUTHENTICATION | kind::GENERALIZED_AUTHENTICATION);
    extensions.iter().filter(|extension| authorizes(extension.kind)).last().map(|extension| extension.end())
}
