//! What can stand between source and sink: one box that forwards.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    programs::{Program, TcAttachType, XdpMode, tc},
    util::KernelVersion,
};
use ipnet::Ipv4Net;
use mipd_common::bench::Target;
use rtnetlink::{LinkGre, LinkIpIp, LinkVxlan, RouteMessageBuilder};

use crate::{
    Host,
    bench::boxes::{self, Bindings, FIRST_CARE_OF_ADDRESS, HOME_AGENT, Hook, MOST_TUNNELS, Ports, Role},
    offload,
    packets::{
        maps::{Maps, ethernet},
        object,
    },
    topology::BRIDGE,
    wire::index_of,
};

/// A box's interface towards the source.
pub(super) const LEFT: &str = "left";
/// Its interface towards the sink.
pub(super) const RIGHT: &str = "right";
const TUNNEL: &str = "tunnel";
/// All clients' addresses.
const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 10);
const OWN_ADDRESS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 99, 0, 1), 24);
const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const INSIDE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 98, 0, 1), 24);
const NEXT_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 2);
/// IANA's port of VXLAN.
const VXLAN_PORT: u16 = 4789;

/// What a box does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Element {
    /// Nothing but sending frames on, by a program.
    Redirect(Hook),
    /// Our programs.
    Ours {
        /// Which of them.
        role: Role,
        /// Where they are attached.
        hook: Hook,
        /// Whether the frames come from the side where clients are.
        from_clients: bool,
        /// Bindings, visitors or stations.
        clients: u32,
    },
    /// An access point's way down: the kernel's bridge, with our programs on its wired port.
    OurBridge(Hook),
    /// The kernel's IPv4 forwarding.
    Route,
    /// The kernel's bridge.
    Bridge,
    /// The kernel's own tunnel: its entry.
    Entry(KernelTunnel),
    /// The kernel's own tunnel: its exit.
    Exit(KernelTunnel),
}

/// Tunnels that a kernel may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KernelTunnel {
    Vxlan,
    IpIp,
    Gre,
}

impl Element {
    /// Whether frames are not sent to it but through it.
    pub fn is_bridge(self) -> bool {
        matches!(self, Self::Bridge | Self::OurBridge(_))
    }

    /// Makes a box of a host whose interfaces are there. What is returned keeps the programs attached.
    pub fn set_up(self, host: &Host, ports: &Ports) -> Result<Option<Ebpf>> {
        host.namespace().enter(|| offload::set_generic_receive(LEFT, true))??;
        if !self.is_bridge() {
            host.forward()?;
            host.add_address(RIGHT, OWN_ADDRESS)?;
            host.add_neighbour(RIGHT, NEXT_HOP, ports.next_hop)?;
            host.add_default_route(NEXT_HOP)?;
        }
        match self {
            Self::Route => Ok(None),
            Self::Redirect(hook) => redirect(host, hook, ports).map(Some),
            Self::Ours { role, hook, from_clients, clients } => {
                let ports = Ports { from_clients, ..*ports };
                let tunnels = clients.min(MOST_TUNNELS);
                let mut object = match role {
                    Role::HomeAgent => boxes::home_agent(object::open, &ports, Bindings::Slots, clients, tunnels)?,
                    Role::HashedHomeAgent => {
                        boxes::home_agent(object::open, &ports, Bindings::Hashed, clients, tunnels)?
                    }
                    Role::ForeignAgent => boxes::foreign_agent(object::open, &ports, clients)?,
                    Role::AccessPoint => boxes::access_point(object::open, &ports, clients)?,
                    Role::Reference => boxes::reference(&ports, clients, tunnels)?,
                };
                let program = match (role, hook) {
                    (Role::AccessPoint, Hook::Xdp) => "radio_xdp",
                    (Role::AccessPoint, Hook::Tc) => "radio_ingress",
                    (Role::Reference, _) => "least_encapsulate",
                    (_, Hook::Xdp) => "router_xdp",
                    (_, Hook::Tc) => "router_ingress",
                };
                attach(&mut object, program, host)?;
                Ok(Some(object))
            }
            Self::Bridge => bridge(host).map(|()| None),
            Self::OurBridge(hook) => {
                bridge(host)?;
                let mut object = boxes::access_point(object::open, ports, 1)?;
                if hook == Hook::Xdp {
                    attach(&mut object, "uplink_xdp", host)?;
                }
                attach(&mut object, "uplink_ingress", host)?;
                Ok(Some(object))
            }
            Self::Entry(tunnel) => {
                tunnel.create(host, HOME_AGENT, FIRST_CARE_OF_ADDRESS)?;
                route_into_the_tunnel(host, tunnel, ports)?;
                Ok(None)
            }
            Self::Exit(tunnel) => tunnel.create(host, FIRST_CARE_OF_ADDRESS, HOME_AGENT).map(|()| None),
        }
    }
}

impl KernelTunnel {
    /// The names by which reports know it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::IpIp => "ipip",
            Self::Gre => "gre",
        }
    }

    fn create(self, host: &Host, local: Ipv4Addr, remote: Ipv4Addr) -> Result<()> {
        host.add_address("lo", Ipv4Net::new_assert(local, 32))?;
        let link = match self {
            Self::Vxlan => {
                let link = LinkVxlan::new(TUNNEL, 1).local(local).remote(remote).port(VXLAN_PORT).learning(false);
                link.up().build()
            }
            Self::IpIp => LinkIpIp::new(TUNNEL).local(local).remote(remote).up().build(),
            Self::Gre => LinkGre::new(TUNNEL).local(local).remote(remote).up().build(),
        };
        host.namespace().netlink(|handle| async move {
            let added = handle.link().add(link).execute().await;
            added.with_context(|| format!("cannot create a device of the kind {}", self.label()))
        })
    }
}

/// Whether this machine's kernel can make such a tunnel.
pub(super) fn is_available(tunnel: KernelTunnel, host: &Host) -> bool {
    tunnel.create(host, HOME_AGENT, FIRST_CARE_OF_ADDRESS).is_ok()
}

fn route_into_the_tunnel(host: &Host, tunnel: KernelTunnel, ports: &Ports) -> Result<()> {
    if tunnel == KernelTunnel::Vxlan {
        host.add_address(TUNNEL, INSIDE)?;
        host.add_neighbour(TUNNEL, NEXT_INSIDE, ports.next_hop)?;
        return host.add_route(CLIENTS, NEXT_INSIDE);
    }
    host.namespace().netlink(|handle| async move {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(CLIENTS.network(), CLIENTS.prefix_len())
            .output_interface(index_of(&handle, TUNNEL).await?)
            .build();
        handle.route().add(route).execute().await.context("cannot route into the tunnel")
    })
}

fn redirect(host: &Host, hook: Hook, ports: &Ports) -> Result<Ebpf> {
    let mut object = object::open_bench(&[])?;
    let target = Target {
        ethernet: ethernet(ports.next_hop, ports.egress.mac),
        ifindex: ports.egress.ifindex,
        ..Target::default()
    };
    Maps(&mut object).set("TARGET", 0, target)?;
    let program = match hook {
        Hook::Xdp => "redirect_xdp",
        Hook::Tc => "redirect_tc",
    };
    attach(&mut object, program, host)?;
    Ok(object)
}

fn bridge(host: &Host) -> Result<()> {
    host.add_bridge(BRIDGE, [0x02, 0, 0, 0, 0, 0xb0])?;
    host.add_port(BRIDGE, LEFT)?;
    host.add_port(BRIDGE, RIGHT)
}

/// Loads a program and attaches it to the interface where frames arrive.
pub(super) fn attach(object: &mut Ebpf, program: &str, host: &Host) -> Result<()> {
    object::load_program(object, program)?;
    let attached = host.namespace().enter(|| -> Result<()> {
        match object.program_mut(program) {
            Some(Program::Xdp(xdp)) => {
                xdp.attach(LEFT, XdpMode::Driver)?;
            }
            Some(Program::SchedClassifier(classifier)) => {
                if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
                    // There is one already if another program is attached.
                    let _ = tc::qdisc_add_clsact(LEFT);
                }
                classifier.attach(LEFT, TcAttachType::Ingress)?;
            }
            _ => bail!("there is no XDP or TC program {program}"),
        }
        Ok(())
    })?;
    attached.with_context(|| format!("cannot attach {program} on {}", host.name()))
}
