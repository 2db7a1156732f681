//! What the data plane tells the daemon.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
};

use aya::maps::{MapData, RingBuf};
use mipd_common::{
    mac::MacAddress,
    maps::{StationEvent, station_event},
};
use tokio::io::unix::AsyncFd;

use super::{DataPlane, devices::Device};

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The access point's programs noticed a station.
    Station(Sighting),
    /// A whole frame for the agent: a held packet, DHCP or ARP of an unknown station, a registration reply.
    PuntedFrame(Vec<u8>),
    /// A configured interface came, went, or changed its MAC, MTU or state, or any interface its IPv4 addresses.
    InterfaceChanged {
        /// Its name.
        name: String,
    },
}

/// A station that was noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// What it did.
    pub kind: SightingKind,
    /// Its MAC.
    pub mac: MacAddress,
    /// The address that it used.
    pub address: Option<Ipv4Addr>,
    /// The interface the frame came in by.
    pub interface: u32,
}

/// What a station did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SightingKind {
    /// Unknown, and its address is foreign here.
    Visitor,
    /// Unknown, and its address is one of our own subnets.
    Local,
    /// A known visitor spoke after a silence.
    Returned,
    /// It is behind another access point now.
    Moved,
    /// Somebody announced an address on the uplink.
    Announced,
    /// It answered an ARP request of ours.
    Attached,
}

impl Sighting {
    /// `None` for a kind this agent does not know.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<StationEvent>() {
            return None;
        }
        // SAFETY: long enough (just checked), and every bit pattern is a valid `StationEvent`.
        let event = unsafe { bytes.as_ptr().cast::<StationEvent>().read_unaligned() };
        let kind = match event.kind {
            station_event::VISITOR => SightingKind::Visitor,
            station_event::LOCAL => SightingKind::Local,
            station_event::RETURNED => SightingKind::Returned,
            station_event::MOVED => SightingKind::Moved,
            station_event::ANNOUNCED => SightingKind::Announced,
            station_event::ATTACHED => SightingKind::Attached,
            _ => return None,
        };
        let address = Ipv4Addr::from(event.address);
        Some(Self {
            kind,
            mac: MacAddress(event.mac),
            address: Some(address).filter(|address| !address.is_unspecified()),
            interface: event.ifindex,
        })
    }
}

/// Which source has something.
enum Ready {
    Ring,
    Punt,
    Monitor,
    Tunnels(usize),
    Icmp,
    PathMtu,
    Tick,
}

/// How many frames are read before other events get their turn.
const BURST: usize = 32;
/// Larger than any frame that a bridge port delivers without segmentation.
const FRAME_LENGTH: usize = 16 * 1024;

impl DataPlane {
    /// Waits for the next event, meanwhile keeping tunnels' next hops up to date and delivering the tunnel
    /// packets that no kernel program takes.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped. It has to be polled for the above to happen.
    pub async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            match self.settle_some() {
                Ok(false) => {}
                Ok(true) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) => tracing::warn!(%error, "next hops are not up to date"),
            }
            match self.ready().await {
                Ready::Ring => self.drain_ring(),
                Ready::Punt => self.drain_punt(),
                Ready::Monitor => self.drain_monitor(),
                Ready::Tunnels(_) | Ready::Icmp => {}
                Ready::PathMtu => self.expire_path_mtus(),
                Ready::Tick => self.confirm_next_hops(),
            }
        }
    }

    /// Waits until a source has something. Readiness of sources that empty themselves is cleared here.
    async fn ready(&mut self) -> Ready {
        let expiry = self.path_mtus.deadline().map(|deadline| self.start + deadline.0);
        let Self { ring, devices, monitor, tunnel_sockets, icmp, tick, .. } = self;
        let expired = async {
            match expiry {
                Some(expiry) => tokio::time::sleep_until(expiry).await,
                None => std::future::pending().await,
            }
        };
        let ready = tokio::select! {
            () = readable(ring.as_ref()) => Ready::Ring,
            () = readable(devices.punt.as_ref()) => Ready::Punt,
            () = readable(Some(monitor.socket())) => Ready::Monitor,
            () = readable(tunnel_sockets.socket(0)) => Ready::Tunnels(0),
            () = readable(tunnel_sockets.socket(1)) => Ready::Tunnels(1),
            () = readable(tunnel_sockets.socket(2)) => Ready::Tunnels(2),
            () = readable(Some(icmp.socket())) => Ready::Icmp,
            () = expired => Ready::PathMtu,
            _ = tick.tick() => Ready::Tick,
        };
        if let Ready::Tunnels(place) = ready
            && self.drain_tunnel_socket(place)
        {
            clear(self.tunnel_sockets.socket(place));
        }
        if matches!(ready, Ready::Icmp) {
            match self.heed_icmp_errors() {
                Ok(true) => clear(Some(self.icmp.socket())),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a path MTU could not be followed"),
            }
        }
        ready
    }

    fn drain_ring(&mut self) {
        let Some(ring) = self.ring.as_mut() else { return };
        // Cleared first: whatever comes after the last look makes it ready again.
        clear(Some(ring));
        let ring: &mut RingBuf<MapData> = ring.get_mut();
        while let Some(item) = ring.next() {
            self.pending.extend(Sighting::from_bytes(&item).map(Event::Station));
        }
    }

    fn drain_punt(&mut self) {
        let Some(punt) = self.devices.punt.as_ref() else { return };
        let mut buffer = [0; FRAME_LENGTH];
        for _ in 0..BURST {
            let device: &Device = punt.get_ref();
            match device.read(&mut buffer) {
                Ok(length) => self.pending.push_back(Event::PuntedFrame(buffer[..length].to_vec())),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::warn!(%error, "cannot read from the punt device");
                    }
                    clear(Some(punt));
                    return;
                }
            }
        }
    }
}

/// Registers a descriptor with the runtime.
pub(super) fn watch<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: every type that we watch owns its descriptor, and neither replaces nor closes it while it lives.
    Ok(unsafe { AsyncFd::register(inner) }?)
}

/// Completes when the descriptor is readable; never, if there is none.
async fn readable<T: AsRawFd>(descriptor: Option<&AsyncFd<T>>) {
    let ready = match descriptor {
        Some(descriptor) => descriptor.readable().await.map(drop),
        None => std::future::pending().await,
    };
    if ready.is_err() {
        // The runtime is shutting down.
        std::future::pending::<()>().await;
    }
}

/// Takes back readiness, so that the next wait is for something new.
pub(super) fn clear<T: AsRawFd>(descriptor: Option<&AsyncFd<T>>) {
    if let Some(descriptor) = descriptor {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Ok(mut guard)) = descriptor.poll_read_ready(&mut context) {
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sighting, SightingKind};
    use mipd_common::mac::MacAddress;

    #[test]
    fn an_event_of_the_ring_is_read_and_garbage_is_not() {
        let mut bytes = 7u32.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[10, 1, 0, 5, 2, 0, 0, 0, 0, 9]);
        bytes.extend_from_slice(&1u16.to_ne_bytes());
        let sighting = Sighting::from_bytes(&bytes).unwrap();
        assert_eq!(sighting.kind, SightingKind::Visitor);
        assert_eq!((sighting.mac, sighting.interface), (MacAddress([2, 0, 0, 0, 0, 9]), 7));
        assert_eq!(sighting.address, Some([10, 1, 0, 5].into()));
        assert_eq!(Sighting::from_bytes(&bytes[..15]), None);
        bytes[14..].copy_from_slice(&99u16.to_ne_bytes());
        assert_eq!(Sighting::from_bytes(&bytes), None);
    }
}
