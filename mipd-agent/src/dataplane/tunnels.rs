//! The tunnel table: numbers, outer header templates and reference counts.
//!
//! Several bindings and visitors share a tunnel. Its number is its index in the `TUNNELS` map; 0 is never used, since a
//! binding slot of 0 means "at home".

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use aya::maps::{Array, MapData};
use mipd_common::{
    mac::MacAddress,
    maps::{COPIES_LENGTH, Tunnel, tunnel_flags, tunnel_kind},
};

use super::{
    bulk,
    error::DataPlaneError,
    maps::name,
    mode::TunnelMode,
    path_mtu::{MINIMUM_MTU, Path},
    routes::NextHop,
    segments::Clamping,
    tunnel_sockets::Arrival,
};
use crate::wire::checksum;

/// MTU of the way to a tunnel's exit until the next hop is known: Ethernet's.
const DEFAULT_MTU: u16 = 1_500;
/// Inner MTU of a tunnel of the usual kind until the next hop is known.
pub(super) const DEFAULT_INNER_MTU: u16 = DEFAULT_MTU - 20;
const OUTER_TTL: u8 = 64;

/// Index in the tunnel table; never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct TunnelId(pub u32);

/// What makes two users share a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum TunnelKey {
    /// From one of our addresses to another agent. Over UDP, `remote` is the address of the peer.
    Between { local: Ipv4Addr, remote: Ipv4Addr, mode: TunnelMode },
    /// No tunnel: a client whose care-of address is our own.
    Direct { home_agent: Ipv4Addr, home_address: Ipv4Addr },
    /// The tunnels of a client with several care-of addresses.
    Copies { home_address: Ipv4Addr },
}

impl TunnelKey {
    /// Where packets are sent; `None` if that is not for routes to say.
    pub fn remote(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Between { remote, .. } => Some(*remote),
            Self::Direct { .. } | Self::Copies { .. } => None,
        }
    }

    /// What can be told of a tunnel over UDP by a packet out of it.
    fn arrivals(self) -> Option<(Ipv4Addr, TunnelMode)> {
        match self {
            Self::Between { local, mode, .. } if mode.udp.is_some() => Some((local, mode.of_arrivals())),
            _ => None,
        }
    }

    /// What an earlier agent's entry is for. Entries of a single client need to be told whose they are.
    fn of_entry(entry: &Tunnel, home_agent: Ipv4Addr, client: Option<Ipv4Addr>) -> Option<Self> {
        match entry.kind {
            tunnel_kind::DIRECT => client.map(|home_address| Self::Direct { home_agent, home_address }),
            tunnel_kind::COPIES => client.map(|home_address| Self::Copies { home_address }),
            _ => TunnelMode::of_entry(entry).map(|mode| Self::Between {
                local: entry.local().into(),
                remote: entry.remote().into(),
                mode,
            }),
        }
    }

    /// The way its packets take; `None` without a tunnel.
    pub fn path(&self) -> Option<Path> {
        match *self {
            Self::Between { local, remote, mode } => {
                Some(Path { local, remote, ports: mode.udp.map(|udp| (udp.port, udp.peer.port())) })
            }
            Self::Direct { .. } | Self::Copies { .. } => None,
        }
    }
}

/// A tunnel in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TunnelState {
    pub key: TunnelKey,
    pub entry: Tunnel,
    pub next_hop: Option<NextHop>,
    /// Largest inner packet as far as interface and route are concerned.
    pub native_mtu: u16,
    /// Of [`TunnelKey::Copies`]: where the copies go.
    pub parts: Vec<TunnelId>,
    references: u32,
}

impl TunnelState {
    /// The largest outer packet.
    pub fn outer_mtu(&self) -> u16 {
        self.entry.inner_mtu.saturating_add(self.entry.overhead)
    }
}

/// How a tunnel reaches its next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Adjacency {
    /// Destination and source MAC, once both are known.
    pub macs: Option<(MacAddress, MacAddress)>,
    pub device: u32,
    pub device_mtu: u32,
    pub xdp_target: bool,
}

/// All tunnels, in memory and in the map.
pub(super) struct Tunnels {
    map: Array<MapData, Tunnel>,
    clamping: Clamping,
    states: HashMap<TunnelId, TunnelState>,
    ids: HashMap<TunnelKey, TunnelId>,
    /// Those over UDP, by our address and what can be told of them by a packet out of them.
    over_udp: HashMap<(Ipv4Addr, TunnelMode), TunnelId>,
    /// Which tunnels take a path.
    paths: HashMap<Path, Vec<TunnelId>>,
    free: FreeList,
    /// Which entries copy into each tunnel: the tunnel, the entry.
    copied: BTreeSet<(TunnelId, TunnelId)>,
    /// Tunnels whose adjacency has to be looked up.
    stale: BTreeSet<TunnelId>,
}

impl Tunnels {
    /// Starts with no tunnels in memory, whatever is in the map.
    pub fn new(map: Array<MapData, Tunnel>, clamping: Clamping) -> Self {
        let free = FreeList::new(map.len());
        Self {
            map,
            clamping,
            states: HashMap::new(),
            ids: HashMap::new(),
            over_udp: HashMap::new(),
            paths: HashMap::new(),
            free,
            copied: BTreeSet::new(),
            stale: BTreeSet::new(),
        }
    }

    /// Takes over tunnels that an earlier agent left in the map. They have no users yet. Entries of a single client do not
    /// say whose they are, so `clients` does.
    pub fn adopt(
        &mut self,
        home_agent: Ipv4Addr,
        mut clients: HashMap<TunnelId, Ipv4Addr>,
    ) -> Result<(), DataPlaneError> {
        let mut entries = Vec::new();
        bulk::read(&self.map, name::TUNNELS, |index: u32, entry: Tunnel| {
            if index != 0 && entry.kind != tunnel_kind::NONE {
                entries.push((index, entry));
            }
        })?;
        for (index, entry) in entries.iter().filter(|(_, entry)| entry.kind == tunnel_kind::COPIES) {
            if let Some(home_address) = clients.get(&TunnelId(*index)).copied() {
                clients.extend(parts(entry).map(|part| (part, home_address)));
            }
        }
        for (index, entry) in entries {
            let id = TunnelId(index);
            let Some(key) = TunnelKey::of_entry(&entry, home_agent, clients.get(&id).copied()) else {
                self.write(id, &Tunnel::default())?;
                continue;
            };
            self.free.take(index);
            let parts = if entry.kind == tunnel_kind::COPIES { parts(&entry).collect() } else { Vec::new() };
            let native_mtu = entry.inner_mtu;
            self.insert(id, TunnelState { key, entry, next_hop: None, native_mtu, parts, references: 0 });
        }
        Ok(())
    }

    /// The tunnel for `key`, created if need be; one more user.
    pub fn acquire(&mut self, key: TunnelKey) -> Result<TunnelId, DataPlaneError> {
        self.acquire_with(key, None)
    }

    /// The entry that copies a client's packets into several tunnels, with another user for each of them; into none, it
    /// drops them. One that exists copies into these from now on.
    pub fn acquire_copies(
        &mut self,
        home_address: Ipv4Addr,
        keys: impl Iterator<Item = TunnelKey>,
    ) -> Result<TunnelId, DataPlaneError> {
        let mut acquired = Vec::with_capacity(COPIES_LENGTH);
        let result = keys
            .map(|key| self.acquire(key))
            .try_for_each(|id| id.map(|id| acquired.push(id)))
            .and_then(|()| self.acquire_with(TunnelKey::Copies { home_address }, Some(&acquired)));
        if result.is_err() {
            acquired.into_iter().try_for_each(|id| self.release(id))?;
        }
        result
    }

    fn acquire_with(&mut self, key: TunnelKey, parts: Option<&[TunnelId]>) -> Result<TunnelId, DataPlaneError> {
        if let Some(id) = self.ids.get(&key).copied() {
            let mut former = Vec::new();
            if let Some(state) = self.states.get_mut(&id) {
                state.references += 1;
                if let Some(parts) = parts {
                    former = std::mem::replace(&mut state.parts, parts.to_vec());
                    for part in &former {
                        self.copied.remove(&(*part, id));
                    }
                    self.copied.extend(parts.iter().map(|part| (*part, id)));
                    state.entry = Tunnel {
                        inner_mtu: state.entry.inner_mtu,
                        segment_limit: state.entry.segment_limit,
                        ..copies(parts)
                    };
                    let entry = state.entry;
                    self.write(id, &entry)?;
                    self.limit_copies(id)?;
                }
            }
            former.into_iter().try_for_each(|part| self.release(part))?;
            return Ok(id);
        }
        let id = TunnelId(self.free.next().ok_or(DataPlaneError::TunnelsExhausted(self.map.len() - 1))?);
        let mut entry = parts.map_or_else(|| template(key), copies);
        entry.segment_limit = self.clamping.limit(&key, entry.inner_mtu);
        let parts = parts.unwrap_or_default().to_vec();
        if let Err(error) = self.write(id, &entry) {
            self.free.give_back(id.0);
            return Err(error);
        }
        let native_mtu = entry.inner_mtu;
        self.insert(id, TunnelState { key, entry, next_hop: None, native_mtu, parts, references: 1 });
        Ok(id)
    }

    fn insert(&mut self, id: TunnelId, state: TunnelState) {
        self.enlist(state.key, id);
        if let Some(path) = state.key.path() {
            self.paths.entry(path).or_default().push(id);
        }
        self.copied.extend(state.parts.iter().map(|part| (*part, id)));
        self.states.insert(id, state);
        self.stale.insert(id);
    }

    /// One user less; without users the tunnel is removed.
    pub fn release(&mut self, id: TunnelId) -> Result<(), DataPlaneError> {
        if let Some(state) = self.states.get_mut(&id) {
            state.references = state.references.saturating_sub(1);
            if state.references == 0 {
                return self.remove(id);
            }
        }
        Ok(())
    }

    /// Removes adopted tunnels that nobody uses.
    pub fn remove_unused(&mut self) -> Result<(), DataPlaneError> {
        let unused: Vec<_> = self.states.iter().filter(|(_, state)| state.references == 0).map(|(id, _)| *id).collect();
        unused.into_iter().try_for_each(|id| self.remove(id))
    }

    fn remove(&mut self, id: TunnelId) -> Result<(), DataPlaneError> {
        if let Some(state) = self.states.remove(&id) {
            self.strike_off(state.key, id);
            self.leave_path(id, state.key.path());
            self.stale.remove(&id);
            for part in &state.parts {
                self.copied.remove(&(*part, id));
            }
            self.write(id, &Tunnel::default())?;
            self.free.give_back(id.0);
            state.parts.into_iter().try_for_each(|part| self.release(part))?;
        }
        Ok(())
    }

    fn enlist(&mut self, key: TunnelKey, id: TunnelId) {
        self.ids.insert(key, id);
        if let Some(arrivals) = key.arrivals() {
            self.over_udp.insert(arrivals, id);
        }
    }

    fn strike_off(&mut self, key: TunnelKey, id: TunnelId) {
        self.ids.remove(&key);
        if let Some(arrivals) = key.arrivals()
            && self.over_udp.get(&arrivals) == Some(&id)
        {
            self.over_udp.remove(&arrivals);
        }
    }

    /// The mode of the tunnel over UDP that a packet came out of.
    pub fn that_brought(&self, arrival: &Arrival<'_>) -> Option<TunnelMode> {
        let id = self.over_udp.get(&(arrival.exit, arrival.mode()))?;
        match self.get(*id)?.key {
            TunnelKey::Between { mode, .. } => Some(mode),
            TunnelKey::Direct { .. } | TunnelKey::Copies { .. } => None,
        }
    }

    fn leave_path(&mut self, id: TunnelId, path: Option<Path>) {
        let Some(path) = path else { return };
        if let Some(others) = self.paths.get_mut(&path) {
            others.retain(|other| *other != id);
            if others.is_empty() {
                self.paths.remove(&path);
            }
        }
    }

    /// The tunnels whose packets take a path.
    pub fn on_path(&self, path: &Path) -> &[TunnelId] {
        self.paths.get(path).map_or(&[], Vec::as_slice)
    }

    /// The smallest inner MTU that a tunnel has by its interface and route.
    pub fn smallest_native_mtu(&self) -> Option<u16> {
        let tunnels = self.states.values().filter(|state| state.key.path().is_some());
        tunnels.map(|state| state.native_mtu).min()
    }

    /// The tunnels whose inner MTU meets a condition.
    pub fn with_inner_mtu(&self, condition: impl Fn(u16) -> bool) -> Vec<TunnelId> {
        self.states.iter().filter(|(_, state)| condition(state.entry.inner_mtu)).map(|(id, _)| *id).collect()
    }

    /// The largest outer packet that may be sent on a path.
    pub fn outer_mtu(&self, path: &Path) -> u16 {
        let states = self.on_path(path).iter().filter_map(|id| self.states.get(id));
        states.map(TunnelState::outer_mtu).max().unwrap_or(u16::MAX)
    }

    /// One user more of each tunnel that an adopted entry copies into.
    pub fn adopt_parts(&mut self, id: TunnelId) {
        let parts = self.states.get(&id).map(|state| state.parts.clone()).unwrap_or_default();
        for part in parts {
            if let Some(state) = self.states.get_mut(&part) {
                state.references += 1;
            }
        }
    }

    /// Sets the largest inner packet of an entry that copies: the smallest of its tunnels'. Returns whether it is another
    /// one now.
    pub fn limit_copies(&mut self, id: TunnelId) -> Result<bool, DataPlaneError> {
        let Some(state) = self.states.get(&id) else { return Ok(false) };
        let mtu = state.parts.iter().map(|part| self.inner_mtu(*part)).min().unwrap_or(DEFAULT_INNER_MTU);
        if mtu == state.entry.inner_mtu {
            return Ok(false);
        }
        let segment_limit = self.clamping.limit(&state.key, mtu);
        let entry = Tunnel { inner_mtu: mtu, segment_limit, ..state.entry };
        self.write(id, &entry)?;
        if let Some(state) = self.states.get_mut(&id) {
            state.entry = entry;
        }
        Ok(true)
    }

    /// The entries that copy into a tunnel.
    pub fn copying_into(&self, part: TunnelId) -> Vec<TunnelId> {
        self.copied.range((part, TunnelId(0))..=(part, TunnelId(u32::MAX))).map(|(_, copies)| *copies).collect()
    }

    /// A tunnel in use.
    pub fn get(&self, id: TunnelId) -> Option<&TunnelState> {
        self.states.get(&id)
    }

    /// The number of a tunnel in use.
    pub fn id(&self, key: TunnelKey) -> Option<TunnelId> {
        self.ids.get(&key).copied()
    }

    /// All tunnels in use.
    pub fn iter(&self) -> impl Iterator<Item = (TunnelId, &TunnelState)> {
        self.states.iter().map(|(id, state)| (*id, state))
    }

    /// The entries of all tunnels in use, by number.
    pub fn entries(&self) -> impl Iterator<Item = (&u32, &Tunnel)> {
        self.states.iter().map(|(id, state)| (&id.0, &state.entry))
    }

    /// Largest inner packet of a tunnel.
    pub fn inner_mtu(&self, id: TunnelId) -> u16 {
        self.states.get(&id).map_or(DEFAULT_INNER_MTU, |state| state.entry.inner_mtu)
    }

    /// Sets how a tunnel reaches its next hop, and what routers beyond have told of the path's MTU. Returns whether its
    /// inner MTU, native or not, is another one now.
    pub fn set_adjacency(
        &mut self,
        id: TunnelId,
        next_hop: Option<NextHop>,
        adjacency: Adjacency,
        learned_mtu: Option<u16>,
    ) -> Result<bool, DataPlaneError> {
        let Some(state) = self.states.get_mut(&id) else { return Ok(false) };
        state.next_hop = next_hop;
        let old = state.entry;
        let mut entry = with_adjacency(old, next_hop.and_then(|hop| hop.mtu), adjacency);
        let native = entry.inner_mtu;
        let former_native = std::mem::replace(&mut state.native_mtu, native);
        if let Some(learned) = learned_mtu {
            entry.inner_mtu = learned.saturating_sub(entry.overhead).max(MINIMUM_MTU).min(entry.inner_mtu);
        }
        entry.segment_limit = self.clamping.limit(&state.key, entry.inner_mtu);
        if entry != old {
            state.entry = entry;
            self.write(id, &entry)?;
        }
        Ok((entry.inner_mtu, native) != (old.inner_mtu, former_native))
    }

    /// Marks tunnels whose adjacency has to be looked up again.
    pub fn mark_stale(&mut self, concerned: impl Fn(&TunnelState) -> bool) {
        self.stale.extend(self.states.iter().filter(|(_, state)| concerned(state)).map(|(id, _)| *id));
    }

    /// Marks one tunnel.
    pub fn mark(&mut self, id: TunnelId) {
        self.stale.insert(id);
    }

    /// The same for the tunnels whose packets take a path.
    pub fn mark_path_stale(&mut self, path: &Path) {
        self.stale.extend(self.paths.get(path).into_iter().flatten());
    }

    /// A tunnel whose adjacency has to be looked up.
    pub fn next_stale(&mut self) -> Option<TunnelId> {
        self.stale.pop_first()
    }

    /// Whether this tunnel's adjacency has to be looked up. It is not marked any more.
    pub fn take_stale(&mut self, id: TunnelId) -> bool {
        self.stale.remove(&id)
    }

    /// Whether there are marked ones.
    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    fn write(&mut self, id: TunnelId, entry: &Tunnel) -> Result<(), DataPlaneError> {
        self.map.set(id.0, entry, 0).map_err(DataPlaneError::map("write", name::TUNNELS))
    }
}

/// The entry of a tunnel whose next hop is not known yet.
fn template(key: TunnelKey) -> Tunnel {
    let mut tunnel = Tunnel { inner_mtu: DEFAULT_INNER_MTU, ..Tunnel::default() };
    match key {
        TunnelKey::Direct { .. } => tunnel.kind = tunnel_kind::DIRECT,
        TunnelKey::Copies { .. } => tunnel.kind = tunnel_kind::COPIES,
        TunnelKey::Between { local, remote, mode } => {
            mode.write_to(&mut tunnel);
            tunnel.outer = outer_header(local, remote, mode.outer_protocol());
            tunnel.inner_mtu = DEFAULT_MTU - tunnel.overhead;
        }
    }
    tunnel
}

/// The entry that copies into other tunnels.
fn copies(parts: &[TunnelId]) -> Tunnel {
    let mut tunnel = Tunnel { kind: tunnel_kind::COPIES, inner_mtu: DEFAULT_INNER_MTU, ..Tunnel::default() };
    for (place, part) in tunnel.outer.chunks_exact_mut(4).zip(parts).take(COPIES_LENGTH) {
        place.copy_from_slice(&part.0.to_ne_bytes());
    }
    tunnel
}

/// The tunnels that an entry copies into.
pub(super) fn parts(entry: &Tunnel) -> impl Iterator<Item = TunnelId> {
    (0..COPIES_LENGTH).map(|index| entry.part(index)).filter(|part| *part != 0).map(TunnelId)
}

/// The outer header with its variable fields zero and, in place of the checksum, the folded sum of the others.
fn outer_header(local: Ipv4Addr, remote: Ipv4Addr, protocol: u8) -> [u8; 20] {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[8] = OUTER_TTL;
    header[9] = protocol;
    header[12..16].copy_from_slice(&local.octets());
    header[16..20].copy_from_slice(&remote.octets());
    let sum = !checksum::internet(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn with_adjacency(mut entry: Tunnel, path_mtu: Option<u32>, adjacency: Adjacency) -> Tunnel {
    entry.flags &= !(tunnel_flags::ADJACENT | tunnel_flags::XDP_TARGET);
    entry.ethernet = [0; 14];
    entry.ifindex = adjacency.device;
    if adjacency.device_mtu != 0 {
        let mtu = path_mtu.unwrap_or(u32::MAX).min(adjacency.device_mtu).saturating_sub(u32::from(entry.overhead));
        entry.inner_mtu = mtu.clamp(MINIMUM_MTU.into(), u16::MAX.into()) as u16;
    }
    if let Some((destination, source)) = adjacency.macs {
        entry.ethernet = ethernet_header(destination, source);
        entry.flags |= tunnel_flags::ADJACENT;
        if adjacency.xdp_target {
            entry.flags |= tunnel_flags::XDP_TARGET;
        }
    }
    entry
}

/// The Ethernet header of an IPv4 frame.
pub(super) fn ethernet_header(destination: MacAddress, source: MacAddress) -> [u8; 14] {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&destination.0);
    header[6..12].copy_from_slice(&source.0);
    header[12..].copy_from_slice(&[0x08, 0x00]);
    header
}

/// The destination of an Ethernet header.
pub(super) fn ethernet_destination(header: &[u8; 14]) -> MacAddress {
    let mut octets = [0; 6];
    octets.copy_from_slice(&header[..6]);
    MacAddress(octets)
}

/// Which numbers are free: those given back, then those never used.
#[derive(Debug)]
struct FreeList {
    returned: Vec<u32>,
    unused: std::ops::Range<u32>,
}

impl FreeList {
    /// Numbers 1 to `length` - 1.
    fn new(length: u32) -> Self {
        Self { returned: Vec::new(), unused: 1..length }
    }

    fn next(&mut self) -> Option<u32> {
        self.returned.pop().or_else(|| self.unused.next())
    }

    fn give_back(&mut self, number: u32) {
        self.returned.push(number);
    }

    /// Takes a particular number, which must be free. Cheap when called in ascending order.
    fn take(&mut self, number: u32) {
        if number < self.unused.start {
            self.returned.retain(|returned| *returned != number);
        } else {
            self.returned.extend(self.unused.start..number);
            self.unused.start = number + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Adjacency, DEFAULT_INNER_MTU, FreeList, TunnelKey, checksum, outer_header, template, with_adjacency};
    use crate::dataplane::mode::{Encapsulation, GreKeys, TunnelMode, UdpEnds};
    use etherparse::Ipv4HeaderSlice;
    use mipd_common::{
        mac::MacAddress,
        maps::{tunnel_flags, tunnel_kind},
    };
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
    const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const KEY: TunnelKey = TunnelKey::Between { local: LOCAL, remote: REMOTE, mode: IP_IN_IP };
    const IP_IN_IP: TunnelMode = TunnelMode { encapsulation: Encapsulation::IpInIp, udp: None };

    proptest! {
        #[test]
        fn the_template_completed_with_variable_fields_has_the_checksum_of_an_independent_implementation(
            local: [u8; 4], remote: [u8; 4], protocol: u8, tos: u8, length in 40u16.., id: u16, df: bool,
        ) {
            let mut header = outer_header(local.into(), remote.into(), protocol);
            let partial = u16::from_be_bytes([header[10], header[11]]);
            header[1] = tos;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            let fragment = if df { 0x4000u16 } else { 0 };
            header[6..8].copy_from_slice(&fragment.to_be_bytes());
            let mut sum = u32::from(partial) + u32::from(tos) + u32::from(length) + u32::from(id) + u32::from(fragment);
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            let parsed = Ipv4HeaderSlice::from_slice(&header).unwrap();
            prop_assert_eq!(parsed.header_checksum(), parsed.to_header().calc_header_checksum());
            prop_assert_eq!(parsed.protocol().0, protocol);
            prop_assert_eq!(parsed.source(), local);
            prop_assert_eq!(parsed.destination(), remote);
        }
    }

    #[test]
    fn a_whole_header_sums_to_all_ones() {
        let mut header = outer_header(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7), 4);
        let partial = u16::from_be_bytes([header[10], header[11]]);
        header[10..12].copy_from_slice(&(!partial).to_be_bytes());
        assert_eq!(!checksum::internet(&[&header]), 0xffff);
    }

    #[test]
    fn an_adjacency_fills_ethernet_header_flags_and_mtu_and_its_loss_clears_them() {
        let adjacency = Adjacency {
            macs: Some((MacAddress([1, 2, 3, 4, 5, 6]), MacAddress([2; 6]))),
            device: 7,
            device_mtu: 1_500,
            xdp_target: true,
        };
        let entry = with_adjacency(template(KEY), None, adjacency);
        assert_eq!(entry.ethernet, [1, 2, 3, 4, 5, 6, 2, 2, 2, 2, 2, 2, 8, 0]);
        assert_eq!(entry.flags, tunnel_flags::ADJACENT | tunnel_flags::XDP_TARGET);
        assert_eq!((entry.ifindex, entry.inner_mtu), (7, 1_480));
        let lost = with_adjacency(entry, None, Adjacency { macs: None, ..adjacency });
        assert_eq!((lost.flags, lost.ethernet, lost.ifindex), (0, [0; 14], 7));
        assert_eq!(lost.outer, entry.outer);
    }

    #[test]
    fn the_smaller_of_path_and_device_mtu_counts_and_direct_delivery_has_no_overhead() {
        let adjacency = Adjacency { device: 7, device_mtu: 9_000, ..Adjacency::default() };
        assert_eq!(with_adjacency(template(KEY), Some(1_400), adjacency).inner_mtu, 1_380);
        assert_eq!(with_adjacency(template(KEY), Some(10), adjacency).inner_mtu, 68);
        assert_eq!(with_adjacency(template(KEY), None, Adjacency::default()).inner_mtu, DEFAULT_INNER_MTU);
        let direct = template(TunnelKey::Direct {
            home_agent: Ipv4Addr::new(10, 1, 0, 1),
            home_address: Ipv4Addr::new(10, 1, 0, 5),
        });
        assert_eq!(direct.kind, tunnel_kind::DIRECT);
        assert_eq!(with_adjacency(direct, None, adjacency).inner_mtu, 9_000);
    }

    #[test]
    fn every_mode_makes_its_own_tunnel_with_its_protocol_and_mtu_and_is_recognised_after_a_restart() {
        let keys = |send, receive| Encapsulation::Gre(Some(GreKeys { send, receive }));
        let peer = |port| Some(UdpEnds { port: 434, peer: SocketAddrV4::new(REMOTE, port) });
        let modes = [
            (Encapsulation::IpInIp, None, 4, 1_480),
            (Encapsulation::Gre(None), None, 47, 1_476),
            (keys(1, 2), None, 47, 1_472),
            (keys(1, 3), None, 47, 1_472),
            (Encapsulation::Minimal, None, 55, 1_480),
            (Encapsulation::IpInIp, peer(434), 17, 1_468),
            (Encapsulation::IpInIp, peer(40_000), 17, 1_468),
            (Encapsulation::Gre(None), peer(434), 17, 1_464),
            (keys(1, 2), peer(434), 17, 1_460),
            (Encapsulation::Minimal, peer(434), 17, 1_468),
        ];
        let adjacency = Adjacency { device: 7, device_mtu: 1_500, ..Adjacency::default() };
        let mut known = std::collections::HashSet::new();
        for (encapsulation, udp, protocol, mtu) in modes {
            let key = TunnelKey::Between { local: LOCAL, remote: REMOTE, mode: TunnelMode { encapsulation, udp } };
            assert!(known.insert(key), "{key:?} is another one's");
            let entry = template(key);
            assert_eq!((entry.outer[9], entry.inner_mtu), (protocol, mtu), "{key:?}");
            let adjacent = with_adjacency(entry, None, adjacency);
            assert_eq!((adjacent.flags, adjacent.inner_mtu), (entry.flags, mtu), "{key:?}");
            assert_eq!(TunnelKey::of_entry(&adjacent, LOCAL, None), Some(key));
        }
    }

    #[test]
    fn entries_of_a_single_client_are_recognised_only_with_it() {
        let client = Ipv4Addr::new(10, 1, 0, 5);
        for key in
            [TunnelKey::Direct { home_agent: LOCAL, home_address: client }, TunnelKey::Copies { home_address: client }]
        {
            assert_eq!(TunnelKey::of_entry(&template(key), LOCAL, Some(client)), Some(key));
            assert_eq!(TunnelKey::of_entry(&template(key), LOCAL, None), None);
        }
    }

    #[test]
    fn numbers_begin_at_one_and_are_used_again() {
        let mut free = FreeList::new(4);
        assert_eq!([free.next(), free.next(), free.next(), free.next()], [Some(1), Some(2), Some(3), None]);
        free.give_back(2);
        assert_eq!([free.next(), free.next()], [Some(2), None]);
    }

    #[test]
    fn numbers_taken_by_an_earlier_agent_are_not_given_out() {
        let mut free = FreeList::new(6);
        free.take(2);
        free.take(4);
        let mut rest: Vec<_> = std::iter::from_fn(|| free.next()).collect();
        rest.sort_unstable();
        assert_eq!(rest, [1, 3, 5]);
    }
}
