//! What is valid and yet hardly meant, as far as the file alone shows.

use super::finding::Finding;
use crate::config::{AccessPoint, Config, HomeAgent};

/// Everything that deserves a second look.
pub(super) fn hints(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(home_agent) = &config.home_agent {
        for_home_agent(config, home_agent, &mut findings);
    }
    if let Some(access_point) = &config.access_point {
        for_access_point(config, access_point, &mut findings);
    }
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
}

fn for_access_point(config: &Config, access_point: &AccessPoint, findings: &mut Vec<Finding>) {
    if access_point.subnet_map.is_empty() {
        findings.push(Finding::warning(
            "the access point's subnet-map is empty: no visitor's home agent is known, so none is served",
        ));
    }
    if config.security_associations.is_empty() && config.radius.is_none() {
        findings.push(Finding::warning(
            "the access point has no [[security-association]] and no [radius]: it can register nobody",
        ));
    }
    for association in &config.security_associations {
        if !access_point.subnet_map.iter().any(|entry| association.clients.is_within(&entry.prefix)) {
            findings.push(Finding::warning(format!(
                "clients {} in line {} are not within one subnet of subnet-map: the home agent of some is not known",
                association.clients, association.line,
            )));
        }
    }
}
