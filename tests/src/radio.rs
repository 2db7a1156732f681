//! The radio: one air per access point, and the client's link that is moved between them.
//!
//! An access point's radio interface stays what it is; only the client moves, as on a real one.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::host::Host;
use crate::namespace::Namespace;
use crate::wire::{Port, Wire, index_of, settle_carrier};

/// The client's interface.
pub const CLIENT_INTERFACE: &str = "wlan0";

/// What one access point's radio reaches.
#[derive(Clone, Debug)]
pub struct Air {
    wire: Wire,
}

/// Whether the client's stack notices a roam.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// The link goes down and up: the stack flushes its ARP cache.
    Lost,
    /// The link stays up: the stack keeps its ARP cache, stale as it is.
    Kept,
}

/// A mobile client: an ordinary stack with one interface, which knows nothing of Mobile IP.
#[derive(Debug)]
pub struct Client {
    /// The client's box.
    pub host: Host,
    port: Port,
    wires: Namespace,
}

impl Air {
    /// The air over a wire that the access point's radio interface is plugged into.
    pub fn new(wire: Wire) -> Self {
        Self { wire }
    }

    /// Name of the bridge in `wires`.
    pub fn name(&self) -> &str {
        self.wire.name()
    }
}

impl Air {
    /// Plugs another box's new interface in, as one more station.
    pub fn join(&self, host: &Host, interface: &str, mac: [u8; 6], wires: &Namespace) -> Result<()> {
        self.wire.connect(host, interface, mac)?.isolate(wires)
    }
}

impl Client {
    /// Plugs a box's new interface [`CLIENT_INTERFACE`] into an access point's air. Stations hear each other through the access
    /// point only.
    pub fn associate(host: Host, wires: &Namespace, air: &Air, mac: [u8; 6]) -> Result<Self> {
        let port = air.wire.connect(&host, CLIENT_INTERFACE, mac)?;
        port.isolate(wires)?;
        Ok(Self { host, port, wires: wires.clone() })
    }

    /// Moves to another access point. Returns how long the client's link was down.
    pub fn roam(&self, to: &Air, carrier: Carrier) -> Result<Duration> {
        let start = Instant::now();
        if carrier == Carrier::Kept {
            self.plug_into(to)?;
            return Ok(Duration::ZERO);
        }
        self.leave()?;
        self.plug_into(to)?;
        self.port.up(&self.wires)?;
        self.settle()?;
        Ok(start.elapsed())
    }

    fn plug_into(&self, air: &Air) -> Result<()> {
        air.wire.take(&self.port)?;
        self.port.isolate(&self.wires)
    }

    /// Goes out of every access point's reach.
    pub fn leave(&self) -> Result<()> {
        self.port.down(&self.wires)?;
        self.settle()
    }

    fn settle(&self) -> Result<()> {
        self.host.namespace().netlink(|handle| async move {
            let index = index_of(&handle, CLIENT_INTERFACE).await?;
            settle_carrier(&handle, index).await
        })
    }
}
