//! What must outlive the agent: bindings, visitors and clients, in an embedded store in the state directory.
//!
//! * [`State`]: hands changes over and returns at once; a thread of its own writes (`writer`), so that no registration
//!   waits for the disk. Several changes of one record that wait together become one, so that what waits is bounded by
//!   the number of records, and by [`State::MAXIMUM_WAITING`];
//! * `store`: the file, `state.redb`. Commits are atomic and synced to the disk: after a crash the last one is found
//!   whole. Damage is found when the file is opened, and refused;
//! * `era`: how much time has passed since the records were written, whatever the wall clock has done since. No record
//!   is taken up that may have run out meanwhile;
//! * `mark`: a file of its own, `accepted`, with a time that no Identification is past which was accepted but may not be
//!   in the store. After a crash everything up to it is refused, so that a replay never profits from what was lost.

mod era;
mod mark;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use self::{
    era::{Elapsed, Era, Facts},
    mark::Mark,
    store::{Contents, Store},
    writer::Writer,
};
use crate::{mobility::time::Now, wire::types::Identification};

/// The beginning of 2026, before the first version: no record is older.
const FIRST_VERSION: Identification = Identification(3_976_214_400 << 32);

/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// The home agent's bindings, by home address.
    Bindings,
    /// The foreign agent's visitors, by home agent and home address.
    Visitors,
    /// The access point's clients, by MAC.
    Clients,
    /// The addresses that stations had, by MAC.
    Addresses,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be made.
    #[error("{}: cannot create the state directory: {source}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}: make it readable and writable for the agent, and look whether the disk is full", .path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the store.
    #[error("{}: another mipd uses this state directory: stop it, or give this one its own state-dir", .0.display())]
    InUse(PathBuf),
    /// The store is damaged.
    #[error("{}: the state is damaged ({reason}): move the file away to start without remembered registrations", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer version wrote it.
    #[error(
        "{}: written by a newer mipd (format {found}, this one reads up to {known}): install that version again, or \
         move the file away to start without remembered registrations",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
}

/// What became of the changes so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Changes handed over.
    pub changes: u64,
    /// Changes of which nothing waits any more: they, or newer ones in their place, are on the disk.
    pub changes_settled: u64,
    /// Records written or removed on the disk.
    pub records_written: u64,
    /// Transactions synced to the disk.
    pub commits: u64,
    /// Attempts to write that failed; what they were to write waits for the next one.
    pub write_errors: u64,
    /// Changes that could not wait for lack of memory; their records are removed instead.
    pub changes_lost: u64,
}

/// The store's file.
const STORE: &str = "state.redb";

/// The open store.
#[derive(Debug)]
pub struct State {
    writer: Writer,
    mark: RefCell<Mark>,
    start: Now,
}

/// Everything that was remembered, as raw records.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    records: Vec<(Table, Vec<u8>)>,
    elapsed: Elapsed,
    start: Now,
    /// About when the records were written, by the clock of then.
    written: Identification,
    floor: Option<Identification>,
    in_order: bool,
}

/// Removes what is remembered of registrations, clients and home agents. The time up to which Identifications were accepted
/// stays: without it, what was sent to a home agent a moment ago could be sent again. So does whatever else is in the
/// directory, such as an operator's keys. Nothing may have the store open.
pub fn forget(directory: &Path) -> Result<(), StateError> {
    let path = directory.join(STORE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Inaccessible { path, source }),
        _ => Ok(()),
    }
}

impl State {
    /// Bytes of changes that wait for the disk at most.
    pub const MAXIMUM_WAITING: usize = 64 << 20;

    /// Opens or creates the store, and reads what is in it.
    pub fn open(directory: &Path, now: Now) -> Result<(Self, Remembered), StateError> {
        Self::open_with(directory, now, &Facts::read(now))
    }

    fn open_with(directory: &Path, now: Now, facts: &Facts) -> Result<(Self, Remembered), StateError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| StateError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(STORE);
        let (store, Contents { records, run }) = Store::open(&path)?;
        let (mark, accepted) = Mark::open(&directory.join("accepted"))?;
        let (era, elapsed) = Era::begin(run.as_ref(), facts);
        let start = Now { instant: now.instant, wall: era.time(facts.since_boot) };
        // In order, everything accepted was written; and a clock that is known to be right tells old from new.
        let in_order = elapsed == Elapsed::Known && run.as_ref().is_none_or(|run| run.finished);
        let floor = identification_floor(in_order, elapsed, accepted, facts.wall);
        if elapsed == Elapsed::Unknown && !records.is_empty() {
            tracing::warn!(
                path = %path.display(),
                "the clock is not set, or behind what is recorded: registrations that end some time are not taken up"
            );
        }
        let writer = Writer::start(store, &path, era, start, mark.file()?, Self::MAXIMUM_WAITING)?;
        let written = run.map_or(FIRST_VERSION, |run| Identification(run.last));
        let remembered = Remembered { path, records, elapsed, start, written, floor, in_order };
        Ok((Self { writer, mark: RefCell::new(mark), start }, remembered))
    }

    /// Remembers the record that `make` makes, or forgets it if that is `None`. Returns at once. `make` is given the time
    /// to make it with: its wall clock runs evenly as long as the machine does, whoever sets the real one.
    pub fn record<T: Serialize>(&self, now: Now, table: Table, key: &[u8], make: impl FnOnce(Now) -> Option<T>) {
        let now = Now { instant: now.instant, wall: self.start.wall_at(now.instant) };
        match make(now).map(|record| serde_json::to_vec(&record)).transpose() {
            Ok(value) => self.writer.change(now.wall, table, key, value),
            Err(error) => tracing::error!(?table, %error, "cannot encode a record of the state"),
        }
    }

    /// Takes note that a timestamp was accepted, before the answer is sent: after a crash that loses the record of it,
    /// nothing up to it will be accepted again. Costs a system call about twice per second, whatever the load.
    pub fn accepted(&self, now: Now, identification: Identification) {
        self.mark.borrow_mut().cover(now.wall, identification);
    }

    /// What became of the changes so far.
    pub fn counters(&self) -> Counters {
        self.writer.counters()
    }
}

/// What must be refused because it may have been accepted before and forgotten.
fn identification_floor(
    in_order: bool,
    elapsed: Elapsed,
    accepted: Option<Identification>,
    wall: Identification,
) -> Option<Identification> {
    let floor = accepted.filter(|_| !in_order)?;
    match (mark::is_beyond(floor, wall), elapsed) {
        (false, _) => Some(floor),
        // It was accepted by a clock that has been corrected since: by the right one it is outside every window.
        (true, Elapsed::Known) => None,
        (true, Elapsed::Unknown) => {
            tracing::warn!(
                "the clock is behind the last registration accepted: each client is given that one's time, until the \
                 clock is set and the agent started again"
            );
            Some(floor)
        }
    }
}

impl Remembered {
    /// The records of one table.
    pub fn records<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>, StateError> {
        self.records
            .iter()
            .filter(|(of, _)| *of == table)
            .map(|(_, value)| serde_json::from_slice(value))
            .collect::<Result<_, _>>()
            .map_err(|error| StateError::Damaged { path: self.path.clone(), reason: error.to_string() })
    }

    /// The time to judge the records with. If nobody knows how long ago they were written, it lies past the end of each
    /// that has one.
    #[must_use]
    pub fn now(&self, now: Now) -> Now {
        /// Half of what a signed difference of timestamps can express: 34 years.
        const FAR: u64 = 1 << 62;
        let wall = match self.elapsed {
            Elapsed::Known => self.start.wall_at(now.instant),
            Elapsed::Unknown => Identification(self.written.0.wrapping_add(FAR)),
        };
        Now { instant: now.instant, wall }
    }

    /// Whether the last run ended in order, so that its last changes were written.
    pub fn ended_in_order(&self) -> bool {
        self.in_order
    }

    /// No Identification up to this one may be accepted: it may be one that was accepted before, and forgotten.
    pub fn identification_floor(&self) -> Option<Identification> {
        self.floor
    }
}
