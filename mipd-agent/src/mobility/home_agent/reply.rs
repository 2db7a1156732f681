//! The home agent's Registration Replies (RFC 5944 §3.8.3).

use super::{config::Config, petition::Petition, signers::Signers};
use crate::{
    mobility::link::{Path, Received, Transmit},
    wire::{
        extension::kind,
        gre_key::GreKey,
        proxy_mode::AuthenticationMethod,
        registration::RegistrationReply,
        revocation::RevocationSupport,
        types::{HomeAgentAddress, Identification, Lifetime, ReplyCode},
        udp_tunnel::UdpTunnelReply,
    },
};

/// What a reply says beyond what it copies from its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'k> {
    pub code: ReplyCode,
    pub lifetime: Lifetime,
    pub identification: Identification,
    pub signers: Signers<'k>,
    /// The key that we want to be sent.
    pub gre_key: Option<GreKey>,
    /// What we say to a tunnel over UDP.
    pub udp: Option<UdpTunnelReply>,
    /// That we agree to revocation.
    pub revocation: Option<RevocationSupport>,
}

impl<'k> Answer<'k> {
    /// A refusal.
    pub fn denial(identification: Identification, code: ReplyCode, signers: Signers<'k>) -> Self {
        Self {
            code,
            lifetime: Lifetime::DEREGISTER,
            identification,
            signers,
            gre_key: None,
            udp: None,
            revocation: None,
        }
    }
}

/// The reply, back along the way the request came. The order of its extensions is that of RFC 5944 §3.8.3.2: for the mobile
/// node, its authentication, for the foreign agent, its authentication. Name (RFC 2794) and challenge (RFC 4721 §8) come
/// back as they were received.
pub(super) fn reply(config: &Config, petition: &Petition<'_>, answer: &Answer<'_>) -> Transmit {
    let Petition { received, request, home_address, extensions, .. } = petition;
    let home_agent = if config.is_own(request.home_agent) {
        request.home_agent
    } else {
        config.address_for(*home_address, received.destination)
    };
    let mut payload = Vec::with_capacity(USUAL_LENGTH);
    RegistrationReply {
        code: answer.code,
        lifetime: answer.lifetime,
        home_address: *home_address,
        home_agent,
        identification: answer.identification,
    }
    .emit(&mut payload);

    if let Some(nai) = extensions.of_kind(kind::MOBILE_NODE_NAI).next() {
        payload.extend_from_slice(nai.raw);
    }
    // The answer to a co-located client is for it, any other for the foreign agent (RFC 3519 §3.2).
    let (udp_for_mobile_node, udp_for_foreign_agent) =
        if request.flags.co_located { (answer.udp, None) } else { (None, answer.udp) };
    if let Some(udp) = udp_for_mobile_node {
        udp.append(&mut payload);
    }
    if let Some(signer) = answer.signers.mobile {
        signer.sign(&mut payload, kind::MOBILE_HOME_AUTHENTICATION);
    }

    if let Some(challenge) = extensions.of_kind(kind::CHALLENGE).next() {
        payload.extend_from_slice(challenge.raw);
    }
    if let Some(udp) = udp_for_foreign_agent {
        udp.append(&mut payload);
    }
    if let Some(key) = answer.gre_key {
        key.append(&mut payload);
    }
    if let Some(revocation) = answer.revocation {
        revocation.append(&mut payload);
    }
    if answer.signers.by_proxy {
        AuthenticationMethod::ForeignHome.append(&mut payload);
    }
    if let Some(signer) = answer.signers.foreign {
        signer.sign(&mut payload, kind::FOREIGN_HOME_AUTHENTICATION);
    }

    Transmit {
        source: source(config, received, home_agent).0,
        path: path(config, petition),
        ..Transmit::answer(received, payload)
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
fn path(config: &Config, petition: &Petition<'_>) -> Path {
    match petition.received.source_mac {
        Some(destination) if is_on_home_link(config, petition) => {
            Path::Frame { interface: petition.received.interface, destination, source: None }
        }
        _ => Path::Routed,
    }
}

/// Whether the node itself sent the request, from the link where its home address belongs.
pub(super) fn is_on_home_link(config: &Config, petition: &Petition<'_>) -> bool {
    let Petition { received, home_address, .. } = *petition;
    received.source == home_address.0
        && received.source_mac.is_some_and(|mac| !mac.is_multicast())
        && config.subnet_of(home_address).is_some_and(|subnet| subnet.interface == received.interface)
}
