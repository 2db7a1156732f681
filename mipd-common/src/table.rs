//! Hash tables in BPF arrays: visitors and stations.
//!
//! A map of type hash costs the program a call, a hash of the kernel's that suits keys of any length, and three cache lines:
//! bucket, element, and what lies behind. Here an entry is one cache line or half of one, and the look-up is compiled into the
//! program, which takes a multiplication.
//!
//! An entry is in one of two buckets of [`BUCKET`] entries ("cuckoo hashing"), rather in the first. The agent, the only writer,
//! moves entries to make room; a key of zero marks a free place. Entry 0 of the array is the head of the table.

use crate::maps::{Mac, Station, Visitor, VisitorKey, VisitorSource};

/// Entries in a bucket.
pub const BUCKET: u32 = 2;
/// Where the first bucket begins: a multiple of [`BUCKET`], so that small entries of one bucket share a cache line.
pub const FIRST: u32 = BUCKET;
/// With fewer buckets, it would happen that entries find no room though there is some.
const FEWEST_BUCKETS: u32 = 256;

/// What an element of the array holds: an entry, or the head of the table.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<V, const REST: usize> {
    /// [`Key::word`] of the entry; 0 = free. In the head, [`Hash::multiplier`].
    pub key: u64,
    /// In the head: [`Hash::buckets`].
    pub buckets: u32,
    /// Zero.
    pub reserved: u32,
    /// What belongs to the key.
    pub value: V,
    /// Zero.
    pub rest: [u8; REST],
}

/// Visitors, by home agent and home address.
pub type VisitorEntry = Entry<Visitor, 16>;
/// What visitors may send, by Ethernet address.
pub type VisitorSourceEntry = Entry<VisitorSource, 4>;
/// Stations, by Ethernet address.
pub type StationEntry = Entry<Station, 8>;

const _: () = assert!(size_of::<VisitorEntry>() == 64);
const _: () = assert!(size_of::<VisitorSourceEntry>() == 32);
const _: () = assert!(size_of::<StationEntry>() == 64);

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, the sizes above are the sums of the fields, every bit pattern is valid.
unsafe impl<V: aya::Pod, const REST: usize> aya::Pod for Entry<V, REST> {}

/// What entries are found by: eight bytes, never all of them zero.
pub trait Key: Copy {
    /// The bytes as they lie in memory.
    fn word(self) -> u64;
    /// The key that has this word.
    fn of(word: u64) -> Self;
}

impl Key for VisitorKey {
    #[inline(always)]
    fn word(self) -> u64 {
        join(self.home_agent, self.home_address)
    }

    #[inline(always)]
    fn of(word: u64) -> Self {
        let (home_agent, home_address) = split(word);
        Self { home_agent, home_address }
    }
}

impl Key for Mac {
    #[inline(always)]
    fn word(self) -> u64 {
        let own = self.octets;
        join([own[0], own[1], own[2], own[3]], [own[4], own[5], self.reserved[0], self.reserved[1]])
    }

    #[inline(always)]
    fn of(word: u64) -> Self {
        let (first, second) = split(word);
        Self {
            octets: [first[0], first[1], first[2], first[3], second[0], second[1]],
            reserved: [second[2], second[3]],
        }
    }
}

#[inline(always)]
const fn join(first: [u8; 4], second: [u8; 4]) -> u64 {
    let (first, second) = (u32::from_ne_bytes(first) as u64, u32::from_ne_bytes(second) as u64);
    if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second }
}

#[inline(always)]
const fn split(word: u64) -> ([u8; 4], [u8; 4]) {
    let (low, high) = ((word as u32).to_ne_bytes(), ((word >> 32) as u32).to_ne_bytes());
    if cfg!(target_endian = "little") { (low, high) } else { (high, low) }
}

/// Where entries may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash {
    /// Odd, and at random, so that nobody can choose addresses that all end up in the same bucket.
    pub multiplier: u64,
    /// How many buckets there are.
    pub buckets: u32,
}

impl Hash {
    /// Where the first bucket begins of an entry with this key.
    #[inline(always)]
    #[must_use]
    pub const fn first(self, key: u64) -> u32 {
        FIRST + BUCKET * self.scale(self.mix(key) >> 32)
    }

    /// Where the second one begins.
    #[inline(always)]
    #[must_use]
    pub const fn second(self, key: u64) -> u32 {
        FIRST + BUCKET * self.scale(self.mix(key) & 0xffff_ffff)
    }

    /// High bits of a product depend on all bits of the factors, low ones do not. Addresses come in rows, which one multiplication
    /// alone would turn into other rows.
    #[inline(always)]
    const fn mix(self, key: u64) -> u64 {
        let once = (key ^ key >> 32).wrapping_mul(self.multiplier);
        let twice = (once ^ once >> 32).wrapping_mul(self.multiplier);
        twice ^ twice >> 32
    }

    /// Makes a number below [`buckets`](Self::buckets) of one of 32 bits.
    #[inline(always)]
    const fn scale(self, random: u64) -> u32 {
        ((random * self.buckets as u64) >> 32) as u32
    }
}

/// How long the array is of a table of so many entries: three quarters of it can be filled.
#[must_use]
pub const fn length(entries: u32) -> u32 {
    let wanted = entries.saturating_add(entries / 3) / BUCKET;
    let buckets = if wanted < FEWEST_BUCKETS { FEWEST_BUCKETS } else { wanted + 1 };
    FIRST + BUCKET * buckets
}

/// How many buckets an array of a length has.
#[must_use]
pub const fn buckets(length: u32) -> u32 {
    length.saturating_sub(FIRST) / BUCKET
}

#[cfg(test)]
mod tests {
    use super::{BUCKET, FIRST, Hash, Key as _, buckets, length};
    use crate::maps::{Mac, VisitorKey};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn buckets_lie_in_the_array(key in any::<u64>(), multiplier in any::<u64>(), entries in 1_u32..2_000_000) {
            let hash = Hash { multiplier: multiplier | 1, buckets: buckets(length(entries)) };
            for bucket in [hash.first(key), hash.second(key)] {
                prop_assert!(bucket >= FIRST && bucket + BUCKET <= length(entries));
                prop_assert_eq!(bucket % BUCKET, 0);
            }
        }

        #[test]
        fn keys_are_the_words_that_they_give(word in any::<u64>()) {
            prop_assert_eq!(VisitorKey::of(word).word(), word);
            prop_assert_eq!(Mac::of(word).word(), word);
        }
    }

    /// What stands in neighbouring addresses must not stand in neighbouring buckets: with half as many entries as buckets, at random
    /// 9 % of them are more than two in one.
    #[test]
    fn neighbouring_addresses_spread() {
        for multiplier in [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9] {
            let hash = Hash { multiplier, buckets: 8_192 };
            let mut used = std::vec![0_u32; 2 * 8_192 + 2];
            for number in 0..4_096_u32 {
                let address = (0x0a01_0000 + number).to_be_bytes();
                let key = VisitorKey { home_agent: [10, 1, 0, 1], home_address: address }.word();
                used[hash.first(key) as usize] += 1;
            }
            let crowded: u32 = used.iter().filter(|used| **used > 2).sum();
            assert!(crowded < 500, "{crowded} of 4096 with multiplier {multiplier:x}");
        }
    }
}
