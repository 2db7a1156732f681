//! What has to hold before anything is changed, each with the way out.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use aya::util::KernelVersion;

use super::{
    devices::Devices,
    error::DataPlaneError,
    netlink::{Link, Netlink},
    settings::{InterfaceSettings, Settings},
    sysctl::{self, SysctlChange},
};
use crate::wireless::Mode;

/// Oldest kernel with everything the programs use.
const OLDEST: (u8, u8) = (5, 10);

/// Bits of the effective capability set (`capability.h`).
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// Checks privileges and kernel version.
pub(super) fn machine() -> Result<(), DataPlaneError> {
    let status = "/proc/thread-self/status";
    let text = fs::read_to_string(status).map_err(DataPlaneError::file("read", status))?;
    let missing = missing_capabilities(&text);
    if !missing.is_empty() {
        return Err(DataPlaneError::NotPrivileged { missing: missing.join(", ") });
    }
    if !kernel_is_at_least(OLDEST.0, OLDEST.1) {
        let release = "/proc/sys/kernel/osrelease";
        let found = fs::read_to_string(release).map_err(DataPlaneError::file("read", release))?;
        return Err(DataPlaneError::KernelTooOld { found: found.trim().to_owned() });
    }
    Ok(())
}

/// What would keep [`DataPlane::start`](super::DataPlane::start) from starting, and else the kernel settings that it
/// would change. Changes nothing.
pub fn check(settings: &Settings) -> Result<Vec<SysctlChange>, DataPlaneError> {
    machine()?;
    network(settings, &Netlink::open()?.links()?)?;
    sysctl::required(settings, &Devices::names(settings))
}

/// Whether the running kernel is this version or a later one.
pub(super) fn kernel_is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(major, minor, 0))
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective & (1 << capability) != 0;
    let wanted = [
        (has(CAP_NET_ADMIN), "CAP_NET_ADMIN"),
        (has(CAP_NET_RAW), "CAP_NET_RAW"),
        (has(CAP_BPF) || has(CAP_SYS_ADMIN), "CAP_BPF"),
    ];
    wanted.into_iter().filter(|(present, _)| !present).map(|(_, name)| name).collect()
}

/// Checks the configured interfaces and what else is on the box.
pub(super) fn network(settings: &Settings, links: &[Link]) -> Result<(), DataPlaneError> {
    let exists = |name: &str| links.iter().any(|link| link.name == name);
    for InterfaceSettings { name, roles, .. } in &settings.interfaces {
        // Radios come and go.
        if !exists(name) && !roles.radio {
            return Err(DataPlaneError::NoSuchInterface { name: name.clone() });
        }
        if roles.radio && roles.is_router() {
            return Err(DataPlaneError::RolesConflict { name: name.clone() });
        }
    }
    let access_point = settings.access_point.iter();
    let ports = access_point.flat_map(|settings| [&settings.bridge, &settings.uplink]);
    if let Some(missing) = ports.into_iter().find(|name| !exists(name)) {
        return Err(DataPlaneError::NoSuchInterface { name: missing.clone() });
    }
    if let Some(access_point) = &settings.access_point {
        radios(&access_point.uplink, &access_point.radios, links, Mode::of)?;
    }
    if settings.home.is_none() && settings.visit.is_none() {
        return Ok(());
    }
    if let Some(live) = links.iter().find(|link| link.up && matches!(link.name.as_str(), "tunl0" | "gre0")) {
        return Err(DataPlaneError::LiveKernelTunnel { name: live.name.clone() });
    }
    if !sysctl::forwarding()? {
        return Err(DataPlaneError::ForwardingOff);
    }
    Ok(())
}

/// Refuses what an access point's interfaces must not be: repeaters and other wireless uplinks, radios that are no access
/// points, and VLANs. `mode` tells what a wireless interface is.
fn radios(
    uplink: &str,
    radios: &[String],
    links: &[Link],
    mode: impl Fn(u32) -> Option<Mode>,
) -> Result<(), DataPlaneError> {
    let named = |name: &str| links.iter().find(|link| link.name == name);
    if let Some(mode) = named(uplink).and_then(|link| mode(link.index)) {
        return Err(DataPlaneError::WirelessUplink { name: uplink.to_owned(), mode: mode.name() });
    }
    for radio in radios {
        let Some(link) = named(radio) else { continue };
        if link.is_vlan {
            return Err(DataPlaneError::TaggedRadio { name: radio.clone() });
        }
        let Some(own) = mode(link.index) else { continue };
        // A radio is a station, though one that bridges nothing, until hostapd runs it.
        if !matches!(own, Mode::AccessPoint | Mode::Station { bridges: false }) {
            return Err(DataPlaneError::RadioMode { name: radio.clone(), mode: own.name() });
        }
        // As hostapd names them: wlan0.10, wlan0.sta1.
        let is_part = |other: &&Link| other.name.strip_prefix(radio.as_str()).is_some_and(|rest| rest.starts_with('.'));
        for part in links.iter().filter(is_part) {
            if let Some(mode) = mode(part.index).filter(|mode| *mode == Mode::AccessPointVlan) {
                let (radio, name) = (radio.clone(), part.name.clone());
                return Err(DataPlaneError::RadioPart { radio, name, mode: mode.name() });
            }
        }
    }
    Ok(())
}

/// Makes sure that no other agent uses the same directory, for as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, DataPlaneError> {
    let file = File::open(directory).map_err(DataPlaneError::file("open", directory))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataPlaneError::AlreadyRunning { path: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(DataPlaneError::file("lock", directory)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, Mode, lock, missing_capabilities, radios};

    fn link(index: u32, name: &str) -> Link {
        let (mac, mtu, bridge, xdp_program) = (mipd_common::mac::MacAddress::default(), 1500, 0, None);
        let name = name.to_owned();
        Link { index, name, mac, mtu, up: true, carrier: true, is_tun: false, is_vlan: false, bridge, xdp_program }
    }

    /// What is said of an uplink with index 1 and a radio with index 2, and of other interfaces from 3 on.
    fn said(links: &[Link], modes: &[(u32, Mode)]) -> Option<String> {
        let mode = |index| modes.iter().find(|(of, _)| *of == index).map(|(_, mode)| *mode);
        radios("eth0", &["wlan0".to_owned()], links, mode).err().map(|error| error.to_string())
    }

    #[test]
    fn repeaters_and_vlans_are_refused_and_access_points_are_not() {
        let links = [link(1, "eth0"), link(2, "wlan0"), link(3, "wlan0.10"), link(4, "wlan0-1")];
        let ap = (2, Mode::AccessPoint);
        assert_eq!(said(&links, &[]), None, "no radios of the kernel's");
        assert_eq!(said(&links[..1], &[]), None, "the radio is not there yet");
        assert_eq!(said(&links, &[(2, Mode::Station { bridges: false })]), None, "hostapd does not run it yet");
        assert_eq!(said(&links, &[ap, (4, Mode::AccessPointVlan)]), None);
        let refused = |modes: &[(u32, Mode)], begin: &str| {
            let said = said(&links, modes).unwrap();
            assert!(said.starts_with(begin), "{said}");
        };
        refused(
            &[(1, Mode::Station { bridges: true }), ap],
            "uplink eth0 is wireless (a repeater (4-address station))",
        );
        refused(&[(2, Mode::Station { bridges: true })], "radio wlan0 is a repeater (4-address station): ");
        refused(&[(2, Mode::Mesh)], "radio wlan0 is a mesh point: ");
        refused(
            &[ap, (3, Mode::AccessPointVlan)],
            "wlan0.10 is a dynamic VLAN or 4-address station of an access point of",
        );
        let tagged = [link(1, "eth0"), Link { is_vlan: true, ..link(2, "wlan0") }];
        assert!(said(&tagged, &[]).unwrap().starts_with("radio wlan0 is a VLAN device"));
    }

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), Vec::<&str>::new());
        assert_eq!(missing_capabilities("CapEff:\t0000000000203000\n"), Vec::<&str>::new());
        assert_eq!(missing_capabilities("CapEff:\t0000000000000000\n"), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"]);
        assert_eq!(missing_capabilities("CapEff:\t0000008000001000\n"), ["CAP_NET_RAW"]);
    }

    #[test]
    fn a_directory_is_locked_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        assert!(lock(directory.path()).unwrap_err().to_string().contains("another mipd holds"));
        drop(first);
        lock(directory.path()).unwrap();
    }
}
