//! The kernel settings that Mobile IP needs, changed as little as possible and journalled.
//!
//! Read and written below `/proc/sys/net`, which shows the network namespace of the calling thread.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    devices::VISIT_TUN,
    error::DataPlaneError,
    journal::{Change, Journal},
    settings::Settings,
};

/// A kernel setting that has another value than we need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SysctlChange {
    /// Path below `/proc/sys`.
    pub path: String,
    /// Present value.
    pub was: String,
    /// Value needed.
    pub set: String,
    /// Why, in one line.
    pub why: &'static str,
}

const LOOSE: &str = "a strict reverse path filter drops visitors and what comes out of tunnels (effective is the maximum of all and interface)";
const REDIRECTS: &str = "ICMP redirects would lead hosts around the agent (effective if set in all or interface)";

const OWN_SOURCE: &str = "our own ICMP errors for a visitor come back to us through its tunnel";

/// What would have to change on this box for these settings, as it is now. Nothing is changed.
///
/// `rp_filter` only where strict filtering is in effect, and then to loose (2); `send_redirects` to 0;
/// `accept_local` to 1 on the foreign agent's tunnel device.
pub fn required(settings: &Settings, devices: &[&str]) -> Result<Vec<SysctlChange>, DataPlaneError> {
    let routed: Vec<&str> = settings
        .interfaces
        .iter()
        .filter(|interface| interface.roles.is_router())
        .map(|interface| interface.name.as_str())
        .collect();
    let mut changes = Vec::new();
    let mut want = |path: String, was: String, set: &str, why| {
        if was != set {
            changes.push(SysctlChange { path, was, set: set.to_owned(), why });
        }
    };
    let all_filter = read(&conf("all", "rp_filter"))?.unwrap_or_default();
    for interface in routed.iter().chain(devices) {
        let path = conf(interface, "rp_filter");
        let Some(was) = read(&path)? else { continue };
        let effective = [&all_filter, &was].into_iter().filter_map(|value| value.parse::<u8>().ok()).max();
        if effective == Some(1) {
            want(path, was, "2", LOOSE);
        }
    }
    let accept_local = conf(VISIT_TUN, "accept_local");
    if devices.contains(&VISIT_TUN)
        && let Some(was) = read(&accept_local)?
    {
        want(accept_local, was, "1", OWN_SOURCE);
    }
    if !routed.is_empty() {
        for interface in ["all"].iter().chain(&routed).chain(devices) {
            let path = conf(interface, "send_redirects");
            let Some(was) = read(&path)? else { continue };
            want(path, was, "0", REDIRECTS);
        }
    }
    Ok(changes)
}

/// Makes the changes, each in the journal first.
pub(super) fn apply(changes: Vec<SysctlChange>, journal: &mut Journal) -> Result<(), DataPlaneError> {
    for SysctlChange { path, was, set, why: _ } in changes {
        journal.record(Change::Sysctl { sysctl: path.clone(), was, set: set.clone() })?;
        write(&path, &set)?;
    }
    Ok(())
}

/// Puts a value back, unless somebody else has changed it since or the interface is gone.
pub(super) fn restore(path: &str, was: &str, set: &str) -> Result<(), DataPlaneError> {
    match read(path)? {
        Some(value) if value == set => write(path, was),
        _ => Ok(()),
    }
}

/// Whether the box forwards IPv4.
pub(super) fn forwarding() -> Result<bool, DataPlaneError> {
    Ok(read("net/ipv4/ip_forward")?.as_deref() == Some("1"))
}

/// Keeps IPv6 off a device of ours: it carries IPv4 only. Kernels without IPv6 have nothing to switch off.
pub(super) fn disable_ipv6(device: &str) -> Result<(), DataPlaneError> {
    let path = format!("net/ipv6/conf/{device}/disable_ipv6");
    match read(&path)? {
        Some(value) if value != "1" => write(&path, "1"),
        _ => Ok(()),
    }
}

fn conf(interface: &str, name: &str) -> String {
    format!("net/ipv4/conf/{interface}/{name}")
}

fn file(path: &str) -> PathBuf {
    Path::new("/proc/sys").join(path)
}

fn read(path: &str) -> Result<Option<String>, DataPlaneError> {
    match fs::read_to_string(file(path)) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataPlaneError::file("read", file(path))(error)),
    }
}

fn write(path: &str, value: &str) -> Result<(), DataPlaneError> {
    fs::write(file(path), value).map_err(DataPlaneError::file("write", file(path)))
}
