//! What is counted about the subnet map exchange.

use crate::{
    mobility::{counters::counters, tally::Tally},
    wire::subnet_map::Malformed,
};

/// Why a datagram changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discard {
    /// No message, or one with a broken body.
    Malformed,
    /// Another version of the protocol.
    Version,
    /// Not made with our key.
    Authenticator,
    /// The sender is not who the IP source address says, or is ourselves.
    Sender,
    /// Of no session that we have: of an earlier one, or a replay.
    Session,
    /// Seen before in this session, and not the last one.
    Replayed,
    /// What this sender has no business to say.
    Unexpected,
    /// Of more access points than we remember.
    TooManyMembers,
    /// A registration reply that answers no probe.
    UnmatchedReply,
}

impl Discard {
    /// `snake_case` name, stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Authenticator => "authenticator",
            Self::Sender => "sender",
            Self::Session => "session",
            Self::Replayed => "replayed",
            Self::Unexpected => "unexpected",
            Self::TooManyMembers => "too_many_members",
            Self::UnmatchedReply => "unmatched_reply",
        }
    }
}

impl From<Malformed> for Discard {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Version(_) => Self::Version,
            Malformed::Authenticator => Self::Authenticator,
            Malformed::Short | Malformed::Magic | Malformed::Type(_) | Malformed::Body => Self::Malformed,
        }
    }
}

counters! {
    /// Counters of the subnet map exchange, since the agent was started.
    pub struct Counters {
        sessions_opened: "sessions with other access points";
        sessions_failed: "access points that did not answer several messages in a row";
        failovers: "changes to another authoritative access point";
        reports_sent: "reports to the authoritative access point";
        reports_received: "reports of access points";
        joins: "access points that joined";
        leaves: "access points that left for another authoritative one";
        members_expired: "access points that fell silent";
        entries_sent: "entries sent to other access points, repetitions included";
        entries_received: "entries received";
        entries_new: "of those, entries that changed the table";
        entries_impossible: "of those, entries that no table can hold";
        entries_refused_full: "entries refused because the table was full";
        tables_received: "whole tables received";
        comparisons: "comparisons with another authoritative access point that it answered";
        comparisons_different: "of those, with another table than ours";
        repetitions: "messages sent again for want of an answer";
        repetitions_received: "messages received again and acknowledged again";
        probes_sent: "requests sent to ask whether a home agent is alive";
        probes_answered: "home agents that proved alive";
        entries_removed: "entries removed because their home agent did not answer";
    }
    and {
        /// Datagrams that changed nothing, by reason.
        discarded: Tally<Discard>,
    }
}
