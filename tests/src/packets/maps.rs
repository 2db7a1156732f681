//! Fills the programs' maps directly, as the agent would.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, RingBuf, lpm_trie::Key as Prefix};
use mipd_agent::dataplane::table::Table;
use mipd_common::mac::MacAddress;
use mipd_common::maps::{
    AccessPoint, Address, AddressList, Counter, Counters, HOME_SUBNETS_LENGTH, HomeSubnet, HomeSubnets, Interface,
    LIST_LENGTH, Mac, Router, Seen, Station, StationEvent, Subnet, SubnetList, Tunnel, Visitor, VisitorKey,
    VisitorSource, hook,
};
use mipd_common::table::Key;

/// How many rows of counters a test object has: see [`object::load`](super::object::load).
pub const ROWS: u32 = 4;

/// The maps of a loaded object.
pub struct Maps<'a>(pub &'a mut Ebpf);

impl Maps<'_> {
    /// Sets an element of an array.
    pub fn set<V: aya::Pod>(&mut self, map: &str, index: u32, value: V) -> Result<()> {
        let map = self.0.map_mut(map).with_context(|| format!("the object has no map {map}"))?;
        Ok(Array::<_, V>::try_from(map)?.set(index, value, 0)?)
    }

    /// Adds an entry to a hash map.
    pub fn insert<K: aya::Pod, V: aya::Pod>(&mut self, map: &str, key: K, value: V) -> Result<()> {
        let map = self.0.map_mut(map).with_context(|| format!("the object has no map {map}"))?;
        Ok(HashMap::<_, K, V>::try_from(map)?.insert(key, value, 0)?)
    }

    /// The visitors, downlink. To be kept where there are many to be added: opening it reads the whole table.
    pub fn visitors(&mut self) -> Result<Table<&mut MapData, VisitorKey, Visitor, 16>> {
        self.table("VISITORS")
    }

    /// What visitors may send.
    pub fn visitor_macs(&mut self) -> Result<Table<&mut MapData, Mac, VisitorSource, 4>> {
        self.table("VISITOR_MACS")
    }

    /// The stations.
    pub fn stations(&mut self) -> Result<Table<&mut MapData, Mac, Station, 8>> {
        self.table("STATIONS")
    }

    fn table<K: Key, V: aya::Pod + Default, const REST: usize>(
        &mut self,
        name: &'static str,
    ) -> Result<Table<&mut MapData, K, V, REST>> {
        let map = self.0.map_mut(name).with_context(|| format!("the object has no map {name}"))?;
        Ok(Table::open(Array::try_from(map)?, name, usize::MAX)?)
    }

    /// Describes an interface.
    pub fn interface(&mut self, ifindex: u32, interface: Interface) -> Result<()> {
        self.set("INTERFACES", ifindex, interface)
    }

    /// Sets up the router roles.
    pub fn router(&mut self, router: Router) -> Result<()> {
        self.set("ROUTER", 0, router)
    }

    /// Lists the box's own addresses.
    pub fn own_addresses(&mut self, own: &[Ipv4Addr]) -> Result<()> {
        let mut addresses = [Address::default(); LIST_LENGTH];
        for (entry, address) in addresses.iter_mut().zip(own) {
            *entry = address.octets();
        }
        self.set("OWN_ADDRESSES", 0, AddressList { length: own.len() as u32, addresses })
    }

    /// Lists the subnets attached to the box.
    pub fn own_subnets(&mut self, own: &[(Ipv4Addr, Ipv4Addr)]) -> Result<()> {
        let mut subnets = [Subnet::default(); LIST_LENGTH];
        for (entry, (network, mask)) in subnets.iter_mut().zip(own) {
            *entry = Subnet { network: network.octets(), mask: mask.octets() };
        }
        self.set("OWN_SUBNETS", 0, SubnetList { length: own.len() as u32, subnets })
    }

    /// Lists the home subnets: network, mask, first slot. Those that are more than what is compared inline go where such go.
    pub fn home_subnets(&mut self, home: &[(Ipv4Addr, Ipv4Addr, u32)]) -> Result<()> {
        let entries = home.iter().map(|&(network, mask, first_slot)| HomeSubnet {
            subnet: Subnet { network: network.octets(), mask: mask.octets() },
            first_slot,
            reserved: 0,
        });
        let mut subnets = [HomeSubnet::default(); HOME_SUBNETS_LENGTH];
        subnets.iter_mut().zip(entries.clone()).for_each(|(entry, subnet)| *entry = subnet);
        for subnet in entries.skip(HOME_SUBNETS_LENGTH) {
            let map = self.0.map_mut("HOME_PREFIXES").context("the object has no map HOME_PREFIXES")?;
            let length = u32::from_be_bytes(subnet.subnet.mask).leading_ones();
            LpmTrie::<_, Address, HomeSubnet>::try_from(map)?.insert(
                &Prefix::new(length, subnet.subnet.network),
                subnet,
                0,
            )?;
        }
        self.set("HOME_SUBNETS", 0, HomeSubnets { length: home.len() as u32, subnets })
    }

    /// Puts a tunnel id in a slot.
    pub fn slot(&mut self, slot: u32, tunnel: u32) -> Result<()> {
        self.set("SLOTS", slot, tunnel)
    }

    /// Binds an address of a sparse subnet to a tunnel.
    pub fn binding(&mut self, home_address: Ipv4Addr, tunnel: u32) -> Result<()> {
        self.insert("BINDINGS", home_address.octets(), tunnel)
    }

    /// Sets up a tunnel.
    pub fn tunnel(&mut self, id: u32, tunnel: Tunnel) -> Result<()> {
        self.set("TUNNELS", id, tunnel)
    }

    /// Notes a home client's MAC.
    pub fn home_mac(&mut self, home_address: Ipv4Addr, mac: MacAddress) -> Result<()> {
        self.insert("HOME_MACS", home_address.octets(), Mac::new(mac.0))
    }

    /// Adds a visitor, downlink.
    pub fn visitor(&mut self, home_agent: Ipv4Addr, home_address: Ipv4Addr, visitor: Visitor) -> Result<()> {
        let key = VisitorKey { home_agent: home_agent.octets(), home_address: home_address.octets() };
        Ok(self.visitors()?.insert(key, visitor)?)
    }

    /// Adds a visitor, uplink.
    pub fn visitor_source(
        &mut self,
        mac: MacAddress,
        home_address: Ipv4Addr,
        tunnel: u32,
        segment_limit: u16,
    ) -> Result<()> {
        self.visitor_may_send(
            mac,
            VisitorSource { home_address: home_address.octets(), tunnel, segment_limit, ..VisitorSource::default() },
        )
    }

    /// Says what a visitor may send.
    pub fn visitor_may_send(&mut self, mac: MacAddress, source: VisitorSource) -> Result<()> {
        Ok(self.visitor_macs()?.insert(Mac::new(mac.0), source)?)
    }

    /// Sets up the access point role.
    pub fn access_point(&mut self, settings: AccessPoint) -> Result<()> {
        self.set("ACCESS_POINT", 0, settings)
    }

    /// Adds a station.
    pub fn station(&mut self, mac: MacAddress, station: Station) -> Result<()> {
        Ok(self.stations()?.insert(Mac::new(mac.0), station)?)
    }

    /// Remembers a station that was reported.
    pub fn seen(&mut self, mac: MacAddress, seen: Seen) -> Result<()> {
        self.insert("SEEN", Mac::new(mac.0), seen)
    }

    /// Every counter that is not zero: row, hook, counter, packets of all CPUs.
    pub fn counted(&mut self) -> Result<Vec<(u32, u32, Counter, u64)>> {
        let map = self.0.map_mut("COUNTERS").context("the object has no map COUNTERS")?;
        let counters = PerCpuArray::<_, Counters>::try_from(map)?;
        let mut counted = Vec::new();
        for index in 0..ROWS * hook::COUNT {
            let per_cpu = counters.get(&index, 0)?;
            for &counter in Counter::ALL {
                let packets = per_cpu.iter().map(|row| row.packets[counter as usize]).sum();
                if packets > 0 {
                    counted.push((index / hook::COUNT, index % hook::COUNT, counter, packets));
                }
            }
        }
        Ok(counted)
    }

    /// The events in the ring buffer.
    pub fn events(&mut self) -> Result<Vec<StationEvent>> {
        let map = self.0.map_mut("EVENTS").context("the object has no map EVENTS")?;
        let mut ring = RingBuf::try_from(map)?;
        let mut events = Vec::new();
        while let Some(entry) = ring.next() {
            let bytes: &[u8; size_of::<StationEvent>()] = (&*entry).try_into().context("an event of another size")?;
            // SAFETY: `StationEvent` is `Pod` of this size; read unaligned.
            events.push(unsafe { bytes.as_ptr().cast::<StationEvent>().read_unaligned() });
        }
        Ok(events)
    }
}

/// An IPv4 Ethernet header.
pub fn ethernet(destination: MacAddress, source: MacAddress) -> [u8; 14] {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&destination.0);
    header[6..12].copy_from_slice(&source.0);
    header[12..].copy_from_slice(&[0x08, 0x00]);
    header
}
