//! What became of a dump since its capture: pins, and memory that was given up.
//!
//! The record stays as it was at the time of death. `state.json` beside it is the truth about
//! what is left, so that rebuilding the database brings nothing back and loses no pin. To give
//! memory up is a sequence that may be cut anywhere and is gone through again at the next start:
//!
//! ```text
//! core.zst.new written, synced (lean only) → state.json → core.zst to trash/<id>.core
//!   → core.zst.new to core.zst → row → trash emptied
//! ```

use crate::database::{column_text, lock, to_sql};
use crate::dumps::key_of;
use crate::events::{self, Kind};
use crate::files::{self, failed};
use crate::modules::release;
use crate::store::{Store, StoreError, now_ms};
use aground_helper::id::DumpId;
use aground_helper::layout::{CORE, PRIVATE_MODULES, STATE};
use aground_helper::record::Kept;
use rusqlite::{Transaction, named_params, params};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The version of `state.json`.
const SCHEMA: u32 = 1;
/// A core that will take the place of `core.zst`.
const NEW_CORE: &str = "core.zst.new";
/// A core on its way out: `trash/<id>.core`.
pub(crate) const LEAVING_CORE: &str = "core";

/// What became of a dump since its capture: `state.json`. Absent: nothing did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keeping {
    /// The version of this file's format.
    pub schema: u32,
    /// Whether people asked that it stay.
    pub pinned: bool,
    /// What is left of the memory; `None`: all that was captured.
    pub left: Option<Left>,
}

/// What is left of the memory after some was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What is kept now.
    pub kept: Kept,
    /// Bytes of core kept now, before compression.
    pub core_bytes: u64,
    /// Why not what was captured, the end of a sentence that begins with "because".
    pub reason: String,
    /// When it was given up, milliseconds since the epoch.
    pub at_ms: i64,
}

impl Keeping {
    pub(crate) fn read(dump: &Path) -> Result<Self, StoreError> {
        Ok(files::read_json(&dump.join(STATE))?.unwrap_or_default())
    }

    fn write(&self, dump: &Path) -> Result<(), StoreError> {
        let path = dump.join(STATE);
        let current = Self {
            schema: SCHEMA,
            ..self.clone()
        };
        let json = serde_json::to_vec(&current)
            .map_err(io::Error::from)
            .map_err(failed("cannot write", &path))?;
        files::write_whole(&path, &json)
    }
}

impl Store {
    /// Pins a dump, so that nothing of it is given up unasked, or lets go of it again.
    pub fn pin(&self, id: &DumpId, pinned: bool) -> Result<(), StoreError> {
        let _keeping = lock(&self.inner.keeping);
        if !self.contains(id)? {
            return Err(StoreError::NotFound("dump"));
        }
        let dump = self.inner.files.dump(id);
        let keeping = Keeping::read(&dump)?;
        Keeping { pinned, ..keeping }.write(&dump)?;
        let stored = to_sql(files::bytes_in(&dump));
        self.inner.database.write(|sql| {
            sql.prepare_cached("UPDATE dumps SET pinned = ?2, stored_bytes = ?3 WHERE id = ?1")?
                .execute(params![id.as_str(), pinned, stored])?;
            Ok(())
        })
    }

    /// Drops the memory of a dump, and modules that only it needed; record, report and log stay.
    /// Returns the bytes of core that went.
    pub fn drop_memory(&self, id: &DumpId, reason: &str) -> Result<u64, StoreError> {
        self.leave(id, Kept::None, 0, reason)
    }

    /// An empty file for a smaller core of a dump, which [`Self::replace_core`] puts in place.
    pub fn new_core(&self, id: &DumpId) -> Result<File, StoreError> {
        let path = self.inner.files.dump(id).join(NEW_CORE);
        files::remove_file(&path)?;
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("cannot make", &path))
    }

    /// Forgets the file made by [`Self::new_core`].
    pub fn discard_new_core(&self, id: &DumpId) -> Result<(), StoreError> {
        files::remove_file(&self.inner.files.dump(id).join(NEW_CORE))
    }

    /// Whether the file made by [`Self::new_core`] takes less room than the core there is.
    pub fn new_core_is_smaller(&self, id: &DumpId) -> Result<bool, StoreError> {
        if !self.contains(id)? {
            return Err(StoreError::NotFound("dump"));
        }
        let dump = self.inner.files.dump(id);
        Ok(length(&dump.join(NEW_CORE)) < length(&dump.join(CORE)))
    }

    /// Puts the core written to [`Self::new_core`] in the place of the whole one: a lean core of
    /// `core_bytes` before compression. Returns the bytes on disk that this freed.
    pub fn replace_core(
        &self,
        id: &DumpId,
        core_bytes: u64,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let path = self.inner.files.dump(id).join(NEW_CORE);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(failed("cannot sync", &path))?;
        self.leave(id, Kept::Lean, core_bytes, reason)
    }

    fn leave(
        &self,
        id: &DumpId,
        kept: Kept,
        core_bytes: u64,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let _keeping = lock(&self.inner.keeping);
        if !self.contains(id)? {
            return Err(StoreError::NotFound("dump"));
        }
        let dump = self.inner.files.dump(id);
        let before = length(&dump.join(CORE));
        let left = Left {
            kept,
            core_bytes,
            reason: reason.to_owned(),
            at_ms: now_ms(),
        };
        let keeping = Keeping {
            left: Some(left.clone()),
            ..Keeping::read(&dump)?
        };
        keeping.write(&dump)?;
        self.settle(id, &left)?;
        Ok(before.saturating_sub(length(&dump.join(CORE))))
    }

    /// Makes files and row what `state.json` says, from wherever an earlier attempt was cut.
    fn settle(&self, id: &DumpId, left: &Left) -> Result<(), StoreError> {
        let dump = self.inner.files.dump(id);
        let (core, new, leaving) = (dump.join(CORE), dump.join(NEW_CORE), self.leaving(id));
        if left.kept == Kept::None {
            files::remove_file(&new)?;
            rename_if_there(&core, &leaving)?;
            files::remove_tree(&dump.join(PRIVATE_MODULES))?;
        } else if new.exists() {
            rename_if_there(&core, &leaving)?;
            rename_if_there(&new, &core)?;
        }
        files::sync_directory(&dump)?;
        let _modules = lock(&self.inner.modules);
        let (memory, stored) = (length(&core), files::bytes_in(&dump));
        let unused = self.inner.database.write(|sql| {
            let Some(key) = key_of(sql, id)? else {
                return Ok(vec![]);
            };
            let changed = update_row(sql, key, left, memory, stored)?;
            let unused = if left.kept == Kept::None {
                end_needless_job(sql, key)?;
                release(sql, key)?
            } else {
                vec![]
            };
            if changed {
                events::push(sql, Kind::Memory, id, None, false)?;
            }
            Ok(unused)
        })?;
        files::remove_file(&leaving)?;
        for sha256 in unused {
            self.inner.files.remove_module(&sha256)?;
        }
        Ok(())
    }

    fn leaving(&self, id: &DumpId) -> PathBuf {
        let name = format!("{id}.{LEAVING_CORE}");
        self.inner.files.trash().join(name)
    }

    /// Ends what a kill cut short, of a dump that has a row.
    pub(crate) fn mend_core(&self, id: &DumpId) -> Result<(), StoreError> {
        let _keeping = lock(&self.inner.keeping);
        let dump = self.inner.files.dump(id);
        let unfinished = dump.join(NEW_CORE).exists() || self.leaving(id).exists();
        match Keeping::read(&dump)?.left {
            Some(left) if unfinished || (left.kept == Kept::None && dump.join(CORE).exists()) => {
                self.settle(id, &left)
            }
            Some(_) => Ok(()),
            // What was written was never finished.
            None => self.discard_new_core(id),
        }
    }
}

/// Bytes of a file; 0 when there is none.
pub(crate) fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |file| file.len())
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("cannot move", from)),
    }
}

/// Says whether what is kept is another than before.
fn update_row(
    sql: &Transaction<'_>,
    key: i64,
    left: &Left,
    memory: u64,
    stored: u64,
) -> Result<bool, StoreError> {
    let kept = crate::admit::kept(left.kept);
    let before: String = sql
        .prepare_cached("SELECT kept FROM dumps WHERE key = ?1")?
        .query_row([key], |row| row.get(0))?;
    // Of a dump that never had memory only modules go.
    sql.prepare_cached(
        "UPDATE dumps SET kept = :kept, core_bytes = :core_bytes, memory_bytes = :memory, stored_bytes = :stored,
             dropped = CASE WHEN kept = 'none' THEN dropped ELSE :reason END WHERE key = :key",
    )?
    .execute(named_params! {
        ":key": key,
        ":kept": kept,
        ":core_bytes": to_sql(left.core_bytes),
        ":memory": to_sql(memory),
        ":stored": to_sql(stored),
        ":reason": column_text(&left.reason),
    })?;
    Ok(before != kept)
}

/// Without memory an analysis could only replace the report by a poorer one.
fn end_needless_job(sql: &Transaction<'_>, key: i64) -> Result<(), StoreError> {
    let ended = sql
        .prepare_cached(
            "DELETE FROM jobs WHERE dump = ?1 AND locked_until_ms = 0
                 AND EXISTS (SELECT 1 FROM dumps WHERE key = ?1 AND group_id IS NOT NULL)",
        )?
        .execute([key])?;
    if ended > 0 {
        sql.prepare_cached("UPDATE dumps SET status = 'analyzed' WHERE key = ?1")?
            .execute([key])?;
    }
    Ok(())
}
