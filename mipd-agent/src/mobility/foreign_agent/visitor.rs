//! The visitor list (RFC 5944 §3.7.1).

use super::{
    pending::{PendingRegistration, Requester},
    revocation::Revocable,
};
use crate::{
    mobility::{
        time::{Instant, Now},
        tunnel::TunnelMode,
    },
    wire::{
        challenge::Challenge,
        registration::{RegistrationReply, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime},
    },
};

/// A registered visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisitorEntry {
    /// The client.
    pub home_address: HomeAddress,
    /// Its home agent: the tunnel's start.
    pub home_agent: HomeAgentAddress,
    /// Ours: the tunnel's exit.
    pub care_of_address: CareOfAddress,
    /// How its last accepted request reached us.
    pub requester: Requester,
    /// Flags of that request.
    pub flags: RequestFlags,
    /// What was agreed on about the tunnel.
    pub tunnel: TunnelMode,
    /// What it asked for.
    pub lifetime_requested: Lifetime,
    /// What it has.
    pub lifetime_granted: Lifetime,
    /// Identification of that request.
    pub identification: Identification,
    /// What makes its registration revocable.
    pub revocation: Option<Revocable>,
    /// The challenge that its last accepted reply offered it, unless it has used it.
    pub challenge: Option<Challenge>,
    /// When its last accepted request was relayed.
    pub renewed_at: Instant,
    /// Since when it is here.
    pub registered_at: Instant,
    /// When it leaves; `None` = never.
    pub expires: Option<Instant>,
}

/// What an accepting reply settles, beside what was asked for.
#[derive(Clone, Copy)]
pub(super) struct Agreement {
    pub care_of_address: CareOfAddress,
    pub tunnel: TunnelMode,
    pub revocation: Option<Revocable>,
    pub challenge: Option<Challenge>,
}

/// Visitors of different home networks may have the same home address.
pub(super) type Key = (HomeAgentAddress, HomeAddress);

impl VisitorEntry {
    pub(super) fn new(
        now: Now,
        pending: &PendingRegistration,
        reply: &RegistrationReply,
        agreement: Agreement,
        granted: Lifetime,
        before: Option<&Self>,
    ) -> Self {
        let request = &pending.request;
        Self {
            home_address: reply.home_address,
            home_agent: reply.home_agent,
            care_of_address: agreement.care_of_address,
            requester: pending.requester,
            flags: request.flags,
            tunnel: agreement.tunnel,
            revocation: agreement.revocation,
            challenge: agreement.challenge,
            renewed_at: pending.relayed_at,
            lifetime_requested: request.lifetime,
            lifetime_granted: granted,
            identification: request.identification,
            registered_at: before.map_or(now.instant, |before| before.registered_at),
            expires: granted.duration().map(|lifetime| now.instant + lifetime),
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.home_agent, self.home_address)
    }

    /// Whether the data path must do the same for both.
    pub(super) fn forwards_like(&self, other: &Self) -> bool {
        let path = |entry: &Self| (entry.care_of_address, entry.requester.mac, entry.requester.interface, entry.tunnel);
        self.key() == other.key() && path(self) == path(other)
    }
}
