//! What a configuration means, in plain words. What it says of keys is in `security`.

mod security;

use std::time::Duration;

use crate::{
    cli::table::columns,
    config::{
        AccessPoint, Advertisement, Config, ForeignAgent, HomeAgent, HomeRoutes, InterfaceName, PeerKind,
        SubnetMapEntry, UdpTunnelPolicy, VisitorIpv6,
    },
    dataplane::home_subnets::dense,
    mobility::{
        foreign_agent::GreKeyPolicy,
        proxy::ReverseTunnelPolicy,
        reverse_tunnel::ReverseTunnel,
        tunnel::{Delivery, Encapsulation},
    },
    wire::types::Lifetime,
};

/// The explanation, without a line end at its end.
pub(super) fn explain(config: &Config) -> String {
    let mut sections = Vec::new();
    sections.extend(config.home_agent.as_ref().map(|role| home_agent(config, role)));
    sections.extend(config.foreign_agent.as_ref().map(|role| foreign_agent(config, role)));
    sections.extend(config.access_point.as_ref().map(access_point));
    sections.push(interfaces(config));
    sections.push(security::associations(config));
    sections.extend(config.radius.as_ref().map(security::radius));
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

fn home_agent(config: &Config, role: &HomeAgent) -> String {
    let prefixes: Vec<_> = role.subnets.iter().map(|subnet| subnet.prefix).collect();
    let dense = dense(&prefixes, role.maximum_slots);
    let mut lines: Vec<String> = role
        .subnets
        .iter()
        .zip(dense)
        .map(|(subnet, dense)| {
            let routes = match subnet.routes.unwrap_or_else(|| HomeRoutes::fitting(subnet.prefix, false)) {
                HomeRoutes::Host => "one route for each away client",
                HomeRoutes::Subnet if subnet.routes.is_some() => "one route for the whole subnet",
                HomeRoutes::Subnet => "one route for the whole subnet, or for each away client if it has a link",
            };
            // The usual case goes without saying.
            let table = if dense { "" } else { ", bindings in a hash map (more addresses than maximum-slots)" };
            format!("home subnet {} on {}, {routes}{table}", subnet.prefix, subnet.interface)
        })
        .collect();
    lines.push(format!(
        "grants registrations of at most {}, with timestamps that are at most {} off, for at most {} clients",
        lifetime(role.maximum_lifetime),
        duration(role.replay_window),
        role.maximum_bindings,
    ));
    lines.push(reverse_tunnel(role.reverse_tunnel).to_owned());
    lines.push(advertised(role.advertisement_interval, &config.advertisement));
    lines.push(
        match (role.revocation, config.shares(PeerKind::ForeignHome)) {
            (false, _) => "does not offer revocation: a client's old foreign agent keeps it until its lifetime ends",
            (true, false) => "revokes nothing: that takes a [[peer-association]] of kind foreign-home",
            (true, true) => "tells foreign agents that share a key when a client has left them; they may end bindings",
        }
        .to_owned(),
    );
    lines.push(format!("carries {}", encapsulations(role.encapsulations.iter())));
    lines.extend(
        match role.udp_tunnel {
            UdpTunnelPolicy::Off => None,
            UdpTunnelPolicy::On => Some("tunnels over UDP where it notices a NAT"),
            UdpTunnelPolicy::Forced => Some("tunnels over UDP where it notices a NAT, or is asked to by force"),
        }
        .map(|text| format!("{text}; the other end lets itself be heard every {}", duration(role.udp_keepalive))),
    );
    if role.simultaneous_bindings > 1 {
        lines.push(format!(
            "keeps up to {} care-of addresses of a client that asks for it, each with a copy of every packet",
            role.simultaneous_bindings,
        ));
    }
    if role.broadcast {
        lines.push("sends broadcasts of the home network after clients that ask for them".to_owned());
    }
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
    if role.answer_unicast_probes {
        lines.push("tells strangers that ask its own address, too, that it is a home agent".to_owned());
    }
    lines.extend(without_mss_clamp(role.mss_clamp));
    section(&format!("Home agent {}", role.address), lines)
}

fn advertised(interval: Duration, advertisement: &Advertisement) -> String {
    let mut text = if advertisement.only_when_solicited {
        "advertises itself only when asked".to_owned()
    } else {
        format!("advertises itself at least every {}", duration(interval))
    };
    if advertisement.limited_broadcast {
        text.push_str(", to 255.255.255.255");
    }
    if advertisement.routes_common_traffic {
        text.push_str(", as a router for everybody");
    }
    text
}

fn without_mss_clamp(mss_clamp: bool) -> Option<String> {
    let text = "leaves TCP to find out by ICMP how large a packet the tunnels take";
    (!mss_clamp).then(|| text.to_owned())
}

fn foreign_agent(config: &Config, role: &ForeignAgent) -> String {
    let interfaces: Vec<&str> = role.interfaces.iter().map(InterfaceName::as_str).collect();
    let mut lines = vec![
        format!("visitors on {}, at most {}", interfaces.join(", "), role.maximum_visitors),
        format!(
            "relays registrations of at most {}, and waits {} for the home agent",
            lifetime(role.registration_lifetime),
            duration(role.pending_timeout),
        ),
        reverse_tunnel(role.reverse_tunnel).to_owned(),
        advertised(role.advertisement_interval, &config.advertisement),
        match (role.revocation, config.shares(PeerKind::ForeignHome)) {
            (false, _) => "lets nobody revoke registrations",
            (true, false) => "has nothing revoked: that takes a [[peer-association]] of kind foreign-home",
            (true, true) => "lets home agents that share a key revoke registrations, and tells them which ones it ends",
        }
        .to_owned(),
    ];
    lines.push(format!("carries {}", encapsulations(role.encapsulations.iter())));
    lines.extend(match role.gre_key {
        GreKeyPolicy::Never => None,
        GreKeyPolicy::WithGre => Some("asks for GRE keys where the client asks for GRE".to_owned()),
        GreKeyPolicy::Always => {
            Some("asks for GRE with keys unless the client asks for minimal encapsulation".to_owned())
        }
    });
    lines.extend(role.udp_tunnel.map(|udp| {
        let when = if udp.forced { "always" } else { "where the home agent notices a NAT" };
        let reverse = if udp.everything_translated { "; serves only clients with a reverse tunnel" } else { "" };
        format!("asks for tunnels over UDP, {when}{reverse}")
    }));
    if role.encapsulating_delivery {
        lines.push(
            "puts what visitors have wrapped for it into their reverse tunnels, broadcasts too, if they ask for that"
                .to_owned(),
        );
    }
    if role.challenge {
        lines.push("registers only clients that answer its challenges".to_owned());
    }
    if config.advertisement.registration_required {
        lines.push("demands that visitors with a care-of address of their own register here, too".to_owned());
    }
    if role.strict_flags {
        lines.push("refuses requests with reserved flags".to_owned());
    }
    lines.extend(without_mss_clamp(role.mss_clamp));
    section(&format!("Foreign agent with care-of address {}", role.care_of_address), lines)
}

fn home(entry: &SubnetMapEntry, place: &str) -> String {
    let SubnetMapEntry { prefix, home_agent, dhcp_server } = entry;
    let server = dhcp_server.map(|address| format!(", and ask the DHCP server {address}")).unwrap_or_default();
    format!("clients of {prefix}{place} are registered with home agent {home_agent}{server}")
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
    lines.extend(role.subnet_map.iter().map(|entry| home(entry, "")));
    if let Some(exchange) = &role.exchange {
        let authoritative = exchange.authoritative.join(", then ");
        lines.push(format!(
            "learns other home agents on UDP port 6500 from {authoritative}, unless it is one of these itself"
        ));
    }
    for radio in &role.radios {
        let place = format!(" on {}", radio.interface);
        lines.extend(radio.subnet_map.iter().map(|entry| home(entry, &place)));
    }
    let tunnel = match role.reverse_tunnel {
        ReverseTunnelPolicy::Never => "without a reverse tunnel",
        ReverseTunnelPolicy::WhenOffered => "with a reverse tunnel where it is offered",
        ReverseTunnelPolicy::Require => "with a reverse tunnel, or not at all",
    };
    let port = role.registration_port.map_or_else(|| "a free UDP port".to_owned(), |port| format!("UDP port {port}"));
    lines.push(format!("asks for {}, {tunnel}, from {port}", lifetime(role.registration_lifetime)));
    if !matches!(role.encapsulations[..], [] | [Encapsulation::IpInIp]) {
        lines.push(format!(
            "prefers {}, as far as the foreign agent offers it",
            encapsulations(role.encapsulations.iter().copied())
        ));
    }
    lines.push(match role.delivery {
        Delivery::Direct => "drops visitors' broadcasts and multicasts".to_owned(),
        Delivery::Encapsulating => {
            "wraps what visitors with a reverse tunnel send, broadcasts and multicasts too".to_owned()
        }
    });
    if role.broadcast {
        lines.push("asks for the broadcasts of the clients' home networks".to_owned());
    }
    if role.proxy_extensions {
        lines.push("says in each request which client it is for, and that it is attached by Wi-Fi".to_owned());
    }
    lines.push(match role.visitor_ipv6 {
        VisitorIpv6::Bridge => "bridges visitors' IPv6 like everybody's".to_owned(),
        VisitorIpv6::Drop => "drops visitors' IPv6".to_owned(),
    });
    section(&format!("Access point on bridge {}, uplink {}", role.bridge, role.uplink), lines)
}

fn encapsulations(all: impl Iterator<Item = Encapsulation>) -> String {
    let names = all.map(|encapsulation| match encapsulation {
        Encapsulation::IpInIp => "IP in IP",
        Encapsulation::Gre => "GRE",
        Encapsulation::Minimal => "minimal encapsulation",
    });
    names.collect::<Vec<_>>().join(", ")
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

fn lifetime(lifetime: Lifetime) -> String {
    lifetime.duration().map_or_else(|| "any lifetime".to_owned(), duration)
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
