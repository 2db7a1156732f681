//! What a configuration means, in plain words.

use std::time::Duration;

use crate::mobility::{proxy::ReverseTunnelPolicy, reverse_tunnel::ReverseTunnel};
use crate::{
    cli::table::columns,
    config::{
        AccessPoint, Advertisement, Config, ForeignAgent, HomeAgent, HomeRoutes, InterfaceName, Radius, VisitorIpv6,
    },
    control::report,
    wire::types::Lifetime,
};

/// The explanation, without a line end at its end.
pub(super) fn explain(config: &Config) -> String {
    let mut sections = Vec::new();
    sections.extend(config.home_agent.as_ref().map(|role| home_agent(role, &config.advertisement)));
    sections.extend(config.foreign_agent.as_ref().map(|role| foreign_agent(role, &config.advertisement)));
    sections.extend(config.access_point.as_ref().map(access_point));
    sections.push(interfaces(config));
    sections.push(associations(config));
    sections.extend(config.radius.as_ref().map(radius));
    sections.push(section(
        "Places",
        [
            format!("control socket {}", config.agent.control_socket.display()),
            format!("maps and links pinned below {}", config.agent.bpffs_dir.display()),
            format!("state and the journal of changes in {}", config.agent.state_dir.display()),
        ],
    ));
    sections.join("\n\n")
}

fn section(title: &str, lines: impl IntoIterator<Item = String>) -> String {
    let mut text = title.to_owned();
    for line in lines {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
}

fn home_agent(role: &HomeAgent, advertisement: &Advertisement) -> String {
    let mut lines: Vec<String> = role
        .subnets
        .iter()
        .map(|subnet| {
            let routes = match subnet.routes.unwrap_or_else(|| HomeRoutes::fitting(subnet.prefix, false)) {
                HomeRoutes::Host => "one route for each away client",
                HomeRoutes::Subnet if subnet.routes.is_some() => "one route for the whole subnet",
                HomeRoutes::Subnet => "one route for the whole subnet, or for each away client if it has a link",
            };
            format!("home subnet {} on {}, {routes}", subnet.prefix, subnet.interface)
        })
        .collect();
    lines.push(format!(
        "grants registrations of at most {}, with timestamps that are at most {} off, for at most {} clients",
        lifetime(role.maximum_lifetime),
        duration(role.replay_window),
        role.maximum_bindings,
    ));
    lines.push(reverse_tunnel(role.reverse_tunnel).to_owned());
    lines.push(advertised(role.advertisement_interval, advertisement));
    if let Some(ranges) = &role.allowed_proxies {
        let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
        lines.push(format!("lets proxies in {} register clients by their own key", ranges.join(", ")));
    }
    if !role.identities.is_empty() {
        lines.push(format!("knows the home addresses of {} clients by their names", role.identities.len()));
    }
    if !role.answer_broadcast_probes {
        lines.push("is not found by requests to a broadcast address".to_owned());
    }
    section(&format!("Home agent {}", role.address), lines)
}

fn advertised(interval: Duration, advertisement: &Advertisement) -> String {
    let often = if advertisement.only_when_solicited {
        "advertises itself only when asked".to_owned()
    } else {
        format!("advertises itself at least every {}", duration(interval))
    };
    if advertisement.routes_common_traffic { format!("{often}, as a router for everybody") } else { often }
}

fn foreign_agent(role: &ForeignAgent, advertisement: &Advertisement) -> String {
    let interfaces: Vec<&str> = role.interfaces.iter().map(InterfaceName::as_str).collect();
    section(
        &format!("Foreign agent with care-of address {}", role.care_of_address),
        [
            format!("visitors on {}, at most {}", interfaces.join(", "), role.maximum_visitors),
            format!(
                "relays registrations of at most {}, and waits {} for the home agent",
                lifetime(role.registration_lifetime),
                duration(role.pending_timeout),
            ),
            reverse_tunnel(role.reverse_tunnel).to_owned(),
            advertised(role.advertisement_interval, advertisement),
        ],
    )
}

fn access_point(role: &AccessPoint) -> String {
    let radios: Vec<String> = role
        .radios
        .iter()
        .map(|radio| {
            let ssid = radio.ssid.as_ref().map(|ssid| format!(" ({ssid})")).unwrap_or_default();
            let served = if radio.proxy_mobile_ip { "" } else { " without Proxy Mobile IP" };
            format!("{}{ssid}{served}", radio.interface)
        })
        .collect();
    let local = if role.local_subnets.is_empty() {
        format!("the prefixes of {}", role.bridge)
    } else {
        role.local_subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![
        format!("clients on {}, at most {}", radios.join(", "), role.maximum_clients),
        format!("local, and bridged untouched: {local}"),
    ];
    lines.extend(
        role.subnet_map
            .iter()
            .map(|entry| format!("clients of {} are registered with home agent {}", entry.prefix, entry.home_agent)),
    );
    let tunnel = match role.reverse_tunnel {
        ReverseTunnelPolicy::Never => "without a reverse tunnel",
        ReverseTunnelPolicy::WhenOffered => "with a reverse tunnel where it is offered",
        ReverseTunnelPolicy::Require => "with a reverse tunnel, or not at all",
    };
    let port = role.registration_port.map_or_else(|| "a free UDP port".to_owned(), |port| format!("UDP port {port}"));
    lines.push(format!("asks for {}, {tunnel}, from {port}", lifetime(role.registration_lifetime)));
    if role.proxy_extensions {
        lines.push("says in each request which client it is for, and that it is attached by Wi-Fi".to_owned());
    }
    lines.push(match role.visitor_ipv6 {
        VisitorIpv6::Bridge => "bridges visitors' IPv6 like everybody's".to_owned(),
        VisitorIpv6::Drop => "drops visitors' IPv6".to_owned(),
    });
    section(&format!("Access point on bridge {}, uplink {}", role.bridge, role.uplink), lines)
}

fn reverse_tunnel(policy: ReverseTunnel) -> &'static str {
    match policy {
        ReverseTunnel::Off => "denies reverse tunnels",
        ReverseTunnel::Offered => "grants reverse tunnels on request",
        ReverseTunnel::Required => "denies registrations without a reverse tunnel",
    }
}

fn interfaces(config: &Config) -> String {
    let rows = config.interfaces_with_roles().into_iter().map(|(name, roles)| {
        // No program runs on the bridge itself.
        let fast_path = (roles != ["bridge"]).then(|| config.fast_path(name.as_str()).to_string());
        vec![name.to_string(), roles.join(","), fast_path.unwrap_or_else(|| "-".to_owned())]
    });
    let table = columns(&["INTERFACE", "ROLES", "FAST PATH"], rows);
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    if config.access_point.is_none() && config.agent.core_interfaces.is_none() {
        lines.push(format!(
            "and every interface that carries a route with a gateway: core, {} unless set otherwise",
            config.agent.fast_path
        ));
    }
    section("Interfaces", lines)
}

fn associations(config: &Config) -> String {
    let associations = report::associations(config);
    if associations.is_empty() {
        return section("Security associations", ["none".to_owned()]);
    }
    // Where they come from need not be said here.
    let rows = associations.into_iter().map(|row| vec![row.kind, row.peer, row.spi.to_string(), row.algorithm]);
    let table = columns(&["KIND", "PEER", "#SPI", "ALGORITHM"], rows);
    section("Security associations", table.lines().map(str::to_owned))
}

fn radius(radius: &Radius) -> String {
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

fn lifetime(lifetime: Lifetime) -> String {
    lifetime.duration().map_or_else(|| "any lifetime".to_owned(), duration)
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
