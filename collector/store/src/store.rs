//! The store: one `SQLite` database and files below one state directory.

use crate::access::Sight;
use crate::access::audit::Log;
use crate::access::tokens::Tokens;
use crate::database::Database;
use crate::files::Files;
use crate::lifecycle::Journal;
use crate::query::QueryError;
use crate::searches::Searches;
use aground_helper::{layout, reserve};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// A handle to the store; cheap to clone, safe to use from many threads. All methods block on
/// disk: call them from `spawn_blocking` in async code.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) files: Arc<Files>,
    /// What is shown of all that.
    pub(crate) sight: Sight,
    /// Held while module files come or go: a module is in the store before the row that needs
    /// it, and must not be taken for unused in between.
    pub(crate) modules: Arc<Mutex<()>>,
    /// Held while a dump's `state.json` changes, or the dump goes.
    pub(crate) keeping: Arc<Mutex<()>>,
    /// The file of the changes of groups.
    pub(crate) journal: Arc<Mutex<Journal>>,
    /// Searches that people named.
    pub(crate) searches: Arc<Mutex<Searches>>,
    /// Access tokens.
    pub(crate) tokens: Arc<Mutex<Tokens>>,
    /// Who took what.
    pub(crate) audit: Arc<Mutex<Log>>,
    /// Its lock keeps a second daemon out; the kernel lets go of it when we die.
    lock: Arc<File>,
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the state directory.
    #[error("another aground daemon is running on {0}")]
    Busy(PathBuf),
    /// No such dump, group or module.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The memory of a dump is for root alone ([`aground_helper::access`]).
    #[error("only root may read the memory of this dump: {reason}")]
    RootOnly {
        /// Why, a sentence.
        reason: String,
        /// Where root finds it.
        path: PathBuf,
    },
    /// The page cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
    /// The database was written by a newer version of this program.
    #[error("the database has version {0}, which is newer than this program")]
    NewerDatabase(i64),
    /// There is a report, and no memory to make another from.
    #[error("its memory was dropped: the report it has is the last")]
    MemoryDropped,
    /// A query to be kept is wrong.
    #[error("{0}")]
    Query(QueryError),
    /// What somebody asked for makes no sense, in a sentence.
    #[error("{0}")]
    Refused(String),
    /// A report's signature has no SHA-256 as its hash.
    #[error("the report's signature hash is not 64 lowercase hexadecimal digits")]
    BadSignature,
    /// `SQLite` failed.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// A file could not be read, written, moved or removed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether there was no room on the disk, or no right to more of it.
    pub fn is_full_disk(&self) -> bool {
        match self {
            StoreError::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            // SQLite tells of some full disks as of failed writes.
            StoreError::Database(rusqlite::Error::SqliteFailure(error, _)) => matches!(
                error.code,
                rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure
            ),
            _ => false,
        }
    }

    /// Whether nothing can be written: the disk is full, or may only be read.
    pub fn is_unwritable(&self) -> bool {
        let read_only = match self {
            StoreError::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            StoreError::Database(rusqlite::Error::SqliteFailure(error, _)) => {
                error.code == rusqlite::ErrorCode::ReadOnly
            }
            _ => false,
        };
        read_only || self.is_full_disk()
    }
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

impl Store {
    /// Opens (and creates, and migrates) the store and takes its lock: one daemon per directory.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let (files, lock) = Files::open(state_dir)?;
        // Even to be read the database needs a little room.
        let database = loop {
            match Database::open(&files.database()) {
                Err(error) if error.is_full_disk() && reserve::give(state_dir) => {}
                opened => break opened?,
            }
        };
        let (journal, changes) = Journal::open(&files.root.join(layout::CHANGES))?;
        let inner = Inner {
            journal: Arc::new(Mutex::new(journal)),
            searches: Arc::new(Mutex::new(Searches::open(&files.root)?)),
            tokens: Arc::new(Mutex::new(Tokens::open(&files.root)?)),
            audit: Arc::new(Mutex::new(Log::open(&files.root)?)),
            database,
            files: Arc::new(files),
            sight: Sight::default(),
            modules: Arc::default(),
            keeping: Arc::default(),
            lock: Arc::new(lock),
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        store.open_journal(&changes)?;
        Ok(store)
    }

    /// The same store, which shows no more than this: every crash out of scope is as if it did not
    /// exist. What is written through it is written to the one store there is.
    pub fn seen(&self, sight: Sight) -> Result<Self, StoreError> {
        let inner = &self.inner;
        let database = inner.database.seen(&inner.files.database(), &sight.scope)?;
        let inner = Inner {
            database,
            sight,
            files: Arc::clone(&inner.files),
            modules: Arc::clone(&inner.modules),
            keeping: Arc::clone(&inner.keeping),
            journal: Arc::clone(&inner.journal),
            searches: Arc::clone(&inner.searches),
            tokens: Arc::clone(&inner.tokens),
            audit: Arc::clone(&inner.audit),
            lock: Arc::clone(&inner.lock),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Bytes of the state directory's file system, and how many of them we may still write.
    pub fn disk(&self) -> Result<(u64, u64), StoreError> {
        self.inner.files.disk()
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        &self.inner.files.root
    }
}

/// The clock, milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
