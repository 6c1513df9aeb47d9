//! The module store: every mapped ELF file once, named by its content.
//!
//! The helper leaves a module out of its entry when the store has it already, so between that
//! look and the row that needs the module a removal could pull it away. Hence a removal renames
//! the file first, and then looks at the spool: whatever entry is not there yet will not see the
//! module and bring its own; for any that is, the file is put back and left for a later sweep.

use crate::database::lock;
use crate::files::{self, Files, failed};
use crate::store::{Store, StoreError};
use aground_helper::layout;
use rusqlite::Transaction;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The name a module has while it is decided whether it may go.
const LEAVING: &str = "leaving";

impl Store {
    /// A module's file by SHA-256.
    pub fn module(&self, sha256: &str) -> Result<File, StoreError> {
        let path = self
            .inner
            .files
            .module(sha256)
            .ok_or(StoreError::NotFound("module"))?;
        if !self.sight().scope.is_everything() && !self.needs_module(sha256)? {
            return Err(StoreError::NotFound("module"));
        }
        files::open_optional(&path)?.ok_or(StoreError::NotFound("module"))
    }

    /// Removes module files that no dump needs, unless something is in the spool. Returns their number.
    pub fn sweep_modules(&self) -> Result<u64, StoreError> {
        let _modules = lock(&self.inner.modules);
        let mut removed = 0;
        for directory in directories(&self.inner.files.modules())? {
            for file in list(&directory)? {
                removed += u64::from(self.sweep(&file)?);
            }
        }
        Ok(removed)
    }

    fn sweep(&self, file: &Path) -> Result<bool, StoreError> {
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if !is_sha256(name) {
            return Ok(false);
        }
        if self.needs_module(name)? {
            // Killed between taking it away and putting it back.
            if file.extension().is_some() {
                fs::rename(file, file.with_extension("")).map_err(failed("cannot rename", file))?;
            }
            return Ok(false);
        }
        self.inner.files.remove_module(name)
    }
}

impl Store {
    /// Whether a dump has it, one in scope.
    fn needs_module(&self, sha256: &str) -> Result<bool, StoreError> {
        self.inner.database.read(|sql| {
            let known = "SELECT EXISTS (SELECT 1 FROM modules WHERE sha256 = ?1)";
            Ok(sql
                .prepare_cached(known)?
                .query_row([sha256], |row| row.get(0))?)
        })
    }
}

impl Files {
    /// Where a module is or would be; `None` when that is no SHA-256.
    pub(crate) fn module(&self, sha256: &str) -> Option<PathBuf> {
        let head = sha256.get(..2).filter(|_| is_sha256(sha256))?;
        Some(self.modules().join(head).join(sha256))
    }

    /// Moves an entry's new modules into the store. A file that is not what its name says stays
    /// behind, to be dropped: nothing may unwind with it. Returns the directories to be synced.
    pub(crate) fn take_modules(&self, entry: &Path) -> Result<BTreeSet<PathBuf>, StoreError> {
        let from = entry.join(layout::MODULES);
        let mut changed = BTreeSet::new();
        for file in list(&from)? {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            let Some(to) = self.module(name).filter(|_| content_is(&file, name)) else {
                tracing::warn!(file = %file.display(), "dropped a module that is not what its name says");
                continue;
            };
            if let Some(parent) = to.parent() {
                files::make_directory(parent)?;
                changed.insert(parent.to_owned());
            }
            fs::rename(&file, &to).map_err(failed("cannot move", &file))?;
        }
        Ok(changed)
    }

    /// Removes one module unless an entry in the spool may count on it. Says whether it went.
    pub(crate) fn remove_module(&self, sha256: &str) -> Result<bool, StoreError> {
        let Some(path) = self.module(sha256) else {
            return Ok(false);
        };
        let leaving = path.with_extension(LEAVING);
        match fs::rename(&path, &leaving) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("cannot rename", &path))?,
        }
        if self.spool_is_empty()? {
            files::remove_file(&leaving)?;
            return Ok(true);
        }
        match fs::rename(&leaving, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("cannot rename", &leaving))?,
        }
        Ok(false)
    }

    fn spool_is_empty(&self) -> Result<bool, StoreError> {
        for directory in self.spool() {
            if !list(&directory)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Forgets that a dump needs its modules. Returns those nobody needs now.
pub(crate) fn release(sql: &Transaction<'_>, dump: i64) -> Result<Vec<String>, StoreError> {
    let unused = "SELECT module FROM dump_modules mine WHERE dump = ?1 AND NOT EXISTS
        (SELECT 1 FROM dump_modules other WHERE other.module = mine.module AND other.dump <> ?1)";
    let unused: Vec<i64> = sql
        .prepare_cached(unused)?
        .query_map([dump], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    sql.prepare_cached("DELETE FROM dump_modules WHERE dump = ?1")?
        .execute([dump])?;
    let mut delete = sql.prepare_cached("DELETE FROM modules WHERE key = ?1 RETURNING sha256")?;
    Ok(unused
        .iter()
        .map(|module| delete.query_row([module], |row| row.get(0)))
        .collect::<Result<_, _>>()?)
}

/// The entries of a directory; none when there is no such directory.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(failed("cannot list", directory)(error)),
    };
    let paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>();
    paths.map_err(failed("cannot list", directory))
}

fn directories(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(list(directory)?
        .into_iter()
        .filter(|path| path.is_dir())
        .collect())
}

/// Whether a text is 64 lowercase hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn content_is(path: &Path, sha256: &str) -> bool {
    let hash = || -> io::Result<String> {
        let mut file = files::open_regular(path)?;
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher)?;
        Ok(hex(&hasher.finalize()))
    };
    hash().is_ok_and(|actual| actual == sha256)
}

/// Bytes as lowercase hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
