//! Time that runs on from one run of the agent to the next, whatever the wall clock does.
//!
//! Records say when a registration ends. The wall clock cannot be trusted to tell: it is set, it drifts, and on a box
//! without a battery it starts anywhere until somebody corrects it. While the machine is up, its own counter of seconds
//! since boot is exact, so the store's time is that counter plus an offset which is chosen once per boot. Across boots
//! there is only the wall clock; it is believed if it was set from a hardware clock or is kept by a time service, and is
//! not behind what is recorded. Otherwise nobody knows how long the machine was off.

use std::{fs, time::Duration};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{
    mobility::time::{Instant, Now},
    wire::types::Identification,
};

/// What an agent leaves behind about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// The kernel's name of the boot it ran in.
    pub boot: String,
    /// What is added to the time since that boot, in units of an Identification.
    pub offset: u64,
    /// The store's time at the last commit.
    pub last: u64,
    /// Whether it ended in order, with everything written.
    pub finished: bool,
}

/// What the machine says about time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// The kernel's name of this boot.
    pub boot: String,
    /// Time since it, suspension included.
    pub since_boot: Duration,
    /// The wall clock.
    pub wall: Identification,
    /// Whether the wall clock was right at boot, or has been set since.
    pub trusted: bool,
}

/// Whether it is known how long ago the records were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Elapsed {
    Known,
    Unknown,
}

/// The store's time in this boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Era {
    boot: String,
    offset: u64,
}

impl Facts {
    /// Asks the machine.
    pub fn read(now: Now) -> Self {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        // Without a name each start counts as a boot of its own, which only makes us more careful.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        Self { boot, since_boot, wall: now.wall, trusted: has_hardware_clock() || is_synchronised() }
    }
}

impl Era {
    /// Goes on from what the last run left.
    pub fn begin(last: Option<&Run>, facts: &Facts) -> (Self, Elapsed) {
        let boot = facts.boot.clone();
        if let Some(last) = last.filter(|last| last.boot == facts.boot && !boot.is_empty()) {
            return (Self { boot, offset: last.offset }, Elapsed::Known);
        }
        let behind = last.is_some_and(|last| facts.wall.since(Identification(last.last)) < 0);
        let elapsed = if facts.trusted && !behind { Elapsed::Known } else { Elapsed::Unknown };
        (Self { boot, offset: facts.wall.0.wrapping_sub(units(facts.since_boot)) }, elapsed)
    }

    /// The store's time so long after the boot.
    pub fn time(&self, since_boot: Duration) -> Identification {
        Identification(self.offset.wrapping_add(units(since_boot)))
    }

    /// What to leave behind.
    pub fn run(&self, last: Identification, finished: bool) -> Run {
        Run { boot: self.boot.clone(), offset: self.offset, last: last.0, finished }
    }
}

/// A duration in units of an Identification.
fn units(duration: Duration) -> u64 {
    let zero = Now { instant: Instant::default(), wall: Identification(0) };
    zero.wall_at(Instant(duration)).0
}

/// Whether the kernel has set its clock from a hardware clock at boot.
fn has_hardware_clock() -> bool {
    let Ok(clocks) = fs::read_dir("/sys/class/rtc") else { return false };
    clocks.flatten().any(|clock| fs::read_to_string(clock.path().join("hctosys")).is_ok_and(|set| set.trim() == "1"))
}

/// Whether a time service keeps the clock.
fn is_synchronised() -> bool {
    // SAFETY: `timex` is valid with all bytes zero, and modes 0 only reads.
    let state = unsafe {
        let mut status: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut status)
    };
    state >= 0 && state != libc::TIME_ERROR
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_2026: u64 = 0xed00_0000 << 32;

    fn facts(boot: &str, since_boot: u64, wall_seconds: i64, trusted: bool) -> Facts {
        let wall = Identification(YEAR_2026.wrapping_add_signed(wall_seconds << 32));
        Facts { boot: boot.into(), since_boot: Duration::from_secs(since_boot), wall, trusted }
    }

    /// A run that began 100 s after boot and committed last at 1000 s after boot, by a wall clock that was right.
    fn last() -> Run {
        let (era, _) = Era::begin(None, &facts("one", 100, 100, true));
        era.run(era.time(Duration::from_secs(1000)), true)
    }

    fn begin(facts: &Facts) -> (i64, Elapsed) {
        let (era, elapsed) = Era::begin(Some(&last()), facts);
        (era.time(facts.since_boot).since(Identification(YEAR_2026)) >> 32, elapsed)
    }

    #[test]
    fn in_the_same_boot_the_wall_clock_may_say_anything() {
        for wall in [-1_700_000_000, -5, 1050, 3600, 900_000_000] {
            for trusted in [false, true] {
                assert_eq!(begin(&facts("one", 1050, wall, trusted)), (1050, Elapsed::Known), "{wall}");
            }
        }
    }

    #[test]
    fn after_a_boot_a_wall_clock_that_is_trusted_and_not_behind_counts() {
        assert_eq!(begin(&facts("two", 20, 5000, true)), (5000, Elapsed::Known));
    }

    #[test]
    fn after_a_boot_nothing_is_known_by_a_clock_that_is_behind_or_was_never_set() {
        for (wall, trusted) in [(-1_700_000_000, true), (999, true), (5000, false), (-1_700_000_000, false)] {
            assert_eq!(begin(&facts("two", 20, wall, trusted)), (wall, Elapsed::Unknown), "{wall} {trusted}");
        }
    }

    #[test]
    fn without_a_name_of_the_boot_each_start_is_a_boot() {
        let (era, _) = Era::begin(None, &facts("", 100, 100, true));
        let last = era.run(era.time(Duration::from_secs(1000)), true);
        let (_, elapsed) = Era::begin(Some(&last), &facts("", 1050, 500, true));
        assert_eq!(elapsed, Elapsed::Unknown);
    }

    #[test]
    fn this_machine_says_what_is_asked() {
        let now = Now { instant: Instant::default(), wall: Identification(YEAR_2026) };
        let facts = Facts::read(now);
        assert!(facts.since_boot > Duration::ZERO);
        assert!(!facts.boot.is_empty());
        assert_eq!(facts.wall, now.wall);
    }
}
