//! The home agent's Registration Replies (RFC 5944 §3.8.3).

use super::{
    config::Config,
    request::{Petition, Signers},
};
use crate::{
    mobility::{
        link::{Path, Received, Transmit},
        security::ReplayWindow,
        time::Now,
    },
    wire::{
        extension::kind,
        gre_key::GreKey,
        registration::{RegistrationReply, RegistrationRequest},
        types::{HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

const TTL: u8 = 64;

/// What a reply says beyond what it copies from its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'k> {
    pub code: ReplyCode,
    pub lifetime: Lifetime,
    pub identification: Identification,
    pub signers: Signers<'k>,
    /// The key that we want to be sent.
    pub gre_key: Option<GreKey>,
}

impl<'k> Answer<'k> {
    /// A refusal. It copies the Identification, except that code 133 lets the node set its clock (RFC 5944 §5.7.1).
    pub fn denial(
        now: Now,
        request: &RegistrationRequest,
        last: Option<Identification>,
        code: ReplyCode,
        signers: Signers<'k>,
    ) -> Self {
        let identification = if code == ReplyCode::HA_IDENTIFICATION {
            ReplayWindow::resynchronisation(now.wall, request.identification, last)
        } else {
            request.identification
        };
        Self { code, lifetime: Lifetime::DEREGISTER, identification, signers, gre_key: None }
    }
}

/// The reply, back along the way the request came. The order of its extensions is that of RFC 5944 §3.8.3.2: for the mobile
/// node, its authentication, for the foreign agent, its authentication.
pub(super) fn reply(config: &Config, petition: &Petition<'_>, answer: &Answer<'_>) -> Transmit {
    let Petition { received, request, .. } = petition;
    let home_agent =
        if config.is_own(request.home_agent) { request.home_agent } else { config.address_for(request.home_address) };
    let mut payload = Vec::with_capacity(USUAL_LENGTH);
    RegistrationReply {
        code: answer.code,
        lifetime: answer.lifetime,
        home_address: request.home_address,
        home_agent,
        identification: answer.identification,
    }
    .emit(&mut payload);
    answer.signers.mobile.sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);

    if let Some(key) = answer.gre_key {
        key.append(&mut payload);
    }
    if let Some(signer) = answer.signers.foreign {
        signer.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
    }

    Transmit {
        payload,
        source: source(config, received, home_agent).0,
        source_port: received.destination_port,
        destination: received.source,
        destination_port: received.source_port,
        ttl: TTL,
        path: path(config, received, request),
    }
}

/// With both authentication extensions of 16-byte authenticators and a few others.
const USUAL_LENGTH: usize = RegistrationReply::LENGTH + 2 * 22 + 32;

/// A request to a group is answered from a unicast address.
fn source(config: &Config, received: &Received<'_>, home_agent: HomeAgentAddress) -> HomeAgentAddress {
    if config.is_group(received.destination) { home_agent } else { HomeAgentAddress(received.destination) }
}

/// A node on its home link is answered there, by its link-layer address: while its binding exists, the routing table
/// would send the reply into the tunnel (RFC 5944 §3.8.3.2).
fn path(config: &Config, received: &Received<'_>, request: &RegistrationRequest) -> Path {
    match received.source_mac {
        Some(destination) if is_on_home_link(config, received, request) => {
            Path::Frame { interface: received.interface, destination, source: None }
        }
        _ => Path::Routed,
    }
}

/// Whether the node itself sent the request, from the link where its home address belongs.
pub(super) fn is_on_home_link(config: &Config, received: &Received<'_>, request: &RegistrationRequest) -> bool {
    received.source == request.home_address.0
        && received.source_mac.is_some_and(|mac| !mac.is_multicast())
        && config.subnet_of(request.home_address).is_some_and(|subnet| subnet.interface == received.interface)
}
