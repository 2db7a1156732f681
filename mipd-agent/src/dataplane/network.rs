//! What the kernel says of interfaces and addresses, before anything is set up.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;

use super::{
    error::DataPlaneError,
    netlink::{InterfaceAddress, Link, Netlink},
};

/// Interfaces, addresses and the way out, at one moment.
#[derive(Debug)]
pub struct Network {
    links: Vec<Link>,
    addresses: Vec<InterfaceAddress>,
    gateways: Vec<u32>,
}

impl Network {
    /// Asks the kernel.
    pub fn read() -> Result<Self, DataPlaneError> {
        let mut netlink = Netlink::open()?;
        let gateways = netlink.gateway_devices()?;
        Ok(Self { links: netlink.links()?, addresses: netlink.addresses()?, gateways })
    }

    fn link(&self, name: &str) -> Result<&Link, DataPlaneError> {
        let absent = || DataPlaneError::NoSuchInterface { name: name.to_owned() };
        self.links.iter().find(|link| link.name == name).ok_or_else(absent)
    }

    /// An interface's index.
    pub fn index(&self, name: &str) -> Result<u32, DataPlaneError> {
        Ok(self.link(name)?.index)
    }

    /// An interface's own Ethernet address.
    pub fn mac(&self, name: &str) -> Result<MacAddress, DataPlaneError> {
        Ok(self.link(name)?.mac)
    }

    /// An interface's name.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.links.iter().find(|link| link.index == index).map(|link| link.name.as_str())
    }

    /// All IPv4 addresses of this box, loopback excepted.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().map(|entry| entry.address.addr())
    }

    /// The IPv4 addresses of an interface, with their prefixes.
    pub fn addresses_of(&self, name: &str) -> impl Iterator<Item = Ipv4Net> {
        let index = self.link(name).map(|link| link.index).ok();
        self.addresses.iter().filter(move |entry| Some(entry.index) == index).map(|entry| entry.address)
    }

    /// The interfaces that routes with a gateway lead through.
    pub fn gateway_interfaces(&self) -> impl Iterator<Item = &str> {
        self.gateways.iter().filter_map(|index| self.name(*index))
    }
}
