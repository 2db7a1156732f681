//! Denials, at most one per second and client (RFC 3024 §3.5 for code 76; here for all of them).

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use mipd_common::mac::MacAddress;

use super::{
    config::Config,
    pending::Requester,
    signature::{Signer, sign_for_client},
};
use crate::{
    mobility::{link::Transmit, time::Instant},
    wire::{
        challenge::{Challenge, append_challenge},
        nai::Nai,
        registration::{RegistrationReply, RegistrationRequest},
        types::ReplyCode,
    },
};

/// Least time between two denials to one client.
const INTERVAL: Duration = Duration::from_secs(1);

/// Clients remembered; when so many were denied within the interval, all others wait, too.
const CAPACITY: usize = 1024;

/// Who got a denial within the last second.
#[derive(Clone, Debug, Default)]
pub(super) struct DenialLimiter {
    recent: VecDeque<(Instant, MacAddress)>,
    clients: BTreeSet<MacAddress>,
}

impl DenialLimiter {
    /// Whether the client may get a denial now; if so, it gets it.
    pub fn admit(&mut self, now: Instant, client: MacAddress) -> bool {
        while let Some((at, denied)) = self.recent.front().copied()
            && now.since(at) >= INTERVAL
        {
            self.recent.pop_front();
            self.clients.remove(&denied);
        }
        if self.recent.len() == CAPACITY || !self.clients.insert(client) {
            return false;
        }
        self.recent.push_back((now, client));
        true
    }
}

/// Whom a reply of our own goes to, and what it answers.
#[derive(Clone, Debug)]
pub(super) struct Addressee {
    pub requester: Requester,
    pub request: RegistrationRequest,
    pub nai: Option<Nai>,
    pub signer: Option<Signer>,
}

/// A reply that a foreign agent makes itself (RFC 5944 §3.7.2.3): it copies the request, names our maximum with code 69,
/// and has no Mobile-Home authentication.
pub(super) fn denial(
    config: &Config,
    addressee: &Addressee,
    code: ReplyCode,
    challenge: Option<Challenge>,
) -> Transmit {
    let Addressee { requester, request, signer, .. } = addressee;
    let mut payload = Vec::new();
    RegistrationReply {
        code,
        lifetime: if code == ReplyCode::FA_LIFETIME { config.maximum_lifetime } else { request.lifetime },
        home_address: request.home_address,
        home_agent: request.home_agent,
        identification: request.identification,
    }
    .emit(&mut payload);
    if let Some(challenge) = challenge {
        append_challenge(&mut payload, &challenge);
    }
    sign_for_client(config, request.home_address, *signer, &mut payload);
    requester.transmit(request.home_address, payload)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mipd_common::mac::MacAddress;

    use super::{CAPACITY, DenialLimiter};
    use crate::mobility::time::Instant;

    fn at(milliseconds: u64) -> Instant {
        Instant(Duration::from_millis(milliseconds))
    }

    fn mac(number: usize) -> MacAddress {
        let [.., a, b] = number.to_be_bytes();
        MacAddress([2, 0, 0, 0, a, b])
    }

    #[test]
    fn one_client_gets_one_denial_a_second() {
        let mut limiter = DenialLimiter::default();
        assert!(limiter.admit(at(0), mac(1)));
        assert!(!limiter.admit(at(999), mac(1)));
        assert!(limiter.admit(at(999), mac(2)));
        assert!(limiter.admit(at(1000), mac(1)));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_passes_with_time() {
        let mut limiter = DenialLimiter::default();
        let admitted = (0..10 * CAPACITY).filter(|number| limiter.admit(at(5), mac(*number))).count();
        assert_eq!(admitted, CAPACITY);
        assert_eq!(limiter.clients.len(), CAPACITY);
        assert!(limiter.admit(at(1005), mac(CAPACITY + 1)));
        assert_eq!(limiter.clients.len(), 1);
    }
}
