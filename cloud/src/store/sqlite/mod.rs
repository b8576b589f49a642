//! The event store in one SQLite file.
//!
//! One connection writes; readers have their own and see what is committed (write-ahead log). `synchronous=FULL`: a
//! commit that returned is on disk. The file is readable by its owner only, and a lock file beside it keeps a second
//! daemon out; if that lock fails (network file systems), appending at an expected version still keeps the log right.
//! **Deliberately absent:** repair. A damaged file is reported, never rewritten.

mod copy;
mod heads;
mod migrations;
mod outbox;
mod read;
mod write;

pub use write::SqliteTransaction;

use super::{EventStore, Result, StoreError};
use heads::Heads;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another process's lock before it is refused.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: more than this module has.
const STATEMENTS: usize = 64;

/// Pages the writer keeps in memory, in KiB. In a large fleet every token's rows lie on other pages.
const CACHE_KIB: u32 = 32 * 1024;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged(error.to_string())
            }
            _ => StoreError::Failed(Box::new(error)),
        }
    }
}

fn file_failed(path: &Path, error: &io::Error) -> StoreError {
    let told = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    StoreError::Failed(Box::new(told))
}

/// Where the database is.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    /// A database of this process that dies with its last connection; the name tells several apart.
    Memory(String),
}

/// The event store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    heads: Heads,
    place: Place,
    /// Held for as long as the store lives; `None` in memory and for a second writer on purpose.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens or creates the database for the one daemon that owns it.
    ///
    /// # Errors
    /// [`StoreError::Owned`] if another process has it, [`StoreError::Newer`] if a newer program wrote it.
    pub fn open(path: &Path) -> Result<SqliteStore> {
        let lock = own(path)?;
        let mut store = Self::open_unowned(path)?;
        store._lock = Some(lock);
        Ok(store)
    }

    /// Opens or creates the database without claiming to be its only writer.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], except [`StoreError::Owned`].
    pub fn open_unowned(path: &Path) -> Result<SqliteStore> {
        // Made before SQLite sees it, so that neither it nor its log is readable by others for a moment.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.map_err(|error| file_failed(path, &error))?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(|error| file_failed(path, &error))?;
        drop(file);
        Self::open_at(Place::File(path.to_path_buf()))
    }

    /// A database in memory, for tests and demonstrations; `name` tells several in one process apart.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn in_memory(name: &str) -> Result<SqliteStore> {
        Self::open_at(Place::Memory(name.to_owned()))
    }

    /// Opens an existing database only to read, beside the daemon that owns it or without one.
    ///
    /// # Errors
    /// If there is none, or a newer program wrote it.
    pub fn open_reader(path: &Path) -> Result<Connection> {
        let connection = connect(&Place::File(path.to_path_buf()), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        migrations::check(&connection)?;
        Ok(connection)
    }

    fn open_at(place: Place) -> Result<SqliteStore> {
        let mut connection =
            connect(&place, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // A database in memory keeps its own journal mode; for a file this is durable and asked once.
        let _mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        connection.execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}"))?;
        migrations::run(&mut connection)?;
        Ok(SqliteStore { connection, heads: Heads::default(), place, _lock: None })
    }

    /// Lets the database grow to so many pages at most, as a full disk would.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) -> Result<()> {
        let _now: i64 =
            self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0))?;
        Ok(())
    }

    /// How many pages the database has.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> Result<u32> {
        Ok(self.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?)
    }
}

impl EventStore for SqliteStore {
    type Reader = Connection;
    type Tx<'a> = SqliteTransaction<'a>;

    fn reads(&self) -> &Connection {
        &self.connection
    }

    fn reader(&self) -> Result<Connection> {
        // Read-only by flag on files; the memory VFS shares only what is opened for writing, so there by pragma.
        let flags = match &self.place {
            Place::File(_) => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Place::Memory(_) => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let connection = connect(&self.place, flags)?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    }

    fn begin(&mut self) -> Result<SqliteTransaction<'_>> {
        SqliteTransaction::begin(&self.connection, &mut self.heads)
    }
}

fn connect(place: &Place, flags: OpenFlags) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match place {
        Place::File(path) => Connection::open_with_flags(path, flags)?,
        Place::Memory(name) => Connection::open_with_flags(
            format!("file:/{name}?vfs=memdb"),
            flags | OpenFlags::SQLITE_OPEN_URI,
        )?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(connection)
}

/// Whether a daemon has the database open: it holds the lock on `PATH.lock`.
pub(crate) fn is_owned(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    File::open(name).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the advisory lock on `PATH.lock`; the operating system releases it however the process ends.
fn own(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| file_failed(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Owned { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(file_failed(&path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn keeps_the_contract_on_disk() {
        contract::run(|name| {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&dir.path().join(name)).unwrap();
            (store, dir)
        });
    }

    #[test]
    fn keeps_the_contract_in_memory() {
        contract::run(|name| (SqliteStore::in_memory(&format!("contract-{name}")).unwrap(), ()));
    }

    #[test]
    fn one_owner_at_a_time_and_only_the_owner_reads_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.db");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let first = SqliteStore::open(&path).unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
        let refused = SqliteStore::open(&path).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Owned { path } if path.ends_with("books.db.lock")),
            "{refused}"
        );
        drop(first);
        SqliteStore::open(&path).unwrap();
    }

    #[test]
    fn a_file_of_a_newer_program_or_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.db");
        let store = SqliteStore::open(&path).unwrap();
        store.connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema'", []).unwrap();
        drop(store);
        let newer = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(newer, StoreError::Newer { found: 99, .. }), "{newer}");
        assert!(SqliteStore::open_reader(&path).is_err());

        let other = dir.path().join("letter.txt");
        fs::write(&other, "not a database, but long enough to be mistaken for the header of one".repeat(9))
            .unwrap();
        let refused = SqliteStore::open(&other).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
        assert!(fs::read_to_string(&other).unwrap().starts_with("not a database"));
    }

    #[test]
    fn whoever_rewrites_the_log_is_found_out() {
        use crate::store::chain::verify_chain;
        use crate::store::{Append, ChangeSet, NewEvent, StreamId, Transaction};
        use coterm_shared::time::Timestamp;

        let stream = StreamId::from_bytes([1; 16]);
        let check = |name: &str, forgery: &str, expect: &str| {
            let mut store = SqliteStore::in_memory(&format!("forged-{name}")).unwrap();
            let event = |n: u8| NewEvent { at: Timestamp::EPOCH, event: vec![n] };
            let append = Append { stream, expected_version: 0, events: (1..=3).map(event).collect() };
            let changes = ChangeSet {
                recorded_at: Timestamp::EPOCH,
                actor: "ada".to_owned(),
                request_id: "req-1".to_owned(),
                appends: vec![append],
                reservations: Vec::new(),
                idempotency: None,
            };
            let mut tx = store.begin().unwrap();
            tx.apply(&changes).unwrap().unwrap();
            tx.commit().unwrap();
            assert!(store.connection.execute_batch(forgery).is_err(), "{name}: the log is append-only");
            let unlock =
                "DROP TRIGGER events_are_never_changed; DROP TRIGGER events_are_never_deleted;".to_owned();
            store.connection.execute_batch(&(unlock + forgery)).unwrap();
            let fault = verify_chain(store.reads(), stream).unwrap().unwrap_err();
            assert!(fault.to_string().ends_with(expect), "{name}: {fault}");
        };
        let altered = "entry 2 or one before it was altered: its hash does not fit";
        check("event", "UPDATE events SET event = x'09' WHERE version = 2", altered);
        check("actor", "UPDATE events SET actor = 'eve' WHERE version = 2", altered);
        check("instant", "UPDATE events SET recorded_at = 1 WHERE version = 2", altered);
        check("border", "UPDATE events SET actor = 'adar', request_id = 'eq-1' WHERE version = 2", altered);
        check("gap", "DELETE FROM events WHERE version = 2", "entry 2 is missing, 3 follows entry 1");
        check("end", "DELETE FROM events WHERE version = 3", "the log has 2 entries, the store recorded 3");
        check(
            "head",
            "DELETE FROM events WHERE version = 9; UPDATE events SET event = event WHERE version = 3;
             UPDATE streams SET version = 2, hash = (SELECT hash FROM events WHERE version = 2)",
            "the log has 3 entries, the store recorded 2",
        );
    }
}
