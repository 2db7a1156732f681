//! What must outlive the agent: bindings, visitors and clients, in an embedded store in the state directory.
//!
//! A thread of its own writes, so that no registration waits for the disk. Changes that queue up while one transaction
//! is being synced go into the next one together. A crash of the agent loses at most the changes of the last few
//! milliseconds; torn writes are the store's business (redb commits atomically).

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// The home agent's bindings, by home address.
    Bindings,
    /// The foreign agent's visitors, by home agent and home address.
    Visitors,
    /// The access point's clients, by MAC.
    Clients,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Self::Bindings => "bindings",
            Self::Visitors => "visitors",
            Self::Clients => "clients",
        })
    }
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
    /// Another process holds the store.
    #[error("{}: another mipd uses this state directory: stop it, or give this one its own state-dir", .0.display())]
    InUse(PathBuf),
    /// The store is damaged or from another version.
    #[error("{}: cannot read the state ({reason}): move the file away to start without remembered registrations", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the store said.
        reason: String,
    },
}

struct Change {
    table: Table,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// The open store.
#[derive(Debug)]
pub struct State {
    changes: Option<mpsc::Sender<Change>>,
    writer: Option<thread::JoinHandle<()>>,
}

/// Everything that was remembered, as raw records.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    records: Vec<(Table, Vec<u8>)>,
}

impl State {
    /// Opens or creates the store, and reads what is in it.
    pub fn open(directory: &Path) -> Result<(Self, Remembered), StateError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| StateError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join("state.redb");
        let unreadable =
            |reason: redb::Error| StateError::Unreadable { path: path.clone(), reason: reason.to_string() };
        let database = match Database::create(&path) {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(StateError::InUse(directory.to_owned())),
            Err(error) => return Err(unreadable(error.into())),
        };
        let records = read(&database).map_err(unreadable)?;
        let (changes, queue) = mpsc::channel();
        let writer_path = path.clone();
        let writer = thread::Builder::new()
            .name("state".into())
            .spawn(move || write(&database, &queue, &writer_path))
            .map_err(|source| StateError::Directory { path: path.clone(), source })?;
        Ok((Self { changes: Some(changes), writer: Some(writer) }, Remembered { path, records }))
    }

    /// Remembers a record, or forgets it with `None`. Returns at once.
    pub fn record<T: Serialize>(&self, table: Table, key: &[u8], record: Option<&T>) {
        let value = match record.map(serde_json::to_vec).transpose() {
            Ok(value) => value,
            Err(error) => {
                tracing::error!(?table, %error, "cannot encode a record of the state");
                return;
            }
        };
        if let Some(changes) = &self.changes {
            // The writer ends only with this sender, or after it has reported a fatal error.
            let _ = changes.send(Change { table, key: key.to_vec(), value });
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(self.changes.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
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
            .map_err(|error| StateError::Unreadable { path: self.path.clone(), reason: error.to_string() })
    }
}

fn read(database: &Database) -> Result<Vec<(Table, Vec<u8>)>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut records = Vec::new();
    for table in [Table::Bindings, Table::Visitors, Table::Clients] {
        let rows = match transaction.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for row in rows.iter()? {
            let (_, value) = row?;
            records.push((table, value.value().to_vec()));
        }
    }
    Ok(records)
}

fn write(database: &Database, queue: &mpsc::Receiver<Change>, path: &Path) {
    while let Ok(first) = queue.recv() {
        let batch: Vec<Change> = std::iter::once(first).chain(queue.try_iter()).collect();
        if let Err(error) = apply(database, &batch) {
            tracing::error!(path = %path.display(), %error, "cannot write the state: registrations will not survive a restart");
        }
    }
}

fn apply(database: &Database, batch: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for change in batch {
        let mut table = transaction.open_table(change.table.definition())?;
        match &change.value {
            Some(value) => drop(table.insert(change.key.as_slice(), value.as_slice())?),
            None => drop(table.remove(change.key.as_slice())?),
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let (state, _) = State::open(directory.path()).unwrap();
        state.record(Table::Bindings, b"a", Some(&1));
        state.record(Table::Bindings, b"b", Some(&2));
        state.record(Table::Bindings, b"a", None::<&u32>);
        state.record(Table::Clients, b"a", Some(&3));
        drop(state);
        let (_state, remembered) = State::open(directory.path()).unwrap();
        assert_eq!(remembered.records::<u32>(Table::Bindings).unwrap(), [2]);
        assert_eq!(remembered.records::<u32>(Table::Clients).unwrap(), [3]);
        assert_eq!(remembered.records::<u32>(Table::Visitors).unwrap(), [0; 0]);
    }

    #[test]
    fn a_second_agent_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let _first = State::open(directory.path()).unwrap();
        assert!(matches!(State::open(directory.path()), Err(StateError::InUse(_))));
    }

    #[test]
    fn a_damaged_store_is_refused_with_the_file_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("state.redb"), b"not a store").unwrap();
        let error = State::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("state.redb") && error.contains("move the file away"), "{error}");
    }
}
