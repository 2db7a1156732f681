//! The thread that writes, and what waits for it.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Counters, StateError, Table,
    era::Era,
    store::{Change, Key, Store},
};
use crate::{mobility::time::Now, wire::types::Identification};

/// Transactions are at least this far apart: flash wears, and what waits meanwhile is written together.
const GATHERING: Duration = Duration::from_millis(100);
/// A transaction that takes long is followed by a pause so many times longer, at most up to the longest gathering: the more
/// records go into one, the less each of them costs, so that a storm of registrations is not slowed down by its own traces.
const GATHERING_PER_WORK: u32 = 10;
const LONGEST_GATHERING: Duration = Duration::from_secs(2);
/// So many waiting bytes are written without further delay: enough for large transactions, little beside the bindings that
/// make them.
const ENOUGH: usize = 8 << 20;
/// The first wait after a failure, and the longest one; it doubles in between.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// What a change takes in memory besides its key and value.
const OVERHEAD: usize = 64;

/// The queue and its thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Queue {
    changes: HashMap<Key, Option<Box<[u8]>>>,
    bytes: usize,
    /// How many changes led to this.
    handed_over: u64,
    /// The store's time of the newest change.
    latest: Option<Identification>,
    closing: bool,
    /// What may wait: bytes.
    maximum: usize,
}

#[derive(Debug, Default)]
struct Counts {
    changes: AtomicU64,
    changes_settled: AtomicU64,
    records_written: AtomicU64,
    commits: AtomicU64,
    write_errors: AtomicU64,
    changes_lost: AtomicU64,
}

/// How a change was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Whole,
    AsRemoval,
    NotAtAll,
}

impl Queue {
    /// Puts a change in place of an earlier one of the same record. When there is no room for the record, it is to be
    /// removed: one that is not remembered does less harm than an old one.
    fn put(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) -> Taken {
        let key: Key = (table, Box::from(key));
        let fixed = key.1.len() + OVERHEAD;
        let before = self.changes.get(&key).map_or(0, |value| fixed + size(value.as_deref()));
        let others = self.bytes - before;
        let value = value.map(Vec::into_boxed_slice);
        let (value, taken) = if others + fixed + size(value.as_deref()) <= self.maximum {
            (value, Taken::Whole)
        } else if others + fixed <= 2 * self.maximum {
            (None, Taken::AsRemoval)
        } else {
            return Taken::NotAtAll;
        };
        self.bytes = others + fixed + size(value.as_deref());
        self.changes.insert(key, value);
        taken
    }

    /// Whether it is time to write, before there is no room any more.
    fn is_filling(&self) -> bool {
        self.bytes > ENOUGH.min(self.maximum / 2)
    }

    fn take(&mut self) -> Vec<Change> {
        self.bytes = 0;
        let mut changes: Vec<_> = self.changes.drain().collect();
        self.changes.shrink_to(1024);
        changes.sort_unstable();
        changes
    }

    /// Takes changes back that could not be written, unless newer ones have come.
    fn put_back(&mut self, changes: Vec<Change>) {
        for ((table, key), value) in changes {
            if !self.changes.contains_key(&(table, key.clone())) {
                self.put(table, &key, value.map(Vec::from));
            }
        }
    }
}

fn size(value: Option<&[u8]>) -> usize {
    value.map_or(0, <[u8]>::len)
}

impl Writer {
    /// Starts the thread. `mark` is synced with each transaction; `maximum` bytes may wait for one.
    pub fn start(
        store: Store,
        path: &Path,
        era: Era,
        start: Now,
        mark: File,
        maximum: usize,
    ) -> Result<Self, StateError> {
        let shared = Arc::new(Shared::default());
        shared.lock().maximum = maximum;
        let no_thread = |source| StateError::Inaccessible { path: path.to_owned(), source };
        let mut task = Task {
            shared: Arc::clone(&shared),
            store,
            path: path.to_owned(),
            era,
            mark,
            latest: start.wall,
            failing: false,
        };
        // The run has begun: whatever happens now, it has not ended in order.
        task.commit(&[], false)?;
        let thread = thread::Builder::new().name("state".into()).spawn(move || task.run());
        let thread = thread.map_err(no_thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a change over; `time` is the store's.
    pub fn change(&self, time: Identification, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let counts = &self.shared.counts;
        counts.changes.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.shared.lock();
        let (was_empty, was_filling) = (queue.changes.is_empty(), queue.is_filling());
        queue.latest = Some(time);
        queue.handed_over += 1;
        if queue.put(table, key, value) != Taken::Whole {
            counts.changes_lost.fetch_add(1, Ordering::Relaxed);
        }
        let is_urgent = was_empty || (queue.is_filling() && !was_filling);
        drop(queue);
        if is_urgent {
            self.shared.wake.notify_one();
        }
    }

    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { changes, changes_settled, records_written, commits, write_errors, changes_lost } =
            &self.shared.counts;
        Counters {
            changes: read(changes),
            changes_settled: read(changes_settled),
            records_written: read(records_written),
            commits: read(commits),
            write_errors: read(write_errors),
            changes_lost: read(changes_lost),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the state's writer has failed; what was waiting is not written");
        }
    }
}

impl Shared {
    /// Nothing that holds the lock leaves the queue half changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change or the end.
    fn wait(&self) -> MutexGuard<'_, Queue> {
        let idle = |queue: &mut Queue| queue.changes.is_empty() && !queue.closing;
        self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a time, the end, or, if `eager`, until much is waiting, whichever comes first.
    fn pause(&self, until: Instant, eager: bool) {
        let left = until.saturating_duration_since(Instant::now());
        let quiet = |queue: &mut Queue| !(queue.closing || (eager && queue.is_filling()));
        drop(self.wake.wait_timeout_while(self.lock(), left, quiet));
    }
}

struct Task {
    shared: Arc<Shared>,
    store: Store,
    path: PathBuf,
    era: Era,
    mark: File,
    latest: Identification,
    failing: bool,
}

impl Task {
    fn run(&mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let mut queue = self.shared.wait();
            let closing = queue.closing;
            let changes = queue.take();
            let handed_over = std::mem::take(&mut queue.handed_over);
            self.latest = queue.latest.unwrap_or(self.latest);
            drop(queue);
            let began = Instant::now();
            match self.commit(&changes, closing) {
                Ok(()) => {
                    self.shared.counts.changes_settled.fetch_add(handed_over, Ordering::Relaxed);
                    if closing {
                        return;
                    }
                    retry = FIRST_RETRY;
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(path = %self.path.display(), "the state is written again");
                    }
                    let gathering = (began.elapsed() * GATHERING_PER_WORK).clamp(GATHERING, LONGEST_GATHERING);
                    self.shared.pause(began + gathering, true);
                }
                Err(error) => {
                    self.shared.counts.write_errors.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.failing, true) || closing {
                        tracing::error!(%error, "cannot write the state: until that is mended, registrations go on but do not survive a restart");
                    }
                    if closing {
                        return;
                    }
                    let mut queue = self.shared.lock();
                    queue.put_back(changes);
                    queue.handed_over += handed_over;
                    drop(queue);
                    self.shared.pause(began + retry, false);
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    fn commit(&mut self, changes: &[Change], finished: bool) -> Result<(), StateError> {
        self.mark
            .sync_data()
            .map_err(|source| StateError::Inaccessible { path: self.path.with_file_name("accepted"), source })?;
        self.store.commit(changes, &self.era.run(self.latest, finished))?;
        self.shared.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.counts.records_written.fetch_add(changes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
