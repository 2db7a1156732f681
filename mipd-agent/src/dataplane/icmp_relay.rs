//! Hears ICMP errors about our tunnels' packets, keeps the tunnels' MTUs by them, and tells the senders of the packets
//! inside (RFC 2003 §4, §5).
//!
//! Anybody can send such errors. So each must quote a packet that we may have sent: between the ends of a tunnel, and where
//! somebody is to be told, with one inside that is from or to a client of this tunnel.

use std::{
    io,
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::{
    DataPlane,
    error::DataPlaneError,
    events::watch,
    icmp_error::{Answer, Cause, IcmpError, Quoted, TYPES},
    path_mtu::{Outcome, Path, Report},
    tunnels::TunnelId,
    visitors::VisitorId,
};
use crate::mobility::pace::Pace;

/// How often somebody is told: as the kernel limits its own errors (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const PACE: (Duration, u32) = (Duration::from_millis(1), 50);
/// How many errors are handled before other events get their turn.
const BURST: usize = 32;
/// No larger error is sent by anybody who follows RFC 1812, and the rest of one would not matter.
const LARGEST: usize = 2048;

/// What became of the ICMP errors about our tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IcmpCounters {
    /// They quote a tunnel's packet, but of no tunnel here.
    pub strange: u64,
    /// They cannot be true: an MTU that is impossible, a client that is not of that tunnel.
    pub refused: u64,
    /// A tunnel's MTU sank.
    pub mtu_lowered: u64,
    /// A tunnel's MTU rose again, since nobody has told of a smaller one for ten minutes.
    pub mtu_expired: u64,
    /// The sender of the packet inside was told.
    pub relayed: u64,
    /// Nothing that the sender should know, or too little is quoted to know who it is.
    pub absorbed: u64,
    /// Too many.
    pub limited: u64,
    /// The sender could not be told.
    pub failed: u64,
}

/// Who is told about a packet.
enum Sender {
    /// Anybody that the kernel finds.
    Correspondent,
    /// A visitor, that only the data plane finds.
    Visitor(VisitorId),
}

/// The socket that hears errors, and the one that sends them.
pub(super) struct IcmpRelay {
    hearing: AsyncFd<Socket>,
    sending: Socket,
    pace: Pace,
    pub counters: IcmpCounters,
}

impl IcmpRelay {
    /// Opens the sockets.
    pub fn open() -> Result<Self, DataPlaneError> {
        let open = || {
            let hearing = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            hearing.set_nonblocking(true)?;
            hear_only(&hearing, &TYPES)?;
            // This protocol number is for sending whole packets, and receives nothing (raw(7)).
            let sending = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
            sending.set_nonblocking(true)?;
            Ok(Self {
                hearing: watch(hearing)?,
                sending,
                pace: Pace::new(PACE.0, PACE.1),
                counters: IcmpCounters::default(),
            })
        };
        open().map_err(|source| DataPlaneError::Socket { what: "raw sockets for ICMP", source })
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &AsyncFd<Socket> {
        &self.hearing
    }
}

impl DataPlane {
    /// Heeds the ICMP errors that have come. Returns whether there are none left.
    pub(super) fn heed_icmp_errors(&mut self) -> Result<bool, DataPlaneError> {
        let mut buffer = [0; LARGEST];
        for _ in 0..BURST {
            // SAFETY: the buffer is initialised, and `recv` only writes initialised bytes into it.
            let uninitialised = unsafe { &mut *std::ptr::from_mut(&mut buffer).cast::<[MaybeUninit<u8>; LARGEST]>() };
            match self.icmp.hearing.get_ref().recv(uninitialised) {
                Ok(length) => self.heed_icmp_error(&buffer[..length])?,
                Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
            }
        }
        Ok(false)
    }

    fn heed_icmp_error(&mut self, packet: &[u8]) -> Result<(), DataPlaneError> {
        // Most errors are about something else than tunnels, damaged ones possibly too.
        let Some(error) = IcmpError::parse(packet).filter(|error| error.quoted.is_tunnelled()) else { return Ok(()) };
        let outer = &error.quoted;
        let path = Path { local: outer.source(), remote: outer.destination(), ports: outer.udp_ports() };
        if self.tunnels.on_path(&path).is_empty() {
            // Over UDP it may be about a registration.
            self.icmp.counters.strange += u64::from(path.ports.is_none());
            return Ok(());
        }
        if let Cause::TooBig { mtu } = error.cause
            && !self.heed_mtu(path, &error, mtu)?
        {
            return Ok(());
        }
        let Some(inner) = outer.inner() else {
            self.icmp.counters.absorbed += 1;
            return Ok(());
        };
        let Some((id, sender)) = self.tunnel_of(&path, &inner) else {
            self.icmp.counters.refused += 1;
            return Ok(());
        };
        let mtu = self.tunnels.inner_mtu(id);
        let at_home = self.is_home_address(inner.destination());
        match Answer::to(error.cause, outer, &inner, mtu, at_home) {
            Some(answer) => self.tell(&sender, &answer.emit(path.local, &inner), inner.source()),
            None => self.icmp.counters.absorbed += 1,
        }
        Ok(())
    }

    /// Takes note of a link's MTU. Returns whether that may be true.
    fn heed_mtu(&mut self, path: Path, error: &IcmpError<'_>, mtu: u16) -> Result<bool, DataPlaneError> {
        let report = Report {
            router: error.reporter,
            mtu,
            length: error.quoted.total_length(),
            header_length: error.quoted.header_length() as u16,
        };
        let current = self.tunnels.outer_mtu(&path);
        let outcome = self.path_mtus.report(self.now(), path, current, report);
        match outcome {
            Outcome::Lowered => {
                self.icmp.counters.mtu_lowered += 1;
                tracing::debug!(remote = %path.remote, router = %error.reporter, mtu, "path MTU");
                self.tunnels.mark_path_stale(&path);
                self.settle()?;
            }
            // An older and larger packet meets the same link.
            Outcome::Confirmed => {}
            Outcome::Refused => self.icmp.counters.refused += 1,
            Outcome::Limited => self.icmp.counters.limited += 1,
        }
        Ok(matches!(outcome, Outcome::Lowered | Outcome::Confirmed))
    }

    /// The tunnel on this path that a packet went into, and who its sender is.
    fn tunnel_of(&self, path: &Path, inner: &Quoted<'_>) -> Option<(TunnelId, Sender)> {
        let ids = self.tunnels.on_path(path);
        let to_client = self.bindings.tunnel_of(inner.destination()).and_then(|tunnel| {
            let parts = self.tunnels.get(tunnel).map_or(&[][..], |state| &state.parts);
            std::iter::once(&tunnel).chain(parts).find(|id| ids.contains(id)).copied()
        });
        let from_visitor = || {
            let visitor = VisitorId { home_agent: path.remote, home_address: inner.source() };
            let tunnel = self.visitors.reverse_tunnel(visitor).filter(|tunnel| ids.contains(tunnel))?;
            Some((tunnel, Sender::Visitor(visitor)))
        };
        to_client.map(|tunnel| (tunnel, Sender::Correspondent)).or_else(from_visitor)
    }

    fn tell(&mut self, sender: &Sender, packet: &[u8], address: Ipv4Addr) {
        if !self.icmp.pace.admit(self.now()) {
            self.icmp.counters.limited += 1;
            return;
        }
        let sent = match sender {
            Sender::Correspondent => {
                let to = SocketAddrV4::new(address, 0).into();
                self.icmp.sending.send_to(packet, &to).is_ok()
            }
            Sender::Visitor(visitor) => self.send_to_visitor(*visitor, packet),
        };
        *if sent { &mut self.icmp.counters.relayed } else { &mut self.icmp.counters.failed } += 1;
    }

    /// The kernel knows no way to visitors but out of the tunnel, so that the packet goes out as a frame.
    fn send_to_visitor(&self, visitor: VisitorId, packet: &[u8]) -> bool {
        let entry = self.visitors.get(visitor).and_then(|route| self.visitors.entry(route, &self.interfaces));
        entry.is_some_and(|entry| {
            let mtu = self.interfaces.link(entry.ifindex).map_or(0, |link| link.mtu);
            self.raw_delivery.send(&entry, mtu, packet).is_ok()
        })
    }

    /// Forgets path MTUs that nobody has told again for long enough: the tunnels try larger packets.
    pub(super) fn expire_path_mtus(&mut self) {
        let now = self.now();
        for path in self.path_mtus.expire(now) {
            self.icmp.counters.mtu_expired += 1;
            self.tunnels.mark_path_stale(&path);
        }
    }

    /// What became of the ICMP errors about our tunnels.
    pub fn icmp_counters(&self) -> IcmpCounters {
        self.icmp.counters
    }
}

/// Has the kernel keep all ICMP messages but those of some types from the socket (raw(7)).
fn hear_only(socket: &Socket, types: &[u8]) -> io::Result<()> {
    const ICMP_FILTER: libc::c_int = 1;
    let blocked = types.iter().fold(u32::MAX, |mask, kind| mask & !(1 << kind));
    // SAFETY: the option value is a live `u32`, as `struct icmp_filter` is, and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_RAW,
            ICMP_FILTER,
            (&raw const blocked).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
