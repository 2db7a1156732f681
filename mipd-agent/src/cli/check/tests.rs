//! The live checks, each in a network namespace of its own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    thread,
};

use futures_util::TryStreamExt as _;
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use nix::{sched, unistd::Uid};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::{finding::Finding, live, netfilter};
use crate::config::Config;

const ROUTER: &str = r#"
[home-agent]
address = "10.1.0.1"
subnets = [{ prefix = "10.1.0.0/24", interface = "lan0" }]
[foreign-agent]
interfaces = ["lan0"]
care-of-address = "10.2.0.1"
"#;

const ACCESS_POINT: &str = r#"
[access-point]
uplink = "eth0"
bridge = "br-lan"
radios = [{ interface = "wlan0" }]
"#;

/// Runs `body` in a new network namespace, which ends with its thread.
fn in_namespace(body: impl FnOnce() + Send + 'static) {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: a network namespace needs root");
        return;
    }
    let namespace = thread::spawn(|| {
        sched::unshare(sched::CloneFlags::CLONE_NEWNET).unwrap();
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        body();
    });
    if let Err(panic) = namespace.join() {
        std::panic::resume_unwind(panic);
    }
}

fn with_netlink<F: Future<Output = ()>>(body: impl FnOnce(Handle) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        body(handle).await;
    });
}

async fn index(handle: &Handle, name: &str) -> u32 {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    links.try_next().await.unwrap().unwrap().header.index
}

async fn set_up(handle: &Handle, name: &str) -> u32 {
    let index = index(handle, name).await;
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.unwrap();
    index
}

fn found(text: &str) -> Vec<String> {
    let config = Config::parse(text, Path::new("mipd.toml"), 0o600).unwrap();
    live::findings(&config).unwrap().iter().map(Finding::to_string).collect()
}

#[test]
fn an_empty_box_lacks_everything_a_router_needs() {
    in_namespace(|| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(
            found(ROUTER),
            [
                "problem: interface lan0 does not exist: create it, or correct its name in the configuration",
                "problem: IPv4 forwarding is off: sysctl -w net.ipv4.ip_forward=1, an agent is a router",
                "warning: home agent address 10.1.0.1 is on no interface: clients at home cannot reach it there",
                "warning: care-of address 10.2.0.1 is on no interface: see that home agents have a route to it",
                "warning: no route has a gateway, so no core interface is found: set [agent] core-interfaces",
            ]
        );
    });
}

#[test]
fn a_router_in_order_is_told_its_core_interfaces() {
    in_namespace(|| {
        with_netlink(async |handle: Handle| {
            for (name, peer) in [("lan0", "lan1"), ("core0", "core1")] {
                handle.link().add(LinkVeth::new(name, peer).build()).execute().await.unwrap();
                set_up(&handle, peer).await;
                set_up(&handle, name).await;
            }
            let (lan, core) = (index(&handle, "lan0").await, index(&handle, "core0").await);
            for (link, address) in [(lan, [10, 1, 0, 1]), (core, [10, 2, 0, 1])] {
                handle.address().add(link, IpAddr::from(address), 24).execute().await.unwrap();
            }
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(Ipv4Addr::new(10, 9, 0, 0), 16)
                .gateway(Ipv4Addr::new(10, 2, 0, 254))
                .build();
            handle.route().add(route).execute().await.unwrap();
        });
        assert_eq!(found(ROUTER), ["note:    core interfaces, found by their routes: core0"]);
    });
}

#[test]
fn a_radio_may_come_later_but_not_the_uplink() {
    in_namespace(|| {
        assert_eq!(
            found(ACCESS_POINT),
            [
                "problem: interface br-lan does not exist: create it, or correct its name in the configuration",
                "problem: interface eth0 does not exist: create it, or correct its name in the configuration",
                "warning: radio wlan0 is not there: it is served as soon as it is, unless its name is wrong",
            ]
        );
    });
}

#[test]
fn ports_outside_the_bridge_are_found() {
    in_namespace(|| {
        with_netlink(async |handle: Handle| {
            handle.link().add(LinkBridge::new("br-lan").build()).execute().await.unwrap();
            for (name, peer) in [("eth0", "eth1"), ("wlan0", "wlan1")] {
                handle.link().add(LinkVeth::new(name, peer).build()).execute().await.unwrap();
                set_up(&handle, name).await;
            }
            let (bridge, uplink) = (set_up(&handle, "br-lan").await, index(&handle, "eth0").await);
            handle.link().set(LinkUnspec::new_with_index(uplink).controller(bridge).build()).execute().await.unwrap();
        });
        assert_eq!(
            found(ACCESS_POINT),
            [
                "problem: wlan0 is not a port of bridge br-lan: ip link set wlan0 master br-lan",
                "warning: bridge br-lan has no IPv4 address and local-subnets is empty: every client would look like a \
                 visitor",
            ]
        );
    });
}

/// A netlink attribute.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One message of an nftables batch: header, `nfgenmsg`, attributes.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut bytes = ((20 + attributes.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

fn chain(name: &str, kind: &str, hook: u32) -> Vec<u8> {
    let hook = [attribute(1, &hook.to_be_bytes()), attribute(2, &100_u32.to_be_bytes())].concat();
    let attributes = [
        attribute(1, b"campus\0"),
        attribute(3, format!("{name}\0").as_bytes()),
        attribute(4 | 0x8000, &hook),
        attribute(7, format!("{kind}\0").as_bytes()),
    ];
    message(10 << 8 | 3, libc::NLM_F_CREATE as u16, 2, 0, &attributes)
}

#[test]
fn masquerading_and_forward_filters_are_found_and_others_are_not() {
    in_namespace(|| {
        assert_eq!(netfilter::chains_bypassed().unwrap(), Vec::<String>::new());
        let create = libc::NLM_F_CREATE as u16;
        let batch = [
            message(16, 0, 0, 10, &[]),
            message(10 << 8, create, 2, 0, &[attribute(1, b"campus\0")]),
            chain("masquerade", "nat", 4),
            chain("guard", "filter", 2),
            chain("input", "filter", 1),
            message(17, libc::NLM_F_ACK as u16, 0, 10, &[]),
        ]
        .concat();
        let socket = Socket::new(NETLINK_NETFILTER).unwrap();
        socket.send(&batch, 0).unwrap();
        let found = netfilter::chains_bypassed().unwrap();
        if found.is_empty() {
            eprintln!("SKIPPED: this kernel has no nftables, or not chains of type nat");
            return;
        }
        assert_eq!(found, ["NAT chain ip campus masquerade", "firewall chain ip campus guard"]);
    });
}
