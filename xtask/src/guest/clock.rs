//! The clock of an emulated processor: its time stamp counter is this machine's.
//!
//! A kernel measures the counter against a timer when it boots. On a busy machine, where an emulator stands still now and then, it
//! is wrong by up to several times, and all its time with it. So the kernel is told.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Long enough for a tenth of a per cent.
const MEASURE: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 3;

/// Ticks of the time stamp counter per millisecond; `None` if this processor has none, or it does not tick steadily.
pub fn frequency() -> Option<u64> {
    let attempts: Vec<u64> = (0..ATTEMPTS).map(|_| measure()).collect::<Option<_>>()?;
    let (least, most) = (*attempts.iter().min()?, *attempts.iter().max()?);
    (least > 0 && most - least <= most / 100).then_some(least.midpoint(most))
}

fn measure() -> Option<u64> {
    let (ticks, start) = (ticks()?, Instant::now());
    thread::sleep(MEASURE);
    let (passed, time) = (self::ticks()?.checked_sub(ticks)?, start.elapsed());
    u64::try_from(u128::from(passed) * 1_000_000 / time.as_nanos()).ok()
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::unnecessary_wraps, reason = "on other processors there is none")]
fn ticks() -> Option<u64> {
    // SAFETY: every x86-64 processor has the instruction.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_has_a_counter_has_a_plausible_one() {
        let plausible = 100_000..20_000_000;
        assert!(frequency().is_none_or(|frequency| plausible.contains(&frequency)));
    }
}
