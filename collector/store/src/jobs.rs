//! The queue of analyses: leased, so that the death of whoever works on one gives it back.

use crate::assign::{line, whole_report};
use crate::files::{self, FAILURE};
use crate::store::{Store, StoreError, now_ms};
use crate::types::DumpStatus;
use aground_helper::id::DumpId;
use rusqlite::{OptionalExtension, Transaction, params};

/// An analysis somebody has leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The dump.
    pub id: DumpId,
    /// How often it was leased, this time included.
    pub attempts: u32,
    /// When it was queued, milliseconds since the epoch.
    pub queued_at_ms: i64,
}

impl Store {
    /// Leases the oldest waiting analysis for `lease_ms` milliseconds.
    pub fn lease_job(&self, lease_ms: i64) -> Result<Option<Job>, StoreError> {
        self.inner.database.write(|sql| {
            let now = now_ms();
            let leased: Option<(i64, u32, i64)> = sql
                .prepare_cached(
                    "UPDATE jobs SET attempts = attempts + 1, locked_until_ms = ?2, again = 0
                     WHERE dump = (SELECT dump FROM jobs WHERE locked_until_ms <= ?1 ORDER BY queued_at_ms, dump LIMIT 1)
                     RETURNING dump, attempts, queued_at_ms",
                )?
                .query_row(params![now, now.saturating_add(lease_ms)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((key, attempts, queued_at_ms)) = leased else { return Ok(None) };
            let id = sql
                .prepare_cached("UPDATE dumps SET status = ?2 WHERE key = ?1 RETURNING id")?
                .query_row(params![key, DumpStatus::Analyzing.as_str()], |row| crate::dumps::id_column(row, 0))?;
            Ok(Some(Job { id, attempts, queued_at_ms }))
        })
    }

    /// Gives a leased analysis back. `counts` is false when the attempt says nothing about the
    /// dump, as when the daemon is asked to stop.
    pub fn release_job(&self, id: &DumpId, counts: bool) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            sql.prepare_cached(
                "UPDATE jobs SET locked_until_ms = 0, attempts = max(0, attempts - ?2)
                 WHERE dump = (SELECT key FROM dumps WHERE id = ?1)",
            )?
            .execute(params![id.as_str(), i64::from(!counts)])?;
            set_status(sql, id, DumpStatus::Pending)
        })
    }

    /// Gives back what a daemon that died had leased. To be called before anything is leased.
    pub fn requeue_leases(&self) -> Result<usize, StoreError> {
        self.inner.database.write(|sql| {
            let leased = sql.execute(
                "UPDATE jobs SET locked_until_ms = 0 WHERE locked_until_ms > 0",
                [],
            )?;
            let (pending, analyzing) =
                (DumpStatus::Pending.as_str(), DumpStatus::Analyzing.as_str());
            sql.execute(
                "UPDATE dumps SET status = ?1 WHERE status = ?2",
                [pending, analyzing],
            )?;
            Ok(leased)
        })
    }

    /// Queues an analysis of the dump, again when it had one. Its report stays until the next. One
    /// that is under way goes on, and is followed by another: it may have begun too early.
    pub fn queue_job(&self, id: &DumpId) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            let final_report = "SELECT EXISTS (SELECT 1 FROM dumps WHERE id = ?1 AND dropped IS NOT NULL
                 AND kept = 'none' AND group_id IS NOT NULL)";
            if sql
                .prepare_cached(final_report)?
                .query_row([id.as_str()], |row| row.get(0))?
            {
                return Err(StoreError::MemoryDropped);
            }
            let queued = sql
                .prepare_cached(
                    "INSERT INTO jobs (dump, queued_at_ms) SELECT key, ?2 FROM dumps WHERE id = ?1
                     ON CONFLICT (dump) DO UPDATE SET again = locked_until_ms > 0,
                         attempts = iif(locked_until_ms > 0, attempts, 0)",
                )?
                .execute(params![id.as_str(), now_ms()])?;
            if queued == 0 {
                return Err(StoreError::NotFound("dump"));
            }
            sql.prepare_cached(
                "UPDATE dumps SET status = 'pending' WHERE id = ?1 AND status IN ('analyzed', 'failed')",
            )?
            .execute([id.as_str()])?;
            Ok(())
        })
    }

    /// Ends the job of a dump of which there is not even a partial report.
    pub fn fail_job(&self, id: &DumpId, error: &str) -> Result<(), StoreError> {
        let directory = self.inner.files.dump(id);
        let status = match whole_report(&directory) {
            Some(_) => DumpStatus::Analyzed,
            None => DumpStatus::Failed,
        };
        if status == DumpStatus::Failed && directory.is_dir() {
            files::write_whole(&directory.join(FAILURE), error.as_bytes())?;
        }
        self.inner.database.write(|sql| {
            sql.prepare_cached("UPDATE dumps SET analysis_error = ?2 WHERE id = ?1")?
                .execute(params![id.as_str(), line(error)])?;
            set_status(sql, id, status)?;
            end(sql, id)
        })
    }
}

/// Takes a dump's job out of the queue, or to its end when there was reason for another analysis.
pub(crate) fn end(sql: &Transaction<'_>, id: &DumpId) -> Result<(), StoreError> {
    let again = sql
        .prepare_cached(
            "UPDATE jobs SET locked_until_ms = 0, attempts = 0, again = 0, queued_at_ms = ?2
             WHERE again AND dump = (SELECT key FROM dumps WHERE id = ?1)",
        )?
        .execute(params![id.as_str(), now_ms()])?;
    if again > 0 {
        return set_status(sql, id, DumpStatus::Pending);
    }
    sql.prepare_cached("DELETE FROM jobs WHERE dump = (SELECT key FROM dumps WHERE id = ?1)")?
        .execute([id.as_str()])?;
    Ok(())
}

fn set_status(sql: &Transaction<'_>, id: &DumpId, status: DumpStatus) -> Result<(), StoreError> {
    let changed = sql
        .prepare_cached("UPDATE dumps SET status = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), status.as_str()])?;
    if changed == 0 {
        Err(StoreError::NotFound("dump"))
    } else {
        Ok(())
    }
}
