//! The file: one table per kind of record, and one about the file itself.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::{StateError, Table, era::Run};

/// The newest layout of the file that is known here. Records are JSON: a new field with a default needs no new format.
pub(super) const FORMAT: u32 = 1;
/// What redb may keep in memory of the file. It would take a gigabyte by default, which many an access point has not.
const CACHE: usize = 4 << 20;

const ABOUT: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("about");
const FORMAT_KEY: &str = "format";
const RUN_KEY: &str = "run";

impl Table {
    const ALL: [Self; 4] = [Self::Bindings, Self::Visitors, Self::Clients, Self::Addresses];

    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Self::Bindings => "bindings",
            Self::Visitors => "visitors",
            Self::Clients => "clients",
            Self::Addresses => "addresses",
        })
    }
}

/// What a record is found by.
pub(super) type Key = (Table, Box<[u8]>);

/// One record to be written (`Some`) or removed.
pub(super) type Change = (Key, Option<Box<[u8]>>);

/// What a file held.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// All records.
    pub records: Vec<(Table, Vec<u8>)>,
    /// What the last agent left about itself; `None` in a new file.
    pub run: Option<Run>,
}

/// How the file is opened; tests put a disk that fails in between.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// The open file.
pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    database: Option<Database>,
}

impl Store {
    /// Opens or creates the file, checks it from end to end, and reads it.
    pub fn open(path: &Path) -> Result<(Self, Contents), StateError> {
        let file = path.to_owned();
        Self::open_with(path, Box::new(move || builder().create(&file)))
    }

    pub(super) fn open_with(path: &Path, opener: Opener) -> Result<(Self, Contents), StateError> {
        let database = open(path, &opener)?;
        // What the store's own check does not find may still stop it short; that must not stop us.
        let contents = catch_unwind(AssertUnwindSafe(|| read(&database)))
            .unwrap_or_else(|_| Err(Failure::Damaged("its parts do not fit together".into())))
            .map_err(|failure| failure.at(path))?;
        Ok((Self { path: path.to_owned(), opener, database: Some(database) }, contents))
    }

    /// Makes all changes, or none, and returns when they are on the disk.
    pub fn commit(&mut self, changes: &[Change], run: &Run) -> Result<(), StateError> {
        // After an error the file must be opened again; redb says so of most of them.
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path, &self.opener)?,
        };
        catch_unwind(AssertUnwindSafe(|| write(&database, changes, run)))
            .unwrap_or_else(|_| Err(Failure::Damaged("its parts do not fit together".into())))
            .map_err(|failure| failure.at(&self.path))?;
        self.database = Some(database);
        Ok(())
    }
}

pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn open(path: &Path, opener: &Opener) -> Result<Database, StateError> {
    match catch_unwind(AssertUnwindSafe(opener)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StateError::InUse(path.parent().unwrap_or(path).to_owned())),
        Ok(Err(error)) => Err(Failure::from(redb::Error::from(error)).at(path)),
        Err(_) => Err(Failure::Damaged("its parts do not fit together".into()).at(path)),
    }
}

/// What went wrong, before the file is named.
enum Failure {
    Damaged(String),
    Newer(u32),
    Io(io::Error),
}

impl Failure {
    fn at(self, path: &Path) -> StateError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => StateError::Damaged { path, reason },
            Self::Newer(found) => StateError::Newer { path, found, known: FORMAT },
            Self::Io(source) => StateError::Inaccessible { path, source },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        match error.into() {
            // redb reports a file of another kind, or one that ends too early, as an error of the system.
            redb::Error::Io(error)
                if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Io(error)
            }
            redb::Error::PreviousIo => Self::Io(io::Error::other("an earlier write failed")),
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn read(database: &Database) -> Result<Contents, Failure> {
    let transaction = database.begin_read()?;
    let mut contents = Contents::default();
    match transaction.open_table(ABOUT) {
        Ok(about) => {
            if let Some(format) = about.get(FORMAT_KEY)? {
                let format = format.value().try_into().map(u32::from_be_bytes);
                let format = format.map_err(|_| Failure::Damaged("its format is no number".into()))?;
                if format > FORMAT {
                    return Err(Failure::Newer(format));
                }
            }
            let run = about.get(RUN_KEY)?.map(|run| serde_json::from_slice(run.value()));
            contents.run = run.transpose().map_err(|error| Failure::Damaged(error.to_string()))?;
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    for table in Table::ALL {
        let rows = match transaction.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for row in rows.iter()? {
            let (_, value) = row?;
            contents.records.push((table, value.value().to_vec()));
        }
    }
    Ok(contents)
}

fn write(database: &Database, changes: &[Change], run: &Run) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
        let run = serde_json::to_vec(run).map_err(|error| Failure::Damaged(error.to_string()))?;
        about.insert(RUN_KEY, run.as_slice())?;
    }
    for table in Table::ALL {
        let mut changes = changes.iter().filter(|((of, _), _)| *of == table).peekable();
        if changes.peek().is_none() {
            continue;
        }
        let mut rows = transaction.open_table(table.definition())?;
        for ((_, key), value) in changes {
            match value {
                Some(value) => drop(rows.insert(&**key, &**value)?),
                None => drop(rows.remove(&**key)?),
            }
        }
    }
    // Durability::Immediate, the default: the file is synced before this returns.
    transaction.commit()?;
    Ok(())
}
