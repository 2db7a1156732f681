//! How long something took, many times.

/// Longest duration that is told from longer ones, nanoseconds.
const LONGEST: usize = 20_000;

/// A histogram of durations in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    counts: Vec<u32>,
    total: u64,
}

impl Durations {
    /// Empty.
    pub fn new() -> Self {
        Self { counts: vec![0; LONGEST + 1], total: 0 }
    }

    /// Adds one.
    pub fn add(&mut self, nanoseconds: u32) {
        self.counts[(nanoseconds as usize).min(LONGEST)] += 1;
        self.total += 1;
    }

    /// Adds all of another one.
    pub fn add_all(&mut self, others: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&others.counts) {
            *count += other;
        }
        self.total += others.total;
    }

    /// The mean of all but the slowest hundredth, which interrupts and the like have met. A clock may advance in steps of
    /// ten nanoseconds; means see through that, medians do not. 0 without any.
    pub fn mean(&self) -> f64 {
        let wanted = (self.total * 99).div_ceil(100);
        let (mut taken, mut sum) = (0, 0);
        for (nanoseconds, &count) in self.counts.iter().enumerate() {
            let here = u64::from(count).min(wanted - taken);
            taken += here;
            sum += here * nanoseconds as u64;
        }
        sum as f64 / taken.max(1) as f64
    }

    /// The duration below which `share` of them lie; 0 without any.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = self.total as f64 * share;
        let mut seen = 0;
        for (nanoseconds, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen as f64 >= wanted {
                return nanoseconds as f64;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::Durations;

    #[test]
    fn mean_and_quantiles_are_those_of_the_durations() {
        let mut durations = Durations::new();
        assert!(durations.quantile(0.5).abs() + durations.mean().abs() < f64::EPSILON);
        for nanoseconds in 0..100 {
            durations.add(nanoseconds);
        }
        assert!((durations.quantile(0.5) - 49.0).abs() < f64::EPSILON);
        assert!((durations.mean() - 49.0).abs() < f64::EPSILON);
        let mut more = Durations::new();
        more.add(u32::MAX);
        durations.add_all(&more);
        assert!((durations.quantile(1.0) - 20_000.0).abs() < f64::EPSILON);
        assert!((durations.mean() - 49.5).abs() < f64::EPSILON);
    }
}
