//! Symbols that people uploaded: a file by build ID and beside it what it is (`.json`).
//!
//! No database: the files are the truth, and there are few of them.

use crate::files::{self, failed};
use crate::store::{Store, StoreError};
use aground_analyzer::describe::Description;
use aground_helper::id::DumpId;
use aground_helper::layout;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What describes a file of symbols.
const FACTS: &str = "json";

/// A file of symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolFile {
    /// Build ID of the module it belongs to.
    pub build_id: String,
    /// The name it was uploaded under, as it was given; only to be shown.
    pub name: String,
    /// The best it has: `dwarf` or `symtab`.
    pub debug: String,
    /// Build ID of the file it shares with others (dwz).
    pub shared: Option<String>,
    /// Bytes.
    pub size: u64,
    /// When it came, milliseconds since the epoch.
    pub uploaded_at_ms: i64,
}

impl SymbolFile {
    /// What a worker said of a file.
    pub fn new(description: Description, name: &str, size: u64, now_ms: i64) -> Self {
        Self {
            build_id: description.build_id,
            name: name.chars().take(200).collect(),
            debug: description.debug,
            shared: description.shared,
            size,
            uploaded_at_ms: now_ms,
        }
    }
}

impl Store {
    /// Keeps an uploaded file that lies at `from`, in place of any of that build ID.
    pub fn keep_symbols(&self, from: &Path, facts: &SymbolFile) -> Result<(), StoreError> {
        let to = self.symbol_path(&facts.build_id)?;
        let json = serde_json::to_vec(facts)
            .map_err(std::io::Error::from)
            .map_err(failed("cannot describe", &to))?;
        File::open(from)
            .and_then(|file| file.sync_all())
            .map_err(failed("cannot sync", from))?;
        fs::rename(from, &to).map_err(failed("cannot move", from))?;
        files::write_whole(&to.with_extension(FACTS), &json)
    }

    /// All files, by build ID.
    pub fn symbols(&self) -> Result<Vec<SymbolFile>, StoreError> {
        let directory = self.symbols_dir();
        let mut found = vec![];
        for entry in fs::read_dir(&directory).map_err(failed("cannot list", &directory))? {
            let path = entry.map_err(failed("cannot list", &directory))?.path();
            if path.extension().is_some_and(|extension| extension == FACTS) {
                found.extend(files::read_json::<SymbolFile>(&path)?);
            }
        }
        found.sort_by(|one: &SymbolFile, other| one.build_id.cmp(&other.build_id));
        Ok(found)
    }

    /// The file of a build ID and what it is; `None` when there is none.
    pub fn symbol_file(&self, build_id: &str) -> Result<Option<(File, SymbolFile)>, StoreError> {
        let Ok(path) = self.symbol_path(build_id) else {
            return Ok(None);
        };
        let Some(file) = files::open_optional(&path)? else {
            return Ok(None);
        };
        let facts = files::read_json(&path.with_extension(FACTS))?;
        Ok(facts.map(|facts| (file, facts)))
    }

    /// Removes the file of a build ID.
    pub fn remove_symbols(&self, build_id: &str) -> Result<(), StoreError> {
        let path = self.symbol_path(build_id)?;
        if files::open_optional(&path)?.is_none() {
            return Err(StoreError::NotFound("symbols"));
        }
        // The description first: a file without one is not used.
        files::remove_file(&path.with_extension(FACTS))?;
        files::remove_file(&path)
    }

    /// The dumps whose processes had a module of this build ID mapped, the newest first, as far
    /// as they can be analysed again.
    pub fn dumps_with_build_id(&self, build_id: &str) -> Result<Vec<DumpId>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT dumps.id FROM dumps JOIN dump_modules ON dump_modules.dump = dumps.key
                 JOIN modules ON modules.key = dump_modules.module
                 WHERE modules.build_id = ?1 AND dumps.kept <> 'none'
                 GROUP BY dumps.key ORDER BY dumps.crashed_at_ms DESC",
            )?;
            let rows = query.query_map([build_id], |row| crate::dumps::id_column(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn symbols_dir(&self) -> PathBuf {
        self.state_dir().join(layout::SYMBOLS)
    }

    /// A build ID comes from people and hostile files: it becomes a path only as hexadecimal.
    fn symbol_path(&self, build_id: &str) -> Result<PathBuf, StoreError> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !(4..=128).contains(&build_id.len()) || !build_id.bytes().all(hexadecimal) {
            return Err(StoreError::NotFound("symbols"));
        }
        Ok(self.symbols_dir().join(build_id))
    }
}
