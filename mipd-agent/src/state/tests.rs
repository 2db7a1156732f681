//! The store as a whole.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant as SystemInstant},
};

use redb::{Database, StorageBackend, TableDefinition, backends::FileBackend};
use serde::Deserialize;

use super::{
    era::{Era, Facts},
    store::{FORMAT, Store, builder},
    writer::Writer,
    *,
};
use crate::mobility::time::Instant;

const START: u64 = 0xed00_0000 << 32;

fn at(seconds: u64) -> Now {
    Now { instant: Instant(Duration::from_secs(seconds)), wall: Identification(START + (seconds << 32)) }
}

fn facts(boot: &str, seconds: u64) -> Facts {
    Facts { boot: boot.into(), since_boot: Duration::from_secs(seconds), wall: at(seconds).wall, trusted: true }
}

fn open(directory: &Path) -> (State, Remembered) {
    State::open_with(directory, at(0), &facts("one", 0)).unwrap()
}

fn put(state: &State, table: Table, key: &[u8], value: Option<u32>) {
    state.record(at(1), table, key, |_| value);
}

#[test]
fn records_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = open(directory.path());
    put(&state, Table::Bindings, b"a", Some(1));
    put(&state, Table::Bindings, b"b", Some(2));
    put(&state, Table::Bindings, b"a", None);
    put(&state, Table::Clients, b"a", Some(3));
    drop(state);
    let (_state, remembered) = open(directory.path());
    assert_eq!(remembered.records::<u32>(Table::Bindings).unwrap(), [2]);
    assert_eq!(remembered.records::<u32>(Table::Clients).unwrap(), [3]);
    assert_eq!(remembered.records::<u32>(Table::Visitors).unwrap(), [0; 0]);
}

#[test]
fn a_second_agent_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path());
    assert!(matches!(State::open(directory.path(), at(0)), Err(StateError::InUse(_))));
}

#[test]
fn a_store_of_another_kind_is_refused_with_the_file_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("state.redb"), b"not a store").unwrap();
    let error = State::open(directory.path(), at(0)).unwrap_err().to_string();
    assert!(error.contains("state.redb") && error.contains("move the file away"), "{error}");
}

#[test]
fn a_store_of_a_newer_format_is_refused_with_both_formats_named() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let database = Database::open(directory.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let about = TableDefinition::<&str, &[u8]>::new("about");
    let newer = (FORMAT + 1).to_be_bytes();
    transaction.open_table(about).unwrap().insert("format", newer.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = State::open(directory.path(), at(0)).unwrap_err().to_string();
    let expected = format!("written by a newer mipd (format {}, this one reads up to {FORMAT})", FORMAT + 1);
    assert!(error.contains("state.redb") && error.contains(&expected), "{error}");
}

#[test]
fn a_store_from_before_there_were_formats_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = TableDefinition::<&[u8], &[u8]>::new("bindings");
    transaction.open_table(table).unwrap().insert(b"a".as_slice(), b"7".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (_state, remembered) = open(directory.path());
    assert_eq!(remembered.records::<u32>(Table::Bindings).unwrap(), [7]);
}

#[test]
fn a_record_that_makes_no_sense_is_refused_with_the_file_named() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = open(directory.path());
    state.record(at(1), Table::Bindings, b"a", |_| Some("no number"));
    drop(state);
    let (_state, remembered) = open(directory.path());
    let error = remembered.records::<u32>(Table::Bindings).unwrap_err().to_string();
    assert!(error.contains("state.redb: the state is damaged"), "{error}");
}

/// A file with a history: records written, changed and removed in several transactions.
fn history(directory: &Path) -> Vec<u8> {
    let (state, _) = open(directory);
    for round in 0..6u32 {
        for record in 0..40u32 {
            put(&state, Table::Bindings, &record.to_be_bytes(), (record % 7 != round).then_some(round));
        }
        let commits = state.counters().commits;
        await_true(|| state.counters().commits > commits);
    }
    drop(state);
    fs::read(directory.join("state.redb")).unwrap()
}

fn await_true(mut condition: impl FnMut() -> bool) {
    let deadline = SystemInstant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(SystemInstant::now() < deadline, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Opens a damaged copy. Either what it holds is one state of the history, or it is refused with a clear error.
fn open_damaged(bytes: &[u8], what: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("state.redb"), bytes).unwrap();
    match Store::open(&directory.path().join("state.redb")) {
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("state.redb"), "{what}: {error}");
            assert!(error.contains("move the file away") || error.contains("install that version"), "{what}: {error}");
            false
        }
        Ok((_, contents)) => {
            let values: Vec<u32> =
                contents.records.iter().map(|(_, value)| serde_json::from_slice(value).unwrap()).collect();
            let newest = values.iter().max().copied();
            for value in &values {
                assert!(newest.is_some_and(|newest| newest - value <= 1), "{what}: parts of different states");
            }
            true
        }
    }
}

#[test]
fn a_damaged_file_gives_an_earlier_state_or_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let good = history(directory.path());
    assert!(open_damaged(&good, "undamaged"));
    let mut refused = 0;
    let positions = (0..512).step_by(7).chain((512..good.len()).step_by(4201));
    for position in positions {
        let mut flipped = good.clone();
        flipped[position] ^= 0x55;
        refused += u32::from(!open_damaged(&flipped, &format!("a byte changed at {position}")));
        let mut blank = good.clone();
        let end = (position + 512).min(blank.len());
        blank[position..end].fill(0);
        refused += u32::from(!open_damaged(&blank, &format!("512 bytes lost at {position}")));
        refused += u32::from(!open_damaged(&good[..position], &format!("cut off at {position}")));
    }
    assert!(refused > 100, "damage goes unnoticed: {refused}");
}

/// A record that shows whether it is whole.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Numbered {
    number: u64,
    square: u64,
    text: [char; 20],
}

const CHILD: &str = "MIPD_TEST_STATE_DIRECTORY";
const KEYS: u64 = 50;

/// What the killed process does: record after record, each announced when it counts as accepted.
fn write_until_killed(directory: &Path) {
    let (state, remembered) = open(directory);
    let records: Vec<Numbered> = remembered.records(Table::Bindings).unwrap();
    let mut number = records.iter().map(|record| record.number).max().unwrap_or(0);
    loop {
        number += 1;
        let now = Now { instant: Instant::default(), wall: Identification(START + (number << 20)) };
        let record = Numbered { number, square: number * number, text: ['x'; 20] };
        state.record(now, Table::Bindings, &(number % KEYS).to_be_bytes(), |_| Some(record));
        state.accepted(now, now.wall);
        println!("accepted {number}");
        if number % 8 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Kills a writing process at many moments. What it leaves is whole and no older than what the process before it left,
/// and every timestamp that it accepted is either on record or refused from now on.
#[test]
fn a_killed_process_leaves_a_whole_state_and_no_replay_is_accepted() {
    if let Some(directory) = std::env::var_os(CHILD) {
        write_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut newest = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::tests::a_killed_process_leaves_a_whole_state_and_no_replay_is_accepted"])
            .arg("--nocapture")
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accepted = |line: io::Result<String>| line.ok()?.strip_prefix("accepted ")?.parse::<u64>().ok();
        let mut last = lines.by_ref().find_map(accepted).expect("the process has begun");
        let kill_at = SystemInstant::now() + Duration::from_millis(round * 23 % 260);
        while SystemInstant::now() < kill_at {
            last = lines.next().and_then(accepted).unwrap_or(last);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.filter_map(accepted).last().unwrap_or(last);

        let (state, remembered) = open(directory.path());
        let records: Vec<Numbered> = remembered.records(Table::Bindings).unwrap();
        for record in &records {
            assert_eq!((record.square, record.text), (record.number * record.number, ['x'; 20]), "half a record");
        }
        let recorded = records.iter().map(|record| record.number).max().unwrap_or(0);
        assert!(recorded >= newest, "{recorded} is older than {newest}");
        newest = recorded;
        let floor = remembered.identification_floor().expect("it did not end in order");
        assert!(floor.since(Identification(START + (last << 20))) > 0, "{last} could be replayed");
        // As if this process had been killed, too: the next one finds it unfinished.
        std::mem::forget(state.writer);
        break_lock(directory.path());
    }
    assert!(newest > 0);
}

/// Moves the store to a file that the forgotten writer does not hold.
fn break_lock(directory: &Path) {
    let path = directory.join("state.redb");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
}

#[test]
fn after_an_end_in_order_nothing_is_refused_that_was_not_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (state, remembered) = open(directory.path());
    assert_eq!(remembered.identification_floor(), None);
    state.accepted(at(5), at(5).wall);
    drop(state);
    let (_state, remembered) = open(directory.path());
    assert_eq!(remembered.identification_floor(), None);
}

/// Leaves a store behind as `facts` found it, ended in order or not, with 100 accepted.
fn leave(directory: &Path, facts: &Facts, in_order: bool) {
    let (state, _) = State::open_with(directory, at(100), facts).unwrap();
    state.accepted(at(100), at(100).wall);
    put(&state, Table::Bindings, b"a", Some(1));
    if in_order {
        drop(state);
    } else {
        await_true(|| state.counters().records_written == 1);
        std::mem::forget(state.writer);
        break_lock(directory);
    }
}

#[test]
fn a_crash_by_a_clock_that_was_corrected_since_refuses_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = Facts { wall: Identification(START + (900_000 << 32)), ..facts("one", 100) };
    let (state, _) = State::open_with(directory.path(), at(900_000), &wrong).unwrap();
    state.accepted(at(900_000), at(900_000).wall);
    std::mem::forget(state.writer);
    break_lock(directory.path());
    let (_state, remembered) = State::open_with(directory.path(), at(200), &facts("one", 200)).unwrap();
    assert_eq!(remembered.identification_floor(), None);
}

#[test]
fn a_clock_that_was_not_set_after_a_boot_refuses_whatever_may_have_been_accepted() {
    for in_order in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path(), &facts("one", 100), in_order);
        let not_set = Facts { wall: Identification(0x8000_0000 << 32), trusted: false, ..facts("two", 5) };
        let now = Now { instant: Instant::default(), wall: not_set.wall };
        let (_state, remembered) = State::open_with(directory.path(), now, &not_set).unwrap();
        let floor = remembered.identification_floor().unwrap();
        assert!(floor.since(at(100).wall) > 0);
    }
}

#[test]
fn remaining_times_are_right_in_the_same_boot_whatever_the_wall_clock_says() {
    for jump in [-1_700_000_000i64, -3600, 0, 3600, 700_000_000] {
        let directory = tempfile::tempdir().unwrap();
        let (state, _) = State::open_with(directory.path(), at(100), &facts("one", 100)).unwrap();
        // At 150 s the clock jumps; at 160 s a registration until 760 s is recorded; at 400 s the agent starts again.
        let wall = |seconds: u64| Identification((START + (seconds << 32)).wrapping_add_signed(jump << 32));
        let now = Now { instant: at(160).instant, wall: wall(160) };
        let expires = Instant(Duration::from_secs(760));
        state.record(now, Table::Bindings, b"a", |now| Some(now.wall_at(expires).0));
        drop(state);
        let later = Facts { wall: wall(400), ..facts("one", 400) };
        let now = Now { instant: Instant(Duration::from_secs(7)), wall: wall(400) };
        let (_state, remembered) = State::open_with(directory.path(), now, &later).unwrap();
        let recorded = remembered.records::<u64>(Table::Bindings).unwrap()[0];
        let remaining = remembered.now(now).until(Identification(recorded));
        assert_eq!(remaining, Duration::from_mins(6), "{jump}");
    }
}

#[test]
fn after_a_boot_with_the_clock_unset_nothing_that_ends_is_taken_up() {
    use crate::wire::types::Lifetime;
    for (clock, trusted, taken_up) in [
        (Identification(0x8000_0000 << 32), true, false),
        (at(99).wall, true, false),
        (at(300).wall, false, false),
        (at(300).wall, true, true),
        (at(800).wall, true, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (state, _) = State::open_with(directory.path(), at(100), &facts("one", 100)).unwrap();
        let expires = Instant(Duration::from_secs(700));
        state.record(at(100), Table::Bindings, b"a", |now| Some(now.wall_at(expires).0));
        drop(state);
        let booted = Facts { wall: clock, trusted, ..facts("two", 3) };
        let now = Now { instant: Instant::default(), wall: clock };
        let (_state, remembered) = State::open_with(directory.path(), now, &booted).unwrap();
        let expires = Identification(remembered.records::<u64>(Table::Bindings).unwrap()[0]);
        let judged = remembered.now(now);
        assert_eq!(judged.revived_expiry(Lifetime(600), Some(expires)).is_some(), taken_up, "{clock:?} {trusted}");
        assert_eq!(judged.revived_expiry(Lifetime::INFINITE, None), Some(None), "what never ends is");
    }
}

/// A disk that can be made to fail.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
    refusals: Arc<AtomicU64>,
}

impl Disk {
    fn ask(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            self.refusals.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.ask()?;
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A writer whose disk is full while `full` says so.
fn on_a_failing_disk(directory: &Path, full: &Arc<AtomicBool>, refusals: &Arc<AtomicU64>) -> Writer {
    let path = directory.join("state.redb");
    let (file, full, refusals) = (path.clone(), Arc::clone(full), Arc::clone(refusals));
    let opener = move || {
        let opened = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file)?;
        let file = FileBackend::new(opened)?;
        builder().create_with_backend(Disk { file, full: Arc::clone(&full), refusals: Arc::clone(&refusals) })
    };
    let (store, _) = Store::open_with(&path, Box::new(opener)).unwrap();
    let (era, _) = Era::begin(None, &facts("one", 0));
    let mark = fs::File::create(directory.join("accepted")).unwrap();
    Writer::start(store, &path, era, at(0), mark, 1 << 16).unwrap()
}

#[test]
fn a_full_disk_is_counted_and_what_waits_is_written_when_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let (full, refusals) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = on_a_failing_disk(directory.path(), &full, &refusals);
    let change = |number: u32, value: Option<u32>| {
        let value = value.map(|value| serde_json::to_vec(&value).unwrap());
        writer.change(at(1).wall, Table::Visitors, &number.to_be_bytes(), value);
    };
    change(1, Some(10));
    await_true(|| writer.counters().records_written == 1);
    full.store(true, Ordering::SeqCst);
    change(1, None);
    change(2, Some(20));
    await_true(|| writer.counters().write_errors > 0);
    for value in 0..100_000 {
        change(3, Some(value));
    }
    assert!(refusals.load(Ordering::SeqCst) > 0);
    assert_eq!((writer.counters().records_written, writer.counters().changes_settled), (1, 1));
    full.store(false, Ordering::SeqCst);
    await_true(|| writer.counters().records_written >= 4);
    await_true(|| writer.counters().changes_settled == writer.counters().changes);
    drop(writer);
    let (_, contents) = Store::open(&directory.path().join("state.redb")).unwrap();
    let mut values: Vec<_> = contents.records.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect();
    values.sort();
    assert_eq!(values, ["20", "99999"]);
    assert!(contents.run.unwrap().finished);
}

#[test]
fn an_end_with_the_disk_full_leaves_the_last_state_that_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let (full, refusals) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = on_a_failing_disk(directory.path(), &full, &refusals);
    writer.change(at(1).wall, Table::Visitors, b"a", Some(b"1".to_vec()));
    await_true(|| writer.counters().records_written == 1);
    full.store(true, Ordering::SeqCst);
    writer.change(at(1).wall, Table::Visitors, b"a", Some(b"2".to_vec()));
    drop(writer);
    let (_, contents) = Store::open(&directory.path().join("state.redb")).unwrap();
    assert_eq!(contents.records, [(Table::Visitors, b"1".to_vec())]);
    assert!(!contents.run.unwrap().finished);
}

#[test]
fn what_waits_for_a_disk_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (full, refusals) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = on_a_failing_disk(directory.path(), &full, &refusals);
    writer.change(at(1).wall, Table::Visitors, b"old", Some(b"1".to_vec()));
    await_true(|| writer.counters().records_written == 1);
    full.store(true, Ordering::SeqCst);
    writer.change(at(1).wall, Table::Visitors, b"x", None);
    await_true(|| writer.counters().write_errors > 0);
    let large = vec![b'1'; 1 << 10];
    for number in 0..80u32 {
        writer.change(at(1).wall, Table::Bindings, &number.to_be_bytes(), Some(large.clone()));
    }
    writer.change(at(1).wall, Table::Visitors, b"old", Some(large.clone()));
    // Of 64 KiB each takes 1024 + 4 + 64 bytes, and the one that waits already 65.
    assert_eq!(writer.counters().changes_lost, 80 - 59 + 1);
    full.store(false, Ordering::SeqCst);
    await_true(|| writer.counters().records_written > 1);
    drop(writer);
    let (_, contents) = Store::open(&directory.path().join("state.redb")).unwrap();
    assert_eq!(contents.records.len(), 59, "the old record of what could not wait is gone");
    assert!(contents.records.iter().all(|record| record.0 == Table::Bindings));
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("state.redb")).unwrap();
    let error = State::open(directory.path(), at(0)).unwrap_err().to_string();
    assert!(error.contains("state.redb") && error.contains("readable and writable"), "{error}");
}
