//! Randomness from a seed: one independent stream per purpose, so that leaving out one client changes nothing for the
//! others.
//!
//! The generator and all that is drawn from it are integer arithmetic of our own: a seed means the same run on every
//! machine, whatever becomes of any library.

use std::time::Duration;

/// What a stream is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The campus: clocks and options.
    Campus = 1,
    /// A client's ways.
    Client = 2,
    /// What becomes of the messages about a client.
    ClientMessages = 3,
    /// What becomes of a subnet's other messages.
    SubnetMessages = 4,
    /// Seeds of the roles.
    Role = 5,
    /// What fails when.
    Faults = 6,
    /// What hostile nodes do.
    Attacks = 7,
}

/// A stream of pseudo-random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of one purpose and one thing.
    pub fn new(seed: u64, purpose: Purpose, index: usize) -> Self {
        let mut stream = Self(seed ^ ((purpose as u64) << 56) ^ ((index as u64) << 20));
        let first = stream.number();
        Self(first ^ seed.rotate_left(17))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.number()) * bound as u128) >> 64) as usize
    }

    /// One of the items.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Whether something happens that happens `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million as usize
    }

    /// A duration from `shortest` to `longest`, uniformly.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_nanos() as usize;
        shortest + Duration::from_nanos(self.below(span.saturating_add(1)) as u64)
    }

    /// A whole number from `-limit` to `limit`.
    pub fn around_zero(&mut self, limit: u32) -> i64 {
        (self.below(2 * limit as usize + 1) as u32).cast_signed().wrapping_sub_unsigned(limit).into()
    }

    /// A waiting time of this mean, exponentially distributed (by a piecewise linear logarithm).
    pub fn waiting(&mut self, mean: Duration) -> Duration {
        let number = self.number() | 1;
        let zeros = number.leading_zeros();
        let mantissa = (number << zeros) >> 32;
        // -log2 of the number as a fraction of 2^64, in units of 2^-31.
        let logarithm = (u64::from(zeros) << 31) + ((1 << 32) - mantissa);
        let nanoseconds = (mean.as_nanos() * u128::from(logarithm) * 693 / 1000) >> 31;
        Duration::from_nanos(nanoseconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_have_their_mean() {
        let mut stream = Stream::new(1, Purpose::Client, 2);
        let mean = Duration::from_secs(100);
        let total: Duration = (0..100_000).map(|_| stream.waiting(mean)).sum();
        assert!((95..=105).contains(&(total / 100_000).as_secs()), "{total:?}");
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).number();
        let mut all = vec![
            first(1, Purpose::Client, 1),
            first(2, Purpose::Client, 1),
            first(1, Purpose::Client, 2),
            first(1, Purpose::Faults, 1),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
