//! What joins boxes with nothing in between: a veth pair, with all offloads that the kernel gives it. (The lab's wires have a
//! bridge in the middle, for captures, and no offloads.) Buffers of many segments travel over it whole.

use anyhow::{Context as _, Result};
use mipd_common::mac::MacAddress;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::{Host, wire::index_of};

/// An interface of a box.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Its index.
    pub ifindex: u32,
    /// Its Ethernet address.
    pub mac: MacAddress,
}

/// An end of a cable: the box, the interface's name and its Ethernet address.
pub type End<'a> = (&'a Host, &'a str, MacAddress);

/// Joins two boxes by new interfaces.
pub fn connect(near: End<'_>, far: End<'_>) -> Result<(Port, Port)> {
    let ((near_host, near_name, near_mac), (far_host, far_name, far_mac)) = (near, far);
    let peer = LinkUnspec::new_with_name(far_name)
        .setns_by_fd(far_host.namespace().raw_fd())
        .address(far_mac.0.to_vec())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(near_name.to_owned())
        .address(near_mac.0.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    near_host.namespace().netlink(|handle| async move {
        let added = handle.link().add(pair).execute().await;
        added.with_context(|| format!("cannot join {} and {}", near_host.name(), far_host.name()))
    })?;
    Ok((bring_up(near_host, near_name, near_mac)?, bring_up(far_host, far_name, far_mac)?))
}

fn bring_up(host: &Host, name: &str, mac: MacAddress) -> Result<Port> {
    let up = LinkUnspec::new_with_name(name).up().build();
    let ifindex = host.namespace().netlink(|handle| async move {
        handle.link().set(up).execute().await.with_context(|| format!("cannot bring up {name}"))?;
        index_of(&handle, name).await
    })?;
    Ok(Port { ifindex, mac })
}
