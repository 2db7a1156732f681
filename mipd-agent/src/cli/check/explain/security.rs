//! Who shares keys with whom, and what for.

use super::{duration, section};
use crate::{
    cli::table::columns,
    config::{ClientAssociation, Config, PeerAssociation, Radius},
    control::report,
    mobility::security::ReplayProtection,
};

pub(super) fn associations(config: &Config) -> String {
    let associations = report::associations(config);
    if associations.is_empty() {
        return section("Security associations", ["none".to_owned()]);
    }
    // Where they come from need not be said here.
    let rows = associations.into_iter().map(|row| vec![row.kind, row.peer, row.spi.to_string(), row.algorithm]);
    let table = columns(&["KIND", "PEER", "#SPI", "ALGORITHM"], rows);
    let clients =
        config.security_associations.iter().flat_map(|entry| of_clients(entry, config.access_point.is_some()));
    let peers = config.peer_associations.iter().flat_map(of_peer);
    section("Security associations", table.lines().map(str::to_owned).chain(clients).chain(peers))
}

/// What is out of the ordinary.
fn of_clients(entry: &ClientAssociation, at_access_point: bool) -> Vec<String> {
    let ClientAssociation { clients, association, nai, .. } = entry;
    let mut lines = Vec::new();
    if association.replay == ReplayProtection::Nonces {
        lines.push(format!("{clients}: replays are told by nonces, not by timestamps"));
    }
    if association.accept_any_algorithm {
        lines.push(format!("{clients}: any other algorithm is accepted, too"));
    }
    lines.extend(nai.as_ref().filter(|_| at_access_point).map(|nai| format!("{clients}: requests name them {nai}")));
    lines
}

fn of_peer(entry: &PeerAssociation) -> Vec<String> {
    let PeerAssociation { peer, kind, association, .. } = entry;
    let mut lines = Vec::new();
    if association.accept_any_algorithm {
        lines.push(format!("{kind} {peer}: any other algorithm is accepted, too"));
    }
    if association.sign_deregistrations {
        lines.push(format!("{kind} {peer}: deregistrations are signed, too"));
    }
    lines
}

pub(super) fn radius(radius: &Radius) -> String {
    let Radius { servers, client } = radius;
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let message_authenticator = if client.require_message_authenticator {
        "only acceptances with a Message-Authenticator count"
    } else {
        "acceptances count without Message-Authenticator too: somebody on the path can forge them"
    };
    section(
        "RADIUS, for clients without a security association here",
        [
            format!("asks {}", servers.join(", then ")),
            format!(
                "waits {} for the first answer of each, asks it again {} times, and passes it over for {} if it does not \
                 answer",
                duration(client.timeout),
                client.retries,
                duration(client.dead_time),
            ),
            format!(
                "keeps what they say for {} unless they set another time, and refusals for {}",
                duration(client.cache_lifetime),
                duration(client.negative_cache_lifetime),
            ),
            message_authenticator.to_owned(),
        ],
    )
}
