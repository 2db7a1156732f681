//! Empties the maps of a loaded object, whatever their types: loading it anew for every case would cost a verifier's run.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::{Map, RingBuf};

const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;

/// The fields of `union bpf_attr` for commands on one element.
#[repr(C)]
struct Element {
    map: u32,
    reserved: u32,
    key: u64,
    /// The value, or where the next key goes.
    value: u64,
    flags: u64,
}

/// The fields of `union bpf_attr` for commands on many elements.
#[repr(C)]
struct Batch {
    key_in: u64,
    key_out: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Removes every entry and zeroes every array.
pub fn clear(object: &mut Ebpf) -> Result<()> {
    for (name, map) in object.maps_mut() {
        let cleared = match map {
            Map::RingBuf(_) => {
                RingBuf::try_from(map).map_err(Into::into).map(|mut ring| while ring.next().is_some() {})
            }
            Map::Array(data) => fill(data.fd().as_fd().as_raw_fd(), &data.info()?, 1),
            Map::PerCpuArray(data) => {
                fill(data.fd().as_fd().as_raw_fd(), &data.info()?, aya::util::nr_cpus().map_err(|(_, error)| error)?)
            }
            Map::HashMap(data) | Map::LruHashMap(data) | Map::LpmTrie(data) => {
                empty(data.fd().as_fd().as_raw_fd(), data.info()?.key_size())
            }
            _ => bail!("map {name} is of a kind that nobody has told how to be emptied"),
        };
        cleared.with_context(|| format!("cannot empty map {name}"))?;
    }
    Ok(())
}

fn fill(map: RawFd, info: &aya::maps::MapInfo, copies: usize) -> Result<()> {
    // Values of per-CPU maps stand in multiples of eight bytes.
    let size = if copies == 1 { info.value_size() as usize } else { info.value_size().next_multiple_of(8) as usize };
    let entries = info.max_entries();
    if copies == 1 && fill_at_once(map, entries, size).is_ok() {
        return Ok(());
    }
    let zeroes = vec![0_u8; size * copies];
    for index in 0..entries {
        command(BPF_MAP_UPDATE_ELEM, map, &index.to_ne_bytes(), zeroes.as_ptr().addr())?;
    }
    Ok(())
}

/// Zeroes a whole array by one system call, which kernels know from 5.6 on.
fn fill_at_once(map: RawFd, entries: u32, size: usize) -> io::Result<()> {
    let keys: Vec<u32> = (0..entries).collect();
    let zeroes = vec![0_u8; size * entries as usize];
    let batch = Batch {
        key_in: 0,
        key_out: 0,
        keys: keys.as_ptr().addr() as u64,
        values: zeroes.as_ptr().addr() as u64,
        count: entries,
        map: map.cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: as many keys and values of the map's sizes as `count` says outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_BATCH, &raw const batch, size_of::<Batch>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn empty(map: RawFd, key_size: u32) -> Result<()> {
    let mut key = vec![0_u8; key_size as usize];
    let first = |key: &mut [u8]| {
        let next = key.as_mut_ptr().addr();
        // Without a key, the next one is the first.
        command(BPF_MAP_GET_NEXT_KEY, map, &[], next)
    };
    while match first(&mut key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        found => found.map(|()| true)?,
    } {
        command(BPF_MAP_DELETE_ELEM, map, &key, 0)?;
    }
    Ok(())
}

fn command(command: libc::c_long, map: RawFd, key: &[u8], value: usize) -> io::Result<()> {
    let key = if key.is_empty() { 0 } else { key.as_ptr().addr() as u64 };
    let element = Element { map: map.cast_unsigned(), reserved: 0, key, value: value as u64, flags: 0 };
    // SAFETY: key and value are as long as the map's, and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const element, size_of::<Element>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
