//! The TUN devices of the tunnels and the TAP device between kernel programs and agent.
//!
//! They are persistent: they outlive the agent, so that forwarding goes on while it restarts.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::Ipv4Addr,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use netlink_packet_route::link::LinkAttribute;
use tokio::io::unix::AsyncFd;

use super::{
    error::DataPlaneError,
    events::watch,
    journal::{Change, Journal},
    netlink::Netlink,
    settings::Settings,
    sysctl,
};

/// The home agent's TUN device: what the kernel routes here is encapsulated.
pub const HOME_TUN: &str = "mip-home";
/// The foreign agent's TUN device: the other end of visitors' tunnels.
pub const VISIT_TUN: &str = "mip-visit";
/// The TAP device for frames between the access point's programs and the agent.
pub const PUNT_TAP: &str = "mip-punt";

/// The TUNs never limit a packet: the routes that lead there do, each with its tunnel's MTU.
const TUN_MTU: u32 = 65_535;
/// How many frames wait for the agent at most: 4 MiB of them.
const PUNT_QUEUE: u32 = 2_048;

mod ioctl {
    nix::ioctl_write_ptr_bad!(
        set_interface,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
    nix::ioctl_write_int_bad!(set_persistent, nix::request_code_write!(b'T', 203, size_of::<libc::c_int>()));
}

/// An open device.
pub(super) struct Device {
    pub index: u32,
    file: File,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tun,
    Tap,
}

impl Device {
    /// Opens the device, creating it if it is not there, and sets it up.
    fn open(
        name: &'static str,
        kind: Kind,
        address: Option<Ipv4Addr>,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<Self, DataPlaneError> {
        journal.record(Change::Device { device: name.to_owned() })?;
        let file = open_device(name, kind).map_err(|(action, source)| DataPlaneError::Device {
            action,
            name: name.to_owned(),
            source,
        })?;
        let link = netlink
            .links()?
            .into_iter()
            .find(|link| link.name == name)
            .ok_or_else(|| DataPlaneError::NoSuchInterface { name: name.to_owned() })?;
        sysctl::disable_ipv6(name)?;
        netlink.set_link(
            link.index,
            match kind {
                Kind::Tun => vec![LinkAttribute::Mtu(TUN_MTU)],
                Kind::Tap => vec![LinkAttribute::TxQueueLen(PUNT_QUEUE)],
            },
        )?;
        let ours: Vec<_> = netlink.addresses()?.into_iter().filter(|entry| entry.index == link.index).collect();
        if let Some(address) = address {
            netlink.add_host_address(link.index, address)?;
        }
        for stale in ours.iter().map(|entry| entry.address.addr()).filter(|old| Some(*old) != address) {
            netlink.delete_host_address(link.index, stale)?;
        }
        Ok(Self { index: link.index, file })
    }

    /// Hands a packet (TUN) or frame (TAP) to the kernel as received on this device.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(drop)
    }

    /// Takes a packet or frame that the kernel sent to this device.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn open_device(name: &str, kind: Kind) -> Result<File, (&'static str, io::Error)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
        .map_err(|error| ("open /dev/net/tun for", error))?;
    let flags = libc::IFF_NO_PI
        | match kind {
            Kind::Tun => libc::IFF_TUN,
            Kind::Tap => libc::IFF_TAP,
        };
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads an `ifreq`, which `request` is.
    unsafe { ioctl::set_interface(file.as_raw_fd(), &raw const request) }.map_err(|errno| ("create", errno.into()))?;
    // SAFETY: TUNSETPERSIST takes an integer.
    unsafe { ioctl::set_persistent(file.as_raw_fd(), 1) }.map_err(|errno| ("make persistent", errno.into()))?;
    Ok(file)
}

/// The devices that the roles need.
pub(super) struct Devices {
    pub home: Option<Device>,
    pub visit: Option<Device>,
    pub punt: Option<AsyncFd<Device>>,
}

impl Devices {
    /// The names of the devices that these settings need.
    pub fn names(settings: &Settings) -> Vec<&'static str> {
        let wanted = [
            (settings.home.is_some(), HOME_TUN),
            (settings.visit.is_some(), VISIT_TUN),
            (settings.access_point.is_some(), PUNT_TAP),
        ];
        wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
    }

    /// Opens all of them.
    pub fn open(settings: &Settings, netlink: &mut Netlink, journal: &mut Journal) -> Result<Self, DataPlaneError> {
        let mut open = |name, kind, address| Device::open(name, kind, address, netlink, journal);
        let home = settings.home.as_ref().map(|home| open(HOME_TUN, Kind::Tun, Some(home.address))).transpose()?;
        let visit =
            settings.visit.as_ref().map(|visit| open(VISIT_TUN, Kind::Tun, Some(visit.care_of_address))).transpose()?;
        let punt = settings
            .access_point
            .as_ref()
            .map(|_| {
                let device = open(PUNT_TAP, Kind::Tap, None)?;
                watch(device).map_err(|source| DataPlaneError::Device {
                    action: "watch",
                    name: PUNT_TAP.to_owned(),
                    source,
                })
            })
            .transpose()?;
        Ok(Self { home, visit, punt })
    }

    /// Index of `mip-home`, 0 without it.
    pub fn home_index(&self) -> u32 {
        self.home.as_ref().map_or(0, |device| device.index)
    }

    /// Index of `mip-visit`, 0 without it.
    pub fn visit_index(&self) -> u32 {
        self.visit.as_ref().map_or(0, |device| device.index)
    }

    /// Index of `mip-punt`, 0 without it.
    pub fn punt_index(&self) -> u32 {
        self.punt.as_ref().map_or(0, |device| device.get_ref().index)
    }
}

/// Removes a device of ours, in whatever state it is.
pub(super) fn remove(name: &str, netlink: &mut Netlink) -> Result<(), DataPlaneError> {
    match netlink.links()?.into_iter().find(|link| link.name == name && link.is_tun) {
        Some(link) => Ok(super::netlink::absent_is_fine(netlink.delete_link(link.index))?),
        None => Ok(()),
    }
}
