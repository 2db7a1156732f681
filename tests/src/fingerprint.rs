//! What configuration a box's kernel has, as text, so that two moments can be compared.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};

use crate::host::Host;

/// What is looked at, by iproute2, which is no part of the project. Counters, timers and what the kernel learns by itself
/// (addresses in bridges, neighbours) are left out.
const QUESTIONS: [&[&str]; 5] = [
    &["ip", "-o", "address", "show"],
    &["ip", "-o", "route", "show", "table", "all"],
    &["ip", "rule", "show"],
    &["ip", "neighbour", "show", "nud", "permanent"],
    &["ip", "neighbour", "show", "proxy"],
];
/// Settings that an agent may have a reason to change.
const SETTINGS: [&str; 6] = ["rp_filter", "send_redirects", "accept_local", "proxy_arp", "arp_ignore", "forwarding"];

/// The lines of a box's configuration.
pub fn fingerprint(host: &Host) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for question in QUESTIONS {
        lines.extend(ask(host, question)?);
    }
    lines.extend(ask(host, &["bridge", "fdb", "show"])?.into_iter().filter(|line| line.contains("extern_learn")));
    for interface in host.interfaces()? {
        let link = ask(host, &["ip", "link", "show", "dev", &interface])?;
        lines.extend(link.into_iter().filter(|line| line.contains("xdp") || line.contains(&interface)));
        for hook in ["ingress", "egress"] {
            lines.extend(ask(host, &["tc", "filter", "show", "dev", &interface, hook])?);
        }
        lines.extend(ask(host, &["tc", "qdisc", "show", "dev", &interface])?);
        for setting in SETTINGS {
            let key = format!("net/ipv4/conf/{interface}/{setting}");
            lines.insert(format!("{key} = {}", host.namespace().sysctl(&key)?));
        }
    }
    for scope in ["all", "default"] {
        for setting in SETTINGS {
            let key = format!("net/ipv4/conf/{scope}/{setting}");
            lines.insert(format!("{key} = {}", host.namespace().sysctl(&key)?));
        }
    }
    Ok(lines)
}

fn ask(host: &Host, question: &[&str]) -> Result<Vec<String>> {
    let output = host.namespace().output(Command::new(question[0]).args(&question[1..]));
    let output =
        output.with_context(|| format!("cannot run {}; `cargo xtask setup` installs iproute2", question[0]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(|line| format!("{}: {}", question.join(" "), line.trim())).collect())
}
