//! A NAT in the network core, for one host's UDP port: a TUN device that the core routes the traffic to, and a thread that
//! rewrites addresses and ports.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use etherparse::{IpNumber, Ipv4Header, UdpHeader};
use netlink_packet_route::rule::RuleAction;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::host::Host;
use crate::wire::index_of;

/// The NAT's device in the core.
pub const DEVICE: &str = "nat0";
/// The routing table of what is to be translated.
const TABLE: u32 = 100;

const PROTOCOL_UDP: IpNumber = IpNumber::UDP;

mod ioctl {
    nix::ioctl_write_ptr_bad!(
        /// `TUNSETIFF` (`linux/if_tun.h`): names the device and chooses its kind.
        set_interface,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
}

/// A running NAT. It ends when dropped.
#[derive(Debug)]
pub struct Translator {
    port: Arc<AtomicU16>,
    translated: Arc<AtomicU64>,
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// Who is translated, and into what.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    inside: Ipv4Addr,
    inside_port: u16,
    outside: Ipv4Addr,
}

impl Translator {
    /// Starts a NAT in a router: UDP from `inside` with source port 434 that comes in by `interface` for `destination` leaves
    /// as from `outside` and `port`, and back. Nothing else gets through that way.
    pub fn start(
        router: &Host,
        (interface, destination): (&str, Ipv4Addr),
        inside: Ipv4Addr,
        outside: SocketAddrV4,
    ) -> Result<Self> {
        let mut device = router.namespace().enter(open)??;
        router.namespace().netlink(|handle| lead(handle, interface, destination, *outside.ip()))?;
        // Agents that are started meanwhile must not inherit the end that stops us.
        let (end, stop) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        let (port, translated) = (Arc::new(AtomicU16::new(outside.port())), Arc::new(AtomicU64::new(0)));
        let (current, count) = (Arc::clone(&port), Arc::clone(&translated));
        let mapping = Mapping { inside, inside_port: 434, outside: *outside.ip() };
        let work = move || {
            let mut buffer = vec![0; 65_536];
            loop {
                let mut ready =
                    [PollFd::new(device.as_fd(), PollFlags::POLLIN), PollFd::new(end.as_fd(), PollFlags::POLLIN)];
                let ended = poll(&mut ready, PollTimeout::NONE).is_err()
                    || ready[1].revents().is_some_and(|events| !events.is_empty());
                if ended {
                    return;
                }
                let Ok(length) = device.read(&mut buffer) else { continue };
                if let Some(packet) = translate(&buffer[..length], mapping, current.load(Ordering::Relaxed))
                    && device.write_all(&packet).is_ok()
                {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("nat".into()).spawn(work)?;
        Ok(Self { port, translated, stop: Some(stop), thread: Some(thread) })
    }

    /// From now on the NAT uses another port, as if it had forgotten the mapping.
    pub fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Packets translated so far.
    pub fn translated(&self) -> u64 {
        self.translated.load(Ordering::Relaxed)
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> Result<File> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun").context("cannot open /dev/net/tun")?;
    // SAFETY: an ifreq of zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(DEVICE.len() < request.ifr_name.len());
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads an ifreq, which `request` is.
    unsafe { ioctl::set_interface(device.as_raw_fd(), &raw const request) }
        .context("cannot create the NAT's device")?;
    Ok(device)
}

/// Brings the device up and leads to it what is to be translated, both ways.
async fn lead(handle: Handle, interface: &str, destination: Ipv4Addr, outside: Ipv4Addr) -> Result<()> {
    let index = index_of(&handle, DEVICE).await?;
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    let to_device = |prefix: Ipv4Addr, length| {
        RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(prefix, length).output_interface(index)
    };
    handle.route().add(to_device(outside, 32).build()).execute().await.context("cannot route to the NAT")?;
    let others = to_device(Ipv4Addr::UNSPECIFIED, 0).table_id(TABLE).build();
    handle.route().add(others).execute().await.context("cannot route to the NAT")?;
    let rule = handle.rule().add().v4().input_interface(interface.to_owned()).destination_prefix(destination, 32);
    let rule = rule.table_id(TABLE).action(RuleAction::ToTable).execute().await;
    rule.context("cannot lead packets to the NAT")
}

/// The packet as it goes on. Fragments are not for this NAT.
fn translate(packet: &[u8], mapping: Mapping, port: u16) -> Option<Vec<u8>> {
    let (mut ip, payload) = Ipv4Header::from_slice(packet).ok()?;
    if ip.protocol != PROTOCOL_UDP || ip.is_fragmenting_payload() {
        return None;
    }
    let (mut udp, payload) = UdpHeader::from_slice(payload).ok()?;
    if ip.source == mapping.inside.octets() && udp.source_port == mapping.inside_port {
        (ip.source, udp.source_port) = (mapping.outside.octets(), port);
    } else if ip.destination == mapping.outside.octets() && udp.destination_port == port {
        (ip.destination, udp.destination_port) = (mapping.inside.octets(), mapping.inside_port);
    } else {
        return None;
    }
    // No checksum stays none (RFC 768).
    if udp.checksum != 0 {
        udp.checksum = udp.calc_checksum_ipv4(&ip, payload).ok()?;
    }
    ip.header_checksum = ip.calc_header_checksum();
    Some([&ip.to_bytes()[..], &udp.to_bytes(), payload].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_translated_comes_back_to_where_it_was_from() {
        let mapping =
            Mapping { inside: Ipv4Addr::new(10, 2, 0, 1), inside_port: 434, outside: Ipv4Addr::new(192, 0, 2, 1) };
        let mut out = Vec::new();
        etherparse::PacketBuilder::ipv4([10, 2, 0, 1], [10, 1, 0, 1], 64).udp(434, 434).write(&mut out, b"x").unwrap();
        let translated = translate(&out, mapping, 40_000).unwrap();
        assert_eq!((&translated[12..16], &translated[20..22]), (&[192, 0, 2, 1][..], &40_000u16.to_be_bytes()[..]));
        let mut back = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([10, 1, 0, 1], [192, 0, 2, 1], 64).udp(434, 40_000);
        builder.write(&mut back, b"y").unwrap();
        let translated = translate(&back, mapping, 40_000).unwrap();
        assert_eq!((&translated[16..20], &translated[22..24]), (&[10, 2, 0, 1][..], &434u16.to_be_bytes()[..]));
        assert_eq!(translate(&back, mapping, 40_001), None, "a forgotten mapping");
    }
}
