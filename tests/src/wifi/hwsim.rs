//! Simulated radios: made for one lab, given to its boxes, gone with it.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use mipd_agent::wireless::generic_netlink::Family;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::LinkUnspec;

use crate::host::Host;
use crate::lab::Lab;
use crate::namespace::Namespace;

/// Of `drivers/net/wireless/virtual/mac80211_hwsim.h`.
const FAMILY: &str = "MAC80211_HWSIM";
const NEW_RADIO: u8 = 4;
const DESTROY_RADIO_ON_CLOSE: u16 = 16;
const RADIO_NAME: u16 = 17;
const PERMANENT_ADDRESS: u16 = 22;
/// Of `linux/nl80211.h`.
const NL80211: &str = "nl80211";
const SET_WIPHY_NETNS: u8 = 49;
const IFINDEX: u16 = 3;
const NETNS_FD: u16 = 219;

/// The air of a lab: its radios hear each other, those of other labs hear none of them. They end with it, however the lab
/// ends.
pub struct Radios {
    family: Family,
    birthplace: Namespace,
    lab: String,
}

impl Radios {
    /// An air without radios. All are made in one namespace, for only then do they hear each other.
    pub fn new(lab: &Lab) -> Result<Self> {
        let family = lab.wires().enter(|| Family::find_from(own_port(), FAMILY))?;
        let family = family.context("radios are simulated by the kernel module mac80211_hwsim")?;
        Ok(Self { family, birthplace: lab.wires().clone(), lab: lab.id().to_owned() })
    }

    /// Gives a box a new radio with one interface of that name and Ethernet address, which is down.
    pub fn give(&self, host: &Host, interface: &str, mac: [u8; 6]) -> Result<()> {
        let what = || format!("cannot give {} a radio", host.name());
        let name = format!("{}-{}", self.lab, host.name());
        self.family
            .request(
                NEW_RADIO,
                vec![
                    DefaultNla::new(RADIO_NAME, name.into_bytes()),
                    DefaultNla::new(PERMANENT_ADDRESS, mac.to_vec()),
                    DefaultNla::new(DESTROY_RADIO_ON_CLOSE, Vec::new()),
                ],
            )
            .with_context(|| format!("{}: the module refuses", what()))?;
        let index = index_by_address(&self.birthplace, mac).with_context(what)?;
        let to = host.namespace().raw_fd();
        let attributes = vec![
            DefaultNla::new(IFINDEX, index.to_ne_bytes().to_vec()),
            DefaultNla::new(NETNS_FD, to.to_ne_bytes().to_vec()),
        ];
        self.birthplace
            .enter(|| Family::find(NL80211)?.request(SET_WIPHY_NETNS, attributes))?
            .with_context(|| format!("{}: it stays where it was made", what()))?;
        let index = index_by_address(host.namespace(), mac).with_context(what)?;
        let named = LinkUnspec::new_with_index(index).name(interface.to_owned()).build();
        host.namespace()
            .netlink(|handle| async move { Ok(handle.link().set(named).execute().await?) })
            .with_context(|| format!("{}: it cannot be named {interface}", what()))
    }
}

/// A netlink port that no other socket has, of whatever protocol and namespace: the module removes a radio when any socket
/// with its maker's port is closed, and what the kernel picks is the process id, for one socket of each protocol.
fn own_port() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    1 << 30 | std::process::id() << 8 | NEXT.fetch_add(1, Ordering::Relaxed) & 0xff
}

/// The interface with an Ethernet address.
fn index_by_address(namespace: &Namespace, mac: [u8; 6]) -> Result<u32> {
    namespace.netlink(|handle| async move {
        let links: Vec<_> = handle.link().get().execute().try_collect().await?;
        let of_address = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::Address(it) if *it == mac);
        let link = links.iter().find(|link| link.attributes.iter().any(of_address));
        Ok(link.context("the new radio has no interface")?.header.index)
    })
}
