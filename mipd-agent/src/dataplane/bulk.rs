//! Many entries of a map by one system call.
//!
//! `aya` has no batch calls, so these are made here: `BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_UPDATE_BATCH` (Linux 5.6). Where
//! the kernel refuses them for a kind of map, its entries are read and written one by one.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Pod,
    maps::{IterableMap, MapError},
    sys::SyscallError,
};

use super::error::DataPlaneError;

const MAP_UPDATE_ELEMENT: libc::c_long = 2;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_UPDATE_BATCH: libc::c_long = 26;

/// Entries per system call, unless a bucket of a hash map holds more.
const BATCH: usize = 4096;
/// The kernel's own number for "this kind of map cannot do that", which is in no header of user space.
const ENOTSUPP: i32 = 524;

/// `bpf_attr.batch`.
#[repr(C)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// `bpf_attr` of calls about one element.
#[repr(C)]
struct ElementAttributes {
    map: u32,
    reserved: u32,
    key: u64,
    /// The value, or the place of the next key.
    value: u64,
    flags: u64,
}

/// Where a batched look-up goes on: an index, a bucket, or a key of an array.
type Position = u32;

/// Calls `each` with every entry of a map; of an array, in ascending order.
pub(super) fn read<K: Pod, V: Pod>(
    map: &impl IterableMap<K, V>,
    name: &'static str,
    mut each: impl FnMut(K, V),
) -> Result<(), DataPlaneError> {
    match read_batched(map, &mut each) {
        Err(error) if is_unsupported(&error) => read_singly(map, &mut each),
        result => result.map_err(|error| failure("BPF_MAP_LOOKUP_BATCH", error)),
    }
    .map_err(DataPlaneError::map("read", name))
}

fn read_batched<K: Pod, V: Pod>(map: &impl IterableMap<K, V>, each: &mut impl FnMut(K, V)) -> io::Result<()> {
    let map = descriptor(map);
    let mut room = BATCH;
    let mut keys: Vec<K> = Vec::new();
    let mut values: Vec<V> = Vec::new();
    let mut position: Option<Position> = None;
    loop {
        keys.reserve(room);
        values.reserve(room);
        let mut next: Position = 0;
        let mut attributes = BatchAttributes {
            in_batch: position.as_ref().map_or(0, |position| std::ptr::from_ref(position) as u64),
            out_batch: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: room as u32,
            map,
            element_flags: 0,
            flags: 0,
        };
        let result = bpf(MAP_LOOKUP_BATCH, &mut attributes);
        let is_last = match result {
            Ok(()) => false,
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => true,
                Some(libc::ENOSPC) => {
                    // A bucket is read as a whole.
                    room *= 2;
                    continue;
                }
                _ => return Err(error),
            },
        };
        let count = (attributes.count as usize).min(room);
        // SAFETY: there is room for as many, and the kernel has written `count` of each; every bit pattern is valid.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        keys.drain(..).zip(values.drain(..)).for_each(|(key, value)| each(key, value));
        if is_last {
            return Ok(());
        }
        position = Some(next);
    }
}

fn read_singly<K: Pod, V: Pod>(map: &impl IterableMap<K, V>, each: &mut impl FnMut(K, V)) -> Result<(), MapError> {
    let mut key: Option<K> = None;
    loop {
        let mut next = std::mem::MaybeUninit::<K>::uninit();
        let mut attributes = ElementAttributes {
            map: descriptor(map),
            reserved: 0,
            key: key.as_ref().map_or(0, |key| std::ptr::from_ref(key) as u64),
            value: next.as_mut_ptr() as u64,
            flags: 0,
        };
        match bpf(MAP_GET_NEXT_KEY, &mut attributes) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            Err(error) => return Err(failure("BPF_MAP_GET_NEXT_KEY", error)),
        }
        // SAFETY: the call has written it; every bit pattern is valid.
        let found = unsafe { next.assume_init() };
        match map.get(&found) {
            Ok(value) => each(found, value),
            // Removed meanwhile.
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
        key = Some(found);
    }
}

/// How many entries a map can have.
pub(super) fn size<K: Pod, V: Pod>(map: &impl IterableMap<K, V>, name: &'static str) -> Result<u32, DataPlaneError> {
    map.map().info().map(|info| info.max_entries()).map_err(DataPlaneError::map("open", name))
}

/// All entries of a map.
pub(super) fn entries<K: Pod, V: Pod>(
    map: &impl IterableMap<K, V>,
    name: &'static str,
) -> Result<Vec<(K, V)>, DataPlaneError> {
    let mut entries = Vec::new();
    read(map, name, |key, value| entries.push((key, value)))?;
    Ok(entries)
}

/// Adds or replaces entries. After an error, those before the one that could not be written are there.
pub(super) fn write<K: Pod, V: Pod>(
    map: &mut impl IterableMap<K, V>,
    name: &'static str,
    entries: impl IntoIterator<Item = (K, V)>,
) -> Result<(), DataPlaneError> {
    let descriptor = descriptor(map);
    let mut entries = entries.into_iter();
    let mut batched = true;
    loop {
        let (keys, values): (Vec<K>, Vec<V>) = entries.by_ref().take(BATCH).unzip();
        if keys.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        if batched {
            result = write_batched(descriptor, &keys, &values);
            batched = !result.as_ref().is_err_and(is_unsupported);
        }
        if !batched {
            result = keys.iter().zip(&values).try_for_each(|(key, value)| write_one(descriptor, key, value));
        }
        result.map_err(|error| DataPlaneError::map("write", name)(failure("BPF_MAP_UPDATE_BATCH", error)))?;
    }
}

fn write_batched<K: Pod, V: Pod>(map: u32, keys: &[K], values: &[V]) -> io::Result<()> {
    let mut attributes = BatchAttributes {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: keys.len() as u32,
        map,
        element_flags: 0,
        flags: 0,
    };
    bpf(MAP_UPDATE_BATCH, &mut attributes)
}

fn write_one<K: Pod, V: Pod>(map: u32, key: &K, value: &V) -> io::Result<()> {
    let mut attributes = ElementAttributes {
        map,
        reserved: 0,
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_ref(value) as u64,
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEMENT, &mut attributes)
}

fn descriptor<K: Pod, V: Pod>(map: &impl IterableMap<K, V>) -> u32 {
    map.map().fd().as_fd().as_raw_fd().cast_unsigned()
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the attributes are those of the command, their pointers point to as much as keys and values of the map
    // take (aya has compared the sizes of the types with the map's when it was opened), and the kernel keeps none.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP))
}

fn failure(call: &'static str, io_error: io::Error) -> MapError {
    SyscallError { call, io_error }.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aya::maps::{Array, HashMap, MapData};

    use super::{BATCH, read, read_singly, write};

    /// More than two batches, the last one not full.
    const ENTRIES: u32 = 2 * BATCH as u32 + 17;
    const NO_PREALLOCATION: u32 = 1;

    #[test]
    fn an_array_is_read_in_ascending_order_and_holds_what_was_written_last() {
        let mut array = Array::<MapData, u32>::create(ENTRIES, 0).expect("needs root");
        write(&mut array, "test", (0..ENTRIES).map(|index| (index, index + 1))).unwrap();
        write(&mut array, "test", [(5, 500), (ENTRIES - 1, 7)]).unwrap();
        let mut found = Vec::new();
        read(&array, "test", |index: u32, value: u32| found.push((index, value))).unwrap();
        let mut expected: Vec<_> = (0..ENTRIES).map(|index| (index, index + 1)).collect();
        expected[5].1 = 500;
        expected[ENTRIES as usize - 1].1 = 7;
        assert_eq!(found, expected);
    }

    #[test]
    fn hash_maps_of_both_kinds_give_back_every_entry_once() {
        for flags in [0, NO_PREALLOCATION] {
            let mut map = HashMap::<MapData, u32, u64>::create(ENTRIES, flags).expect("needs root");
            write(&mut map, "test", (0..ENTRIES).map(|key| (key * 7, u64::from(key)))).unwrap();
            let mut found = Vec::new();
            read(&map, "test", |key: u32, value: u64| found.push((key, value))).unwrap();
            found.sort_unstable();
            assert!(found.into_iter().eq((0..ENTRIES).map(|key| (key * 7, u64::from(key)))), "flags {flags}");
        }
    }

    #[test]
    fn a_map_without_batches_is_read_entry_by_entry() {
        let mut map = HashMap::<MapData, u32, u64>::create(ENTRIES, 0).expect("needs root");
        write(&mut map, "test", (0..ENTRIES).map(|key| (key, 3))).unwrap();
        let mut found = BTreeMap::new();
        read_singly(&map, &mut |key: u32, value: u64| {
            found.insert(key, value);
        })
        .unwrap();
        assert_eq!(found.len(), ENTRIES as usize);
        let empty = HashMap::<MapData, u32, u64>::create(1, 0).unwrap();
        read(&empty, "test", |_: u32, _: u64| panic!("there is none")).unwrap();
    }

    #[test]
    fn what_a_full_map_cannot_take_is_an_error_that_names_it() {
        let mut map = HashMap::<MapData, u32, u64>::create(10, 0).expect("needs root");
        let error = write(&mut map, "BINDINGS", (0..20).map(|key| (key, 1))).unwrap_err();
        assert!(error.to_string().contains("BINDINGS"), "{error}");
        let mut count = 0;
        read(&map, "BINDINGS", |_: u32, _: u64| count += 1).unwrap();
        assert_eq!(count, 10);
    }
}
