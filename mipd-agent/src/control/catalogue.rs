//! Every counter of the roles, with its RFC 2006 object and its meaning: `mipd show counters` lists all of them, also
//! those that are 0, and so does `docs/counters.md`.

use crate::{
    mobility::{
        counters::Count,
        discovery::{advertiser::AdvertiserCounters, listener::ListenerCounters},
        proxy, subnet_map,
    },
    stations::{hostapd, nl80211, roster},
    wire::types::ReplyCode,
};

/// One counter, without its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// `snake_case`, stable, unique within its role.
    pub name: String,
    /// The object of the Mobile IP MIB that it is or is part of (RFC 2006 §4), spelled as there.
    pub rfc2006: Option<&'static str>,
    /// What happened.
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($(#[$attribute:meta])* $role:ident { $($name:ident $($object:literal)?: $help:literal;)* })+) => {
        $($(#[$attribute])*
        const $role: &[(&str, &[&str], &str)] = &[$((stringify!($name), &[$($object)?], $help),)*];)+
    };
}

catalogue! {
    /// What the roles of a router have in common.
    ROUTER {
        malformed: "frames or datagrams whose headers or checksums are wrong";
        unexpected: "messages of a type that is not for an agent";
        send_errors: "messages that could not be sent";
        undeliverable: "ICMP errors about messages that we sent";
        keepalives_answered: "echoes of the other ends of tunnels over UDP that were answered through the tunnel";
        broadcasts_forwarded: "copies of home broadcasts sent to away clients";
        broadcasts_limited: "copies not sent: too many per second";
        broadcasts_failed: "copies that could not be sent";
        icmp_errors_strange: "ICMP errors about a tunnel's packet, but of no tunnel here";
        icmp_errors_refused: "ICMP errors that cannot be true: an impossible MTU, or of no client of that tunnel";
        icmp_errors_relayed: "ICMP errors from inside a tunnel told to the sender of the packet in it";
        icmp_errors_absorbed: "ICMP errors from inside a tunnel that do not concern that sender, or quote too little";
        icmp_errors_limited: "ICMP errors not heeded or not relayed: too many";
        icmp_errors_failed: "ICMP errors that could not be sent";
        path_mtu_lowered: "smaller path MTUs of tunnels learned from routers";
        path_mtu_expired: "learned path MTUs forgotten after ten minutes";
    }
    /// Tunnel packets that no kernel program takes: outer fragments, outer options, GRE with checksum or sequence number.
    TUNNELS {
        delivered: "tunnel packets that the agent unwrapped for the kernel: fragments, options, GRE with checksum or sequence number";
        refused_malformed: "dropped: a header or packet shorter than it says";
        refused_checksum: "dropped: a wrong checksum of GRE or minimal encapsulation";
        refused_stranger: "dropped: from no tunnel end that its client is registered with";
        refused_form: "dropped: in another form than the registration says: kind, GRE header or key, UDP ports";
        refused_sequence: "dropped: a GRE sequence number that was passed already";
        refused_loop: "dropped: inside is a packet for the router that has wrapped it";
        refused_undeliverable: "dropped: the kernel did not take it, or it was too large for the visitor's link";
    }
    HOME_AGENT {
        registration_requests "haRegRequestsReceived": "requests with a lifetime, whatever became of them";
        deregistration_requests "haDeRegRequestsReceived": "requests with lifetime 0, whatever became of them";
        registrations_accepted "haRegistrationAccepted": "registrations accepted, with code 0 or 1";
        deregistrations_accepted: "deregistrations accepted";
        replies_sent "haRegRepliesSent": "replies sent, those to deregistrations (haDeRegRepliesSent) included";
        requests_parked: "requests that waited for their security association to be downloaded";
        probes_answered: "searches for home agents by strangers that were answered (with code 136)";
        tunnels_opened_by_keepalive: "tunnels over UDP that waited for their first keepalive and got it";
        bindings_revoked: "bindings that the foreign agent revoked";
        acknowledgements_repeated: "revocations of bindings that were revoked already, acknowledged again";
        revocations_sent: "revocations sent, repetitions included";
        revocations_acknowledged: "revocations that the foreign agent acknowledged";
        revocations_abandoned: "revocations given up without an acknowledgement";
        gratuitous_arps_sent "haGratuitiousARPsSent": "gratuitous ARPs sent, repetitions included";
        bindings_expired: "bindings that ended because nobody renewed them";
        bindings_removed: "bindings that the operator ended";
        algorithm_matched_hmac_md5: "authentic requests, where any algorithm is accepted, by HMAC-MD5";
        algorithm_matched_md5_prefix_suffix: "the same, by keyed MD5 in prefix+suffix mode";
        algorithm_matched_md5_prefix_suffix_without_spi: "the same, without the SPI among the protected bytes";
        algorithm_matched_hmac_sha1: "the same, by HMAC-SHA-1";
        algorithm_matched_hmac_sha256: "the same, by HMAC-SHA-256";
        discarded_not_a_request: "dropped: not a registration request, or shorter than one";
        discarded_malformed: "dropped: its extensions are broken, and none before the break authenticates it";
        discarded_unknown_extension: "dropped: an unknown extension of type 1 to 127";
        discarded_missing_authentication: "dropped: no mobile-home authentication extension";
        discarded_no_association: "dropped: no security association with the node";
        discarded_strange_foreign_agent: "dropped: signed by a foreign agent without a security association";
        discarded_impossible_source: "dropped: the source is no address of a host";
        discarded_denial_limited: "dropped: an unauthentic request soon after one that was denied";
        discarded_malformed_revocation: "dropped: a revocation or acknowledgement that cannot be parsed";
        discarded_reflected_revocation: "dropped: a home agent's revocation";
        discarded_nothing_to_revoke: "dropped: a revocation of no binding that may be revoked";
        discarded_unauthentic_revocation: "dropped: a revocation or acknowledgement without valid authentication";
        discarded_old_revocation: "dropped: a revocation from before the last registration";
        discarded_strange_acknowledgement: "dropped: an acknowledgement of no revocation of ours";
        discarded_probe_limited: "dropped: a search for home agents, when enough of these were answered";
        discarded_strange_keepalive: "dropped: a keepalive of no tunnel over UDP";
    }
    FOREIGN_AGENT {
        requests_received "faRegRequestsReceived": "requests, whatever became of them";
        requests_relayed "faRegRequestsRelayed": "requests sent on to a home agent";
        replies_received "faRegRepliesRecieved": "replies, whatever became of them";
        replies_relayed "faRegRepliesRelayed": "replies sent on to a client";
        registrations_accepted: "of those, registrations accepted";
        deregistrations_accepted: "of those, deregistrations accepted";
        denials_suppressed: "own denials not sent, since the client had one within the last second";
        authenticated_by_other_algorithm: "authentic by another algorithm than the association names, since any is accepted";
        requests_timed_out: "relayed requests that the home agent did not answer in time";
        visitors_expired: "visitors whose registration ended because nobody renewed it";
        visitors_removed: "visitors that the operator removed";
        visitors_revoked: "visitors whose home agent revoked their registration";
        revocations_received: "revocations by home agents, whatever became of them";
        revocations_acknowledged: "of those, acknowledged";
        revocations_sent: "revocations sent to home agents, repetitions included";
        revocations_confirmed: "revocations that the home agent acknowledged";
        revocations_unanswered: "revocations that it never acknowledged";
        keepalives_sent: "keepalives through tunnels over UDP";
        keepalives_answered: "of those, answered";
        tunnels_lost: "tunnels over UDP that did not answer several keepalives";
        discarded_not_a_request: "dropped: not a registration request, or shorter than one";
        discarded_not_a_reply: "dropped: not a registration reply, or shorter than one";
        discarded_not_from_an_access_interface: "dropped: from where nobody is served, or without a usable MAC";
        discarded_unknown_extension: "dropped: an unknown extension of type 1 to 127";
        discarded_revocation_from_mobile_node: "dropped: revocation support claimed by a client";
        discarded_imitation: "dropped: home address and Identification of another client's pending request";
        discarded_replayed: "dropped: an acceptance of a request that is no newer than the visitor's";
        discarded_unsolicited: "dropped: a reply that no pending registration matches";
    }
    /// What the access point counts besides the proxy's counters.
    ACCESS_POINT {
        frames_held: "first packets of clients held until they are registered";
        frames_released: "held packets that went on";
        frames_overflowed: "packets not held for want of room";
        frames_expired: "held packets dropped after two seconds";
        echoes_prolonged: "echo requests of visitors with TTL 1 for their home link, sent there all the same";
        dhcp_bridged: "DHCP messages of local stations given back to the bridge";
        dhcp_withheld: "DHCP messages of visitors dropped while it is not known whether they can be served";
        dhcp_relayed: "DHCP messages of visitors passed on to the servers of their home networks";
        dhcp_unanswered: "of those, repeated because no server had answered";
        dhcp_answered: "answers of home networks' DHCP servers handed to visitors";
        dhcp_refused: "of those, refusals: the visitor must not use its address";
        dhcp_suppressed: "DHCP messages of visitors dropped: more than one per second, malformed, or relayed before";
        dhcp_answers_discarded: "answers of DHCP servers that no visitor waits for, dropped";
        stations_refused: "stations that the kernel programs' table had no room for: bridged or held as unknown ones";
        malformed: "frames that make no sense";
        send_errors: "frames that could not be sent";
    }
    /// What the exchange of the subnet map counts besides its table of counters.
    SUBNET_MAP {
        send_errors: "messages that could not be sent";
        discarded_malformed: "dropped: no message of the protocol, or one with a broken body";
        discarded_version: "dropped: another version of the protocol";
        discarded_authenticator: "dropped: not made with our key";
        discarded_sender: "dropped: the sender is not whom the IP source address says, or is ourselves";
        discarded_session: "dropped: of no session that we have, so of an earlier one or a replay";
        discarded_replayed: "dropped: seen before in this session, and not the last one";
        discarded_unexpected: "dropped: what this sender has no business to say";
        discarded_too_many_members: "dropped: of more access points than are remembered";
        discarded_unmatched_reply: "dropped: a registration reply that answers no probe";
    }
    STATE {
        changes: "changes of records handed over";
        changes_settled: "changes of which nothing waits any more: they, or newer ones in their place, are on the disk";
        records_written: "records written to the disk, or removed from it";
        commits: "transactions synced to the disk";
        write_errors: "attempts to write that failed; what they were to write waits for the next one";
        changes_lost: "changes that could not wait for lack of memory: their records are removed instead";
    }
}

/// The codes of the home agent, with the object that counts each.
const HOME_AGENT_CODES: &[(u8, Option<&str>)] = &[
    (128, Some("haReasonUnspecified")),
    (129, Some("haAdmProhibited")),
    (130, Some("haInsufficientResource")),
    (131, Some("haMNAuthenticationFailure")),
    (132, Some("haFAAuthenticationFailure")),
    (133, Some("haIDMismatch")),
    (134, Some("haPoorlyFormedRequest")),
    (135, Some("haTooManyBindings")),
    (136, Some("haUnknownHA")),
    (137, None),
    (138, None),
    (139, None),
    (140, None),
    (141, None),
    (142, None),
    (144, None),
    (149, None),
    (150, None),
];

/// The codes of the foreign agent; the four of an unreachable home agent are one object.
const FOREIGN_AGENT_CODES: &[(u8, Option<&str>)] = &[
    (64, Some("faReasonUnspecified")),
    (65, Some("faAdmProhibited")),
    (66, Some("faInsufficientResource")),
    (67, Some("faMNAuthenticationFailure")),
    (68, Some("faHAAuthenticationFailure")),
    (69, Some("faRegLifetimeTooLong")),
    (70, Some("faPoorlyFormedRequests")),
    (71, Some("faPoorlyFormedReplies")),
    (72, Some("faEncapsulationUnavailable")),
    (74, None),
    (75, None),
    (76, None),
    (77, None),
    (78, None),
    (79, None),
    (80, Some("faHAUnreachable")),
    (81, Some("faHAUnreachable")),
    (82, Some("faHAUnreachable")),
    (88, Some("faHAUnreachable")),
    (90, None),
    (96, None),
    (97, None),
    (98, None),
    (99, None),
    (100, None),
    (101, None),
    (104, None),
    (105, None),
    (106, None),
    (194, None),
];

/// The roles, as `mipd show counters` names them.
pub const ROLES: [&str; 9] = [
    "router",
    "tunnels",
    "home_agent",
    "foreign_agent",
    "access_point",
    "stations",
    "discovery",
    "subnet_map",
    "state",
];

/// All counters of a role (one of [`ROLES`]), in the order in which they are shown.
pub fn of(role: &str) -> Vec<Entry> {
    match role {
        "router" => table(ROUTER).collect(),
        "tunnels" => table(TUNNELS).collect(),
        "home_agent" => table(HOME_AGENT).chain(codes("denied", HOME_AGENT_CODES)).collect(),
        "foreign_agent" => {
            let by_home_agent = HOME_AGENT_CODES.iter().map(|(code, _)| (*code, None)).collect::<Vec<_>>();
            let denials = codes("denied", FOREIGN_AGENT_CODES).chain(codes("denied_by_home_agent", &by_home_agent));
            table(FOREIGN_AGENT).chain(denials).collect()
        }
        "access_point" => {
            let all: Vec<_> =
                FOREIGN_AGENT_CODES.iter().chain(HOME_AGENT_CODES).map(|(code, _)| (*code, None)).collect();
            let proxy: Vec<_> = proxy::Counters::default().iter().map(Entry::from).collect();
            proxy.into_iter().chain(table(ACCESS_POINT)).chain(codes("denied", &all)).collect()
        }
        "stations" => {
            let roster: Vec<_> = roster::Counters::default().iter().map(Entry::from).collect();
            let hostapd = hostapd::Counters::default();
            let nl80211 = nl80211::Counters::default();
            roster.into_iter().chain(hostapd.iter().chain(nl80211.iter()).map(Entry::from)).collect()
        }
        "discovery" => {
            let advertiser: Vec<_> = AdvertiserCounters::default().iter().map(Entry::from).collect();
            let listener: Vec<_> = ListenerCounters::default().iter().map(Entry::from).collect();
            advertiser.into_iter().chain(listener).collect()
        }
        "subnet_map" => {
            let counters: Vec<_> = subnet_map::Counters::default().iter().map(Entry::from).collect();
            counters.into_iter().chain(table(SUBNET_MAP)).collect()
        }
        "state" => table(STATE).collect(),
        _ => Vec::new(),
    }
}

/// What the catalogue says of one counter; of a code that it does not list, what the code says.
pub fn entry(role: &str, name: &str) -> Option<Entry> {
    of(role).into_iter().find(|entry| entry.name == name).or_else(|| {
        let code = name.strip_prefix("denied_by_home_agent_").or_else(|| name.strip_prefix("denied_"))?;
        Some(Entry { name: name.to_owned(), rfc2006: None, help: ReplyCode(code.parse().ok()?).meaning() })
    })
}

fn table(rows: &'static [(&str, &[&'static str], &str)]) -> impl Iterator<Item = Entry> {
    rows.iter().map(|(name, object, help)| Entry { name: (*name).to_owned(), rfc2006: object.first().copied(), help })
}

fn codes(prefix: &str, codes: &[(u8, Option<&'static str>)]) -> impl Iterator<Item = Entry> {
    codes.iter().map(move |(code, rfc2006)| Entry {
        name: format!("{prefix}_{code}"),
        rfc2006: *rfc2006,
        help: ReplyCode(*code).meaning(),
    })
}

impl From<Count> for Entry {
    fn from(count: Count) -> Self {
        Self { name: count.name.into_owned(), rfc2006: count.rfc2006, help: count.help }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::mobility::{foreign_agent, home_agent};

    #[test]
    fn names_are_unique_and_explained() {
        for role in ROLES {
            let entries = of(role);
            let names: BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
            assert_eq!(names.len(), entries.len(), "{role}");
            for entry in &entries {
                assert!(!entry.help.is_empty() && entry.help != "unknown code", "{role} {}", entry.name);
            }
        }
    }

    #[test]
    fn whatever_a_role_counts_is_in_the_catalogue() {
        let home: Vec<_> = home_agent::Counters::default().entries().into_iter().map(|entry| entry.0).collect();
        let visit: Vec<_> = foreign_agent::Counters::default().entries().into_iter().map(|entry| entry.0).collect();
        for (role, names) in [("home_agent", home), ("foreign_agent", visit)] {
            for name in names {
                assert!(entry(role, &name).is_some(), "{role} counts {name}: add a line for it to the catalogue");
            }
        }
    }

    /// The page is this catalogue in words; when one changes, so must the other. `MIPD_UPDATE=1` writes it.
    #[test]
    fn the_page_about_counters_lists_them_all() {
        let mut page = String::from(
            "# Counters\n\nWhat `mipd show counters` shows of each role, with the object of the Mobile IP MIB (RFC 2006, in \
             its own\nspelling) that a counter is or is part of. In text those that are 0 are left out unless `--all` is \
             given; the JSON has\nthem all, with the object as `rfc2006`. The counters of the kernel programs (`data_path`) \
             are explained in\n[`mipd-common/src/maps.rs`](../mipd-common/src/maps.rs). All count since the agent was \
             started.\n",
        );
        for role in ROLES {
            page += &["\n## `", role, "`\n\n| Counter | RFC 2006 | Counts |\n| --- | --- | --- |\n"].concat();
            for entry in of(role) {
                let object = entry.rfc2006.map_or(String::new(), |object| format!("`{object}`"));
                page += &["| `", &entry.name, "` | ", &object, " | ", entry.help, " |\n"].concat();
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/counters.md");
        if std::env::var_os("MIPD_UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == page, "docs/counters.md is out of date: run this test with MIPD_UPDATE=1");
    }
}
