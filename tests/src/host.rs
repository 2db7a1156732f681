//! A box of the lab: a namespace with interfaces, addresses and routes.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use rtnetlink::{LinkBridge, LinkBridgePort, LinkUnspec, RouteMessageBuilder};

use crate::namespace::Namespace;
use crate::wire::index_of;

/// A box. Its interfaces come from [`Wire::connect`](crate::Wire::connect).
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
}

impl Host {
    /// Makes a box of a namespace.
    pub fn new(name: &str, namespace: Namespace) -> Self {
        Self { name: name.to_owned(), namespace }
    }

    /// The name within the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace it lives in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Gives an interface an address.
    pub fn add_address(&self, interface: &str, address: Ipv4Net) -> Result<()> {
        self.namespace.netlink(|handle| async move {
            let index = index_of(&handle, interface).await?;
            let request = handle.address().add(index, IpAddr::V4(address.addr()), address.prefix_len());
            request
                .execute()
                .await
                .with_context(|| format!("cannot add address {address} to {interface} of {}", self.name))
        })
    }

    /// Takes an interface's address away, and with it the routes that need it.
    pub fn remove_address(&self, interface: &str, address: Ipv4Net) -> Result<()> {
        self.namespace.netlink(|handle| async move {
            let index = index_of(&handle, interface).await?;
            let addresses =
                handle.address().get().set_link_index_filter(index).set_address_filter(address.addr().into());
            let found: Vec<_> = addresses.execute().try_collect().await?;
            let message = found.into_iter().next().with_context(|| format!("{interface} has no address {address}"))?;
            Ok(handle.address().del(message).execute().await?)
        })
    }

    /// Routes a prefix to a next hop.
    pub fn add_route(&self, prefix: Ipv4Net, gateway: Ipv4Addr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .gateway(gateway)
            .build();
        self.namespace.netlink(|handle| async move {
            let added = handle.route().add(route).execute().await;
            added.with_context(|| format!("cannot add route {prefix} via {gateway} to {}", self.name))
        })
    }

    /// Sends what no other route takes to a next hop.
    pub fn add_default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        self.add_route(Ipv4Net::default(), gateway)
    }

    /// Sets an interface's MTU.
    pub fn set_mtu(&self, interface: &str, mtu: u16) -> Result<()> {
        let message = LinkUnspec::new_with_name(interface).mtu(mtu.into()).build();
        self.namespace.netlink(|handle| async move {
            let set = handle.link().set(message).execute().await;
            set.with_context(|| format!("cannot set the MTU of {interface} of {}", self.name))
        })
    }

    /// Tells the Ethernet address of a neighbour, so that nobody has to ask for it.
    pub fn add_neighbour(&self, interface: &str, address: Ipv4Addr, mac: MacAddress) -> Result<()> {
        self.namespace.netlink(|handle| async move {
            let index = index_of(&handle, interface).await?;
            let request = handle.neighbours().add(index, address.into()).link_layer_address(&mac.0).replace();
            request.execute().await.with_context(|| format!("cannot tell {} where {address} is", self.name))
        })
    }

    /// Makes it a router.
    pub fn forward(&self) -> Result<()> {
        self.namespace.set_sysctl("net/ipv4/ip_forward", "1")
    }

    /// Creates a bridge, up, with the given Ethernet address.
    pub fn add_bridge(&self, name: &str, mac: [u8; 6]) -> Result<()> {
        let bridge = LinkBridge::new(name).mcast_snooping(false).forward_delay(0).address(mac.to_vec()).build();
        self.namespace.netlink(|handle| async move {
            let added = handle.link().add(bridge).execute().await;
            added.with_context(|| format!("cannot create bridge {name} on {}", self.name))
        })
    }

    /// Makes an interface a port of a bridge.
    pub fn add_port(&self, bridge: &str, interface: &str) -> Result<()> {
        self.namespace.netlink(|handle| async move {
            let bridge_index = index_of(&handle, bridge).await?;
            let port = LinkUnspec::new_with_name(interface).controller(bridge_index).build();
            let set = handle.link().set(port).execute().await;
            set.with_context(|| format!("cannot make {interface} a port of {bridge} on {}", self.name))
        })
    }

    /// Has a bridge send frames back by the port that they came in by, or not.
    pub fn set_hairpin(&self, interface: &str, hairpin: bool) -> Result<()> {
        self.namespace.netlink(|handle| async move {
            let port = LinkBridgePort::new(index_of(&handle, interface).await?).hairpin(hairpin).build();
            let set = handle.link().set_port(port).execute().await;
            set.with_context(|| format!("cannot make {interface} of {} a hairpin", self.name))
        })
    }

    /// Names of the interfaces it has now.
    pub fn interfaces(&self) -> Result<Vec<String>> {
        self.namespace.enter(|| {
            let interfaces = nix::net::if_::if_nameindex()?;
            Ok(interfaces.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect())
        })?
    }
}
