//! The maps, and how the programs look into them. Layouts: [`mipd_common::maps`]. Sizes are the agent's choice at load.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
};
use mipd_common::{
    maps::{
        AccessPoint, Address, AddressList, Counters, HOME_SUBNETS_LENGTH, HomeSubnet, HomeSubnets, Interface,
        LIST_LENGTH, Mac, Router, Seen, Station, SubnetList, Tunnel, Visitor, VisitorKey, VisitorSource, tunnel_kind,
    },
    table::{self, BUCKET, Entry, Hash, StationEntry, VisitorEntry, VisitorSourceEntry},
};

use crate::bytes::address;

/// Arrays that could be mapped into a process begin at a page: their entries of 64 bytes are one cache line each.
const ALIGNED: u32 = BPF_F_MMAPABLE;

#[map]
static INTERFACES: Array<Interface> = Array::with_max_entries(4096, 0);
#[map]
static ROUTER: Array<Router> = Array::with_max_entries(1, 0);
#[map]
static OWN_ADDRESSES: Array<AddressList> = Array::with_max_entries(1, 0);
#[map]
static OWN_SUBNETS: Array<SubnetList> = Array::with_max_entries(1, 0);
#[map]
static HOME_SUBNETS: Array<HomeSubnets> = Array::with_max_entries(1, 0);
#[map]
static HOME_PREFIXES: LpmTrie<Address, HomeSubnet> = LpmTrie::with_max_entries(1, 0);
#[map]
static SLOTS: Array<u32> = Array::with_max_entries(65536, 0);
#[map]
static BINDINGS: HashMap<Address, u32> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static TUNNELS: Array<Tunnel> = Array::with_max_entries(4096, ALIGNED);
#[map]
static HOME_MACS: HashMap<Address, Mac> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
#[map]
static VISITORS: Array<VisitorEntry> = Array::with_max_entries(table::length(4096), ALIGNED);
#[map]
static VISITOR_MACS: Array<VisitorSourceEntry> = Array::with_max_entries(table::length(4096), ALIGNED);
#[map]
static ACCESS_POINT: Array<AccessPoint> = Array::with_max_entries(1, 0);
#[map]
static STATIONS: Array<StationEntry> = Array::with_max_entries(table::length(4096), ALIGNED);
#[map]
pub static SEEN: LruHashMap<Mac, Seen> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(192, 0);

/// What the agent says of an interface.
#[inline(always)]
pub fn interface(ifindex: u32) -> Option<&'static Interface> {
    INTERFACES.get(ifindex)
}

/// Settings of the router roles.
#[inline(always)]
pub fn router() -> Option<&'static Router> {
    ROUTER.get(0)
}

/// Settings of the access point role.
#[inline(always)]
pub fn access_point() -> Option<&'static AccessPoint> {
    ACCESS_POINT.get(0)
}

/// Whether an address (memory order) is one of this box's own.
#[inline(always)]
pub fn is_own_address(wanted: u32) -> bool {
    let Some(list) = OWN_ADDRESSES.get(0) else { return false };
    for entry in 0..LIST_LENGTH {
        if entry as u32 >= list.length {
            break;
        }
        if address(&list.addresses[entry]) == wanted {
            return true;
        }
    }
    false
}

/// Whether an address (memory order) lies in a subnet attached to this box.
#[inline(always)]
pub fn is_in_own_subnet(wanted: u32) -> bool {
    let Some(list) = OWN_SUBNETS.get(0) else { return false };
    for entry in 0..LIST_LENGTH {
        if entry as u32 >= list.length {
            break;
        }
        let subnet = &list.subnets[entry];
        if wanted & address(&subnet.mask) == address(&subnet.network) {
            return true;
        }
    }
    false
}

/// The tunnel of an away client, by its home address (memory order). `None`: at home, or no home address of ours.
#[inline(always)]
pub fn tunnel_id(home_address: u32) -> Option<u32> {
    let home = home_subnet(home_address)?;
    let host = u32::from_be(home_address & !address(&home.subnet.mask));
    let id = match SLOTS.get(home.first_slot.wrapping_add(host)) {
        Some(id) => *id,
        // The subnet is sparse.
        // SAFETY: entries are freed only when no program can see them any more; one that is replaced meanwhile reads as
        // the old or the new tunnel.
        None => *unsafe { BINDINGS.get(home_address.to_ne_bytes()) }?,
    };
    if id == 0 { None } else { Some(id) }
}

/// Whether an address (memory order) is the broadcast address of a home subnet.
#[inline(always)]
pub fn is_home_broadcast(wanted: u32) -> bool {
    home_subnet(wanted).is_some_and(|home| wanted | address(&home.subnet.mask) == u32::MAX)
}

/// The home subnet that an address (memory order) is in.
#[inline(always)]
fn home_subnet(wanted: u32) -> Option<&'static HomeSubnet> {
    let list = HOME_SUBNETS.get(0)?;
    for entry in 0..HOME_SUBNETS_LENGTH {
        if entry as u32 >= list.length {
            return None;
        }
        let home = &list.subnets[entry];
        if wanted & address(&home.subnet.mask) == address(&home.subnet.network) {
            return Some(home);
        }
    }
    if list.length == HOME_SUBNETS_LENGTH as u32 {
        return None;
    }
    HOME_PREFIXES.get(Key::new(u32::BITS, wanted.to_ne_bytes()))
}

/// A tunnel in use.
#[inline(always)]
pub fn tunnel(id: u32) -> Option<&'static Tunnel> {
    TUNNELS.get(id).filter(|tunnel| tunnel.kind != tunnel_kind::NONE)
}

/// The MAC of a client of this home network.
#[inline(always)]
pub fn home_mac(home_address: u32) -> Option<&'static Mac> {
    // SAFETY: an entry replaced meanwhile reads as the old or the new MAC of somebody; the value is only compared.
    unsafe { HOME_MACS.get(home_address.to_ne_bytes()) }
}

/// The visitor of a home agent with a home address (both memory order).
#[inline(always)]
pub fn visitor(home_agent: u32, home_address: u32) -> Option<&'static Visitor> {
    let key = VisitorKey { home_agent: home_agent.to_ne_bytes(), home_address: home_address.to_ne_bytes() };
    find(&VISITORS, key).map(|entry| &entry.value)
}

/// What the visitor with a MAC may send.
#[inline(always)]
pub fn visitor_source(mac: &Mac) -> Option<&'static VisitorSource> {
    find(&VISITOR_MACS, *mac).map(|entry| &entry.value)
}

/// The entry of a table with this key. The agent may change it meanwhile, which misdirects a single packet, as any router does
/// when its tables change.
#[inline(always)]
fn find<V: 'static, const REST: usize>(table: &Array<Entry<V, REST>>, key: impl table::Key) -> Option<&Entry<V, REST>> {
    let key = key.word();
    let head = table.get(0)?;
    let hash = Hash { multiplier: head.key, buckets: head.buckets };
    if key == 0 {
        return None;
    }
    in_bucket(table, hash.first(key), key).or_else(|| in_bucket(table, hash.second(key), key))
}

#[inline(always)]
fn in_bucket<V: 'static, const REST: usize>(
    table: &Array<Entry<V, REST>>,
    bucket: u32,
    key: u64,
) -> Option<&Entry<V, REST>> {
    for index in bucket..bucket + BUCKET {
        if let Some(entry) = table.get(index)
            && entry.key == key
        {
            return Some(entry);
        }
    }
    None
}

/// A station that was reported or punted.
#[inline(always)]
pub fn seen(mac: &Mac) -> Option<&'static Seen> {
    // SAFETY: elements are pre-allocated, so the memory stays; one reused meanwhile speaks of another station.
    unsafe { SEEN.get(mac) }
}

/// A station known to the agent.
#[inline(always)]
pub fn station(mac: &Mac) -> Option<&'static mut Station> {
    let station = &raw const find(&STATIONS, *mac)?.value;
    // SAFETY: arrays stay. Only `last_seen` and `last_jiffy` are written, by aligned plain stores which no other writer
    // depends upon.
    Some(unsafe { &mut *station.cast_mut() })
}
