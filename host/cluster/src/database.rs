//! SQLite: connections, durability and the version of the schema.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};

use crate::fault::Fault;
use crate::folder::{OpenError, sync_folder};

/// All versions of the schema in order; each runs once, in one transaction with the version number it leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
    include_str!("schema/v6.sql"),
    include_str!("schema/v7.sql"),
];

/// Idle read connections that are kept. More readers at once than this open one of their own for the moment.
const IDLE_READERS_MAX: usize = 8;

/// How long to wait for a lock that only an SQLite shell beside us could hold.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One database file.
pub(crate) struct Database {
    /// To open further read connections.
    path: PathBuf,
    /// Idle read connections. In WAL mode a reader never waits for the writer, so that a guest's `get` does not queue
    /// behind another's commit, which waits for the disk. Dropped before `writer`, which can checkpoint when it is last.
    readers: Mutex<Vec<Connection>>,
    /// The only connection that writes. SQLite has one writer at a time anyway; a mutex wakes who waits, where SQLite
    /// would poll and, beyond its timeout, fail. It also orders commits against the deletion of blobs.
    writer: Mutex<Connection>,
}

impl Database {
    /// Opens or creates `folder/store.sqlite` and brings it to the newest schema.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let fault = |fault| OpenError::Fault { folder: folder.to_owned(), fault };
        let path = folder.join("store.sqlite");
        // Created here for its mode: it holds guests' data, and SQLite gives its -wal and -shm the same mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| fault(Fault::file("open", &path)(error)))?;
        let mut writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| fault(error.into()))?;
        let found = migrate(&mut writer).map_err(|error| fault(error.into()))?;
        if found as usize > MIGRATIONS.len() {
            return Err(OpenError::Version {
                folder: folder.to_owned(),
                what: "database",
                found: found.to_string(),
                known: MIGRATIONS.len().to_string(),
            });
        }
        sync_folder(folder).map_err(fault)?;
        Ok(Self { path, readers: Mutex::default(), writer: Mutex::new(writer) })
    }

    /// Runs `work` as the only writer, in one transaction: all of it lasts when this returns `Ok`, none of it otherwise.
    pub(crate) fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// Runs `work` over one consistent snapshot that includes every write that has returned.
    pub(crate) fn read<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = lock(&self.readers).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let answer = reader.transaction().map_err(E::from).and_then(|transaction| work(&transaction));
        let mut readers = lock(&self.readers);
        if readers.len() < IDLE_READERS_MAX {
            readers.push(reader);
        }
        answer
    }
}

/// Takes a lock even if a holder panicked: SQLite rolled that holder's transaction back when it was dropped.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // No mutex inside SQLite: each connection is behind one of ours.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.pragma_update(None, "journal_mode", "wal")?;
        // In WAL mode anything less than FULL may lose commits that were acknowledged: https://sqlite.org/pragma.html
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
    }
    Ok(connection)
}

/// Applies what is missing; returns the version found, which may be newer than any that we know.
fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (version, script) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(found)
}

/// Reads a text column as the identifier that it was written from.
pub(crate) fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: T::Err| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// SQLite's integers are signed. The same 64 bits come back from [`from_sql`]; nothing compares them in SQL but revision
/// numbers, which count from 1.
pub(crate) fn to_sql(number: u64) -> i64 {
    number as i64
}

/// Undoes [`to_sql`].
pub(crate) fn from_sql(number: i64) -> u64 {
    number as u64
}
