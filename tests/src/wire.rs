//! What joins boxes: two veth pairs and a bridge between them, in the lab's `wires` namespace.
//!
//! Nothing can be captured on an interface whose packets XDP redirects, so every wire has a middle that no XDP program
//! touches: its bridge. A wire with more than two ends is a LAN.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkXdp};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::host::Host;
use crate::namespace::Namespace;
use crate::offload;

/// `XDP_FLAGS_DRV_MODE`: native or not at all.
const XDP_DRIVER_MODE: u32 = 1 << 2;
const INTERFACE_NAME_LENGTH: usize = 15;

/// A bridge in `wires` that boxes are plugged into.
#[derive(Clone, Debug)]
pub struct Wire {
    name: String,
    index: u32,
    wires: Namespace,
    pass: Arc<OwnedFd>,
}

/// The `wires` side of a box's interface: a port of a wire's bridge.
#[derive(Clone, Debug)]
pub struct Port {
    name: String,
    index: u32,
}

impl Wire {
    pub(crate) fn create(name: &str, wires: &Namespace, pass: &Arc<OwnedFd>) -> Result<Self> {
        let bridge = LinkBridge::new(name).mcast_snooping(false).forward_delay(0).build();
        let index = wires.netlink(|handle| async move {
            handle.link().add(bridge).execute().await.with_context(|| format!("cannot create bridge {name}"))?;
            index_of(&handle, name).await
        })?;
        Ok(Self { name: name.to_owned(), index, wires: wires.clone(), pass: Arc::clone(pass) })
    }

    /// Name of the bridge in `wires`, where a capture sees each frame once.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Plugs a box in by a new interface with the given Ethernet address.
    pub fn connect(&self, host: &Host, interface: &str, mac: [u8; 6]) -> Result<Port> {
        let name = port_name(host.name(), interface);
        let far_end =
            LinkUnspec::new_with_name(interface).setns_by_fd(host.namespace().raw_fd()).address(mac.to_vec()).build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name.clone())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far_end)))
            .controller(self.index)
            .up()
            .build();
        let pass = LinkAttribute::Xdp(vec![LinkXdp::Fd(self.pass.as_raw_fd()), LinkXdp::Flags(XDP_DRIVER_MODE)]);
        let port = name.as_str();
        let index = self.wires.netlink(|handle| async move {
            let what = || format!("cannot plug {} into {}", host.name(), self.name);
            handle.link().add(pair).execute().await.with_context(what)?;
            let index = index_of(&handle, port).await?;
            let with_program = LinkUnspec::new_with_index(index).append_extra_attribute(pass).build();
            handle.link().set(with_program).execute().await.with_context(what)?;
            Ok(index)
        })?;
        let up = LinkUnspec::new_with_name(interface).up().build();
        host.namespace().netlink(|handle| async move { Ok(handle.link().set(up).execute().await?) })?;
        // In this order: an XDP program switches generic receive offload on.
        self.wires.enter(|| offload::switch_off(port))??;
        host.namespace().enter(|| offload::switch_off(interface))??;
        Ok(Port { name, index })
    }

    /// Moves a port from the wire it is plugged into to this one, without loss of carrier.
    pub fn take(&self, port: &Port) -> Result<()> {
        let moved = LinkUnspec::new_with_index(port.index).controller(self.index).build();
        self.wires.netlink(|handle| async move {
            handle
                .link()
                .set(moved)
                .execute()
                .await
                .with_context(|| format!("cannot plug {} into {}", port.name, self.name))
        })
    }
}

impl Port {
    /// Keeps what comes in by this port from all other ports that are isolated, until it is moved to another wire.
    pub(crate) fn isolate(&self, wires: &Namespace) -> Result<()> {
        let message = LinkBridgePort::new(self.index).isolated(true).build();
        wires.netlink(|handle| async move { Ok(handle.link().set_port(message).execute().await?) })
    }

    /// Its name in `wires`: the box's name, shortened where it must be, and the interface's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pulls the plug half out: the box's interface loses its carrier.
    pub(crate) fn down(&self, wires: &Namespace) -> Result<()> {
        let message = LinkUnspec::new_with_index(self.index).down().build();
        wires.netlink(|handle| async move { Ok(handle.link().set(message).execute().await?) })
    }

    /// Gives the box's interface its carrier back.
    pub(crate) fn up(&self, wires: &Namespace) -> Result<()> {
        let message = LinkUnspec::new_with_index(self.index).up().build();
        wires.netlink(|handle| async move {
            handle.link().set(message).execute().await?;
            settle_carrier(&handle, self.index).await
        })?;
        wires.enter(|| offload::switch_off(&self.name))?
    }
}

/// Has the kernel act upon a change of carrier now: it otherwise does so within a second, but always before it answers
/// a query for one link.
pub(crate) async fn settle_carrier(handle: &Handle, index: u32) -> Result<()> {
    handle.link().get().match_index(index).execute().try_next().await?;
    Ok(())
}

/// Index of an interface in the namespace that the handle belongs to.
pub(crate) async fn index_of(handle: &Handle, name: &str) -> Result<u32> {
    let found = handle.link().get().match_name(name).execute().try_next().await;
    let link = found.with_context(|| format!("cannot find interface {name}"))?;
    match link {
        Some(link) => Ok(link.header.index),
        None => bail!("there is no interface {name}"),
    }
}

fn port_name(host: &str, interface: &str) -> String {
    let room = INTERFACE_NAME_LENGTH.saturating_sub(interface.len() + 1);
    format!("{}.{interface}", &host[..host.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::port_name;

    #[test]
    fn a_port_name_fits_the_kernels_limit_and_keeps_the_interface() {
        assert_eq!(port_name("ap1", "eth0"), "ap1.eth0");
        assert_eq!(port_name("visited1-host", "eth0"), "visited1-h.eth0");
    }
}
