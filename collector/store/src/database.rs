//! Opens the database, applies migrations, and lends connections: one that writes, a few that read.

use crate::access::{Scope, views};
use crate::query::words;
use crate::store::StoreError;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Every migration in order; number 1 is the first. Append-only, see `migrations/README.md`.
const MIGRATIONS: [&str; 18] = [
    include_str!("../../../migrations/0001_initial.sql"),
    include_str!("../../../migrations/0002_retention.sql"),
    include_str!("../../../migrations/0003_identity.sql"),
    include_str!("../../../migrations/0004_imports.sql"),
    include_str!("../../../migrations/0005_facts.sql"),
    include_str!("../../../migrations/0006_again.sql"),
    include_str!("../../../migrations/0007_wanted_symbols.sql"),
    include_str!("../../../migrations/0008_lifecycle.sql"),
    include_str!("../../../migrations/0009_notices.sql"),
    include_str!("../../../migrations/0010_used_symbols.sql"),
    include_str!("../../../migrations/0011_similarity.sql"),
    include_str!("../../../migrations/0012_properties.sql"),
    include_str!("../../../migrations/0013_search.sql"),
    include_str!("../../../migrations/0014_forgetting.sql"),
    include_str!("../../../migrations/0015_proposals.sql"),
    include_str!("../../../migrations/0016_values.sql"),
    include_str!("../../../migrations/0017_unscripted.sql"),
    include_str!("../../../migrations/0018_reroutes.sql"),
];

/// Connections that only read. Pages and API calls are short, so a few are enough.
const READERS: usize = 4;
/// The same of one scope.
const READERS_OF_SCOPE: usize = 2;

/// The most memory for pages of the database that a connection keeps, KiB.
const CACHE_KIB: i64 = 32 << 10;

/// Statements kept prepared per connection.
const CACHED_STATEMENTS: usize = 128;

/// The database behind a [`crate::Store`].
pub(crate) struct Database {
    writer: Arc<Mutex<Connection>>,
    readers: Arc<Readers>,
}

/// Connections that only read.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Database {
    /// Opens or makes the database and brings its shape up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(Self {
            writer: Arc::new(Mutex::new(writer)),
            readers: Readers::open(path, READERS, &Scope::default())?,
        })
    }

    /// The same database, of which what is read is in scope. The connections are others: none ever
    /// changes what it sees.
    pub(crate) fn seen(&self, path: &Path, scope: &Scope) -> Result<Self, StoreError> {
        let readers = if scope.is_everything() {
            Arc::clone(&self.readers)
        } else {
            Readers::open(path, READERS_OF_SCOPE, scope)?
        };
        Ok(Self {
            writer: Arc::clone(&self.writer),
            readers,
        })
    }

    /// Runs `work` in one transaction: all of it or nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Runs `work` on one snapshot of the database.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut reader = self.readers.borrow();
        let connection = reader
            .connection
            .as_mut()
            .ok_or(rusqlite::Error::InvalidQuery)?;
        let snapshot = connection.transaction()?;
        work(&snapshot)
    }

    /// Adds the rows of a table of another database of ours, in place of those here.
    pub(crate) fn take_table(&self, other: &Path, table: &'static str) -> Result<(), StoreError> {
        let writer = lock(&self.writer);
        let name = other.to_string_lossy();
        writer.execute("ATTACH DATABASE ?1 AS other", [name])?;
        let columns = || -> Result<String, StoreError> {
            let text = format!("SELECT name FROM other.pragma_table_info('{table}')");
            let mut statement = writer.prepare(&text)?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(names.collect::<Result<Vec<_>, _>>()?.join(", "))
        };
        let taken = columns().and_then(|columns| {
            let text = format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM other.{table}");
            Ok(writer.execute(&text, [])?)
        });
        writer.execute("DETACH DATABASE other", [])?;
        taken.map(drop)
    }
}

impl Readers {
    fn open(path: &Path, count: usize, scope: &Scope) -> Result<Arc<Self>, StoreError> {
        let readers = (0..count).map(|_| {
            let reader = connect(path)?;
            if !scope.is_everything() {
                views::install(&reader, scope)?;
            }
            words::open(&reader)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(reader)
        });
        Ok(Arc::new(Self {
            idle: Mutex::new(readers.collect::<Result<_, StoreError>>()?),
            returned: Condvar::new(),
        }))
    }

    fn borrow(&self) -> BorrowedReader<'_> {
        let mut readers = lock(&self.idle);
        loop {
            if let Some(connection) = readers.pop() {
                return BorrowedReader {
                    readers: self,
                    connection: Some(connection),
                };
            }
            readers = self
                .returned
                .wait(readers)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Goes back to the pool when dropped, also when a query panics.
struct BorrowedReader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for BorrowedReader<'_> {
    fn drop(&mut self) {
        lock(&self.readers.idle).extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}

/// Takes a lock whoever panicked while holding it: connections roll back on their own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database of the present shape that is gone when dropped.
pub(crate) fn in_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    for sql in MIGRATIONS {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.commit()?;
    }
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may lose the last transactions but never damages the file; rows come back
    // from the files beside them.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let applied: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(applied).unwrap_or(usize::MAX);
    let missing = MIGRATIONS
        .get(done..)
        .ok_or(StoreError::NewerDatabase(applied))?;
    for (number, sql) in (applied + 1..).zip(missing) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        tracing::info!(migration = number, "database migrated");
    }
    Ok(())
}

/// `SQLite`'s integers are signed; sizes and counts fit unless they are nonsense.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back.
pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Text as a column holds it: NUL would end it for GLOB and LIKE, so it is shown as its symbol.
/// The query language does the same to what it looks for.
pub(crate) fn column_text(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_migration_is_applied_once_and_a_newer_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("aground.db");
        for _ in 0..2 {
            let database = Database::open(&path).unwrap();
            let version: i64 = database
                .read(|sql| Ok(sql.query_row("PRAGMA user_version", [], |r| r.get(0))?))
                .unwrap();
            assert_eq!(version, i64::try_from(MIGRATIONS.len()).unwrap());
        }
        connect(&path)
            .unwrap()
            .pragma_update(None, "user_version", 1000)
            .unwrap();
        assert!(matches!(
            Database::open(&path),
            Err(StoreError::NewerDatabase(1000))
        ));
    }

    #[test]
    fn readers_see_nothing_of_a_transaction_that_failed() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("aground.db")).unwrap();
        let failed = database.write(|sql| {
            sql.execute(
                "INSERT INTO names (kind, name) VALUES ('function', 'f')",
                [],
            )?;
            Err::<(), _>(StoreError::NotFound("dump"))
        });
        assert!(failed.is_err());
        let count: i64 = database
            .read(|sql| Ok(sql.query_row("SELECT count(*) FROM names", [], |r| r.get(0))?))
            .unwrap();
        assert_eq!(count, 0);
        assert!(
            database
                .read(|sql| Ok(sql.execute("DELETE FROM names", [])?))
                .is_err(),
            "readers must not write"
        );
    }
}
