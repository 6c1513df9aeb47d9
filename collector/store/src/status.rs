//! What the store holds, in numbers.

use crate::database::from_sql;
use crate::store::{Store, StoreError, now_ms};
use crate::types::StoreStatus;
use std::fs;

impl Store {
    /// How many groups there are in each state.
    pub fn groups_by_state(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query =
                sql.prepare_cached("SELECT state, count(*) FROM groups GROUP BY state")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?))))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What the store holds.
    pub fn status(&self) -> Result<StoreStatus, StoreError> {
        let now = now_ms();
        let mut status = self.inner.database.read(|sql| {
            let number = |text: &str| -> Result<u64, StoreError> {
                Ok(from_sql(
                    sql.prepare_cached(text)?.query_row([], |row| row.get(0))?,
                ))
            };
            let oldest: Option<i64> =
                sql.query_row("SELECT min(queued_at_ms) FROM jobs", [], |row| row.get(0))?;
            Ok(StoreStatus {
                dumps: number("SELECT dumps FROM totals")?,
                groups: number("SELECT count(*) FROM groups")?,
                pending: number("SELECT count(*) FROM jobs")?,
                pinned: number("SELECT pinned FROM totals")?,
                failed: number("SELECT failed FROM totals")?,
                oldest_pending_ms: oldest.map(|queued| from_sql(now.saturating_sub(queued))),
                core_bytes: number("SELECT stored_bytes FROM totals")?,
                module_bytes: number("SELECT coalesce(sum(bytes), 0) FROM modules")?,
                modules: number("SELECT count(*) FROM modules")?,
                ..StoreStatus::default()
            })
        })?;
        let database = self.inner.files.database();
        // Most of what was written lately is in the write-ahead log.
        for path in [database.clone(), database.with_extension("db-wal")] {
            status.database_bytes += fs::metadata(path).map_or(0, |file| file.len());
        }
        (_, status.free_bytes) = self.disk()?;
        Ok(status)
    }
}
