//! A router of the chain: programs attached to its interfaces and its tunnel device, and the routes of the slow path.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::{SchedClassifier, TcAttachType, Xdp, XdpMode, tc};
use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use mipd_common::maps::{self, Counter, Interface, interface_flags};
use netlink_packet_route::route::RouteScope;
use netlink_packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::RouteMessageBuilder;

use crate::host::Host;
use crate::packets::maps::Maps;
use crate::packets::object;
use crate::tun::Tun;
use crate::wire::index_of;

/// The number of the chain's only tunnel, on both routers.
pub(super) const TUNNEL: u32 = 1;

const MARK: u32 = 0x434_0000;
const MARK_MASK: u32 = 0xffff_0000;
const MARKED_TABLE: u32 = 435;
const TUN_INDEX: u32 = 40;
/// MTU of every link.
const MTU: u32 = 1500;

/// Which part of the data path carries the packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// Native XDP.
    Xdp,
    /// TC.
    Tc,
    /// The kernel's routing, by way of the tunnel devices.
    Kernel,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Xdp, Self::Tc, Self::Kernel];
}

/// A router with programs.
#[derive(Debug)]
pub struct Router {
    /// The box.
    pub host: Host,
    path: Path,
    object: Ebpf,
    _tun: Tun,
}

/// An interface of a router.
pub(super) struct Port {
    pub name: &'static str,
    pub mac: MacAddress,
    /// Bits of `interface_flags` that say what is attached there.
    pub flags: u16,
}

impl Router {
    /// Loads the programs and creates the tunnel device, with the program of that name at its egress.
    pub(super) fn new(host: Host, tun: &'static str, path: Path) -> Result<Self> {
        let device = Tun::packets(host.namespace(), tun, TUN_INDEX)?;
        let egress = if tun == "mip-home" { "home_tun_egress" } else { "visit_tun_egress" };
        let mut object = object::open(&[])?;
        for program in ["router_xdp", "router_ingress", egress] {
            object::load_program(&mut object, program)?;
        }
        let mut router = Self { host, path, object, _tun: device };
        router.attach_tc(egress, tun, TcAttachType::Egress)?;
        let fast = Interface { flags: interface_flags::FAST, row: 3, mtu: MTU, ..Interface::default() };
        router.maps().interface(TUN_INDEX, fast)?;
        Ok(router)
    }

    /// The programs' maps.
    pub fn maps(&mut self) -> Maps<'_> {
        Maps(&mut self.object)
    }

    /// How many packets (or buffers of several) a counter has counted, at all hooks.
    pub fn counted(&mut self, counter: Counter) -> Result<u64> {
        let counted = self.maps().counted()?;
        Ok(counted.iter().filter(|(_, _, of, _)| *of == counter).map(|(_, _, _, packets)| packets).sum())
    }

    /// Index of an interface.
    pub(super) fn index(&self, interface: &str) -> Result<u32> {
        self.host.namespace().netlink(|handle| async move { index_of(&handle, interface).await })
    }

    /// Attaches the programs to an interface and describes it to them.
    pub(super) fn port(&mut self, port: &Port) -> Result<()> {
        let index = self.index(port.name)?;
        let fast = if self.path == Path::Kernel { 0 } else { interface_flags::FAST | interface_flags::XDP_TARGET };
        let interface = Interface { mac: port.mac.0, flags: port.flags | fast, row: 1, mtu: MTU };
        self.maps().interface(index, interface)?;
        if self.path == Path::Xdp {
            let program: &mut Xdp = self.object.program_mut("router_xdp").context("no router_xdp")?.try_into()?;
            let attached = self.host.namespace().enter(|| program.attach(port.name, XdpMode::Driver).map(drop))?;
            attached.with_context(|| format!("{} takes no native XDP", port.name))?;
        }
        self.attach_tc("router_ingress", port.name, TcAttachType::Ingress)
    }

    fn attach_tc(&mut self, program: &str, interface: &str, direction: TcAttachType) -> Result<()> {
        let program: &mut SchedClassifier = self.object.program_mut(program).context("no such program")?.try_into()?;
        let attached = self.host.namespace().enter(|| {
            // Kernels before 6.6 attach to a queueing discipline; newer ones do without, and may lack it.
            let _ = tc::qdisc_add_clsact(interface);
            program.attach(interface, direction).map(drop)
        })?;
        attached.with_context(|| format!("cannot attach to {interface}"))
    }

    /// Says which device is for which role: the one here is for the home agent, or for the foreign agent.
    pub(super) fn roles(&mut self, home: bool) -> Result<()> {
        let (home_tun, visit_tun) = if home { (TUN_INDEX, 0) } else { (0, TUN_INDEX) };
        self.maps().router(maps::Router { home_tun, visit_tun, mark: MARK, mark_mask: MARK_MASK, reserved: 0 })
    }

    /// Routes a prefix out of an interface.
    pub(super) fn route(&self, prefix: Ipv4Net, interface: &str) -> Result<()> {
        self.route_in(RouteMessageBuilder::<Ipv4Addr>::new(), prefix, interface)
    }

    /// Routes what bears the mark into the tunnel device.
    pub(super) fn route_marked(&self, tun: &str) -> Result<()> {
        let table = RouteMessageBuilder::<Ipv4Addr>::new().table_id(MARKED_TABLE);
        self.route_in(table, Ipv4Net::default(), tun)?;
        self.host.namespace().netlink(|handle| async move {
            let rule = handle.rule().add().v4().action(RuleAction::ToTable).table_id(MARKED_TABLE).fw_mark(MARK);
            let mut rule = rule.priority(MARKED_TABLE);
            rule.message_mut().attributes.push(RuleAttribute::FwMask(MARK_MASK));
            Ok(rule.execute().await?)
        })
    }

    fn route_in(&self, route: RouteMessageBuilder<Ipv4Addr>, prefix: Ipv4Net, interface: &str) -> Result<()> {
        self.host.namespace().netlink(|handle| async move {
            let index = index_of(&handle, interface).await?;
            let route = route.destination_prefix(prefix.network(), prefix.prefix_len()).output_interface(index);
            let added = handle.route().add(route.scope(RouteScope::Link).build()).execute().await;
            added.with_context(|| format!("cannot route {prefix} out of {interface}"))
        })
    }
}
