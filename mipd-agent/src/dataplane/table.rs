//! The writer's side of the hash tables in arrays: see [`mipd_common::table`] for what the programs see of them.

use std::{
    borrow::{Borrow, BorrowMut},
    collections::HashMap,
    io,
    marker::PhantomData,
};

use aya::{
    Pod,
    maps::{Array, MapData, MapError},
    sys::SyscallError,
};
use mipd_common::table::{BUCKET, Entry, FIRST, Hash, Key, buckets};

use super::{bulk, error::DataPlaneError};

/// How many entries are looked at to find one that can make room.
const SEARCHED: usize = 1_024;

/// A table. There must be only one writer.
pub struct Table<T, K, V: Pod, const REST: usize> {
    map: Array<T, Entry<V, REST>>,
    hash: Hash,
    limit: usize,
    /// Where each key is.
    places: HashMap<u64, u32>,
    /// The key at each place, 0 = free.
    keys: Vec<u64>,
    of: PhantomData<K>,
}

/// The entries of a table, as its array holds them.
pub(super) fn entries<T: Borrow<MapData>, K: Key, V: Pod, const REST: usize>(
    map: &Array<T, Entry<V, REST>>,
    name: &'static str,
) -> Result<Vec<(K, V)>, DataPlaneError> {
    let mut entries = Vec::new();
    bulk::read(map, name, |place: u32, entry: Entry<V, REST>| {
        if place >= FIRST && entry.key != 0 {
            entries.push((K::of(entry.key), entry.value));
        }
    })?;
    Ok(entries)
}

impl<T: BorrowMut<MapData>, K: Key, V: Pod + Default, const REST: usize> Table<T, K, V, REST> {
    /// Takes over an array, which may be empty or hold a table; `limit`: how many entries there may be.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read or write the array.
    pub fn open(mut map: Array<T, Entry<V, REST>>, name: &'static str, limit: usize) -> Result<Self, DataPlaneError> {
        let mut head = map.get(&0, 0).map_err(DataPlaneError::map("read", name))?;
        if head.key == 0 {
            head = Entry { key: rand::random::<u64>() | 1, buckets: buckets(map.len()), ..entry(0, V::default()) };
            map.set(0, head, 0).map_err(DataPlaneError::map("write", name))?;
        }
        let mut keys = vec![0; map.len() as usize];
        let mut places = HashMap::new();
        let mut twice = Vec::new();
        bulk::read(&map, name, |place: u32, found: Entry<V, REST>| {
            if place >= FIRST && found.key != 0 {
                keys[place as usize] = found.key;
                twice.extend(places.insert(found.key, place));
            }
        })?;
        // The writer before was killed while it moved these: one would be left behind when the other is changed.
        for place in twice {
            keys[place as usize] = 0;
            map.set(place, entry(0, V::default()), 0).map_err(DataPlaneError::map("write", name))?;
        }
        let hash = Hash { multiplier: head.key, buckets: head.buckets };
        Ok(Self { map, hash, limit, places, keys, of: PhantomData })
    }

    /// Adds or replaces an entry.
    ///
    /// # Errors
    ///
    /// `E2BIG` when the table is full, as a hash map of the kernel's says it.
    pub fn insert(&mut self, key: K, value: V) -> Result<(), MapError> {
        let key = key.word();
        if let Some(place) = self.places.get(&key) {
            // In place, as in any array: a packet at this very moment may still meet some of the old value.
            return self.map.set(*place, entry(key, value), 0);
        }
        if key == 0 || self.places.len() >= self.limit {
            return Err(full());
        }
        let place = self.make_room(key)?;
        self.put(place, key, value)
    }

    /// Removes an entry. One that is not there is fine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to write the array.
    pub fn remove(&mut self, key: K) -> Result<(), MapError> {
        let Some(place) = self.places.get(&key.word()).copied() else { return Ok(()) };
        // Whoever has just found it goes on with its value.
        let value = self.map.get(&place, 0)?.value;
        self.map.set(place, entry(0, value), 0)?;
        self.places.remove(&key.word());
        self.keys[place as usize] = 0;
        Ok(())
    }

    /// The value of an entry, as the programs have left it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read the array.
    pub fn get(&self, key: K) -> Result<Option<V>, MapError> {
        self.places.get(&key.word()).map(|place| Ok(self.map.get(place, 0)?.value)).transpose()
    }

    /// All entries.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read the array.
    pub fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.places.iter().map(|(key, place)| Ok((K::of(*key), self.map.get(place, 0)?.value))).collect()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Writes an entry into a free place: a program that meets it half-written must not take it for one.
    fn put(&mut self, place: u32, key: u64, value: V) -> Result<(), MapError> {
        self.map.set(place, entry(0, value), 0)?;
        self.map.set(place, entry(key, value), 0)?;
        self.keys[place as usize] = key;
        self.places.insert(key, place);
        Ok(())
    }

    /// A free place for a key. Others make room by going to their other bucket.
    fn make_room(&mut self, key: u64) -> Result<u32, MapError> {
        // Breadth first, so that few have to move. A step is a place, and the step before it.
        let mut steps: Vec<(u32, Option<usize>)> = self.choices(key).map(|place| (place, None)).collect();
        let mut index = 0;
        let free = loop {
            let Some(&(place, _)) = steps.get(index) else { return Err(full()) };
            let occupant = self.keys[place as usize];
            if occupant == 0 {
                break index;
            }
            if steps.len() < SEARCHED {
                let elsewhere = self.choices(occupant).filter(|other| other / BUCKET != place / BUCKET);
                steps.extend(elsewhere.map(|place| (place, Some(index))));
            }
            index += 1;
        };
        let (mut place, mut before) = steps[free];
        while let Some(step) = before {
            let (from, further) = steps[step];
            let key = self.keys[from as usize];
            let value = self.map.get(&from, 0)?.value;
            // There for a moment twice, and never not at all.
            self.put(place, key, value)?;
            self.keys[from as usize] = 0;
            self.map.set(from, entry(0, value), 0)?;
            (place, before) = (from, further);
        }
        Ok(place)
    }

    /// The places that a key may be at, the better ones first.
    fn choices(&self, key: u64) -> impl Iterator<Item = u32> + use<T, K, V, REST> {
        let (first, second) = (self.hash.first(key), self.hash.second(key));
        (first..first + BUCKET).chain(second..second + BUCKET)
    }
}

fn entry<V, const REST: usize>(key: u64, value: V) -> Entry<V, REST> {
    Entry { key, buckets: 0, reserved: 0, value, rest: [0; REST] }
}

fn full() -> MapError {
    let io_error = io::Error::from_raw_os_error(libc::E2BIG);
    SyscallError { call: "BPF_MAP_UPDATE_ELEM", io_error }.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aya::maps::{Array, MapData};
    use mipd_common::{
        maps::{Mac, VisitorSource},
        table::{Entry, Hash, VisitorSourceEntry, length},
    };
    use proptest::prelude::{Just, Strategy as _, any, prop_assert_eq, prop_oneof, proptest};

    use super::{Table, entries, entry};

    type Sources = Table<MapData, Mac, VisitorSource, 4>;

    fn mac(number: u16) -> Mac {
        let [high, low] = number.to_be_bytes();
        Mac::new([2, 0, 0, 0, high, low])
    }

    fn source(tunnel: u32) -> VisitorSource {
        VisitorSource { tunnel, ..VisitorSource::default() }
    }

    fn empty(limit: u32) -> Sources {
        let map = Array::<MapData, VisitorSourceEntry>::create(length(limit), 0).unwrap();
        Table::open(map, "test", limit as usize).unwrap()
    }

    fn is_root() -> bool {
        let is_root = nix::unistd::geteuid().is_root();
        if !is_root {
            eprintln!("SKIPPED: BPF maps need root");
        }
        is_root
    }

    #[test]
    fn an_entry_that_a_killed_writer_left_twice_is_there_once() {
        if !is_root() {
            return;
        }
        let mut table = empty(10);
        table.insert(mac(1), source(1)).unwrap();
        let (key, place) = table.places.iter().map(|(key, place)| (*key, *place)).next().unwrap();
        let other = table.choices(key).find(|other| *other != place).unwrap();
        table.map.set(other, entry(key, source(1)), 0).unwrap();
        let mut table: Sources = Table::open(table.map, "test", 10).unwrap();
        assert_eq!((table.len(), entries::<_, Mac, _, 4>(&table.map, "test").unwrap().len()), (1, 1));
        table.insert(mac(1), source(2)).unwrap();
        assert_eq!(find(&table, mac(1)), Some(source(2)));
        table.remove(mac(1)).unwrap();
        assert_eq!(find(&table, mac(1)), None);
    }

    /// What a program finds, by what is in the array alone.
    fn find(table: &Sources, key: Mac) -> Option<VisitorSource> {
        use mipd_common::table::Key as _;
        let head = table.map.get(&0, 0).unwrap();
        let hash = Hash { multiplier: head.key, buckets: head.buckets };
        let key = key.word();
        [hash.first(key), hash.second(key)]
            .into_iter()
            .flat_map(|bucket| [bucket, bucket + 1])
            .map(|place| table.map.get(&place, 0).unwrap())
            .find(|entry: &Entry<_, 4>| entry.key == key)
            .map(|entry| entry.value)
    }

    #[test]
    fn a_full_table_holds_every_entry_and_refuses_the_next_one() {
        if !is_root() {
            return;
        }
        for limit in [1, 2, 90, 3_000, 20_000] {
            let mut table = empty(limit);
            for number in 0..limit {
                table.insert(mac(number as u16), source(number)).unwrap_or_else(|error| {
                    panic!("{number} of {limit}: {error}");
                });
            }
            assert!(table.insert(mac(60_000), source(0)).is_err());
            table.insert(mac(0), source(7)).unwrap();
            assert_eq!(find(&table, mac(0)), Some(source(7)));
            for number in 1..limit {
                assert_eq!(find(&table, mac(number as u16)), Some(source(number)), "{number} of {limit}");
            }
            table.remove(mac(0)).unwrap();
            table.insert(mac(60_000), source(0)).unwrap();
        }
    }

    #[test]
    fn nobody_has_the_key_zero() {
        if !is_root() {
            return;
        }
        let mut table = empty(10);
        assert!(table.insert(Mac::new([0; 6]), source(1)).is_err());
        assert!(table.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u32),
        Remove(u16),
        Reopen,
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
        #[test]
        fn a_table_does_what_a_map_does(
            steps in proptest::collection::vec(
                prop_oneof![
                    8 => (0_u16..150, any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
                    4 => (0_u16..150).prop_map(Step::Remove),
                    1 => Just(Step::Reopen),
                ],
                1..300,
            )
        ) {
            if !nix::unistd::geteuid().is_root() {
                return Ok(());
            }
            let mut table = empty(90);
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        if model.len() < 90 || model.contains_key(&key) {
                            table.insert(mac(key), source(value)).unwrap();
                            model.insert(key, value);
                        } else {
                            prop_assert_eq!(table.insert(mac(key), source(value)).is_err(), true);
                        }
                    }
                    Step::Remove(key) => {
                        table.remove(mac(key)).unwrap();
                        model.remove(&key);
                    }
                    Step::Reopen => table = Table::open(table.map, "test", 90).unwrap(),
                }
            }
            for key in 0..150 {
                prop_assert_eq!(find(&table, mac(key)), model.get(&key).map(|value| source(*value)));
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(entries::<_, Mac, _, 4>(&table.map, "test").unwrap().len(), model.len());
            prop_assert_eq!(table.entries().unwrap().len(), model.len());
        }
    }
}
