//! The box that the programs run on: one loaded object for all cases, in a namespace with real tunnel devices and a routing
//! table that the programs can ask.
//!
//! ```text
//!  in0 (TAP) ──► kernel's routing ──► mip-home, mip-visit (TUN, program at egress) ──► out0 (TAP) ──► gateway
//! ```

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::{SchedClassifier, TcAttachType, tc};
use mipd_common::maps::Counter;
use mipd_lab::packets::bench::{self, Outcome, SocketBuffer};
use mipd_lab::packets::clear::clear;
use mipd_lab::packets::expect::{Expect, compare, compare_sent};
use mipd_lab::packets::maps::Maps;
use mipd_lab::packets::object;
use mipd_lab::traffic::frames::link_address;
use mipd_lab::tun::Tun;
use mipd_lab::{Host, Namespace, wait};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, setsockopt, socket, sockopt};

use crate::table::Place;
use crate::world::{
    AGENTS_NETWORKS, EGRESS, EGRESS_INDEX, GATEWAY_ADDRESS, HOME_NETWORK, HOME_TUN, INGRESS_INDEX, NEXT_HOP,
    ROUTED_NETWORK, ROUTER, ROUTER_ADDRESS, VISIT_TUN, World,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// The box.
pub struct Rig {
    namespace: Namespace,
    object: Ebpf,
    ingress: Tun,
    egress: Tun,
    tunnels: [Tun; 2],
}

impl Rig {
    fn new() -> Result<Self> {
        let namespace = Namespace::anonymous("programs")?;
        let host = Host::new("programs", namespace.clone());
        host.forward()?;
        for scope in ["all", "default"] {
            namespace.set_sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
        }
        let egress = Tun::frames(&namespace, "out0", EGRESS_INDEX, EGRESS.0)?;
        host.add_address(egress.name(), ROUTER_ADDRESS)?;
        host.add_neighbour(egress.name(), GATEWAY_ADDRESS, NEXT_HOP)?;
        for network in AGENTS_NETWORKS.into_iter().chain([ROUTED_NETWORK]) {
            host.add_route(network, GATEWAY_ADDRESS)?;
        }
        let ingress = Tun::frames(&namespace, "in0", INGRESS_INDEX, ROUTER.0)?;
        let home = Tun::packets(&namespace, "mip-home", HOME_TUN)?;
        host.add_address(home.name(), HOME_NETWORK)?;
        let visit = Tun::packets(&namespace, "mip-visit", VISIT_TUN)?;
        let mut object = object::load(&[]).context("the programs cannot be loaded")?;
        for (tunnel, program) in [(&home, "home_tun_egress"), (&visit, "visit_tun_egress")] {
            let program: &mut SchedClassifier = object.program_mut(program).context("no such program")?.try_into()?;
            namespace.enter(|| attach(program, tunnel.name()))??;
        }
        Ok(Self { namespace, object, ingress, egress, tunnels: [home, visit] })
    }

    /// Runs a packet through a program in a world (from within the box's namespace), and says what differs from what is expected.
    pub fn check(
        &mut self,
        place: Place,
        world: &World,
        packet: &[u8],
        buffer: SocketBuffer,
        expect: &Expect,
    ) -> Result<String> {
        clear(&mut self.object)?;
        world.write(&mut self.object)?;
        if let Some(tunnel) = place.tunnel {
            return self.check_tunnel(tunnel, packet, buffer, expect);
        }
        let outcome = bench::run(&mut self.object, place.program, packet, buffer)?;
        compare(&mut self.object, place.hook, packet, &outcome, expect)
    }

    /// Runs a packet through a program in a world (from within the box's namespace): what comes out, and the one counter
    /// that says why.
    pub fn run(&mut self, program: &str, world: &World, packet: &[u8]) -> Result<(Outcome, Counter)> {
        clear(&mut self.object)?;
        world.write(&mut self.object)?;
        let outcome = bench::run(&mut self.object, program, packet, SocketBuffer::default())?;
        let counted = Maps(&mut self.object).counted()?;
        let [(_, _, counter, 1)] = counted[..] else { bail!("counted {counted:?}") };
        Ok((outcome, counter))
    }

    /// Has a packet leave by a tunnel device.
    fn check_tunnel(&mut self, tunnel: usize, packet: &[u8], buffer: SocketBuffer, expect: &Expect) -> Result<String> {
        while self.egress.sent().is_some() {}
        let name = self.tunnels[tunnel].name();
        if buffer.forwarded {
            self.ingress.receive(packet)?;
        } else {
            send(name, packet, buffer)?;
        }
        let object = &mut self.object;
        let counted = wait::until(PATIENCE, || Ok((!Maps(object).counted()?.is_empty()).then_some(())))?;
        counted.with_context(|| format!("the packet did not come to {name}"))?;
        // Counted first, sent afterwards.
        let wanted = expect.copies.iter().filter(|(_, bytes)| bytes.is_some()).count() + expect.bytes.iter().len();
        let mut sent = Vec::new();
        wait::until(PATIENCE, || {
            sent.extend(std::iter::from_fn(|| self.egress.sent()));
            Ok((sent.len() >= wanted).then_some(()))
        })?;
        compare_sent(&mut self.object, sent, expect)
    }
}

fn attach(program: &mut SchedClassifier, interface: &str) -> Result<()> {
    // Kernels before 6.6 attach to a queueing discipline; newer ones do without, and may lack it.
    let _ = tc::qdisc_add_clsact(interface);
    program.attach(interface, TcAttachType::Egress).with_context(|| format!("cannot attach to {interface}"))?;
    Ok(())
}

/// Sends a packet by an interface, past the routing table.
fn send(interface: &str, packet: &[u8], buffer: SocketBuffer) -> Result<()> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Mark, &buffer.mark)?;
    let mut message = Vec::new();
    if buffer.gso_size != 0 {
        describe_segments(&socket)?;
        message.extend(segments_header(buffer));
    }
    message.extend(packet);
    let to = link_address(nix::net::if_::if_nametoindex(interface)?);
    match sendto(socket.as_raw_fd(), &message, &to, MsgFlags::empty()) {
        // The program has dropped it.
        Err(Errno::ENOBUFS) => Ok(()),
        sent => Ok(sent.map(drop)?),
    }
}

/// Has a packet socket expect a `struct virtio_net_hdr` in front of each packet.
fn describe_segments(socket: &OwnedFd) -> Result<()> {
    const PACKET_VNET_HDR: libc::c_int = 15;
    let on: libc::c_int = 1;
    // SAFETY: the option is a number of this length.
    let set = unsafe {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, (&raw const on).cast(), length)
    };
    anyhow::ensure!(set == 0, "packet sockets do not take segments: {}", std::io::Error::last_os_error());
    Ok(())
}

/// `struct virtio_net_hdr` of a TCP segment or UDP datagram behind a plain IPv4 header.
fn segments_header(buffer: SocketBuffer) -> Vec<u8> {
    const NEEDS_CHECKSUM: u8 = 1;
    let (kind, header, checksum_at) = if buffer.datagram { (3, 8_u16, 6_u16) } else { (1, 20, 16) };
    let mut bytes = vec![NEEDS_CHECKSUM, kind];
    for field in [20 + header, buffer.gso_size as u16, 20, checksum_at] {
        bytes.extend(field.to_ne_bytes());
    }
    bytes
}

/// Works on the box, within its namespace. It is set up by the first who needs it, and has one user at a time.
pub fn with<T: Send>(work: impl FnOnce(&mut Rig) -> T + Send) -> Result<T> {
    static RIG: Mutex<Option<Rig>> = Mutex::new(None);
    let mut rig = RIG.lock().unwrap_or_else(PoisonError::into_inner);
    if rig.is_none() {
        *rig = Some(Rig::new()?);
    }
    let rig = rig.as_mut().context("there is no box")?;
    rig.namespace.clone().enter(|| work(rig))
}
