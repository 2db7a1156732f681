//! What is valid and yet hardly meant, as far as the file alone shows.

use ipnet::Ipv4Net;

use super::finding::Finding;
use crate::config::{AccessPoint, Advertisement, Config, ForeignAgent, HomeAgent, HomeRoutes, PeerKind};

/// RFC 1256 §3: an address that hosts never take for their default router.
const NEVER_PREFERRED: i32 = i32::MIN;

/// Everything that deserves a second look.
pub(super) fn hints(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(home_agent) = &config.home_agent {
        for_home_agent(config, home_agent, &mut findings);
    }
    if let Some(foreign_agent) = &config.foreign_agent {
        for_foreign_agent(config, foreign_agent, &mut findings);
    }
    if let Some(access_point) = &config.access_point {
        for_access_point(config, access_point, &mut findings);
    }
    for_advertisement(config, &config.advertisement, &mut findings);
    for_associations(config, &mut findings);
    if config.access_point.is_some() || config.agent.core_interfaces.is_some() {
        let used = config.interfaces_with_roles();
        for settings in config.interfaces.iter().filter(|settings| !used.contains_key(&settings.name)) {
            findings.push(Finding::warning(format!(
                "[[interface]] {} in line {} has no role: nothing is attached there",
                settings.name, settings.line,
            )));
        }
    }
    findings
}

fn for_home_agent(config: &Config, home_agent: &HomeAgent, findings: &mut Vec<Finding>) {
    if config.security_associations.is_empty() && config.radius.is_none() {
        findings.push(Finding::warning(
            "the home agent has no [[security-association]] and no [radius]: it ignores every registration until clients \
             have one",
        ));
    }
    for association in &config.security_associations {
        if !home_agent.subnets.iter().any(|subnet| association.clients.is_within(&subnet.prefix)) {
            findings.push(Finding::warning(format!(
                "clients {} in line {} are not within one home subnet: the addresses outside cannot register here",
                association.clients, association.line,
            )));
        }
    }
    if home_agent.allowed_proxies.is_some() && !config.shares(PeerKind::ForeignHome) {
        findings.push(Finding::warning(
            "allowed-proxies lets nobody in: add a [[peer-association]] of kind foreign-home for the proxies to sign with",
        ));
    }
    if config.radius.is_none() && home_agent.allowed_proxies.is_none() {
        let unknown = |address| !config.security_associations.iter().any(|entry| entry.clients.contains(address));
        for (nai, home_address) in home_agent.identities.iter().filter(|(_, address)| unknown(address.0)) {
            findings.push(Finding::warning(format!(
                "{nai} in identities cannot register: add a [[security-association]] for its home address {home_address}",
            )));
        }
    }
    if home_agent.simultaneous_bindings > 1 {
        findings.push(Finding::note(
            "simultaneous-bindings is for mobile nodes that set the S bit: access points of mipd never do",
        ));
    }
    if home_agent.broadcast {
        for subnet in home_agent.subnets.iter().filter(|subnet| subnet.routes == Some(HomeRoutes::Subnet)) {
            findings.push(Finding::warning(format!(
                "broadcast = true does nothing for home subnet {}: with routes = \"subnet\" it has no link to hear any on",
                subnet.prefix,
            )));
        }
    }
}

fn for_foreign_agent(config: &Config, foreign_agent: &ForeignAgent, findings: &mut Vec<Finding>) {
    if !foreign_agent.challenge {
        return;
    }
    if !config.shares(PeerKind::MobileForeign) {
        findings.push(Finding::warning(
            "challenge = true without a [[peer-association]] of kind mobile-foreign: only clients with MN-AAA authentication \
             get in, and only their home agents check it (mipd's do); add one for the others",
        ));
    }
    if config.advertisement.only_when_solicited {
        findings.push(Finding::warning(
            "challenge = true with only-when-solicited = true: challenges are renewed by advertisements that nobody asked \
             for, so clients that return are denied once; set one of them to false",
        ));
    }
}

fn for_access_point(config: &Config, access_point: &AccessPoint, findings: &mut Vec<Finding>) {
    if access_point.subnet_map_entries().next().is_none() && access_point.exchange.is_none() {
        findings.push(Finding::warning(
            "the access point has neither a subnet-map nor authoritative access points: no visitor's home agent is known, so none \
             is served",
        ));
    }
    if config.security_associations.is_empty() && config.radius.is_none() {
        findings.push(Finding::warning(
            "the access point has no [[security-association]] and no [radius]: it can register nobody",
        ));
    } else if config.radius.is_none() {
        let known = |prefix: &Ipv4Net| {
            config.security_associations.iter().any(|entry| entry.clients.overlaps((*prefix).into()))
        };
        for entry in access_point.subnet_map_entries().filter(|entry| !known(&entry.prefix)) {
            findings.push(Finding::warning(format!(
                "no [[security-association]] is for clients of {}: they are not registered, nor deregistered when they come \
                 home",
                entry.prefix,
            )));
        }
    }
    // What the others tell is not known here.
    let told = access_point.exchange.is_some();
    for association in config.security_associations.iter().filter(|_| !told) {
        if !access_point.subnet_map_entries().any(|entry| association.clients.is_within(&entry.prefix)) {
            findings.push(Finding::warning(format!(
                "clients {} in line {} are not within one subnet of subnet-map: the home agent of some is not known",
                association.clients, association.line,
            )));
        }
    }
}

fn for_advertisement(config: &Config, advertisement: &Advertisement, findings: &mut Vec<Finding>) {
    if advertisement.registration_required && config.foreign_agent.is_none() {
        findings.push(Finding::warning("registration-required does nothing: it is for boxes with a [foreign-agent]"));
    }
    if advertisement.routes_common_traffic && advertisement.preference == NEVER_PREFERRED {
        findings.push(Finding::warning(
            "routes-common-traffic = true with preference = -2147483648: no host takes this box for its router; raise \
             preference",
        ));
    }
}

fn for_associations(config: &Config, findings: &mut Vec<Finding>) {
    let clients = config.security_associations.iter().map(|entry| (entry.line, &entry.association));
    let peers = config.peer_associations.iter().map(|entry| (entry.line, &entry.association));
    for (line, _) in clients.chain(peers).filter(|(_, association)| association.accept_any_algorithm) {
        findings.push(Finding::warning(format!(
            "the section of line {line} accepts every algorithm, the weakest included: set accept-any-algorithm to false as \
             soon as the peers are changed over",
        )));
    }
    if config.home_agent.is_none() && config.access_point.is_none() {
        for entry in &config.security_associations {
            findings.push(Finding::warning(format!(
                "a foreign agent needs no keys of clients: remove the [[security-association]] of line {}",
                entry.line,
            )));
        }
    }
    for entry in &config.peer_associations {
        if entry.kind == PeerKind::MobileForeign && config.foreign_agent.is_none() && config.access_point.is_none() {
            findings.push(Finding::warning(format!(
                "a home agent does not use the mobile-foreign association of line {}: remove it",
                entry.line,
            )));
        } else if entry.association.sign_deregistrations
            && (entry.kind == PeerKind::MobileForeign || config.foreign_agent.is_none())
        {
            findings.push(Finding::warning(format!(
                "sign-deregistrations in the section of line {} does nothing: only a foreign agent heeds it, of kind \
                 foreign-home",
                entry.line,
            )));
        }
    }
}
