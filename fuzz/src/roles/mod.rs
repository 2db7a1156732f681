//! Roles: any sequence of events and moments leaves the state bounded and the counters true.
//!
//! The bytes are read as a list of steps (`steps`). Messages are built, and signed with keys that the role knows or does
//! not know, so that they come past authentication; each can be damaged afterwards.

pub mod advertiser;
pub mod foreign_agent;
pub mod home_agent;
pub mod listener;
mod message;
pub mod proxy;
pub mod radius;

use std::{collections::BTreeMap, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use mipd_agent::{
    mobility::{
        security::SecurityAssociation,
        time::{Instant, Now},
    },
    wire::{
        authentication::{Algorithm, Key},
        types::{Identification, Spi},
    },
};

/// Longest sequence.
const STEPS: usize = 64;
/// More calls of a role's timer than this at one moment are a loop without end.
const CALLS_AT_ONCE: usize = 200;

/// Reads steps until the bytes are used up.
fn steps<'a, Step: Arbitrary<'a>>(data: &'a [u8]) -> impl Iterator<Item = Step> {
    let mut bytes = Unstructured::new(data);
    std::iter::from_fn(move || if bytes.is_empty() { None } else { Step::arbitrary(&mut bytes).ok() }).take(STEPS)
}

/// Both clocks. The wall clock of a box may be set, but never runs backwards here: what that does to replay protection is
/// no finding.
struct Clock(Now);

impl Clock {
    fn new() -> Self {
        let instant = Instant(Duration::from_secs(1000));
        Self(Now { instant, wall: Identification(0xe5a1_b2c3_1234_5678) })
    }

    fn advance(&mut self, by: Duration) {
        let instant = self.0.instant + by;
        self.0 = Now { wall: self.0.wall_at(instant), instant };
    }

    /// Calls a timer at the moments it asks for, until `by` has passed.
    ///
    /// # Panics
    ///
    /// When the timer wants to be called at a moment at which it was just called, again and again.
    fn run<Role>(
        &mut self,
        by: Duration,
        role: &mut Role,
        poll: impl Fn(&Role) -> Option<Instant>,
        mut handle: impl FnMut(&mut Role, Now),
    ) {
        let until = self.0.instant + by;
        let mut calls = 0;
        while let Some(due) = poll(role).filter(|due| *due <= until) {
            let wait = due.since(self.0.instant);
            calls = if wait.is_zero() { calls + 1 } else { 1 };
            assert!(calls < CALLS_AT_ONCE, "the timer asks for {due:?} again and again");
            self.advance(wait);
            handle(role, self.0);
        }
        self.advance(until.since(self.0.instant));
    }
}

/// Time that passes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pause {
    Milliseconds(u16),
    Seconds(u8),
    Minutes(u8),
}

impl Pause {
    fn duration(self) -> Duration {
        match self {
            // A timer that is due every few milliseconds must not be called without end.
            Self::Milliseconds(count) => Duration::from_millis(count.into()),
            Self::Seconds(count) => Duration::from_secs(count.into()),
            Self::Minutes(count) => Duration::from_secs(60 * u64::from(count)),
        }
    }
}

/// Counters never decrease.
#[derive(Default)]
struct Counted(BTreeMap<String, u64>);

impl Counted {
    fn check<Name: Into<String>>(&mut self, entries: impl IntoIterator<Item = (Name, u64)>) {
        for (name, value) in entries {
            let name = name.into();
            let before = self.0.insert(name.clone(), value).unwrap_or(0);
            assert!(before <= value, "counter {name} went from {before} to {value}");
        }
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

fn association(spi: u32, secret: u8) -> SecurityAssociation {
    let key = Key::from_bytes(vec![secret; 16]).expect("a key of 16 bytes");
    SecurityAssociation::new(Spi::new(spi).expect("no reserved SPI"), Algorithm::HmacMd5, key)
}
