//! The store: one SQLite database and files below one state directory.
//! CONTRACT SKELETON: bodies to be written.

use crate::query::Query;
use crate::types::{Dump, DumpSummary, GroupSummary, Page, PageRequest, StoreStatus};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A handle to the store; cheap to clone, safe to use from many threads. All methods block on
/// disk: call them from `spawn_blocking` in async code.
#[derive(Clone)]
pub struct Store {}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the state directory.
    #[error("another aground daemon is running on {0}")]
    Busy(PathBuf),
    /// No such dump, group or module.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The page cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
}

/// Why a reference names no dump or group.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing starts with it.
    #[error("no {what} has an id that starts with \"{reference}\"")]
    NotFound {
        /// `dump` or `group`.
        what: &'static str,
        /// As typed.
        reference: String,
    },
    /// Several do.
    #[error("\"{reference}\" is ambiguous: {} start with it", candidates.join(", "))]
    Ambiguous {
        /// As typed.
        reference: String,
        /// Some of the ids.
        candidates: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Opens (and creates, and migrates) the store and takes its lock: one daemon per directory.
    pub fn open(_state_dir: &Path) -> Result<Self, StoreError> {
        todo!()
    }
    /// A page of dumps, newest first.
    pub fn dumps(&self, _query: &Query, _page: &PageRequest) -> Result<Page<DumpSummary>, StoreError> {
        todo!()
    }
    /// How many dumps match.
    pub fn count_dumps(&self, _query: &Query) -> Result<u64, StoreError> {
        todo!()
    }
    /// One dump whole.
    pub fn dump(&self, _id: &DumpId) -> Result<Dump, StoreError> {
        todo!()
    }
    /// The dump a prefix of an id (or a whole id) names. At least 1 character.
    pub fn resolve_dump(&self, _reference: &str) -> Result<DumpId, ResolveError> {
        todo!()
    }
    /// A page of groups, last seen first; only groups with a dump that matches.
    /// `buckets` counts per bucket of `window_ms` / `buckets` back from `now_ms` fill the histogram.
    pub fn groups(&self, _query: &Query, _page: &PageRequest, _histogram: Histogram) -> Result<Page<GroupSummary>, StoreError> {
        todo!()
    }
    /// One group by full id.
    pub fn group(&self, _id: &str, _histogram: Histogram) -> Result<GroupSummary, StoreError> {
        todo!()
    }
    /// The group a prefix names.
    pub fn resolve_group(&self, _reference: &str) -> Result<String, ResolveError> {
        todo!()
    }
    /// Crashes per bucket over all dumps that match, oldest first.
    pub fn histogram(&self, _query: &Query, _histogram: Histogram) -> Result<Vec<u64>, StoreError> {
        todo!()
    }
    /// Removes a dump: row, files, and modules no other dump uses.
    pub fn remove_dump(&self, _id: &DumpId) -> Result<(), StoreError> {
        todo!()
    }
    /// The compressed core (seekable zstd); `None` when no memory was kept.
    pub fn core(&self, _id: &DumpId) -> Result<Option<File>, StoreError> {
        todo!()
    }
    /// A module's file by SHA-256.
    pub fn module(&self, _sha256: &str) -> Result<File, StoreError> {
        todo!()
    }
    /// What the store holds.
    pub fn status(&self) -> Result<StoreStatus, StoreError> {
        todo!()
    }
    /// Takes a dump in (used by the daemon's intake; idempotent).
    pub fn admit(&self, _record: &Record, _entry: &Path) -> Result<(), StoreError> {
        todo!()
    }
    /// Keeps a report and assigns the dump to its group (used by the daemon).
    pub fn save_report(&self, _id: &DumpId, _report: &Report) -> Result<(), StoreError> {
        todo!()
    }
}

/// The time window of a histogram.
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    /// End of the window, milliseconds since the epoch.
    pub now_ms: i64,
    /// Length of the window, milliseconds.
    pub window_ms: i64,
    /// Number of buckets.
    pub buckets: usize,
}
