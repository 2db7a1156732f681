//! Takes everything away that the data plane put into the system.

use std::path::Path;

use aya::maps::{Array, MapData};
use mipd_common::{mac::MacAddress, maps::Mac, table::StationEntry};
use nix::mount::{MntFlags, umount2};

use super::{
    attach, checks, devices,
    error::DataPlaneError,
    journal::{Change, Journal},
    maps::{name, open_at},
    netlink::{Netlink, absent_is_fine},
    pins::Pins,
    sysctl,
    table::entries,
};

/// Detaches every program and removes every pin, route, rule, neighbour, forwarding entry and device of ours, and puts
/// kernel settings back. Also after `kill -9`, and when half of it is gone already.
///
/// Stopping the agent does none of this: the data path goes on, so that a restart or upgrade interrupts nobody.
///
/// Refused while an agent runs.
pub fn unload(bpffs_dir: &Path, state_dir: &Path) -> Result<(), DataPlaneError> {
    checks::machine()?;
    let _locks = [bpffs_dir, state_dir]
        .into_iter()
        .filter(|directory| directory.is_dir())
        .map(checks::lock)
        .collect::<Result<Vec<_>, _>>()?;
    undo(bpffs_dir, state_dir)
}

/// The same without the locks, which the caller holds. Goes on after a failure and reports the first one; what is left
/// stays in the journal.
pub(super) fn undo(bpffs_dir: &Path, state_dir: &Path) -> Result<(), DataPlaneError> {
    let journal = Journal::existing(state_dir)?;
    let changes = journal.as_ref().map(Journal::changes).unwrap_or_default();
    let mut netlink = Netlink::open()?;
    let mut first_error = None;
    let mut attempt = |result: Result<(), DataPlaneError>| {
        if let Err(error) = result {
            tracing::warn!(%error, "could not be undone");
            first_error.get_or_insert(error);
        }
    };

    let radios = changes.iter().filter_map(|change| match change {
        Change::Radio { radio } => Some(radio),
        _ => None,
    });
    let stations = pinned_stations(bpffs_dir);
    for radio in radios {
        attempt(remove_forwarding(&mut netlink, radio, stations.as_deref()));
    }
    for change in changes.iter().rev() {
        match change {
            Change::Filter { filter, program, egress } => attach::remove_filter(filter, program, *egress),
            Change::Clsact { clsact } => attempt(remove_clsact(&mut netlink, clsact)),
            _ => {}
        }
    }
    attempt(Pins::remove_all(bpffs_dir));
    attempt(remove_kernel_entries(&mut netlink));
    for change in changes.iter().rev() {
        match change {
            Change::Device { device } => attempt(devices::remove(device, &mut netlink)),
            Change::Sysctl { sysctl, was, set } => attempt(sysctl::restore(sysctl, was, set)),
            Change::Mount { mount } => attempt(unmount(mount)),
            _ => {}
        }
    }
    match (first_error, journal) {
        (Some(error), _) => Err(error),
        (None, Some(journal)) => journal.remove(),
        (None, None) => Ok(()),
    }
}

fn pinned_stations(bpffs_dir: &Path) -> Option<Vec<MacAddress>> {
    let stations: Array<MapData, StationEntry> =
        open_at(&Pins::new(bpffs_dir).map(name::STATIONS), name::STATIONS).ok()?;
    let entries = entries::<_, Mac, _, _>(&stations, name::STATIONS).ok()?;
    Some(entries.into_iter().map(|(mac, _)| MacAddress(mac.octets)).collect())
}

/// Removes our forwarding entries from a bridge port: those of known stations, or, when the map that says which is gone,
/// all that were not learned.
fn remove_forwarding(
    netlink: &mut Netlink,
    radio: &str,
    stations: Option<&[MacAddress]>,
) -> Result<(), DataPlaneError> {
    let Some(port) = netlink.links()?.into_iter().find(|link| link.name == radio).map(|link| link.index) else {
        return Ok(());
    };
    for mac in netlink.external_forwarding(port)? {
        if stations.is_none_or(|stations| stations.contains(&mac)) {
            absent_is_fine(netlink.delete_forwarding(port, mac))?;
        }
    }
    Ok(())
}

fn remove_clsact(netlink: &mut Netlink, interface: &str) -> Result<(), DataPlaneError> {
    match netlink.links()?.into_iter().find(|link| link.name == interface) {
        Some(link) => match netlink.delete_clsact(link.index) {
            // No such qdisc.
            Err(error) if error.errno() == Some(libc::EINVAL) => Ok(()),
            result => Ok(absent_is_fine(result)?),
        },
        None => Ok(()),
    }
}

fn remove_kernel_entries(netlink: &mut Netlink) -> Result<(), DataPlaneError> {
    netlink.delete_own_rules(&[])?;
    for route in netlink.own_routes()? {
        absent_is_fine(netlink.delete_route(route.destination, route.table))?;
    }
    for (device, address) in netlink.own_neighbours()? {
        absent_is_fine(netlink.delete_neighbour(device, address))?;
    }
    Ok(())
}

/// Unmounts a BPF file system of ours, unless somebody else has pinned something there.
fn unmount(mount_point: &Path) -> Result<(), DataPlaneError> {
    let in_use = std::fs::read_dir(mount_point)
        .is_ok_and(|entries| entries.filter_map(Result::ok).any(|entry| entry.path().is_dir()));
    if in_use {
        tracing::info!(mount = %mount_point.display(), "left mounted: others use it");
        return Ok(());
    }
    // Lazily: our own lock is on it.
    match umount2(mount_point, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(errno) => Err(DataPlaneError::file("unmount", mount_point)(errno.into())),
    }
}
