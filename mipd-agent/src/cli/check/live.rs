//! Whether this box suits the configuration, as far as routing netlink and `/proc/sys/net` tell.

use std::{fs, io};

use super::{box_state::BoxState, finding::Finding, netfilter};
use crate::{
    cli::Failure,
    config::{AccessPoint, Config, InterfaceName},
    wireless::{Isolation, Mode},
};

/// The kernel's own tunnel devices, which would decapsulate our packets a second time.
const KERNEL_TUNNELS: [&str; 2] = ["tunl0", "gre0"];

/// Everything that was found on this box, in this network namespace.
pub(super) fn findings(config: &Config) -> Result<Vec<Finding>, Failure> {
    let state =
        BoxState::read().map_err(|error| format!("cannot ask the kernel for interfaces: {error}; try --offline"))?;
    let mut findings = Vec::new();
    interfaces(config, &state, &mut findings);
    if let Some(access_point) = &config.access_point {
        bridge_ports(access_point, &state, &mut findings);
        isolation(access_point, &state, &mut findings);
    } else {
        router(config, &state, &mut findings)?;
    }
    Ok(findings)
}

fn interfaces(config: &Config, state: &BoxState, findings: &mut Vec<Finding>) {
    let radios: Vec<_> =
        config.access_point.iter().flat_map(|role| &role.radios).map(|radio| &radio.interface).collect();
    for name in config.interfaces_with_roles().keys() {
        match state.links.get(name.as_str()) {
            None if radios.contains(name) => findings.push(Finding::warning(format!(
                "radio {name} is not there: it is served as soon as it is, unless its name is wrong",
            ))),
            None => findings.push(Finding::problem(format!(
                "interface {name} does not exist: create it, or correct its name in the configuration",
            ))),
            Some(link) if !link.up => {
                findings.push(Finding::warning(format!("interface {name} is down: ip link set {name} up")));
            }
            Some(_) => {}
        }
    }
}

fn bridge_ports(access_point: &AccessPoint, state: &BoxState, findings: &mut Vec<Finding>) {
    let bridge = &access_point.bridge;
    let Some(bridge_index) = state.links.get(bridge.as_str()).map(|link| link.index) else { return };
    let ports = access_point.radios.iter().map(|radio| &radio.interface).chain([&access_point.uplink]);
    for port in ports {
        if state.links.get(port.as_str()).is_some_and(|link| link.bridge != Some(bridge_index)) {
            findings.push(Finding::problem(format!(
                "{port} is not a port of bridge {bridge}: ip link set {port} master {bridge}",
            )));
        }
    }
    let unaddressed = state.links.get(bridge.as_str()).is_some_and(|link| link.addresses.is_empty());
    if unaddressed && access_point.local_subnets.is_empty() {
        findings.push(Finding::warning(format!(
            "bridge {bridge} has no IPv4 address and local-subnets is empty: every client would look like a visitor",
        )));
    }
}

fn isolation(access_point: &AccessPoint, state: &BoxState, findings: &mut Vec<Finding>) {
    for radio in access_point.radios.iter().filter(|radio| radio.proxy_mobile_ip) {
        let name = &radio.interface;
        let Some(link) = state.links.get(name.as_str()) else { continue };
        if matches!(Mode::of(link.index), Some(Mode::Station { .. })) {
            findings.push(Finding::warning(format!("radio {name} is a station now: it serves when hostapd runs it")));
        }
        findings.extend(Isolation::of(name.as_str(), link.index).and_then(|found| about(&found, name, link.hairpin)));
    }
}

/// What there is to say of a radio's isolation, given whether its port of the bridge is a hairpin.
fn about(isolation: &Isolation, radio: &InterfaceName, hairpin: bool) -> Option<Finding> {
    match isolation {
        Isolation::Off => Some(Finding::warning(format!(
            "{radio} hands frames between its stations on by itself, unseen by mipd: set ap_isolate=1 in hostapd's \
             configuration",
        ))),
        Isolation::On if !hairpin => Some(Finding::note(format!(
            "stations of {radio} do not reach each other, for ap_isolate is on: if they should, ip link set {radio} type \
             bridge_slave hairpin on",
        ))),
        Isolation::On => None,
        Isolation::Unknown(why) => Some(Finding::note(format!(
            "whether {radio} hands frames between its stations on by itself is unknown ({why}): see that hostapd's \
             configuration says ap_isolate=1",
        ))),
    }
}

fn router(config: &Config, state: &BoxState, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    if fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?.trim() != "1" {
        findings
            .push(Finding::problem("IPv4 forwarding is off: sysctl -w net.ipv4.ip_forward=1, an agent is a router"));
    }
    for name in KERNEL_TUNNELS {
        if state.links.get(name).is_some_and(|link| link.up) {
            findings.push(Finding::problem(format!(
                "the kernel's tunnel device {name} is up and would decapsulate a second time: ip link set {name} down",
            )));
        }
    }
    addresses(config, state, findings);
    if config.agent.core_interfaces.is_none() {
        findings.push(core_interfaces(state));
    }
    match netfilter::chains_bypassed() {
        Ok(chains) => findings.extend(chains.into_iter().map(|chain| {
            Finding::warning(format!(
                "{chain} does not see what the fast path delivers: leave clients' packets out of it, or set fast-path = \
                 \"off\"",
            ))
        })),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            findings.push(Finding::note("firewall and NAT rules were not looked at: run as root for that"));
        }
        Err(error) => findings.push(Finding::note(format!("firewall and NAT rules could not be read: {error}"))),
    }
    Ok(())
}

fn addresses(config: &Config, state: &BoxState, findings: &mut Vec<Finding>) {
    if let Some(home_agent) = &config.home_agent {
        let address = home_agent.address.0;
        if state.owner(address).is_none() {
            findings.push(Finding::warning(format!(
                "home agent address {address} is on no interface: clients at home cannot reach it there",
            )));
        }
        for subnet in &home_agent.subnets {
            let attached = |name: &InterfaceName| {
                let link = state.links.get(name.as_str())?;
                Some(link.addresses.iter().any(|address| subnet.prefix.contains(&address.addr())))
            };
            if attached(&subnet.interface) == Some(false) {
                findings.push(Finding::warning(format!(
                    "{} has no address in home subnet {}: is it the right interface?",
                    subnet.interface, subnet.prefix,
                )));
            }
        }
    }
    if let Some(foreign_agent) = &config.foreign_agent {
        let address = foreign_agent.care_of_address.0;
        if state.owner(address).is_none() {
            findings.push(Finding::warning(format!(
                "care-of address {address} is on no interface: see that home agents have a route to it",
            )));
        }
    }
}

fn core_interfaces(state: &BoxState) -> Finding {
    let names: Vec<&str> = state
        .links
        .iter()
        .filter(|(_, link)| state.gateways.contains(&link.index))
        .map(|(name, _)| name.as_str())
        .collect();
    if names.is_empty() {
        Finding::warning("no route has a gateway, so no core interface is found: set [agent] core-interfaces")
    } else {
        Finding::note(format!("core interfaces, found by their routes: {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(isolation: &Isolation, hairpin: bool) -> Option<String> {
        about(isolation, &InterfaceName::try_from("wlan0".to_owned()).unwrap(), hairpin)
            .map(|finding| finding.to_string())
    }

    #[test]
    fn isolation_is_doubted_where_it_is_off_or_unknown_and_explained_where_it_parts_stations() {
        assert!(
            said(&Isolation::Off, true).unwrap().starts_with("warning: wlan0 hands frames between its stations on")
        );
        assert!(said(&Isolation::On, false).unwrap().starts_with("note:    stations of wlan0 do not reach each other"));
        assert_eq!(said(&Isolation::On, true), None);
        let unknown = said(&Isolation::Unknown("no debugfs".to_owned()), false).unwrap();
        assert!(unknown.starts_with("note:    whether wlan0 hands") && unknown.contains("(no debugfs)"), "{unknown}");
    }
}
