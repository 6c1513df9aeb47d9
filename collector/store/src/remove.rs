//! Removes dumps, and with the last of them what only they needed.

use crate::database::lock;
use crate::dumps::key_of;
use crate::events::{self, Kind};
use crate::facets;
use crate::files::{self, failed};
use crate::groups;
use crate::keeping::LEAVING_CORE;
use crate::modules::{list, release};
use crate::name_sets;
use crate::similar;
use crate::store::{Store, StoreError};
use aground_helper::id::DumpId;
use rusqlite::{Row, Transaction};
use std::path::Path;
use std::{fs, io};

impl Store {
    /// Removes a dump: row, files, modules no other dump uses, and its group when it was the last.
    pub fn remove_dump(&self, id: &DumpId) -> Result<(), StoreError> {
        let _keeping = lock(&self.inner.keeping);
        let from = self.inner.files.dump(id);
        let to = self.inner.files.trash().join(id.as_str());
        match fs::rename(&from, &to) {
            // A row without files: somebody deleted them by hand.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.contains(id)? => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NotFound("dump"));
            }
            other => other.map_err(failed("cannot move", &from))?,
        }
        self.forget(id)
    }

    /// Ends the removals a kill cut short. Returns their number.
    pub(crate) fn empty_trash(&self) -> Result<u64, StoreError> {
        let mut emptied = 0;
        for path in list(&self.inner.files.trash())? {
            let stem = path.file_stem().and_then(|name| name.to_str());
            let id = stem.and_then(|name| name.parse::<DumpId>().ok());
            match (id, path.extension().and_then(|kind| kind.to_str())) {
                (Some(id), None) => self.forget(&id)?,
                (Some(id), Some(LEAVING_CORE)) if self.contains(&id)? => self.mend_core(&id)?,
                _ => remove_any(&path)?,
            }
            emptied += 1;
        }
        Ok(emptied)
    }

    /// Removes the row, then the files in the trash.
    fn forget(&self, id: &DumpId) -> Result<(), StoreError> {
        let _modules = lock(&self.inner.modules);
        let unused = self.inner.database.write(|sql| match key_of(sql, id)? {
            Some(key) => delete(sql, key, id),
            None => Ok(vec![]),
        })?;
        files::remove_tree(&self.inner.files.trash().join(id.as_str()))?;
        for sha256 in unused {
            self.inner.files.remove_module(&sha256)?;
        }
        Ok(())
    }
}

/// Removes whatever it is: a removed dump's core that was leaving, or something not of ours.
fn remove_any(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() && !path.is_symlink() {
        files::remove_tree(path)
    } else {
        files::remove_file(path)
    }
}

/// What a row named.
struct Gone {
    container: Option<i64>,
    name_sets: [Option<i64>; 2],
    signature: Option<String>,
    home: Option<String>,
}

impl Gone {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            container: row.get(0)?,
            name_sets: [row.get(1)?, row.get(2)?],
            signature: row.get(3)?,
            home: row.get(4)?,
        })
    }
}

/// Deletes a dump's row and what only it needed. Returns the modules nobody needs now.
fn delete(sql: &Transaction<'_>, key: i64, id: &DumpId) -> Result<Vec<String>, StoreError> {
    let group: Option<String> =
        sql.query_row("SELECT group_id FROM dumps WHERE key = ?1", [key], |row| {
            row.get(0)
        })?;
    if let Some(group) = group {
        facets::count_out(sql, &group, key)?;
        sql.execute("UPDATE dumps SET group_id = NULL WHERE key = ?1", [key])?;
        groups::leave(sql, &group, 1)?;
    }
    let unused = release(sql, key)?;
    let gone = sql.query_row(
        "DELETE FROM dumps WHERE key = ?1 RETURNING container, stack, modules, signature, home",
        [key],
        Gone::read,
    )?;
    for set in gone.name_sets.into_iter().flatten() {
        name_sets::forget_unused(sql, set)?;
    }
    if let Some((signature, home)) = gone.signature.zip(gone.home) {
        similar::forget_unused(sql, &signature, &home)?;
    }
    if let Some(container) = gone.container {
        let orphan = "DELETE FROM containers WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM dumps WHERE container = ?1)";
        sql.execute(orphan, [container])?;
    }
    events::push(sql, Kind::Removed, id, None, false)?;
    Ok(unused)
}
