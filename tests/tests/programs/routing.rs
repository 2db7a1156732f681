//! Plain routing out of the programs: `bpf_fib_lookup` needs a namespace with a route and a neighbour.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt as _;
use mipd_common::maps::{Counter, Interface, hook, interface_flags};
use mipd_lab::packets::bench::{self, Expect, SocketBuffer};
use mipd_lab::packets::frame::{Frame, Ipv4};
use mipd_lab::packets::maps::Maps;
use mipd_lab::packets::object;
use mipd_lab::{Host, Lab};

use crate::world::{AWAY, CLIENT, CORRESPONDENT, FAR_AGENT, HOME_AGENT, HOST, NEXT_HOP, ROUTER, VISITOR, World};

/// A router whose default route leads over `eth0` to a neighbour that it knows.
struct Router {
    host: Host,
    egress: u32,
    mac: [u8; 6],
    _lab: Lab,
}

impl Router {
    fn new(label: &str) -> Result<Self> {
        let lab = Lab::new(label)?;
        let host = lab.host("router")?;
        let mac = [0x02, 0, 0, 0, 0, 0x77];
        lab.wire("core")?.connect(&host, "eth0", mac)?;
        host.add_address("eth0", "10.99.0.1/24".parse()?)?;
        host.forward()?;
        let gateway = Ipv4Addr::new(10, 99, 0, 2);
        host.add_default_route(gateway)?;
        let egress = host.namespace().netlink(|handle| async move {
            let mut links = handle.link().get().match_name("eth0".to_owned()).execute();
            let link = links.try_next().await?.context("there is no eth0")?;
            let index = link.header.index;
            let neighbour = handle.neighbours().add(index, gateway.into()).link_layer_address(&NEXT_HOP.0);
            neighbour.replace().execute().await?;
            Ok(index)
        })?;
        Ok(Self { host, egress, mac, _lab: lab })
    }

    /// Runs a packet through a router program in the router's namespace.
    fn check(&self, program: &str, hook: u32, frame: &Frame, flags: u16, expect: &Expect) -> Result<()> {
        let mut object = object::open(&[("INTERFACES", self.egress + 64)])?;
        object::load_program(&mut object, program)?;
        World::default().write(&mut object)?;
        Maps(&mut object).interface(self.egress, Interface { mac: self.mac, flags, row: 2, mtu: 1500 })?;
        let packet = frame.bytes();
        let namespace = self.host.namespace();
        let outcome = namespace.enter(|| bench::run(&mut object, program, &packet, SocketBuffer::default()))??;
        let differences = bench::compare(&mut object, hook, &packet, &outcome, expect)?;
        ensure!(differences.is_empty(), "{program}:\n{differences}");
        Ok(())
    }

    fn sent(&self, packet: &Ipv4) -> Vec<u8> {
        Frame::new(mipd_common::mac::MacAddress(self.mac), NEXT_HOP).ipv4(&packet.clone().forwarded()).bytes()
    }
}

const BOTH: [(&str, u32); 2] = [("router_xdp", hook::XDP), ("router_ingress", hook::INGRESS)];

#[test]
fn a_visitors_packet_is_routed_to_the_next_hop() -> Result<()> {
    if !bench::privileged() {
        return Ok(());
    }
    let router = Router::new("fib-up")?;
    let packet = Ipv4::udp((VISITOR, 9), (CORRESPONDENT, 9), 30);
    let frame = Frame::new(CLIENT, ROUTER).ipv4(&packet);
    let forwarded = Expect::redirect(Counter::VisitorForwarded).bytes(router.sent(&packet));
    for (program, hook) in BOTH {
        router.check(program, hook, &frame, interface_flags::XDP_TARGET, &forwarded)?;
        let large = Frame::new(CLIENT, ROUTER).ipv4(&packet.clone().payload(1481));
        router.check(program, hook, &large, interface_flags::XDP_TARGET, &Expect::pass(Counter::SlowTooBig))?;
    }
    router.check("router_xdp", hook::XDP, &frame, 0, &Expect::pass(Counter::SlowNotXdpTarget))?;
    router.check("router_ingress", hook::INGRESS, &frame, 0, &forwarded)
}

#[test]
fn a_reverse_tunnelled_packet_is_routed_to_the_next_hop() -> Result<()> {
    if !bench::privileged() {
        return Ok(());
    }
    let router = Router::new("fib-down")?;
    let packet = Ipv4::udp((AWAY, 9), (CORRESPONDENT, 9), 30);
    let frame = Frame::new(HOST, ROUTER).ipv4(&Ipv4::tunnel(FAR_AGENT, HOME_AGENT, &packet));
    let forwarded = Expect::redirect(Counter::ReverseDecapsulated).bytes(router.sent(&packet));
    for (program, hook) in BOTH {
        router.check(program, hook, &frame, interface_flags::XDP_TARGET, &forwarded)?;
    }
    router.check("router_xdp", hook::XDP, &frame, 0, &Expect::pass(Counter::SlowNotXdpTarget))?;
    router.check("router_ingress", hook::INGRESS, &frame, 0, &forwarded)
}
