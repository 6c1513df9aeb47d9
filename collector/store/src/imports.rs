//! Files of watched directories that were looked at.

use crate::database::{column_text, to_sql};
use crate::store::{Store, StoreError, now_ms};
use rusqlite::{OptionalExtension, params};

/// A file as it was when it was looked at: one that changes is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its path; where it is no UTF-8, escaped.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was changed, nanoseconds since the epoch.
    pub modified_ns: i64,
}

impl Store {
    /// Whether the file was looked at as it is now.
    pub fn was_watched(&self, file: &Watched) -> Result<bool, StoreError> {
        self.inner.database.read(|sql| {
            let known = "SELECT 1 FROM imports WHERE path = ?1 AND size = ?2 AND modified_ns = ?3";
            let found = sql
                .prepare_cached(known)?
                .query_row(
                    params![file.path, to_sql(file.size), file.modified_ns],
                    |_| Ok(()),
                )
                .optional()?;
            Ok(found.is_some())
        })
    }

    /// Remembers that the file was looked at: the dump's id, or why it became none.
    pub fn remember_watched(
        &self,
        file: &Watched,
        outcome: Result<&str, &str>,
    ) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            sql.prepare_cached(
                "INSERT OR REPLACE INTO imports (path, size, modified_ns, dump, error, at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                file.path,
                to_sql(file.size),
                file.modified_ns,
                outcome.ok(),
                outcome.err().map(column_text),
                now_ms(),
            ])?;
            Ok(())
        })
    }
}
