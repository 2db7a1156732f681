//! What the proxy counts (RFC 2006, mobile node group, and our own).

use crate::{
    mobility::{counters::counters, tally::Tally},
    wire::types::ReplyCode,
};

counters! {
    /// Counters of the proxy role. They never decrease.
    pub struct Counters {
        visitors_noticed: "clients with a foreign address noticed";
        locals_noticed: "clients noticed at home that a security association covers";
        assumed: "clients whose registration began as they associated, with the address remembered or configured";
        strays: "other foreign addresses that visitors sent from, for which they were asked whether they keep their own";
        address_in_use: "visitors not served: another client here has the address";
        readdressed: "clients that came back with another address";
        readdressing_refused: "changes of address beyond the limit per minute, ignored";
        invalid_address: "stations with an address that no client can have, ignored";
        no_home_agent: "visitors not served: no home agent in the subnet map";
        no_association: "visitors not served: no security association";
        no_association_server: "visitors not served: no server told whether they have a security association";
        associations_awaited: "clients whose security association had to be downloaded first";
        no_foreign_agent: "visitors not served: no foreign agent in time";
        no_reverse_tunnel: "visitors not served: the foreign agent does not offer the required reverse tunnel";
        refused_full: "clients not served: the access point's client limit is reached";
        evicted: "records of unserved clients dropped to make room";
        requests_sent "mnRegRequestsSent": "registration requests sent";
        deregistrations_sent "mnDeRegRequestsSent": "deregistrations sent, on return home or after a foreign agent's refusal";
        retransmissions: "requests sent again for want of an answer (among those sent)";
        amended: "requests asked differently after a denial";
        switches_of_agent "mnMoveFromFAToFA": "registrations renewed because the foreign agent changed";
        agent_reboots: "foreign agent restarts noticed";
        dismissals: "registrations renewed because the foreign agent said that they are gone";
        challenges_awaited: "requests put off until the foreign agent makes a fresh challenge known";
        returns_checked: "registrations renewed because the client may have been elsewhere";
        replies_received "mnRegRepliesRecieved": "registration replies received";
        accepted "mnRegRequestsAccepted": "registrations accepted";
        deregistrations_accepted: "deregistrations accepted";
        denied_by_home_agent "mnRegRequestsDeniedByHA": "requests denied by the home agent";
        denied_by_foreign_agent "mnRegRequestsDeniedByFA": "requests denied by the foreign agent";
        denied_identification "mnRegRequestsDeniedByHADueToID": "requests denied for their Identification (code 133)";
        refused_after_acceptance: "requests accepted by the home agent but refused by the foreign agent (extension 45)";
        discarded_malformed "mnRepliesDroppedInvalidExtension": "replies discarded: malformed";
        discarded_unknown_extension "mnRepliesIgnoredUnknownExtension": "replies discarded: unknown extension that may not be skipped";
        discarded_unsolicited "mnRepliesInvalidHomeAddress": "replies discarded: no request with that home address";
        discarded_identification "mnRepliesInvalidID": "replies discarded: Identification is not the latest request's";
        discarded_duplicate: "replies discarded: the request is answered already";
        discarded_home_agent "mnRepliesUnknownHA": "replies discarded: another home agent than asked";
        discarded_unauthenticated: "replies discarded: not exactly one mobile-home authentication extension";
        discarded_spi: "replies discarded: unknown SPI";
        discarded_authenticator "mnRepliesHAAuthenticationFailure": "replies discarded: wrong authenticator";
        discarded_foreign_authentication "mnRepliesFAAuthenticationFailure": "replies discarded: not exactly one valid mobile-foreign authentication extension";
        other_algorithm: "valid replies whose authenticator has another algorithm than requests are signed with";
        security_events: "authentication failures, ours or reported by an agent";
        expired: "registrations that ran out";
        probes_sent: "attachment probes sent";
        departed: "clients that no longer answered";
        moved: "clients that appeared behind another access point";
        left: "clients that disassociated";
        radios_gone: "clients whose radio is gone";
        turned_local: "visitors that took a local address";
        surrendered: "visitors that gave their address back, or were refused it by its DHCP server";
        away: "clients at home that registered elsewhere";
        address_conflicts: "announcements of a visitor's address by another station on this link";
    }
    and {
        /// Valid denials, by code.
        denied: Tally<ReplyCode>,
    }
}
