//! Files of symbols that dumps lack, as their reports say, and what servers were asked for.

use crate::assign::line;
use crate::database::from_sql;
use crate::store::{Store, StoreError, now_ms};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

/// The most files that one dump may lack; programs map fewer.
const MOST: usize = 1024;
/// The longest identification of a file, bytes: a build ID of 64.
const LONGEST: usize = 128;

/// A file of symbols that crashes lack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingSymbols {
    /// Build ID of the file.
    pub build_id: String,
    /// Path of a module that lacks it, as a process saw it.
    pub module: String,
    /// How many crashes have frames in it.
    pub crashes: u64,
    /// The latest of them, milliseconds since the epoch.
    pub last_seen_ms: i64,
    /// What servers answered last, when they were asked.
    pub outcome: Option<String>,
}

impl Store {
    /// Files that crashes lack, those that most crashes lack first.
    pub fn missing_symbols(&self, limit: usize) -> Result<Vec<MissingSymbols>, StoreError> {
        let mut missing: Vec<MissingSymbols> = self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT wanted_symbols.file, max(module), count(*), max(crashed_at_ms), outcome
                 FROM wanted_symbols JOIN dumps ON dumps.key = wanted_symbols.dump
                 LEFT JOIN symbol_requests ON symbol_requests.file = wanted_symbols.file
                 WHERE NOT used GROUP BY wanted_symbols.file
                 ORDER BY count(*) DESC, max(crashed_at_ms) DESC, wanted_symbols.file LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = query.query_map([limit], |row| {
                Ok(MissingSymbols {
                    build_id: row.get(0)?,
                    module: row.get(1)?,
                    crashes: from_sql(row.get(2)?),
                    last_seen_ms: row.get(3)?,
                    outcome: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        // It came, and the analyses that use it are still queued.
        missing.retain(|file| !self.has_symbols(&file.build_id));
        Ok(missing)
    }

    /// Files that a dump lacks, or was given because it lacked them.
    pub fn wanted_symbols(&self, id: &DumpId) -> Result<Vec<String>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT file FROM wanted_symbols WHERE dump = (SELECT key FROM dumps WHERE id = ?1)",
            )?;
            let rows = query.query_map([id.as_str()], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Files that dumps lack and that are here.
    pub fn symbols_that_are_wanted(&self) -> Result<Vec<String>, StoreError> {
        let mut files: Vec<String> = self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT DISTINCT file FROM wanted_symbols JOIN dumps ON dumps.key = dump
                 WHERE kept <> 'none' AND NOT used",
            )?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        files.retain(|file| self.has_symbols(file));
        Ok(files)
    }

    /// Build IDs that servers are to be asked for now, those of the newest crashes first.
    pub fn symbols_to_request(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let mut files: Vec<String> = self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT file FROM wanted_symbols JOIN dumps ON dumps.key = wanted_symbols.dump
                 WHERE kept <> 'none' AND NOT used AND (file NOT LIKE '%-%' OR file LIKE 'program-%') AND NOT EXISTS (SELECT 1 FROM symbol_requests
                   WHERE symbol_requests.file = wanted_symbols.file AND until_ms > ?1)
                 GROUP BY file ORDER BY max(dump) DESC, file LIMIT ?2",
            )?;
            let rows = query.query_map(params![now_ms(), limit], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        files.retain(|file| !self.has_symbols(file));
        Ok(files)
    }

    /// Notes what came of asking for a file, and for how many milliseconds nobody asks again.
    pub fn note_request(
        &self,
        build_id: &str,
        outcome: &str,
        rest_ms: i64,
    ) -> Result<(), StoreError> {
        let now = now_ms();
        self.inner.database.write(|sql| {
            sql.prepare_cached(
                "INSERT OR REPLACE INTO symbol_requests (file, at_ms, until_ms, outcome)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                build_id,
                now,
                now.saturating_add(rest_ms),
                line(outcome)
            ])?;
            // What nobody lacks any longer.
            sql.prepare_cached(
                "DELETE FROM symbol_requests WHERE until_ms < ?1
                 AND file NOT IN (SELECT file FROM wanted_symbols)",
            )?
            .execute([now])?;
            Ok(())
        })
    }

    /// Has servers asked again for all that they did not have. Returns how many files that is.
    pub fn forget_requests(&self) -> Result<usize, StoreError> {
        self.inner
            .database
            .write(|sql| Ok(sql.execute("UPDATE symbol_requests SET until_ms = 0", [])?))
    }
}

/// What the report says that a dump lacks. It comes from a worker that read hostile bytes. What it
/// no longer lacks it was given.
pub(crate) fn replace(sql: &Transaction<'_>, key: i64, report: &Report) -> Result<(), StoreError> {
    sql.prepare_cached("UPDATE wanted_symbols SET used = 1 WHERE dump = ?1")?
        .execute([key])?;
    let wanted = report.modules.iter().flat_map(|module| {
        let wanted = module.wanted.iter();
        wanted.map(|file| (file.as_str(), module.path.as_str()))
    });
    let is_key = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-';
        (4..=LONGEST).contains(&text.len()) && text.bytes().all(plain)
    };
    let mut insert = sql.prepare_cached(
        "INSERT INTO wanted_symbols (dump, file, module) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET used = 0",
    )?;
    for (file, module) in wanted.filter(|(file, _)| is_key(file)).take(MOST) {
        insert.execute(params![key, file, line(module)])?;
    }
    // A worker may make up others each time.
    sql.prepare_cached(
        "DELETE FROM wanted_symbols WHERE dump = ?1 AND file NOT IN (
           SELECT file FROM wanted_symbols WHERE dump = ?1 ORDER BY used, file LIMIT ?2)",
    )?
    .execute(params![key, i64::try_from(MOST).unwrap_or(i64::MAX)])?;
    Ok(())
}
