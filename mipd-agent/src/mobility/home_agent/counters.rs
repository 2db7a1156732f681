//! What a home agent counts (RFC 2006, `haRegistration…`).

use crate::{mobility::tally::Tally, wire::types::ReplyCode};

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discard {
    /// Not a Registration Request, or shorter than one.
    NotARequest,
    /// It has an extension of type 0..127 that we do not know (RFC 5944 §1.8).
    UnknownExtension,
    /// No Mobile-Home authentication extension (RFC 5944 §3.8.2.1).
    MissingAuthentication,
    /// No security association with the node.
    NoAssociation,
    /// A Foreign-Home authentication extension of an agent that we share no association with (RFC 5944 §3.8.2.1).
    StrangeForeignAgent,
}

impl Discard {
    /// `snake_case` name, stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotARequest => "not_a_request",
            Self::UnknownExtension => "unknown_extension",
            Self::MissingAuthentication => "missing_authentication",
            Self::NoAssociation => "no_association",
            Self::StrangeForeignAgent => "strange_foreign_agent",
        }
    }
}

/// Counters of a home agent, since it was started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests with a lifetime, whatever became of them.
    pub registration_requests: u64,
    /// Requests with lifetime 0, whatever became of them.
    pub deregistration_requests: u64,
    /// Registrations accepted.
    pub registrations_accepted: u64,
    /// Deregistrations accepted.
    pub deregistrations_accepted: u64,
    /// Requests refused, by code.
    pub denied: Tally<ReplyCode>,
    /// Datagrams dropped without an answer, by reason.
    pub discarded: Tally<Discard>,
    /// Replies of all kinds.
    pub replies_sent: u64,
    /// Gratuitous ARPs of all kinds, repetitions included.
    pub gratuitous_arps_sent: u64,
    /// Bindings that ended because nobody renewed them.
    pub bindings_expired: u64,
    /// Bindings that the operator ended.
    pub bindings_removed: u64,
}

impl Counters {
    /// All counters under stable names.
    pub fn entries(&self) -> Vec<(String, u64)> {
        let mut entries: Vec<_> = [
            ("registration_requests", self.registration_requests),
            ("deregistration_requests", self.deregistration_requests),
            ("registrations_accepted", self.registrations_accepted),
            ("deregistrations_accepted", self.deregistrations_accepted),
            ("replies_sent", self.replies_sent),
            ("gratuitous_arps_sent", self.gratuitous_arps_sent),
            ("bindings_expired", self.bindings_expired),
            ("bindings_removed", self.bindings_removed),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        entries.extend(self.denied.iter().map(|(code, count)| (format!("denied_{}", code.0), count)));
        entries.extend(self.discarded.iter().map(|(reason, count)| (format!("discarded_{}", reason.name()), count)));
        entries
    }
}
