//! Interfaces, addresses and routes of this box, as one snapshot.

use std::{collections::BTreeMap, io, net::Ipv4Addr};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{InfoBridgePort, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        route::{RouteAttribute, RouteMessage},
    },
};

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Link {
    pub index: u32,
    pub up: bool,
    /// Index of the bridge that it is a port of.
    pub bridge: Option<u32>,
    /// Whether the bridge sends frames back by the port that they came in by.
    pub hairpin: bool,
    pub addresses: Vec<Ipv4Net>,
}

/// What the kernel says of this network namespace.
#[derive(Debug, Default)]
pub(super) struct BoxState {
    pub links: BTreeMap<String, Link>,
    /// Indexes of the interfaces that carry an IPv4 route with a gateway.
    pub gateways: Vec<u32>,
}

impl BoxState {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            let state = dump(&handle).await.map_err(io::Error::other);
            connection.abort();
            state
        })
    }

    /// The interface that has an address.
    pub fn owner(&self, address: Ipv4Addr) -> Option<&str> {
        let owns = |link: &Link| link.addresses.iter().any(|prefix| prefix.addr() == address);
        self.links.iter().find(|(_, link)| owns(link)).map(|(name, _)| name.as_str())
    }
}

async fn dump(handle: &Handle) -> Result<BoxState, rtnetlink::Error> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
    let routes = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes: Vec<RouteMessage> = handle.route().get(routes).execute().try_collect().await?;
    let mut state = BoxState::default();
    for message in links {
        let mut link =
            Link { index: message.header.index, up: message.header.flags.contains(LinkFlags::Up), ..Link::default() };
        let mut name = None;
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text),
                LinkAttribute::Controller(index) => link.bridge = Some(index),
                LinkAttribute::LinkInfo(infos) => link.hairpin = infos.iter().any(is_hairpin),
                _ => {}
            }
        }
        link.addresses =
            addresses.iter().filter(|address| address.header.index == link.index).filter_map(ipv4).collect();
        state.links.extend(name.map(|name| (name, link)));
    }
    for route in routes {
        let gateway = route.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Gateway(_)));
        let interface = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        state.gateways.extend(interface.filter(|_| gateway));
    }
    state.gateways.sort_unstable();
    state.gateways.dedup();
    Ok(state)
}

fn is_hairpin(info: &LinkInfo) -> bool {
    let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info else { return false };
    port.contains(&InfoBridgePort::HairpinMode(true))
}

/// The interface's own IPv4 address: `IFA_LOCAL`, which differs from `IFA_ADDRESS` on point-to-point links.
fn ipv4(message: &AddressMessage) -> Option<Ipv4Net> {
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(std::net::IpAddr::V4(address)) => {
            Ipv4Net::new(*address, message.header.prefix_len).ok()
        }
        _ => None,
    })
}
