//! A TUN or TAP device whose other end is a descriptor: what the kernel sends there can be read, what is written is
//! received.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context, Result};
use rtnetlink::LinkUnspec;

use crate::namespace::Namespace;

const IFF_TUN: libc::c_short = 0x0001;
const IFF_TAP: libc::c_short = 0x0002;
const IFF_NO_PI: libc::c_short = 0x1000;
const TUNSETIFINDEX: libc::c_ulong = 0x4004_54da;

/// The device; it is gone when this is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
}

impl Tun {
    /// Creates a TUN device (packets without an Ethernet header) of this index in a namespace, and brings it up.
    pub fn packets(namespace: &Namespace, name: &str, index: u32) -> Result<Self> {
        Self::create(namespace, name, index, IFF_TUN, None)
    }

    /// Creates a TAP device (Ethernet frames) of this index, with this address, in a namespace, and brings it up.
    pub fn frames(namespace: &Namespace, name: &str, index: u32, mac: [u8; 6]) -> Result<Self> {
        Self::create(namespace, name, index, IFF_TAP, Some(mac))
    }

    fn create(
        namespace: &Namespace,
        name: &str,
        index: u32,
        kind: libc::c_short,
        mac: Option<[u8; 6]>,
    ) -> Result<Self> {
        let file = namespace.enter(|| open(name, index, kind))??;
        namespace.netlink(|handle| async move {
            let mut link = LinkUnspec::new_with_name(name).up();
            if let Some(mac) = mac {
                link = link.address(mac.to_vec());
            }
            handle.link().set(link.build()).execute().await.with_context(|| format!("cannot bring up {name}"))
        })?;
        Ok(Self { file, name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has the kernel receive a packet (or frame) on the device.
    pub fn receive(&self, packet: &[u8]) -> Result<()> {
        (&self.file).write_all(packet).with_context(|| format!("{} does not take the packet", self.name))
    }

    /// The next packet (or frame) that the kernel has sent there, if there is one now.
    pub fn sent(&self) -> Option<Vec<u8>> {
        let mut packet = vec![0; 65_536 + 64];
        let length = (&self.file).read(&mut packet).ok()?;
        packet.truncate(length);
        Some(packet)
    }
}

fn open(name: &str, index: u32, kind: libc::c_short) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open("/dev/net/tun").context("cannot open /dev/net/tun; the kernel may lack module tun")?;
    // SAFETY: takes the number that it is pointed to.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFINDEX, &raw const index) } < 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("cannot ask for index {index}"));
    }
    // SAFETY: an ifreq of zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    anyhow::ensure!(name.len() < request.ifr_name.len(), "interface name {name} is too long");
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = kind | IFF_NO_PI;
    // SAFETY: the request is complete and outlives the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("cannot create {name}"));
    }
    Ok(file)
}
