//! What the client counts (the names of RFC 4668 where it has one).

use crate::mobility::counters::counters;

counters! {
    /// Counters of the RADIUS client. They never decrease.
    pub struct Counters {
        access_requests: "requests sent to a RADIUS server, without retransmissions";
        access_retransmissions: "requests sent again to the same server for want of an answer";
        access_accepts: "requests that a server accepted";
        access_rejects: "requests that a server rejected";
        access_challenges: "requests answered with a challenge, which counts as a rejection";
        accepts_without_association: "requests accepted without a usable security association";
        malformed_access_responses: "responses dropped: malformed";
        bad_authenticators: "responses dropped: wrong authenticator (is the secret the same at both ends?)";
        missing_message_authenticators: "acceptances dropped: no Message-Authenticator";
        unexpected_responses: "responses dropped: no such request, or it is answered or given up";
        timeouts: "requests given up at one server for want of an answer";
        failovers: "requests passed on to another server";
        servers_failed: "times a server was found dead";
        servers_returned: "times a dead server answered again";
        unanswered: "clients about whom no server answered";
        associations_downloaded: "security associations downloaded";
        pairs_ignored: "security associations in responses that could not be understood, or were repeated or too many";
        cache_hits: "look-ups answered from the cache";
        negative_cache_hits: "look-ups refused from the cache";
        look_ups_merged: "look-ups of a client about whom a server was being asked already";
        look_ups_queued: "look-ups that had to wait for their turn";
        look_ups_refused: "look-ups given up: too many at a time";
        refreshes: "requests sent to renew associations that were about to expire (among the requests)";
        associations_expired: "clients whose downloaded associations expired";
        associations_evicted: "clients whose downloaded associations made room for others";
        refusals_evicted: "refusals forgotten early to make room for others";
    }
}
