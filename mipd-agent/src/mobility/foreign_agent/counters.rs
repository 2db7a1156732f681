//! What a foreign agent counts (RFC 2006, `fa…`).

use crate::{mobility::tally::Tally, wire::types::ReplyCode};

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discard {
    /// Not a Registration Request, or shorter than one.
    NotARequest,
    /// Not a Registration Reply, or shorter than one.
    NotAReply,
    /// On an interface where we serve nobody, or without a usable link-layer source.
    NotFromAnAccessInterface,
    /// It has an extension of type 0..127 that we do not know (RFC 5944 §1.8).
    UnknownExtension,
    /// Revocation support in a request that goes through a foreign agent (RFC 3543 §3.2).
    RevocationFromMobileNode,
    /// The same home address and Identification as a pending request of another client.
    Imitation,
    /// A challenge that no authentication follows (RFC 4721 §3.2).
    UnprotectedChallenge,
    /// Not a revocation or acknowledgement, or one whose extensions are broken.
    MalformedRevocation,
    /// A revocation by a foreign agent, such as our own sent back (RFC 3543 §4.3).
    ReflectedRevocation,
    /// A revocation of a registration that does not exist, is not revocable or is another agent's.
    UnmatchedRevocation,
    /// A revocation or acknowledgement without the right authentication.
    UnauthenticRevocation,
    /// A revocation that is older than the registration, or seen already.
    OldRevocation,
    /// An acknowledgement of nothing that we revoke.
    UnmatchedAcknowledgement,
    /// Tunnelled data over UDP that is no answer to a keepalive.
    UnexpectedTunnelData,
    /// An acceptance of a request that is no newer than the one by which the visitor is registered.
    Replayed,
    /// A reply that no pending registration matches, or one that a newer reply has overtaken.
    Unsolicited,
}

impl Discard {
    /// `snake_case` name, stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotARequest => "not_a_request",
            Self::NotAReply => "not_a_reply",
            Self::NotFromAnAccessInterface => "not_from_an_access_interface",
            Self::UnknownExtension => "unknown_extension",
            Self::RevocationFromMobileNode => "revocation_from_mobile_node",
            Self::Imitation => "imitation",
            Self::UnprotectedChallenge => "unprotected_challenge",
            Self::MalformedRevocation => "malformed_revocation",
            Self::ReflectedRevocation => "reflected_revocation",
            Self::UnmatchedRevocation => "unmatched_revocation",
            Self::UnauthenticRevocation => "unauthentic_revocation",
            Self::OldRevocation => "old_revocation",
            Self::UnmatchedAcknowledgement => "unmatched_acknowledgement",
            Self::UnexpectedTunnelData => "unexpected_tunnel_data",
            Self::Replayed => "replayed",
            Self::Unsolicited => "unsolicited",
        }
    }
}

/// Counters of a foreign agent, since it was started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests, whatever became of them.
    pub requests_received: u64,
    /// Requests sent on to a home agent.
    pub requests_relayed: u64,
    /// Replies, whatever became of them.
    pub replies_received: u64,
    /// Replies sent on to a client.
    pub replies_relayed: u64,
    /// Of those, registrations accepted.
    pub registrations_accepted: u64,
    /// Of those, deregistrations accepted.
    pub deregistrations_accepted: u64,
    /// Of those, denied by the home agent.
    pub denied_by_home_agent: Tally<ReplyCode>,
    /// Own denials, by code, those that were not sent included.
    pub denied: Tally<ReplyCode>,
    /// Own denials not sent, since the client had one within the last second.
    pub denials_suppressed: u64,
    /// Messages that were authentic by another algorithm than their association names, since it accepts any.
    pub authenticated_by_other_algorithm: u64,
    /// Datagrams dropped without an answer, by reason.
    pub discarded: Tally<Discard>,
    /// Relayed requests that the home agent did not answer in time.
    pub requests_timed_out: u64,
    /// Visitors whose registration ended because nobody renewed it.
    pub visitors_expired: u64,
    /// Visitors that the operator removed.
    pub visitors_removed: u64,
    /// Visitors whose home agent revoked their registration.
    pub visitors_revoked: u64,
    /// Revocations by home agents, whatever became of them.
    pub revocations_received: u64,
    /// Of those, acknowledged.
    pub revocations_acknowledged: u64,
    /// Revocations sent to home agents, repetitions included.
    pub revocations_sent: u64,
    /// Revocations that the home agent acknowledged.
    pub revocations_confirmed: u64,
    /// Revocations that it never acknowledged.
    pub revocations_unanswered: u64,
    /// Keepalives through UDP tunnels.
    pub keepalives_sent: u64,
    /// Of those, answered.
    pub keepalives_answered: u64,
    /// UDP tunnels that did not answer several of them.
    pub tunnels_lost: u64,
}

impl Counters {
    /// All counters under stable names.
    pub fn entries(&self) -> Vec<(String, u64)> {
        let mut entries: Vec<_> = [
            ("requests_received", self.requests_received),
            ("requests_relayed", self.requests_relayed),
            ("replies_received", self.replies_received),
            ("replies_relayed", self.replies_relayed),
            ("registrations_accepted", self.registrations_accepted),
            ("deregistrations_accepted", self.deregistrations_accepted),
            ("denials_suppressed", self.denials_suppressed),
            ("authenticated_by_other_algorithm", self.authenticated_by_other_algorithm),
            ("requests_timed_out", self.requests_timed_out),
            ("visitors_expired", self.visitors_expired),
            ("visitors_removed", self.visitors_removed),
            ("visitors_revoked", self.visitors_revoked),
            ("revocations_received", self.revocations_received),
            ("revocations_acknowledged", self.revocations_acknowledged),
            ("revocations_sent", self.revocations_sent),
            ("revocations_confirmed", self.revocations_confirmed),
            ("revocations_unanswered", self.revocations_unanswered),
            ("keepalives_sent", self.keepalives_sent),
            ("keepalives_answered", self.keepalives_answered),
            ("tunnels_lost", self.tunnels_lost),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        entries.extend(self.denied.iter().map(|(code, count)| (format!("denied_{}", code.0), count)));
        let by_home_agent = self.denied_by_home_agent.iter();
        entries.extend(by_home_agent.map(|(code, count)| (format!("denied_by_home_agent_{}", code.0), count)));
        entries.extend(self.discarded.iter().map(|(reason, count)| (format!("discarded_{}", reason.name()), count)));
        entries
    }
}
