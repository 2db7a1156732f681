//! The boxes of the tests: who is where, and the tables that say so.
//!
//! The router is home agent for 10.1.0.0/24 and foreign agent for its own access network 10.2.0.0/24. The access point
//! stands in 10.2.0.0/24. Test runs receive every packet on loopback, interface 1.

use std::net::Ipv4Addr;

use anyhow::Result;
use aya::Ebpf;
use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use mipd_common::maps::{
    AccessPoint, HOME_SUBNETS_LENGTH, Interface, Router, SPARSE, Seen, Station, Tunnel, Visitor, VisitorSource,
    interface_flags, station_state, tunnel_flags, tunnel_kind,
};
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::maps::{Maps, ethernet};

const fn mac(last: u8) -> MacAddress {
    MacAddress([0x02, 0, 0, 0, 0, last])
}

/// The router's own.
pub const ROUTER: MacAddress = mac(1);
/// The router's egress interfaces.
pub const EGRESS: MacAddress = mac(2);
/// Next hop towards the tunnels' other ends.
pub const NEXT_HOP: MacAddress = mac(3);
/// Somebody on the link.
pub const HOST: MacAddress = mac(4);
/// The client.
pub const CLIENT: MacAddress = mac(0xc1);
/// The foreign agent, as the access point knows it.
pub const AGENT: MacAddress = mac(0xfa);
/// Gateway of the access point's subnet.
pub const GATEWAY: MacAddress = mac(0x9a);
pub const BROADCAST: MacAddress = MacAddress::BROADCAST;
pub const VIRTUAL: MacAddress = MacAddress::VIRTUAL_GATEWAY;

pub const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// Home addresses of this home agent: one away, one at home, one whose care-of address is this router's.
pub const AWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
pub const AT_HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 11);
pub const NEARBY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 12);
pub const ALSO_AWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 13);
/// Where `AWAY` and `ALSO_AWAY` are.
pub const FAR_AGENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub const FARTHER_AGENT: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);

/// This router as foreign agent.
pub const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
/// A visitor of this router and its home agent.
pub const VISITOR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 20);
pub const VISITORS_AGENT: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// A host of the visited subnet.
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 77);
/// Somebody whom the routing table knows the way to, by a gateway whose MAC is `NEXT_HOP`.
pub const ROUTED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
pub const ROUTED_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24);
pub const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// An address of nobody's, which leads the packets of away clients to `mip-home`.
pub const HOME_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 1, 0, 250), 24);
/// The networks of the tunnels' other ends, behind the same gateway.
pub const AGENTS_NETWORKS: [Ipv4Net; 3] = [agents_network(7), agents_network(8), agents_network(9)];
pub const ROUTER_ADDRESS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 99, 0, 1), 24);
/// Somebody else, to whom there is no route.
pub const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

pub const TUNNEL: u32 = 3;
pub const OTHER_TUNNEL: u32 = 4;
pub const DIRECT_TUNNEL: u32 = 5;
pub const REVERSE_TUNNEL: u32 = 6;
const COPIES: u32 = 7;
pub const MARK: u32 = 0x434_0000;
pub const FIRST_SLOT: u32 = 256;
pub const REGISTRATION_PORT: u16 = 4340;

const fn agents_network(number: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, number, 0, 0), 24)
}

const LOOPBACK: u32 = 1;
/// Interfaces that exist where the programs run: see `rig`.
pub const EGRESS_INDEX: u32 = 7;
pub const INGRESS_INDEX: u32 = 8;
pub const HOME_TUN: u32 = 20;
pub const VISIT_TUN: u32 = 21;
const ACCESS: u32 = 9;
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// Everything that the maps say.
pub struct World {
    pub interface: Interface,
    pub access: Interface,
    pub router: Router,
    pub own_addresses: Vec<Ipv4Addr>,
    pub own_subnets: Vec<(Ipv4Addr, Ipv4Addr)>,
    pub home_subnets: Vec<(Ipv4Addr, Ipv4Addr, u32)>,
    pub tunnels: Vec<(u32, Tunnel)>,
    pub bindings: Vec<(Ipv4Addr, u32)>,
    /// Those of sparse subnets.
    pub hashed: Vec<(Ipv4Addr, u32)>,
    pub home_macs: Vec<(Ipv4Addr, MacAddress)>,
    pub visitors: Vec<(Ipv4Addr, Ipv4Addr, Visitor)>,
    pub visitor_sources: Vec<(MacAddress, Ipv4Addr, u32)>,
    /// Largest TCP segment that visitors may announce.
    pub visitor_segment_limit: u16,
    /// The interface that the route to `ROUTED` and the tunnels lead to.
    pub egress: Interface,
    /// The tunnel devices.
    pub tunnel_device: Interface,
    /// How visitors hand over what they send: `visitor_flags`.
    pub visitor_flags: u16,
    pub access_point: AccessPoint,
    pub stations: Vec<(MacAddress, Station)>,
    pub seen: Vec<(MacAddress, Seen)>,
}

impl Default for World {
    fn default() -> Self {
        use interface_flags::{ACCESS as ACCESS_SIDE, FAST, HOME, XDP_TARGET};
        let tunnel = |local, remote| Encapsulation::IP_IN_IP.entry(local, remote, (NEXT_HOP, EGRESS), EGRESS_INDEX);
        let direct = Tunnel {
            outer: [0; 20],
            ethernet: ethernet(CLIENT, EGRESS),
            kind: tunnel_kind::DIRECT,
            inner_mtu: 1500,
            ..tunnel(HOME_AGENT, CARE_OF)
        };
        Self {
            interface: Interface { mac: ROUTER.0, flags: FAST | XDP_TARGET | HOME | ACCESS_SIDE, row: 1, mtu: 1500 },
            access: Interface { mac: EGRESS.0, flags: FAST | XDP_TARGET, row: 2, mtu: 1500 },
            router: Router {
                home_tun: HOME_TUN,
                visit_tun: VISIT_TUN,
                mark: MARK,
                mark_mask: 0xffff_0000,
                reserved: 0,
            },
            own_addresses: vec![HOME_AGENT, CARE_OF],
            own_subnets: vec![(Ipv4Addr::new(10, 2, 0, 0), MASK)],
            home_subnets: vec![
                (Ipv4Addr::new(172, 16, 0, 0), Ipv4Addr::new(255, 255, 255, 252), 0),
                (Ipv4Addr::new(10, 1, 0, 0), MASK, FIRST_SLOT),
            ],
            tunnels: vec![
                (TUNNEL, tunnel(HOME_AGENT, FAR_AGENT)),
                (OTHER_TUNNEL, tunnel(HOME_AGENT, FARTHER_AGENT)),
                (DIRECT_TUNNEL, direct),
                (REVERSE_TUNNEL, tunnel(CARE_OF, VISITORS_AGENT)),
            ],
            bindings: vec![(AWAY, TUNNEL), (ALSO_AWAY, OTHER_TUNNEL), (NEARBY, DIRECT_TUNNEL)],
            hashed: Vec::new(),
            home_macs: vec![(AWAY, CLIENT)],
            visitors: vec![(
                VISITORS_AGENT,
                VISITOR,
                Visitor {
                    ethernet: ethernet(CLIENT, EGRESS),
                    flags: tunnel_flags::XDP_TARGET,
                    kind: tunnel_kind::IP_IN_IP,
                    ifindex: ACCESS,
                    care_of_address: CARE_OF.octets(),
                    ..Visitor::default()
                },
            )],
            visitor_sources: vec![(CLIENT, VISITOR, 0)],
            visitor_segment_limit: 0,
            egress: Interface { mac: EGRESS.0, flags: FAST | XDP_TARGET, row: 3, mtu: 1500 },
            tunnel_device: Interface { flags: FAST, row: 3, mtu: 1500, ..Interface::default() },
            visitor_flags: 0,
            access_point: AccessPoint {
                punt_ifindex: 30,
                uplink_ifindex: 31,
                gateway_mac: GATEWAY.0,
                registration_port: REGISTRATION_PORT.to_be_bytes(),
                flags: 0,
            },
            stations: Vec::new(),
            seen: Vec::new(),
        }
    }
}

impl World {
    /// The tunnel of `AWAY`.
    pub fn tunnel(&mut self) -> &mut Tunnel {
        &mut self.tunnels[0].1
    }

    /// Has the packets of `AWAY` and `ALSO_AWAY` wrapped in these ways.
    pub fn wrap(&mut self, away: Encapsulation, also_away: Encapsulation) {
        for (index, encapsulation, remote) in [(0, away, FAR_AGENT), (1, also_away, FARTHER_AGENT)] {
            self.tunnels[index].1 = encapsulation.entry(HOME_AGENT, remote, (NEXT_HOP, EGRESS), EGRESS_INDEX);
        }
    }

    /// Has the packets of `VISITOR` wrapped in this way by its home agent, and by us.
    pub fn wrap_visitor(&mut self, home_agents: Encapsulation) {
        let ours = home_agents.reversed();
        self.visitors[0].2 = ours.visitor(self.visitors[0].2);
        self.tunnels[3].1 = ours.entry(CARE_OF, VISITORS_AGENT, (NEXT_HOP, EGRESS), EGRESS_INDEX);
    }

    /// Gives `AWAY` a second care-of address, that of `ALSO_AWAY`.
    pub fn copies(&mut self) {
        self.copies_into(&[TUNNEL, OTHER_TUNNEL]);
    }

    /// Has the packets for `AWAY` copied into these tunnels.
    pub fn copies_into(&mut self, tunnels: &[u32]) {
        let mut copies = Tunnel { kind: tunnel_kind::COPIES, inner_mtu: 1480, ..Tunnel::default() };
        for (place, id) in copies.outer.chunks_exact_mut(4).zip(tunnels) {
            place.copy_from_slice(&id.to_ne_bytes());
        }
        self.tunnels.push((COPIES, copies));
        self.bindings[0] = (AWAY, COPIES);
    }

    /// Has `AWAY`'s subnet behind so many others that it is not compared inline any more.
    pub fn many_home_subnets(&mut self) {
        let others = (0..HOME_SUBNETS_LENGTH as u8).map(|i| (Ipv4Addr::new(172, 17, i, 0), MASK, 0));
        self.home_subnets.splice(0..0, others);
    }

    /// Makes `AWAY`'s subnet sparse; `bound` says whether `AWAY` is away in fact.
    pub fn sparse(&mut self, bound: bool) {
        for (network, _, first_slot) in &mut self.home_subnets {
            if *network == Ipv4Addr::new(10, 1, 0, 0) {
                *first_slot = SPARSE;
            }
        }
        // Slots of nobody must not be looked at.
        self.hashed.extend(bound.then_some((AWAY, TUNNEL)));
    }

    /// Makes `CLIENT` a known station with `VISITOR` as home address.
    pub fn station(&mut self, state: u8) {
        let home_address = if state == station_state::LOCAL { Ipv4Addr::UNSPECIFIED } else { VISITOR };
        let station = Station {
            home_address: home_address.octets(),
            agent_mac: AGENT.0,
            state,
            flags: tunnel_flags::XDP_TARGET,
            uplink_ifindex: 31,
            radio_ifindex: LOOPBACK,
            broadcasts_from: [0; 4],
            agent_address: [0; 4],
            last_jiffy: 0,
            last_seen: u64::MAX,
        };
        self.stations.push((CLIENT, station));
    }

    /// Fills the maps, which are empty.
    pub fn write(&self, object: &mut Ebpf) -> Result<()> {
        let mut maps = Maps(object);
        maps.interface(EGRESS_INDEX, self.egress)?;
        maps.interface(HOME_TUN, self.tunnel_device)?;
        maps.interface(VISIT_TUN, self.tunnel_device)?;
        maps.interface(LOOPBACK, self.interface)?;
        maps.interface(ACCESS, self.access)?;
        maps.router(self.router)?;
        maps.own_addresses(&self.own_addresses)?;
        maps.own_subnets(&self.own_subnets)?;
        maps.home_subnets(&self.home_subnets)?;
        for &(id, tunnel) in &self.tunnels {
            maps.tunnel(id, tunnel)?;
        }
        for &(home_address, tunnel) in &self.bindings {
            maps.slot(FIRST_SLOT + u32::from(home_address.octets()[3]), tunnel)?;
        }
        for &(home_address, tunnel) in &self.hashed {
            maps.binding(home_address, tunnel)?;
        }
        for &(home_address, mac) in &self.home_macs {
            maps.home_mac(home_address, mac)?;
        }
        for &(home_agent, home_address, visitor) in &self.visitors {
            maps.visitor(home_agent, home_address, visitor)?;
        }
        for &(mac, home_address, tunnel) in &self.visitor_sources {
            let source = VisitorSource {
                home_address: home_address.octets(),
                tunnel,
                segment_limit: self.visitor_segment_limit,
                flags: self.visitor_flags,
            };
            maps.visitor_may_send(mac, source)?;
        }
        maps.access_point(self.access_point)?;
        for &(mac, station) in &self.stations {
            maps.station(mac, station)?;
        }
        for &(mac, seen) in &self.seen {
            maps.seen(mac, seen)?;
        }
        Ok(())
    }
}
