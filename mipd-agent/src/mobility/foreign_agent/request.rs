//! From the client: what becomes of a Registration Request, and relaying it (RFC 5944 §3.7.2).

use std::{net::Ipv4Addr, sync::Arc};

use rand::RngExt as _;

use super::{
    Action, Deadline, ForeignAgent,
    challenge::Node,
    check::{Identified, Refused, identify},
    config::Config,
    counters::Discard,
    denial::{Addressee, denial},
    pending::{PendingRegistration, Requester},
    tunnel::Proposal,
};
use crate::{
    mobility::{
        link::{Received, Transmit},
        security::Violation,
        time::Now,
        tunnel::Delivery,
    },
    wire::{
        challenge::Challenge,
        extension::{ParseError, kind},
        registration::RegistrationRequest,
        types::{HomeAgentAddress, Lifetime, ReplyCode},
    },
};

/// Which of the many things that a request may get it gets: to be relayed there, in this way.
struct Passed<'a> {
    home_agent: Ipv4Addr,
    delivery: Delivery,
    challenge: Option<&'a [u8]>,
}

impl ForeignAgent {
    /// A datagram to port 434 from the access side.
    pub fn handle_request(&mut self, now: Now, received: &Received<'_>, actions: &mut Vec<Action>) {
        let parsed = RegistrationRequest::parse(received.payload);
        let fixed = match &parsed {
            Ok((request, _)) => Ok(*request),
            Err(ParseError::Truncated | ParseError::WrongType) => Err(()),
            Err(_) => RegistrationRequest::parse_fixed(received.payload).map_err(|_| ()),
        };
        let Ok(request) = fixed else {
            self.counters.discarded.add(Discard::NotARequest);
            return;
        };
        self.counters.requests_received += 1;
        let config = Arc::clone(&self.config);
        let Some(requester) = requester(&config, received) else {
            self.counters.discarded.add(Discard::NotFromAnAccessInterface);
            return;
        };
        let mut addressee = Addressee { requester, request, nai: None, signer: None };
        let identified = match identify(&config, received, parsed) {
            Ok(identified) => identified,
            Err(refused) => return self.refuse(now, received, &addressee, refused, actions),
        };
        addressee.signer = identified.signer;
        addressee.nai.clone_from(&identified.nai);
        if identified.signer.is_some_and(|signer| signer.deviates) {
            self.counters.authenticated_by_other_algorithm += 1;
        }
        match self.check(&config, received, &requester, &identified) {
            Ok(passed) => self.relay(now, &config, &addressee, &identified, &passed, actions),
            Err(refused) => self.refuse(now, received, &addressee, refused, actions),
        }
    }

    fn refuse(
        &mut self,
        now: Now,
        received: &Received<'_>,
        addressee: &Addressee,
        refused: Refused,
        actions: &mut Vec<Action>,
    ) {
        match refused {
            Refused::Discard(reason) => self.counters.discarded.add(reason),
            Refused::Deny(code) => self.deny(now, addressee, code, actions),
            Refused::Violation(code, reason, spi) => {
                self.violations.push(Violation {
                    at: now,
                    peer: received.source,
                    home_address: addressee.request.home_address,
                    spi,
                    identification: addressee.request.identification,
                    reason,
                });
                self.deny(now, addressee, code, actions);
            }
        }
    }

    /// All checks but those of form and authentication, in their order.
    fn check<'a>(
        &self,
        config: &Config,
        received: &Received<'_>,
        requester: &Requester,
        identified: &'a Identified<'_>,
    ) -> Result<Passed<'a>, Refused> {
        let home_agent = identified.check_addresses(config, received.ttl)?;
        self.check_room(config, requester, identified)?;
        let challenge = self.check_challenge(requester, identified, home_agent)?;
        let delivery = identified.check_tunnel(config)?;
        Ok(Passed { home_agent, delivery, challenge })
    }

    /// RFC 4721 §3.2. A challenge that was used already passes again in a repetition of the request that used it, while that
    /// one is pending.
    fn check_challenge<'a>(
        &self,
        requester: &Requester,
        identified: &'a Identified<'_>,
        home_agent: Ipv4Addr,
    ) -> Result<Option<&'a [u8]>, Refused> {
        let Some(challenges) = &self.challenges else { return Ok(None) };
        let challenge = identified.challenge()?;
        let request = &identified.request;
        let node = Node::new(request.home_address, identified.nai.as_ref());
        let visitor = self.visitors.get(&(HomeAgentAddress(home_agent), request.home_address));
        let kept = visitor.and_then(|visitor| visitor.challenge);
        match challenges.check(requester.interface, &node, kept, challenge) {
            Ok(()) => Ok(Some(challenge)),
            Err(ReplyCode::FA_STALE_CHALLENGE)
                if self.pending.of_node(request.home_address).any(|(_, pending)| {
                    pending.challenge.as_deref() == Some(challenge)
                        && pending.nai == identified.nai
                        && pending.is_repeated_by(request, requester.mac)
                }) =>
            {
                Ok(Some(challenge))
            }
            Err(code) => Err(code.into()),
        }
    }

    /// A repeated request takes the place it has; one that another client already sent is not taken over.
    fn check_room(&self, config: &Config, requester: &Requester, identified: &Identified<'_>) -> Result<(), Refused> {
        let request = &identified.request;
        let repeated = self.pending.find(request, identified.nai.as_ref()).and_then(|id| self.pending.get(id));
        if let Some(pending) = repeated {
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
        addressee: &Addressee,
        identified: &Identified<'_>,
        passed: &Passed<'_>,
        actions: &mut Vec<Action>,
    ) {
        let request = &identified.request;
        let named = Some(request.care_of_address).filter(|address| config.offers(*address));
        let Some(source) = named.or_else(|| config.care_of_addresses.first().copied()) else {
            return self.deny(now, addressee, ReplyCode::FA_CARE_OF_ADDRESS, actions);
        };
        let key = (HomeAgentAddress(passed.home_agent), request.home_address);
        let random = &mut self.random;
        let current = self.visitors.get(&key);
        let proposal =
            Proposal::of(config, &self.keyless, identified, passed.home_agent, current, now, || random.random());
        let mut payload = identified.extensions.message()[..identified.end].to_vec();
        proposal.append(config, identified, &mut payload);
        let association = config.foreign_home.primary(passed.home_agent).filter(|association| {
            named.is_some() && (request.lifetime != Lifetime::DEREGISTER || association.sign_deregistrations)
        });
        if let Some(association) = association {
            association.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
        }
        if let Some(repeated) = self.pending.find(request, identified.nai.as_ref()) {
            self.take_pending(repeated);
        }
        let id = self.pending.insert(PendingRegistration {
            request: *request,
            nai: identified.nai.clone(),
            requester: addressee.requester,
            relayed_to: passed.home_agent,
            care_of_address: named.filter(|_| !request.flags.co_located),
            delivery: passed.delivery,
            proposal,
            challenge: passed.challenge.map(<[u8]>::to_vec),
            signer: identified.signer,
            signed: association.is_some(),
            relayed_at: now.instant,
            denied: false,
        });
        let asked = request.lifetime.duration().filter(|lifetime| !lifetime.is_zero());
        let patience = asked.map_or(config.pending_timeout, |lifetime| lifetime.min(config.pending_timeout));
        self.deadlines.set(Deadline::Pending(id), now.instant + patience);
        if let Some((challenges, challenge)) = self.challenges.as_mut().zip(passed.challenge) {
            let node = Node::new(request.home_address, identified.nai.as_ref());
            challenges.spend(addressee.requester.interface, node, challenge);
            if let Some(visitor) = self.visitors.get_mut(&key)
                && visitor.challenge.take().is_some()
            {
                actions.push(Action::VisitorChanged { home_agent: key.0, home_address: key.1 });
            }
        }
        self.tunnel_used(now, source, key.0);
        self.counters.requests_relayed += 1;
        actions.push(Action::Send(Transmit::between_agents(payload, source.0, passed.home_agent)));
    }

    /// Denies a request, unless the client was denied something within the last second.
    pub(super) fn deny(&mut self, now: Now, addressee: &Addressee, code: ReplyCode, actions: &mut Vec<Action>) {
        self.counters.denied.add(code);
        if self.limiter.admit(now.instant, addressee.requester.mac) {
            let challenge = self.offer_challenge(addressee);
            actions.push(Action::Send(denial(&self.config, addressee, code, challenge)));
        } else {
            self.counters.denials_suppressed += 1;
        }
    }
}

impl ForeignAgent {
    /// The challenge for a reply that proves nothing about the client (RFC 4721 §3.3).
    pub(super) fn offer_challenge(&mut self, addressee: &Addressee) -> Option<Challenge> {
        let challenges = self.challenges.as_mut()?;
        let request = &addressee.request;
        let visitor = self.visitors.get(&(request.home_agent, request.home_address));
        let kept = visitor.and_then(|visitor| visitor.challenge);
        let node = Node::new(request.home_address, addressee.nai.as_ref());
        Some(challenges.offer(addressee.requester.interface, &node, kept, &mut self.random))
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
