//! Makes rows from the files: what a kill left without one, or the whole database again.
//!
//! What people decided and named is in files of its own (`changes.jsonl`, `searches.json`, pins in
//! `state.json`), which the store reads when it opens. What only the database knows (events,
//! files that were imported, which images were seen when, what people were told, which group a signature names) is taken from the one that is replaced,
//! as far as it can be read.

use crate::assign::Outcome;
use crate::database::lock;
use crate::files::{self, FAILURE, failed};
use crate::modules::list;
use crate::query::Query;
use crate::store::{Store, StoreError};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::Record;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the old database is called when a new one takes its place.
const BEFORE: &str = "before-reindex";
/// Files of a database besides itself.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// Tables of which no file is the truth.
const ONLY_HERE: [&str; 11] = [
    "events",
    "imports",
    "images",
    "notices",
    "deliveries",
    "conditions",
    "terms",
    "signatures",
    "signature_frames",
    "home_frames",
    "group_forwards",
];

/// What [`Store::reindex`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Dumps whose files had no row.
    pub admitted: u64,
    /// Dumps whose removal had been cut short.
    pub removed: u64,
    /// Directories in `dumps/` that could not be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// What [`Store::rebuild`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The rows.
    pub rows: Reindexed,
    /// What is lost of the old database, a sentence each.
    pub warnings: Vec<String>,
}

impl Store {
    /// Puts a new database in the place of the one in a state directory and fills it from the
    /// files. The old one stays beside it, as `aground.db.before-reindex`. Who runs it must have
    /// stopped the daemon. What could not be taken over from the old one is told in `warnings`.
    pub fn rebuild(
        state_dir: &Path,
        progress: impl FnMut(usize, usize),
    ) -> Result<Rebuilt, StoreError> {
        let before = set_aside(state_dir)?;
        let store = Self::open(state_dir)?;
        let warnings = before.map_or_else(Vec::new, |before| store.take_over(&before));
        let rows = store.reindex_telling(progress)?;
        Ok(Rebuilt { rows, warnings })
    }

    fn take_over(&self, before: &Path) -> Vec<String> {
        let mut warnings = vec![];
        for table in ONLY_HERE {
            if let Err(error) = self.inner.database.take_table(before, table) {
                let why = files::chain(&error);
                warnings.push(format!("{table} of the old database are lost: {why}"));
            }
        }
        warnings
    }

    /// Brings rows in line with the files: ends removals that were cut short, admits dumps that
    /// have files but no row, with their reports. With an empty database it rebuilds all of it.
    pub fn reindex(&self) -> Result<Reindexed, StoreError> {
        self.reindex_telling(|_, _| {})
    }

    /// The same; `progress` is told how many of how many dumps were looked at.
    pub fn reindex_telling(
        &self,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Reindexed, StoreError> {
        // With an empty database nothing is news; else what has no row was cut short.
        let fresh = self
            .count_dumps(&Query::default())?
            .is_some_and(|dumps| dumps > 0);
        let mut done = Reindexed {
            removed: self.empty_trash()?,
            ..Reindexed::default()
        };
        let mut paths = list(&self.inner.files.dumps())?;
        // As they came: which group a signature names may hang on what came before it.
        paths.sort_by_cached_key(|path| {
            let record = fs::metadata(path.join(layout::RECORD));
            (record.and_then(|file| file.modified()).ok(), path.clone())
        });
        let all = paths.len();
        for (index, path) in paths.into_iter().enumerate() {
            progress(index, all);
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let result = match name.parse() {
                Ok(id) => self.reindex_one(&id, &path, fresh),
                Err(_) => Err("not a dump id".to_owned()),
            };
            match result {
                Ok(new) => done.admitted += u64::from(new),
                Err(reason) => done.unreadable.push((name, reason)),
            }
        }
        // Files of unreadable dumps may still need their modules.
        if done.unreadable.is_empty() {
            self.sweep_modules()?;
        }
        Ok(done)
    }

    fn reindex_one(&self, id: &DumpId, path: &Path, fresh: bool) -> Result<bool, String> {
        let told = |error: StoreError| files::chain(&error);
        if self.contains(id).map_err(told)? {
            self.mend_core(id).map_err(told)?;
            return Ok(false);
        }
        let record: Record = files::read_json(&path.join(layout::RECORD))
            .map_err(told)?
            .ok_or("no record.json")?;
        if record.id != *id {
            return Err(format!("its record is of dump {}", record.id));
        }
        {
            let _modules = lock(&self.inner.modules);
            self.insert(&record, path, fresh).map_err(told)?;
        }
        self.mend_core(id).map_err(told)?;
        self.readmit_report(id, path).map_err(told)?;
        Ok(true)
    }

    /// A report that cannot be read is made again by the job that admission left.
    fn readmit_report(&self, id: &DumpId, path: &Path) -> Result<(), StoreError> {
        let Ok(Some(report)) = files::read_json::<Report>(&path.join(layout::REPORT)) else {
            return Ok(());
        };
        let failure = files::read_bounded(&path.join(FAILURE), 4096)?;
        let failure = failure.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let outcome = failure.as_deref();
        let outcome = Outcome {
            fresh: false,
            ..outcome.map_or_else(Outcome::analyzed, Outcome::failed)
        };
        match self.assign_row(id, &report, outcome) {
            Ok(_) | Err(StoreError::BadSignature) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Moves the database out of the way, when there is one. The lock says that no daemon has it.
fn set_aside(state_dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (found, _lock) = files::Files::open(state_dir)?;
    let path = found.database();
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let before = with(&path, &format!(".{BEFORE}"));
    if path.exists() && before.exists() {
        for end in BESIDE.into_iter().chain([""]) {
            files::remove_file(&with(&before, end))?;
        }
    }
    // The log goes first: left behind, it would be taken for the new database's. A second try
    // finds what a first one has moved.
    for end in BESIDE.into_iter().chain([""]) {
        let (from, to) = (with(&path, end), with(&before, end));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("cannot move", &from)(error)),
        }
    }
    Ok(before.exists().then_some(before))
}
