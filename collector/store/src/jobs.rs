//! The queue of analyses: leased, so that the death of whoever works on one gives it back.

use crate::assign::{line, whole_report};
use crate::files::{self, FAILURE};
use crate::store::{Store, StoreError, now_ms};
use crate::types::DumpStatus;
use aground_helper::id::DumpId;
use rusqlite::{Transaction, params};

/// An analysis somebody has leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The dump.
    pub id: DumpId,
    /// How often it was leased, this time included.
    pub attempts: u32,
    /// When it was queued, milliseconds since the epoch.
    pub queued_at_ms: i64,
    /// Whether no memory was kept of the crash: its report says what the record says.
    pub bare: bool,
}

impl Store {
    /// Leases the oldest waiting analysis for `lease_ms` milliseconds.
    pub fn lease_job(&self, lease_ms: i64) -> Result<Option<Job>, StoreError> {
        Ok(self.lease_jobs(lease_ms, 1)?.pop())
    }

    /// Leases the oldest waiting analysis. When no memory was kept of that crash, there is little
    /// to do: then those of at most `most` crashes, the oldest of which no memory was kept.
    pub fn lease_jobs(&self, lease_ms: i64, most: usize) -> Result<Vec<Job>, StoreError> {
        self.inner.database.write(|sql| {
            let now = now_ms();
            let mut waiting = sql.prepare_cached(
                "SELECT j.dump, d.kept = 'none' AND d.memory_bytes = 0 FROM jobs j JOIN dumps d ON d.key = j.dump
                 WHERE j.locked_until_ms <= ?1 ORDER BY j.queued_at_ms, j.dump LIMIT ?2",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let found = waiting.query_map([now, most], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let found: Vec<(i64, bool)> = found.collect::<Result<_, _>>()?;
            let mut jobs = vec![];
            for (key, bare) in found {
                if jobs.is_empty() || bare {
                    jobs.push(lease(sql, key, now.saturating_add(lease_ms), bare)?);
                }
                if jobs.iter().any(|job| !job.bare) {
                    break;
                }
            }
            Ok(jobs)
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

fn lease(sql: &Transaction<'_>, key: i64, until_ms: i64, bare: bool) -> Result<Job, StoreError> {
    let (attempts, queued_at_ms) = sql
        .prepare_cached(
            "UPDATE jobs SET attempts = attempts + 1, locked_until_ms = ?2, again = 0 WHERE dump = ?1
             RETURNING attempts, queued_at_ms",
        )?
        .query_row([key, until_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let id = sql
        .prepare_cached("UPDATE dumps SET status = ?2 WHERE key = ?1 RETURNING id")?
        .query_row(params![key, DumpStatus::Analyzing.as_str()], |row| {
            crate::dumps::id_column(row, 0)
        })?;
    Ok(Job {
        id,
        attempts,
        queued_at_ms,
        bare,
    })
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
