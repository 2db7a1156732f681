//! Offloads of a virtual interface, switched by the ethtool ioctl.
//!
//! Stacks behind a veth leave checksums to "hardware" that is not there, and native XDP on the way would send such
//! packets on unfinished. Every end of every wire therefore has them off.

use std::io;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

const ETHTOOL_STXCSUM: u32 = 0x0000_0017;
const ETHTOOL_STSO: u32 = 0x0000_001f;
const ETHTOOL_SGSO: u32 = 0x0000_0024;
const ETHTOOL_SGRO: u32 = 0x0000_002c;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Switches transmit checksums, TCP segmentation, generic segmentation and generic receive offload off, in the calling
/// thread's network namespace.
pub fn switch_off(interface: &str) -> Result<()> {
    [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM, ETHTOOL_SGRO]
        .into_iter()
        .try_for_each(|command| set(interface, command, false))
}

/// Switches generic receive offload on or off, in the calling thread's network namespace. With it, a virtual Ethernet device
/// takes frames that XDP redirects to it also while it has no XDP program.
pub fn set_generic_receive(interface: &str, on: bool) -> Result<()> {
    set(interface, ETHTOOL_SGRO, on)
}

fn set(interface: &str, command: u32, on: bool) -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command, data: on.into() };
    // SAFETY: an ifreq of zeroes is valid: an empty name and a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        anyhow::bail!("interface name {interface} is too long");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names an interface and points to a value that outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } < 0 {
        let error = io::Error::last_os_error();
        // Fixed, and fixed means off: the kernel takes segmentation from the peer of an interface with XDP.
        if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
            let what = if on { "on" } else { "off" };
            return Err(error).with_context(|| format!("cannot switch {what} offload {command:#x} of {interface}"));
        }
    }
    Ok(())
}
