//! Whether this machine's kernel, and our rights on it, can carry mipd. Says what is missing in a sentence.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::command;

/// The oldest kernel that has what the programs use.
const MINIMUM: (u32, u32) = (5, 10);
/// Capabilities that the agent needs, by number.
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// What was found.
struct Facts {
    release: String,
    bpf: bool,
    namespaces: bool,
    tun: bool,
    can_elevate: bool,
    /// Effective capabilities if this is root.
    capabilities: Option<u64>,
}

/// Refuses in words if programs cannot be loaded, or networks not be made, here.
pub fn require() -> Result<()> {
    match obstacle() {
        Some(reason) => bail!("{reason}"),
        None => Ok(()),
    }
}

/// Why programs cannot be loaded, or networks not be made, here.
pub fn obstacle() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let facts = Facts {
        release: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        bpf: Path::new("/proc/sys/kernel/unprivileged_bpf_disabled").exists(),
        namespaces: Path::new("/proc/self/ns/net").exists(),
        tun: Path::new("/dev/net/tun").exists(),
        can_elevate: command::can_elevate(),
        capabilities: command::is_root().then(|| capabilities(&status)).flatten(),
    };
    judge(&facts)
}

fn judge(facts: &Facts) -> Option<String> {
    let release = &facts.release;
    if version(release).is_none_or(|version| version < MINIMUM) {
        return Some(format!("this kernel is {release}: mipd needs Linux {}.{} or newer", MINIMUM.0, MINIMUM.1));
    }
    if !facts.bpf {
        return Some(format!(
            "kernel {release} has no BPF: it has to be built with CONFIG_BPF_SYSCALL and CONFIG_BPF_JIT"
        ));
    }
    if !facts.namespaces {
        return Some(format!("kernel {release} has no network namespaces (CONFIG_NET_NS)"));
    }
    if !facts.tun {
        return Some(
            "there is no /dev/net/tun: load the module with `modprobe tun`, or give the device to this container"
                .to_owned(),
        );
    }
    if !facts.can_elevate {
        return Some("this needs root and there is no sudo here: run it as root".to_owned());
    }
    let held = facts.capabilities?;
    let missing: Vec<_> =
        CAPABILITIES.iter().filter(|(bit, _)| held & (1 << bit) == 0).map(|(_, name)| *name).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "this is root without {}: run it on the machine itself, or in a privileged container",
            missing.join(" and ")
        )
    })
}

fn capabilities(status: &str) -> Option<u64> {
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            release: "6.1.0-44-amd64".to_owned(),
            bpf: true,
            namespaces: true,
            tun: true,
            can_elevate: true,
            capabilities: Some(u64::MAX),
        }
    }

    #[test]
    fn a_debian_12_kernel_and_root_will_do() {
        assert_eq!(judge(&good()), None);
        assert_eq!(judge(&Facts { release: "5.10.0".to_owned(), capabilities: None, ..good() }), None);
    }

    #[test]
    fn every_obstacle_is_named() {
        let said = |facts: Facts, part: &str| {
            let reason = judge(&facts).unwrap();
            assert!(reason.contains(part), "{reason} lacks {part}");
        };
        said(Facts { release: "4.19.0-27-amd64".to_owned(), ..good() }, "4.19.0-27-amd64: mipd needs Linux 5.10");
        said(Facts { release: "strange".to_owned(), ..good() }, "5.10");
        said(Facts { bpf: false, ..good() }, "CONFIG_BPF_SYSCALL");
        said(Facts { namespaces: false, ..good() }, "CONFIG_NET_NS");
        said(Facts { tun: false, ..good() }, "modprobe tun");
        said(Facts { can_elevate: false, ..good() }, "as root");
        said(Facts { capabilities: Some(1 << 12), ..good() }, "CAP_SYS_ADMIN");
    }

    #[test]
    fn capabilities_are_hexadecimal() {
        assert_eq!(capabilities("CapPrm:\t0\nCapEff:\t0000000000201000\n"), Some(1 << 12 | 1 << 21));
    }
}
