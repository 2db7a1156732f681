//! What a home agent counts (RFC 2006, `haRegistration…`).

use crate::{
    mobility::tally::Tally,
    wire::{authentication::Algorithm, types::ReplyCode},
};

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discard {
    /// Not a Registration Request, or shorter than one.
    NotARequest,
    /// Its extensions are broken, and none before the break authenticates it.
    Malformed,
    /// It has an extension of type 0..127 that we do not know (RFC 5944 §1.8).
    UnknownExtension,
    /// No Mobile-Home authentication extension (RFC 5944 §3.8.2.1).
    MissingAuthentication,
    /// No security association with the node.
    NoAssociation,
    /// No server told whether there is a security association with the node.
    AssociationUnavailable,
    /// Too many nodes wait for their security associations.
    TooManyParked,
    /// A Foreign-Home authentication extension of an agent that we share no association with (RFC 5944 §3.8.2.1).
    StrangeForeignAgent,
    /// Its IP source is no address of a host.
    ImpossibleSource,
    /// A denial that nobody has authenticated, when the node got one less than a second ago.
    DenialLimited,
    /// A revocation or an acknowledgement that cannot be parsed.
    MalformedRevocation,
    /// A home agent's revocation, sent to a home agent.
    ReflectedRevocation,
    /// A revocation of no binding that may be revoked, or from or to another address than the binding's.
    NothingToRevoke,
    /// A revocation or an acknowledgement without the foreign agent's authentication.
    UnauthenticRevocation,
    /// A revocation from before the last registration.
    OldRevocation,
    /// An acknowledgement of no revocation of ours.
    StrangeAcknowledgement,
    /// A search for home agents by a stranger, when enough of these were answered.
    ProbeLimited,
    /// A keepalive of no tunnel over UDP that we know.
    StrangeKeepalive,
}

impl Discard {
    /// `snake_case` name, stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotARequest => "not_a_request",
            Self::Malformed => "malformed",
            Self::UnknownExtension => "unknown_extension",
            Self::MissingAuthentication => "missing_authentication",
            Self::NoAssociation => "no_association",
            Self::AssociationUnavailable => "association_unavailable",
            Self::TooManyParked => "too_many_parked",
            Self::StrangeForeignAgent => "strange_foreign_agent",
            Self::ImpossibleSource => "impossible_source",
            Self::DenialLimited => "denial_limited",
            Self::MalformedRevocation => "malformed_revocation",
            Self::ReflectedRevocation => "reflected_revocation",
            Self::NothingToRevoke => "nothing_to_revoke",
            Self::UnauthenticRevocation => "unauthentic_revocation",
            Self::OldRevocation => "old_revocation",
            Self::StrangeAcknowledgement => "strange_acknowledgement",
            Self::ProbeLimited => "probe_limited",
            Self::StrangeKeepalive => "strange_keepalive",
        }
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacMd5 => "hmac_md5",
        Algorithm::Md5PrefixSuffix => "md5_prefix_suffix",
        Algorithm::Md5PrefixSuffixWithoutSpi => "md5_prefix_suffix_without_spi",
        Algorithm::HmacSha1 => "hmac_sha1",
        Algorithm::HmacSha256 => "hmac_sha256",
    }
}

/// Counters of a home agent, since it was started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests with a lifetime, whatever became of them.
    pub registration_requests: u64,
    /// Requests with lifetime 0, whatever became of them.
    pub deregistration_requests: u64,
    /// Requests that had to wait for a security association to be downloaded before they counted as received.
    pub requests_parked: u64,
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
    /// Searches for home agents by strangers that were answered; each is a denial with code 136, too.
    pub probes_answered: u64,
    /// Tunnels over UDP that waited for their first keepalive and got it.
    pub tunnels_opened_by_keepalive: u64,
    /// Bindings that the foreign agent revoked.
    pub bindings_revoked: u64,
    /// Revocations of bindings that were revoked already, acknowledged again.
    pub acknowledgements_repeated: u64,
    /// Revocations sent, repetitions included.
    pub revocations_sent: u64,
    /// Revocations that the foreign agent acknowledged.
    pub revocations_acknowledged: u64,
    /// Revocations given up without an acknowledgement.
    pub revocations_abandoned: u64,
    /// Authentic requests where any algorithm is accepted, by the one that matched, in the order of [`Algorithm::ALL`].
    pub algorithm_matched: [u64; Algorithm::ALL.len()],
    /// Gratuitous ARPs of all kinds, repetitions included.
    pub gratuitous_arps_sent: u64,
    /// Bindings that ended because nobody renewed them.
    pub bindings_expired: u64,
    /// Bindings that the operator ended.
    pub bindings_removed: u64,
}

impl Counters {
    pub(super) fn count_algorithm(&mut self, algorithm: Algorithm) {
        if let Some(place) = Algorithm::ALL.iter().position(|known| *known == algorithm) {
            self.algorithm_matched[place] += 1;
        }
    }

    /// All counters under stable names.
    pub fn entries(&self) -> Vec<(String, u64)> {
        let mut entries: Vec<_> = [
            ("registration_requests", self.registration_requests),
            ("deregistration_requests", self.deregistration_requests),
            ("requests_parked", self.requests_parked),
            ("registrations_accepted", self.registrations_accepted),
            ("deregistrations_accepted", self.deregistrations_accepted),
            ("replies_sent", self.replies_sent),
            ("probes_answered", self.probes_answered),
            ("tunnels_opened_by_keepalive", self.tunnels_opened_by_keepalive),
            ("bindings_revoked", self.bindings_revoked),
            ("acknowledgements_repeated", self.acknowledgements_repeated),
            ("revocations_sent", self.revocations_sent),
            ("revocations_acknowledged", self.revocations_acknowledged),
            ("revocations_abandoned", self.revocations_abandoned),
            ("gratuitous_arps_sent", self.gratuitous_arps_sent),
            ("bindings_expired", self.bindings_expired),
            ("bindings_removed", self.bindings_removed),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let algorithms = Algorithm::ALL.into_iter().zip(self.algorithm_matched);
        entries.extend(algorithms.map(|(algorithm, count)| (format!("algorithm_matched_{}", name(algorithm)), count)));
        entries.extend(self.denied.iter().map(|(code, count)| (format!("denied_{}", code.0), count)));
        entries.extend(self.discarded.iter().map(|(reason, count)| (format!("discarded_{}", reason.name()), count)));
        entries
    }
}
