//! The answers to `mipd show`.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use mipd_common::maps::Action;

use super::{
    Daemon, isolation,
    subnet_map::{self, SubnetMapService},
};
use crate::{
    config::associations::algorithm_name,
    control::{
        What,
        catalogue::{self, Entry},
        report::{
            Agent, Association, Binding, Client, Counter, Interface, Report, SubnetMapEntry, Tunnel, Violation, Visitor,
        },
    },
    dataplane::{CounterReport, DataPlane, Hook, InterfaceReport, PathMtuReport, PathMtuSource, TunnelReport},
    mobility::{
        foreign_agent::ForeignAgent,
        home_agent::HomeAgent,
        link::InterfaceIndex,
        security::ViolationLog,
        time::{Instant, Now},
        tunnel::TunnelMode,
    },
    stations::roster::Station,
    wire::{registration::RequestFlags, types::Spi},
};

impl Daemon {
    /// One table of `mipd show`.
    pub(super) fn report(&self, what: What) -> Report {
        let now = self.clock.now();
        match what {
            What::Bindings => Report::Bindings(self.bindings(now)),
            What::Visitors => Report::Visitors(self.visitors(now)),
            What::Clients => Report::Clients(self.clients(now)),
            What::Agents => Report::Agents(self.agents(now)),
            What::SubnetMap => Report::SubnetMap(self.subnet_map()),
            What::AccessPoints => {
                Report::AccessPoints(self.subnet_map.as_ref().map(SubnetMapService::access_points).unwrap_or_default())
            }
            What::Tunnels => Report::Tunnels(tunnels(self.dataplane.tunnels(), &self.dataplane.path_mtus())),
            What::Interfaces => Report::Interfaces(self.interfaces()),
            What::Counters => Report::Counters(self.counters()),
            What::Associations => Report::Associations(self.associations(now)),
            What::Violations => Report::Violations(self.violations(now)),
        }
    }

    fn violations(&self, now: Now) -> Vec<Violation> {
        self.violation_logs()
            .into_iter()
            .flat_map(|(role, log)| {
                log.into_iter().flat_map(ViolationLog::iter).map(move |violation| (role, violation))
            })
            .map(|(role, violation)| {
                let time = SystemTime::now() - now.instant.since(violation.at.instant);
                Violation {
                    time: humantime::format_rfc3339_seconds(time).to_string(),
                    role: role.into(),
                    peer: violation.peer,
                    home_address: violation.home_address.0,
                    spi: violation.spi.map(Spi::get),
                    identification: format!("{:016x}", violation.identification.0),
                    reason: violation.reason.name().into(),
                }
            })
            .collect()
    }

    /// What each role has refused.
    pub(super) fn violation_logs(&self) -> [(&'static str, Option<&ViolationLog>); 3] {
        let router = self.router.as_ref();
        let home_agent = router.and_then(|router| router.home_agent.as_ref()).map(HomeAgent::violations);
        let foreign_agent = router.and_then(|router| router.foreign_agent.as_ref()).map(ForeignAgent::violations);
        let access_point = self.access_point.as_ref().map(|access_point| access_point.proxy.violations());
        [("home_agent", home_agent), ("foreign_agent", foreign_agent), ("access_point", access_point)]
    }

    fn subnet_map(&self) -> Vec<SubnetMapEntry> {
        match (&self.subnet_map, &self.access_point) {
            (Some(service), _) => service.entries(),
            (None, Some(access_point)) => {
                let entries = access_point.proxy.subnet_map().iter();
                entries.map(|(subnet, home_agent)| subnet_map::entry(subnet, home_agent.0, None)).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn associations(&self, now: Now) -> Vec<Association> {
        let downloaded = self.radius.iter().flat_map(|radius| radius.associations(now));
        self.associations.iter().cloned().chain(downloaded).collect()
    }

    fn bindings(&self, now: Now) -> Vec<Binding> {
        let home_agent = self.router.as_ref().and_then(|router| router.home_agent.as_ref());
        let own = self.plan.own_care_of_address();
        home_agent
            .iter()
            .flat_map(|agent| agent.bindings())
            .map(|binding| Binding {
                home_address: binding.home_address.0,
                care_of_address: Some(binding.care_of_address.0),
                home_agent: Some(binding.home_agent.0),
                lifetime_granted_s: Some(binding.lifetime_granted.0),
                lifetime_remaining_s: binding.expires.map(|expires| remaining(now, expires)),
                flags: Some(flags(binding.flags)),
                encapsulation: if own.is_some_and(|own| own.0 == binding.exit().remote()) {
                    "direct".into()
                } else {
                    encapsulation(&binding.tunnel)
                },
                reverse_tunnel: Some(binding.tunnel.is_reverse()),
                device: binding.device.map(|device| device.to_string()),
            })
            .collect()
    }

    fn visitors(&self, now: Now) -> Vec<Visitor> {
        let Some(agent) = self.router.as_ref().and_then(|router| router.foreign_agent.as_ref()) else {
            return Vec::new();
        };
        let registered = agent.visitors().map(|visitor| Visitor {
            home_address: visitor.home_address.0,
            home_agent: visitor.home_agent.0,
            care_of_address: Some(visitor.care_of_address.0),
            mac: visitor.requester.mac.to_string(),
            interface: self.name(visitor.requester.interface),
            state: "registered".into(),
            lifetime_granted_s: Some(visitor.lifetime_granted.0),
            lifetime_remaining_s: visitor.expires.map(|expires| remaining(now, expires)),
            flags: Some(flags(visitor.flags)),
            encapsulation: encapsulation(&visitor.tunnel),
            reverse_tunnel: visitor.tunnel.is_reverse(),
        });
        let pending = agent.pending().map(|pending| Visitor {
            home_address: pending.request.home_address.0,
            home_agent: pending.request.home_agent.0,
            care_of_address: pending.care_of_address.map(|address| address.0),
            mac: pending.requester.mac.to_string(),
            interface: self.name(pending.requester.interface),
            state: "pending".into(),
            lifetime_granted_s: None,
            lifetime_remaining_s: None,
            flags: Some(flags(pending.request.flags)),
            encapsulation: encapsulation(&pending.asks_for()),
            reverse_tunnel: pending.request.flags.reverse_tunnel,
        });
        registered.chain(pending).collect()
    }

    fn clients(&self, now: Now) -> Vec<Client> {
        let Some(access_point) = &self.access_point else { return Vec::new() };
        access_point
            .proxy
            .clients()
            .map(|client| (access_point.stations.station(client.mac), client))
            .map(|(station, client)| Client {
                mac: client.mac.to_string(),
                home_address: Some(client.home_address.0),
                interface: self.name(client.interface),
                state: client.state.into(),
                home_agent: client.home_agent.map(|address| address.0),
                foreign_agent: client.foreign_agent,
                care_of_address: client.care_of_address.map(|address| address.0),
                lifetime_granted_s: client.lifetime_granted.map(|lifetime| lifetime.0),
                lifetime_remaining_s: client.expires.map(|expires| remaining(now, expires)),
                reverse_tunnel: client.mode.map(|mode| mode.is_reverse()),
                encapsulation: client.mode.map(|mode| mode.encapsulation.name().into()),
                nai: client.nai.as_ref().map(ToString::to_string),
                algorithm: client.algorithm.map(|algorithm| algorithm_name(algorithm).into()),
                last_code: client.last_code.map(|code| code.0),
                attempts: Some(client.attempts),
                registered_in_ms: client.registered_in.map(|time| time.as_millis() as u64),
                present_s: Some(now.instant.since(client.noticed).as_secs()),
                noticed_by: station.into_iter().flat_map(Station::sources).map(|source| source.name().into()).collect(),
                associated_by: station.and_then(Station::associated_by).map(|source| source.name().into()),
            })
            .collect()
    }

    fn interfaces(&self) -> Vec<Interface> {
        let mut rows = interfaces(&self.dataplane);
        if let Some(access_point) = &self.access_point {
            for row in &mut rows {
                row.sources = access_point.sources_of(InterfaceIndex(row.ifindex));
            }
        }
        rows
    }

    fn agents(&self, now: Now) -> Vec<Agent> {
        let Some(access_point) = &self.access_point else { return Vec::new() };
        let selected = access_point.listener.foreign_agent().map(|agent| agent.address);
        access_point
            .listener
            .agents()
            .iter()
            .map(|agent| {
                let advertisement = &agent.advertisement;
                Agent {
                    address: agent.address,
                    mac: agent.mac.to_string(),
                    interface: self.name(access_point.uplink.interface),
                    home_agent: advertisement.flags.home_agent,
                    foreign_agent: advertisement.flags.foreign_agent,
                    busy: advertisement.flags.busy,
                    care_of_addresses: advertisement.care_of_addresses.iter().map(|address| address.0).collect(),
                    registration_lifetime_s: advertisement.registration_lifetime.0,
                    flags: agent_flags(advertisement.flags),
                    reverse_tunnel: advertisement.flags.reverse_tunnel,
                    lifetime_remaining_s: remaining(now, agent.expires),
                    selected: selected == Some(agent.address),
                }
            })
            .collect()
    }
}

impl Daemon {
    fn counters(&self) -> Vec<Counter> {
        let mut rows = Vec::new();
        if let Some(router) = &self.router {
            let own = &router.counters;
            let own = [
                ("malformed", own.malformed),
                ("unexpected", own.unexpected),
                ("send_errors", own.send_errors),
                ("undeliverable", own.undeliverable),
                ("keepalives_answered", own.keepalives_answered),
            ];
            let broadcasts = router.broadcasts.as_ref().map(|broadcasts| broadcasts.counters);
            let broadcasts = broadcasts.into_iter().flat_map(|counted| {
                [
                    ("broadcasts_forwarded", counted.forwarded),
                    ("broadcasts_limited", counted.limited),
                    ("broadcasts_failed", counted.failed),
                ]
            });
            let icmp = self.dataplane.icmp_counters();
            let icmp = [
                ("icmp_errors_strange", icmp.strange),
                ("icmp_errors_refused", icmp.refused),
                ("icmp_errors_relayed", icmp.relayed),
                ("icmp_errors_absorbed", icmp.absorbed),
                ("icmp_errors_limited", icmp.limited),
                ("icmp_errors_failed", icmp.failed),
                ("path_mtu_lowered", icmp.mtu_lowered),
                ("path_mtu_expired", icmp.mtu_expired),
            ];
            let own = own.into_iter().chain(broadcasts).chain(icmp).map(|(name, value)| (name.to_owned(), value));
            rows.extend(rows_of("router", own));
            let tunnels = self.dataplane.tunnel_socket_counters();
            rows.extend(rows_of("tunnels", tunnels.entries().map(|(name, value)| (name.to_owned(), value))));
            rows.extend(router.home_agent.iter().flat_map(|agent| rows_of("home_agent", agent.counters().entries())));
            let visit = router.foreign_agent.iter();
            rows.extend(visit.flat_map(|agent| rows_of("foreign_agent", agent.counters().entries())));
            let advertisers = router.ports.values().flat_map(|port| port.advertiser.counters().iter());
            rows.extend(rows_of("discovery", advertisers.map(|count| (count.name.into_owned(), count.value))));
        }
        if let Some(access_point) = &self.access_point {
            let proxy = access_point.proxy.counters();
            let mut counts: Vec<_> = proxy.iter().map(|count| (count.name.into_owned(), count.value)).collect();
            counts.extend(proxy.denied.iter().map(|(code, value)| (format!("denied_{}", code.0), value)));
            let (hold, own) = (access_point.hold.counters(), access_point.counters);
            let relay = access_point.relay_agent.counters();
            let own = [
                ("frames_held", hold.held),
                ("frames_released", hold.released),
                ("frames_overflowed", hold.overflowed),
                ("frames_expired", hold.expired),
                ("echoes_prolonged", own.echoes_prolonged),
                ("dhcp_bridged", own.dhcp_bridged),
                ("dhcp_withheld", own.dhcp_withheld),
                ("dhcp_relayed", relay.relayed),
                ("dhcp_unanswered", relay.unanswered),
                ("dhcp_answered", relay.answered),
                ("dhcp_refused", relay.refused),
                ("dhcp_suppressed", relay.suppressed),
                ("dhcp_answers_discarded", relay.discarded),
                ("stations_refused", own.stations_refused),
                ("malformed", own.malformed),
                ("send_errors", own.send_errors),
            ];
            counts.extend(own.map(|(name, value)| (name.to_owned(), value)));
            rows.extend(rows_of("access_point", counts));
            let sources = access_point.sources.values().flat_map(|source| source.counts.iter().cloned());
            let stations = access_point.stations.counters().iter().chain(sources);
            rows.extend(rows_of("stations", stations.map(|count| (count.name.into_owned(), count.value))));
            let listener = access_point.listener.counters().iter();
            rows.extend(rows_of("discovery", listener.map(|count| (count.name.into_owned(), count.value))));
        }
        if let Some(radius) = &self.radius {
            let row = |name: &str, value, help: &str| Counter {
                role: "radius".into(),
                name: name.into(),
                interface: None,
                hook: None,
                value,
                rfc2006: None,
                help: help.into(),
            };
            rows.extend(radius.client.counters().iter().map(|count| row(&count.name, count.value, count.help)));
            rows.push(row("send_errors", radius.send_errors, "messages that could not be sent"));
        }
        if let Some(subnet_map) = &self.subnet_map {
            rows.extend(rows_of("subnet_map", subnet_map.counts()));
        }
        let state = self.state.counters();
        let state = [
            ("changes", state.changes),
            ("changes_settled", state.changes_settled),
            ("records_written", state.records_written),
            ("commits", state.commits),
            ("write_errors", state.write_errors),
            ("changes_lost", state.changes_lost),
        ];
        rows.extend(rows_of("state", state.map(|(name, value)| (name.to_owned(), value))));
        rows.extend(data_path(&read_counters(&self.dataplane)));
        rows
    }
}

/// All counters of a role: each that the catalogue lists, and whatever else was counted. Equal names are added up.
pub fn rows_of(role: &str, counts: impl IntoIterator<Item = (String, u64)>) -> Vec<Counter> {
    let row = |entry: Entry| Counter {
        role: role.into(),
        name: entry.name,
        interface: None,
        hook: None,
        value: 0,
        rfc2006: entry.rfc2006.map(str::to_owned),
        help: entry.help.into(),
    };
    let mut rows: Vec<_> = catalogue::of(role).into_iter().map(row).collect();
    for (name, value) in counts {
        if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
            row.value += value;
        } else {
            let entry = catalogue::entry(role, &name).unwrap_or(Entry { name, rfc2006: None, help: "see its name" });
            rows.push(Counter { value, ..row(entry) });
        }
    }
    rows
}

/// The data plane's interfaces as rows of `mipd show interfaces`.
pub fn interfaces(dataplane: &DataPlane) -> Vec<Interface> {
    let counters = read_counters(dataplane);
    dataplane
        .interfaces()
        .into_iter()
        .map(|interface| {
            let packets = |action| packets(&counters, &interface.name, action);
            Interface {
                ifindex: interface.ifindex,
                roles: interface.roles.names().map(str::to_owned).collect(),
                wanted: interface.wanted.name().into(),
                attached: interface.attached.to_string(),
                ap_isolate: isolation(&interface),
                packets_fast: packets(Action::Fast),
                packets_slow: packets(Action::Slow),
                packets_passed: packets(Action::Passed),
                packets_dropped: packets(Action::Dropped),
                reason: interface.reason,
                sources: Vec::new(),
                interface: interface.name,
            }
        })
        .collect()
}

fn isolation(interface: &InterfaceReport) -> Option<String> {
    isolation::of(interface).map(|isolation| isolation.name().to_owned())
}

fn read_counters(dataplane: &DataPlane) -> Vec<CounterReport> {
    dataplane.counters().unwrap_or_else(|error| {
        tracing::error!(%error, "cannot read the counters of the kernel programs");
        Vec::new()
    })
}

/// The data plane's tunnels as rows of `mipd show tunnels`, with what is known of their ways.
pub fn tunnels(reports: Vec<TunnelReport>, path_mtus: &BTreeMap<u32, PathMtuReport>) -> Vec<Tunnel> {
    reports
        .into_iter()
        .map(|tunnel| (path_mtus.get(&tunnel.id), tunnel))
        .map(|(path, tunnel)| Tunnel {
            tunnel_id: tunnel.id,
            local: tunnel.local,
            remote: tunnel.remote,
            encapsulation: tunnel.encapsulation.into(),
            send_key: tunnel.gre_keys.map(|keys| keys.send),
            receive_key: tunnel.gre_keys.map(|keys| keys.receive),
            udp_peer: tunnel.udp_peer,
            state: if tunnel.resolved { "ready" } else { "unresolved" }.into(),
            interface: tunnel.interface,
            next_hop: tunnel.next_hop_mac,
            mtu: tunnel.inner_mtu,
            path_mtu: path.map(|path| path.mtu),
            path_mtu_source: path.map(|path| {
                match path.source {
                    PathMtuSource::Interface => "interface",
                    PathMtuSource::Route => "route",
                    PathMtuSource::Icmp { .. } => "icmp",
                }
                .into()
            }),
            path_mtu_router: path.and_then(|path| match path.source {
                PathMtuSource::Icmp { router, .. } => Some(router),
                PathMtuSource::Interface | PathMtuSource::Route => None,
            }),
            path_mtu_remaining_s: path.and_then(|path| match path.source {
                PathMtuSource::Icmp { remaining, .. } => Some(remaining.as_secs()),
                PathMtuSource::Interface | PathMtuSource::Route => None,
            }),
        })
        .collect()
}

/// The programs' counters as rows of `mipd show counters`.
pub fn data_path(reports: &[CounterReport]) -> impl Iterator<Item = Counter> {
    reports.iter().flat_map(|report| {
        report.counters.iter().map(|counter| Counter {
            role: "data_path".into(),
            name: counter.name.into(),
            interface: Some(report.interface.clone()),
            hook: Some(
                match report.hook {
                    Hook::Xdp => "xdp",
                    Hook::Ingress => "ingress",
                    Hook::Egress => "egress",
                }
                .into(),
            ),
            value: counter.packets,
            rfc2006: None,
            help: counter.help.into(),
        })
    })
}

/// Packets of an interface that met this fate. What XDP leaves alone crosses TC next and is judged there, so it does not
/// count twice.
pub fn packets(reports: &[CounterReport], interface: &str, action: Action) -> u64 {
    reports
        .iter()
        .filter(|report| report.interface == interface)
        .filter(|report| report.hook != Hook::Xdp || matches!(action, Action::Fast | Action::Dropped))
        .flat_map(|report| &report.counters)
        .filter(|counter| counter.action == action)
        .map(|counter| counter.packets)
        .sum()
}

fn remaining(now: Now, expires: Instant) -> u64 {
    expires.since(now.instant).max(Duration::ZERO).as_secs()
}

/// `ipip`, `gre`, `minimal`; over UDP, `udp/ipip` and so on.
fn encapsulation(tunnel: &TunnelMode) -> String {
    format!("{}{}", if tunnel.udp.is_some() { "udp/" } else { "" }, tunnel.encapsulation)
}

fn letters(flags: &[(bool, char)]) -> String {
    flags.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
}

fn flags(flags: RequestFlags) -> String {
    letters(&[
        (flags.simultaneous, 'S'),
        (flags.broadcast, 'B'),
        (flags.co_located, 'D'),
        (flags.minimal_encapsulation, 'M'),
        (flags.gre, 'G'),
        (flags.reverse_tunnel, 'T'),
    ])
}

fn agent_flags(flags: crate::wire::advertisement::AgentFlags) -> String {
    letters(&[
        (flags.registration_required, 'R'),
        (flags.busy, 'B'),
        (flags.home_agent, 'H'),
        (flags.foreign_agent, 'F'),
        (flags.minimal_encapsulation, 'M'),
        (flags.gre, 'G'),
        (flags.reverse_tunnel, 'T'),
        (flags.udp_tunnelling, 'U'),
        (flags.revocation, 'X'),
        (flags.regional, 'I'),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_a_role_is_listed_even_when_nothing_was_counted() {
        for role in catalogue::ROLES {
            let rows = rows_of(role, []);
            assert!(!rows.is_empty());
            let listed: Vec<_> = rows.iter().map(|row| (&row.name, row.value)).collect();
            let expected = catalogue::of(role);
            let expected: Vec<_> = expected.iter().map(|entry| (&entry.name, 0)).collect();
            assert_eq!(listed, expected, "{role}");
        }
        let denial = |rows: Vec<Counter>| rows.into_iter().find(|row| row.name == "denied_131").unwrap();
        let row = denial(rows_of("home_agent", []));
        assert_eq!((row.value, row.rfc2006.as_deref()), (0, Some("haMNAuthenticationFailure")));
        assert_eq!(row.help, "home agent: mobile node failed authentication");
        assert_eq!(denial(rows_of("home_agent", [("denied_131".into(), 3)])).value, 3);
    }

    #[test]
    fn what_the_catalogue_does_not_list_is_shown_all_the_same_and_equal_names_are_added_up() {
        let counts = [("denied_127", 1), ("solicitations_received", 2), ("solicitations_received", 3), ("news", 4)];
        let rows = rows_of("discovery", counts.map(|(name, value)| (name.to_owned(), value)));
        let value = |name: &str| rows.iter().filter(|row| row.name == name).map(|row| row.value).collect::<Vec<_>>();
        assert_eq!((value("denied_127"), value("solicitations_received"), value("news")), (vec![1], vec![5], vec![4]));
    }
}
