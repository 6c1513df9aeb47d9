//! Symbols that people uploaded or a server sent: a file by build ID and beside it what it is (`.json`).
//!
//! No database: the files are the truth, and there are few of them.

use crate::files::{self, failed};
use crate::store::{Store, StoreError};
use aground_analyzer::describe::{Description, PROGRAM};
use aground_helper::id::DumpId;
use aground_helper::layout;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What describes a file of symbols.
const FACTS: &str = "json";

/// What comes before the digits of files that are not known by a build ID: a checksum
/// (`.gnu_debuglink`), the number of a unit of split DWARF, what makes of many such numbers one; or
/// of a program without symbols, which may be here besides those.
const PREFIXES: [&str; 4] = ["crc32-", UNIT, PACKAGE, PROGRAM];
const UNIT: &str = "dwo-";
const PACKAGE: &str = "dwp-";

/// A file of symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolFile {
    /// Build ID of the module it belongs to; of a file without one `crc32-…`, or of split DWARF
    /// `dwo-…` and `dwp-…`, of a program without symbols `program-…`.
    pub build_id: String,
    /// The name it was uploaded under, as it was given; only to be shown.
    pub name: String,
    /// The best it has: `dwarf`, `symtab`, or only `code`.
    pub debug: String,
    /// Whether it is a program or a library, and not only its debug information.
    #[serde(default)]
    pub has_code: bool,
    /// Build ID of the file it shares with others (dwz).
    pub shared: Option<String>,
    /// The units that it is for, of split DWARF.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// When it came, milliseconds since the epoch.
    pub uploaded_at_ms: i64,
    /// Where it came from.
    #[serde(default)]
    pub source: Source,
    /// When an analysis used it last, milliseconds since the epoch.
    #[serde(default)]
    pub used_at_ms: i64,
}

/// Where a file of symbols came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Somebody handed it in.
    #[default]
    Uploaded,
    /// A debuginfod server sent it.
    Debuginfod,
}

impl SymbolFile {
    /// What a worker said of a file.
    pub fn new(
        description: Description,
        name: &str,
        source: Source,
        size: u64,
        now_ms: i64,
    ) -> Self {
        Self {
            build_id: description.build_id,
            name: name.chars().take(200).collect(),
            debug: description.debug,
            has_code: description.has_code,
            shared: description.shared,
            units: description.units,
            size,
            uploaded_at_ms: now_ms,
            source,
            used_at_ms: now_ms,
        }
    }
}

impl Source {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Uploaded => "uploaded",
            Source::Debuginfod => "debuginfod",
        }
    }
}

/// What lies beside a file, and when that was used.
fn described(path: &Path) -> Result<Option<SymbolFile>, StoreError> {
    let Some(mut facts) = files::read_json::<SymbolFile>(&path.with_extension(FACTS))? else {
        return Ok(None);
    };
    let used = fs::metadata(path).and_then(|file| file.modified()).ok();
    let used = used.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let used_ms = used.and_then(|since| i64::try_from(since.as_millis()).ok());
    facts.used_at_ms = used_ms.unwrap_or(facts.uploaded_at_ms);
    Ok(Some(facts))
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
        self.described_files("")
    }

    /// Those whose name begins so, by build ID.
    fn described_files(&self, prefix: &str) -> Result<Vec<SymbolFile>, StoreError> {
        let directory = self.symbols_dir();
        let mut found = vec![];
        for entry in fs::read_dir(&directory).map_err(failed("cannot list", &directory))? {
            let path = entry.map_err(failed("cannot list", &directory))?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(prefix.as_bytes())
                && path.extension().is_some_and(|extension| extension == FACTS)
            {
                found.extend(described(&path.with_extension(""))?);
            }
        }
        found.sort_by(|one: &SymbolFile, other| one.build_id.cmp(&other.build_id));
        Ok(found)
    }

    /// The file of a build ID and what it is; `None` when there is none.
    pub fn symbol_file(&self, build_id: &str) -> Result<Option<(File, SymbolFile)>, StoreError> {
        let Ok(path) = self.symbol_path(&self.holder(build_id)?) else {
            return Ok(None);
        };
        let Some(file) = files::open_optional(&path)? else {
            return Ok(None);
        };
        Ok(described(&path)?.map(|facts| (file, facts)))
    }

    /// The same for an analysis, which counts as use: what was used last goes last.
    pub fn use_symbols(&self, build_id: &str) -> Result<Option<(File, SymbolFile)>, StoreError> {
        let found = self.symbol_file(build_id)?;
        if let Some((file, facts)) = &found {
            let path = self.symbol_path(&facts.build_id)?;
            file.set_modified(SystemTime::now())
                .map_err(failed("cannot note the use of", &path))?;
        }
        Ok(found)
    }

    /// Whether there is a file of this build ID.
    pub fn has_symbols(&self, build_id: &str) -> bool {
        let holder = self.holder(build_id);
        let path = holder.and_then(|holder| self.symbol_path(&holder));
        path.is_ok_and(|path| path.with_extension(FACTS).is_file())
    }

    /// The file that has what is asked for: that itself, or the package that has the unit, or the
    /// program with its symbols.
    fn holder(&self, build_id: &str) -> Result<String, StoreError> {
        let own = self.symbol_path(build_id);
        if let Some(plain) = build_id.strip_prefix(PROGRAM) {
            // A build ID may be too short to have a file.
            let path = self.symbol_path(plain).ok();
            let whole = path.map(|path| described(&path)).transpose()?.flatten();
            let whole = whole.filter(|file| file.has_code);
            return Ok(whole.map_or_else(|| build_id.to_owned(), |file| file.build_id));
        }
        if !build_id.starts_with(UNIT) || own.is_ok_and(|path| path.is_file()) {
            return Ok(build_id.to_owned());
        }
        let files = self.described_files(PACKAGE)?;
        let has = |file: &SymbolFile| file.units.iter().any(|unit| unit == build_id);
        let package = files.into_iter().find(has);
        Ok(package.map_or_else(|| build_id.to_owned(), |package| package.build_id))
    }

    /// Removes files, those used longest ago first, until all together have at most `max_bytes`.
    /// What an analysis that is queued or under way may use stays. Returns what went.
    pub fn limit_symbols(&self, max_bytes: u64) -> Result<Vec<SymbolFile>, StoreError> {
        let mut files = self.symbols()?;
        let mut held = files
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(it.size));
        if held <= max_bytes {
            return Ok(vec![]);
        }
        let needed = self.symbols_in_use()?;
        let is_needed = |file: &SymbolFile| {
            needed.contains(&file.build_id) || file.units.iter().any(|it| needed.contains(it))
        };
        files.retain(|file| !is_needed(file));
        files.sort_by_key(|file| file.used_at_ms);
        let mut removed = vec![];
        for file in files {
            if held <= max_bytes {
                break;
            }
            self.remove_symbols(&file.build_id)?;
            held = held.saturating_sub(file.size);
            removed.push(file);
        }
        Ok(removed)
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

    /// The dumps whose processes had a module of this build ID mapped, or lack this file, the
    /// newest first, as far as they can be analysed again.
    pub fn dumps_with_build_id(&self, build_id: &str) -> Result<Vec<DumpId>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT dumps.id FROM dumps WHERE dumps.kept <> 'none' AND dumps.key IN (
                   SELECT dump FROM dump_modules JOIN modules ON modules.key = dump_modules.module
                     WHERE modules.build_id = ?1
                   UNION SELECT dump FROM wanted_symbols WHERE file = ?1)
                 ORDER BY dumps.crashed_at_ms DESC",
            )?;
            let rows = query.query_map([build_id], |row| crate::dumps::id_column(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Dumps, the newest first, whose processes had a file of this build ID mapped, or one beside
    /// it with its debug information.
    pub fn dumps_with_module(&self, build_id: &str, most: u32) -> Result<Vec<DumpId>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT d.id FROM dumps d WHERE d.key IN (
                   SELECT u.dump FROM modules m JOIN dump_modules u ON u.module = m.key
                   WHERE m.build_id = ?1)
                 ORDER BY d.crashed_at_ms DESC LIMIT ?2",
            )?;
            let rows = query.query_map(rusqlite::params![build_id, most], |row| {
                crate::dumps::id_column(row, 0)
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Build IDs of which a queued analysis may use the file.
    fn symbols_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        self.inner.database.read(|sql| {
            let mut query = sql.prepare_cached(
                "SELECT modules.build_id FROM jobs JOIN dump_modules USING (dump)
                   JOIN modules ON modules.key = dump_modules.module
                   WHERE modules.build_id IS NOT NULL
                 UNION SELECT file FROM jobs JOIN wanted_symbols USING (dump)",
            )?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn symbols_dir(&self) -> PathBuf {
        self.state_dir().join(layout::SYMBOLS)
    }

    /// A build ID comes from people and hostile files: it becomes a path only as hexadecimal,
    /// after a prefix that says what it is when it is none.
    fn symbol_path(&self, build_id: &str) -> Result<PathBuf, StoreError> {
        let digits = PREFIXES.iter().find_map(|it| build_id.strip_prefix(it));
        let digits = digits.unwrap_or(build_id);
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !(4..=128).contains(&digits.len()) || !digits.bytes().all(hexadecimal) {
            return Err(StoreError::NotFound("symbols"));
        }
        Ok(self.symbols_dir().join(build_id))
    }
}
